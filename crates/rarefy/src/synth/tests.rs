//! Synthetic rows compared with their specification.

use rand::{RngExt, SeedableRng};

use super::random::{self, successes};
use super::*;
use crate::Rng;
use crate::codes::Codes;

const ROWS: usize = 20 * BLOCK;

fn truth(change: impl Fn(&mut Spec)) -> Truth {
    let mut spec = Spec {
        d_in: 10,
        features: 30,
        l0: 3.0,
        ..Spec::default()
    };
    change(&mut spec);
    Truth::new(&spec).unwrap()
}

fn trees(exclusive: bool) -> Hierarchy {
    Hierarchy {
        depth: 2,
        branch: 3,
        children: 0.9,
        exclusive,
    }
}

/// Firing of each feature, true if it fires, `[features][rows]`.
fn firing(codes: &Codes) -> Vec<Vec<bool>> {
    let mut fires = vec![vec![false; codes.rows()]; codes.d_sae];
    for (row, ends) in codes.offsets.windows(2).enumerate() {
        for at in ends[0]..ends[1] {
            assert!(codes.values[at] > 0.0);
            fires[codes.indices[at] as usize][row] = true;
        }
    }
    fires
}

fn share(rows: &[bool]) -> f64 {
    rows.iter().filter(|fires| **fires).count() as f64 / rows.len() as f64
}

fn both(a: &[bool], b: &[bool]) -> Vec<bool> {
    a.iter().zip(b).map(|(a, b)| *a && *b).collect()
}

/// Asserts that an observed share is within five standard errors of p.
#[track_caller]
fn near(got: f64, p: f64, trials: f64) {
    let error = (p * (1.0 - p) / trials).sqrt();
    assert!((got - p).abs() <= 5.0 * error, "{got} instead of {p}");
}

#[test]
fn firing_rates_match_probabilities() {
    for change in [
        (|_| ()) as fn(&mut Spec),
        |s| s.zipf = 1.0,
        |s| (s.correlation, s.zipf) = (0.3, 1.0),
        |s| s.hierarchy = Some(trees(false)),
        |s| s.hierarchy = Some(trees(true)),
        |s| (s.hierarchy, s.correlation, s.zipf) = (Some(trees(true)), 1.0, 0.5),
    ] {
        let truth = truth(change);
        let p = truth.probabilities();
        assert!((p.iter().sum::<f64>() - 3.0).abs() < 1e-9);
        assert!(p.iter().all(|p| *p > 0.0 && *p <= 0.5));
        let fires = firing(&truth.draw(0..ROWS).codes);
        for (fires, p) in fires.iter().zip(p) {
            near(share(fires), *p, ROWS as f64);
        }
    }
}

#[test]
fn zipf_probabilities_follow_power_law() {
    let p = truth(|s| (s.zipf, s.l0) = (1.0, 1.0))
        .probabilities()
        .to_vec();
    assert!((p[0] / p[29] - 30.0).abs() < 1e-9 && (p[1] / p[3] - 2.0).abs() < 1e-9);
}

#[test]
fn features_of_a_cluster_have_specified_covariance() {
    let correlation = 0.4;
    let truth = truth(|s| (s.correlation, s.cluster, s.zipf) = (correlation, 4, 0.5));
    let fires = firing(&truth.draw(0..ROWS).codes);
    let p = truth.probabilities();
    for f in 0..12 {
        for g in 0..f {
            let together = f / 4 == g / 4;
            assert_eq!(truth.cluster(f) == truth.cluster(g), together);
            assert_eq!(truth.partners(f).any(|other| other == g), together);
            let apart = p[f] * p[g];
            let of_most = if together { correlation } else { 0.0 };
            let expected = apart + of_most * (p[f].min(p[g]) - apart);
            near(share(&both(&fires[f], &fires[g])), expected, ROWS as f64);
        }
    }
    // 30 features are seven clusters of 4 and one of 2.
    assert_eq!(truth.partners(29).collect::<Vec<_>>(), [28]);
    assert_eq!(truth.partners(5).collect::<Vec<_>>(), [4, 6, 7]);
}

