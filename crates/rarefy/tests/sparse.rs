//! The sparse architectures by hand: selections, codes, figures, the start of a run.

use std::sync::Arc;

use crate::kept::Kept;
use rarefy::Trainer;
use rarefy::codes::Codes;
use rarefy::config;
use rarefy::data::{Memory, Source, survey};
use rarefy::engine::{Encoder, Selection};
use rarefy::io_spec::IoSpec;
use rarefy::metrics::{self, LatentStatus};
use rarefy::model::Model;
use rarefy::params::{Layout, Params};
use rarefy::plan::Plan;
use rarefy::preprocess::{Pipeline, RowContext};
use rarefy::train::{self, State};
use rarefy::variants::{self, Options};

/// An encoder whose pre-activations are the row itself.
fn identity(width: usize) -> Params {
    let mut params = Params::zeros(&Layout::new(&[
        ("w_enc", width, width),
        ("b_enc", 1, width),
        ("w_dec", width, width),
        ("b_dec", 1, width),
    ]));
    for block in ["w_enc", "w_dec"] {
        (0..width).for_each(|j| params.get_mut(block)[j * width + j] = 1.0);
    }
    params
}

fn selected(rows: &[[f32; 4]], selection: Selection) -> Vec<f32> {
    let params = identity(4);
    let mut codes = Codes::new(4);
    Encoder::new(&params).encode(&params, rows.as_flattened(), selection, &mut codes);
    assert_eq!(codes.rows(), rows.len());
    codes.to_dense()
}

