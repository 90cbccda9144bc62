//! Checks of a configuration: settings that cannot work are errors with their reason.

use crate::config::{Clip, Config, DecoderNorm, OptimizerKind, TrainConfig};
use crate::io_spec::IoSpec;
use crate::objective::{AuxUnit, Threshold};
use crate::optim::LrShape;
use crate::variants::{self, Architecture, Info};
use crate::{Error, Result};

/// Largest number of values in both matrices together: 256 GiB of f32. More than an ordinary machine has, and too few
/// for products of sizes to overflow.
const MOST_PARAMETERS: usize = 1 << 36;

/// Adds `model.centre` and `model.skip` to `io`.
///
/// # Errors
/// [`Error::Conflict`] if the architecture cannot read or write these columns.
pub(super) fn bind(io: IoSpec, config: &Config, info: &Info) -> Result<IoSpec> {
    let (model, name) = (&config.model, info.name);
    let refuse = |why: String| Err(Error::Conflict(why));
    if model.skip && !io.has_target() {
        return refuse("`model.skip` predicts a target from the input: set `data.target`".into());
    }
    if config.data.preprocess_target.is_some() && !io.has_target() {
        return refuse(
            "`data.preprocess_target` has no target to preprocess: set `data.target`".into(),
        );
    }
    let (_, architecture) = super::checked_options(info, &model.options)?;
    let Architecture::Sparse(sparse) = &architecture else {
        if io.has_target() {
            return refuse(format!(
                "architecture {name} reconstructs its input and cannot predict `data.target`; set `model.arch` to a sparse architecture"
            ));
        }
        if model.centre.is_some() {
            return refuse(format!(
                "architecture {name} does not subtract b_dec from the input: remove `model.centre`"
            ));
        }
        return Ok(io);
    };
    let tied = sparse.pursues();
    if tied && io.has_target() {
        return refuse(format!(
            "architecture {name} cannot predict `data.target`: its encoder is tied to the decoder"
        ));
    }
    if tied && model.centre == Some(false) {
        return refuse(format!(
            "`model.centre` must be true with architecture {name}: its first residual is x - b_dec"
        ));
    }
    if io.has_target() && model.centre == Some(true) {
        return refuse("`model.centre` cannot be true with `data.target`: b_dec is a bias of the target, not of the input".into());
    }
    let centre = model.centre.unwrap_or(io.centre || tied);
    Ok(io.with_centre(centre).with_skip(model.skip))
}

/// Checks that `model.decoder_norm` suits the architecture, the optimiser and resampling.
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
            "L-BFGS, which supports no constraints; set `train.optimizer` to adam"
        }
        (DecoderNorm::Rescale, Architecture::Dense(_)) => {
            "sigmoid latents, which do not scale with their pre-activations"
        }
        (DecoderNorm::Rescale, Architecture::Sparse(sparse)) if sparse.pursues() => {
            "an encoder that is tied to the decoder"
        }
        (DecoderNorm::Rescale, _) if train.resample_every > 0 => {
            "resampling (`train.resample_every`), which overwrites the row lengths that rescale learns"
        }
        _ => return Ok(()),
    };
    Err(Error::Conflict(format!(
        "`model.decoder_norm` {} cannot be combined with {why}",
        norm.name()
    )))
}

/// Checks that resampling happens at least once.
///
/// Latents that are revived in the second half of a run have too little time to train.
pub(super) fn check_resampling(every: usize, steps: usize) -> Result<()> {
    if every > steps / 2 {
        let most = format!("at most half of the run's {steps} steps");
        return Err(Error::hyper("train.resample_every", &most, every));
    }
    Ok(())
}

/// Checks that the calibrated threshold, which keeps `floor(holdout k)` latents of the held-out rows, keeps one.
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
            "`model.options.k` of {k} keeps no latent in {holdout} held-out rows; increase `model.options.k` or `data.holdout`"
        ))),
        _ => Ok(()),
    }
}