#[test]
fn children_fire_only_with_their_parents() {
    for exclusive in [false, true] {
        let truth = truth(|s| s.hierarchy = Some(trees(exclusive)));
        let fires = firing(&truth.draw(0..ROWS).codes);
        for (child, parent) in truth.parents().iter().enumerate() {
            let Some(parent) = *parent else { continue };
            assert_eq!(both(&fires[child], &fires[parent]), fires[child]);
            assert!(truth.partners(parent).any(|partner| partner == child));
            let rows = share(&fires[parent]) * ROWS as f64;
            near(share(&fires[child]) * ROWS as f64 / rows, 0.3, rows);
        }
        // 1, 2 and 3 are children of 0. If they are not exclusive, two of them fire together in 0.3 * 0.3 of the rows
        // of their parent.
        let rows = share(&fires[0]) * ROWS as f64;
        let meet = share(&both(&fires[1], &fires[3])) * ROWS as f64 / rows;
        if exclusive {
            assert_eq!(meet, 0.0);
        } else {
            near(meet, 0.09, rows);
        }
        // Two trees of 13 and four single features.
        assert_eq!(truth.parents()[25..], [Some(16), None, None, None, None]);
    }
}

#[test]
fn row_equals_bias_plus_sum_of_firing_directions() {
    let truth = truth(|s| s.centre = 3.0);
    let length: f32 = truth.bias().iter().map(|b| b * b).sum();
    assert!((length.sqrt() - 3.0).abs() < 1e-5);
    let sample = truth.draw(100..400);
    let codes = sample.codes.to_dense();
    for (x, codes) in sample.x.chunks_exact(10).zip(codes.chunks_exact(30)) {
        for (t, x) in x.iter().enumerate() {
            let sum: f64 = (0..30)
                .map(|f| f64::from(codes[f]) * f64::from(truth.directions()[10 * f + t]))
                .sum();
            assert!((f64::from(*x) - sum - f64::from(truth.bias()[t])).abs() < 1e-5);
        }
    }
}

/// The difference between rows with and without noise has the moments of normal noise.
#[test]
fn noise_is_normal() {
    let (clean, noisy) = (truth(|_| ()), truth(|s| s.noise = 0.25));
    let (clean, noisy) = (clean.draw(0..BLOCK), noisy.draw(0..BLOCK));
    assert_eq!(clean.codes, noisy.codes);
    let n = clean.x.len() as f64;
    let noise: Vec<f64> = clean
        .x
        .iter()
        .zip(&noisy.x)
        .map(|(a, b)| f64::from(b - a) / 0.25)
        .collect();
    let moment = |power: i32| noise.iter().map(|e| e.powi(power)).sum::<f64>() / n;
    // Neighbours, which are drawn in pairs, are independent.
    let products = noise.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n;
    assert!(products.abs() < 5.0 / n.sqrt(), "{products}");
    for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (4, 3.0, 96.0)] {
        let error = 5.0 * (variance / n).sqrt();
        let got = moment(power);
        assert!((got - expected).abs() < error, "{power}: {got}");
    }
}

#[test]
fn magnitudes_have_mean_1() {
    for (kind, variance) in [
        (Magnitudes::Constant, 0.0),
        (Magnitudes::Uniform, 1.0 / 12.0),
        (Magnitudes::HalfNormal, std::f64::consts::FRAC_PI_2 - 1.0),
        (Magnitudes::Exponential, 1.0),
    ] {
        let values = truth(|s| s.magnitudes = kind).draw(0..ROWS).codes.values;
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let square = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n;
        assert!(
            (mean - 1.0).abs() <= 5.0 * (variance / n).sqrt(),
            "{kind:?} {mean}"
        );
        assert!(
            (square - mean * mean - variance).abs() < 0.05,
            "{kind:?} {square}"
        );
    }
}

