//! Naive objective against the golden case, against central differences, and between its three forms.

#![allow(
    clippy::unreadable_literal,
    reason = "golden values stand as their sources print them"
)]

use super::*;

const OUTPUTS: [Output; 3] = [
    Output::SigmoidSquared,
    Output::SigmoidCrossEntropy,
    Output::LinearSquared,
];

/// Golden case with m = 50, n = 8, k = 5, made from sines and cosines.
fn golden_case(tied: bool) -> (Vec<f64>, Weights) {
    let (m, n, k) = (50, 8, 5);
    let f = |i: usize| i as f64;
    let x = (0..m * n)
        .map(|t| 0.5 + 0.4 * (0.7 * f(t / n + 1) * f(t % n + 1)).sin())
        .collect();
    let w_enc = (0..k * n)
        .map(|t| 0.5 * (1.0 + 1.3 * f(t % n) + 0.7 * f(t / n)).cos())
        .collect();
    let w_dec = (0..k * n)
        .map(|t| 0.5 * (0.5 + 0.9 * f(t / n) + 1.1 * f(t % n)).sin())
        .collect();
    let weights = Weights {
        w_enc,
        b_enc: (0..k).map(|l| -1.0 - 0.1 * f(l)).collect(),
        w_dec: if tied { Vec::new() } else { w_dec },
        b_dec: (0..n).map(|j| 0.05 * f(j) - 0.1).collect(),
    };
    (x, weights)
}

fn problem(x: &[f64], output: Output) -> Problem<'_> {
    Problem {
        x,
        d_in: 8,
        d_sae: 5,
        output,
        penalty: Penalty::Kl { rho: 0.05 },
        beta: 3.0,
        weight_decay: 1e-4,
    }
}

