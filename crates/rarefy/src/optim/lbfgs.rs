//! Limited-memory BFGS: the two-loop recursion with a strong Wolfe line search.
//!
//! Vectors are `f32`, because each is as long as the parameters; inner products are `f64`.
//!
//! Source: Nocedal and Wright, *Numerical Optimization*, 2nd edition, algorithms 7.4, 7.5 and 3.5.

use std::collections::VecDeque;

use rarefy_kernels::vector::{add_scaled, dot};

use super::function::Function;
use super::wolfe::{self, Trial};
use crate::Result;

/// L-BFGS optimiser. Its state is complete: an optimiser resumed from the pairs takes bit-equal steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Lbfgs {
    /// Maximum number of pairs.
    memory: usize,
    /// Curvature pairs of the last iterations, oldest first.
    pairs: VecDeque<CurvaturePair>,
}

/// Curvature pair of one iteration: the step and the change of the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvaturePair {
    /// Step `x_{k+1} - x_k`.
    pub s: Vec<f32>,
    /// Change of the gradient `g_{k+1} - g_k`.
    pub y: Vec<f32>,
}

/// Outcome of one L-BFGS iteration.
#[derive(Debug, Clone, PartialEq)]
pub enum LbfgsStep {
    /// The point moved to a lower value.
    Moved {
        /// Number of evaluations of the function.
        evaluations: usize,
        /// Message for the user, if the memory was restarted.
        message: Option<String>,
    },
    /// No step along the steepest descent lowers the value: the minimum within the precision of `f32`.
    Stuck {
        /// Number of evaluations of the function.
        evaluations: usize,
    },
}

impl Lbfgs {
    /// Optimiser that remembers `memory` curvature pairs.
    pub fn new(memory: usize) -> Self {
        Self {
            memory: memory.max(1),
            pairs: VecDeque::new(),
        }
    }

    /// Optimiser that continues with the curvature pairs of another, oldest first.
    pub fn resume(memory: usize, pairs: Vec<CurvaturePair>) -> Self {
        Self {
            memory: memory.max(1),
            pairs: pairs.into(),
        }
    }

    /// Remembered curvature pairs, oldest first.
    pub fn pairs(&self) -> impl Iterator<Item = &CurvaturePair> {
        self.pairs.iter()
    }

