//! The table: libraries, papers, and which of our options each has under which name.

use super::{Convention, Loss, Scaling, Theirs};

const RELU: &[&str] = &["relu"];
const GATED: &[&str] = &["gated"];
const JUMPRELU: &[&str] = &["jumprelu"];
const TOPK: &[&str] = &["topk"];
const KL: &[&str] = &["kl"];
/// What has a number k and dead latents that explain the rest.
const KEEPING: &[&str] = &["topk", "batch-topk", "matryoshka"];
const SAELENS_KEEPING: &[&str] = &["topk", "batch-topk", "matryoshka", "abs-topk"];

type Needs = &'static [(&'static str, &'static [&'static str])];

const ABSOLUTE: Needs = &[("aux_unit", &["absolute"])];
const RESIDUAL: Needs = &[("aux_unit", &["residual"])];
const STEP: Needs = &[("penalty", &["step"])];
const TANH: Needs = &[("penalty", &["tanh"])];
const TARGET: Needs = &[("penalty", &["target"])];
const QUADRATIC: Needs = &[("penalty", &["quadratic"])];
const ROOT: Needs = &[("p_root", &["true"])];
const L1: Needs = &[("p", &["1"])];

const fn same(option: &'static str, name: &'static str, archs: &'static [&'static str]) -> Theirs {
    Theirs {
        option,
        name,
        archs,
        needs: &[],
        with: &[],
        published: None,
    }
}

impl Theirs {
    const fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    const fn with(self, with: &'static [(&'static str, &'static str)]) -> Self {
        Self { with, ..self }
    }

    const fn published(self, value: f64) -> Self {
        Self {
            published: Some(value),
            ..self
        }
    }
}

/// Both lines of `SAELens` have the same coefficients.
const SAELENS: &[Theirs] = &[
    same("l1", "l1_coefficient", RELU).needs(ROOT),
    same("p", "lp_norm", RELU).needs(ROOT),
    same("l1", "l1_coefficient", GATED).with(&[("gate_decoder", "learns")]),
    same("l0", "l0_coefficient", JUMPRELU).needs(&[("penalty", &["step", "tanh", "quadratic"])]),
    same("threshold", "jumprelu_init_threshold", JUMPRELU),
    same("bandwidth", "jumprelu_bandwidth", JUMPRELU),
    same("tanh_scale", "jumprelu_tanh_scale", JUMPRELU).needs(TANH),
    same("target_l0", "target_l0", JUMPRELU).needs(QUADRATIC),
    same("pre_act", "pre_act_loss_coefficient", JUMPRELU),
    same("aux_coefficient", "aux_loss_coefficient", SAELENS_KEEPING).needs(ABSOLUTE),
    same("k", "k", SAELENS_KEEPING),
];

const DICTIONARY_LEARNING: &[Theirs] = &[
    same("l1", "l1_penalty", RELU).needs(L1),
    same("l1", "l1_penalty", GATED).with(&[("gate_decoder", "fixed")]),
    same("l0", "sparsity_penalty", JUMPRELU).needs(TARGET),
    same("target_l0", "target_l0", JUMPRELU).needs(TARGET),
    same("bandwidth", "bandwidth", JUMPRELU),
    same("aux_coefficient", "auxk_alpha", KEEPING).needs(RESIDUAL),
    same("k", "k", KEEPING),
];

const DICTIONARY_LEARNING_NOTE: &str = "decoder rows have length 1 (StandardTrainerAprilUpdate: free). Matryoshka's \
     group_weights are divided by the number of levels once more. Jumprelu takes no b_dec off, and its penalty does not \
     see the lower half of the window";

const SPARSIFY: &[Theirs] = &[
    same("aux_coefficient", "auxk_alpha", TOPK).needs(ABSOLUTE),
    same("k", "k", TOPK),
];

const OPENAI: &[Theirs] = &[
    same("aux_coefficient", "auxk_coef", TOPK)
        .needs(RESIDUAL)
        .published(1.0 / 32.0),
    same("k", "k", TOPK),
];

const BATCHTOPK: &[Theirs] = &[
    same("l1", "l1_coeff", RELU).needs(L1),
    same("l0", "l1_coeff", JUMPRELU).needs(STEP),
    same("bandwidth", "bandwidth", JUMPRELU),
    same("aux_coefficient", "aux_penalty", KEEPING).needs(ABSOLUTE),
    same("k", "top_k", KEEPING),
];

const DEEPMIND: &[Theirs] = &[
    same("l0", "lambda", JUMPRELU).needs(STEP),
    same("bandwidth", "epsilon", JUMPRELU).published(1e-3),
    same("threshold", "theta", JUMPRELU).published(1e-3),
    same("l1", "lambda", GATED).with(&[("gate_decoder", "fixed")]),
];

