//! Tests of the tables of conventions, conversions and printed formulas.

use super::*;
use crate::config;
use crate::objective::{Groups, Identity, L1Norm, Objective};
use crate::variants::{Info, Kind, VARIANTS};

/// Options that a scale of the rows does not change. An option that is neither here nor in `units.rs` has not
/// been thought about.
const SAME_EVERYWHERE: &[&str] = &[
    "aux_k",
    "dead_after",
    "frequency_scale",
    "k",
    "multi_k",
    "multi_weight",
    "orthogonality_chunk",
    "p",
    "rho",
    "rho_decay",
    "target_l0",
    "threshold_decay",
];

fn setting(text: &str) -> Setting {
    Setting::without_data(&config::merge(&[text.parse().unwrap()]).unwrap()).unwrap()
}

fn rows() -> RowStatistics {
    RowStatistics {
        rows: 100,
        d_in: 25,
        mean_norm: 2.0,
        mean_square: 16.0,
        variance: 8.0,
    }
}

#[test]
fn every_number_has_a_unit_or_needs_none() {
    for info in VARIANTS {
        let options = Options::check(info.options(), []).unwrap();
        for option in info.options().iter().filter(|o| units::is_number(o)) {
            let scaled = unit_of(info, option.name, &options) != Unit::Number;
            let same = SAME_EVERYWHERE.contains(&option.name);
            assert!(
                scaled != same,
                "{}: how does {} change when rows are scaled?",
                info.name,
                option.name
            );
        }
    }
}

/// Coefficients and needed options exist, and each convention lists the coefficients that the blocks state.
#[test]
fn conventions_name_what_exists() {
    let mut stated = Vec::new();
    for (convention, info) in CONVENTIONS
        .iter()
        .flat_map(|c| VARIANTS.iter().map(move |info| (c, info)))
    {
        for theirs in convention.of(info) {
            stated.push((convention.name, theirs.name));
            let needs = theirs.needs.iter().map(|(name, values)| (*name, *values));
            let with = theirs.with.iter();
            let with = with.map(|(name, value)| (*name, std::slice::from_ref(value)));
            for (name, values) in needs
                .chain(with)
                .filter(|(name, _)| *name != "decoder_norm")
            {
                let option = info.options().iter().find(|o| o.name == name);
                let option = option.unwrap_or_else(|| panic!("{} has no {name}", info.name));
                if let Kind::Choice(words) = option.kind {
                    assert!(
                        values.iter().all(|v| words.contains(v)),
                        "{name}: {values:?}"
                    );
                }
            }
        }
    }
    let listed = CONVENTIONS
        .iter()
        .flat_map(|c| c.coefficients.iter().map(|name| (c.name, *name)));
    for name in listed.clone() {
        assert!(stated.contains(&name), "no block has {name:?}");
    }
    for name in &stated {
        assert!(listed.clone().any(|other| other == *name), "{name:?}");
    }
}

/// A block names conventions that exist.
#[test]
fn conversions_of_blocks_name_conventions_that_exist() {
    let known = |name: &&str| {
        CONVENTIONS
            .iter()
            .any(|convention| convention.name == *name)
    };
    for block in VARIANTS.iter().flat_map(Info::conversions) {
        let coefficients = block.coefficients.iter().flat_map(|c| c.conventions);
        let notes = block.notes.iter().flat_map(|note| note.conventions);
        assert!(coefficients.chain(notes).all(known), "{block:?}");
    }
}

/// A new architecture of known blocks has the conversions of these blocks.
#[test]
fn conversions_of_an_objective_are_those_of_its_blocks() {
    let new = Objective::new(Groups { groups: 4 }, Identity).with_term(L1Norm {
        weight: Number::Known(0.5),
        p: 1.0,
        root: true,
    });
    let all = new.conversions();
    let of = |convention: &str| -> Vec<&str> {
        let coefficients = all.iter().flat_map(|block| block.coefficients);
        let ours = coefficients.filter(|theirs| theirs.conventions.contains(&convention));
        ours.map(|theirs| theirs.name).collect()
    };
    assert_eq!(of("saelens"), ["l1_coefficient", "lp_norm"]);
    assert_eq!(of("sparsify"), ["k", "auxk_alpha"]);
}

