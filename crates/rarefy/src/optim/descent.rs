//! First-order optimisers: Adam, SGD with momentum and schedule-free descent, one pass over the parameters per step.

use rarefy_kernels::vector::{self, dot};

/// Update rule of a first-order optimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam with epsilon 1e-8.
    Adam {
        /// Decay of the mean of the gradient.
        beta1: f64,
        /// Decay of the mean of the squared gradient.
        beta2: f64,
    },
    /// Gradient descent with heavy-ball momentum.
    Momentum(f64),
    /// Schedule-free Adam: the model is a weighted average of the iterates, in place of a decaying learning rate.
    FreeAdam {
        /// Weight of the average in the point at which the gradient is taken.
        beta1: f64,
        /// Decay of the mean of the squared gradient.
        beta2: f64,
    },
    /// Schedule-free sign descent (signum): each parameter moves by the learning rate, against the sign of its
    /// gradient.
    FreeSign {
        /// Weight of the average in the point at which the gradient is taken.
        beta1: f64,
    },
}

impl Rule {
    /// Adam with the decays of the paper, 0.9 and 0.999.
    pub const ADAM: Self = Self::Adam {
        beta1: 0.9,
        beta2: 0.999,
    };
}

/// First-order optimiser: update rule, step count and moment vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    /// Update rule.
    pub rule: Rule,
    /// Number of steps done.
    pub steps: usize,
    /// State vectors, each as long as the parameters. Adam: mean and mean square of the gradient. Momentum: the
    /// velocity. Schedule-free rules: the iterate z and the mean square of the gradient (unused by signum).
    pub moments: Vec<Vec<f32>>,
    /// Sum of the weights of all steps in the average, and the largest learning rate so far. Both are 0 for rules
    /// without an average.
    pub averaged: [f64; 2],
}

/// Update of one step, which can be applied to any part of the parameters.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    /// Update by [`Rule::Adam`].
    Adam(vector::Adam),
    /// Update by [`Rule::FreeAdam`].
    FreeAdam(vector::ScheduleFree),
    /// Update by [`Rule::FreeSign`].
    FreeSign(vector::ScheduleFree),
}

impl Move {
    /// The update with `rate` times the learning rate.
    #[must_use]
    pub fn times(self, rate: f64) -> Self {
        let scaled = |lr: f32| (f64::from(lr) * rate) as f32;
        match self {
            Self::Adam(step) => Self::Adam(vector::Adam {
                lr: scaled(step.lr),
                ..step
            }),
            Self::FreeAdam(step) => Self::FreeAdam(vector::ScheduleFree {
                lr: scaled(step.lr),
                ..step
            }),
            Self::FreeSign(step) => Self::FreeSign(vector::ScheduleFree {
                lr: scaled(step.lr),
                ..step
            }),
        }
    }

    /// Updates parameters by their gradient. `first` and `second` are the same part of [`Descent::moments`].
    ///
    /// # Shapes
    /// All four slices have the same length.
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
    /// Optimiser before its first step, for these initial parameters.
    pub fn new(rule: Rule, params: &[f32]) -> Self {
        let zeros = || vec![0.0; params.len()];
        Self {
            rule,
            steps: 0,
            moments: match rule {
                Rule::Adam { .. } => vec![zeros(), zeros()],
                Rule::Momentum(_) => vec![zeros()],
                // Signum does not use the second vector; it exists so that all updates have the same arguments.
                Rule::FreeAdam { .. } | Rule::FreeSign { .. } => vec![params.to_vec(), zeros()],
            },
            averaged: [0.0; 2],
        }
    }

    /// Performs one step and returns the norm of the gradient before clipping.
    ///
    /// If the norm exceeds `clip`, the gradient is scaled to that norm first.
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

    /// Starts a step on a gradient of norm `norm`: returns the update to apply and both moment vectors.
    ///
    /// # Panics
    /// If the rule is [`Rule::Momentum`], which has one moment vector only.
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
            Rule::Momentum(_) => panic!("momentum has one moment vector, expected a rule with two"),
        };
        let [first, second] = self.moments.as_mut_slice() else {
            panic!("expected two moment vectors")
        };
        (step, [first, second])
    }

    /// Schedule-free update of one step. The weight of a step in the average is the square of the largest learning
    /// rate so far, so that steps of a warm-up count little.
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

    /// Average of the iterates for a schedule-free rule, `(y - (1 - beta1) z) / beta1`; `None` for other rules.
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

/// Factor that scales a gradient of norm `norm` down to `clip`; 1 if the gradient is not longer.
fn clipping(norm: f64, clip: Option<f64>) -> f32 {
    let longer = clip.filter(|most| norm > *most);
    longer.map_or(1.0, |most| most / norm) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_matches_f64_recursion_of_the_paper() {
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
    fn clipped_gradient_keeps_its_direction() {
        let mut x = [0.0f32, 0.0];
        let mut descent = Descent::new(Rule::Momentum(0.0), &x);
        let norm = descent.step(&mut x, &[3.0, 4.0], 1.0, Some(1.0));
        assert_eq!(norm, 5.0);
        assert!((x[0] + 0.6).abs() < 1e-6 && (x[1] + 0.8).abs() < 1e-6);
    }
}
