//! What a plan refuses, each with its reason.

use super::option_texts;
use crate::config::{Clip, Config, DecoderNorm, OptimizerKind, TrainConfig};
use crate::io_spec::IoSpec;
use crate::objective::Threshold;
use crate::optim::LrShape;
use crate::variants::{self, Architecture, Info, Options};
use crate::{Error, Result};

/// Values in both matrices together, at most: 256 GiB of f32, more than any machine that this is
/// for, and far from where products of sizes overflow.
const MOST_PARAMETERS: usize = 1 << 36;

/// The binding with what the user said of it, if it suits the architecture.
pub(super) fn bind(io: IoSpec, config: &Config, info: &Info) -> Result<IoSpec> {
    let (model, name) = (&config.model, info.name);
    let refuse = |why: String| Err(Error::Conflict(why));
    if model.skip && !io.has_target() {
        return refuse(
            "skip predicts a target from the input; give the target, `--target DATA`".into(),
        );
    }
    if config.data.preprocess_target.is_some() && !io.has_target() {
        return refuse(
            "preprocess_target is for a target; give the target, `--target DATA`".into(),
        );
    }
    let architecture = info.build(&Options::check(
        info.options(),
        option_texts(&model.options),
    )?)?;
    let Architecture::Sparse(sparse) = &architecture else {
        if io.has_target() {
            return refuse(format!(
                "architecture {name} gives its own input back and cannot be combined with a target; sparse architectures can"
            ));
        }
        if model.centre.is_some() {
            return refuse(format!(
                "architecture {name} takes nothing off its rows: leave out centre"
            ));
        }
        return Ok(io);
    };
    let tied = sparse.pursues();
    if tied && io.has_target() {
        return refuse(format!(
            "architecture {name} encodes by its decoder (they are tied) and cannot be combined with a target"
        ));
    }
    if tied && model.centre == Some(false) {
        return refuse(format!(
            "architecture {name} explains what is left over b_dec, so it cannot do without centre"
        ));
    }
    if io.has_target() && model.centre == Some(true) {
        return refuse("centre takes the decoder's bias off the input, and with a target that is a bias of other values".into());
    }
    let centre = model.centre.unwrap_or(io.centre || tied);
    Ok(io.with_centre(centre).with_skip(model.skip))
}

/// What a constraint on the decoder's rows, or a meaning of their lengths, cannot be combined with.
pub(super) fn check_norm(
    norm: DecoderNorm,
    (architecture, io, d_sae): (&Architecture, &IoSpec, usize),
    train: &TrainConfig,
    optimizer: OptimizerKind,
) -> Result<()> {
    let tied = || {
        let layout = architecture.layout(io, d_sae);
        !layout.blocks().iter().any(|block| block.name == "w_dec")
    };
    let why = match (norm, architecture) {
        (DecoderNorm::Unit, _) if tied() => "a tied decoder",
        (DecoderNorm::Unit, _) if optimizer == OptimizerKind::Lbfgs => {
            "L-BFGS, which knows no constraints"
        }
        (DecoderNorm::Rescale, Architecture::Dense(_)) => {
            "sigmoid latents, which do not grow with their pre-activations"
        }
        (DecoderNorm::Rescale, Architecture::Sparse(sparse)) if sparse.pursues() => {
            "an encoder that is the decoder (they are tied)"
        }
        (DecoderNorm::Rescale, _) if train.resample_every > 0 => {
            "resampling, which sets the lengths that it would learn"
        }
        _ => return Ok(()),
    };
    Err(Error::Conflict(format!(
        "decoder_norm {} cannot be combined with {why}",
        norm.name()
    )))
}

/// Resampling that would never happen: what is revived in the last part of a run has no time to find its place.
pub(super) fn check_resampling(every: usize, steps: usize) -> Result<()> {
    if every > steps / 2 {
        let most = format!("at most half of the run's {steps} steps");
        return Err(Error::hyper("resample_every", &most, every));
    }
    Ok(())
}

/// A threshold that keeps `floor(holdout k)` latents of the held-out rows must keep one.
pub(super) fn check_holdout(architecture: &Architecture, holdout: usize) -> Result<()> {
    let Architecture::Sparse(sparse) = architecture else {
        return Ok(());
    };
    match sparse.threshold() {
        Some(Threshold {
            k,
            calibrated: true,
            ..
        }) if holdout > 0 && holdout as f64 * k < 1.0 => Err(Error::Conflict(format!(
            "k {k} keeps no latent at all in {holdout} held-out rows; take a larger k or holdout"
        ))),
        _ => Ok(()),
    }
}

/// An option that only other architectures have, as when `--arch` was forgotten.
pub(super) fn refuse_others_options(info: &Info, options: &toml::Table) -> Result<()> {
    let has = |info: &Info, key: &str| info.options().iter().any(|option| option.name == key);
    for key in options.keys().filter(|key| !has(info, key)) {
        let others = variants::VARIANTS.iter().filter(|other| has(other, key));
        let names: Vec<&str> = others.map(|other| other.name).collect();
        if !names.is_empty() {
            return Err(Error::Conflict(format!(
                "architecture {} has no option {key}; it is one of {}",
                info.name,
                names.join(", ")
            )));
        }
    }
    Ok(())
}

