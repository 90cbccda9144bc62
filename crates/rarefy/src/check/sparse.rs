//! The sparse architectures: few and many latents a row, with and without dead ones, decoder rows free
//! or kept at length 1.

use super::twin::{Problem, Weights, project};
use super::{Check, central_differences, norm, wide};
use crate::Result;
use crate::optim::Descent;
use crate::optim::descent::Rule;
use crate::params::Params;
use crate::train::sparse::step::{Settings, Step};
use crate::variants::{Architecture, Hyper, Info, Sparse};

const ROWS: usize = 40;
const D_IN: usize = 7;
const D_SAE: usize = 24;
/// No latent has fired for so long, so all that do not fire now are dead, or none is.
const SILENT: u64 = 1000;

/// Checks an architecture of the sparse engine.
pub(super) fn gradients(info: &Info) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for k in ["1", "3", "12"] {
        for (aux, aux_k, coefficient, dead_after) in [
            ("no dead latents", "3", "0.03125", 10 * SILENT),
            ("auxiliary loss", "2", "0.03125", SILENT),
            ("large auxiliary loss", "5", "4", SILENT),
        ] {
            for unit_norm in [false, true] {
                let given = [
                    ("k", k.to_owned()),
                    ("aux_k", aux_k.to_owned()),
                    ("aux_coefficient", coefficient.to_owned()),
                    ("dead_after", dead_after.to_string()),
                ];
                let hyper = Hyper::check(info.options, given)?;
                let Architecture::Sparse(sparse) = (info.build)(&hyper)? else {
                    unreachable!("options do not change the engine")
                };
                let norm = if unit_norm { "unit" } else { "free" };
                let name = format!("k {k}, {aux}, {norm} decoder rows");
                checks.push(check(name, &sparse, unit_norm));
            }
        }
    }
    Ok(checks)
}

fn check(name: String, sparse: &Sparse, unit_norm: bool) -> Check {
    let (rows, params) = made_up(sparse, unit_norm);
    let (x, weights) = (wide(&rows), weights(&params));
    let problem = Problem::new(&sparse.objective, &weights, &x, &[SILENT; D_SAE]);
    let mut gradient = problem.gradient(&weights);
    let exact: Vec<f64> = gradient.values().collect();
    let twin_error = central_differences(&exact, |at, by| {
        let mut moved = weights.clone();
        if let Some(w) = moved.values_mut().nth(at) {
            *w += by;
        }
        let value = problem.value(&moved);
        value.reconstruction + value.auxiliary
    });
    if unit_norm {
        project(&mut gradient, &weights);
    }
    let fast_error = against_training(sparse, unit_norm, &rows, &params, &problem, &gradient);
    Check::new(name, twin_error, fast_error)
}

/// How far a training step's gradient and values are from the twin's; infinitely far if another
/// number of latents is kept or dead.
fn against_training(
    sparse: &Sparse,
    unit_norm: bool,
    rows: &[f32],
    params: &Params,
    problem: &Problem,
    gradient: &Weights,
) -> f64 {
    let mut step = Step::new(sparse.objective, params);
    let mut moved = params.clone();
    let mut descent = Descent::new(Rule::Adam, params.values().len());
    let settings = Settings {
        lr: 1e-3,
        clip: None,
        unit_norm,
    };
    let report = step.run(
        &mut moved,
        &mut descent,
        &mut [SILENT; D_SAE],
        rows,
        &settings,
    );
    let kept: usize = problem.kept.iter().map(Vec::len).sum();
    if report.dead != problem.dead || report.l0 != kept as f64 / ROWS as f64 {
        return f64::INFINITY;
    }
    let exact: Vec<f64> = gradient.values().collect();
    // A threshold, where there is one, comes last and has no gradient.
    let fast = wide(step.gradient(params).values());
    let apart = fast.iter().zip(&exact).map(|(a, b)| a - b);
    let beyond = norm(fast[exact.len()..].iter().copied());
    let value = problem.value(&weights(params));
    let relative = |got: f64, expected: f64| (got - expected).abs() / expected.max(1e-12);
    [
        norm(apart) / norm(exact.iter().copied()) + beyond,
        relative(report.gradient_norm, norm(exact.iter().copied())),
        relative(report.reconstruction, value.reconstruction),
        relative(report.auxiliary, value.auxiliary),
    ]
    .into_iter()
    .fold(0.0, f64::max)
}

/// Rows and parameters from sines and cosines, decoder rows at length 1 if they are to be. Every third
/// latent is shy: positive on some rows, and never among the largest.
fn made_up(sparse: &Sparse, unit_norm: bool) -> (Vec<f32>, Params) {
    let f = |i: usize| i as f32;
    let rows = (0..ROWS * D_IN)
        .map(|t| 0.5 + (0.7 * f(t / D_IN + 1) * f(t % D_IN + 1)).sin())
        .collect();
    let architecture = Architecture::Sparse(sparse.clone());
    let mut params = Params::zeros(&architecture.layout(D_IN, D_SAE));
    for (i, w) in params.values_mut().iter_mut().enumerate() {
        *w = 0.6 * (1.0 + 1.3 * f(i)).cos();
    }
    for (j, row) in params.get_mut("w_enc").chunks_exact_mut(D_IN).enumerate() {
        let size = if j % 3 == 2 { 0.02 } else { 1.0 };
        row.iter_mut().for_each(|w| *w *= size);
    }
    for (j, b) in params.get_mut("b_enc").iter_mut().enumerate() {
        *b = if j % 3 == 2 { 0.001 } else { 0.5 };
    }
    for row in params
        .get_mut("w_dec")
        .chunks_exact_mut(D_IN)
        .filter(|_| unit_norm)
    {
        let length = row.iter().map(|w| w * w).sum::<f32>().sqrt();
        row.iter_mut().for_each(|w| *w /= length);
    }
    (rows, params)
}

fn weights(params: &Params) -> Weights {
    Weights {
        d_in: D_IN,
        w_enc: wide(params.get("w_enc")),
        b_enc: wide(params.get("b_enc")),
        w_dec: wide(params.get("w_dec")),
        b_dec: wide(params.get("b_dec")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants;

    /// The combinations are what their names say: some latents dead where there should be.
    #[test]
    fn the_cases_are_not_empty() {
        let info = variants::find("topk").unwrap();
        for (k, dead_after, some) in [("3", SILENT, true), ("3", 10 * SILENT, false)] {
            let given = [("k", k.to_owned()), ("dead_after", dead_after.to_string())];
            let hyper = Hyper::check(info.options, given).unwrap();
            let Architecture::Sparse(sparse) = (info.build)(&hyper).unwrap() else {
                panic!("topk is sparse")
            };
            let (rows, params) = made_up(&sparse, false);
            let (x, weights) = (wide(&rows), weights(&params));
            let problem = Problem::new(&sparse.objective, &weights, &x, &[SILENT; D_SAE]);
            let value = problem.value(&weights);
            assert_eq!((problem.dead > 3, value.auxiliary > 0.0), (some, some));
            assert!(problem.kept.iter().any(|row| row.len() == 3));
        }
    }
}
