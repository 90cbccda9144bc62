//! Adam, SGD with momentum and schedule-free descent: one pass over the parameters a step.

use rarefy_kernels::vector::{self, dot};

/// Which rule turns gradients into steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam with the paper's epsilon 1e-8 and these decays of mean and square.
    Adam {
        /// Of the mean.
        beta1: f64,
        /// Of the square.
        beta2: f64,
    },
    /// Gradient descent with heavy-ball momentum.
    Momentum(f64),
    /// Adam without a schedule: the model is the average of the points that it goes through.
    FreeAdam {
        /// How much of the average the point has where the gradient is taken.
        beta1: f64,
        /// Decay of the square.
        beta2: f64,
    },
    /// Steps of equal length in every direction, averaged in the same way.
    FreeSign {
        /// As of [`Rule::FreeAdam`].
        beta1: f64,
    },
}

impl Rule {
    /// Adam with the paper's decays.
    pub const ADAM: Self = Self::Adam {
        beta1: 0.9,
        beta2: 0.999,
    };
}

/// The state of a first-order optimiser: step count and one or two vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    /// The rule.
    pub rule: Rule,
    /// Steps done.
    pub steps: usize,
    /// Adam's mean and square, the momentum's velocity, or the point that moves without a schedule and, of
    /// Adam, the square.
    pub moments: Vec<Vec<f32>>,
    /// Sum of the steps' weights in the average and the largest learning rate so far; 0 where nothing is averaged.
    pub averaged: [f64; 2],
}

/// One step of a rule, ready to be taken on any part of the parameters.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    /// [`Rule::Adam`].
    Adam(vector::Adam),
    /// [`Rule::FreeAdam`].
    FreeAdam(vector::ScheduleFree),
    /// [`Rule::FreeSign`].
    FreeSign(vector::ScheduleFree),
}

impl Move {
    /// Moves parameters by their gradient; `first` and `second` are their part of [`Descent::moments`].
    pub fn take(
        &self,
        params: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        match self {
            Self::Adam(step) => vector::adam(step, params, gradient, first, second),
            Self::FreeAdam(step) => vector::free_adam(step, params, gradient, first, second),
            Self::FreeSign(step) => vector::free_sign(step, params, gradient, first),
        }
    }
}

impl Descent {
    /// A fresh state for these parameters.
    pub fn new(rule: Rule, params: &[f32]) -> Self {
        let zeros = || vec![0.0; params.len()];
        Self {
            rule,
            steps: 0,
            moments: match rule {
                Rule::Adam { .. } => vec![zeros(), zeros()],
                Rule::Momentum(_) => vec![zeros()],
                // The second of signs is never looked at; a part of it stands for each part of the parameters.
                Rule::FreeAdam { .. } | Rule::FreeSign { .. } => vec![params.to_vec(), zeros()],
            },
            averaged: [0.0; 2],
        }
    }

    /// One step; the gradient is first scaled down to norm `clip` if it is longer.
    ///
    /// Returns the norm of the gradient before clipping.
    ///
    /// # Example
    /// ```
    /// use rarefy::optim::descent::{Descent, Rule};
    /// let mut x = [1.0];
    /// let mut adam = Descent::new(Rule::ADAM, &x);
    /// adam.step(&mut x, &[0.5], 0.1, None);
    /// assert!((x[0] - 0.9).abs() < 1e-6); // Adam's first step has length lr whatever the gradient
    /// ```
    pub fn step(
        &mut self,
        params: &mut [f32],
        gradient: &[f32],
        lr: f64,
        clip: Option<f64>,
    ) -> f64 {
        let norm = dot(gradient, gradient).sqrt();
        if let Rule::Momentum(mu) = self.rule {
            self.steps += 1;
            let (lr, mu, scale) = (lr as f32, mu as f32, clipping(norm, clip));
            vector::momentum(lr, mu, scale, params, gradient, &mut self.moments[0]);
        } else {
            let (step, [first, second]) = self.next(lr, norm, clip);
            step.take(params, gradient, first, second);
        }
        norm
    }

