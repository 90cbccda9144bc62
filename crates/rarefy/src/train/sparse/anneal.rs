//! Annealing of the power p of a norm penalty, with a coefficient that keeps the size of the penalty constant.
//!
//! Updates are spread evenly over the annealed steps. At each update, p moves to its next value. The coefficient is
//! multiplied by the ratio of two mean penalties of the last steps: at the old p, divided by at the new p.
//!
//! Source: Karvonen et al. 2024, *Measuring progress in dictionary learning with board game models*, arXiv:2408.00113,
//! as `dictionary_learning` 0.1.0 does it.

use std::collections::VecDeque;

/// Number of last steps that the mean penalties are taken over: the default of `dictionary_learning`.
const QUEUE: usize = 10;

/// Steps of the updates, with the p after each.
#[derive(Debug, Clone, PartialEq)]
pub struct Updates {
    at: Vec<usize>,
    p: Vec<f64>,
}

impl Updates {
    /// `count` updates from step `first` to step `last`, with p from `start` to `end`.
    ///
    /// # Example
    /// ```
    /// use rarefy::train::sparse::anneal::{Annealing, Updates};
    /// let updates = Updates::new(3, (2, 4), (0.9, 0.5));
    /// let mut annealing = Annealing::new(0.9);
    /// // The penalty is 6 at the old p and 12 at the new one, so half the coefficient keeps its size.
    /// for step in 0..4 {
    ///     annealing.after(&updates, step, [6.0, 12.0]);
    /// }
    /// assert!((annealing.p() - 0.7).abs() < 1e-12 && annealing.factor() == 0.5);
    /// ```
    pub fn new(count: usize, (first, last): (usize, usize), (start, end): (f64, f64)) -> Self {
        let share = |i: usize| i as f64 / (count.max(2) - 1) as f64;
        let between = |a: f64, b: f64, i: usize| a + (b - a) * share(i);
        Self {
            at: (0..count)
                .map(|i| between(first as f64, last as f64, i) as usize)
                .collect(),
            p: (0..count).map(|i| between(start, end, i)).collect(),
        }
    }
}

/// Annealing state: the current p, the next p and the factor of the penalty.
#[derive(Debug, Clone, PartialEq)]
pub struct Annealing {
    p: f64,
    next: Option<f64>,
    factor: f64,
    done: usize,
    /// Penalties of the last steps, without their coefficient, at p and at the next p.
    queue: VecDeque<[f64; 2]>,
}

impl Annealing {
    /// State before the first step.
    pub fn new(p: f64) -> Self {
        Self {
            p,
            next: None,
            factor: 1.0,
            done: 0,
            queue: VecDeque::new(),
        }
    }

    /// The p of this step.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The p after the next update, once annealing has begun.
    pub fn next(&self) -> Option<f64> {
        self.next
    }

    /// Factor of the penalty's coefficient.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Records the penalties of a step; if an update is due after this step, p moves to its next value.
    pub fn after(&mut self, updates: &Updates, step: usize, norms: [f64; 2]) {
        if self.next.is_some() {
            self.queue.push_back(norms);
            if self.queue.len() > QUEUE {
                self.queue.pop_front();
            }
        }
        if updates.at.get(self.done) != Some(&step) {
            return;
        }
        let mean = |which: usize| self.queue.iter().map(|norms| norms[which]).sum::<f64>();
        if self.next.is_some() && mean(1) > 0.0 {
            self.factor *= mean(0) / mean(1);
        }
        self.p = updates.p[self.done];
        let last = updates.p.len() - 1;
        self.next = Some(updates.p[(self.done + 1).min(last)]);
        self.done += 1;
    }

    /// State as numbers for a checkpoint.
    pub(crate) fn to_values(&self) -> Vec<f64> {
        let next = self.next.unwrap_or(f64::NAN);
        let mut values = vec![self.p, next, self.factor, self.done as f64];
        values.extend(self.queue.iter().flatten());
        values
    }

    /// Annealing state from the numbers of [`Annealing::to_values`].
    pub(crate) fn from_values(values: &[f64]) -> Option<Self> {
        let [p, next, factor, done, queue @ ..] = values else {
            return None;
        };
        let (pairs, rest) = queue.as_chunks::<2>();
        rest.is_empty().then(|| Self {
            p: *p,
            next: Some(*next).filter(|next| !next.is_nan()),
            factor: *factor,
            done: *done as usize,
            queue: pairs.iter().copied().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficient_keeps_the_size_of_the_penalty_and_survives_penalties_of_zero() {
        let updates = Updates::new(3, (2, 4), (0.9, 0.5));
        let mut annealing = Annealing::new(0.9);
        (0..4).for_each(|step| annealing.after(&updates, step, [6.0, 12.0]));
        assert_eq!((annealing.factor(), annealing.done), (0.5, 2));
        let restored = Annealing::from_values(&annealing.to_values()).unwrap();
        assert_eq!(restored, annealing);
        // No latent is active: both penalties are 0, and the factor must not become 0 / 0.
        let mut silent = Annealing::new(0.9);
        (0..5).for_each(|step| silent.after(&updates, step, [0.0, 0.0]));
        assert_eq!((silent.factor(), silent.p()), (1.0, 0.5));
    }
}
