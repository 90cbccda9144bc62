//! Selections with per-latent thresholds, groups and absolute values; hints and threads change no result.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::{Case, KINDS, Numbers, screens};
use crate::codes::Codes;
use crate::engine::{Encoder, Screen, Selection};

/// Difficult thresholds: a quarter equal the pre-activation of a row (which is then not above), a quarter are the
/// next lower number, and the remaining ones have any sign.
fn bounds(case: &Case, seed: u64) -> Vec<f32> {
    let (rows, mut numbers) = (case.pre(), Numbers(seed));
    (0..case.d_sae)
        .map(|j| match j % 4 {
            0 => rows[j % rows.len()][j].1,
            1 => rows[j % rows.len()][j].1.next_down(),
            2 => numbers.normal() * (case.d_in as f32).sqrt(),
            _ => case.b[j] + 0.5,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(12),
        failure_persistence: None,
        cases: 48,
        ..ProptestConfig::default()
    })]

    #[test]
    fn screened_selection_matches_reference(
        kind in 0usize..KINDS.len(),
        n in prop_oneof![1usize..=7, Just(40)],
        d_in in prop_oneof![1usize..=9, 30usize..=35, Just(130)],
        d_sae in prop_oneof![1usize..=3, 60usize..=70, Just(700)],
        k in prop_oneof![1usize..=3, Just(33), Just(10_000)],
        which: usize,
        seed: u32,
    ) {
        let case = Case::made(KINDS[kind], [n, d_in, d_sae], u64::from(seed));
        case.check(KINDS[kind], Selection::Magnitude(k));
        let divisors: Vec<usize> = (1..=d_sae).filter(|g| d_sae % g == 0).collect();
        let groups = divisors[which % divisors.len()];
        case.check(KINDS[kind], Selection::Groups { groups, k });
        case.check(KINDS[kind], Selection::Each(&bounds(&case, u64::from(seed))));
    }
}

#[test]
fn screened_selection_matches_reference_with_many_panels() {
    for kind in KINDS {
        let case = Case::made(kind, [97, 101, 1500], 3);
        case.check(kind, Selection::Magnitude(20));
        case.check(kind, Selection::Each(&bounds(&case, 1)));
        // Groups inside a panel, across panels, and of several panels.
        for (groups, k) in [(500, 1), (60, 2), (15, 3), (5, 1), (1, 20)] {
            case.check(kind, Selection::Groups { groups, k });
        }
    }
}

/// Most or all latents are active with thresholds below zero.
#[test]
fn selection_is_exact_with_negative_thresholds() {
    for kind in KINDS {
        let case = Case::made(kind, [13, 33, 450], 7);
        for above in [-0.5, -1e30, f32::NEG_INFINITY] {
            case.check(kind, Selection::Above(above));
            case.check(kind, Selection::Each(&[above; 450]));
        }
    }
}

/// Biases and thresholds are far larger than the differences that decide the selection.
#[test]
fn selection_is_exact_with_large_biases_and_thresholds() {
    for size in [1.0, 1e3, 1e7, 1e30] {
        let mut case = Case::made("gaussian", [40, 33, 450], 9);
        let mut numbers = Numbers(3);
        case.b.fill_with(|| size * numbers.normal());
        let bounds = bounds(&case, 2);
        case.check("large biases", Selection::Each(&bounds));
        case.check("large biases", Selection::Each(&case.b));
        // For a row of zeros the pre-activation is the rounded bias alone.
        case.x.fill(0.0);
        let below: Vec<f32> = case.b.iter().map(|b| b.next_down()).collect();
        case.check("nothing but biases", Selection::Each(&below));
        case.check("nothing but biases", Selection::Each(&case.b));
    }
}

#[test]
fn subnormal_bias_is_above_the_next_lower_threshold() {
    let mut case = Case::made("gaussian", [6, 5, 256], 1);
    case.x.fill(0.0);
    for bias in [1e-40, 1e-44, -1e-44] {
        case.b.fill(bias);
        case.check(
            "a subnormal bias",
            Selection::Each(&[bias.next_down(); 256]),
        );
        case.check("a subnormal bias", Selection::Each(&[bias; 256]));
        case.check("a subnormal bias", Selection::Magnitude(40));
    }
}

#[test]
fn selection_is_exact_with_sampled_guess_and_several_blocks() {
    let case = Case::made("gaussian", [1300, 19, 300], 8);
    case.check("many rows", Selection::Magnitude(5));
    case.check("many rows", Selection::Groups { groups: 3, k: 2 });
    case.check("many rows", Selection::Each(&bounds(&case, 5)));
}