pub(super) fn check_numbers(config: &Config, rows: usize, io: &IoSpec, d_sae: usize) -> Result<()> {
    let train = &config.train;
    let at_least_one = |name, value: Option<usize>| match value {
        Some(0) => Err(Error::hyper(name, "at least 1", 0)),
        _ => Ok(()),
    };
    at_least_one("latents", Some(d_sae))?;
    let wide = io.d_in() + io.d_out();
    let most = MOST_PARAMETERS / wide;
    if d_sae > most {
        let expected = format!("at most {most} for rows of {}", io.row_width());
        return Err(Error::hyper("latents", &expected, d_sae));
    }
    at_least_one("steps", train.steps)?;
    at_least_one("epochs", train.epochs)?;
    at_least_one("batch", train.batch)?;
    at_least_one("history", Some(train.history))?;
    at_least_one("threads", train.threads)?;
    if let Some(batch) = train.batch.filter(|batch| *batch > rows) {
        let expected = match config.data.holdout {
            0 => format!("at most the data's {rows} rows"),
            held => format!("at most the {rows} rows beside the {held} held out"),
        };
        return Err(Error::hyper("batch", &expected, batch));
    }
    let positive = |name, value: Option<f64>| match value {
        Some(v) if !(v.is_finite() && v > 0.0) => {
            Err(Error::hyper(name, "a finite number above 0", v))
        }
        _ => Ok(()),
    };
    positive("lr", train.lr)?;
    positive("clip", train.clip.and_then(Clip::norm))?;
    if !(0.0..1.0).contains(&train.momentum) {
        return Err(Error::hyper("momentum", "in [0, 1)", train.momentum));
    }
    let tolerance = train.tolerance.unwrap_or(0.0);
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(Error::hyper(
            "tolerance",
            "a finite number not below 0",
            tolerance,
        ));
    }
    Ok(())
}

/// `SAELens`'s auxiliary loss is measured in the rows' own units, and it refuses it behind a normalisation that gives
/// each row a unit of its own: a coefficient means nothing there. The paper's is measured in what is left over, and
/// all losses here are of prepared rows, so that one stays right.
pub(super) fn check_units(config: &Config, options: &Options) -> Result<()> {
    let steps = config.data.preprocess.as_deref().unwrap_or_default();
    let own_unit = |step: &&String| ["norm-row", "layer-norm"].contains(&step.as_str());
    let absolute = options.find("aux_unit") == Some("absolute");
    let weighs = options
        .find_number("aux_coefficient")
        .is_some_and(|c| c != 0.0);
    match steps.iter().find(own_unit) {
        Some(step) if absolute && weighs => Err(Error::Conflict(format!(
            "aux_unit absolute cannot be combined with preprocessing {step}: the auxiliary loss would be measured in \
             units that each row has for itself; take `--aux-unit residual` or `--aux-coefficient 0`"
        ))),
        _ => Ok(()),
    }
}

/// Training aids that have no meaning together, or with this architecture.
pub(super) fn check_aids(
    train: &TrainConfig,
    architecture: &Architecture,
    optimizer: OptimizerKind,
) -> Result<()> {
    let refuse = |why: &str| Err(Error::Conflict(why.into()));
    let within = |name: &str, value: Option<f64>, low: f64| match value {
        Some(v) if !(low..1.0).contains(&v) || v < 0.0 => {
            Err(Error::hyper(name, "at least 0 and below 1", v))
        }
        _ => Ok(()),
    };
    within("beta1", train.beta1, 0.0)?;
    within("beta2", Some(train.beta2), 0.0)?;
    within("ema", train.ema, 0.0)?;
    if train.lr_end.is_some() && train.lr_schedule == LrShape::Constant {
        return refuse("lr_end is where a cosine ends: give `--lr-schedule cosine` with it");
    }
    if let Some(end) = train.lr_end.filter(|end| !(end.is_finite() && *end >= 0.0)) {
        return Err(Error::hyper("lr_end", "a finite number not below 0", end));
    }
    let free = matches!(
        optimizer,
        OptimizerKind::ScheduleFree | OptimizerKind::Signum
    );
    if free && (train.lr_decay > 0 || train.lr_schedule != LrShape::Constant) {
        return refuse(
            "an optimizer without a schedule averages over the run, so its learning rate may rise but not fall: leave out lr_decay and lr_schedule",
        );
    }
    if free && train.beta1 == Some(0.0) {
        return refuse(
            "an optimizer without a schedule takes its gradients near the average, which wants a beta1 above 0",
        );
    }
    if free && train.ema.is_some() {
        return refuse("an optimizer without a schedule gives an average already: leave out ema");
    }
    if let Some(k) = train.k_start.filter(|k| !(k.is_finite() && *k > 0.0)) {
        return Err(Error::hyper("k_start", "a finite number above 0", k));
    }
    let resamples = train.resample_every > 0;
    let Architecture::Sparse(sparse) = architecture else {
        if train.ema.is_some() || resamples {
            return refuse(
                "ema and resampling are the sparse engine's; architecture kl has neither",
            );
        }
        return Ok(());
    };
    if resamples && sparse.pursues() {
        return refuse(
            "resampling gives a latent an encoder shorter than its decoder, and here both are one",
        );
    }
    if resamples && free {
        return refuse(
            "resampling sets weights anew, and an optimizer without a schedule would average them with the old ones",
        );
    }
    Ok(())
}