fn relative_error(got: f64, want: f64) -> f64 {
    (got - want).abs() / want.abs()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

fn distance(a: &Weights, b: &Weights) -> f64 {
    norm(a.values().zip(b.values()).map(|(a, b)| a - b)) / norm(a.values())
}

#[test]
fn objective_matches_the_golden_table() {
    let (x, weights) = golden_case(false);
    // Columns: J, reconstruction, norm of the gradient, dJ/dW_00, dJ/db_0.
    let table = [
        [
            1.858951759160119,
            0.342910177458176,
            1.814649043859574,
            0.2828562863695,
            0.5170353495197,
        ],
        [
            7.138793770355736,
            5.622752188653793,
            1.845390622605933,
            0.2880565718400,
            0.5201860579636,
        ],
        [
            2.718189169802996,
            1.202147588101053,
            2.375184117219733,
            0.2526884589097,
            0.4472775187827,
        ],
    ];
    let rho_hat = [
        0.22473099543602,
        0.188095169718102,
        0.185750289916682,
        0.206340548683746,
        0.230178648646202,
    ];
    for (output, row) in OUTPUTS.into_iter().zip(table) {
        let e = objective(&problem(&x, output), &weights, GradientForm::InMemory);
        let got = [
            e.total,
            e.reconstruction,
            norm(e.gradient.values()),
            e.gradient.w_enc[0],
            e.gradient.b_enc[0],
        ];
        for (got, want) in got.into_iter().zip(row) {
            let error = relative_error(got, want);
            assert!(error < 1e-12, "{output:?}: {got} against {want}: {error:e}");
        }
        assert!(relative_error(e.omega, 0.505178652105574) < 1e-12);
        assert!(relative_error(e.weight_decay, 5.056253852194572e-4) < 1e-12);
        for (got, want) in e.rho_hat.iter().zip(rho_hat) {
            let error = relative_error(*got, want);
            assert!(error < 1e-12, "rho_hat {got} against {want}: {error:e}");
        }
    }
}

#[test]
fn gradient_of_the_lectures_literal_last_line_differs() {
    // E23: with a single x_i and no mean the norm is .531376; the derivation gives .491775.
    let (x, weights) = golden_case(false);
    let only_penalty = |beta| {
        let p = Problem {
            beta,
            weight_decay: 0.0,
            ..problem(&x, Output::LinearSquared)
        };
        objective(&p, &weights, GradientForm::TwoPass)
            .gradient
            .w_enc
    };
    let (with, without) = (only_penalty(1.0), only_penalty(0.0));
    let right = norm(with.iter().zip(&without).map(|(a, b)| a - b));
    assert!((right - 0.491775473931972).abs() < 1e-12, "{right}");

    let p = problem(&x, Output::LinearSquared);
    let z = pre_activations(&p, &weights);
    let (_, rho_hat) = penalty_value(&p, &z);
    let s = penalty_slopes(&p, &rho_hat, &z);
    let last = 49;
    let literal = norm((0..5).flat_map(|l| {
        let slope = sigmoid(z[last * 5 + l]) * sigmoid(-z[last * 5 + l]);
        let (x, s) = (&x, &s);
        (0..8)
            .map(move |j| s[l] * slope * x[last * 8 + j])
            .collect::<Vec<_>>()
    }));
    assert!((literal - 0.531376).abs() < 1e-6, "{literal}");
}

#[test]
fn kl_matches_the_table() {
    let kl = |rho: f64, q: f64| kl_from_logs(rho, q.ln(), (1.0 - q).ln());
    for (rho, q, want) in [
        (0.2, 0.5, 0.192745),
        (0.2, 0.1, 0.044403),
        (0.2, 0.4, 0.091516),
        (0.05, 0.5, 0.494632),
        (0.01, 0.5, 0.637146),
        (0.005, 0.5, 0.661668),
        (0.005, 0.01, 0.001547),
        (0.005, 1e-6, 0.037599),
        (0.05, 0.05, 0.0),
    ] {
        assert!(
            (kl(rho, q) - want).abs() < 6e-7,
            "KL({rho}||{q}) = {}",
            kl(rho, q)
        );
    }
}

#[test]
fn three_gradient_forms_agree_to_1e_12() {
    for tied in [false, true] {
        let (x, weights) = golden_case(tied);
        for output in OUTPUTS {
            let p = problem(&x, output);
            let reference = objective(&p, &weights, GradientForm::InMemory).gradient;
            for form in [GradientForm::TwoPass, GradientForm::OnePass] {
                let d = distance(&reference, &objective(&p, &weights, form).gradient);
                assert!(d < 1e-12, "{output:?} {form:?} tied {tied}: {d:e}");
            }
        }
    }
}

/// Relative difference `norm(numerical - exact) / norm(numerical + exact)`, as in the courseware.
fn check(p: &Problem, weights: &Weights, form: GradientForm) -> f64 {
    let eps = 1e-4;
    let exact: Vec<f64> = objective(p, weights, form).gradient.values().collect();
    let value = |at: usize, by: f64| {
        let mut moved = weights.clone();
        *moved.values_mut().nth(at).unwrap() += by;
        objective(p, &moved, form).total
    };
    let numerical: Vec<f64> = (0..exact.len())
        .map(|i| (value(i, eps) - value(i, -eps)) / (2.0 * eps))
        .collect();
    norm(numerical.iter().zip(&exact).map(|(a, b)| a - b))
        / norm(numerical.iter().zip(&exact).map(|(a, b)| a + b))
}

#[test]
fn gradients_match_central_differences() {
    let s = [0.3, -1.2, 0.7, 2.0, -0.1];
    for tied in [false, true] {
        let (x, weights) = golden_case(tied);
        for output in OUTPUTS {
            for penalty in [Penalty::Kl { rho: 0.05 }, Penalty::Linear(&s)] {
                for form in [
                    GradientForm::InMemory,
                    GradientForm::TwoPass,
                    GradientForm::OnePass,
                ] {
                    let error = check(
                        &Problem {
                            penalty,
                            ..problem(&x, output)
                        },
                        &weights,
                        form,
                    );
                    assert!(
                        error < 1e-9,
                        "{output:?} {penalty:?} {form:?} tied {tied}: {error:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn penalty_gradient_is_finite_and_bounded_for_each_z() {
    let (x, mut weights) = golden_case(false);
    for bias in [-1e4, -800.0, -40.0, 40.0, 800.0, 1e4] {
        weights.b_enc.fill(bias);
        let p = Problem {
            beta: 1.0,
            weight_decay: 0.0,
            ..problem(&x, Output::SigmoidSquared)
        };
        let e = objective(&p, &weights, GradientForm::InMemory);
        assert!(e.total.is_finite());
        // With all z = c the gradient is sigma(c) - rho; saturated, -rho or 1 - rho.
        let want = if bias < 0.0 { -0.05 } else { 0.95 };
        for db in &e.gradient.b_enc {
            assert!((db - want).abs() < 1e-6, "bias {bias}: {db}");
        }
    }
}