#[test]
fn directions_have_length_1_and_are_orthogonal_if_specified() {
    for (directions, features) in [(Directions::Random, 30), (Directions::Orthogonal, 10)] {
        let truth = truth(|s| (s.directions, s.features) = (directions, features));
        let rows: Vec<&[f32]> = truth.directions().chunks_exact(10).collect();
        assert_eq!(rows.len(), features);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let mut largest = 0.0f32;
        for (f, row) in rows.iter().enumerate() {
            assert!((dot(row, row) - 1.0).abs() < 1e-5);
            rows[..f]
                .iter()
                .for_each(|other| largest = largest.max(dot(row, other).abs()));
        }
        assert_eq!(
            largest < 1e-6,
            directions == Directions::Orthogonal,
            "{largest}"
        );
    }
}

#[test]
fn row_depends_only_on_seed_and_row_number() {
    let all = |s: &mut Spec| (s.hierarchy, s.correlation, s.noise) = (Some(trees(true)), 0.5, 0.1);
    let one = truth(all);
    let whole = one.draw(0..3 * BLOCK + 100);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        assert_eq!(pool.install(|| one.draw(0..3 * BLOCK + 100)), whole);
    }
    let mut pieces = one.draw(0..0);
    for (start, end) in [(0, 1), (1, 2047), (2047, 2049), (2049, 2049), (2049, 6244)] {
        let piece = one.draw(start..end);
        assert_eq!(piece.codes.rows(), end - start);
        pieces.x.extend(piece.x);
        pieces.codes.append(piece.codes);
    }
    assert_eq!(pieces, whole);
    let other = truth(|s| {
        all(s);
        s.seed = 1;
    });
    assert!(other.draw(0..100).x != whole.x[..1000]);
    assert!(other.directions() != one.directions());
}

/// Seed 0 of synthetic data and seed 0 of a training run give no common random number.
#[test]
fn synthetic_data_and_training_draw_different_numbers() {
    let mut run = Rng::seed_from_u64(0);
    let runs: Vec<u64> = (0..1000).map(|_| run.random()).collect();
    for mut ours in [
        random::dictionary(0),
        random::block(0, 0),
        random::block(0, 1),
    ] {
        assert!((0..1000).all(|_| !runs.contains(&ours.random::<u64>())));
    }
}

#[test]
fn successes_have_specified_rate_and_are_independent() {
    let mut rng = Rng::seed_from_u64(5);
    assert_eq!(successes(1.0, 4, &mut rng), [0, 1, 2, 3]);
    assert_eq!(successes(0.0, 4, &mut rng), [0u32; 0]);
    assert_eq!(successes(1e-300, 4, &mut rng), [0u32; 0]);
    assert_eq!(successes(0.5, 0, &mut rng), [0u32; 0]);
    let many = successes(0.3, 100_000, &mut rng);
    assert!(many.is_sorted_by(|a, b| a < b));
    near(many.len() as f64 / 1e5, 0.3, 1e5);
    // Neighbours are independent.
    let neighbours = many
        .windows(2)
        .filter(|pair| pair[1] == pair[0] + 1)
        .count();
    near(neighbours as f64 / 1e5, 0.09, 1e5);
}

#[test]
fn file_round_trips_and_damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.safetensors");
    let before = truth(|s| {
        *s = Spec {
            hierarchy: Some(trees(false)),
            zipf: 0.3,
            correlation: 0.2,
            centre: 1.0,
            noise: 0.1,
            seed: u64::MAX,
            ..s.clone()
        };
    });
    before.save(&path, 12_345).unwrap();
    assert!(is_truth(&path));
    let (after, rows) = Truth::load(&path).unwrap();
    assert_eq!((&after, rows), (&before, 12_345));
    assert_eq!(after.draw(0..50), before.draw(0..50));
    // Truncated and changed files give an error and no panic.
    let whole = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = Truth::load(&path).unwrap_err().to_string();
        assert!(error.contains("truth.safetensors"), "{error}");
        // The header alone says it.
        assert!(is_truth(&path) == (length >= header));
    }
    for (key, from, to) in [
        ("features", "30", "31"),
        ("l0", "3.0", "4.0"),
        ("cluster", "8", "4"),
        ("branch", "3", "2"),
        ("version", "1", "2"),
    ] {
        std::fs::write(&path, changed(&whole, key, from, to)).unwrap();
        let error = Truth::load(&path).unwrap_err().to_string();
        assert!(error.contains("expected"), "{key} {to}: {error}");
    }
}

