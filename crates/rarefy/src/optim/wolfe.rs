//! Strong Wolfe line search: bracket, then zoom with cubic interpolation.

use rarefy_kernels::vector::dot;

use super::function::Function;
use crate::Result;

/// Constant of the sufficient decrease condition `phi(a) <= phi(0) + C1 a phi'(0)`.
const C1: f64 = 1e-4;
/// Constant of the curvature condition `|phi'(a)| <= C2 |phi'(0)|`.
const C2: f64 = 0.9;
/// Maximum number of evaluations; then the best point so far is accepted.
const MOST_EVALUATIONS: usize = 20;
/// Relative difference below which two values count as equal: activations are `f32`, sums `f64`.
const NOISE: f64 = 1e-9;

/// Point on the search line with its value, gradient and slope.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) x: Vec<f32>,
    pub(super) value: f64,
    pub(super) gradient: Vec<f32>,
    length: f64,
    slope: f64,
}

/// Result of a line search.
pub(super) struct Found {
    pub(super) accepted: Option<Trial>,
    pub(super) evaluations: usize,
}

/// Searches the points `x + a direction`, a > 0, for one that satisfies both Wolfe conditions.
///
/// After [`MOST_EVALUATIONS`] evaluations the lowest point with sufficient decrease is accepted; `None` if there
/// is no such point.
pub(super) fn search(
    x: &[f32],
    value: f64,
    slope: f64,
    direction: &[f32],
    first: f64,
    function: &mut Function,
) -> Result<Found> {
    let mut line = Line {
        x,
        value,
        slope,
        direction,
        function,
        evaluations: 0,
        best: None,
    };
    let accepted = line.bracket(first)?;
    let evaluations = line.evaluations;
    Ok(Found {
        accepted: accepted.or(line.best),
        evaluations,
    })
}

/// Search line from `x` along `direction`, with the function to minimise and the best point so far.
struct Line<'a, 'f> {
    x: &'a [f32],
    value: f64,
    slope: f64,
    direction: &'a [f32],
    function: &'a mut Function<'f>,
    evaluations: usize,
    best: Option<Trial>,
}

/// Step length, value and slope at one end of a bracket.
#[derive(Clone, Copy)]
struct End {
    length: f64,
    value: f64,
    slope: f64,
}

impl Line<'_, '_> {
    /// Evaluates the function at step length `length`.
    fn at(&mut self, length: f64) -> Result<Trial> {
        let x: Vec<f32> = self
            .x
            .iter()
            .zip(self.direction)
            .map(|(x, d)| (length as f32).mul_add(*d, *x))
            .collect();
        let mut gradient = vec![0.0; x.len()];
        let value = (self.function)(&x, &mut gradient)?;
        self.evaluations += 1;
        let slope = dot(&gradient, self.direction);
        let trial = Trial {
            x,
            value,
            gradient,
            length,
            slope,
        };
        let lower = self
            .best
            .as_ref()
            .is_none_or(|best| trial.value < best.value);
        if lower && trial.value < self.value && self.decreases(&trial) {
            self.best = Some(trial.clone());
        }
        Ok(trial)
    }

    /// True if the point satisfies the sufficient decrease condition, within [`NOISE`].
    fn decreases(&self, trial: &Trial) -> bool {
        trial.value <= self.value + C1 * trial.length * self.slope + NOISE * self.value.abs()
    }

    /// True if the point satisfies the curvature condition.
    fn flat_enough(&self, trial: &Trial) -> bool {
        trial.slope.abs() <= C2 * self.slope.abs()
    }

    /// Extends the step length until a bracket contains a minimum, then zooms into the bracket.
    fn bracket(&mut self, first: f64) -> Result<Option<Trial>> {
        let mut low = End {
            length: 0.0,
            value: self.value,
            slope: self.slope,
        };
        let mut length = first;
        while self.evaluations < MOST_EVALUATIONS {
            let trial = self.at(length)?;
            let here = End {
                length,
                value: trial.value,
                slope: trial.slope,
            };
            if !trial.value.is_finite() || !trial.slope.is_finite() {
                // The function overflowed: reduce the step length and ignore these values.
                length = low.length + (length - low.length) / 10.0;
                continue;
            }
            if !self.decreases(&trial) || (low.length > 0.0 && trial.value >= low.value) {
                return self.zoom(low, here);
            }
            if self.flat_enough(&trial) {
                return Ok(Some(trial));
            }
            if trial.slope >= 0.0 {
                return self.zoom(here, low);
            }
            // The slope is still steep: extrapolate to between 2 and 10 times the length.
            let guess = cubic_minimum(low, here).unwrap_or(2.0 * length);
            length = guess.clamp(2.0 * length, 10.0 * length);
            low = here;
        }
        Ok(None)
    }

