//! The objectives of other libraries and papers, written as their sources write them, on rows as they scale them.
//!
//! Each is worked out on made-up weights for scaled rows. Ours, of the rows as they are, with the numbers that
//! `published` gives, must be that times one constant, `factor scale^2`, whatever the weights: then minima and
//! gradients are the same.

use rarefy::data::{Memory, survey};
use rarefy::explain::{RowStatistics, Setting, published};
use rarefy::objective::Rank;
use rarefy::variants::{self, Options};

use super::batch::{Batch, D_IN, D_SAE, Made, minus, spread, square};
use super::setting;

/// Coefficients of somebody, and their objective on a batch of scaled rows.
struct Case {
    arch: &'static str,
    /// Our options beside the converted ones.
    options: &'static [(&'static str, &'static str)],
    from: &'static str,
    loss: fn(&Batch) -> f64,
}

fn mse(b: &Batch) -> f64 {
    b.mean(|i| square(&b.left(i, D_SAE)))
}

/// Variance of the rows: `sum_i |x_i - mean x|^2 / m`.
fn variance(b: &Batch) -> f64 {
    spread(&b.x) / b.n()
}

/// Squared error of the k largest entries of dead latents against the residual, mean over rows.
fn helped(b: &Batch, k: usize, rank: Rank) -> f64 {
    b.mean(|i| {
        let out = b.decode(&b.helpers(i, k, (0, D_SAE), rank), D_SAE);
        square(&minus(&b.left(i, D_SAE), &out))
    })
}

fn dead(b: &Batch) -> f64 {
    b.dead.iter().filter(|dead| **dead).count() as f64
}

/// The gate's own reconstruction.
fn gate(b: &Batch) -> f64 {
    b.mean(|i| {
        square(&minus(
            &minus(&b.x[i], &b.b_dec),
            &b.decode(&b.gate(i), D_SAE),
        ))
    })
}

const TOPK: &[(&str, &str)] = &[("k", "3"), ("aux_k", "2"), ("dead_after", "1000")];
const NONE_DEAD: &[(&str, &str)] = &[("aux_coefficient", "0")];

const CASES: &[Case] = &[
    // StandardTrainingSAE: l1_coefficient times the p-norm of f |w|.
    Case {
        arch: "relu",
        options: NONE_DEAD,
        from: "saelens-scaled:l1_coefficient=5",
        loss: |b| mse(b) + 5.0 * b.lengths(|u| u),
    },
    Case {
        arch: "relu",
        options: NONE_DEAD,
        from: "saelens-scaled:l1_coefficient=0.7,lp_norm=0.5",
        loss: |b| {
            let norm = |i: usize| {
                b.kept[i]
                    .iter()
                    .map(|(j, f)| (f * b.norm(*j)).sqrt())
                    .sum::<f64>()
                    .powi(2)
            };
            mse(b) + 0.7 * b.mean(norm)
        },
    },
    // The April update, E|x| = sqrt(D).
    Case {
        arch: "relu",
        options: NONE_DEAD,
        from: "april-2024",
        loss: |b| mse(b) + 5.0 * b.lengths(|u| u),
    },
    // StandardTrainerAprilUpdate on rows of unit mean squared norm.
    Case {
        arch: "relu",
        options: NONE_DEAD,
        from: "dictionary-learning-scaled:l1_penalty=0.1",
        loss: |b| mse(b) + 0.1 * b.lengths(|u| u),
    },
    // VanillaSAE of the BatchTopK code: .pow(2).mean(), of both dimensions (its decoder rows have length 1).
    Case {
        arch: "relu",
        options: NONE_DEAD,
        from: "batchtopk:l1_coeff=0.02",
        loss: |b| mse(b) / D_IN as f64 + 0.02 * b.lengths(|u| u),
    },
    // GatedTrainingSAE.
    Case {
        arch: "gated",
        options: NONE_DEAD,
        from: "saelens-scaled:l1_coefficient=2",
        loss: |b| {
            let paid = |i: usize| b.gate(i).iter().map(|(j, pi)| pi * b.norm(*j)).sum();
            mse(b) + 2.0 * b.mean(paid) + gate(b)
        },
    },
    // JumpReLUTrainingSAE with tanh, as in January 2025; the dead pay.
    Case {
        arch: "jumprelu",
        options: &[("aux_coefficient", "0"), ("dead_after", "1000")],
        from: "january-2025:lambda_S=0.5,lambda_P=0.03,theta=0.1",
        loss: |b| mse(b) + 0.5 * b.lengths(|u| (4.0 * u).tanh()) + 0.03 * b.lift(),
    },
    // The JumpReLU paper: |e|^2 + lambda |f|_0 on rows of unit mean squared norm.
    Case {
        arch: "jumprelu",
        options: NONE_DEAD,
        from: "deepmind:lambda=0.003",
        loss: |b| mse(b) + 0.003 * b.mean(|i| b.l0(i)),
    },
    // JumpReluTrainer: sparsity_penalty ((l0 / target) - 1)^2.
    Case {
        arch: "jumprelu",
        options: NONE_DEAD,
        from: "dictionary-learning-scaled:sparsity_penalty=1.5,target_l0=4,bandwidth=0.1",
        loss: |b| mse(b) + 1.5 * (b.mean(|i| b.l0(i)) / 4.0 - 1.0).powi(2),
    },
    // TopKTrainer: l2 + auxk_alpha normalised auxk.
    Case {
        arch: "topk",
        options: TOPK,
        from: "dictionary-learning-scaled:auxk_alpha=0.5",
        loss: |b| mse(b) + 0.5 * helped(b, 2, Rank::Positive) * b.n() / b.spread(D_SAE),
    },
    // SparseCoder: fvu + auxk_alpha scale sum (e_hat - e)^2 / total_variance.
    Case {
        arch: "topk",
        options: TOPK,
        from: "sparsify:auxk_alpha=0.5",
        loss: |b| {
            let scale = (dead(b) / 2.0).min(1.0);
            (mse(b) + 0.5 * scale * helped(b, 2, Rank::Signed)) / variance(b)
        },
    },
    // train.py: mse_scale mse + 1/32 normalised mse of the residual.
    Case {
        arch: "topk",
        options: TOPK,
        from: "openai",
        loss: |b| {
            mse(b) / variance(b)
                + 1.0 / 32.0 * helped(b, 2, Rank::Positive) * b.n() / b.spread(D_SAE)
        },
    },
    // TopKTrainingSAE: coefficient scale mean sum (recons - residual)^2.
    Case {
        arch: "topk",
        options: TOPK,
        from: "saelens-scaled:aux_loss_coefficient=0.25",
        loss: |b| mse(b) + 0.25 * (dead(b) / 2.0).min(1.0) * helped(b, 2, Rank::Signed),
    },
    // TopKSAE of the BatchTopK code, .mean() again.
    Case {
        arch: "topk",
        options: TOPK,
        from: "batchtopk:aux_penalty=0.25",
        loss: |b| (mse(b) + 0.25 * helped(b, 2, Rank::Signed)) / D_IN as f64,
    },
];