    /// Performs one iteration from the point `x`, given the value and gradient there. All three are updated to
    /// the new point.
    ///
    /// # Shapes
    /// `x`, `gradient`: one entry per parameter.
    /// # Errors
    /// Errors of `function`.
    ///
    /// # Example
    /// ```
    /// use rarefy::optim::{Lbfgs, LbfgsStep};
    /// // f(x) = (x - 3)^2 from 0: the first step has length 1, a Newton step finishes.
    /// let mut f = |x: &[f32], g: &mut [f32]| {
    ///     g[0] = 2.0 * (x[0] - 3.0);
    ///     Ok(f64::from((x[0] - 3.0).powi(2)))
    /// };
    /// let (mut x, mut g) = (vec![0.0], vec![-6.0]);
    /// let mut value = 9.0;
    /// let mut lbfgs = Lbfgs::new(5);
    /// for _ in 0..4 {
    ///     lbfgs.step(&mut x, &mut value, &mut g, &mut f)?;
    /// }
    /// assert!((x[0] - 3.0).abs() < 1e-6);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn step(
        &mut self,
        x: &mut [f32],
        value: &mut f64,
        gradient: &mut [f32],
        function: &mut Function,
    ) -> Result<LbfgsStep> {
        let mut evaluations = 0;
        let mut message = None;
        loop {
            let direction = self.direction(gradient);
            let slope = dot(&direction, gradient);
            if slope < 0.0 {
                let first = self.first_length(gradient);
                let found = wolfe::search(x, *value, slope, &direction, first, function)?;
                evaluations += found.evaluations;
                if let Some(trial) = found.accepted {
                    self.remember(x, gradient, &trial);
                    x.copy_from_slice(&trial.x);
                    gradient.copy_from_slice(&trial.gradient);
                    *value = trial.value;
                    return Ok(LbfgsStep::Moved {
                        evaluations,
                        message,
                    });
                }
            }
            if self.pairs.is_empty() {
                return Ok(LbfgsStep::Stuck { evaluations });
            }
            // The remembered curvature no longer fits, or rounding spoiled it: restart without pairs.
            self.pairs.clear();
            message = Some(
                "line search found no lower value along the quasi-Newton direction; L-BFGS memory restarted"
                    .into(),
            );
        }
    }

    /// Search direction `-H g` by the two-loop recursion.
    fn direction(&self, gradient: &[f32]) -> Vec<f32> {
        let mut q = gradient.to_vec();
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for CurvaturePair { s, y } in self.pairs.iter().rev() {
            let alpha = dot(s, &q) / dot(y, s);
            add_scaled(&mut q, -alpha as f32, y);
            alphas.push(alpha);
        }
        if let Some(CurvaturePair { s, y }) = self.pairs.back() {
            let scale = (dot(y, s) / dot(y, y)) as f32;
            q.iter_mut().for_each(|q| *q *= scale);
        }
        for (CurvaturePair { s, y }, alpha) in self.pairs.iter().zip(alphas.into_iter().rev()) {
            let beta = dot(y, &q) / dot(y, s);
            add_scaled(&mut q, (alpha - beta) as f32, s);
        }
        q.iter_mut().for_each(|q| *q = -*q);
        q
    }

    /// First step length to try: 1 for a quasi-Newton direction; without curvature, a step of norm at most 1.
    fn first_length(&self, gradient: &[f32]) -> f64 {
        if self.pairs.is_empty() {
            1.0f64.min(1.0 / dot(gradient, gradient).sqrt())
        } else {
            1.0
        }
    }

    /// Stores the curvature pair of an accepted step, unless its curvature is not positive.
    fn remember(&mut self, x: &[f32], gradient: &[f32], trial: &Trial) {
        let difference =
            |new: &[f32], old: &[f32]| new.iter().zip(old).map(|(n, o)| n - o).collect();
        let pair = CurvaturePair {
            s: difference(&trial.x, x),
            y: difference(&trial.gradient, gradient),
        };
        // The strong Wolfe conditions give positive curvature in exact arithmetic, but not with rounding.
        if dot(&pair.s, &pair.y) > f64::EPSILON * dot(&pair.y, &pair.y) {
            if self.pairs.len() == self.memory {
                self.pairs.pop_front();
            }
            self.pairs.push_back(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "objectives may fail")]
    fn rosenbrock(x: &[f32], g: &mut [f32]) -> Result<f64> {
        let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let mut value = 0.0;
        let mut gradient = vec![0.0; x.len()];
        for i in 0..x.len() - 1 {
            let (a, b) = (1.0 - wide[i], wide[i + 1] - wide[i] * wide[i]);
            value += a * a + 100.0 * b * b;
            gradient[i] += -2.0 * a - 400.0 * b * wide[i];
            gradient[i + 1] += 200.0 * b;
        }
        g.iter_mut().zip(gradient).for_each(|(g, v)| *g = v as f32);
        Ok(value)
    }

    #[test]
    fn lbfgs_minimises_rosenbrock_in_ten_dimensions() {
        let mut x: Vec<f32> = (0..10)
            .map(|i| if i % 2 == 0 { -1.2 } else { 1.0 })
            .collect();
        let mut g = vec![0.0; 10];
        let mut value = rosenbrock(&x, &mut g).unwrap();
        let mut lbfgs = Lbfgs::new(10);
        let mut steps = 0;
        while value > 1e-8 && steps < 200 {
            lbfgs
                .step(&mut x, &mut value, &mut g, &mut rosenbrock)
                .unwrap();
            steps += 1;
        }
        assert!(value <= 1e-8, "value {value} after {steps} steps at {x:?}");
    }

    #[test]
    fn no_step_raises_the_value() {
        let mut x = vec![-1.2f32, 1.0, 0.3];
        let mut g = vec![0.0; 3];
        let mut value = rosenbrock(&x, &mut g).unwrap();
        let mut lbfgs = Lbfgs::new(3);
        for _ in 0..30 {
            let before = value;
            if let LbfgsStep::Stuck { .. } = lbfgs
                .step(&mut x, &mut value, &mut g, &mut rosenbrock)
                .unwrap()
            {
                break;
            }
            assert!(value <= before);
        }
    }

    #[test]
    fn step_from_a_minimum_is_stuck() {
        let mut square = |x: &[f32], g: &mut [f32]| {
            g[0] = 2.0 * x[0];
            Ok(f64::from(x[0] * x[0]))
        };
        let (mut x, mut g, mut value) = (vec![0.0f32], vec![0.0f32], 0.0);
        assert!(matches!(
            Lbfgs::new(3)
                .step(&mut x, &mut value, &mut g, &mut square)
                .unwrap(),
            LbfgsStep::Stuck { .. }
        ));
    }
}
