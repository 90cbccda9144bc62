//! Screened selection compared with computing every pre-activation, on difficult data.

mod panics;
mod selections;

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rarefy_kernels::int8::Engine;
use rarefy_kernels::screen::pre_activations;

use super::block::search;
use super::keep::{KeepRule, Wanted};
use super::{Centred, Encoder, Screen, Selection};
use crate::codes::Codes;
use crate::data;

/// Generator of approximately standard normal numbers.
struct Numbers(u64);

impl Numbers {
    fn uniform(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        ((0..6).map(|_| self.uniform()).sum::<f32>() - 3.0) * std::f32::consts::SQRT_2
    }

    fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }
}

/// Kinds of data that make selection difficult.
const KINDS: [&str; 9] = [
    "gaussian",
    "heavy tails",
    "outlier dimensions",
    "correlated",
    "duplicated latents",
    "zero rows",
    "tiny and huge",
    "near ties",
    "biased",
];

struct Case {
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    d_in: usize,
    d_sae: usize,
}

impl Case {
    fn made(kind: &str, [n, d_in, d_sae]: [usize; 3], seed: u64) -> Self {
        let mut numbers = Numbers(seed.wrapping_mul(2) + 1);
        let (x, w) = (numbers.normals(n * d_in), numbers.normals(d_sae * d_in));
        let mut case = Self {
            x,
            w,
            b: vec![0.0; d_sae],
            d_in,
            d_sae,
        };
        match kind {
            "heavy tails" => case
                .x
                .iter_mut()
                .chain(&mut case.w)
                .for_each(|v| *v = v.powi(5)),
            "outlier dimensions" => {
                for row in case.x.chunks_mut(d_in) {
                    row[0] = 300.0 + 20.0 * row[0];
                    row[d_in / 2] *= 100.0;
                }
            }
            "correlated" => {
                let common = numbers.normals(d_in);
                for row in case.x.chunks_mut(d_in).chain(case.w.chunks_mut(d_in)) {
                    row.iter_mut()
                        .zip(&common)
                        .for_each(|(v, c)| *v = 0.01 * *v + c);
                }
            }
            "duplicated latents" => {
                for j in 0..d_sae {
                    let from = j % d_sae.div_ceil(3) * d_in;
                    case.w.copy_within(from..from + d_in, j * d_in);
                }
            }
            "zero rows" => {
                case.x[..n.div_ceil(2) * d_in].fill(0.0);
                case.w[..d_sae.div_ceil(2) * d_in].fill(0.0);
                case.b = numbers.normals(d_sae);
            }
            "tiny and huge" => {
                for (i, row) in case.x.chunks_mut(d_in).enumerate() {
                    let scale = [1e-38, 1e-20, 1e15, 3e30][i % 4];
                    row.iter_mut().for_each(|v| *v *= scale);
                }
            }
            "near ties" => {
                let one = case.w[..d_in].to_vec();
                for row in case.w.chunks_mut(d_in) {
                    row.iter_mut()
                        .zip(&one)
                        .for_each(|(v, one)| *v = one + 1e-7 * *v);
                }
            }
            "biased" => case.b = numbers.normals(d_sae).iter().map(|b| 1000.0 * b).collect(),
            _ => {}
        }
        case
    }

    /// Case whose encoder rows are directions of data rows, plus noise.
    fn of_rows(x: Vec<f32>, d_in: usize, d_sae: usize) -> Self {
        let mut numbers = Numbers(5);
        let n = x.len() / d_in;
        let mut w = Vec::new();
        for j in 0..d_sae {
            let row = &x[j * 7919 % n * d_in..][..d_in];
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
            w.extend(row.iter().map(|v| v / norm + 0.02 * numbers.normal()));
        }
        Self {
            x,
            w,
            b: vec![0.0; d_sae],
            d_in,
            d_sae,
        }
    }

