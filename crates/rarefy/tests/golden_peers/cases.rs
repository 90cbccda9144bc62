//! Fixtures of other libraries, each with the equal settings of ours.

use rarefy::config::DecoderNorm;

/// Fixture of another library with the equal settings of ours.
pub struct Case {
    pub file: &'static str,
    pub arch: &'static str,
    pub options: &'static [(&'static str, &'static str)],
    pub norm: DecoderNorm,
    pub clip: Option<f64>,
    pub beta1: f64,
    pub centred: bool,
    /// The package's names of the parts of our loss.
    pub reconstruction: &'static [&'static str],
    pub penalty: &'static [&'static str],
    pub auxiliary: &'static [&'static str],
}

const SAELENS: Case = Case {
    file: "",
    arch: "",
    options: &[],
    norm: DecoderNorm::Free,
    clip: Some(1.0),
    beta1: 0.9,
    centred: true,
    reconstruction: &["mse_loss"],
    penalty: &[],
    auxiliary: &[],
};

const RELU: Case = Case {
    arch: "relu",
    penalty: &["l1_loss"],
    ..SAELENS
};

const JUMPRELU: Case = Case {
    arch: "jumprelu",
    penalty: &["l0_loss"],
    ..SAELENS
};

const TOPK: Case = Case {
    auxiliary: &["auxiliary_reconstruction_loss"],
    ..SAELENS
};

/// `SAELens`'s auxiliary loss, five latents of a row.
const FIVE: &[(&str, &str)] = &[
    ("k", "5"),
    ("aux_unit", "absolute"),
    ("aux_coefficient", "1"),
];

const MATRYOSHKA: Case = Case {
    arch: "matryoshka",
    options: &[
        ("k", "4.3"),
        ("levels", "0.2,0.5"),
        ("level_weights", "1,1,1"),
        ("aux_unit", "absolute"),
        ("aux_coefficient", "1"),
    ],
    reconstruction: &["mse_loss", "inner_mse_loss_8", "inner_mse_loss_20"],
    ..TOPK
};

const MATRYOSHKA_BY_LEVEL: Case = Case {
    options: &[
        ("k", "4.3"),
        ("levels", "0.2,0.5"),
        ("level_weights", "1,1,1"),
        ("aux_unit", "absolute"),
        ("aux_coefficient", "1"),
        ("aux_by_level", "true"),
    ],
    ..MATRYOSHKA
};

const DL: Case = Case {
    arch: "relu",
    norm: DecoderNorm::Unit,
    clip: None,
    penalty: &["sparsity_loss"],
    ..SAELENS
};

