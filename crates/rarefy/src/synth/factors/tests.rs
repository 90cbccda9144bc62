//! Rows compared with their specification and with SAELens's generator.

use super::super::Truth;
use super::*;
use crate::data::OpenOptions;

/// The published benchmark in few dimensions, without turned directions.
fn benchmark(seed: u64) -> FactorSpec {
    FactorSpec {
        d_in: 8,
        apart_steps: 0,
        seed,
        ..FactorSpec::synth_sae_bench_16k()
    }
}

/// Mean and deviation of numbers.
fn moments(values: &[f64]) -> [f64; 2] {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    [mean, (square / (values.len() as f64 - 1.0)).sqrt()]
}

/// The statistics of `tests/golden/synth_sae_bench.py`, of this many rows.
fn statistics(truth: &Truth, rows: usize) -> Vec<(String, f64)> {
    let codes = truth.draw(0..rows).codes;
    let levels = [
        ("tops", 0..128),
        ("level 1", 128..640),
        ("level 2", 640..2688),
    ];
    let deeper = [("level 3", 2688..10_880), ("single", 10_880..16_384)];
    let counts: Vec<f64> = codes
        .offsets
        .windows(2)
        .map(|ends| (ends[1] - ends[0]) as f64)
        .collect();
    let [l0, deviation] = moments(&counts);
    let first = codes.indices.iter().filter(|f| **f == 0).count() as f64 / rows as f64;
    let mut found = vec![
        ("l0".to_owned(), l0),
        ("l0 deviation".to_owned(), deviation),
        ("first feature".to_owned(), first),
    ];
    for (name, features) in levels.into_iter().chain(deeper) {
        let entries = codes.indices.iter().zip(&codes.values);
        let values = entries.filter(|(f, _)| features.contains(&(**f as usize)));
        let values: Vec<f64> = values.map(|(_, value)| f64::from(*value)).collect();
        let [mean, deviation] = moments(&values);
        found.push((format!("{name}: active"), values.len() as f64 / rows as f64));
        found.push((format!("{name}: mean value"), mean));
        found.push((format!("{name}: deviation of values"), deviation));
    }
    found.push((
        "tops: mean square of correlations".into(),
        correlations(&codes, 128) - 1.0 / rows as f64,
    ));
    let siblings = codes.offsets.windows(2).flat_map(|ends| {
        let level = codes.indices[ends[0]..ends[1]].iter();
        let parents: Vec<u32> = level
            .filter(|f| (128..640).contains(*f))
            .map(|f| (f - 128) / 4)
            .collect();
        [parents.windows(2).filter(|pair| pair[0] == pair[1]).count()]
    });
    found.push((
        "two siblings together".into(),
        siblings.sum::<usize>() as f64,
    ));
    found
}

/// Mean square of the correlations between the firing of each two of the first features.
fn correlations(codes: &Codes, first: usize) -> f64 {
    let mut both = vec![0.0; first * first];
    for ends in codes.offsets.windows(2) {
        let fires = &codes.indices[ends[0]..ends[1]];
        let fires = &fires[..fires.partition_point(|f| (*f as usize) < first)];
        for a in fires {
            for b in fires {
                both[*a as usize * first + *b as usize] += 1.0;
            }
        }
    }
    let rows = codes.rows() as f64;
    let p = |f: usize| both[f * first + f] / rows;
    let mut sum = 0.0;
    for a in 0..first {
        for b in (0..first).filter(|b| *b != a) {
            let covariance = both[a * first + b] / rows - p(a) * p(b);
            sum += covariance.powi(2) / (p(a) * (1.0 - p(a)) * p(b) * (1.0 - p(b)));
        }
    }
    sum / (first * (first - 1)) as f64
}

/// Each statistic is as near to the mean of three of SAELens's seeds as they are to each other, and its own spread allows.
#[test]
fn statistics_of_the_benchmark_are_those_of_saelens() {
    let json = include_str!("../../../tests/golden/synth_sae_bench.json");
    let theirs: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(json).unwrap();
    let truth = Truth::of_factors(&benchmark(5)).unwrap();
    let ours = statistics(&truth, 1 << 14);
    assert_eq!(ours.len(), theirs[0].len());
    for (name, got) in ours {
        let each: Vec<f64> = theirs
            .iter()
            .map(|seed| seed[&name].as_f64().unwrap())
            .collect();
        let [mean, spread] = moments(&each);
        // Three seeds say little of the spread, so a part of the mean is allowed beside it; more for deviations, to which the few
        // most frequent features contribute most.
        let share = if name.contains("deviation of values") {
            0.1
        } else {
            0.01
        };
        let allowed = 4.0 * spread + share * mean;
        assert!(
            (got - mean).abs() <= allowed,
            "{name}: {got}, SAELens {each:?}"
        );
    }
}

