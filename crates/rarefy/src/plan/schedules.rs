//! What changes in the course of a run: the learning rate, what the penalty weighs, how many latents a row keeps.

use crate::config::TrainConfig;
use crate::optim::{LrShape, Schedule};
use crate::variants::{Architecture, Defaults, StepSchedule};
use crate::{Error, Result};

/// Parts in which a norm's p comes down, each as long as the others: `dictionary_learning`'s default.
pub const UPDATES: usize = 10;

/// Everything that is a function of the step alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedules {
    /// The learning rate.
    pub schedule: Schedule,
    /// Steps over which the sparsity penalty rises to its weight; 0 where there is none.
    pub sparsity_warmup: usize,
    /// Latents of a row at the start, over those at the end.
    pub k_start: f64,
    /// Steps over which they go from one to the other.
    pub k_anneal: usize,
    /// Where a norm's p begins and ends, and the step from which it comes down, if it does.
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
            let most = format!("at most the learning rate that it falls from, {lr}");
            return Err(Error::hyper("lr_end", &most, end * lr));
        }
        let (k_start, k_anneal) = match (train.k_start, annealed_k(architecture)) {
            (None, _) if train.k_anneal.is_some() => {
                let why = "k_anneal wants the k that a run begins with: give `--k-start`";
                return Err(Error::Conflict(why.into()));
            }
            (None, _) => (1.0, 0),
            (Some(start), Some(k)) => {
                if start > d_sae as f64 {
                    let most = format!("at most the {d_sae} latents");
                    return Err(Error::hyper("k_start", &most, start));
                }
                let anneal = train.k_anneal.unwrap_or(steps / 2);
                if anneal > steps {
                    let most = format!("at most the run's {steps} steps");
                    return Err(Error::hyper("k_anneal", &most, anneal));
                }
                (start / k, anneal)
            }
            (Some(_), None) => {
                let why = "k_start is where a run's k begins, and this architecture has none that could change";
                return Err(Error::Conflict(why.into()));
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

    /// What the architecture is told at a step, counted from 0.
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

/// The course of p, if the user wants one.
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
            refuse("p_from wants the p that a run ends with: give `--p-end`")
        }
        (None, _) => Ok(None),
        (Some(_), None) => {
            refuse("p_end is where the p of a norm ends, and this architecture's penalty has none")
        }
        (Some(end), Some(_)) if !(end > 0.0 && end.is_finite()) => {
            Err(Error::hyper("p_end", "a finite number above 0", end))
        }
        (Some(end), Some(p)) if end > p => {
            let most = format!("at most the p that it comes down from, {p}");
            Err(Error::hyper("p_end", &most, end))
        }
        (Some(end), Some(p)) => {
            let from = train.p_from.unwrap_or(steps / 2);
            if from + UPDATES > steps {
                let why = format!(
                    "p comes down in {UPDATES} equal parts, so it must begin at least as many steps before the run's end; \
                     the run has {steps} steps and p_from is {from}"
                );
                return Err(Error::Conflict(why));
            }
            Ok(Some((p, end, from)))
        }
    }
}

/// Latents of a row, of an architecture whose runs may begin with another number.
fn annealed_k(architecture: &Architecture) -> Option<f64> {
    match architecture {
        Architecture::Sparse(sparse) => sparse.annealed_k(),
        Architecture::Dense(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sparsify 1.3.3, `get_current_k`: `round(initial (1 - step / steps) + final step / steps)`.
    #[test]
    fn k_goes_down_as_in_sparsify() {
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