/// Some rows have a group without positive values, so the search from a guess is repeated.
#[test]
fn group_selection_is_exact_with_too_few_positive_values() {
    let mut case = Case::made("gaussian", [1000, 17, 640], 6);
    case.b.fill(-9.0);
    for groups in [5, 20] {
        let selection = Selection::Groups { groups, k: 1 };
        let kept: usize = case.plain(selection).iter().map(Vec::len).sum();
        assert!((300..1000 * groups).contains(&kept), "{kept}");
        case.check("few positive", selection);
    }
}

/// Rows with large pre-activations (the directions of latents) alternate with rows of small ones.
#[test]
fn hints_of_earlier_rows_do_not_change_results() {
    let (d_in, d_sae) = (64, 512);
    let plain = Case::made("gaussian", [200, d_in, d_sae], 2);
    let along = Case {
        x: plain.w[..200 * d_in].to_vec(),
        w: plain.w.clone(),
        b: plain.b.clone(),
        ..plain
    };
    for selection in [
        Selection::Row(1),
        Selection::Row(7),
        Selection::Batch(1.0),
        Selection::Magnitude(1),
        Selection::Groups { groups: 1, k: 1 },
        Selection::Groups { groups: 4, k: 2 },
    ] {
        let want = [&along, &plain].map(|case| case.plain(selection));
        for screen in screens() {
            let encoder = Encoder::with_screen(&plain.w, &plain.b, screen, d_in, d_sae);
            for (case, want) in [&along, &plain, &along]
                .into_iter()
                .zip(want.iter().cycle())
            {
                case.check_with(&encoder, "by turns", selection, want);
            }
        }
    }
}

#[test]
fn number_of_threads_does_not_change_results() {
    let case = Case::made("gaussian", [700, 33, 500], 4);
    let bounds = bounds(&case, 4);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let screen = Screen::best(case.d_in);
            let encoder = Encoder::with_screen(&case.w, &case.b, screen, case.d_in, case.d_sae);
            let mut codes = Codes::new(case.d_sae);
            for selection in [
                Selection::Row(9),
                Selection::Batch(9.0),
                Selection::Above(3.0),
                Selection::Each(&bounds),
                Selection::Groups { groups: 20, k: 2 },
                Selection::Magnitude(9),
            ] {
                encoder.encode_centred(&case.rows(), selection, &mut codes);
            }
            codes
        })
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(5));
}

/// Three rows with two groups, worked by hand. `Groups` keeps the largest positive value of each group, the first of
/// ties. `Magnitude` keeps signs and drops zeros.
#[test]
fn selections_match_hand_worked_rows() {
    let rows = [
        [1.0, 3.0, 2.0, -4.0],
        [2.0, 2.0, -2.0, 2.0],
        [-1.0, 0.0, 0.0, -3.0],
    ];
    let case = Case {
        x: rows.concat(),
        w: (0..16).map(|i| f32::from(u8::from(i % 5 == 0))).collect(),
        b: vec![0.0; 4],
        d_in: 4,
        d_sae: 4,
    };
    let selected = |selection| {
        case.check("by hand", selection);
        let encoder = Encoder::with_screen(&case.w, &case.b, Screen::Products, 4, 4);
        let mut codes = Codes::new(4);
        encoder.encode_centred(&case.rows(), selection, &mut codes);
        codes.to_dense()
    };
    let groups = selected(Selection::Groups { groups: 2, k: 1 });
    assert_eq!(groups[..4], [0.0, 3.0, 2.0, 0.0]);
    assert_eq!(groups[4..8], [2.0, 0.0, 0.0, 2.0]);
    assert_eq!(groups[8..], [0.0; 4]);
    let magnitude = selected(Selection::Magnitude(3));
    assert_eq!(magnitude[..4], [0.0, 3.0, 2.0, -4.0]);
    assert_eq!(magnitude[4..8], [2.0, 2.0, -2.0, 0.0]);
    assert_eq!(magnitude[8..], [-1.0, 0.0, 0.0, -3.0]);
    let each = selected(Selection::Each(&[1.0, 1.5, -2.5, -3.0]));
    assert_eq!(each[..4], [0.0, 3.0, 2.0, 0.0]);
    assert_eq!(each[4..8], [2.0, 2.0, -2.0, 2.0]);
    assert_eq!(each[8..], [0.0; 4]);
    // The third latent of the last row is 0. It is above its threshold, so it has an entry.
    let mut codes = Codes::new(4);
    let encoder = Encoder::with_screen(&case.w, &case.b, Screen::Products, 4, 4);
    let selection = Selection::Each(&[1.0, 1.5, -2.5, -3.0]);
    encoder.encode_centred(&case.rows(), selection, &mut codes);
    assert_eq!(codes.indices[codes.offsets[2]..], [2]);
}