/// Refuses options that only other architectures have, as when `model.arch` was forgotten.
pub(super) fn refuse_others_options(info: &Info, options: &toml::Table) -> Result<()> {
    let has = |info: &Info, key: &str| info.options().iter().any(|option| option.name == key);
    for key in options.keys().filter(|key| !has(info, key)) {
        let others = variants::VARIANTS.iter().filter(|other| has(other, key));
        let names: Vec<&str> = others.map(|other| other.name).collect();
        if !names.is_empty() {
            let own = match sparsity(info) {
                Some(own)
                    if variants::VARIANTS
                        .iter()
                        .any(|other| sparsity(other) == Some(key)) =>
                {
                    format!("set `model.options.{own}`, by which it is sparse, or ")
                }
                _ => "set ".into(),
            };
            return Err(Error::Conflict(format!(
                "architecture {} has no option `{key}`; {own}`model.arch` to an architecture that has it: {}",
                info.name,
                names.join(", ")
            )));
        }
    }
    Ok(())
}

/// Option of an architecture that sets how sparse its codes are.
fn sparsity(info: &Info) -> Option<&'static str> {
    let dense = info.options().iter().find(|option| option.name == "rho");
    let dense = dense.map(|option| option.name);
    // A wanted number of active latents is easier to say than the weight of a penalty.
    let wanted = info
        .options()
        .iter()
        .find(|option| option.name == "target_l0");
    if let Some(wanted) = wanted {
        return Some(wanted.name);
    }
    info.dial.as_ref().map(|dial| dial.option).or(dense)
}

/// Checks ranges of numbers in the configuration.
pub(super) fn check_numbers(config: &Config, rows: usize, io: &IoSpec, d_sae: usize) -> Result<()> {
    let train = &config.train;
    let at_least_one = |name, value: Option<usize>| match value {
        Some(0) => Err(Error::hyper(name, "at least 1", 0)),
        _ => Ok(()),
    };
    at_least_one("model.latents", Some(d_sae))?;
    let wide = io.d_in() + io.d_out();
    let most = MOST_PARAMETERS / wide;
    if d_sae > most {
        let expected = format!("at most {most} for rows of {}", io.row_width());
        return Err(Error::hyper("model.latents", &expected, d_sae));
    }
    at_least_one("train.steps", train.steps)?;
    at_least_one("train.epochs", train.epochs)?;
    at_least_one("train.batch", train.batch)?;
    at_least_one("train.history", Some(train.history))?;
    at_least_one("train.threads", train.threads)?;
    at_least_one("train.keep_checkpoints", Some(train.keep_checkpoints))?;
    if !(train.checkpoint_minutes.is_finite() && train.checkpoint_minutes >= 0.0) {
        let (name, got) = ("train.checkpoint_minutes", train.checkpoint_minutes);
        return Err(Error::hyper(name, "a finite number not below 0", got));
    }
    if let Some(batch) = train.batch.filter(|batch| *batch > rows) {
        let expected = match config.data.holdout.unwrap_or(0) {
            0 => format!("at most the {rows} rows of the data"),
            held => format!("at most the {rows} training rows ({held} are held out)"),
        };
        return Err(Error::hyper("train.batch", &expected, batch));
    }
    let positive = |name, value: Option<f64>| match value {
        Some(v) if !(v.is_finite() && v > 0.0) => {
            Err(Error::hyper(name, "a finite number above 0", v))
        }
        _ => Ok(()),
    };
    positive("train.lr", train.lr)?;
    positive("train.clip", train.clip.and_then(Clip::norm))?;
    if !(0.0..1.0).contains(&train.momentum) {
        return Err(Error::hyper("train.momentum", "in [0, 1)", train.momentum));
    }
    let tolerance = train.tolerance.unwrap_or(0.0);
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(Error::hyper(
            "train.tolerance",
            "a finite number not below 0",
            tolerance,
        ));
    }
    Ok(())
}