/// The cases that the field's own tests of `BatchTopK` pin.
#[test]
fn batch_topk_keeps_the_largest_entries_of_a_batch() {
    let mixed = [[1.0, -2.0, 3.0, -4.0], [-5.0, 6.0, -7.0, 8.0]];
    let kept = selected(&mixed, Selection::Batch(2.0));
    assert_eq!(kept, [1.0, 0.0, 3.0, 0.0, 0.0, 6.0, 0.0, 8.0]);
    // One row may take all.
    let uneven = [[1.0, 2.0, 3.0, 4.0], [-5.0, -6.0, 0.5, -8.0]];
    let kept = selected(&uneven, Selection::Batch(2.0));
    assert_eq!(kept, [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    // 2 rows and k = 1.5: three.
    let kept = selected(&mixed, Selection::Batch(1.5));
    assert_eq!(kept, [0.0, 0.0, 3.0, 0.0, 0.0, 6.0, 0.0, 8.0]);
    // Four are wanted and two positive.
    let few = [[-1.0, 2.0, -3.0, -4.0], [5.0, -6.0, -7.0, -8.0]];
    let kept = selected(&few, Selection::Batch(2.0));
    assert_eq!(kept, [0.0, 2.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]);
}

#[test]
fn topk_keeps_the_largest_and_ties_go_to_the_lower_latent() {
    let rows = [
        [1.0, 3.0, 2.0, 4.0],
        [2.0, 2.0, 2.0, 2.0],
        [-1.0, 0.0, -3.0, 1.0],
    ];
    assert_eq!(
        selected(&rows, Selection::Row(2)),
        [0.0, 3.0, 0.0, 4.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    );
    // Above is strictly above.
    assert_eq!(
        selected(&rows, Selection::Above(2.0)),
        [0.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    );
}

fn noise(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| (i as f32 * 0.7391).sin() + (i as f32 * 0.0137).cos())
        .collect()
}

/// Whatever the rows, the threshold keeps floor(n k) entries of them.
#[test]
fn calibrated_threshold_keeps_floor_n_k_entries() {
    let (d_in, d_sae, n) = (6, 40, 999);
    let mut params = Params::zeros(&Layout::new(&[
        ("w_enc", d_sae, d_in),
        ("b_enc", 1, d_sae),
        ("w_dec", d_sae, d_in),
        ("b_dec", 1, d_in),
    ]));
    params
        .values_mut()
        .iter_mut()
        .enumerate()
        .for_each(|(i, w)| *w = (i as f32 * 1.31).sin());
    let rows = noise(n * d_in);
    for k in [0.0001, 0.01, 1.0, 2.5, 7.0, 12.34] {
        let threshold = train::sparse::calibrate(&IoSpec::autoencoder(d_in), &params, &rows, k);
        let mut codes = Codes::new(d_sae);
        Encoder::new(&params).encode(&params, &rows, Selection::Above(threshold), &mut codes);
        assert_eq!(codes.values.len(), (n as f64 * k).floor() as usize, "{k}");
    }
}

/// `x_hat = 2 f_0 (1, 0) + f_1 (0, 1) + b_dec`, and two more latents: one that never fires, one
/// that always does.
fn by_hand(arch: &str, option: (&str, &str)) -> Model {
    let info = variants::find(arch).unwrap();
    let given = [(option.0, option.1.to_owned())];
    let options = Options::check(info.options(), given).unwrap();
    let architecture = info.build(&options).unwrap();
    let mut params = Params::zeros(&architecture.layout(&IoSpec::autoencoder(2), 4));
    let mut fill = |name: &str, values: &[f32]| params.get_mut(name).copy_from_slice(values);
    fill("w_enc", &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    fill("b_enc", &[0.0, 0.0, -1.0, 8.0]);
    fill("w_dec", &[2.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    fill("b_dec", &[0.5, -0.5]);
    if let Some(threshold) = params.find("threshold") {
        assert_eq!(threshold, [0.0]);
        params.get_mut("threshold")[0] = 1.5;
    }
    Model::autoencoder(info, options, params, Pipeline::identity(2)).unwrap()
}

/// Rows less `b_dec`: (1, 2), (-1, 3), (3, 1), (-1, -1).
const ROWS: [f32; 8] = [1.5, 1.5, -0.5, 2.5, 3.5, 0.5, -0.5, -1.5];

#[track_caller]
fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-6, "{got} instead of {expected}");
}

#[test]
fn metrics_match_values_worked_by_hand() {
    // The two largest of (x_0, x_1, -1, 8): 8 and the larger of x_0, x_1 if it is positive.
    let topk = by_hand("topk", ("k", "2"));
    assert_eq!(
        topk.codes(&ROWS, 0.0).to_dense(),
        [
            [0.0, 2.0, 0.0, 8.0],
            [0.0, 3.0, 0.0, 8.0],
            [3.0, 0.0, 0.0, 8.0],
            [0.0, 0.0, 0.0, 8.0]
        ]
        .concat()
    );
    let x_hat = topk.reconstruct_raw(&ROWS);
    assert_eq!(x_hat, [0.5, 1.5, 0.5, 2.5, 6.5, -0.5, 0.5, -0.5]);
    for copies in [1, 3000] {
        let rows = Memory::new("rows", 2, ROWS.repeat(copies));
        let e = metrics::evaluate(&topk, &rows).unwrap();
        assert_eq!(e.rows, 4 * copies);
        // Errors: (1, 0), (-1, 0), (-3, 1), (-1, -1).
        near(e.mse, (1.0 + 1.0 + 10.0 + 2.0) / 4.0);
        // Less b_dec, the means are 1/2 and 5/4, the mean squares 12/4 and 15/4.
        near(
            e.explained_variance,
            1.0 - e.mse / (3.0 - 0.25 + 3.75 - 1.5625),
        );
        assert_eq!((e.loss, e.reconstruction), (e.mse, e.mse));
        near(e.l0, 7.0 / 4.0);
        assert_eq!((e.dead_latents, e.dead_fraction), (1, 0.25));
        assert_eq!((e.always_on_latents, e.frequent_latents), (1, Some(3)));
        assert!(e.kl.is_none() && e.penalty.is_none() && e.collapsed_latents.is_none());
        let expected = [
            (0.75, 0.25, 0.0, 3.0, LatentStatus::Alive),
            (1.25, 0.5, 0.0, 3.0, LatentStatus::Alive),
            (0.0, 0.0, 0.0, 0.0, LatentStatus::Dead),
            (8.0, 1.0, 8.0, 8.0, LatentStatus::AlwaysOn),
        ];
        for (l, (mean, rate, min, max, status)) in e.latents.iter().zip(expected) {
            near(l.rho_hat, mean);
            near(l.firing_rate, rate);
            assert_eq!((l.min, l.max, l.status), (min, max, status));
        }
        near(e.latents[1].variance, 13.0 / 4.0 - 1.5625);
        // Hoyer over four latents is 2 - L1 / L2.
        let hoyer = |a: f64, b: f64| 2.0 - (a + b) / a.hypot(b);
        let rows = [hoyer(2.0, 8.0), hoyer(3.0, 8.0), hoyer(3.0, 8.0), 1.0];
        near(e.population_sparsity, rows.iter().sum::<f64>() / 4.0);
        let m = 4.0 * copies as f64;
        near(
            e.latents[0].lifetime_sparsity,
            (m.sqrt() - (copies as f64).sqrt()) / (m.sqrt() - 1.0),
        );
    }
    let top = |copies, count| {
        let rows = Memory::new("rows", 2, ROWS.repeat(copies));
        metrics::top_rows(&topk, &rows, count).unwrap()
    };
    assert_eq!(
        top(1, 3),
        [
            vec![(2, 3.0)],
            vec![(1, 3.0), (0, 2.0)],
            vec![],
            vec![(0, 8.0), (1, 8.0), (2, 8.0)]
        ]
    );
    // Over many pieces too a row has the number that it has in the data.
    let all: Vec<usize> = top(3000, 3000)[0].iter().map(|(row, _)| *row).collect();
    assert_eq!(all, (0..3000).map(|copy| 4 * copy + 2).collect::<Vec<_>>());
}

/// Latents of both signs count by their absolute value.
#[test]
fn metrics_of_abs_topk_match_values_worked_by_hand() {
    // The two largest of (x_0, x_1, -1, 8) by size: 8, and 2, 3 (latent 1), 3 and -1 (latent 0).
    let model = by_hand("abs-topk", ("k", "2"));
    let rows = Memory::new("rows", 2, ROWS.to_vec());
    let found = metrics::evaluate(&model, &rows).unwrap();
    let of_row = |l1: f64, squares: f64| 2.0 - l1 / squares.sqrt();
    let expected = (of_row(10.0, 68.0) + 2.0 * of_row(11.0, 73.0) + of_row(9.0, 65.0)) / 4.0;
    near(found.population_sparsity, expected);
    let latent = &found.latents[0];
    near(latent.lifetime_sparsity, of_row(4.0, 10.0));
    assert_eq!((latent.min, latent.max), (-1.0, 3.0));
    let strongest = metrics::top_rows(&model, &rows, 5).unwrap();
    assert_eq!(strongest[0], [(2, 3.0), (3, -1.0)]);
    assert_eq!(found.latents[2].max, 0.0);
}

#[test]
fn thresholded_rows_do_not_depend_on_each_other() {
    let model = by_hand("batch-topk", ("k", "1"));
    let all = model.codes(&ROWS, 0.0);
    assert_eq!(
        all.to_dense(),
        [
            [0.0, 2.0, 0.0, 8.0],
            [0.0, 3.0, 0.0, 8.0],
            [3.0, 0.0, 0.0, 8.0],
            [0.0, 0.0, 0.0, 8.0]
        ]
        .concat()
    );
    let mut joined = Codes::new(4);
    ROWS.chunks_exact(2)
        .for_each(|row| joined.append(model.codes(row, 0.0)));
    assert_eq!(joined, all);
    assert_eq!(
        model.codes(&ROWS, 2.5).values,
        [8.0, 3.0, 8.0, 3.0, 8.0, 8.0]
    );
    assert_eq!(
        model.decode_latents(&all.to_dense(), &RowContext::default()),
        model.reconstruct_raw(&ROWS)
    );
}

fn plan(text: &str, rows: &dyn Source) -> Plan {
    Plan::new(
        &config::merge(&[text.parse().unwrap()]).unwrap(),
        &survey(rows).unwrap(),
    )
    .unwrap()
}

#[test]
fn initial_decoder_rows_have_length_1_and_equal_the_encoder() {
    let rows = Memory::new("rows", 4, noise(4000));
    let plan = plan("[model]\narch = 'topk'\n[model.options]\nk = 3", &rows);
    let params = State::new(&plan, &rows, None).unwrap().params;
    assert_eq!(params.get("w_enc"), params.get("w_dec"));
    assert_eq!(params.get("w_dec").len(), 32 * 4);
    for row in params.get("w_dec").chunks_exact(4) {
        let norm: f32 = row.iter().map(|w| w * w).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
    assert!(params.get("b_enc").iter().all(|b| *b == 0.0));
    // No step to any side brings the rows nearer to b_dec.
    let cost = |at: &[f32]| -> f64 {
        let rows = rows.as_slice().unwrap().chunks_exact(4);
        rows.map(|row| {
            let squares = row.iter().zip(at).map(|(x, b)| f64::from(x - b).powi(2));
            squares.sum::<f64>().sqrt()
        })
        .sum()
    };
    let b_dec = params.get("b_dec").to_vec();
    for (j, by) in (0..4).flat_map(|j| [(j, 0.01), (j, -0.01)]) {
        let mut moved = b_dec.clone();
        moved[j] += by;
        assert!(cost(&moved) > cost(&b_dec));
    }
}

/// With `rescale`, lengths of decoder rows are trained. The result is the effective model, with a threshold of that
/// model.
#[test]
fn rescaled_run_returns_the_effective_model() {
    let rows = Memory::new("rows", 4, noise(4000));
    let text = "[model]\narch = 'batch-topk'\ndecoder_norm = 'rescale'\n[model.options]\nk = 3\n[train]\nsteps = 30\nbatch = 100\nlr = 0.01";
    let plan = Arc::new(plan(text, &rows));
    let mut last = Kept::default();
    let trainer = Trainer::with_rows(Arc::clone(&plan), &rows).unwrap();
    let trained = trainer.run(&rows, None, &mut last).unwrap();
    let model = trained.model.params().clone();
    let state = last.0.unwrap();
    let length = |row: &[f32]| row.iter().map(|w| w * w).sum::<f32>().sqrt();
    let lengths =
        |params: &Params| -> Vec<f32> { params.get("w_dec").chunks_exact(4).map(length).collect() };
    assert!(lengths(&model).iter().all(|l| (l - 1.0).abs() < 1e-6));
    let learned = lengths(&state.params);
    assert!(
        learned.iter().any(|l| (l - 1.0).abs() > 0.01),
        "{learned:?}"
    );
    let stands_for = variants::rescaled(&state.params);
    for block in ["w_enc", "b_enc", "w_dec", "b_dec"] {
        assert_eq!(model.get(block), stands_for.get(block), "{block}");
    }
    let model = Model::autoencoder(
        plan.info(),
        plan.options().clone(),
        model,
        Pipeline::identity(4),
    )
    .unwrap();
    let l0 = metrics::evaluate(&model, &rows).unwrap().l0;
    assert!((l0 - 3.0).abs() < 1e-9, "{l0}");
}
