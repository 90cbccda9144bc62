//! `cfg.json`: keys of `SAELens`, and our own `options` and `metadata`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

use super::{PREPROCESS, kind};
use crate::data::image_channels;
use crate::io_spec::IoSpec;
use crate::model::ModelDescription;
use crate::variants::{Architecture, SaelensKind};
use crate::{Error, Result};

/// Keys of `cfg.json` that we write or read.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Config {
    #[serde(default = "standard")]
    pub(super) architecture: String,
    d_in: usize,
    /// Width of a transcoder's target.
    #[serde(skip_serializing_if = "Option::is_none")]
    d_out: Option<usize>,
    pub(super) d_sae: usize,
    #[serde(default)]
    dtype: Option<String>,
    #[serde(default)]
    device: Option<String>,
    /// If true, the encoder subtracts `b_dec`. Without the key `SAELens` takes true; a transcoder must have false.
    #[serde(skip_serializing_if = "Option::is_none")]
    apply_b_dec_to_input: Option<bool>,
    /// If true, pre-activations are multiplied by the norms of the decoder rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rescale_acts_by_decoder_norm: Option<bool>,
    /// Active latents of a row in the topk family; a batch selection may have a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) k: Option<Number>,
    /// Largest number of rounds of a matching pursuit; `d_in` without the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_iterations: Option<usize>,
    /// Norm of the residual at which a matching pursuit stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    residual_threshold: Option<f64>,
    /// If true, a matching pursuit stops when it selects a latent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_on_duplicate_support: Option<bool>,
    /// Ends of the levels, in a training checkpoint of a matryoshka model.
    #[serde(skip_serializing_if = "Option::is_none")]
    matryoshka_widths: Option<Vec<usize>>,
    /// Name of a normalisation, `none`, or the name of our preprocessing file.
    #[serde(default, deserialize_with = "normalisation_name")]
    pub(super) normalize_activations: String,
    /// Axes that `SAELens` joins to a row; a row here has them joined already.
    #[serde(default)]
    reshape_activations: Option<String>,
    #[serde(default)]
    pub(super) metadata: Metadata,
    /// Options of our architecture.
    #[serde(default)]
    pub(super) options: BTreeMap<String, String>,
    /// If true, an old folder has a factor for each latent, in the tensor `scaling_factor`.
    #[serde(skip)]
    pub(super) scaled: bool,
    /// Keys of old folders until `old.rs` takes them, and keys without effect.
    #[serde(flatten, skip_serializing)]
    pub(super) other: BTreeMap<String, Value>,
}

/// Architecture of a folder that names none.
fn standard() -> String {
    "standard".into()
}

/// Name of a normalisation; old folders have true, false or null.
fn normalisation_name<'de, D: Deserializer<'de>>(
    given: D,
) -> std::result::Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "normalize_activations: expected a name, true, false or null"
    )]
    enum Given {
        Name(String),
        Switch(bool),
        Nothing(()),
    }
    Ok(match Given::deserialize(given)? {
        Given::Name(name) => name,
        Given::Switch(true) => "expected_average_only_in".into(),
        Given::Switch(false) | Given::Nothing(()) => "none".into(),
    })
}

/// Keys that we add to the metadata of `cfg.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    /// Our name of the architecture, if `SAELens` has another.
    #[serde(skip_serializing_if = "Option::is_none")]
    rarefy_architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rarefy_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sae_lens_version: Option<String>,
    /// Widths of a crosscoder's inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    rarefy_inputs: Option<Vec<usize>>,
    /// Height and width of a raw row that is a grey image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_shape: Option<(usize, usize)>,
}

/// Normalisations of single rows: value of `normalize_activations`, and our preprocessing step.
pub(super) const NORMALISATIONS: &[(&str, &str)] = &[
    ("constant_norm_rescale", "norm-row"),
    ("layer_norm", "layer-norm"),
];

/// Architectures of `SAELens`, in models and in training checkpoints, that have another name here.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("standard", "relu"),
    ("transcoder", "relu"),
    ("skip_transcoder", "relu"),
    ("jumprelu_transcoder", "jumprelu"),
    ("jumprelu_skip_transcoder", "jumprelu"),
    ("abstopk", "abs-topk"),
    ("batchtopk", "batch-topk"),
    ("matryoshka_batchtopk", "matryoshka"),
    ("matching_pursuit", "matching-pursuit"),
];