pub fn all() {
    for case in CASES {
        for seed in 0..4 {
            check(case, seed);
        }
    }
}

/// Ours, with what `published` says, against theirs.
fn check(case: &Case, seed: usize) {
    let info = variants::find(case.arch).unwrap();
    let given = case.options.iter().map(|(k, v)| (*k, (*v).to_owned()));
    let plain = setting(info, Options::check(info.options(), given).unwrap());
    let mut made = Made::up(&plain.architecture);
    // Other weights, in the same range.
    let count = made.params.values().len();
    made.params.get_mut("w_enc").rotate_left(3 * seed);
    made.params.get_mut("w_dec").rotate_left(5 * seed % count);
    let rows = Memory::new("made up", D_IN, made.rows.clone());
    let rows = RowStatistics::measure(&rows, &survey(&rows).unwrap()).unwrap();
    let found = published(case.from, &plain, Some(&rows)).unwrap();
    let frame = found.frame.unwrap();

    let ours = with(
        &plain,
        found
            .numbers
            .iter()
            .map(|n| (n.theirs.option, n.here.unwrap().to_string())),
        &found.with,
    );
    let theirs = with(
        &plain,
        found
            .numbers
            .iter()
            .map(|n| (n.theirs.option, n.there.to_string())),
        &found.with,
    );
    let (report, _) = made.step(&ours);
    let (_, batch) = made.scaled(frame.scale as f32).step(&theirs);
    let ours = report.reconstruction + report.penalty + report.auxiliary;
    let expected = (case.loss)(&batch);
    let got = ours * frame.factor * frame.scale * frame.scale;
    let apart = (got - expected).abs() / expected;
    assert!(
        apart < 2e-5,
        "{}, weights {seed}: {got} from ours, {expected} theirs",
        case.from
    );
}

/// A setting with other options.
fn with(
    plain: &Setting,
    numbers: impl Iterator<Item = (&'static str, String)>,
    words: &[(&'static str, &'static str)],
) -> Setting {
    let mut options = plain.options.clone();
    numbers.for_each(|(option, value)| options.set(option, value));
    for (option, value) in words.iter().filter(|(option, _)| *option != "decoder_norm") {
        options.set(option, value);
    }
    setting(plain.info, options)
}
