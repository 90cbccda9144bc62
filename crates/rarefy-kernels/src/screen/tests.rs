//! Exact pre-activations against the documented order, and screening bounds against f64.

use proptest::prelude::*;

use super::{
    Candidates, Panel, SPARE, Samples, pre_activations_on, screen_bytes_on, screen_products_on,
};
use crate::cpu::Path;
use crate::int8::{Engine, Limits, OFFSET, PANEL, offset, pack, padded, quantise, rotate};
use crate::matmul::{Op, matmul};
use crate::twins::{close, repeatable, values, wide};

/// Pre-activation in the documented order: thirty-two sums, each operation rounded, added pairwise.
fn in_order(x: &[f32], w: &[f32], bias: f32) -> f32 {
    let mut sums = [0.0f32; 32];
    for (i, (x, w)) in x.iter().zip(w).enumerate() {
        let product = x * w;
        sums[i % 32] += product;
    }
    for width in [16, 8, 4, 2, 1] {
        for j in 0..width {
            sums[j] += sums[j + width];
        }
    }
    sums[0] + bias
}

/// Pre-activation in f64, and the sum of the absolute values of its terms.
fn exact(x: &[f32], w: &[f32], bias: f32) -> (f64, f64) {
    let terms = x.iter().zip(w).map(|(x, w)| wide(*x) * wide(*w));
    let start = (wide(bias), wide(bias).abs());
    terms.fold(start, |(sum, sizes), t| (sum + t, sizes + t.abs()))
}

proptest! {
    #![proptest_config(repeatable())]

    #[test]
    fn exact_pre_activations_follow_the_documented_order(d in 1usize..=130, count in 0usize..=9, seed: u32, power in -30i32..18) {
        const LATENTS: usize = 7;
        let x = values(seed, d, 10f64.powi(power) as f32);
        let (w, b) = (values(seed ^ 1, LATENTS * d, 2.0), values(seed ^ 2, LATENTS, 1.0));
        let latents: Vec<u32> = values(seed ^ 3, count, 3.4).iter().map(|v| (v + 3.5) as u32).collect();
        for &path in Path::available() {
            let mut pre = vec![f32::NAN; count];
            pre_activations_on(path, &x, &w, &b, &latents, &mut pre);
            for (&j, got) in latents.iter().zip(pre) {
                let j = j as usize;
                let row = &w[j * d..(j + 1) * d];
                prop_assert_eq!(got.to_bits(), in_order(&x, row, b[j]).to_bits(), "{:?} latent {}", path, j);
                let (want, sizes) = exact(&x, row, b[j]);
                prop_assert!(close(wide(got), want, 0.0, 8e-7 * sizes + 1e-43), "{path:?} {got} {want}");
            }
        }
    }
}

/// Kinds of rows in the tests.
const KINDS: [&str; 9] = [
    "gaussian",
    "heavy tails",
    "outlier",
    "tiny",
    "subnormal",
    "huge",
    "zero",
    "few",
    "constant",
];

fn made(kind: &str, rows: usize, d: usize, seed: u32) -> Vec<f32> {
    let mut all = vec![0.0; rows * d];
    for part in 0..6 {
        let more = values(seed ^ (part << 8), rows * d, 0.7);
        all.iter_mut().zip(more).for_each(|(v, more)| *v += more);
    }
    for (i, v) in all.iter_mut().enumerate() {
        match kind {
            "heavy tails" => *v = v.powi(7),
            "outlier" if i % d == d / 2 => *v = 500.0 + 30.0 * *v,
            "tiny" => *v *= 1e-38,
            "subnormal" => *v *= 1e-43,
            "huge" => *v *= 1e30,
            "zero" => *v = 0.0,
            "few" if i % 11 != 3 => *v = 0.0,
            "constant" => *v = 0.3,
            _ => {}
        }
    }
    all
}

/// Rows and latents of one panel, prepared like the library's encoder does.
struct Case {
    d: usize,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    either_sign: bool,
}

impl Case {
    fn rows(&self) -> usize {
        self.x.len() / self.d
    }

    fn biases(&self, latent: usize) -> (f32, f32) {
        let (bias, room) = (self.b[latent], self.b[latent].abs() * f32::EPSILON * 8.0);
        (bias + room, room - bias)
    }

    fn rounding(&self) -> f32 {
        (self.d + 128) as f32 / (1 << 24) as f32
    }