/// Value of `normalize_activations` for an autoencoder whose only preprocessing is that normalisation.
pub(super) fn normalisation(model: &ModelDescription) -> Option<&'static str> {
    let [step] = model.pipeline.names() else {
        return None;
    };
    let (theirs, _) = NORMALISATIONS.iter().find(|(_, ours)| ours == step)?;
    (model.io.name() == "autoencoder").then_some(theirs)
}

/// Architecture of `SAELens` that computes the same; `None` if there is none.
pub(super) fn saelens_name(kind: SaelensKind, io: &IoSpec) -> Option<String> {
    let skip = if io.skip { "skip_" } else { "" };
    let name = match kind {
        SaelensKind::Standard if io.has_target() => format!("{skip}transcoder"),
        SaelensKind::JumpRelu if io.has_target() => format!("jumprelu_{skip}transcoder"),
        SaelensKind::Own => return None,
        _ if io.has_target() || io.has_several_inputs() => return None,
        SaelensKind::TopK(_) => "topk".into(),
        SaelensKind::AbsTopK(_) => "abstopk".into(),
        SaelensKind::JumpRelu => "jumprelu".into(),
        SaelensKind::Standard => "standard".into(),
        SaelensKind::Gated => "gated".into(),
        SaelensKind::Pursuit { .. } => "matching_pursuit".into(),
    };
    Some(name)
}

/// Name for an architecture that `SAELens` does not have, and refuses.
fn own_name(name: &str, io: &IoSpec) -> String {
    if io.has_target() || io.has_several_inputs() {
        format!("{name} {}", io.name())
    } else {
        name.into()
    }
}

impl Config {
    /// Config of a model that is written.
    pub(super) fn new(model: &ModelDescription, architecture: &Architecture) -> Self {
        let (io, ours, kind) = (&model.io, model.info.name, kind(architecture));
        let name = saelens_name(kind, io);
        let name = name.unwrap_or_else(|| match architecture {
            Architecture::Sparse(_) => own_name(ours, io),
            Architecture::Dense(_) => ours.into(),
        });
        let preprocessing = if model.is_of_raw_rows() {
            "none"
        } else {
            normalisation(model).unwrap_or(PREPROCESS)
        };
        let options = model.options.iter();
        let mut config = Self {
            d_in: io.d_in(),
            d_out: io.target_width(),
            d_sae: model.d_sae(),
            dtype: Some("float32".into()),
            device: Some("cpu".into()),
            apply_b_dec_to_input: Some(model.centres(architecture)),
            normalize_activations: preprocessing.into(),
            reshape_activations: Some("none".into()),
            metadata: Metadata {
                rarefy_architecture: (name != ours).then(|| ours.into()),
                rarefy_inputs: io.has_several_inputs().then(|| io.input_widths().to_vec()),
                rarefy_version: Some(env!("CARGO_PKG_VERSION").into()),
                image_shape: model.image_shape,
                ..Metadata::default()
            },
            options: options.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            architecture: name,
            ..Self::default()
        };
        config.set_options(kind);
        config
    }

    /// Writes the options of an architecture under the keys of `SAELens`.
    fn set_options(&mut self, kind: SaelensKind) {
        match kind {
            SaelensKind::TopK(k) | SaelensKind::AbsTopK(k) => {
                self.k = Some(k.into());
                self.rescale_acts_by_decoder_norm = Some(false);
            }
            SaelensKind::Pursuit { k, residual } => {
                self.max_iterations = Some(k);
                self.residual_threshold = Some(residual);
                self.stop_on_duplicate_support = Some(true);
            }
            _ => {}
        }
    }

    /// Our name of the architecture.
    pub(super) fn architecture(&self) -> &str {
        if let Some(ours) = &self.metadata.rarefy_architecture {
            return ours;
        }
        let mut names = ARCHITECTURES.iter();
        let found = names.find(|(theirs, _)| *theirs == self.architecture);
        found.map_or(&self.architecture, |(_, ours)| ours)
    }

    /// Our options, replaced by those under keys of `SAELens`.
    pub(super) fn options(&self) -> BTreeMap<&str, String> {
        let ours = self.options.iter();
        let mut options: BTreeMap<_, _> = ours.map(|(k, v)| (k.as_str(), v.clone())).collect();
        if let Some(k) = &self.k {
            options.insert("k", k.to_string());
        }
        if self.architecture == "matching_pursuit" {
            let rounds = self.max_iterations.unwrap_or(self.d_in);
            options.insert("k", rounds.to_string());
            // The default of `SAELens`.
            let residual = self.residual_threshold.unwrap_or(1e-2);
            options.insert("residual", residual.to_string());
        }
        // The last level always holds all latents; a model of one level has no option.
        if let Some([inner @ .., _]) = self.matryoshka_widths.as_deref()
            && !inner.is_empty()
        {
            let shares = inner.iter().map(|end| *end as f64 / self.d_sae as f64);
            let shares: Vec<String> = shares.map(|share| share.to_string()).collect();
            options.insert("levels", shares.join(","));
        }
        options
    }

