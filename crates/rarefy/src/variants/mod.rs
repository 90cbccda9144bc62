//! The architectures: one file and one line in [`VARIANTS`] each.
//!
//! `--help`, the config reader, `rarefy list architectures` and the law tests walk the table.

mod abs_topk;
mod batch_topk;
mod dense;
mod gated;
mod groupmax;
mod jumprelu;
mod kl;
mod matching_pursuit;
mod matryoshka;
mod median;
mod relu;
mod sparse;
mod topk;

pub use crate::options::{Kind, OptionInfo, Options, Unit};
pub use abs_topk::AbsTopKOptions;
pub use batch_topk::BatchTopKOptions;
pub use dense::{Batch, Chunk, Estimate, Gradient, Parts, Scratch, Variant, Visit};
pub use gated::{GateDecoder, GatedOptions};
pub use groupmax::GroupMaxOptions;
pub use jumprelu::{JumpReluOptions, L0Penalty};
pub use kl::{EncoderBiasStart, Kl, KlDecoder, KlLoss, KlOptions, RhoEstimate};
pub use matching_pursuit::MatchingPursuitOptions;
pub use matryoshka::MatryoshkaOptions;
pub use relu::ReluOptions;
pub use sparse::{
    AuxOptions, BatchKOptions, BiasStart, L1Options, RowKOptions, StartRows, ThresholdFrom,
    ThresholdOptions, rescaled,
};
pub(crate) use sparse::{Latent, rescale, through};
pub use topk::TopKOptions;

pub use crate::objective::{Objective, SaelensKind, StepSchedule};

use std::sync::{Arc, LazyLock};

use crate::data::Survey;
use crate::io_spec::IoSpec;
use crate::objective::{ADD_ONS, AddOn, Conversions};
use crate::params::{Layout, Params};
use crate::{Error, Result, Rng};

/// Every architecture, in the order that the docs show them.
pub const VARIANTS: &[Info] = &[
    kl::INFO,
    relu::INFO,
    topk::INFO,
    batch_topk::INFO,
    abs_topk::INFO,
    groupmax::INFO,
    jumprelu::INFO,
    gated::INFO,
    matryoshka::INFO,
    matching_pursuit::INFO,
];

/// One line of the table of architectures.
pub struct Info {
    /// Name on the command line and, in `cfg.json`, under `architecture`.
    pub name: &'static str,
    /// One sentence for lists and help.
    pub summary: &'static str,
    /// Publication of the architecture.
    pub source: &'static str,
    /// Options of the architecture itself; [`Info::options`] has those of add-ons too.
    pub own_options: &'static [OptionInfo],
    /// Worked example: pre-activations, options and the resulting latents; printed by `list` and tested.
    pub example: Example,
    /// Defaults of a run.
    pub defaults: Defaults,
    /// Option that makes codes sparser or denser, for a frontier.
    pub dial: Option<Dial>,
    /// Settings of the options for gradient checks: one for each different gradient.
    pub checks: &'static [&'static [(&'static str, &'static str)]],
    /// Chooses options that depend on the data or the batches, and refuses combinations that cannot work.
    pub resolve: fn(&mut Options, &ResolveContext) -> Result<Resolved>,
    /// Composes the architecture, without add-ons, from checked options.
    pub compose: fn(&Options) -> Result<Architecture>,
}

