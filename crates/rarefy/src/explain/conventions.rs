//! Conventions of other libraries and papers: names and scales of their coefficients.
//!
//! Read from the sources of `SAELens` 6.54, `dictionary_learning` 0.1, sparsify 1.3, `OpenAI`'s
//! `sparse_autoencoder` and the `BatchTopK` code, and from the papers. `docs/loss.md` derives the rules.

use super::rows::RowStatistics;
use super::units::Frame;
use crate::objective::Theirs;
use crate::variants::Info;

/// Published way to write the objective.
#[derive(Debug)]
pub struct Convention {
    /// Name of the convention, as `rarefy explain` takes it.
    pub name: &'static str,
    /// Library or paper of the convention.
    pub summary: &'static str,
    /// Scaling of the rows before training.
    pub scaling: Scaling,
    /// Normalisation of the reconstruction loss.
    pub loss: Loss,
    /// Names of the coefficients in the convention's order. The building blocks state their options here.
    pub coefficients: &'static [&'static str],
    /// Differences that no coefficient expresses, for all architectures.
    pub notes: &'static [&'static str],
}

/// Factor by which rows are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Factor 1: rows stay as they are.
    None,
    /// Factor `sqrt(d_in) / E|x|`, which gives a mean length of `sqrt(d_in)`.
    MeanNorm,
    /// Factor `1 / sqrt(E|x|^2)`, which gives a mean squared length of 1.
    MeanSquare,
}

/// Normalisation of the squared error, compared with ours (sum over inputs, mean over rows).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Sum over inputs, as here.
    Sum,
    /// Mean over inputs: divided by `d_in`.
    Mean,
    /// Fraction of the rows' variance: divided by `E|x - mean x|^2`.
    Variance,
    /// Twice the error here, which has the factor 1/2 (kl).
    Twice,
}

impl Convention {
    /// Frame of the convention for rows with these statistics; `None` if missing statistics are needed.
    pub fn frame(&self, rows: Option<&RowStatistics>) -> Option<Frame> {
        let scale = match self.scaling {
            Scaling::None => 1.0,
            Scaling::MeanNorm => rows.map(|r| (r.d_in as f64).sqrt() / r.mean_norm)?,
            Scaling::MeanSquare => rows.map(|r| 1.0 / r.mean_square.sqrt())?,
        };
        let factor = match self.loss {
            Loss::Sum => 1.0,
            Loss::Mean => rows.map(|r| 1.0 / r.d_in as f64)?,
            // Variance of the scaled rows.
            Loss::Variance => rows.map(|r| 1.0 / (scale * scale * r.variance))?,
            Loss::Twice => 2.0,
        };
        let frame = Frame { scale, factor };
        (scale.is_finite() && factor.is_finite()).then_some(frame)
    }

    /// Sentences on differences that no coefficient expresses, for an architecture.
    pub fn notes(&self, info: &Info) -> Vec<&'static str> {
        let mut found = self.notes.to_vec();
        for note in info.conversions().iter().flat_map(|block| block.notes) {
            if note.conventions.contains(&self.name) && !found.contains(&note.text) {
                found.push(note.text);
            }
        }
        found
    }

    /// Coefficients that the convention has for an architecture, in the convention's order.
    pub fn of(&self, info: &Info) -> Vec<&'static Theirs> {
        let has = |option: &str| info.options().iter().any(|other| other.name == option);
        let blocks = info.conversions();
        let mut found = Vec::new();
        for theirs in blocks.iter().flat_map(|block| block.coefficients) {
            let ours = theirs.conventions.contains(&self.name) && has(theirs.option);
            if ours && !found.contains(&theirs) {
                found.push(theirs);
            }
        }
        let order = |theirs: &&Theirs| {
            let mut names = self.coefficients.iter();
            names.position(|name| *name == theirs.name)
        };
        found.sort_by_key(order);
        found
    }
}

/// Coefficients of both conventions of `SAELens`.
const SAELENS: &[&str] = &[
    "l1_coefficient",
    "lp_norm",
    "l0_coefficient",
    "jumprelu_init_threshold",
    "jumprelu_bandwidth",
    "jumprelu_tanh_scale",
    "target_l0",
    "pre_act_loss_coefficient",
    "aux_loss_coefficient",
    "k",
];

