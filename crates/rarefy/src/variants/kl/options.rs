//! The KL autoencoder's options, and what they become once the data is known.

use super::super::{Batching, Hyper, Kind, OptionInfo, Resolved, Setting, Unit};
use crate::{Error, Result};

pub(super) const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "rho",
        help: "Target mean activation of each latent (the lecture suggests 0.005; 0.01 to 0.15 are common)",
        kind: Kind::Open(0.0, 1.0),
        default: "0.05",
        unit: Unit::number,
    },
    OptionInfo {
        name: "beta",
        help: "Weight of the KL penalty (the lecture's objective has 1)",
        kind: Kind::AtLeast(0.0),
        default: "1",
        unit: Unit::weight_of_count,
    },
    OptionInfo {
        name: "weight_decay",
        help: "Weight of 1/2 the sum of squared weights; biases are never decayed",
        kind: Kind::AtLeast(0.0),
        default: "0",
        unit: Unit::weight_of_count,
    },
    OptionInfo {
        name: "loss",
        help: "Reconstruction loss: 1/2 squared error or cross-entropy, summed over inputs, mean over samples",
        kind: Kind::Choice(&["squared", "cross-entropy"]),
        default: "squared",
        unit: Unit::number,
    },
    OptionInfo {
        name: "decoder",
        help: "Output unit; auto takes sigmoid for data in [0, 1] and linear otherwise",
        kind: Kind::Choice(&["auto", "sigmoid", "linear"]),
        default: "auto",
        unit: Unit::number,
    },
    OptionInfo {
        name: "tied",
        help: "Use the encoder's weights in the decoder too",
        kind: Kind::Flag,
        default: "false",
        unit: Unit::number,
    },
    OptionInfo {
        name: "rho_estimate",
        help: "rho_hat over all examples (exact), the mini-batch (batch) or a bias-corrected running mean (moving); \
               auto takes exact for full batches and moving for mini-batches",
        kind: Kind::Choice(&["auto", "exact", "batch", "moving"]),
        default: "auto",
        unit: Unit::number,
    },
    OptionInfo {
        name: "rho_decay",
        // With 0.99 the estimate lags behind what Adam's first hundred steps do to rho_hat, and on
        // uniform noise most latents are pushed silent before it notices.
        help: "Decay of the running mean of rho_hat per step",
        kind: Kind::Open(0.0, 1.0),
        default: "0.9",
        unit: Unit::number,
    },
    OptionInfo {
        name: "bias_start",
        help: "Initial encoder bias: logit(rho), so that latents start on target, or zero",
        kind: Kind::Choice(&["logit-rho", "zero"]),
        default: "logit-rho",
        unit: Unit::number,
    },
];

/// Rows in a mini-batch unless the user says otherwise.
const DEFAULT_BATCH: usize = 256;

/// Beyond this a row's numbers drive most latents into saturation from the first step on.
const FARTHEST_FROM_UNIT: f64 = 20.0;

/// `rho * batch` below which a mini-batch mean is too coarse: at 1, a third of the batches of a
/// latent on target see it silent, and the mean pull is far from the zero that it should be (E8).
const FEWEST_EXPECTED_FIRINGS: f64 = 5.0;

pub(super) fn resolve(hyper: &mut Hyper, setting: &Setting) -> Result<Resolved> {
    let (low, high) = (setting.survey.min, setting.survey.max);
    let unit_range = low >= 0.0 && high <= 1.0;
    let mut warnings = Vec::new();
    if hyper.text("loss") == "cross-entropy" {
        if !unit_range {
            return Err(Error::Conflict(format!(
                "loss cross-entropy needs data in [0, 1], but the data spans [{low}, {high}]; \
                 add `--preprocess scale` or use `--loss squared`"
            )));
        }
        if hyper.text("decoder") == "auto" {
            hyper.set("decoder", "sigmoid");
        }
    }
    if hyper.text("decoder") == "auto" {
        hyper.set("decoder", if unit_range { "sigmoid" } else { "linear" });
    } else if hyper.text("decoder") == "sigmoid" && !unit_range {
        warnings.push(format!(
            "a sigmoid decoder cannot reach data outside [0, 1], and this data spans [{low}, {high}]; \
             use `--decoder linear` or `--preprocess scale`"
        ));
    }
    let reach = f64::from(low.abs().max(high.abs()));
    if reach > FARTHEST_FROM_UNIT {
        warnings.push(format!(
            "the data spans [{low}, {high}]; latents saturate on such numbers: \
             use `--preprocess scale` or `--preprocess standardise`"
        ));
    }
    let batching = resolve_batching(hyper, setting)?;
    if let (Batching::Mini(batch), "batch") = (batching, hyper.text("rho_estimate")) {
        let firings = hyper.number("rho") * batch as f64;
        if firings < FEWEST_EXPECTED_FIRINGS {
            warnings.push(format!(
                "rho * batch = {firings:.2} is below {FEWEST_EXPECTED_FIRINGS}: the mean over a mini-batch is a poor \
                 estimate of rho_hat; use a batch of {:.0} or more, or `--rho-estimate moving`",
                FEWEST_EXPECTED_FIRINGS / hyper.number("rho")
            ));
        }
    }
    Ok(Resolved { batching, warnings })
}

fn resolve_batching(hyper: &mut Hyper, setting: &Setting) -> Result<Batching> {
    let rows = setting.survey.rows;
    let batching = match (setting.batching, hyper.text("rho_estimate")) {
        (Batching::Mini(batch), "exact") if batch < rows => {
            return Err(Error::Conflict(format!(
                "rho_estimate exact means all {rows} examples in every step, but the batch is {batch}; \
                 leave out the batch, or use `--rho-estimate moving`"
            )));
        }
        (Batching::Full, "moving") => {
            return Err(Error::Conflict(
                "rho_estimate moving is for mini-batches; a full batch knows rho_hat exactly"
                    .into(),
            ));
        }
        (Batching::Open, "exact") => Batching::Full,
        (Batching::Open, _) => Batching::Mini(DEFAULT_BATCH.min(rows)),
        (given, _) => given,
    };
    if hyper.text("rho_estimate") == "auto" {
        hyper.set(
            "rho_estimate",
            // One batch that is all rows knows rho_hat.
            match batching {
                Batching::Mini(batch) if batch < rows => "moving",
                _ => "exact",
            },
        );
    }
    Ok(batching)
}
