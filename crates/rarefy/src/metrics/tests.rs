//! Metrics compared with numbers worked by hand.

use super::dense::{LatentSums, Sums};
use super::*;
use crate::data::{Dataset, Memory, Shards};
use crate::io_spec::IoSpec;
use crate::params::Params;
use crate::preprocess::Pipeline;
use crate::variants::{self, Options};

/// Five rows of two inputs.
const ROWS: [[f32; 2]; 5] = [[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]];

/// Latents of the model [`by_hand`] on [`ROWS`]: alive, dead, always on, collapsed.
///
/// ```text
/// alive      sigma(x_1 ln 9)                    0.1, 0.5, 0.9 for x_1 = -1, 0, 1
/// dead       sigma(-ln 99 + x_2 ln(99/49))      0.01, 0.02 for x_2 = 0, 1
/// always on  sigma(ln 3 + x_2 ln 3)             0.75, 0.9
/// collapsed  sigma(-ln 4)                       0.2
/// ```
const LATENTS: [[f64; 4]; 5] = [
    [0.1, 0.01, 0.75, 0.2],
    [0.5, 0.02, 0.9, 0.2],
    [0.9, 0.01, 0.75, 0.2],
    [0.9, 0.02, 0.9, 0.2],
    [0.1, 0.01, 0.75, 0.2],
];

const RHO: f64 = 0.2;

/// Hand-made model with `x_hat = (2 alive - 1, 2 always_on - collapsed - 1.3)`.
fn by_hand(options: &[(&str, &str)]) -> Model {
    changed(options, |_| {})
}

/// Model [`by_hand`] with changed parameters.
fn changed(options: &[(&str, &str)], change: impl Fn(&mut Params)) -> Model {
    let info = variants::find("kl").unwrap();
    let own = [
        ("rho", "0.2"),
        ("beta", "3"),
        ("weight_decay", "0.1"),
        ("decoder", "linear"),
    ];
    let given = own.iter().chain(options).map(|&(k, v)| (k, v.to_owned()));
    let options = Options::check(info.options(), given).unwrap();
    let architecture = info.build(&options).unwrap();
    let mut params = Params::zeros(&architecture.layout(&IoSpec::autoencoder(2), 4));
    let mut fill = |name: &str, values: &[f64]| {
        let block = params.get_mut(name);
        assert_eq!(block.len(), values.len());
        block
            .iter_mut()
            .zip(values)
            .for_each(|(to, v)| *to = *v as f32);
    };
    let ln = f64::ln;
    fill(
        "w_enc",
        &[ln(9.0), 0.0, 0.0, ln(99.0 / 49.0), 0.0, ln(3.0), 0.0, 0.0],
    );
    fill("b_enc", &[0.0, -ln(99.0), ln(3.0), -ln(4.0)]);
    fill("w_dec", &[2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, -1.0]);
    fill("b_dec", &[-1.0, -1.3]);
    change(&mut params);
    Model::autoencoder(info, options, params, Pipeline::identity(2)).unwrap()
}

/// Data of [`ROWS`], repeated `copies` times.
fn rows(copies: usize) -> Memory {
    Memory::new("rows", 2, ROWS.as_flattened().repeat(copies))
}

#[track_caller]
fn near(got: f64, expected: f64) {
    assert!(
        (got - expected).abs() <= 1e-6 * expected.abs().max(1.0),
        "{got} instead of {expected}"
    );
}

fn kl(rho_hat: f64) -> f64 {
    RHO * (RHO / rho_hat).ln() + (1.0 - RHO) * ((1.0 - RHO) / (1.0 - rho_hat)).ln()
}