impl Info {
    /// All options of the architecture: own options, then those of the [add-ons](crate::objective::ADD_ONS) that apply.
    pub fn options(&self) -> &'static [OptionInfo] {
        static ALL: LazyLock<Vec<Vec<OptionInfo>>> =
            LazyLock::new(|| VARIANTS.iter().map(with_add_ons).collect());
        let at = VARIANTS.iter().position(|info| info.name == self.name);
        at.map_or(self.own_options, |at| &ALL[at])
    }

    /// Architecture from checked options, add-ons included.
    ///
    /// # Errors
    /// [`Error::Hyper`] or [`Error::Conflict`] for options that cannot be combined.
    pub fn build(&self, options: &Options) -> Result<Architecture> {
        match (self.compose)(options)? {
            Architecture::Sparse(objective) => {
                let mut objective =
                    Arc::into_inner(objective).expect("a composed objective has one owner");
                for add_on in ADD_ONS {
                    if (add_on.applies)(&objective) {
                        objective = (add_on.add)(options, objective);
                    }
                }
                Ok(Architecture::Sparse(Arc::new(objective)))
            }
            dense @ Architecture::Dense(_) => Ok(dense),
        }
    }

    /// True if rows are encoded by a matching pursuit, which searches all latents once for each latent of a row.
    pub fn pursues(&self) -> bool {
        let default = self.build(&Options::defaults(self.options()));
        matches!(default, Ok(Architecture::Sparse(objective)) if objective.pursues())
    }

    /// Conversions of all building blocks that the options can choose, some more than once.
    ///
    /// The settings for gradient checks reach every block.
    pub fn conversions(&self) -> Vec<&'static Conversions> {
        let mut all = Vec::new();
        for setting in [Vec::new()].into_iter().chain(self.checked_settings()) {
            let given = setting
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()));
            let options = Options::check(self.options(), given);
            match options.and_then(|options| self.build(&options)) {
                Ok(Architecture::Dense(variant)) => all.push(variant.conversions()),
                Ok(Architecture::Sparse(objective)) => all.extend(objective.conversions()),
                Err(error) => unreachable!("a checked setting of {}: {error}", self.name),
            }
        }
        all
    }

    /// Settings for gradient checks: those of the architecture, and those of add-ons on top of its first.
    pub fn checked_settings(&self) -> Vec<Vec<(&'static str, &'static str)>> {
        let mut all: Vec<Vec<_>> = self.checks.iter().map(|own| own.to_vec()).collect();
        let first = all.first().cloned().unwrap_or_default();
        for add_on in add_ons_of(self) {
            let further = add_on.checks.iter();
            all.extend(further.map(|check| [first.as_slice(), check].concat()));
        }
        all
    }
}

/// Add-ons that apply to an architecture.
fn add_ons_of(info: &Info) -> Vec<&'static AddOn> {
    let defaults = Options::defaults(info.own_options);
    let Ok(Architecture::Sparse(objective)) = (info.compose)(&defaults) else {
        return Vec::new();
    };
    let applies = |add_on: &&AddOn| (add_on.applies)(&objective);
    ADD_ONS.iter().filter(applies).collect()
}

fn with_add_ons(info: &Info) -> Vec<OptionInfo> {
    let mut all = info.own_options.to_vec();
    for add_on in add_ons_of(info) {
        all.extend_from_slice(add_on.options);
    }
    all
}

/// Worked example of an architecture's nonlinearity.
pub struct Example {
    /// Options other than the defaults.
    pub options: &'static [(&'static str, &'static str)],
    /// Pre-activations of one row.
    pub pre: [f32; 4],
    /// Latents of the row.
    pub latents: [f32; 4],
}

/// Option that sets the sparsity of codes.
#[derive(Debug, Clone, Copy)]
pub struct Dial {
    /// Name of the option.
    pub option: &'static str,
    /// Values of the option for a comparison, the sparsest first.
    pub settings: DialSettings,
}

/// Settings of a [`Dial`].
#[derive(Debug, Clone, Copy)]
pub enum DialSettings {
    /// Fixed values.
    These(&'static [&'static str]),
    /// Factors of the value that the plan chooses.
    Times(&'static [f64]),
}

/// Defaults of a run of an architecture.
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags are independent of each other"
)]
pub struct Defaults {
    /// True if the full-batch optimiser can train the architecture; then it does unless a batch is given.
    pub full_batch: bool,
    /// True if SGD can train the architecture.
    pub sgd: bool,
    /// Number of latents, from the numbers of inputs and of rows.
    pub latents: fn(usize, usize) -> usize,
    /// Number of latents as lists and help print it.
    pub latents_text: &'static str,
    /// Adam's learning rate, from the number of latents.
    pub lr: fn(usize) -> f64,
    /// Largest norm of the gradient; `None` for no clipping.
    pub clip: Option<f64>,
    /// True if decoder rows are kept at length 1.
    pub unit_norm: bool,
    /// True if the objective has a sparsity penalty, whose weight may rise at the start of a run.
    pub penalised: bool,
    /// Smallest number of steps of Adam and SGD where neither steps nor epochs are given.
    pub fewest_steps: usize,
}