/// Copy of the bytes in which the first `from` after the first `key` is replaced by `to`.
fn changed(bytes: &[u8], key: &str, from: &str, to: &str) -> Vec<u8> {
    let find = |start: usize, word: &str| {
        let mut places = bytes[start..].windows(word.len());
        start + places.position(|at| at == word.as_bytes()).unwrap()
    };
    let at = find(find(0, key), from);
    let mut bytes = bytes.to_vec();
    bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn invalid_specifications_are_refused() {
    type Change = fn(&mut Spec);
    let deep = |depth, branch, children, exclusive| {
        Some(Hierarchy {
            depth,
            branch,
            children,
            exclusive,
        })
    };
    let refusal = |change: Change| {
        let mut spec = Spec::default();
        change(&mut spec);
        Truth::new(&spec).unwrap_err().to_string()
    };
    let cases: [(Change, &str); 11] = [
        (|s| s.d_in = 0, "`d_in` must be at least 1, got 0"),
        (
            |s| s.features = 1 << 40,
            "`features` must be at most 67108864 for rows of 64, got 1099511627776",
        ),
        (
            |s| s.l0 = 129.0,
            "`l0` must be above 0 and at most 128, the sum if each feature fires in every second row, got 129",
        ),
        (
            |s| s.l0 = f64::NAN,
            "`l0` must be above 0 and at most 128, the sum if each feature fires in every second row, got NaN",
        ),
        (|s| s.zipf = -0.5, "`zipf` must be in [0, 4], got -0.5"),
        (
            |s| s.correlation = 1.5,
            "`correlation` must be in [0, 1], got 1.5",
        ),
        (|s| s.cluster = 1, "`cluster` must be at least 2, got 1"),
        (
            |s| s.noise = f64::INFINITY,
            "`noise` must be a finite number not below 0, got inf",
        ),
        (
            |s| s.directions = Directions::Orthogonal,
            "`features` = 256 cannot be orthogonal in `d_in` = 64 dimensions; use random `directions`",
        ),
        (
            |s| s.centre = -1.0,
            "`centre` must be a finite number not below 0, got -1",
        ),
        (
            |s| s.l0 = 0.0,
            "`l0` must be above 0 and at most 128, the sum if each feature fires in every second row, got 0",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(refusal(change), message);
    }
    for (hierarchy, message) in [
        (
            deep(0, 2, 1.0, false),
            "`hierarchy.depth` must be at least 1, got 0",
        ),
        (
            deep(1, 0, 1.0, false),
            "`hierarchy.branch` must be at least 1, got 0",
        ),
        (
            deep(2, 2, 2.5, false),
            "`hierarchy.children` must be above 0 and at most the 2 children of a feature, got 2.5",
        ),
        (
            deep(2, 2, 1.5, true),
            "`hierarchy.children` must be above 0 and at most the 1 child that fires at a time, got 1.5",
        ),
        (
            deep(8, 2, 1.0, false),
            "`features` must be at least the size of one tree of `hierarchy.depth` 8 and `hierarchy.branch` 2, got 256",
        ),
        (
            deep(usize::MAX, 9, 1.0, false),
            "`features` must be at least the size of one tree of `hierarchy.depth` 18446744073709551615 and \
             `hierarchy.branch` 9, got 256",
        ),
    ] {
        let spec = Spec {
            hierarchy,
            ..Spec::default()
        };
        assert_eq!(Truth::new(&spec).unwrap_err().to_string(), message);
    }
}