    fn rows(&self) -> Centred<'_> {
        Centred {
            x: &self.x,
            w_enc: &self.w,
            b_enc: &self.b,
        }
    }

    /// All pre-activations of each row, with their latents.
    fn pre(&self) -> Vec<Vec<(u32, f32)>> {
        let all: Vec<u32> = (0..self.d_sae as u32).collect();
        let row = |x: &[f32]| {
            let mut pre = vec![0.0; self.d_sae];
            pre_activations(x, &self.w, &self.b, &all, &mut pre);
            all.iter().copied().zip(pre).collect()
        };
        self.x.chunks(self.d_in).map(row).collect()
    }

    /// Reference selection: computes all pre-activations and sorts them.
    fn plain(&self, selection: Selection) -> Vec<Vec<(u32, f32)>> {
        let mut rows = self.pre();
        for row in &mut rows {
            match selection {
                Selection::Above(above) => row.retain(|entry| entry.1 > above),
                Selection::Each(bounds) => row.retain(|entry| entry.1 > bounds[entry.0 as usize]),
                Selection::Magnitude(k) => {
                    row.retain(|entry| entry.1 != 0.0);
                    *row = largest(row, k);
                }
                Selection::Row(k) => *row = largest(&positive(row), k),
                Selection::Groups { groups, k } => {
                    let groups = row.chunks(self.d_sae / groups);
                    *row = groups.flat_map(|g| largest(&positive(g), k)).collect();
                }
                Selection::Batch(_) => *row = positive(row),
            }
        }
        if let Selection::Batch(k) = selection {
            let mut flat: Vec<(usize, (u32, f32))> = Vec::new();
            for (i, row) in rows.iter().enumerate() {
                flat.extend(row.iter().map(|&entry| (i, entry)));
            }
            flat.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
            flat.truncate((rows.len() as f64 * k) as usize);
            rows.iter_mut().for_each(Vec::clear);
            flat.iter().for_each(|&(i, entry)| rows[i].push(entry));
            let sort = |row: &mut Vec<(u32, f32)>| row.sort_by_key(|entry| entry.0);
            rows.iter_mut().for_each(sort);
        }
        rows
    }

    fn check(&self, name: &str, selection: Selection) {
        let want = self.plain(selection);
        for screen in screens() {
            let encoder = Encoder::with_screen(&self.w, &self.b, screen, self.d_in, self.d_sae);
            // The second search starts from a hint.
            for time in ["first", "second"] {
                let name = format!("{name}, {screen:?}, {time} time");
                self.check_with(&encoder, &name, selection, &want);
            }
        }
    }

    fn check_with(
        &self,
        encoder: &Encoder,
        name: &str,
        selection: Selection,
        want: &[Vec<(u32, f32)>],
    ) {
        let mut codes = Codes::new(self.d_sae);
        encoder.encode_centred(&self.rows(), selection, &mut codes);
        assert_eq!(codes.rows(), want.len());
        for (i, want) in want.iter().enumerate() {
            let range = codes.offsets[i]..codes.offsets[i + 1];
            let indices = codes.indices[range.clone()].iter().copied();
            let got: Vec<(u32, f32)> = indices.zip(codes.values[range].iter().copied()).collect();
            assert_eq!(&got, want, "{name}, {selection:?}, row {i}");
        }
    }
}

/// All screening methods that this machine supports.
fn screens() -> Vec<Screen> {
    let bytes = Engine::available().iter().copied().map(Screen::Bytes);
    bytes.chain([Screen::Products]).collect()
}

fn positive(row: &[(u32, f32)]) -> Vec<(u32, f32)> {
    row.iter().copied().filter(|entry| entry.1 > 0.0).collect()
}

/// The k largest entries by absolute value, sorted by latent. The stable sort keeps the order of ties.
fn largest(row: &[(u32, f32)], k: usize) -> Vec<(u32, f32)> {
    let mut row = row.to_vec();
    row.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    row.truncate(k);
    row.sort_by_key(|entry| entry.0);
    row
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(11),
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
        k in prop_oneof![1usize..=9, Just(33), Just(10_000)],
        seed: u32,
    ) {
        let case = Case::made(KINDS[kind], [n, d_in, d_sae], u64::from(seed));
        let k = k.min(d_sae);
        case.check(KINDS[kind], Selection::Row(k));
        case.check(KINDS[kind], Selection::Batch(k as f64 * 0.75));
        case.check(KINDS[kind], Selection::Above(0.5));
    }
}

#[test]
fn screened_selection_matches_reference_with_many_panels() {
    for kind in KINDS {
        let case = Case::made(kind, [97, 101, 1500], 3);
        case.check(kind, Selection::Row(20));
        case.check(kind, Selection::Batch(12.5));
    }
}