    /// Refuses a model that computes something else than its architecture does here, with wrong results.
    pub(super) fn check_forward(&self, path: &Path, kind: SaelensKind) -> Result<()> {
        let expected = |key: &str, expected: &str, got: &str| {
            let why = format!("{key}: expected {expected}, got {got}");
            Err(Error::format(path, why))
        };
        if let SaelensKind::Pursuit { .. } = kind {
            if self.apply_b_dec_to_input == Some(false) {
                return expected("apply_b_dec_to_input", "true", "false");
            }
            if self.stop_on_duplicate_support == Some(false) {
                return expected("stop_on_duplicate_support", "true", "false");
            }
            if self.rescale_acts_by_decoder_norm == Some(true) {
                return expected("rescale_acts_by_decoder_norm", "false", "true");
            }
        }
        Ok(())
    }

    /// Refuses changes of the rows that are not understood.
    pub(super) fn check_rows(&self, path: &Path) -> Result<()> {
        let normalisations = NORMALISATIONS.iter().map(|(theirs, _)| *theirs);
        let mut known = ["", "none", PREPROCESS].into_iter().chain(normalisations);
        let got = self.normalize_activations.as_str();
        if known.all(|name| name != got) {
            let mut why = format!(
                "normalize_activations: expected none, constant_norm_rescale or layer_norm, got {got}"
            );
            if got == "expected_average_only_in" {
                why += ", a factor that the folder does not hold; fold it into the weights with SAELens first \
                        (fold_activation_norm_scaling_factor)";
            }
            return Err(Error::format(path, why));
        }
        match self.reshape_activations.as_deref() {
            None | Some("" | "none" | "hook_z") => Ok(()),
            Some(other) => {
                let why = format!("reshape_activations: expected none or hook_z, got {other}");
                Err(Error::format(path, why))
            }
        }
    }

    /// Refuses an image shape with another number of pixels than a raw row has values.
    pub(super) fn check_image_shape(&self, path: &Path, raw_d_in: usize) -> Result<()> {
        match self.metadata.image_shape {
            Some((height, width)) if image_channels((height, width), raw_d_in).is_none() => {
                Err(Error::Shape {
                    what: format!("{}: image_shape", path.display()),
                    expected: format!("{raw_d_in} pixels, or a third of them for colour"),
                    got: format!("{height} x {width}"),
                })
            }
            _ => Ok(()),
        }
    }

    /// Input and output columns, after a check of the sizes.
    pub(super) fn io(&self, path: &Path, architecture: &Architecture) -> Result<IoSpec> {
        let bad = |why: String| Err(Error::format(path, why));
        let Config {
            d_in, d_out, d_sae, ..
        } = *self;
        let widest = d_in.max(d_out.unwrap_or(0));
        if d_in == 0 || d_sae == 0 || d_out == Some(0) || widest.checked_mul(d_sae).is_none() {
            return bad(format!(
                "expected d_in and d_sae of a real model, got {d_in} and {d_sae}"
            ));
        }
        let whole = vec![d_in];
        let inputs = self.metadata.rarefy_inputs.as_ref().unwrap_or(&whole);
        let together = inputs
            .iter()
            .try_fold(0usize, |sum, width| sum.checked_add(*width));
        if inputs.contains(&0) || together != Some(d_in) {
            return bad(format!(
                "rarefy_inputs: expected widths that add up to d_in {d_in}, got {inputs:?}"
            ));
        }
        let dense = architecture.dense().is_some();
        if dense && d_out.is_some() {
            return bad(
                "d_out: expected no such key: this architecture reconstructs its own input".into(),
            );
        }
        let io = IoSpec::new(inputs, d_out)?;
        let centre = self.apply_b_dec_to_input;
        if io.has_target() && centre == Some(true) {
            return bad("apply_b_dec_to_input: expected false with d_out, got true".into());
        }
        // A dense architecture never subtracts `b_dec`, whatever a file says.
        let centre = if dense || io.has_target() {
            io.centre
        } else {
            centre.unwrap_or(true)
        };
        let skip = self.architecture.contains("skip");
        Ok(io.with_centre(centre).with_skip(skip))
    }
}
