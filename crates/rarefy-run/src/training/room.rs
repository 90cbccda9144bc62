//! Memory that runs need at least, beside the memory that the machine has.

use rarefy::plan::Plan;
use rarefy::recipe::TrainingData;
use rarefy::{Error, Result};

/// Refuses runs that need more memory than is available: weights, both moments of the optimiser, their average, and the rows that are read.
/// Steps need more; so the sum is a lower bound.
pub(super) fn check(plans: &[&Plan], data: &TrainingData) -> Result<()> {
    let models: usize = plans.iter().map(|plan| plan.state_bytes()).sum();
    refuse(models.saturating_add(data.memory_to_come()), available())
}

fn refuse(needed: usize, available: Option<usize>) -> Result<()> {
    match available {
        Some(available) if needed > available => {
            let [needed, there] = [needed, available].map(|bytes| {
                let tenths = (bytes as f64 / f64::from(1 << 30) * 10.0).round() / 10.0;
                format!("{tenths:.1} GiB")
            });
            Err(Error::Conflict(format!(
                "the run needs at least {needed} of memory, and {there} are available; set `model.latents`, `train.batch` or `data.memory` lower"
            )))
        }
        _ => Ok(()),
    }
}

/// Memory in bytes that programs can still get, by the system and by the limit of the control group; `None` if the system does not say.
fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let of_group = |name: &str| -> Option<usize> {
        let path = format!("/sys/fs/cgroup/{name}");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let of_group = of_group("memory.max").zip(of_group("memory.current"));
    let left = of_group.map_or(usize::MAX, |(most, used)| most.saturating_sub(used));
    Some(kibibytes.saturating_mul(1024).min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_that_needs_too_much_is_refused_with_both_sizes() {
        let gib = |n: usize| n << 30;
        assert!(refuse(gib(3), Some(gib(4))).is_ok());
        assert!(refuse(gib(3), None).is_ok());
        let error = refuse(gib(29), Some(gib(24))).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "the run needs at least 29.0 GiB of memory, and 24.0 GiB are available"
            ),
            "{error}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_how_much_memory_is_available() {
        assert!(available().unwrap() > 1 << 20);
    }
}