/// Some candidates with the largest bounds are negative, and some with smaller bounds are positive. A row may
/// drop candidates only after it has k entries.
#[test]
fn selection_is_exact_with_about_k_positive_values_per_row() {
    let mut case = Case::made("gaussian", [400, 130, 256], 6);
    case.b.fill(-13.4);
    let positive: usize = case.plain(Selection::Above(0.0)).iter().map(Vec::len).sum();
    assert!((25..37).contains(&(positive / 400)), "{positive}");
    case.check("few positive", Selection::Row(31));
    case.check("few positive", Selection::Batch(31.0));
}

#[test]
fn selection_is_exact_with_sampled_guess_and_several_blocks() {
    let case = Case::made("gaussian", [1300, 19, 300], 8);
    case.check("many rows", Selection::Row(5));
    case.check("many rows", Selection::Batch(5.0));
}

#[test]
fn selection_is_exact_on_real_activations() {
    let words = data::open("sample:words", &data::OpenOptions::default()).unwrap();
    let mut x = vec![0.0; 400 * 50];
    words.source.read(0, &mut x).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/activations");
    let mut cases = vec![("words", Case::of_rows(x, 50, 1000))];
    for (name, d_in) in [("minilm-glosses", 384), ("smollm2-jargon", 576)] {
        let path = folder.join(format!("{name}.safetensors"));
        let file = data::open(path.to_str().unwrap(), &data::OpenOptions::default()).unwrap();
        let mut x = vec![0.0; file.source.rows() * d_in];
        file.source.read(0, &mut x).unwrap();
        cases.push((name, Case::of_rows(x, d_in, 1000)));
    }
    for (name, case) in cases {
        case.check(name, Selection::Row(16));
        case.check(name, Selection::Batch(16.0));
    }
}

#[test]
fn batch_selection_matches_saelens_test_cases() {
    let identity = |x: [f32; 8]| Case {
        x: x.to_vec(),
        w: (0..16).map(|i| f32::from(u8::from(i % 5 == 0))).collect(),
        b: vec![0.0; 4],
        d_in: 4,
        d_sae: 4,
    };
    let dense = |x: [f32; 8], k: f64| {
        let case = identity(x);
        case.check("by hand", Selection::Batch(k));
        let encoder = Encoder::with_screen(&case.w, &case.b, Screen::Products, 4, 4);
        let mut codes = Codes::new(4);
        encoder.encode_centred(&case.rows(), Selection::Batch(k), &mut codes);
        codes.to_dense()
    };
    // SAELens, tests/saes/test_batchtopk_sae.py
    let x = [1.0, -2.0, 3.0, -4.0, -5.0, 6.0, -7.0, 8.0];
    assert_eq!(dense(x, 2.0), [1.0, 0.0, 3.0, 0.0, 0.0, 6.0, 0.0, 8.0]);
    assert_eq!(dense(x, 1.5), [0.0, 0.0, 3.0, 0.0, 0.0, 6.0, 0.0, 8.0]);
    let x = [1.0, 2.0, 3.0, 4.0, -5.0, -6.0, 0.5, -8.0];
    assert_eq!(dense(x, 2.0), [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    let x = [-1.0, 2.0, -3.0, -4.0, 5.0, -6.0, -7.0, -8.0];
    assert_eq!(dense(x, 2.0), [0.0, 2.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]);
}

#[test]
fn subnormal_biases_tie() {
    let mut case = Case::made("gaussian", [6, 5, 1024], 1);
    case.x.fill(0.0);
    for bias in [1e-40, 1e-44] {
        case.b.fill(bias);
        case.check("a subnormal bias", Selection::Row(200));
        case.check("a subnormal bias", Selection::Row(4));
    }
}

#[test]
fn batch_search_from_0_stores_at_most_twice_the_wanted_entries_per_task() {
    let mut case = Case::made("gaussian", [60, 16, 4096], 2);
    case.b.fill(500.0);
    case.check("a common offset", Selection::Batch(4.0));
    let screen = Screen::best(case.d_in);
    let encoder = Encoder::with_screen(&case.w, &case.b, screen, case.d_in, case.d_sae);
    let wanted = 240;
    let keep = KeepRule {
        together: wanted,
        ..KeepRule::all(Wanted::Above(0.0))
    };
    let kept = search(&encoder, &case.rows(), keep);
    let count: usize = kept.iter().map(|kept| kept.entries.len()).sum();
    // Each task removes entries when it has twice the wanted number.
    let most = 2 * wanted * rayon::current_num_threads();
    assert!((wanted..=most).contains(&count), "{count}");
}