    /// Counts a step on a gradient of this norm: what to do, and the two vectors that change with the
    /// parameters.
    ///
    /// # Panics
    /// If the rule is that of momentum, which has one vector.
    pub fn next(&mut self, lr: f64, norm: f64, clip: Option<f64>) -> (Move, [&mut Vec<f32>; 2]) {
        self.steps += 1;
        let t = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let correction = |beta: f64| (1.0 - f64::powi(beta, t)) as f32;
        let scale = clipping(norm, clip);
        let step = match self.rule {
            Rule::Adam { beta1, beta2 } => Move::Adam(vector::Adam {
                lr: lr as f32,
                beta1: beta1 as f32,
                beta2: beta2 as f32,
                epsilon: 1e-8,
                correction1: correction(beta1),
                correction2: correction(beta2),
                scale,
            }),
            Rule::FreeAdam { beta1, beta2 } => {
                Move::FreeAdam(self.free(lr, [beta1, beta2], correction(beta2), scale))
            }
            Rule::FreeSign { beta1 } => Move::FreeSign(self.free(lr, [beta1, 0.0], 1.0, scale)),
            Rule::Momentum(_) => panic!("momentum has one vector"),
        };
        let [first, second] = self.moments.as_mut_slice() else {
            panic!("two vectors of moments were made")
        };
        (step, [first, second])
    }

    /// A step counts in the average by the square of the largest learning rate so far, so that a warm-up's
    /// steps count little.
    fn free(
        &mut self,
        lr: f64,
        [beta1, beta2]: [f64; 2],
        correction2: f32,
        scale: f32,
    ) -> vector::ScheduleFree {
        let [sum, largest] = &mut self.averaged;
        *largest = largest.max(lr);
        let weight = largest.powi(2);
        *sum += weight;
        vector::ScheduleFree {
            lr: lr as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: 1e-8,
            correction2,
            share: if *sum > 0.0 {
                (weight / *sum) as f32
            } else {
                0.0
            },
            scale,
        }
    }

    /// The average of the points gone through, if the rule trains towards that: `(y - (1 - beta1) z) / beta1`.
    pub fn average(&self, params: &[f32]) -> Option<Vec<f32>> {
        let (Rule::FreeAdam { beta1, .. } | Rule::FreeSign { beta1 }) = self.rule else {
            return None;
        };
        let away = 1.0 - 1.0 / beta1;
        let pairs = params.iter().zip(&self.moments[0]);
        Some(
            pairs
                .map(|(y, z)| (f64::from(*y) + away * (f64::from(*z) - f64::from(*y))) as f32)
                .collect(),
        )
    }
}

/// What a gradient is multiplied by.
fn clipping(norm: f64, clip: Option<f64>) -> f32 {
    let longer = clip.filter(|most| norm > *most);
    longer.map_or(1.0, |most| most / norm) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_follows_the_papers_recursion() {
        let gradients = [[0.5, -2.0], [0.1, -1.0], [-0.7, 0.0]];
        let mut x = [1.0f32, -1.0];
        let mut adam = Descent::new(Rule::ADAM, &x);
        let mut expected = [1.0f64, -1.0];
        let (mut m, mut v) = ([0.0f64; 2], [0.0f64; 2]);
        for (t, g) in gradients.iter().enumerate() {
            adam.step(&mut x, &g.map(|g| g as f32), 0.01, None);
            for i in 0..2 {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let c = |b: f64| 1.0 - b.powi(t as i32 + 1);
                expected[i] -= 0.01 * (m[i] / c(0.9)) / ((v[i] / c(0.999)).sqrt() + 1e-8);
            }
        }
        assert!(
            (0..2).all(|i| (f64::from(x[i]) - expected[i]).abs() < 1e-6),
            "{x:?} {expected:?}"
        );
    }

    #[test]
    fn a_clipped_gradient_keeps_its_direction() {
        let mut x = [0.0f32, 0.0];
        let mut descent = Descent::new(Rule::Momentum(0.0), &x);
        let norm = descent.step(&mut x, &[3.0, 4.0], 1.0, Some(1.0));
        assert_eq!(norm, 5.0);
        assert!((x[0] + 0.6).abs() < 1e-6 && (x[1] + 0.8).abs() < 1e-6);
    }
}