    /// Upper bounds of pre-activations by quantised products, and error bounds of the rough products from
    /// exact errors in f64.
    fn by_bytes(&self, path: Path, engine: Engine, floor: f32) -> (Vec<Option<f32>>, Vec<f64>) {
        let (d, width, latents) = (self.d, padded(self.d), self.b.len());
        let mut panel = Panel::default();
        let mut weights = vec![0; width * PANEL];
        let mut of_w = Vec::new();
        let mut q = vec![0; d];
        for (j, w) in self.w.chunks_exact(d).enumerate() {
            let mut w = w.to_vec();
            rotate(&mut w);
            let row = quantise(&w, engine.of_weights(), &mut q);
            pack(&q, j, &mut weights);
            panel.start[j] = -i32::from(OFFSET) * row.sum;
            panel.scale[j] = row.scale;
            panel.norm[j] = row.norm;
            panel.error[j] = row.error;
            (panel.bias[j], panel.minus_bias[j]) = self.biases(j);
            of_w.push(true_norms(&w, row.scale, &q));
        }
        let whole = self.rows().next_multiple_of(engine.rows());
        let mut bytes = vec![OFFSET; whole * width];
        let mut facts = [const { Vec::new() }; 3];
        let mut of_x = Vec::new();
        for (x, bytes) in self.x.chunks_exact(d).zip(bytes.chunks_exact_mut(width)) {
            let mut x = x.to_vec();
            rotate(&mut x);
            let row = quantise(&x, engine.of_samples(), &mut q);
            offset(&q, bytes);
            let norm = row.norm + row.error;
            facts[0].push(row.scale);
            facts[1].push(norm);
            facts[2].push(row.error + self.rounding() * norm);
            of_x.push(true_norms(&x, row.scale, &q));
        }
        let mut floors = vec![floor; self.rows()];
        floors.resize(whole, f32::INFINITY);
        facts.iter_mut().for_each(|f| f.resize(whole, 0.0));
        let mut most = found(whole, latents, |found| {
            let samples = Samples {
                scale: &facts[0],
                norm: &facts[1],
                error: &facts[2],
                floor: &floors,
                either_sign: self.either_sign,
            };
            screen_bytes_on(
                path, engine, &bytes, &weights, &panel, 100, latents, &samples, found,
            );
        });
        // Padding rows of the last tile have no candidates.
        let padding = most.split_off(self.rows() * latents);
        assert!(padding.iter().all(Option::is_none));
        let bounds = of_x
            .iter()
            .flat_map(|x| of_w.iter().map(|w| x.error * w.rough + x.all * w.error));
        (most, bounds.collect())
    }

    fn by_products(&self, path: Path, floor: f32) -> Vec<Option<f32>> {
        let (n, d, latents) = (self.rows(), self.d, self.b.len());
        let mut pre = vec![0.0; n * latents];
        matmul(
            &mut pre,
            false,
            (&self.x, Op::N),
            (&self.w, Op::T),
            [n, latents, d],
        );
        let mut panel = Panel {
            scale: [1.0; PANEL],
            ..Panel::default()
        };
        let norm = |row: &[f32]| {
            let mut row = row.to_vec();
            rotate(&mut row);
            let facts = quantise(&row, Limits::NONE, &mut vec![0; d]);
            facts.norm + facts.error
        };
        for (j, w) in self.w.chunks_exact(d).enumerate() {
            panel.norm[j] = norm(w);
            (panel.bias[j], panel.minus_bias[j]) = self.biases(j);
        }
        let norms: Vec<f32> = self.x.chunks_exact(d).map(norm).collect();
        let error: Vec<f32> = norms.iter().map(|n| 2.0 * self.rounding() * n).collect();
        found(n, latents, |found| {
            let samples = Samples {
                scale: &vec![1.0; n],
                norm: &norms,
                error: &error,
                floor: &vec![floor; n],
                either_sign: self.either_sign,
            };
            screen_products_on(path, &pre, latents, &panel, 100, latents, &samples, found);
        })
    }

    /// Upper bounds by each screening method of this machine.
    fn every_way(&self, floor: f32) -> Vec<(String, Vec<Option<f32>>)> {
        let mut ways = Vec::new();
        for &path in Path::available() {
            for &engine in Engine::available() {
                let (most, _) = self.by_bytes(path, engine, floor);
                ways.push((format!("{path:?} {engine:?}"), most));
            }
            ways.push((format!("{path:?} products"), self.by_products(path, floor)));
        }
        ways
    }

    /// Asserts that no pre-activation, in f64 or f32, is above its upper bound.
    fn bounded(&self) -> Result<(), TestCaseError> {
        for (way, most) in self.every_way(f32::NEG_INFINITY) {
            let mut most = most.into_iter();
            for (i, x) in self.x.chunks_exact(self.d).enumerate() {
                for (j, w) in self.w.chunks_exact(self.d).enumerate() {
                    let most = most.next().unwrap();
                    prop_assert!(most.is_some(), "{way}: row {i}, latent {j} not found");
                    let most = wide(most.unwrap());
                    let sign = |value: f64| if self.either_sign { value.abs() } else { value };
                    let want = sign(exact(x, w, self.b[j]).0);
                    let pre = sign(wide(in_order(x, w, self.b[j])));
                    prop_assert!(
                        limits(most, want),
                        "{way}: row {i}, latent {j}: {want} above {most}"
                    );
                    prop_assert!(
                        limits(most, pre),
                        "{way}: row {i}, latent {j}: {pre} above {most} in f32"
                    );
                }
            }
            prop_assert!(most.next().is_none());
        }
        Ok(())
    }
}

