//! Table of conventions: libraries and papers with their coefficients.

use super::{Convention, Loss, Scaling, Theirs};

const RELU: &[&str] = &["relu"];
const GATED: &[&str] = &["gated"];
const JUMPRELU: &[&str] = &["jumprelu"];
const TOPK: &[&str] = &["topk"];
const SPARSIFYS: &[&str] = &["topk", "groupmax"];
const KL: &[&str] = &["kl"];
/// Architectures with a number k and an auxiliary loss of dead latents.
const KEEPING: &[&str] = &["topk", "batch-topk", "matryoshka"];
const SAELENS_KEEPING: &[&str] = &["topk", "batch-topk", "matryoshka", "abs-topk"];

const UNIT: &[&str] = &["relu", "gated", "jumprelu"];
const MATRYOSHKA: &[&str] = &["matryoshka"];

type Notes = &'static [(&'static [&'static str], &'static str)];
type Needs = &'static [(&'static str, &'static [&'static str])];

const ABSOLUTE: Needs = &[("aux_unit", &["absolute"])];
const RESIDUAL: Needs = &[("aux_unit", &["residual"])];
const STEP: Needs = &[("penalty", &["step"])];
const TANH: Needs = &[("penalty", &["tanh"])];
const TARGET: Needs = &[("penalty", &["target"])];
const QUADRATIC: Needs = &[("penalty", &["quadratic"])];
const ROOT: Needs = &[("p_root", &["true"])];
const RESCALED: &[(&str, &str)] = &[("decoder_norm", "rescale")];
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

/// Coefficients of both `SAELens` conventions.
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
    same("aux_coefficient", "aux_loss_coefficient", SAELENS_KEEPING)
        .needs(ABSOLUTE)
        .with(RESCALED),
    same("k", "k", SAELENS_KEEPING).with(RESCALED),
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

const DICTIONARY_LEARNING_NOTES: Notes = &[
    (
        UNIT,
        "decoder rows have length 1 (StandardTrainerAprilUpdate: free)",
    ),
    (
        MATRYOSHKA,
        "a level weighs its group_weight over the number of levels",
    ),
    (
        JUMPRELU,
        "no b_dec is taken off, and the penalty does not see the lower half of the window",
    ),
];

const SPARSIFY: &[Theirs] = &[
    same("aux_coefficient", "auxk_alpha", SPARSIFYS).needs(ABSOLUTE),
    same("k", "k", SPARSIFYS),
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

/// All conventions, in the order of the docs.
pub const CONVENTIONS: &[Convention] = &[
    Convention {
        name: "saelens",
        summary: "SAELens with normalize_activations none",
        scaling: Scaling::None,
        loss: Loss::Sum,
        terms: SAELENS,
        notes: &[(
            MATRYOSHKA,
            "levels weigh 1 each (`model.options.level_weights` of 1,1,...)",
        )],
    },
    Convention {
        name: "saelens-scaled",
        summary: "SAELens with normalize_activations expected_average_only_in",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        terms: SAELENS,
        notes: &[
            (
                &[],
                "E|x| is estimated on 1000 batches, here it is of all rows",
            ),
            (
                MATRYOSHKA,
                "levels weigh 1 each (`model.options.level_weights` of 1,1,...)",
            ),
        ],
    },
    Convention {
        name: "dictionary-learning",
        summary: "dictionary_learning with normalize_activations False",
        scaling: Scaling::None,
        loss: Loss::Sum,
        terms: DICTIONARY_LEARNING,
        notes: DICTIONARY_LEARNING_NOTES,
    },
    Convention {
        name: "dictionary-learning-scaled",
        summary: "dictionary_learning with normalize_activations True",
        scaling: Scaling::MeanSquare,
        loss: Loss::Sum,
        terms: DICTIONARY_LEARNING,
        notes: DICTIONARY_LEARNING_NOTES,
    },
    Convention {
        name: "sparsify",
        summary: "sparsify: fraction of variance unexplained",
        scaling: Scaling::None,
        loss: Loss::Variance,
        terms: SPARSIFY,
        notes: &[(
            &[],
            "the variance is the batch's, here that of all rows; the gradient of AuxK does not reach the encoder",
        )],
    },
    Convention {
        name: "openai",
        summary: "OpenAI's TopK code: squared error over the variance",
        scaling: Scaling::None,
        loss: Loss::Variance,
        terms: OPENAI,
        notes: &[(
            &[],
            "the variance is that of a sample, here of all rows; l1_weight, over each row's length, has no counterpart",
        )],
    },
    Convention {
        name: "batchtopk",
        summary: "the BatchTopK and Matryoshka papers' code: mean over inputs",
        scaling: Scaling::None,
        loss: Loss::Mean,
        terms: BATCHTOPK,
        notes: &[
            (
                &[],
                "with input_unit_norm each row is brought to mean 0 and variance 1, which no one factor does",
            ),
            (
                KEEPING,
                "AuxK moves the residual too, and has its full weight however few latents are dead",
            ),
            (
                MATRYOSHKA,
                "levels weigh 1 / (levels + 1), the bias being one more",
            ),
            (JUMPRELU, "the gradient for log theta lacks a factor theta"),
        ],
    },
    Convention {
        name: "deepmind",
        summary: "the JumpReLU paper and Gemma Scope",
        scaling: Scaling::MeanSquare,
        loss: Loss::Sum,
        terms: DEEPMIND,
        notes: &[
            (&[], "decoder rows have length 1, no b_dec is taken off"),
            (JUMPRELU, "log theta is learned"),
            (
                GATED,
                "as the JumpReLU paper scales its rows; of the Gated paper itself we do not know",
            ),
        ],
    },
    Convention {
        name: "april-2024",
        summary: "Anthropic, Update on how we train SAEs (April 2024)",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        terms: APRIL,
        notes: &[(
            &[],
            "lambda rises over the first 5 % of the run; no b_dec is taken off the rows",
        )],
    },
    Convention {
        name: "january-2025",
        summary: "Anthropic, Dictionary learning optimization techniques (January 2025)",
        scaling: Scaling::MeanNorm,
        loss: Loss::Sum,
        terms: JANUARY,
        notes: &[(
            &[],
            "all latents pay lambda_P, here the dead alone; log theta is learned; lambda_S rises over the whole run; no b_dec is taken off",
        )],
    },
    Convention {
        name: "ng",
        summary: "Ng's CS294A notes, UFLDL, R's autoencoder",
        scaling: Scaling::None,
        loss: Loss::Sum,
        terms: NG,
        notes: &[],
    },
    Convention {
        name: "matlab",
        summary: "MATLAB's trainAutoencoder, as its documentation writes the loss",
        scaling: Scaling::None,
        loss: Loss::Twice,
        terms: MATLAB,
        notes: &[(&[], "not run: its source is not public")],
    },
];