const APRIL: &[Theirs] = &[same("l1", "lambda", RELU)
    .needs(L1)
    .with(&[("decoder_norm", "free")])
    .published(5.0)];

const JANUARY: &[Theirs] = &[
    same("l0", "lambda_S", JUMPRELU)
        .needs(TANH)
        .with(&[("ste_to_input", "true")]),
    same("tanh_scale", "c", JUMPRELU).needs(TANH).published(4.0),
    same("bandwidth", "epsilon", JUMPRELU).published(2.0),
    same("threshold", "theta", JUMPRELU).published(0.1),
    same("pre_act", "lambda_P", JUMPRELU).published(3e-6),
];

const NG: &[Theirs] = &[
    same("beta", "beta", KL),
    same("weight_decay", "lambda", KL),
    same("rho", "rho", KL),
];

const MATLAB: &[Theirs] = &[
    same("beta", "SparsityRegularization", KL),
    same("weight_decay", "L2WeightRegularization", KL),
    same("rho", "SparsityProportion", KL),
];

/// Everybody, in the order of the docs.
pub const CONVENTIONS: &[Convention] = &[
    Convention {
        name: "saelens",
        summary: "SAELens with normalize_activations none",
        scaling: Scaling::None,
        loss: Loss::Sum,
        terms: SAELENS,
        note: "matryoshka's levels weigh 1 each there",
    },
    Convention {
        name: "saelens-scaled",
        summary: "SAELens with normalize_activations expected_average_only_in",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        terms: SAELENS,
        note: "it estimates E|x| on its first 1000 batches, we take all rows. Matryoshka's levels weigh 1 each there",
    },
    Convention {
        name: "dictionary-learning",
        summary: "dictionary_learning with normalize_activations False",
        scaling: Scaling::None,
        loss: Loss::Sum,
        terms: DICTIONARY_LEARNING,
        note: DICTIONARY_LEARNING_NOTE,
    },
    Convention {
        name: "dictionary-learning-scaled",
        summary: "dictionary_learning with normalize_activations True",
        scaling: Scaling::MeanSquare,
        loss: Loss::Sum,
        terms: DICTIONARY_LEARNING,
        note: DICTIONARY_LEARNING_NOTE,
    },
    Convention {
        name: "sparsify",
        summary: "sparsify: fraction of variance unexplained",
        scaling: Scaling::None,
        loss: Loss::Variance,
        terms: SPARSIFY,
        note: "its variance is the batch's, ours that of all rows; the gradient of its AuxK does not reach the encoder",
    },
    Convention {
        name: "openai",
        summary: "OpenAI's TopK code: squared error over the variance",
        scaling: Scaling::None,
        loss: Loss::Variance,
        terms: OPENAI,
        note: "its l1_weight has no counterpart: it is divided by each row's length",
    },
    Convention {
        name: "batchtopk",
        summary: "the BatchTopK and Matryoshka papers' code: mean over inputs",
        scaling: Scaling::None,
        loss: Loss::Mean,
        terms: BATCHTOPK,
        note: "with input_unit_norm it brings every row to mean 0 and variance 1 first, which no one factor does: do that to \
             the rows before. Its AuxK moves the residual too, and has its full weight however few latents are dead",
    },
    Convention {
        name: "deepmind",
        summary: "the JumpReLU paper and Gemma Scope",
        scaling: Scaling::MeanSquare,
        loss: Loss::Sum,
        terms: DEEPMIND,
        note: "decoder rows have length 1, the encoder takes no b_dec off, and log theta is learned",
    },
    Convention {
        name: "april-2024",
        summary: "Anthropic, Update on how we train SAEs (April 2024)",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        terms: APRIL,
        note: "lambda rises over the first 5 % of the run; the encoder takes no b_dec off",
    },
    Convention {
        name: "january-2025",
        summary: "Anthropic, Dictionary learning optimization techniques (January 2025)",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        terms: JANUARY,
        note: "all latents pay lambda_P there, here the dead alone; log theta is learned; lambda_S rises over the whole run; \
             the encoder takes no b_dec off",
    },
    Convention {
        name: "ng",
        summary: "Ng's CS294A notes, UFLDL, R's autoencoder",
        scaling: Scaling::None,
        loss: Loss::Sum,
        terms: NG,
        note: "",
    },
    Convention {
        name: "matlab",
        summary: "MATLAB's trainAutoencoder, as its documentation writes the loss",
        scaling: Scaling::None,
        loss: Loss::Twice,
        terms: MATLAB,
        note: "not run: its source is not public",
    },
];
