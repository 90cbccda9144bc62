//! Adam and SGD with momentum: one pass over the parameters a step.

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
    /// Adam's mean and square, or the momentum's velocity.
    pub moments: Vec<Vec<f32>>,
}

impl Descent {
    /// A fresh state for `parameters` values.
    pub fn new(rule: Rule, parameters: usize) -> Self {
        let vectors = match rule {
            Rule::Adam { .. } => 2,
            Rule::Momentum(_) => 1,
        };
        Self {
            rule,
            steps: 0,
            moments: vec![vec![0.0; parameters]; vectors],
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
    /// let mut adam = Descent::new(Rule::ADAM, 1);
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
        match self.rule {
            Rule::Adam { .. } => {
                let (step, [mean, square]) = self.next_adam(lr, norm, clip);
                vector::adam(&step, params, gradient, mean, square);
            }
            Rule::Momentum(mu) => {
                self.steps += 1;
                let (lr, mu, scale) = (lr as f32, mu as f32, clipping(norm, clip));
                vector::momentum(lr, mu, scale, params, gradient, &mut self.moments[0]);
            }
        }
        norm
    }

    /// Counts a step of Adam on a gradient of this norm: the numbers for its kernel, and the mean and
    /// the square that it is to change.
    ///
    /// # Panics
    /// If the rule is another.
    pub fn next_adam(
        &mut self,
        lr: f64,
        norm: f64,
        clip: Option<f64>,
    ) -> (vector::Adam, [&mut Vec<f32>; 2]) {
        let Rule::Adam { beta1, beta2 } = self.rule else {
            panic!("another rule than Adam")
        };
        self.steps += 1;
        let t = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let step = vector::Adam {
            lr: lr as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: 1e-8,
            correction1: (1.0 - f64::powi(beta1, t)) as f32,
            correction2: (1.0 - f64::powi(beta2, t)) as f32,
            scale: clipping(norm, clip),
        };
        let [mean, square] = self.moments.as_mut_slice() else {
            panic!("Adam has two vectors of moments")
        };
        (step, [mean, square])
    }
}

/// What a gradient is multiplied by.
fn clipping(norm: f64, clip: Option<f64>) -> f32 {
    let longer = clip.filter(|most| norm > *most);
    longer.map_or(1.0, |most| most / norm) as f32
}

/// Factor of the learning rate at `step` (counted from 0) of `steps`: a linear rise over `warmup`
/// steps, 1, and a linear fall over the last `decay` steps that would reach 0 after the end.
///
/// # Example
/// ```
/// use rarefy::optim::schedule;
/// let factors: Vec<f64> = (0..6).map(|step| schedule(step, 6, 2, 2)).collect();
/// assert_eq!(factors, [0.5, 1.0, 1.0, 1.0, 1.0, 0.5]);
/// ```
pub fn schedule(step: usize, steps: usize, warmup: usize, decay: usize) -> f64 {
    let rise = if warmup == 0 {
        1.0
    } else {
        (step + 1) as f64 / warmup as f64
    };
    let fall = if decay == 0 {
        1.0
    } else {
        steps.saturating_sub(step) as f64 / decay as f64
    };
    rise.min(fall).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_follows_the_papers_recursion() {
        let gradients = [[0.5, -2.0], [0.1, -1.0], [-0.7, 0.0]];
        let mut x = [1.0f32, -1.0];
        let mut adam = Descent::new(Rule::ADAM, 2);
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
        let norm = Descent::new(Rule::Momentum(0.0), 2).step(&mut x, &[3.0, 4.0], 1.0, Some(1.0));
        assert_eq!(norm, 5.0);
        assert!((x[0] + 0.6).abs() < 1e-6 && (x[1] + 0.8).abs() < 1e-6);
    }
}