/// One copy of the rows fits one chunk; 600 copies need many. Means over rows must be equal.
#[test]
fn metrics_match_hand_worked_values() {
    for copies in [1, 600] {
        let e = evaluate(&by_hand(&[]), &rows(copies)).unwrap();
        assert_eq!(e.rows, 5 * copies);
        // Errors of x_1: 0.2, 0, 0.2, 0.2, 0.2; of x_2: 0, 0.7, 0, 0.7, 0.
        near(e.mse, (4.0 * 0.04 + 2.0 * 0.49) / 5.0);
        // Variances: x_1 has mean 0 and squares 4/5; x_2 has mean 2/5, so 2/5 3/5.
        near(e.explained_variance, 1.0 - e.mse / (0.8 + 0.24));
        // The alive latent is above 0.5 in rows 2 and 3 (0.5 itself is not above), the one that
        // is always on in all 5.
        near(e.l0, (2.0 + 5.0) / 5.0);
        assert_eq!((e.dead_latents, e.dead_fraction), (1, 0.25));
        assert_eq!((e.always_on_latents, e.collapsed_latents), (1, Some(1)));
        assert_eq!(e.frequent_latents, None);

        near(e.reconstruction, e.mse / 2.0);
        let kl_sum = kl(0.5) + kl(0.014) + kl(0.81);
        near(e.penalty.unwrap(), 3.0 * kl_sum);
        let squares = [9.0f64, 99.0 / 49.0, 3.0].map(|v| v.ln().powi(2));
        near(
            e.weight_decay.unwrap(),
            0.05 * (squares.iter().sum::<f64>() + 4.0 + 4.0 + 1.0),
        );
        near(
            e.loss,
            e.reconstruction + e.penalty.unwrap() + e.weight_decay.unwrap(),
        );

        let figures = e.kl.as_ref().unwrap();
        near(figures.rho, 0.2);
        near(figures.rho_hat_mean, (0.5 + 0.014 + 0.81 + 0.2) / 4.0);
        // |0.5 - 0.2|, |0.014 - 0.2|, |0.81 - 0.2|, 0 in units of 0.2.
        near(
            figures.rho_hat_mean_deviation,
            (1.5 + 0.93 + 3.05 + 0.0) / 4.0,
        );
        near(figures.rho_hat_max_deviation, 3.05);
        near(figures.omega, kl_sum);
    }
}

#[test]
fn latent_summaries_match_hand_worked_values() {
    for copies in [1, 600] {
        let e = evaluate(&by_hand(&[]), &rows(copies)).unwrap();
        // Mean, firing rate, variance, smallest, largest.
        let expected = [
            ([0.5, 0.4, 0.128, 0.1, 0.9], LatentStatus::Alive),
            ([0.014, 0.0, 0.000_024, 0.01, 0.02], LatentStatus::Dead),
            ([0.81, 1.0, 0.0054, 0.75, 0.9], LatentStatus::AlwaysOn),
            ([0.2, 0.0, 0.0, 0.2, 0.2], LatentStatus::Collapsed),
        ];
        assert_eq!(e.latents.len(), 4);
        for (l, (values, status)) in e.latents.iter().zip(expected) {
            let got = [l.rho_hat, l.firing_rate, l.variance, l.min, l.max];
            got.into_iter().zip(values).for_each(|(g, e)| near(g, e));
            assert_eq!(l.status, status);
        }
        // L1 and the square of L2 over the five rows.
        let norms = [(2.5, 1.89), (0.07, 0.0011), (4.05, 3.3075), (1.0, 0.2)];
        let (m, c) = (5.0 * copies as f64, copies as f64);
        let lifetime = norms
            .map(|(l1, l2): (f64, f64)| (m.sqrt() - c * l1 / (c * l2).sqrt()) / (m.sqrt() - 1.0));
        for (latent, expected) in e.latents.iter().zip(lifetime) {
            near(latent.lifetime_sparsity, expected);
        }
        near(e.lifetime_sparsity, lifetime.iter().sum::<f64>() / 4.0);
    }
}