/// Coefficients of both conventions of `dictionary_learning`.
const DICTIONARY_LEARNING: &[&str] = &[
    "l1_penalty",
    "sparsity_penalty",
    "target_l0",
    "bandwidth",
    "auxk_alpha",
    "k",
];

/// All conventions, in the order of the docs.
pub const CONVENTIONS: &[Convention] = &[
    Convention {
        name: "saelens",
        summary: "SAELens with normalize_activations none",
        scaling: Scaling::None,
        loss: Loss::Sum,
        coefficients: SAELENS,
        notes: &[],
    },
    Convention {
        name: "saelens-scaled",
        summary: "SAELens with normalize_activations expected_average_only_in",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        coefficients: SAELENS,
        notes: &["E|x| is estimated on 1000 batches, here on all rows"],
    },
    Convention {
        name: "dictionary-learning",
        summary: "dictionary_learning with normalize_activations False",
        scaling: Scaling::None,
        loss: Loss::Sum,
        coefficients: DICTIONARY_LEARNING,
        notes: &[],
    },
    Convention {
        name: "dictionary-learning-scaled",
        summary: "dictionary_learning with normalize_activations True",
        scaling: Scaling::MeanSquare,
        loss: Loss::Sum,
        coefficients: DICTIONARY_LEARNING,
        notes: &[],
    },
    Convention {
        name: "sparsify",
        summary: "sparsify: fraction of variance unexplained",
        scaling: Scaling::None,
        loss: Loss::Variance,
        coefficients: &["auxk_alpha", "k"],
        notes: &[
            "the variance is of the batch, here of all rows; the gradient of AuxK does not reach the encoder",
        ],
    },
    Convention {
        name: "openai",
        summary: "OpenAI's TopK code: squared error over the variance",
        scaling: Scaling::None,
        loss: Loss::Variance,
        coefficients: &["auxk_coef", "k"],
        notes: &[
            "the variance is of a sample, here of all rows; l1_weight (L1 divided by the length of the row) has no counterpart",
        ],
    },
    Convention {
        name: "batchtopk",
        summary: "the BatchTopK and Matryoshka papers' code: mean over inputs",
        scaling: Scaling::None,
        loss: Loss::Mean,
        coefficients: &["l1_coeff", "bandwidth", "aux_penalty", "top_k"],
        notes: &[
            "input_unit_norm scales each row to mean 0 and variance 1, which no single factor can match",
        ],
    },
    Convention {
        name: "deepmind",
        summary: "the JumpReLU paper and Gemma Scope",
        scaling: Scaling::MeanSquare,
        loss: Loss::Sum,
        coefficients: &["lambda", "epsilon", "theta"],
        notes: &["decoder rows have length 1; b_dec is not subtracted"],
    },
    Convention {
        name: "april-2024",
        summary: "Anthropic, Update on how we train SAEs (April 2024)",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        coefficients: &["lambda"],
        notes: &["lambda rises over the first 5 % of the run; b_dec is not subtracted"],
    },
    Convention {
        name: "january-2025",
        summary: "Anthropic, Dictionary learning optimization techniques (January 2025)",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        coefficients: &["lambda_S", "c", "epsilon", "theta", "lambda_P"],
        notes: &[
            "lambda_P applies to all latents, here to dead latents only; log theta is learned; lambda_S rises over the whole run; b_dec is not subtracted",
        ],
    },
    Convention {
        name: "ng",
        summary: "Ng's CS294A notes, UFLDL, R's autoencoder",
        scaling: Scaling::None,
        loss: Loss::Sum,
        coefficients: &["beta", "lambda", "rho"],
        notes: &[],
    },
    Convention {
        name: "matlab",
        summary: "MATLAB's trainAutoencoder, with the loss of its documentation",
        scaling: Scaling::None,
        loss: Loss::Twice,
        coefficients: &[
            "SparsityRegularization",
            "L2WeightRegularization",
            "SparsityProportion",
        ],
        notes: &["not compared by a run: its source is not public"],
    },
];
