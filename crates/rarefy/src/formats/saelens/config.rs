//! `cfg.json`: what `SAELens` calls things, and what we add.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::PREPROCESS;
use crate::io_spec::IoSpec;
use crate::model::Model;
use crate::variants::{self, Architecture, Objective};
use crate::{Error, Result};

/// What we write to, and need from, `cfg.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) architecture: String,
    pub(super) d_in: usize,
    /// Of a transcoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) d_out: Option<usize>,
    pub(super) d_sae: usize,
    #[serde(default)]
    dtype: String,
    #[serde(default)]
    device: String,
    /// `SAELens` takes true where a file does not say; a transcoder must say false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) apply_b_dec_to_input: Option<bool>,
    /// Whether pre-activations are measured in the lengths of decoder rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rescale_acts_by_decoder_norm: Option<bool>,
    /// Of the topk family; of those that keep the largest of a batch it may be a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<Number>,
    /// Of matching pursuit: rounds at most (all inputs if absent), and what is left when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_iterations: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    residual_threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_on_duplicate_support: Option<bool>,
    /// Of one that is still in training: where its levels end.
    #[serde(skip_serializing_if = "Option::is_none")]
    matryoshka_widths: Option<Vec<usize>>,
    #[serde(default)]
    pub(super) normalize_activations: String,
    #[serde(default)]
    reshape_activations: String,
    #[serde(default)]
    pub(super) metadata: Metadata,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    /// Our own name, where another tool has another.
    #[serde(skip_serializing_if = "Option::is_none")]
    rarefy_architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rarefy_version: Option<String>,
    /// Widths of a crosscoder's inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rarefy_inputs: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_shape: Option<(usize, usize)>,
}

/// What `SAELens` calls what we call so.
pub(super) const NORMALISED: &[(&str, &str)] = &[
    ("constant_norm_rescale", "norm-row"),
    ("layer_norm", "layer-norm"),
];

/// What `SAELens` calls the model's preprocessing, if it has a word for it.
pub(super) fn normalised(model: &Model) -> Option<&'static str> {
    let [step] = model.pipeline.names() else {
        return None;
    };
    let (abroad, _) = NORMALISED.iter().find(|(_, ours)| ours == step)?;
    (model.io.name() == "autoencoder").then_some(abroad)
}

/// Our name for what `SAELens` calls so: a trained model, or one that it keeps while it trains.
fn at_home(architecture: &str) -> &str {
    match architecture {
        "standard" | "transcoder" | "skip_transcoder" => "relu",
        "jumprelu_transcoder" | "jumprelu_skip_transcoder" => "jumprelu",
        "abstopk" => "abs-topk",
        "batchtopk" => "batch-topk",
        "matryoshka_batchtopk" => "matryoshka",
        "matching_pursuit" => "matching-pursuit",
        same => same,
    }
}

/// What `SAELens` calls a trained model that computes the same, if it has one.
pub(super) fn saelens_kind(model: &Model) -> Option<String> {
    let Architecture::Sparse(sparse) = &model.architecture else {
        return None;
    };
    let io = &model.io;
    let skip = if io.skip { "skip_" } else { "" };
    let name = match sparse.saelens_kind() {
        variants::SaelensKind::Standard if io.has_target() => format!("{skip}transcoder"),
        variants::SaelensKind::JumpRelu if io.has_target() => format!("jumprelu_{skip}transcoder"),
        variants::SaelensKind::Own => return None,
        _ if io.has_target() || io.has_several_inputs() => return None,
        variants::SaelensKind::TopK(_) => "topk".into(),
        variants::SaelensKind::AbsTopK(_) => "abstopk".into(),
        variants::SaelensKind::JumpRelu => "jumprelu".into(),
        variants::SaelensKind::Standard => "standard".into(),
        variants::SaelensKind::Gated => "gated".into(),
        variants::SaelensKind::Pursuit { .. } => "matching_pursuit".into(),
    };
    Some(name)
}

/// Our own name, which `SAELens` refuses.
fn own_name(model: &Model) -> String {
    let (name, io) = (model.info.name, &model.io);
    if io.has_target() || io.has_several_inputs() {
        format!("{name} {}", io.name())
    } else {
        name.into()
    }
}