pub const CASES: &[Case] = &[
    Case {
        file: "saelens_standard_l1",
        options: &[("l1", "0.3")],
        ..RELU
    },
    Case {
        file: "saelens_standard_lp_half",
        options: &[("l1", "0.004"), ("p", "0.5")],
        ..RELU
    },
    Case {
        file: "saelens_standard_l2_warm_up",
        options: &[("l1", "0.5"), ("p", "2")],
        ..RELU
    },
    Case {
        file: "saelens_standard_not_centred",
        options: &[("l1", "0.3")],
        centred: false,
        ..RELU
    },
    Case {
        file: "saelens_topk_plain",
        arch: "topk",
        options: &[
            ("k", "5"),
            ("aux_unit", "absolute"),
            ("aux_coefficient", "0.5"),
        ],
        ..TOPK
    },
    Case {
        file: "saelens_abstopk_plain",
        arch: "abs-topk",
        options: FIVE,
        ..TOPK
    },
    Case {
        file: "saelens_batchtopk_plain",
        arch: "batch-topk",
        options: &[
            ("k", "4.2"),
            ("aux_unit", "absolute"),
            ("aux_coefficient", "1"),
        ],
        ..TOPK
    },
    Case {
        file: "saelens_topk_rescaled",
        arch: "topk",
        options: FIVE,
        norm: DecoderNorm::Rescale,
        ..TOPK
    },
    Case {
        file: "saelens_abstopk",
        arch: "abs-topk",
        options: FIVE,
        norm: DecoderNorm::Rescale,
        ..TOPK
    },
    Case {
        file: "saelens_batchtopk",
        arch: "batch-topk",
        options: &[
            ("k", "3.7"),
            ("aux_unit", "absolute"),
            ("aux_coefficient", "1"),
        ],
        norm: DecoderNorm::Rescale,
        ..TOPK
    },
    Case {
        file: "saelens_matryoshka",
        norm: DecoderNorm::Rescale,
        ..MATRYOSHKA
    },
    Case {
        file: "saelens_matryoshka_aux_by_level",
        norm: DecoderNorm::Rescale,
        ..MATRYOSHKA_BY_LEVEL
    },
    Case {
        file: "saelens_jumprelu_step",
        options: &[("l0", "0.1"), ("bandwidth", "0.3")],
        ..JUMPRELU
    },
    Case {
        file: "saelens_jumprelu_clamped",
        options: &[("l0", "0.0001"), ("bandwidth", "0.3")],
        ..JUMPRELU
    },
    Case {
        file: "saelens_jumprelu_tanh",
        options: &[("l0", "0.1"), ("bandwidth", "0.3"), ("penalty", "tanh")],
        ..JUMPRELU
    },
    Case {
        file: "saelens_jumprelu_quadratic",
        options: &[
            ("l0", "0.1"),
            ("bandwidth", "0.3"),
            ("penalty", "quadratic"),
            ("target_l0", "6"),
        ],
        ..JUMPRELU
    },
    Case {
        file: "saelens_jumprelu_pre_act",
        options: &[
            ("l0", "0.1"),
            ("bandwidth", "0.3"),
            ("pre_act", "0.05"),
            ("aux_coefficient", "0"),
        ],
        penalty: &["l0_loss", "pre_act_loss"],
        ..JUMPRELU
    },
    Case {
        file: "saelens_jumprelu_step_ste",
        options: &[
            ("l0", "0.1"),
            ("bandwidth", "0.3"),
            ("ste_to_input", "true"),
        ],
        ..JUMPRELU
    },
    Case {
        file: "saelens_jumprelu_tanh_ste_pre_act",
        options: &[
            ("l0", "0.1"),
            ("bandwidth", "0.3"),
            ("penalty", "tanh"),
            ("ste_to_input", "true"),
            ("pre_act", "0.05"),
            ("aux_coefficient", "0"),
        ],
        penalty: &["l0_loss", "pre_act_loss"],
        ..JUMPRELU
    },
    Case {
        file: "saelens_gated",
        arch: "gated",
        options: &[("l1", "0.3"), ("gate_decoder", "learns")],
        penalty: &["l1_loss"],
        ..TOPK
    },
    Case {
        file: "saelens_matryoshka_plain_norms",
        ..MATRYOSHKA
    },
    Case {
        file: "saelens_matryoshka_aux_by_level_plain_norms",
        ..MATRYOSHKA_BY_LEVEL
    },
    Case {
        file: "saelens_matching_pursuit",
        arch: "matching-pursuit",
        options: &[("k", "6"), ("residual", "0.7")],
        ..SAELENS
    },
    Case {
        file: "dl_standard",
        options: &[("l1", "0.2")],
        ..DL
    },
    Case {
        file: "dl_standard_resampled",
        options: &[("l1", "0.2")],
        ..DL
    },
    Case {
        file: "dl_april",
        options: &[("l1", "0.2")],
        norm: DecoderNorm::Free,
        clip: Some(1.0),
        ..DL
    },
    Case {
        file: "dl_jumprelu",
        arch: "jumprelu",
        options: &[
            ("l0", "1"),
            ("bandwidth", "0.1"),
            ("penalty", "target"),
            ("target_l0", "6"),
        ],
        clip: Some(1.0),
        beta1: 0.0,
        centred: false,
        ..DL
    },
    Case {
        file: "dl_gated",
        arch: "gated",
        options: &[("l1", "0.2"), ("gate_decoder", "fixed")],
        beta1: 0.0,
        auxiliary: &["aux_loss"],
        ..DL
    },
    Case {
        file: "dl_matryoshka",
        arch: "matryoshka",
        // Its mean over three levels of losses with weights 0.5, 0.3, 0.2.
        options: &[
            ("k", "4"),
            ("levels", "0.25,0.5"),
            (
                "level_weights",
                "0.16666666666666666,0.1,0.06666666666666667",
            ),
        ],
        clip: Some(1.0),
        reconstruction: &["l2_loss_9", "l2_loss_18", "l2_loss_37"],
        penalty: &[],
        auxiliary: &["auxk_loss"],
        ..DL
    },
    Case {
        file: "dl_p_anneal_lp",
        ..DL
    },
    Case {
        file: "dl_p_anneal_lp_p",
        options: &[("p_root", "false")],
        ..DL
    },
];
