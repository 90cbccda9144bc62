//! Plain lines on the progress of a run, for batch systems: no control characters, one line every so many seconds.

use std::time::{Duration, Instant};

use indicatif::FormattedDuration;
use rarefy::train::Progress;

use crate::output;

/// Lines on stderr at the start of the steps, at intervals, and at their end.
pub struct Log {
    /// Start of each line: the name of a sweep's model, or nothing.
    name: String,
    every: Duration,
    begun: Instant,
    /// Time of the last line since the start.
    last: Duration,
    /// Steps before this call, of a resumed run.
    first: usize,
    /// Progress of a step that has no line yet.
    waiting: Option<Progress>,
}

impl Log {
    /// Begins to log a run of `steps` steps, of which `first` are done; `name` starts each line.
    pub fn begin(name: String, seconds: usize, (first, steps): (usize, usize)) -> Self {
        output::note(&format!("{name}step {first}/{steps}"));
        Self {
            name,
            every: Duration::from_secs(seconds as u64),
            begun: Instant::now(),
            last: Duration::ZERO,
            first,
            waiting: None,
        }
    }

    /// Prints a line if its time has come.
    pub fn step(&mut self, progress: &Progress, rate: f64) {
        let elapsed = self.begun.elapsed();
        if self.is_due(elapsed) {
            self.waiting = None;
            output::note(&self.line(progress, rate, elapsed));
        } else {
            self.waiting = Some(progress.clone());
        }
    }

    /// Prints a line for the last step, if it has none.
    pub fn end(&mut self, rate: impl FnOnce(u64) -> f64) {
        if let Some(progress) = self.waiting.take() {
            let rate = rate(progress.rows_seen);
            output::note(&self.line(&progress, rate, self.begun.elapsed()));
        }
    }

    /// True once an interval after the last line.
    fn is_due(&mut self, elapsed: Duration) -> bool {
        let is_due = elapsed >= self.last + self.every;
        if is_due {
            self.last = elapsed;
        }
        is_due
    }

    /// Steps, losses, rows in a second, time since the start and time left.
    fn line(&self, progress: &Progress, rate: f64, elapsed: Duration) -> String {
        let (step, steps) = (progress.step, progress.steps);
        let done = step.saturating_sub(self.first).max(1);
        let left = elapsed.as_secs_f64() / done as f64 * steps.saturating_sub(step) as f64;
        let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
        format!(
            "{}step {step}/{steps}  {}  {rate:.0} rows/s  {} elapsed  {} left",
            self.name,
            numbers(progress),
            FormattedDuration(elapsed),
            FormattedDuration(left)
        )
    }
}

/// Loss of a step, and explained variance, L0 and dead latents of a sparse architecture.
pub fn numbers(progress: &Progress) -> String {
    let sparse = progress.sparse.map_or_else(String::new, |s| {
        let (explained, dead) = (100.0 * s.explained_variance, 100.0 * s.dead_fraction);
        format!(
            "  {explained:.1} % explained  L0 {:.1}  {dead:.1} % dead",
            s.l0
        )
    });
    format!("loss {:.5}{sparse}", progress.parts.total())
}

#[cfg(test)]
mod tests {
    use rarefy::train::SparseProgress;

    use super::*;

    fn log(seconds: u64, first: usize) -> Log {
        Log {
            name: String::new(),
            every: Duration::from_secs(seconds),
            begun: Instant::now(),
            last: Duration::ZERO,
            first,
            waiting: None,
        }
    }

    #[test]
    fn lines_are_at_least_an_interval_apart() {
        let mut log = log(10, 0);
        let due = [3.0, 9.9, 10.5, 19.0, 20.4, 20.6, 61.0, 62.0, 71.0]
            .map(|seconds| log.is_due(Duration::from_secs_f64(seconds)));
        assert_eq!(
            due,
            [false, false, true, false, false, true, true, false, true]
        );
    }

    #[test]
    fn line_has_steps_losses_speed_and_times() {
        let mut progress = Progress {
            step: 150,
            steps: 400,
            rows_seen: 15_000,
            parts: rarefy::variants::Parts {
                reconstruction: 0.25,
                ..Default::default()
            },
            gradient_norm: 1.0,
            rho_hat_mean: None,
            sparse: Some(SparseProgress {
                l0: 32.0,
                dead_fraction: 0.0125,
                explained_variance: 0.831,
            }),
        };
        // 50 steps of this call took 70 s, so 250 take 350 s.
        let line = log(10, 100).line(&progress, 1234.5, Duration::from_secs(70));
        assert_eq!(
            line,
            "step 150/400  loss 0.25000  83.1 % explained  L0 32.0  1.2 % dead  1234 rows/s  00:01:10 elapsed  00:05:50 left"
        );
        progress.sparse = None;
        let line = log(10, 100).line(&progress, 9.0, Duration::from_secs(70));
        assert!(
            line.starts_with("step 150/400  loss 0.25000  9 rows/s  "),
            "{line}"
        );
    }
}