    /// Shrinks a bracket. `low` has the lowest value with sufficient decrease, and the minimum lies between `low`
    /// and `high`.
    fn zoom(&mut self, mut low: End, mut high: End) -> Result<Option<Trial>> {
        while self.evaluations < MOST_EVALUATIONS {
            let (left, right) = (low.length.min(high.length), low.length.max(high.length));
            let margin = 0.1 * (right - left);
            let middle = 0.5 * (left + right);
            let length = cubic_minimum(low, high)
                .unwrap_or(middle)
                .clamp(left + margin, right - margin);
            if right - left <= f64::from(f32::EPSILON) * right {
                return Ok(None);
            }
            let trial = self.at(length)?;
            let here = End {
                length,
                value: trial.value,
                slope: trial.slope,
            };
            if !self.decreases(&trial) || trial.value >= low.value {
                high = here;
            } else {
                if self.flat_enough(&trial) {
                    return Ok(Some(trial));
                }
                if trial.slope * (high.length - low.length) >= 0.0 {
                    high = low;
                }
                low = here;
            }
        }
        Ok(None)
    }
}

/// Minimum of the cubic through value and slope at two points (Nocedal and Wright, equation 3.59).
fn cubic_minimum(a: End, b: End) -> Option<f64> {
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.length - b.length);
    let square = d1 * d1 - a.slope * b.slope;
    let d2 = (b.length - a.length).signum() * square.max(0.0).sqrt();
    let minimum =
        b.length - (b.length - a.length) * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    (square >= 0.0 && minimum.is_finite()).then_some(minimum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubic_minimum_is_exact_for_a_cubic() {
        // f(t) = t^3 - 3 t has its minimum at 1; value and slope at 0 and 2.
        let end = |t: f64| End {
            length: t,
            value: t.powi(3) - 3.0 * t,
            slope: 3.0 * t * t - 3.0,
        };
        assert!((cubic_minimum(end(0.0), end(2.0)).unwrap() - 1.0).abs() < 1e-12);
        assert!((cubic_minimum(end(2.0), end(0.0)).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn accepted_point_satisfies_both_wolfe_conditions() {
        // A unit step is far too long for the largest stiffness and far too short for the smallest.
        for stiffness in [1e-4, 1.0, 1e4] {
            let mut f = |x: &[f32], g: &mut [f32]| {
                let x = f64::from(x[0]);
                g[0] = (stiffness * x + 0.4 * x.powi(3)) as f32;
                Ok(0.5 * stiffness * x * x + 0.1 * x.powi(4))
            };
            let mut g = [0.0];
            let start = [2.0f32];
            let value = f(&start, &mut g).unwrap();
            let direction = [-g[0]];
            let slope = -f64::from(g[0]).powi(2);
            let trial = search(&start, value, slope, &direction, 1.0, &mut f)
                .unwrap()
                .accepted
                .unwrap();
            assert!(
                trial.value <= value + C1 * trial.length * slope
                    && trial.slope.abs() <= C2 * slope.abs()
            );
        }
    }

    #[test]
    fn search_recovers_from_overflow() {
        let mut f = |x: &[f32], g: &mut [f32]| {
            let x = f64::from(x[0]);
            g[0] = if x > 3.0 {
                f32::NAN
            } else {
                (2.0 * (x - 1.0)) as f32
            };
            Ok(if x > 3.0 {
                f64::INFINITY
            } else {
                (x - 1.0).powi(2)
            })
        };
        let found = search(&[0.0], 1.0, -200.0, &[100.0], 1.0, &mut f).unwrap();
        assert!(found.accepted.unwrap().value < 1.0);
    }
}