#[test]
fn rows_depend_on_the_seed_and_their_number_alone() {
    let truth = Truth::of_factors(&benchmark(1)).unwrap();
    let all = truth.draw(0..3 * BLOCK);
    for rows in [0..1, 5..70, 64..128, 130..192] {
        let some = truth.draw(rows.clone());
        assert_eq!(all.x[rows.start * 8..rows.end * 8], some.x);
        assert_eq!(some.codes.rows(), rows.len());
    }
    assert_ne!(
        Truth::of_factors(&benchmark(2)).unwrap().draw(0..64).x,
        all.x[..64 * 8]
    );
    // A row is the offset and the sum of its directions.
    let row = 77;
    let entries = all.codes.offsets[row]..all.codes.offsets[row + 1];
    for j in 0..8 {
        let parts = entries.clone().map(|at| {
            let f = all.codes.indices[at] as usize;
            f64::from(all.codes.values[at]) * f64::from(truth.directions()[f * 8 + j])
        });
        let expected = f64::from(truth.bias()[j]) + parts.sum::<f64>();
        assert!((f64::from(all.x[row * 8 + j]) - expected).abs() < 1e-4);
    }
}

/// A child fires with its parent only and at its own rate, and factors make features fire together.
#[test]
fn children_fire_with_their_parents_at_their_own_rates() {
    let spec = FactorSpec {
        d_in: 4,
        features: 60,
        zipf: 0.3,
        most: 0.3,
        least: 0.05,
        trees: 5,
        branch: 3,
        depth: 2,
        factors: 2,
        scale: 0.4,
        apart_steps: 0,
        ..FactorSpec::synth_sae_bench_16k()
    };
    let factors = Factors::new(&spec).unwrap();
    assert_eq!(factors.children(0), 5..8);
    assert_eq!(factors.children(4), 17..20);
    assert_eq!(factors.children(5), 20..23);
    assert!(factors.children(20).is_empty() && factors.parents[59] == Some(18));
    let truth = Truth::of_factors(&spec).unwrap();
    let rows = 1 << 16;
    let codes = truth.draw(0..rows).codes;
    let mut fired = vec![0.0; 60];
    for ends in codes.offsets.windows(2) {
        let fires = &codes.indices[ends[0]..ends[1]];
        for f in fires {
            fired[*f as usize] += 1.0 / rows as f64;
            if let Some(parent) = truth.parents()[*f as usize] {
                assert!(fires.contains(&(parent as u32)));
            }
        }
    }
    for (f, (got, p)) in fired.iter().zip(truth.probabilities()).enumerate().take(5) {
        let error = (p / f64::from(rows as u32)).sqrt();
        assert!((got - p).abs() < 5.0 * error, "{f}: {got} for {p}");
    }
    assert!(
        correlations(&codes, 5) > 0.001,
        "{}",
        correlations(&codes, 5)
    );
}

#[test]
fn thresholds_leave_the_stated_probability_above_them() {
    for p in [1e-12, 5e-4, 0.1, 0.5, 0.9999] {
        assert!((tail(quantile(p)) / p - 1.0).abs() < 1e-9, "{p}");
    }
    assert_eq!(tail(quantile(1.0)), 1.0);
    // By hand: rates 0.4 of the parent, 0.1 and 0.2 of the children: 0.25 (1 + 0.5) and 0.5 (1 + 0.25).
    let found = raised(&[0.4, 0.1, 0.2], &[1..3, 0..0, 0..0]);
    for (got, expected) in found.iter().zip([0.4, 0.375, 0.625]) {
        assert!((got - expected).abs() < 1e-12, "{got}");
    }
    // A child as frequent as its parent, beside another one, cannot be raised beyond 1.
    assert_eq!(raised(&[0.3, 0.3, 0.1], &[1..3, 0..0, 0..0])[1], 1.0);
}

#[test]
fn invalid_specifications_are_refused_by_name() {
    let refusal = |change: fn(&mut FactorSpec)| {
        let mut spec = benchmark(0);
        change(&mut spec);
        Truth::of_factors(&spec).unwrap_err().to_string()
    };
    for (change, part) in [
        (
            (|s| s.d_in = 0) as fn(&mut FactorSpec),
            "`d_in` must be at least 1, got 0",
        ),
        (
            |s| s.features = 100,
            "`features` must be at least the 128 trees",
        ),
        (|s| s.branch = 1, "`branch` must be at least 2, got 1"),
        (|s| s.factors = 0, "`factors` must be at least 1, got 0"),
        (|s| s.least = 0.5, "rates must rise from `least` to `most`"),
        (
            |s| s.zipf = f64::NAN,
            "rates must rise from `least` to `most`",
        ),
        (
            |s| s.mean = [0.0, 1.0],
            "`mean` must be two finite numbers above 0",
        ),
        (
            |s| s.scale = -1.0,
            "`scale` must be in [0, 1000000], got -1",
        ),
    ] {
        let message = refusal(change);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn dictionary_of_factors_is_the_same_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.truth.safetensors");
    let before = Truth::of_factors(&benchmark(9)).unwrap();
    before.save(&path, 1000).unwrap();
    assert!(super::super::is_truth(&path));
    let (after, rows) = Truth::load(&path).unwrap();
    assert_eq!((rows, &after), (1000, &before));
    // As data: the rows that the file says.
    let data = crate::data::open(path.to_str().unwrap(), &OpenOptions::default()).unwrap();
    let mut values = vec![0.0; 100 * 8];
    data.source.read(900, &mut values).unwrap();
    assert_eq!(
        (data.source.rows(), values),
        (1000, before.draw(900..1000).x)
    );
}
