//! Values of the rows that the encoder does not see in a step.
//!
//! ```text
//! seen = mean + (x - mean) keep / (1 - p)        keep: 0 with probability p, else 1, for each value by itself
//! ```
//!
//! The decoder still reconstructs x. So a latent is found by all inputs that go with it, not by the few that tell training
//! rows apart. The factor keeps the mean pre-activation. The mean is that of the input column over all training rows.
//!
//! # Source
//! Vincent et al. 2008, *Extracting and composing robust features with denoising autoencoders*, ICML.

use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use super::step::StepRows;
use crate::Rng;
use crate::plan::Plan;

/// Values that one draw of 64 bits decides.
const EACH: usize = 4;

/// Mask of a run, with its buffer.
pub(crate) struct Mask {
    /// Share of the values that are hidden, in units of 2^-16.
    hidden: u16,
    seed: u64,
    width: usize,
    /// Mean of each input column.
    mean: Vec<f32>,
    seen: Vec<f32>,
}

impl Mask {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            hidden: (plan.mask() * f64::from(1_u32 << 16)).round() as u16,
            seed: plan.config().train.seed,
            width: plan.io().row_width(),
            mean: plan.input_mean().iter().map(|mean| *mean as f32).collect(),
            seen: Vec::new(),
        }
    }

    /// The rows of a step as the encoder reads them, beside the whole ones. The mask follows from the seed, the step and the
    /// row's place in the batch.
    pub(crate) fn rows<'a>(&'a mut self, whole: &'a [f32], step: usize) -> StepRows<'a> {
        if self.hidden == 0 {
            return whole.into();
        }
        let factor = (1.0 / (1.0 - f64::from(self.hidden) / f64::from(1_u32 << 16))) as f32;
        let (mean, hidden) = (&self.mean, self.hidden);
        let of_step = self.seed ^ (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.seen.resize(whole.len(), 0.0);
        let rows = self.seen.par_chunks_mut(self.width);
        rows.zip(whole.par_chunks(self.width))
            .enumerate()
            .for_each(|(at, (seen, row))| {
                seen.copy_from_slice(row);
                let mut rng = Rng::seed_from_u64(of_step.wrapping_add(at as u64));
                let inputs = seen[..mean.len()].chunks_mut(EACH).zip(mean.chunks(EACH));
                for (values, means) in inputs {
                    let mut bits = rng.random::<u64>();
                    for (value, mean) in values.iter_mut().zip(means) {
                        let keep = if (bits as u16) < hidden { 0.0 } else { factor };
                        *value = mean + (*value - mean) * keep;
                        bits >>= 16;
                    }
                }
            });
        StepRows {
            seen: &self.seen,
            whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(hidden: f64) -> Mask {
        Mask {
            hidden: (hidden * 65536.0) as u16,
            seed: 3,
            width: 6,
            mean: vec![1.0, 2.0, 3.0, 4.0, 5.0],
            seen: Vec::new(),
        }
    }

    /// Hidden values are the column's mean, others are twice as far from it, and the target column stays.
    #[test]
    fn a_quarter_and_a_half_of_the_inputs_are_hidden() {
        for (hidden, factor) in [(0.25, 4.0 / 3.0), (0.5, 2.0)] {
            let whole: Vec<f32> = (0..6 * 4000).map(|i| (i as f32).sin()).collect();
            let mut mask = mask(hidden);
            let rows = mask.rows(&whole, 7);
            assert_eq!(rows.whole, whole);
            let mut count = 0;
            for (seen, row) in rows.seen.chunks(6).zip(whole.chunks(6)) {
                assert_eq!(seen[5], row[5]);
                for (column, (seen, x)) in seen[..5].iter().zip(row).enumerate() {
                    let mean = column as f32 + 1.0;
                    if *seen == mean {
                        count += 1;
                    } else {
                        assert!((seen - (mean + (x - mean) * factor)).abs() < 1e-5);
                    }
                }
            }
            let share = f64::from(count) / 20_000.0;
            assert!((share - hidden).abs() < 0.01, "{share}");
        }
    }

    #[test]
    fn masks_differ_between_steps_and_rows_and_repeat_with_the_seed() {
        let whole = [0.0; 12];
        let mut one = mask(0.5);
        let first = one.rows(&whole, 0).seen.to_vec();
        assert_ne!(first[..5], first[6..11]);
        assert_ne!(one.rows(&whole, 1).seen, first);
        assert_eq!(one.rows(&whole, 0).seen, first);
        assert_eq!(mask(0.0).rows(&whole, 0).seen, whole);
    }
}
