//! Number of threads of the program.

use rarefy::{Error, Result};

/// Largest number of threads.
const MOST: usize = 1024;

/// Variable of the environment by which rayon sets the number of threads.
const VARIABLE: &str = "RAYON_NUM_THREADS";

/// Sets the number of threads of the program.
pub fn set(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else {
        return Ok(());
    };
    if threads == 0 || threads > MOST {
        return Err(Error::hyper(
            "train.threads",
            &format!("between 1 and {MOST}"),
            threads,
        ));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Error::Conflict(format!("{threads} threads cannot be started: {e}")))
}

/// Refuses a number of threads in the environment that the system could not start.
pub fn check_environment() -> Result<()> {
    check(std::env::var(VARIABLE).ok().as_deref())
}

fn check(value: Option<&str>) -> Result<()> {
    // Rayon ignores a value that is no number.
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match value.map(str::trim).filter(digits) {
        Some(text) if text.parse::<usize>().map_or(true, |threads| threads > MOST) => {
            Err(Error::hyper(VARIABLE, &format!("at most {MOST}"), text))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_threads_in_the_environment_is_limited() {
        for good in [
            None,
            Some(""),
            Some("0"),
            Some("1024"),
            Some("many"),
            Some("-1"),
        ] {
            check(good).unwrap();
        }
        for bad in ["1025", "999999", "99999999999999999999999"] {
            let error = check(Some(bad)).unwrap_err().to_string();
            let expected = format!("`RAYON_NUM_THREADS` must be at most 1024, got {bad}");
            assert_eq!(error, expected);
        }
    }
}