#[test]
fn population_sparsity_and_histograms_match_hand_worked_values() {
    for copies in [1, 600] {
        let e = evaluate(&by_hand(&[]), &rows(copies)).unwrap();
        // sqrt 4 is 2, so Hoyer's measure is 2 - L1 / L2; rows 0 and 4 are alike.
        let sparsity = LATENTS.map(|h| {
            let l2 = h.iter().map(|h| h * h).sum::<f64>().sqrt();
            2.0 - h.iter().sum::<f64>() / l2
        });
        near(sparsity[0], 0.645_692_2);
        near(e.population_sparsity, sparsity.iter().sum::<f64>() / 5.0);
        // 0.646, 0.456, 0.435, 0.432, 0.646 in bins of 0.02.
        let mut expected = vec![0; BINS];
        for (bin, count) in [(32, 2), (22, 1), (21, 2)] {
            expected[bin] = count * copies as u64;
        }
        assert_eq!(e.population_histogram, expected);
        // Five rows of 0.01 and 0.02, two of 0.1, five of 0.2, one of 0.5, three of 0.75, four of
        // 0.9. Most lie on the edge of a bin, so that a bit decides between two.
        let between = |low: usize, high: usize| {
            e.activation_histogram[low..high].iter().sum::<u64>() / copies as u64
        };
        let counts = [(0, 3), (3, 8), (8, 13), (13, 30), (30, 40), (40, BINS)];
        assert_eq!(counts.map(|(a, b)| between(a, b)), [5, 2, 5, 1, 3, 4]);
        let all: u64 = e.activation_histogram.iter().sum();
        assert_eq!(all, 20 * copies as u64);
    }
}

#[test]
fn bins_are_half_open_except_the_last() {
    let values = [0.0, 0.0199, 0.0201, 0.5, 0.9799, 0.9801, 1.0];
    assert_eq!(values.map(bin), [0, 0, 1, 25, 48, 49, 49]);
}

#[test]
fn top_rows_are_sorted_by_activation_then_row() {
    let model = by_hand(&[]);
    let order = |copies, count| -> Vec<Vec<usize>> {
        let top = top_rows(&model, &rows(copies), count).unwrap();
        for (l, latent) in top.iter().enumerate() {
            for (row, h) in latent {
                near(f64::from(*h), LATENTS[row % 5][l]);
            }
        }
        let places = |latent: &Vec<(usize, f32)>| latent.iter().map(|(row, _)| *row).collect();
        top.iter().map(places).collect()
    };
    assert_eq!(
        order(1, 4),
        [[2, 3, 1, 0], [1, 3, 0, 2], [1, 3, 0, 2], [0, 1, 2, 3]]
    );
    assert_eq!(order(1, 9)[0], [2, 3, 1, 0, 4]);
    // Over many chunks and lanes the first copies win.
    assert_eq!(
        order(600, 5),
        [
            [2, 3, 7, 8, 12],
            [1, 3, 6, 8, 11],
            [1, 3, 6, 8, 11],
            [0, 1, 2, 3, 4]
        ]
    );
}

/// Source that cannot be borrowed, like a streamed file.
struct Streamed(Memory);

impl Source for Streamed {
    fn name(&self) -> &'static str {
        "streamed"
    }

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn d_in(&self) -> usize {
        self.0.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.0.read(start, out)
    }
}

/// Rows that all differ, so that a repeated or missing row changes the metrics.
fn many_rows() -> Vec<f32> {
    (0..6000).map(|i| (i as f32 * 0.37).sin()).collect()
}

#[test]
fn memory_stream_and_shards_give_equal_metrics() {
    let model = by_hand(&[]);
    let whole = Memory::new("whole", 2, many_rows());
    let streamed = Streamed(Memory::new("whole", 2, many_rows()));
    let values = many_rows();
    let parts = [
        &values[..2],
        &values[2..1402],
        &values[1402..1408],
        &values[1408..],
    ];
    let shards = parts.map(|part| {
        let rows = Memory::new("shard", 2, part.to_vec());
        ("shard".into(), Dataset::new(rows))
    });
    let shards = Shards::join("shards", shards.into()).unwrap().source;

    let expected = evaluate(&model, &whole).unwrap();
    assert_eq!(evaluate(&model, &streamed).unwrap(), expected);
    assert_eq!(evaluate(&model, shards.as_ref()).unwrap(), expected);
    let expected = top_rows(&model, &whole, 7).unwrap();
    assert_eq!(top_rows(&model, &streamed, 7).unwrap(), expected);
    assert_eq!(top_rows(&model, shards.as_ref(), 7).unwrap(), expected);
}