#[test]
fn there_and_back_is_the_same_number() {
    let frame = Frame {
        scale: 3.0,
        factor: 0.25,
    };
    for unit in [
        Unit::Weight(0.5),
        Unit::Activation,
        Unit::PerActivation,
        Unit::Number,
    ] {
        let back = frame.there(unit, frame.here(unit, 0.7));
        assert!((back - 0.7).abs() < 1e-15, "{unit:?}: {back}");
    }
}

/// Options of published coefficients as `option=value`, separated by spaces.
fn options(published: &Published) -> Option<String> {
    let options = published.options()?;
    let pairs = options
        .iter()
        .map(|(option, value)| format!("{option}={value}"));
    Some(pairs.collect::<Vec<_>>().join(" "))
}

/// By hand, for D = 25, E|x| = 2, E|x|^2 = 16 and a variance of 8.
#[test]
fn published_numbers_by_hand() {
    let cases = [
        // s = 5/2: 5 / 2.5.
        ("relu", "april-2024", "l1=2"),
        ("relu", "saelens:l1=5", "l1=5"),
        ("relu", "saelens-scaled:l1_coefficient=5", "l1=2"),
        // s = 1/4: 0.1 / (1/4).
        (
            "relu",
            "dictionary-learning-scaled:l1_penalty=0.1",
            "l1=0.4",
        ),
        ("gated", "dictionary-learning-scaled:l1=0.1", "l1=0.4"),
        ("gated", "saelens:l1=5", "l1=5 gate_decoder=learns"),
        // Mean over 25 inputs.
        ("relu", "batchtopk:l1_coeff=0.01", "l1=0.25"),
        // lambda / s^2; theta / s, epsilon / s.
        (
            "jumprelu",
            "deepmind:lambda=0.001",
            "l0=0.016 bandwidth=0.004 threshold=0.004",
        ),
        // c s = 10.
        (
            "jumprelu",
            "january-2025:lambda_S=5",
            "l0=0.8 tanh_scale=10 bandwidth=0.8 threshold=0.04 pre_act=1.2e-6 penalty=tanh ste_to_input=true",
        ),
        (
            "jumprelu",
            "dictionary-learning:sparsity_penalty=2",
            "l0=2 penalty=target",
        ),
        // 1/32 of the variance; coefficients in units of the loss stay unchanged.
        ("topk", "openai", "aux_coefficient=0.25"),
        (
            "topk",
            "sparsify:auxk_alpha=0.5,k=16",
            "aux_coefficient=0.5 k=16 aux_unit=absolute",
        ),
        (
            "topk",
            "dictionary-learning-scaled:auxk_alpha=0.03125",
            "aux_coefficient=0.5",
        ),
        (
            "kl",
            "matlab:SparsityRegularization=4,SparsityProportion=0.1",
            "beta=2 rho=0.1",
        ),
    ];
    for (arch, spec, expected) in cases {
        let setting = setting(&format!("[model]\narch = '{arch}'\ndecoder_norm = 'free'"));
        let published = published(spec, &setting, Some(&rows())).unwrap();
        assert_eq!(options(&published).unwrap(), expected, "{arch}, {spec}");
    }
}

/// A share of the variance is the same on rows of any scale: `J' = c |x' - x_hat'|^2 = |x - x_hat|^2 / V`.
#[test]
fn share_of_the_variance_is_independent_of_the_scale() {
    for scaling in [Scaling::None, Scaling::MeanNorm, Scaling::MeanSquare] {
        let convention = Convention {
            name: "made up",
            summary: "",
            scaling,
            loss: Loss::Variance,
            coefficients: &[],
            notes: &[],
        };
        let frame = convention.frame(Some(&rows())).unwrap();
        let share = frame.factor * frame.scale * frame.scale;
        assert!((share - 1.0 / 8.0).abs() < 1e-15, "{scaling:?}: {share}");
    }
}

/// The power decides how the penalty grows: sums of p-th powers by s^p, norms by s.
#[test]
fn a_power_changes_the_coefficient() {
    let scaled = |options: &str| {
        let setting = setting(&format!(
            "[model]\narch = 'relu'\noptions = {{ l1 = 1.0, p = 0.5{options} }}"
        ));
        let all = coefficients(&setting, Some(&rows()));
        let l1 = all.iter().find(|c| c.option == "l1").unwrap();
        (
            l1.unit,
            l1.elsewhere
                .iter()
                .map(|e| e.convention.name)
                .collect::<Vec<_>>(),
        )
    };
    let (unit, names) = scaled("");
    assert_eq!(
        (unit, names),
        (Unit::Weight(1.0), vec!["saelens", "saelens-scaled"])
    );
    let (unit, names) = scaled(", p_root = false");
    assert_eq!((unit, names.len()), (Unit::Weight(0.5), 0));
}

