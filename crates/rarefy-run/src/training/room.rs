//! Memory that runs need at least, beside the memory that the machine has.

use std::fs::read_to_string;

use rarefy::data::Source;
use rarefy::plan::Plan;
use rarefy::recipe::TrainingData;
use rarefy::{Error, Result};

/// Refuses rows that are to be kept in memory, or shuffled in windows, and do not fit.
pub(super) fn check_rows(source: &dyn Source, memory: usize) -> Result<()> {
    let values = source.rows().saturating_mul(source.d_in());
    let all = values.saturating_mul(size_of::<f32>());
    if source.is_in_memory() || source.is_drawn() {
        return Ok(());
    }
    refuse(all.min(memory), available())
}

/// Refuses models that need more memory than is available: weights, moments of the optimiser and averaged weights, and windows of rows that are
/// still to come. Steps need more; so the sum is a lower bound.
pub(super) fn check_models<'p>(
    plans: impl Iterator<Item = &'p Plan>,
    data: &TrainingData,
) -> Result<()> {
    let models: usize = plans.map(Plan::state_bytes).sum();
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
    let text = read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let of_group = left_in_group().unwrap_or(usize::MAX);
    Some(kibibytes.saturating_mul(1024).min(of_group))
}

/// Memory in bytes that the limit of the control group leaves; `None` without a limit. Cached files do not count: they give way.
fn left_in_group() -> Option<usize> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = format!("/sys/fs/cgroup{}", group.trim_end_matches('/'));
    let number = |name: &str| -> Option<usize> {
        let text = read_to_string(format!("{folder}/{name}")).ok()?;
        text.trim().parse().ok()
    };
    let most = number("memory.max")?;
    let used = number("memory.current")?;
    let stat = read_to_string(format!("{folder}/memory.stat")).ok()?;
    let files: usize = stat
        .lines()
        .filter_map(|line| {
            line.strip_prefix("inactive_file ")
                .or_else(|| line.strip_prefix("active_file "))
        })
        .filter_map(|bytes| bytes.parse::<usize>().ok())
        .sum();
    Some(most.saturating_sub(used.saturating_sub(files)))
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