/// True if `most` is an upper bound of the value; NaN bounds each value.
fn limits(most: f64, value: f64) -> bool {
    most.is_nan() || value.is_nan() || value <= most
}

struct Norms {
    all: f64,
    rough: f64,
    error: f64,
}

fn true_norms(row: &[f32], scale: f32, q: &[i8]) -> Norms {
    let norm = |of: &dyn Fn(usize) -> f64| (0..q.len()).map(|i| of(i).powi(2)).sum::<f64>().sqrt();
    let rough = |i: usize| wide(scale) * f64::from(q[i]);
    Norms {
        all: norm(&|i| wide(row[i])),
        rough: norm(&rough),
        error: norm(&|i| wide(row[i]) - rough(i)),
    }
}

/// Runs a screen; returns the upper bound of each row and latent, `None` if no candidate. The first
/// latent has the index 100.
fn found(rows: usize, latents: usize, screen: impl FnOnce(&mut Candidates)) -> Vec<Option<f32>> {
    let room = latents + SPARE;
    let (mut which, mut most) = (vec![0; rows * room], vec![0.0; rows * room]);
    let mut counts = vec![0; rows];
    screen(&mut Candidates {
        latents: &mut which,
        most: &mut most,
        counts: &mut counts,
        room,
    });
    let mut all = vec![None; rows * latents];
    for (i, &count) in counts.iter().enumerate() {
        let places = i * room..i * room + count as usize;
        assert!(which[places.clone()].is_sorted(), "in the latents' order");
        for at in places {
            let known = all[i * latents + which[at] as usize - 100].replace(most[at]);
            assert!(known.is_none(), "found twice");
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..repeatable() })]

    #[test]
    fn no_pre_activation_is_above_its_bound(
        of_x in 0..KINDS.len(),
        of_w in 0..KINDS.len(),
        d in prop_oneof![1usize..=9, 30usize..=35, Just(130), Just(601)],
        rows in 1usize..=8,
        latents in prop_oneof![1usize..=3, 15usize..=17, Just(64)],
        biases in prop_oneof![Just(0.0f32), Just(1.0), Just(1e6)],
        either_sign: bool,
        seed: u32,
    ) {
        let (x, w) = (made(KINDS[of_x], rows, d, seed), made(KINDS[of_w], latents, d, seed ^ 1));
        Case { d, x, w, b: values(seed ^ 2, latents, biases), either_sign }.bounded()?;
    }

    /// Bounds of a row do not depend on the scale of the rows beside it.
    #[test]
    fn bounds_hold_for_mixed_row_scales(d in 1usize..=40, either_sign: bool, seed: u32) {
        let mut x = Vec::new();
        for (i, kind) in KINDS.into_iter().enumerate() {
            x.extend(made(kind, 1, d, seed ^ i as u32));
        }
        Case { d, w: x.clone(), b: vec![0.5; KINDS.len()], x, either_sign }.bounded()?;
    }

    /// Rows with NaN or infinity have no bound: their latents are candidates, without a panic.
    #[test]
    fn rows_with_nan_or_infinity_are_candidates(d in 1usize..=40, at: usize, seed: u32, whole: bool, either_sign: bool) {
        let (rows, latents) = (5, 19);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for of_x in [true, false] {
                let (mut x, mut w) = (made("gaussian", rows, d, seed), made("gaussian", latents, d, seed ^ 1));
                w[d..2 * d].fill(0.0);
                x[d..2 * d].fill(0.0);
                let poisoned = if of_x { &mut x } else { &mut w };
                let row = &mut poisoned[2 * d..3 * d];
                row[at % d] = bad;
                if whole {
                    row.fill(bad);
                }
                let case = Case { d, x, w, b: vec![0.0; latents], either_sign };
                for (way, most) in case.every_way(f32::MAX) {
                    let bad = |place: usize| if of_x { place / latents } else { place % latents } == 2;
                    for (place, most) in most.into_iter().enumerate() {
                        prop_assert_eq!(most.is_some(), bad(place), "{}, place {}", way, place);
                    }
                }
            }
        }
    }
}