#[test]
fn coefficients_that_depend_on_rows_are_unknown_without_rows() {
    let setting = setting("[model]\narch = 'relu'");
    let open = published("april-2024", &setting, None).unwrap();
    assert_eq!((open.numbers[0].here, open.options()), (None, None));
    let plain = published("saelens:l1=5", &setting, None).unwrap();
    assert_eq!(options(&plain).unwrap(), "l1=5");
    let l1 = lines(&setting)
        .into_iter()
        .find(|line| line.right.text.starts_with("+ l1/m"));
    assert!(l1.is_some(), "the coefficient stands there by its name");
}

#[test]
fn unknown_conventions_and_coefficients_are_refused_with_the_known_ones() {
    let relu = setting("[model]\narch = 'relu'");
    let error = |spec: &str| {
        published(spec, &relu, Some(&rows()))
            .unwrap_err()
            .to_string()
    };
    assert!(error("saelnes:l1=5").contains("did you mean `saelens`?"));
    assert!(
        error("saelens:l2=5").contains("known: l1_coefficient, lp_norm"),
        "{}",
        error("saelens:l2=5")
    );
    assert!(
        error("saelens:l0=5").contains("architecture relu has no option `l0`; set `model.arch` to an architecture that has it: jumprelu")
    );
    assert!(error("saelens:l1=much").contains("must be COEFFICIENT=NUMBER"));
    assert!(error("saelens").contains("must be saelens:COEFFICIENT=NUMBER for relu"));
}

#[test]
fn numbers_are_printed_in_text_and_latex() {
    let relu = setting(
        "[model]\narch = 'relu'\nlatents = 8\noptions = { l1 = 0.25, p = 0.5, aux_coefficient = 3e-6 }",
    );
    let lines = lines(&relu);
    let text = text(&lines);
    assert!(
        text.contains("+ 0.25/m sum_i (sum_j (f_ij |w_j|)^0.5)^(1/0.5)"),
        "{text}"
    );
    assert!(
        text.contains("+ 3e-6 sum_i |r_i - W_dec^T a_i|^2"),
        "{text}"
    );
    let latex = latex(&lines);
    assert!(latex.contains(r"+ \frac{0.25}{m} \sum_i \bigl("), "{latex}");
    assert!(latex.contains(r"3 \cdot 10^{-6} \frac{"), "{latex}");
    let count = |c: char| latex.matches(c).count();
    assert_eq!(count('{'), count('}'));
}

#[test]
fn hidden_values_are_said() {
    let text = text(&lines(&setting(
        "[model]\narch = 'topk'\n[train]\nmask = 0.2",
    )));
    assert!(
        text.contains("20 % of the values of x_i are hidden here"),
        "{text}"
    );
}

/// Formulas of transcoders call the input x and the output y.
#[test]
fn formulas_of_transcoders_and_crosscoders_name_input_and_output() {
    let written = |text: &str| super::text(&lines(&setting(text)));
    let skip = written("[data]\ntarget = 'y.npy'\n[model]\narch = 'gated'\nskip = true");
    assert!(skip.contains("= W_enc x_i + b_enc"), "{skip}");
    assert!(
        skip.contains("y_hat_i = sum_j f_ij w_j + b_dec + W_skip x_i"),
        "{skip}"
    );
    assert!(skip.contains("1/m sum_i |y_i - y_hat_i|^2"), "{skip}");
    assert!(skip.contains("r_i     = y_i - y_hat_i"), "{skip}");
    assert!(
        skip.contains("max(0, pre_i) + b_dec + W_skip x_i)|^2"),
        "{skip}"
    );
    assert!(!skip.contains("x_hat") && !skip.contains("|x_i"), "{skip}");
    let cross = written("[data]\nwith = ['b.npy']\n[model]\narch = 'relu'");
    assert!(cross.contains("= W_enc x_i + b_enc"), "{cross}");
    assert!(cross.contains("the sum of its parts' lengths"), "{cross}");
    let plain = written("[model]\narch = 'relu'");
    assert!(plain.contains("W_enc (x_i - b_dec) + b_enc") && plain.contains("|x_i - x_hat_i|^2"));
}
