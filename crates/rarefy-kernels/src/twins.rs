//! Dense kernels on each path of this machine against plain f64 loops, at odd sizes.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::cpu::Path;
use crate::decoder::{Output, output_backward_on, output_forward_on};
use crate::encoder::{column_sums_on, sigmoid_backward_on, sigmoid_latents_on};
use crate::matmul::{Op, matmul, matmul_f64, plain_rows_on};
use crate::naive::sigmoid;
use crate::vector::{
    Adam, ScheduleFree, adam_on, add_on, add_scaled_on, all_finite_on, dot_on, free_adam_on,
    free_sign_on, momentum_on,
};

/// Sizes around multiples of the 16 lanes of a register, and small sizes with remainders only.
pub(crate) fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..=5, 14usize..=18, 30usize..=35, Just(64), Just(101)]
}

/// Random values in (-scale, scale) from a seed, so that a failing case names three numbers, not a matrix.
pub(crate) fn values(seed: u32, len: usize, scale: f32) -> Vec<f32> {
    let mut state = u64::from(seed) ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| scale * next()).collect()
}

/// True if `|got - want| <= relative |want| + absolute`.
pub(crate) fn close(got: f64, want: f64, relative: f64, absolute: f64) -> bool {
    (got - want).abs() <= relative * want.abs() + absolute
}

pub(crate) fn wide(v: f32) -> f64 {
    f64::from(v)
}