/// An architecture, made from its options.
///
/// Architectures that need every latent of every row (a sigmoid is never 0) are trained by dense products.
/// Architectures that keep a few latents of each row are trained by the sparse engine, which never makes a matrix of
/// rows by latents.
#[derive(Clone)]
pub enum Architecture {
    /// Trained by dense sums over rows.
    Dense(Arc<dyn Variant>),
    /// Trained by the sparse engine.
    Sparse(Arc<Objective>),
}

impl Architecture {
    /// Names and shapes of the parameters.
    pub fn layout(&self, io: &IoSpec, d_sae: usize) -> Layout {
        match self {
            Self::Dense(variant) => variant.layout(io.d_in(), d_sae),
            Self::Sparse(objective) => objective.layout(io, d_sae),
        }
    }

    /// Initial parameters; some depend on the rows.
    ///
    /// # Errors
    /// Errors of reading the rows.
    pub fn init(
        &self,
        (io, b_dec): (&IoSpec, BiasStart),
        d_sae: usize,
        rows: &StartRows,
        rng: &mut Rng,
    ) -> Result<Params> {
        let layout = self.layout(io, d_sae);
        match self {
            Self::Dense(variant) => Ok(variant.init(&layout, rng)),
            Self::Sparse(sparse) => sparse::init(sparse.as_ref(), (io, b_dec), &layout, rows, rng),
        }
    }

    /// The architecture, if it is trained by dense sums.
    pub fn dense(&self) -> Option<&dyn Variant> {
        match self {
            Self::Dense(variant) => Some(variant.as_ref()),
            Self::Sparse(_) => None,
        }
    }
}

/// Data and settings of a run from which [`Info::resolve`] chooses options.
#[derive(Debug)]
pub struct ResolveContext<'a> {
    /// Statistics of the encoder's inputs, after preprocessing.
    pub inputs: &'a Survey,
    /// Statistics of the decoder's outputs, after preprocessing.
    pub survey: &'a Survey,
    /// Batching that the user or the optimiser asks for.
    pub batching: Batching,
    /// Number of latents.
    pub d_sae: usize,
    /// Length of the run.
    pub length: Length,
}

/// Length of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Number of optimiser steps.
    Steps(usize),
    /// Number of passes over the data, and the smallest number of steps.
    Epochs(usize, usize),
}

impl Length {
    /// Steps of a run over `rows` rows in batches of `batch`.
    pub fn steps(self, rows: usize, batch: usize) -> usize {
        match self {
            Self::Steps(steps) => steps,
            Self::Epochs(epochs, fewest) => {
                epochs.saturating_mul((rows / batch).max(1)).max(fewest)
            }
        }
    }
}

/// Number of rows in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// All rows.
    Full,
    /// Mini-batch of so many rows.
    Mini(usize),
    /// Not given.
    Open,
}

/// Decisions of [`Info::resolve`].
#[derive(Debug)]
pub struct Resolved {
    /// Batching, never [`Batching::Open`].
    pub batching: Batching,
    /// Warnings to print before the run.
    pub warnings: Vec<String>,
}

/// Names of architectures in other libraries that are spelled unlike ours, with ours.
const FOREIGN: &[(&str, &str)] = &[
    ("standard", "relu"),
    ("vanilla", "relu"),
    ("sae", "relu"),
    ("l1", "relu"),
    ("sigmoid", "kl"),
    ("lecture", "kl"),
    ("mp", "matching-pursuit"),
    ("omp", "matching-pursuit"),
    ("matryoshka-batchtopk", "matryoshka"),
    ("matryoshka_batchtopk", "matryoshka"),
];