/// Refuses an absolute auxiliary loss with preprocessing that rescales each row.
///
/// The coefficient of an absolute loss has the unit of the rows, and here each row has another one. `SAELens` refuses
/// this too. The paper's loss is relative to the residual's variance and stays correct.
pub(super) fn check_units(config: &Config, architecture: &Architecture) -> Result<()> {
    let steps = config.data.preprocess.as_deref().unwrap_or_default();
    let own_unit = |step: &&String| ["norm-row", "layer-norm"].contains(&step.as_str());
    let absolute = match architecture {
        Architecture::Sparse(sparse) => {
            let aux_k = sparse.aux_k();
            aux_k.unit == AuxUnit::Absolute && aux_k.coefficient != 0.0
        }
        Architecture::Dense(_) => false,
    };
    match steps.iter().find(own_unit) {
        Some(step) if absolute => Err(Error::Conflict(format!(
            "`model.options.aux_unit` absolute cannot be combined with preprocessing {step}, which gives each row another \
             unit; set `model.options.aux_unit` to residual or `model.options.aux_coefficient` to 0"
        ))),
        _ => Ok(()),
    }
}

/// Checks that averaging, resampling and schedules suit each other and the architecture.
pub(super) fn check_aids(
    train: &TrainConfig,
    (info, architecture): (&Info, &Architecture),
    optimizer: OptimizerKind,
) -> Result<()> {
    check_rates(train)?;
    let averages = matches!(
        optimizer,
        OptimizerKind::ScheduleFree | OptimizerKind::Signum
    );
    if averages {
        check_averaging(train)?;
    }
    if let Some(k) = train.k_start.filter(|k| !(k.is_finite() && *k > 0.0)) {
        return Err(Error::hyper("train.k_start", "a finite number above 0", k));
    }
    let resamples = train.resample_every > 0;
    let masks = train.mask.is_some_and(|mask| mask > 0.0);
    let why = match architecture {
        Architecture::Dense(_) if train.ema.is_some() || masks || resamples => format!(
            "`train.ema`, `train.mask` and `train.resample_every` need a sparse architecture, and {} is dense: remove them or set `model.arch`",
            info.name
        ),
        Architecture::Sparse(sparse) if resamples && sparse.pursues() => {
            "resampling shortens encoder rows only, and here the encoder is tied to the decoder: remove `train.resample_every`".into()
        }
        Architecture::Sparse(sparse) if masks && sparse.pursues() => {
            "a pursuit ends with the residual of the row that it reads, so that row must be whole: remove `train.mask`".into()
        }
        Architecture::Sparse(_) if resamples && averages => {
            "optimizers schedule-free and signum would average resampled weights with the old ones: remove `train.resample_every`".into()
        }
        _ => return Ok(()),
    };
    Err(Error::Conflict(why))
}

/// Checks the ranges of decay rates and of the last learning rate.
fn check_rates(train: &TrainConfig) -> Result<()> {
    let within = |name: &str, value: Option<f64>, low: f64| match value {
        Some(v) if !(low..1.0).contains(&v) || v < 0.0 => {
            Err(Error::hyper(name, "at least 0 and below 1", v))
        }
        _ => Ok(()),
    };
    within("train.beta1", train.beta1, 0.0)?;
    within("train.beta2", Some(train.beta2), 0.0)?;
    within("train.ema", train.ema, 0.0)?;
    within("train.mask", train.mask, 0.0)?;
    if train.lr_end.is_some() && train.lr_schedule == LrShape::Constant {
        return Err(Error::Conflict(
            "`train.lr_end` is the last value of a cosine: set `train.lr_schedule` to cosine"
                .into(),
        ));
    }
    if let Some(end) = train.lr_end.filter(|end| !(end.is_finite() && *end >= 0.0)) {
        return Err(Error::hyper(
            "train.lr_end",
            "a finite number not below 0",
            end,
        ));
    }
    Ok(())
}

/// Checks the settings of optimisers that average the weights themselves.
fn check_averaging(train: &TrainConfig) -> Result<()> {
    let refuse = |why: &str| Err(Error::Conflict(why.into()));
    if train.lr_decay > 0 || train.lr_schedule != LrShape::Constant {
        return refuse(
            "optimizers schedule-free and signum average over the run, so the learning rate must not decrease: remove `train.lr_decay` and `train.lr_schedule`",
        );
    }
    if train.beta1 == Some(0.0) {
        return refuse(
            "`train.beta1` must be above 0 with optimizers schedule-free and signum, which take gradients near the average; got 0",
        );
    }
    if train.ema.is_some() {
        return refuse(
            "optimizers schedule-free and signum already average the weights: remove `train.ema`",
        );
    }
    Ok(())
}