/// Configuration with equal test cases in each run.
pub(crate) fn repeatable() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(repeatable())]

    #[test]
    fn sigmoid_latents_and_sums_match_f64(n in size(), k in size(), seed: u32, scale in 0.1f32..80.0) {
        let (z, bias) = (values(seed, n * k, scale), values(seed ^ 1, k, 1.0));
        for &path in Path::available() {
            let (mut h, mut slopes) = (z.clone(), vec![0.0; n * k]);
            let (mut on, mut off) = (vec![0.5; k], vec![0.25; k]);
            sigmoid_latents_on(path, &mut h, &mut slopes, &bias, &mut on, &mut off);
            for l in 0..k {
                let (mut want_on, mut want_off) = (0.5, 0.25);
                for i in 0..n {
                    let z = wide(z[i * k + l] + bias[l]);
                    let (want, rest) = (sigmoid(z), sigmoid(-z));
                    prop_assert!(close(wide(h[i * k + l]), want, 5e-7, 0.0), "{path:?} h({z})");
                    prop_assert!(close(wide(slopes[i * k + l]), want * rest, 1e-6, 0.0), "{path:?} slope({z})");
                    want_on += want;
                    want_off += rest;
                }
                prop_assert!(close(on[l], want_on, 5e-7, 0.0) && close(off[l], want_off, 5e-7, 0.0), "{path:?}");
            }
        }
    }

    #[test]
    fn sigmoid_backward_adds_push_by_column(n in size(), k in size(), seed: u32) {
        let (d, slopes, push) = (values(seed, n * k, 2.0), values(seed ^ 1, n * k, 0.25), values(seed ^ 2, k, 3.0));
        for &path in Path::available() {
            let (mut got, mut sums, mut slope_sums) = (d.clone(), vec![1.0; k], vec![2.0; k]);
            sigmoid_backward_on(path, &mut got, &slopes, &push, &mut sums);
            column_sums_on(path, &slopes, &mut slope_sums);
            for l in 0..k {
                let (mut want_sum, mut want_slopes) = (1.0, 2.0);
                for at in (l..n * k).step_by(k) {
                    let want = (wide(d[at]) + wide(push[l])) * wide(slopes[at]);
                    prop_assert!(close(wide(got[at]), want, 2e-7, 1e-7), "{path:?}");
                    want_sum += want;
                    want_slopes += wide(slopes[at]);
                }
                prop_assert!(close(sums[l], want_sum, 1e-7, 1e-7 * n as f64), "{path:?}");
                prop_assert!(close(slope_sums[l], want_slopes, 1e-14, 1e-12), "{path:?}");
            }
        }
    }

    #[test]
    fn losses_and_derivatives_of_output_units_match_f64(n in size(), d_in in size(), seed: u32, scale in 0.1f32..60.0) {
        let r = values(seed, n * d_in, scale);
        let x: Vec<f32> = values(seed ^ 1, n * d_in, 1.0).iter().map(|v| v.abs()).collect();
        let bias = values(seed ^ 2, d_in, 1.0);
        for output in [Output::LinearSquared, Output::SigmoidSquared, Output::SigmoidCrossEntropy] {
            for &path in Path::available() {
                let (mut d, mut sums, mut x_hat) = (r.clone(), vec![0.0; d_in], r.clone());
                let loss = output_backward_on(path, output, &mut d, &x, &bias, &mut sums);
                output_forward_on(path, output != Output::LinearSquared, &mut x_hat, &bias);
                let mut want_loss = 0.0;
                let mut want_sums = vec![0.0; d_in];
                for at in 0..n * d_in {
                    let (logit, x) = (wide(r[at] + bias[at % d_in]), wide(x[at]));
                    let s = if output == Output::LinearSquared { logit } else { sigmoid(logit) };
                    let (value, want) = match output {
                        Output::LinearSquared => (0.5 * (s - x).powi(2), s - x),
                        Output::SigmoidSquared => (0.5 * (s - x).powi(2), (s - x) * s * sigmoid(-logit)),
                        Output::SigmoidCrossEntropy => (logit.max(0.0) + (-logit.abs()).exp().ln_1p() - x * logit, s - x),
                    };
                    prop_assert!(close(wide(x_hat[at]), s, 5e-7, 0.0), "{output:?} {path:?} x_hat({logit})");
                    prop_assert!(close(wide(d[at]), want, 1e-6, 2e-7), "{output:?} {path:?} d({logit}, {x})");
                    want_loss += value;
                    want_sums[at % d_in] += want;
                }
                prop_assert!(close(loss, want_loss, 1e-6, 1e-6 * n as f64), "{output:?} {path:?} {loss} {want_loss}");
                for (got, want) in sums.iter().zip(want_sums) {
                    prop_assert!(close(*got, want, 1e-6, 3e-7 * n as f64 * wide(scale.max(1.0))), "{output:?} {path:?}");
                }
            }
        }
    }

    #[test]
    fn matrix_products_in_each_orientation_match_f64(m in size(), n in size(), k in size(), seed: u32, add: bool) {
        let (a, b, c) = (values(seed, m * k, 1.0), values(seed ^ 1, k * n, 1.0), values(seed ^ 2, m * n, 1.0));
        for (op_a, op_b) in [(Op::N, Op::N), (Op::N, Op::T), (Op::T, Op::N), (Op::T, Op::T)] {
            let a_at = |i: usize, l: usize| if op_a == Op::N { i * k + l } else { l * m + i };
            let b_at = |l: usize, j: usize| if op_b == Op::N { l * n + j } else { j * k + l };
            let want = |i: usize, j: usize| {
                let start = if add { wide(c[i * n + j]) } else { 0.0 };
                start + (0..k).map(|l| wide(a[a_at(i, l)]) * wide(b[b_at(l, j)])).sum::<f64>()
            };
            let mut got = c.clone();
            matmul(&mut got, add, (&a, op_a), (&b, op_b), [m, n, k]);
            let mut got_f64: Vec<f64> = c.iter().copied().map(wide).collect();
            let (a_f64, b_f64): (Vec<f64>, Vec<f64>) =
                (a.iter().copied().map(wide).collect(), b.iter().copied().map(wide).collect());
            matmul_f64(&mut got_f64, add, (&a_f64, op_a), (&b_f64, op_b), [m, n, k]);
            for at in 0..m * n {
                let want = want(at / n, at % n);
                prop_assert!(close(wide(got[at]), want, 1e-6, 1e-6 * (k as f64).sqrt()), "{op_a:?} {op_b:?}");
                prop_assert!(close(got_f64[at], want, 1e-13, 1e-13), "f64 {op_a:?} {op_b:?}");
            }
            if op_b == Op::N {
                let (a_row, a_col) = if op_a == Op::N { (k, 1) } else { (1, m) };
                for &path in Path::available() {
                    let mut got = if add { c.clone() } else { vec![0.0; m * n] };
                    plain_rows_on(path, &mut got, &a, a_row, a_col, &b, k, n);
                    for (at, got) in got.into_iter().enumerate() {
                        let want = want(at / n, at % n);
                        prop_assert!(close(wide(got), want, 1e-6, 1e-6 * (k as f64).sqrt()), "{path:?} {op_a:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn vector_operations_match_f64(n in size(), seed: u32) {
        let (a, b) = (values(seed, n, 2.0), values(seed ^ 1, n, 2.0));
        for &path in Path::available() {
            let want: f64 = a.iter().zip(&b).map(|(a, b)| wide(*a) * wide(*b)).sum();
            prop_assert!(close(dot_on(path, &a, &b), want, 1e-14, 1e-12), "{path:?}");

            let (mut sum, mut scaled) = (a.clone(), a.clone());
            add_on(path, &mut sum, &b);
            add_scaled_on(path, &mut scaled, -0.3, &b);
            for i in 0..n {
                prop_assert_eq!(sum[i], a[i] + b[i]);
                prop_assert!(close(wide(scaled[i]), wide(a[i]) - wide(0.3f32) * wide(b[i]), 2e-7, 1e-7), "{path:?}");
            }

            prop_assert!(all_finite_on(path, &a));
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut poisoned = a.clone();
                poisoned[seed as usize % n] = bad;
                prop_assert!(!all_finite_on(path, &poisoned), "{path:?} {bad}");
            }
        }
    }

    #[test]
    fn schedule_free_steps_match_the_paper(n in size(), seed: u32, t in 1i32..50) {
        let (y, g) = (values(seed, n, 1.0), values(seed ^ 1, n, 3.0));
        let (z, v) = (values(seed ^ 2, n, 1.0), values(seed ^ 3, n, 1.0).iter().map(|v| v.abs()).collect::<Vec<_>>());
        let step = ScheduleFree {
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            correction2: 1.0 - 0.999f32.powi(t),
            share: 1.0 / t as f32,
            scale: 0.5,
        };
        let (beta, share, lr) = (wide(step.beta1), wide(step.share), wide(step.lr));
        // The paper's formulation: z moves, x is the average, y lies between z and x.
        let after = |y: f64, z: f64, u: f64| {
            let x = (y - (1.0 - beta) * z) / beta;
            let z = z - lr * u;
            let x = (1.0 - share) * x + share * z;
            ((1.0 - beta) * z + beta * x, z)
        };
        for &path in Path::available() {
            let (mut by_adam, mut z_adam, mut square) = (y.clone(), z.clone(), v.clone());
            free_adam_on(path, &step, &mut by_adam, &g, &mut z_adam, &mut square);
            let (mut by_sign, mut z_sign) = (y.clone(), z.clone());
            free_sign_on(path, &step, &mut by_sign, &g, &mut z_sign);
            for i in 0..n {
                let grad = 0.5 * wide(g[i]);
                let want_v = wide(step.beta2) * wide(v[i]) + (1.0 - wide(step.beta2)) * grad * grad;
                let u = grad / ((want_v / wide(step.correction2)).sqrt() + 1e-8);
                let (want_y, want_z) = after(wide(y[i]), wide(z[i]), u);
                prop_assert!(close(wide(square[i]), want_v, 1e-6, 1e-7), "{path:?} square");
                prop_assert!(close(wide(z_adam[i]), want_z, 1e-5, 1e-6), "{path:?} z");
                prop_assert!(close(wide(by_adam[i]), want_y, 1e-5, 1e-6), "{path:?} y");
                let sign = if g[i] == 0.0 { 0.0 } else { wide(g[i]).signum() };
                let (want_y, want_z) = after(wide(y[i]), wide(z[i]), sign);
                prop_assert!(close(wide(z_sign[i]), want_z, 1e-5, 1e-6), "{path:?} z by signs");
                prop_assert!(close(wide(by_sign[i]), want_y, 1e-5, 1e-6), "{path:?} y by signs");
            }
        }
    }

    #[test]
    fn adam_and_momentum_steps_match_f64(n in size(), seed: u32, t in 1i32..50) {
        let (p, g) = (values(seed, n, 1.0), values(seed ^ 1, n, 3.0));
        let (m, v) = (values(seed ^ 2, n, 1.0), values(seed ^ 3, n, 1.0).iter().map(|v| v.abs()).collect::<Vec<_>>());
        let step = Adam {
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            correction1: 1.0 - 0.9f32.powi(t),
            correction2: 1.0 - 0.999f32.powi(t),
            scale: 0.5,
        };
        for &path in Path::available() {
            let (mut got, mut mean, mut square) = (p.clone(), m.clone(), v.clone());
            adam_on(path, &step, &mut got, &g, &mut mean, &mut square);
            let (mut moved, mut velocity) = (p.clone(), m.clone());
            momentum_on(path, 0.01, 0.9, 0.5, &mut moved, &g, &mut velocity);
            for i in 0..n {
                let grad = 0.5 * wide(g[i]);
                let want_m = wide(step.beta1) * wide(m[i]) + (1.0 - wide(step.beta1)) * grad;
                let want_v = wide(step.beta2) * wide(v[i]) + (1.0 - wide(step.beta2)) * grad * grad;
                let root = (want_v / wide(step.correction2)).sqrt() + 1e-8;
                let want = wide(p[i]) - 0.01 * (want_m / wide(step.correction1)) / root;
                prop_assert!(close(wide(mean[i]), want_m, 1e-6, 1e-7), "{path:?} mean");
                prop_assert!(close(wide(square[i]), want_v, 1e-6, 1e-7), "{path:?} square");
                prop_assert!(close(wide(got[i]), want, 1e-5, 1e-6), "{path:?} {} {want}", got[i]);

                let want_velocity = 0.9 * wide(m[i]) + grad;
                prop_assert!(close(wide(velocity[i]), want_velocity, 1e-6, 1e-6), "{path:?} velocity");
                prop_assert!(close(wide(moved[i]), wide(p[i]) - 0.01 * want_velocity, 1e-6, 1e-6), "{path:?}");
            }
        }
    }
}