/// Table line of the architecture `name`.
///
/// # Errors
/// [`Error::Unknown`] with the nearest name; [`Error::Hyper`] with our name for that of another library.
pub fn find(name: &str) -> Result<&'static Info> {
    if let Some((_, ours)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        let expected = format!("`{ours}`, which is the name of `{name}` here");
        return Err(Error::hyper("model.arch", &expected, name));
    }
    VARIANTS
        .iter()
        .find(|info| info.name == name)
        .ok_or_else(|| Error::unknown("architecture", name, VARIANTS.iter().map(|info| info.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::engine::{Centred, Encoder};

    #[test]
    fn names_of_other_libraries_are_answered_with_ours() {
        let error = find("standard").err().unwrap().to_string();
        assert_eq!(
            error,
            "`model.arch` must be `relu`, which is the name of `standard` here, got standard"
        );
        for (foreign, ours) in FOREIGN {
            assert!(
                VARIANTS.iter().all(|info| info.name != *foreign),
                "{foreign}"
            );
            assert!(find(ours).is_ok(), "{ours}");
        }
    }

    /// Identity weights show the nonlinearity alone.
    #[test]
    fn every_example_gives_its_latents() {
        for info in VARIANTS {
            let Example {
                options,
                pre,
                latents,
            } = &info.example;
            let given = options.iter().map(|(k, v)| (*k, (*v).to_owned()));
            let options = Options::check(info.options(), given).unwrap();
            let architecture = info.build(&options).unwrap();
            let mut params = Params::zeros(&architecture.layout(&IoSpec::autoencoder(4), 4));
            if let Architecture::Sparse(sparse) = &architecture {
                let own = sparse.per_latent().iter();
                own.for_each(|(name, start)| params.get_mut(name).fill(*start));
            }
            let w_enc = params.get_mut("w_enc");
            (0..4).for_each(|j| w_enc[4 * j + j] = 1.0);
            let mut got = Vec::new();
            match &architecture {
                Architecture::Dense(variant) => variant.encode(&params, pre, &mut got),
                Architecture::Sparse(sparse) => {
                    let mut codes = Codes::new(4);
                    let rows = Centred {
                        x: pre,
                        w_enc: params.get("w_enc"),
                        b_enc: params.get("b_enc"),
                    };
                    let encoder = Encoder::new(&params);
                    sparse.encode(
                        StepSchedule::default(),
                        &params,
                        &encoder,
                        &rows,
                        &mut codes,
                    );
                    let pre = codes.values.clone();
                    sparse.activate(&params, &codes.indices, &pre, &mut codes.values);
                    got = codes.to_dense();
                }
            }
            assert_eq!(got.len(), 4, "{}", info.name);
            for (value, expected) in got.iter().zip(latents) {
                assert!(
                    (value - expected).abs() <= 1e-6,
                    "{}: {got:?} from {pre:?}",
                    info.name
                );
            }
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        for (index, info) in VARIANTS.iter().enumerate() {
            let same = VARIANTS.iter().position(|other| other.name == info.name);
            assert_eq!(same, Some(index), "{} is there twice", info.name);
            assert_eq!(find(info.name).unwrap().summary, info.summary);
            for (index, option) in info.options().iter().enumerate() {
                let same = info.options().iter().position(|o| o.name == option.name);
                assert_eq!(same, Some(index), "{} is there twice", option.name);
            }
        }
        let error = find("kll").map(|info| info.name).unwrap_err();
        assert!(error.to_string().contains("did you mean `kl`?"), "{error}");
    }

    /// Defaults are filled in without a check, so this is their check.
    #[test]
    fn every_default_is_one_of_its_kind() {
        for info in VARIANTS {
            for option in info.options() {
                let given = [(option.name, option.default.to_owned())];
                let checked = Options::check(info.options(), given);
                assert!(checked.is_ok(), "{} {}", info.name, option.name);
            }
        }
    }
}
