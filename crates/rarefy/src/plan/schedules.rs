//! Schedules of a run: learning rate, sparsity weight, number of active latents, exponent p.

use crate::config::TrainConfig;
use crate::optim::{LrShape, Schedule};
use crate::variants::{Architecture, Defaults, StepSchedule};
use crate::{Error, Result};

/// Number of equal parts in which p decreases; the default of `dictionary_learning`.
pub const UPDATES: usize = 10;

/// Schedules of a run: values that depend only on the step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedules {
    /// Learning-rate schedule.
    pub schedule: Schedule,
    /// Steps over which the sparsity weight rises from 0; 0 without a warm-up or a penalty.
    pub sparsity_warmup: usize,
    /// Ratio of k at the start of the run to k at the end.
    pub k_start: f64,
    /// Steps over which k goes from its start to its end.
    pub k_anneal: usize,
    /// Start and end of an annealed exponent p, and the step at which p begins to decrease.
    pub p: Option<(f64, f64, usize)>,
}

impl Schedules {
    pub(super) fn of(
        train: &TrainConfig,
        defaults: &Defaults,
        architecture: &Architecture,
        (steps, lr, d_sae): (usize, f64, usize),
    ) -> Result<Self> {
        let end = match train.lr_schedule {
            LrShape::Constant => 1.0,
            LrShape::Cosine => train.lr_end.map_or(0.1, |end| end / lr),
        };
        if end > 1.0 {
            let most = format!("at most the learning rate {lr}");
            return Err(Error::hyper("train.lr_end", &most, end * lr));
        }
        let (k_start, k_anneal) = match (train.k_start, annealed_k(architecture)) {
            (None, _) if train.k_anneal.is_some() => {
                let why =
                    "`train.k_anneal` needs the k at the start of the run: set `train.k_start`";
                return Err(Error::Conflict(why.into()));
            }
            (None, _) => (1.0, 0),
            (Some(start), Some(k)) => {
                if start > d_sae as f64 {
                    let most = format!("at most the {d_sae} latents");
                    return Err(Error::hyper("train.k_start", &most, start));
                }
                let anneal = train.k_anneal.unwrap_or(steps / 2);
                if anneal > steps {
                    let most = format!("at most the {steps} steps of the run");
                    return Err(Error::hyper("train.k_anneal", &most, anneal));
                }
                (start / k, anneal)
            }
            (Some(_), None) => {
                let why = fixed_k(architecture);
                return Err(Error::Conflict(format!("{why}: remove `train.k_start`")));
            }
        };
        let p = annealed_p(train, architecture, steps)?;
        Ok(Self {
            p,
            schedule: Schedule {
                steps,
                warmup: train.lr_warmup,
                decay: train.lr_decay,
                shape: train.lr_schedule,
                end,
            },
            sparsity_warmup: if defaults.penalised {
                train.sparsity_warmup.unwrap_or(steps / 10)
            } else {
                0
            },
            k_start,
            k_anneal,
        })
    }

    /// Values of the schedules at a step, counted from 0.
    pub fn now(&self, step: usize) -> StepSchedule {
        let done = |steps: usize| match steps {
            0 => 1.0,
            steps => (step as f64 / steps as f64).min(1.0),
        };
        let at = done(self.k_anneal);
        StepSchedule {
            step,
            sparsity: done(self.sparsity_warmup),
            density: self.k_start * (1.0 - at) + at,
            p: None,
        }
    }
}

/// Lower bound of p: below, the gradient of a small value is as large as the reciprocal of the value.
const SMALLEST_P: f64 = 0.01;

/// Start, end and first step of an annealed p; `None` without `train.p_end`.
fn annealed_p(
    train: &TrainConfig,
    architecture: &Architecture,
    steps: usize,
) -> Result<Option<(f64, f64, usize)>> {
    let refuse = |why: &str| Err(Error::Conflict(why.into()));
    let own = match architecture {
        Architecture::Sparse(sparse) => sparse.annealed_p(),
        Architecture::Dense(_) => None,
    };
    match (train.p_end, own) {
        (None, _) if train.p_from.is_some() => {
            refuse("`train.p_from` needs the p at the end of the run: set `train.p_end`")
        }
        (None, _) => Ok(None),
        (Some(_), None) => {
            refuse("the penalty of this architecture has no p: remove `train.p_end`")
        }
        (Some(end), Some(_)) if !(end > SMALLEST_P && end.is_finite()) => {
            let expected = format!("a finite number above {SMALLEST_P}");
            Err(Error::hyper("train.p_end", &expected, end))
        }
        (Some(end), Some(p)) if end > p => {
            let most = format!("at most the initial p of {p}");
            Err(Error::hyper("train.p_end", &most, end))
        }
        (Some(end), Some(p)) => {
            let from = train.p_from.unwrap_or(steps / 2);
            if from + UPDATES > steps {
                let why = format!(
                    "p decreases in {UPDATES} equal parts: `train.p_from` must be at least {UPDATES} steps before the \
                     end of the run ({steps} steps), got {from}"
                );
                return Err(Error::Conflict(why));
            }
            Ok(Some((p, end, from)))
        }
    }
}

/// Latents of a row (k), if the architecture allows another number at the start of a run.
fn annealed_k(architecture: &Architecture) -> Option<f64> {
    match architecture {
        Architecture::Sparse(sparse) => sparse.annealed_k(),
        Architecture::Dense(_) => None,
    }
}

/// Reason why the number of latents of a row is fixed.
fn fixed_k(architecture: &Architecture) -> &'static str {
    match architecture {
        Architecture::Sparse(sparse) => sparse.selection().fixed_k(),
        Architecture::Dense(_) => "this architecture has no k that changes during a run",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sparsify 1.3.3, `get_current_k`: `round(initial (1 - step / steps) + final step / steps)`.
    #[test]
    fn annealed_k_matches_sparsify() {
        let schedules = Schedules {
            schedule: Schedule {
                steps: 10,
                warmup: 0,
                decay: 0,
                shape: LrShape::Constant,
                end: 1.0,
            },
            sparsity_warmup: 4,
            k_start: 40.0 / 4.0,
            k_anneal: 5,
            p: None,
        };
        let k: Vec<usize> = (0..7).map(|step| schedules.now(step).k(4)).collect();
        assert_eq!(k, [40, 33, 26, 18, 11, 4, 4]);
        let sparsity: Vec<f64> = (0..6).map(|step| schedules.now(step).sparsity).collect();
        assert_eq!(sparsity, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    }
}
