//! Options of the KL autoencoder, and the choices that depend on the data.

use crate::options::{OptionSet, Options, option_set, words};
use crate::variants::{Batching, Kind, ResolveContext, Resolved, Unit};
use crate::{Error, Result};

/// Reconstruction loss of the KL autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KlLoss {
    /// Half the squared error.
    Squared,
    /// Cross-entropy of inputs and outputs.
    CrossEntropy,
}

words!(KlLoss {
    Squared: "squared",
    CrossEntropy: "cross-entropy",
});

/// Function that the decoder applies to its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KlDecoder {
    /// Chosen by the plan from the data's range.
    Auto,
    /// Sigmoid function.
    Sigmoid,
    /// Identity function.
    Linear,
}

words!(KlDecoder {
    Auto: "auto",
    Sigmoid: "sigmoid",
    Linear: "linear",
});

/// Rows over which `rho_hat`, the mean activation of each latent, is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RhoEstimate {
    /// Chosen by the plan from the batch.
    Auto,
    /// All rows of the data.
    Exact,
    /// Rows of the mini-batch.
    Batch,
    /// Running mean over mini-batches.
    Moving,
}

words!(RhoEstimate {
    Auto: "auto",
    Exact: "exact",
    Batch: "batch",
    Moving: "moving",
});

/// Initial encoder bias of the KL autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderBiasStart {
    /// `logit(rho)`: latents start on target.
    LogitRho,
    /// Bias of 0.
    Zero,
}

words!(EncoderBiasStart {
    LogitRho: "logit-rho",
    Zero: "zero",
});

option_set! {
    /// Options of `kl`.
    pub struct KlOptions {
        /// Target mean activation of each latent; 0.005 in the lecture, 0.01 to 0.15 are common
        rho: f64 = "0.05", Kind::Open(0.0, 1.0);
        /// Weight of the KL penalty, 1 in the lecture; larger keeps mean activations closer to rho
        beta: f64 = "1", Kind::AtLeast(0.0), Unit::weight_of_count;
        /// Weight of 1/2 the sum of squared weights; biases are never decayed
        weight_decay: f64 = "0", Kind::AtLeast(0.0), Unit::weight_of_count;
        /// Reconstruction loss, summed over inputs, mean over rows: 1/2 squared error or cross-entropy (for data
        /// in 0 to 1)
        loss: KlLoss = "squared", Kind::Choice(KlLoss::WORDS);
        /// Function of the decoder's outputs. auto: sigmoid for data in 0 to 1, else linear
        decoder: KlDecoder = "auto", Kind::Choice(KlDecoder::WORDS);
        /// If true, the decoder uses the encoder's weights
        tied: bool = "false", Kind::Flag;
        /// Rows that the mean activation rho_hat is taken over. exact: all rows. batch: the mini-batch. moving: a
        /// bias-corrected running mean over mini-batches. auto: exact for full batches, moving for mini-batches
        rho_estimate: RhoEstimate = "auto", Kind::Choice(RhoEstimate::WORDS);
        // With 0.99 the estimate lags behind the effect of Adam's first hundred steps on rho_hat, and on uniform
        // noise most latents are pushed silent before the estimate follows.
        /// Decay per step of the running mean of rho_hat; used with rho_estimate moving
        rho_decay: f64 = "0.9", Kind::Open(0.0, 1.0);
        /// Initial encoder bias. logit-rho: logit(rho), so that latents start on target. zero: 0
        bias_start: EncoderBiasStart = "logit-rho", Kind::Choice(EncoderBiasStart::WORDS);
    }
}

/// Rows in a mini-batch by default.
const DEFAULT_BATCH: usize = 256;

/// Largest absolute value of the data without a warning: beyond, most latents saturate from the first step on.
const FARTHEST_FROM_UNIT: f64 = 20.0;

/// `rho * batch` below which a mini-batch mean is too coarse: at 1, a third of the batches of a latent on target see
/// it silent, and the mean pull is far from the zero that it should be (E8).
const FEWEST_EXPECTED_FIRINGS: f64 = 5.0;

/// Chooses decoder, batch and estimate of `rho_hat`, and refuses data that the loss cannot take.
pub(super) fn resolve(options: &mut Options, context: &ResolveContext) -> Result<Resolved> {
    let (low, high) = (context.survey.min, context.survey.max);
    let unit_range = low >= 0.0 && high <= 1.0;
    let mut warnings = Vec::new();
    let kl = KlOptions::read(options);
    if kl.loss == KlLoss::CrossEntropy && !unit_range {
        return Err(Error::Conflict(format!(
            "loss cross-entropy needs data in [0, 1], but the data spans [{low}, {high}]; \
             add the step `scale` to `data.preprocess` or use `model.options.loss = squared`"
        )));
    }
    match kl.decoder {
        KlDecoder::Auto if kl.loss == KlLoss::CrossEntropy || unit_range => {
            options.set("decoder", KlDecoder::Sigmoid.word());
        }
        KlDecoder::Auto => options.set("decoder", KlDecoder::Linear.word()),
        KlDecoder::Sigmoid if !unit_range => warnings.push(format!(
            "a sigmoid decoder cannot reach data outside [0, 1], and this data spans [{low}, {high}]; \
             use `model.options.decoder = linear` or add the step `scale` to `data.preprocess`"
        )),
        KlDecoder::Sigmoid | KlDecoder::Linear => {}
    }
    let reach = f64::from(low.abs().max(high.abs()));
    if reach > FARTHEST_FROM_UNIT {
        warnings.push(format!(
            "the data spans [{low}, {high}]; latents saturate on such values: \
             add the step `scale` or `standardise` to `data.preprocess`"
        ));
    }
    let batching = resolve_batching(kl.rho_estimate, context)?;
    if let (Batching::Mini(batch), RhoEstimate::Batch) = (batching, kl.rho_estimate) {
        let firings = kl.rho * batch as f64;
        if firings < FEWEST_EXPECTED_FIRINGS {
            warnings.push(format!(
                "rho * batch = {firings:.2} is below {FEWEST_EXPECTED_FIRINGS}: the mean over a mini-batch is a poor \
                 estimate of rho_hat; use a `train.batch` of {:.0} or more, or `model.options.rho_estimate = moving`",
                FEWEST_EXPECTED_FIRINGS / kl.rho
            ));
        }
    }
    if kl.rho_estimate == RhoEstimate::Auto {
        let estimate = match batching {
            Batching::Mini(batch) if batch < context.survey.rows => RhoEstimate::Moving,
            // One batch of all rows gives the exact mean.
            _ => RhoEstimate::Exact,
        };
        options.set("rho_estimate", estimate.word());
    }
    Ok(Resolved { batching, warnings })
}

fn resolve_batching(estimate: RhoEstimate, context: &ResolveContext) -> Result<Batching> {
    let rows = context.survey.rows;
    match (context.batching, estimate) {
        (Batching::Mini(batch), RhoEstimate::Exact) if batch < rows => {
            Err(Error::Conflict(format!(
                "`model.options.rho_estimate` exact needs all rows in every step, but a batch has {batch}; \
                 set it to moving, or leave out `train.batch` where all rows are at hand"
            )))
        }
        (Batching::Full, RhoEstimate::Moving) => Err(Error::Conflict(
            "rho_estimate moving is for mini-batches; a full batch gives the exact rho_hat".into(),
        )),
        (Batching::Open, RhoEstimate::Exact) => Ok(Batching::Full),
        (Batching::Open, _) => Ok(Batching::Mini(DEFAULT_BATCH.min(rows))),
        (given, _) => Ok(given),
    }
}