#[test]
fn merged_sums_of_pieces_equal_sums_of_all_rows() {
    let (model, x) = (by_hand(&[]), many_rows());
    let variant = model.architecture().dense().unwrap();
    let mut all = Sums::new(4);
    all.add(&model, variant, &x);
    let mut merged = Sums::new(4);
    for piece in [&x[..2], &x[2..600], &x[600..600], &x[600..]] {
        let mut sums = Sums::new(4);
        sums.add(&model, variant, piece);
        merged.merge(&sums);
    }
    let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-6 * a, "{a} and {b}");
    close(all.squared_error, merged.squared_error);
    close(all.population_sparsity, merged.population_sparsity);
    for (a, b) in all.latents.iter().zip(&merged.latents) {
        close(a.sum, b.sum);
        close(a.squares, b.squares);
        close(f64::from(a.min), f64::from(b.min));
        close(f64::from(a.max), f64::from(b.max));
        assert_eq!(a.active, b.active);
    }
    let total = |counts: &[u64]| counts.iter().sum::<u64>();
    assert_eq!(total(&merged.activations), 4 * 3000);
    assert_eq!(total(&merged.populations), 3000);
}

/// Status of a latent with these activations on two rows, for the target rho.
fn status(rho: f64, values: [f64; 2]) -> LatentStatus {
    let values = values.map(|v| v as f32);
    let wide = values.map(f64::from);
    let sums = LatentSums {
        sum: wide.iter().sum(),
        squares: wide.iter().map(|h| h * h).sum(),
        min: values[0].min(values[1]),
        max: values[0].max(values[1]),
        active: 0,
    };
    sums.summary(2, rho).status
}

#[test]
fn latent_status_changes_at_documented_limits() {
    // Half of rho is reached, not passed.
    assert_eq!(status(0.5, [0.0, 0.25]), LatentStatus::Alive);
    assert_eq!(status(0.5, [0.0, 0.2499]), LatentStatus::Dead);
    // Above 0.5 on every row, not at it.
    assert_eq!(status(0.2, [0.5, 0.9]), LatentStatus::Alive);
    assert_eq!(status(0.2, [0.5001, 0.9]), LatentStatus::AlwaysOn);
    // Mean 0.2, so a latent is collapsed below a variance of 0.001 * 0.16 = 0.012649^2.
    assert_eq!(
        status(0.2, [0.2 - 0.0127, 0.2 + 0.0127]),
        LatentStatus::Alive
    );
    assert_eq!(
        status(0.2, [0.2 - 0.0126, 0.2 + 0.0126]),
        LatentStatus::Collapsed
    );
    // A constant is dead or always on before it is collapsed.
    assert_eq!(status(0.2, [0.05, 0.05]), LatentStatus::Dead);
    assert_eq!(status(0.2, [0.9, 0.9]), LatentStatus::AlwaysOn);
}

#[test]
fn omega_does_not_depend_on_beta() {
    let own = evaluate(&by_hand(&[]), &rows(1)).unwrap();
    let free = evaluate(&by_hand(&[("beta", "0")]), &rows(1)).unwrap();
    assert_eq!(free.penalty, Some(0.0));
    assert_eq!(own.kl, free.kl);
    near(free.loss, own.loss - own.penalty.unwrap());
}

/// At a pre-activation of -120 the mean of a latent rounds to 0 in `f32`, for which KL would be infinite.
#[test]
fn omega_is_finite_for_silent_latent_with_and_without_penalty() {
    for beta in ["3", "0"] {
        let model = changed(&[("beta", beta)], |params| {
            params.get_mut("w_enc")[3] = 0.0;
            params.get_mut("b_enc")[1] = -120.0;
        });
        let e = evaluate(&model, &rows(1)).unwrap();
        let silent = RHO * (RHO.ln() + 120.0) + (1.0 - RHO) * (1.0 - RHO).ln();
        near(e.kl.unwrap().omega, kl(0.5) + silent + kl(0.81));
        assert_eq!(e.latents[1].status, LatentStatus::Dead);
    }
}

#[test]
fn constant_data_has_explained_variance_0() {
    let e = evaluate(&by_hand(&[]), &Memory::new("same", 2, [1.0, 0.0].repeat(9))).unwrap();
    assert_eq!(e.explained_variance, 0.0);
    near(e.mse, 0.04);
}

#[test]
fn rows_of_another_width_are_refused() {
    let error = evaluate(&by_hand(&[]), &Memory::new("wide", 3, vec![0.0; 6])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wide: values in a row: expected 2 as the model was trained on, got 3"
    );
}