/// Rotating these rows overflows, although their product with a small row is 12.
#[test]
fn rows_that_overflow_in_the_rotation_are_candidates() {
    let case = Case {
        d: 4,
        x: vec![3e38; 4],
        w: vec![1e-38; 4],
        b: vec![0.0],
        either_sign: false,
    };
    for (way, most) in case.every_way(11.0) {
        assert!(
            most[0].is_some_and(|most| limits(most.into(), 12.0)),
            "{way}"
        );
    }
}

/// Bounds are not only valid but also tight.
#[test]
fn bounds_of_gaussian_rows_are_tight() {
    for d in [64, 768] {
        let (rows, latents) = (12, 64);
        let (x, w) = (
            made("gaussian", rows, d, 3),
            made("gaussian", latents, d, 4),
        );
        let case = Case {
            d,
            x,
            w,
            b: vec![0.0; latents],
            either_sign: false,
        };
        for &path in Path::available() {
            for &engine in Engine::available() {
                let (most, bounds) = case.by_bytes(path, engine, f32::NEG_INFINITY);
                for (place, (most, bound)) in most.into_iter().zip(bounds).enumerate() {
                    let x = &case.x[place / latents * d..][..d];
                    let w = &case.w[place % latents * d..][..d];
                    let above = wide(most.unwrap()) - exact(x, w, 0.0).0;
                    // The bound counts twice: error of the rough product, and the bound itself.
                    assert!(
                        above <= 2.1 * bound,
                        "{path:?} {engine:?} {d}: {above} of {bound}"
                    );
                    let length = |row: &[f32]| exact(row, row, 0.0).0.sqrt();
                    let share = bound / (length(x) * length(w));
                    // 7 bits of one side would give 0.030.
                    let most = if engine == Engine::Avx2 { 0.025 } else { 0.02 };
                    assert!(share < most, "{engine:?} {d}: {share} of the norms");
                }
            }
        }
    }
}

/// A bound equal to the floor is no candidate; padding and places of other rows are not written.
#[test]
fn only_bounds_above_the_floor_are_candidates() {
    for either_sign in [false, true] {
        check_floor(&Case {
            d: 3,
            x: made("gaussian", 7, 3, 1),
            w: made("gaussian", 21, 3, 2),
            b: vec![0.25; 21],
            either_sign,
        });
    }
}

fn check_floor(case: &Case) {
    for &path in Path::available() {
        for &engine in Engine::available() {
            let all = case.by_bytes(path, engine, f32::NEG_INFINITY).0;
            let floor = all[30].unwrap();
            let above = case.by_bytes(path, engine, floor).0;
            for (all, above) in all.into_iter().zip(above) {
                assert_eq!(
                    above,
                    all.filter(|most| *most > floor),
                    "{path:?} {engine:?}"
                );
            }
        }
        let all = case.by_products(path, f32::NEG_INFINITY);
        let floor = all[30].unwrap();
        let above = case.by_products(path, floor);
        for (all, above) in all.into_iter().zip(above) {
            assert_eq!(above, all.filter(|most| *most > floor), "{path:?} products");
        }
    }
}

#[test]
#[should_panic(expected = "more candidates than room")]
fn more_candidates_than_room_panics() {
    // Sixteen fit, and one more place is not enough for the next sixteen.
    const ROOM: usize = SPARE + 1;
    let samples = Samples {
        scale: &[1.0],
        norm: &[0.0],
        error: &[0.0],
        floor: &[0.0],
        either_sign: false,
    };
    let panel = Panel {
        scale: [1.0; PANEL],
        bias: [0.0; PANEL],
        ..Panel::default()
    };
    let mut found = Candidates {
        latents: &mut [0; ROOM],
        most: &mut [0.0; ROOM],
        counts: &mut [0],
        room: ROOM,
    };
    super::screen_products(&[1.0; 16], 16, &panel, 0, 16, &samples, &mut found);
    assert_eq!(found.counts, [16]);
    super::screen_products(&[1.0; 32], 32, &panel, 0, 32, &samples, &mut found);
}

/// Products -3 and 1 with biases 0.5 and -2: pre-activations -2.5 and -1; only the first is below -2.
#[test]
fn negative_pre_activation_counts_with_either_sign() {
    let panel = Panel {
        scale: [1.0; PANEL],
        bias: std::array::from_fn(|j| [0.5, -2.0][j % 2]),
        minus_bias: std::array::from_fn(|j| [-0.5, 2.0][j % 2]),
        ..Panel::default()
    };
    for (either_sign, want) in [(false, None), (true, Some(2.5))] {
        let samples = Samples {
            scale: &[1.0],
            norm: &[0.0],
            error: &[0.0],
            floor: &[2.0],
            either_sign,
        };
        for &path in Path::available() {
            let most = found(1, 2, |found| {
                screen_products_on(path, &[-3.0, 1.0], 2, &panel, 100, 2, &samples, found);
            });
            assert_eq!(most, [want, None], "{path:?}");
        }
    }
}