impl Config {
    /// What is written of a model.
    pub(super) fn of(model: &Model) -> Self {
        let io = &model.io;
        let no_words = if model.rows().is_identity() {
            "none"
        } else {
            PREPROCESS
        };
        let options = model.hyper.iter();
        let mut config = Self {
            architecture: model.info.name.into(),
            d_in: io.d_in(),
            d_out: io.target_width(),
            d_sae: model.d_sae,
            dtype: "float32".into(),
            device: "cpu".into(),
            apply_b_dec_to_input: Some(false),
            normalize_activations: normalised(model).unwrap_or(no_words).into(),
            reshape_activations: "none".into(),
            metadata: Metadata {
                rarefy_inputs: io.has_several_inputs().then(|| io.input_widths().to_vec()),
                rarefy_version: Some(env!("CARGO_PKG_VERSION").into()),
                image_shape: model.image_shape,
                ..Metadata::default()
            },
            options: options.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            ..Self::default()
        };
        if let Architecture::Sparse(sparse) = &model.architecture {
            config.describe(model, sparse.saelens_kind());
        }
        config
    }

    /// What `SAELens` wants to know of a model of this kind.
    fn describe(&mut self, model: &Model, kind: variants::SaelensKind) {
        self.apply_b_dec_to_input = Some(model.io.centre);
        self.architecture = saelens_kind(model).unwrap_or_else(|| own_name(model));
        let other = self.architecture != model.info.name;
        self.metadata.rarefy_architecture = other.then(|| model.info.name.into());
        match kind {
            variants::SaelensKind::TopK(k) | variants::SaelensKind::AbsTopK(k) => {
                self.k = Some(k.into());
                self.rescale_acts_by_decoder_norm = Some(false);
            }
            variants::SaelensKind::Pursuit { k, residual } => {
                self.max_iterations = Some(k);
                self.residual_threshold = Some(residual);
                self.stop_on_duplicate_support = Some(true);
            }
            _ => {}
        }
    }

    /// Our name of the architecture.
    pub(super) fn arch(&self) -> &str {
        let own = self.metadata.rarefy_architecture.as_deref();
        own.unwrap_or_else(|| at_home(&self.architecture))
    }

    /// Our options, with what a file of another tool says in its own words.
    pub(super) fn options(&self) -> BTreeMap<&str, String> {
        let own = self.options.iter();
        let mut options: BTreeMap<_, _> = own.map(|(k, v)| (k.as_str(), v.clone())).collect();
        if let Some(k) = &self.k {
            options.insert("k", k.to_string());
        }
        if self.architecture == "matching_pursuit" {
            let rounds = self.max_iterations.unwrap_or(self.d_in);
            options.insert("k", rounds.to_string());
            // What `SAELens` takes where a file does not say.
            let residual = self.residual_threshold.unwrap_or(1e-2);
            options.insert("residual", residual.to_string());
        }
        // Of one level there is nothing to say.
        if let Some([inner @ .., _]) = self.matryoshka_widths.as_deref()
            && !inner.is_empty()
        {
            let shares = inner.iter().map(|end| *end as f64 / self.d_sae as f64);
            let shares: Vec<String> = shares.map(|share| share.to_string()).collect();
            options.insert("levels", shares.join(","));
        }
        options
    }

    /// A model that computes something else than its architecture does here would load and give wrong
    /// numbers.
    pub(super) fn refuse_another_forward(&self, path: &Path, sparse: &Objective) -> Result<()> {
        let refuse = |key: &str, expected: &str, got: &str| {
            let why = format!("{key}: expected {expected}, got {got}");
            Err(Error::format(path, why))
        };
        if sparse.pursues() {
            if self.apply_b_dec_to_input == Some(false) {
                return refuse("apply_b_dec_to_input", "true", "false");
            }
            if self.stop_on_duplicate_support == Some(false) {
                return refuse("stop_on_duplicate_support", "true", "false");
            }
            if self.rescale_acts_by_decoder_norm == Some(true) {
                return refuse("rescale_acts_by_decoder_norm", "false", "true");
            }
        }
        let known = NORMALISED.iter().map(|(abroad, _)| *abroad);
        let mut known = ["", "none", PREPROCESS].into_iter().chain(known);
        let normalised = self.normalize_activations.as_str();
        if known.all(|name| name != normalised) {
            let expected = "none, constant_norm_rescale or layer_norm";
            return refuse("normalize_activations", expected, normalised);
        }
        Ok(())
    }

    /// What the model reads and writes, from sizes that a real model can have.
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
                "d_out: expected none with this architecture, which gives its own input back"
                    .into(),
            );
        }
        let io = IoSpec::new(inputs, d_out)?;
        let off = self.apply_b_dec_to_input;
        if io.has_target() && off == Some(true) {
            return bad("apply_b_dec_to_input: expected false with d_out, got true".into());
        }
        // A dense architecture takes nothing off its rows, whatever a file says.
        let centre = if dense || io.has_target() {
            io.centre
        } else {
            off.unwrap_or(true)
        };
        let skip = self.architecture.contains("skip");
        Ok(io.with_centre(centre).with_skip(skip))
    }
}
