//! Learning rate schedule: warm-up, constant or cosine part, and decay.

use std::f64::consts::PI;

/// Shape of the learning rate between warm-up and decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrShape {
    /// Constant learning rate.
    Constant,
    /// Half a cosine, falling from 1 to [`Schedule::end`].
    Cosine,
}

/// Learning rate schedule: a factor of the base learning rate for each step.
///
/// The factor rises linearly over the first `warmup` steps, follows `shape`, and falls linearly over the last `decay`
/// steps. The fall would reach 0 one step after the end.
///
/// # Source
/// `SAELens` 6.54, `training/optim.py`. Its `constant` and `cosineannealing` give the same numbers if warm-up and
/// decay do not overlap. If they overlap, the smaller factor is used here.
///
/// # Example
/// ```
/// use rarefy::optim::{Schedule, LrShape};
/// let plain = Schedule { steps: 6, warmup: 2, decay: 2, shape: LrShape::Constant, end: 1.0 };
/// let factors: Vec<f64> = (0..6).map(|step| plain.factor(step)).collect();
/// assert_eq!(factors, [0.5, 1.0, 1.0, 1.0, 1.0, 0.5]);
/// // Half a cosine from 1 to a tenth over four steps: halfway after two.
/// let cosine = Schedule { steps: 4, warmup: 0, decay: 0, shape: LrShape::Cosine, end: 0.1 };
/// assert!((cosine.factor(2) - 0.55).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Number of steps of the run.
    pub steps: usize,
    /// Number of steps of the linear warm-up.
    pub warmup: usize,
    /// Number of steps of the linear decay.
    pub decay: usize,
    /// Shape between warm-up and decay.
    pub shape: LrShape,
    /// Last factor of the middle part divided by its first; 1 for [`LrShape::Constant`].
    pub end: f64,
}

impl Schedule {
    /// Factor of the base learning rate at a step, counted from 0.
    pub fn factor(&self, step: usize) -> f64 {
        let rise = match self.warmup {
            0 => 1.0,
            warmup => (step + 1) as f64 / warmup as f64,
        };
        let left = self.steps.saturating_sub(step);
        let fall = if left < self.decay {
            left as f64 / self.decay as f64 * self.middle(self.steps)
        } else {
            1.0
        };
        rise.min(self.middle(step)).min(fall)
    }

    /// Factor of the middle part, extended as a constant before its first and after its last step.
    fn middle(&self, step: usize) -> f64 {
        match self.shape {
            LrShape::Constant => 1.0,
            LrShape::Cosine => {
                let length = self.steps.saturating_sub(self.warmup + self.decay).max(1);
                let at = step.saturating_sub(self.warmup).min(length) as f64 / length as f64;
                self.end + (1.0 - self.end) * 0.5 * (1.0 + (PI * at).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (a, b) in got.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{got:?} {expected:?}");
        }
    }

    /// Learning rates of SAELens 6.54 for a base rate of 0.1 and 14 steps: warm-up 2, decay 4, cosine to 0.01.
    #[test]
    fn schedule_matches_saelens() {
        let rates = |shape: LrShape, end: f64| -> Vec<f64> {
            let schedule = Schedule {
                steps: 14,
                warmup: 2,
                decay: 4,
                shape,
                end,
            };
            (0..14).map(|step| 0.1 * schedule.factor(step)).collect()
        };
        near(&rates(LrShape::Constant, 1.0), CONSTANT);
        near(&rates(LrShape::Cosine, 0.1), COSINE);
    }

    // Learning rate at each step, from `get_lr_scheduler(name, Adam at 0.1, 14, 0.1, 2, 4, 0.01, 1)`.
    const CONSTANT: &[f64] = &[
        0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.075, 0.05, 0.025,
    ];
    const COSINE: &[f64] = &[
        0.05,
        0.1,
        0.1,
        0.096_574_58,
        0.086_819_81,
        0.072_220_75,
        0.055,
        0.037_779_25,
        0.023_180_19,
        0.013_425_42,
        0.01,
        0.0075,
        0.005,
        0.0025,
    ];
}
