//! Gradient checks of the dense architecture, for each loss, decoder, `rho_hat` estimate and tied weights.
//! The f32 gradient is checked in its cached, recomputed and one-pass forms.

use rarefy_kernels::decoder::Output;
use rarefy_kernels::naive::{self, Penalty, Problem, Weights};

use super::{Check, central_differences, norm, wide};
use crate::Result;
use crate::data::{Memory, Source};
use crate::params::Params;
use crate::penalty::kl_sparsity;
use crate::train::Moving;
use crate::train::pass::{Form, Pass};
use crate::variants::{Batch, Info, Options, Variant};

const ROWS: usize = 40;
const D_IN: usize = 7;
const D_SAE: usize = 5;
const RHO: f64 = 0.05;
const BETA: f64 = 3.0;
const DECAY: f64 = 1e-3;

pub(super) fn gradients(info: &Info) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for (output, loss, decoder) in [
        (Output::SigmoidSquared, "squared", "sigmoid"),
        (Output::SigmoidCrossEntropy, "cross-entropy", "sigmoid"),
        (Output::LinearSquared, "squared", "linear"),
    ] {
        for estimate in ["exact", "batch", "moving"] {
            for tied in [false, true] {
                let given = [
                    ("rho", RHO.to_string()),
                    ("beta", BETA.to_string()),
                    ("weight_decay", DECAY.to_string()),
                    ("loss", loss.to_owned()),
                    ("decoder", decoder.to_owned()),
                    ("rho_estimate", estimate.to_owned()),
                    ("tied", tied.to_string()),
                ];
                let options = Options::check(info.options(), given)?;
                let name = format!(
                    "{loss}, {decoder} decoder, {estimate}{}",
                    if tied { ", tied" } else { "" }
                );
                checks.push(check(
                    name,
                    info,
                    &options,
                    output,
                    tied,
                    estimate == "moving",
                )?);
            }
        }
    }
    Ok(checks)
}

fn check(
    name: String,
    info: &Info,
    options: &Options,
    output: Output,
    tied: bool,
    moving: bool,
) -> Result<Check> {
    let architecture = info.build(options)?;
    let variant = architecture
        .dense()
        .expect("the options of a dense architecture");
    let (rows, params) = made_up(variant);
    let slopes = if moving {
        running_slopes(variant, &params, &rows)?
    } else {
        Vec::new()
    };
    let problem = Problem {
        x: &wide(rows.as_slice().unwrap_or_default()),
        d_in: D_IN,
        d_sae: D_SAE,
        output,
        penalty: if moving {
            Penalty::Linear(&slopes)
        } else {
            Penalty::Kl { rho: RHO }
        },
        beta: BETA,
        weight_decay: DECAY,
    };
    let weights = weights(&params, tied);
    let twin = naive::objective(&problem, &weights, naive::GradientForm::InMemory);
    let exact: Vec<f64> = twin.gradient.values().collect();
    let twin_error = central_differences(&exact, |at, by| {
        let mut moved = weights.clone();
        if let Some(w) = moved.values_mut().nth(at) {
            *w += by;
        }
        naive::objective(&problem, &moved, naive::GradientForm::InMemory).total
    });
    let mut fast_error: f64 = 0.0;
    for form in [Form::Cached, Form::Recomputed, Form::Deferred] {
        let mut pass = Pass::new(variant, D_IN, D_SAE);
        pass.evaluate(&params, &rows, form, &mut |batch| {
            if moving {
                running().update(batch)
            } else {
                batch
            }
        })?;
        let fast = wide(pass.gradient().values());
        let apart = fast.iter().zip(&exact).map(|(a, b)| a - b);
        fast_error = fast_error.max(norm(apart) / norm(exact.iter().copied()));
    }
    Ok(Check::new(name, twin_error, fast_error))
}

/// Rows and parameters from sines and cosines.
fn made_up(variant: &dyn Variant) -> (Memory, Params) {
    let f = |i: usize| i as f32;
    let x = (0..ROWS * D_IN)
        .map(|t| 0.5 + 0.4 * (0.7 * f(t / D_IN + 1) * f(t % D_IN + 1)).sin())
        .collect();
    let mut params = Params::zeros(&variant.layout(D_IN, D_SAE));
    for (i, w) in params.values_mut().iter_mut().enumerate() {
        *w = 0.4 * (1.0 + 1.3 * f(i)).cos();
    }
    (Memory::new("check", D_IN, x), params)
}

/// Running mean after one other batch.
fn running() -> Moving {
    let on = (0..D_SAE).map(|l| ROWS as f64 * (0.2 + 0.1 * l as f64));
    let off = on.clone().map(|on| ROWS as f64 - on);
    let before = Batch {
        rows: ROWS,
        statistics: on.chain(off).collect(),
    };
    let mut running = Moving::new(0.9, 2 * D_SAE);
    running.update(before);
    running
}

/// Slopes of the penalty at the running mean. These are constants of the step, so the twin's penalty is
/// `sum_l s_l rho_hat_l`.
fn running_slopes(variant: &dyn Variant, params: &Params, rows: &Memory) -> Result<Vec<f64>> {
    let batch = Pass::new(variant, D_IN, D_SAE).statistics(params, rows)?;
    let estimate = running().update(batch);
    let means: Vec<f64> = estimate
        .statistics
        .iter()
        .map(|s| s / ROWS as f64)
        .collect();
    let mut slopes = vec![0.0; D_SAE];
    kl_sparsity(RHO, &means[..D_SAE], &means[D_SAE..], &mut slopes);
    Ok(slopes)
}

fn weights(params: &Params, tied: bool) -> Weights {
    Weights {
        w_enc: wide(params.get("w_enc")),
        b_enc: wide(params.get("b_enc")),
        w_dec: if tied {
            Vec::new()
        } else {
            wide(params.get("w_dec"))
        },
        b_dec: wide(params.get("b_dec")),
    }
}
