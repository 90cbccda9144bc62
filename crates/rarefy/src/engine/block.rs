//! One task of the encoder: a block of rows against all latents, some panels at a time.
//!
//! Measured on 2 cores of Zen 4 (int8 peak 934, f32 peak 234 GFLOP/s), 4096 rows, 768 -> 16384, k = 32: 208 ms,
//! of them about 130 in products of bytes (111 at their peak), 50 in exact pre-activations, 18 in comparing.
//!
//! | tried | encoder |
//! |---|---|
//! | the search of each row begins at the bottom: 532 candidates a row, 398 of them computed | 231 ms |
//! | it begins near the last batch's ends (`select.rs`) | 202 ms |
//! | 2, 4, 8, 16 panels between two looks | 236, 231, 239, 236 (from the bottom) |
//! | a row waits for 1, 4, 8, 16, 32 candidates | 218, 216, 213, 215, 215 |
//! | 64 and more, the most promising first | 222 to 234 |
//! | exact pre-activations row by row without fetching ahead | the same: it is the last cache that limits them |
//! | panels of 768 inputs in two parts that fit the nearest cache | 219 for 208: sums come and go once more |
//!
//! A second stage in bf16 was not built: it would halve the traffic of the exact part at best, and could
//! not spare the f32 rows of what is kept.

use rarefy_kernels::int8::{self, Engine, PANEL, offset, padded, quantise, rotate};
use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::screen::{
    Found, Panel, Samples, pre_activations, screen_bytes, screen_products,
};

use super::encoder::{Centred, Encoder, Screen};

/// Panels between two looks at the candidates: their f32 weights should be in a core's own cache when
/// the candidates are computed exactly.
const PANELS: usize = 4;
/// Candidates that a row waits for, and room for them and for all latents of the next panels: together
/// they hide each other's way from memory.
const WAIT: usize = 8;
const ROOM: usize = WAIT + PANELS * PANEL;
/// Candidates as a share of the latents looked at, beyond which f32 products are faster: an exact
/// pre-activation takes seven times as long as one of a product, one of bytes a quarter.
const TOO_MANY: f64 = 0.1;

/// One active latent of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) value: f32,
    pub(super) latent: u32,
}

/// What a row keeps: the `most` largest above a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    pub(super) most: usize,
    /// The largest of all rows together that can matter.
    pub(super) together: usize,
    pub(super) above: f32,
    /// A guess at the smallest that will be kept, over the row's norm: the search begins there, and a
    /// row that ends with fewer than `most` may have lost some.
    pub(super) at_norm: f32,
}

/// What a row has kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) entries: Vec<Entry>,
    /// Norm of the row.
    pub(super) norm: f32,
}

/// Rows and what has been found of each so far.
pub(super) struct Block<'a> {
    encoder: &'a Encoder,
    rows: &'a Centred<'a>,
    keep: Keep,
    screen: Screen,
    kept: Vec<Vec<Entry>>,
    scratch: Scratch,
}

/// A block's buffers, which the next block takes over.
#[derive(Default)]
pub(super) struct Scratch {
    /// The rows as bytes, `[rows, padded]`.
    bytes: Vec<u8>,
    scale: Vec<f32>,
    norm: Vec<f32>,
    error: Vec<f32>,
    /// What a latent must exceed to matter.
    floor: Vec<f32>,
    /// Candidates that wait to be computed, `[rows, ROOM]`, what they are at most, and how many.
    latents: Vec<u32>,
    most: Vec<f32>,
    counts: Vec<u32>,
    /// Products, `[rows, PANELS * PANEL]`.
    pre: Vec<f32>,
}

impl<'a> Block<'a> {
    /// A block with buffers that may hold anything.
    pub(super) fn new(
        encoder: &'a Encoder,
        rows: &'a Centred<'a>,
        keep: Keep,
        scratch: Scratch,
    ) -> Self {
        let crowded = keep.most != usize::MAX && keep.most.saturating_mul(8) >= encoder.d_sae;
        let mut block = Self {
            encoder,
            rows,
            keep,
            screen: if crowded {
                Screen::Products
            } else {
                encoder.screen
            },
            kept: vec![Vec::new(); rows.x.len() / encoder.d_in],
            scratch,
        };
        block.prepare();
        block
    }

    /// All panels, then each row's entries in the order of their latents; and the buffers.
    pub(super) fn run(mut self) -> (Vec<Kept>, Scratch) {
        let all = self.encoder.panels.len();
        for first in (0..all).step_by(PANELS) {
            let panels = PANELS.min(all - first);
            let waiting = self.waiting();
            match self.screen {
                Screen::Bytes(engine) => self.screen_bytes(engine, first, panels),
                Screen::Products => self.screen_products(first, panels),
            }
            let found = self.waiting() - waiting;
            self.refine(if first + panels == all { 1 } else { WAIT });
            self.cap();
            // At the start of a search from the bottom nearly everything is a candidate.
            let settled = first * PANEL / 16 > self.keep.most;
            if settled && found as f64 > TOO_MANY * (self.kept.len() * PANELS * PANEL) as f64 {
                self.as_products();
            }
        }
        let finished = self.kept.into_iter().zip(&self.scratch.norm);
        let kept = finished.map(|(mut entries, &norm)| {
            largest(&mut entries, self.keep.most);
            entries.sort_unstable_by_key(|entry| entry.latent);
            Kept { entries, norm }
        });
        (kept.collect(), self.scratch)
    }

    /// Sizes the buffers, and rotates and quantises the rows into them.
    fn prepare(&mut self) {
        let (d_in, width) = (self.encoder.d_in, padded(self.encoder.d_in));
        let whole = self.kept.len().next_multiple_of(int8::ROWS);
        let engine = match self.screen {
            Screen::Bytes(engine) => engine,
            Screen::Products => Engine::Portable,
        };
        let s = &mut self.scratch;
        for values in [&mut s.scale, &mut s.norm, &mut s.error] {
            values.clear();
            values.resize(whole, 0.0);
        }
        s.counts.clear();
        s.counts.resize(whole, 0);
        s.latents.resize(whole * ROOM, 0);
        s.most.resize(whole * ROOM, 0.0);
        s.bytes.resize(whole * width, 0);
        let rounding = rounding(d_in);
        let (mut q, mut rotated) = (vec![0; d_in], vec![0.0; d_in]);
        for (i, x) in self.rows.x.chunks_exact(d_in).enumerate() {
            rotated.copy_from_slice(x);
            rotate(&mut rotated);
            let row = quantise(&rotated, engine.levels(), &mut q);
            s.norm[i] = row.norm + row.error;
            s.scale[i] = row.scale;
            s.error[i] = row.error + rounding * s.norm[i];
            offset(&q, engine, &mut s.bytes[i * width..(i + 1) * width]);
        }
        s.floor.clear();
        let guesses = s.norm[..self.kept.len()].iter();
        let guesses = guesses.map(|norm| self.keep.above.max(self.keep.at_norm * norm));
        s.floor.extend(guesses);
        // Rows that only fill up the last tile have no candidates.
        s.floor.resize(whole, f32::INFINITY);
        if self.screen == Screen::Products {
            self.as_products();
        }
    }

    /// Products are off by rounding alone.
    fn as_products(&mut self) {
        let rounding = rounding(self.encoder.d_in);
        self.screen = Screen::Products;
        self.scratch.scale.fill(1.0);
        for (error, norm) in self.scratch.error.iter_mut().zip(&self.scratch.norm) {
            *error = 2.0 * rounding * norm;
        }
    }

    fn screen_bytes(&mut self, engine: Engine, first: usize, panels: usize) {
        let (encoder, bytes) = (self.encoder, PANEL * padded(self.encoder.d_in));
        for at in first..first + panels {
            let latents = PANEL.min(encoder.d_sae - at * PANEL);
            let weights = &encoder.weights[at * bytes..(at + 1) * bytes];
            let (rows, samples, mut found) = self.scratch.views();
            let panel = &encoder.panels[at];
            let first = at * PANEL;
            screen_bytes(
                engine, rows, weights, panel, first, latents, &samples, &mut found,
            );
        }
    }

    fn screen_products(&mut self, first: usize, panels: usize) {
        let (encoder, d_in) = (self.encoder, self.encoder.d_in);
        let latents = (panels * PANEL).min(encoder.d_sae - first * PANEL);
        let n = self.kept.len();
        let mut pre = std::mem::take(&mut self.scratch.pre);
        pre.resize(n * latents, 0.0);
        let w_enc = &self.rows.w_enc[first * PANEL * d_in..][..latents * d_in];
        let x = (self.rows.x, Op::N);
        matmul(&mut pre, false, x, (w_enc, Op::T), [n, latents, d_in]);
        for at in 0..panels {
            let facts = &encoder.panels[first + at];
            let panel = Panel {
                start: [0; PANEL],
                scale: [1.0; PANEL],
                bias: facts.bias,
                norm: std::array::from_fn(|j| facts.norm[j] + facts.error[j]),
                error: [0.0; PANEL],
            };
            let (_, samples, mut found) = self.scratch.views();
            let (pre, first) = (&pre[at * PANEL..], (first + at) * PANEL);
            let count = PANEL.min(latents - at * PANEL);
            screen_products(pre, latents, &panel, first, count, &samples, &mut found);
        }
        self.scratch.pre = pre;
    }

    /// What is below the `together`-th largest of this block alone cannot be among those of all blocks:
    /// however low the search began, a block keeps no more than a few times what is wanted.
    fn cap(&mut self) {
        let (together, kept) = (self.keep.together, &mut self.kept);
        let count: usize = kept.iter().map(Vec::len).sum();
        if together == 0 || count / 2 < together {
            return;
        }
        let mut values: Vec<f32> = kept.iter().flatten().map(|entry| entry.value).collect();
        let order = |a: &f32, b: &f32| b.total_cmp(a);
        let smallest = *values.select_nth_unstable_by(together - 1, order).1;
        for (kept, floor) in kept.iter_mut().zip(&mut self.scratch.floor) {
            // Equal ones stay: which of them are wanted is for all blocks to say.
            kept.retain(|entry| entry.value >= smallest);
            *floor = floor.max(smallest);
        }
    }

    /// Candidates of all rows that wait to be computed.
    fn waiting(&self) -> u64 {
        self.scratch
            .counts
            .iter()
            .map(|&count| u64::from(count))
            .sum()
    }

    /// Computes the candidates of rows that have so many, and raises their floors.
    fn refine(&mut self, enough: usize) {
        let (d_in, s) = (self.encoder.d_in, &mut self.scratch);
        let mut values = [0.0; ROOM];
        for (i, x) in self.rows.x.chunks_exact(d_in).enumerate() {
            let count = s.counts[i] as usize;
            if count < enough {
                continue;
            }
            s.counts[i] = 0;
            let mut row = Row {
                x,
                rows: self.rows,
                keep: self.keep,
                floor: &mut s.floor[i],
                kept: &mut self.kept[i],
            };
            let waiting = i * ROOM..i * ROOM + count;
            let (latents, most) = (&s.latents[waiting.clone()], &s.most[waiting]);
            if count <= self.keep.most {
                row.take(latents, &mut values);
            } else {
                row.take_best_first(latents, most, &mut values);
            }
        }
    }
}

impl Scratch {
    fn views(&mut self) -> (&[u8], Samples<'_>, Found<'_>) {
        let samples = Samples {
            scale: &self.scale,
            norm: &self.norm,
            error: &self.error,
            floor: &self.floor,
        };
        let found = Found {
            latents: &mut self.latents,
            most: &mut self.most,
            counts: &mut self.counts,
            room: ROOM,
        };
        (&self.bytes, samples, found)
    }
}

/// One row while its candidates are computed.
struct Row<'a> {
    x: &'a [f32],
    rows: &'a Centred<'a>,
    keep: Keep,
    floor: &'a mut f32,
    kept: &'a mut Vec<Entry>,
}

impl Row<'_> {
    fn take(&mut self, latents: &[u32], values: &mut [f32]) {
        let values = &mut values[..latents.len()];
        pre_activations(self.x, self.rows.w_enc, self.rows.b_enc, latents, values);
        for (&latent, &mut value) in latents.iter().zip(values) {
            // Equal to the floor can still win by a lower latent.
            if value > self.keep.above && value >= *self.floor {
                self.kept.push(Entry { value, latent });
                if self.kept.len() >= self.keep.most.saturating_mul(2) {
                    self.raise();
                }
            }
        }
        if self.kept.len() > self.keep.most.saturating_add(self.keep.most / 4) {
            self.raise();
        }
    }

    /// The most promising first: what they turn out to be spares most of the others.
    fn take_best_first(&mut self, latents: &[u32], most: &[f32], values: &mut [f32]) {
        let k = self.keep.most;
        let mut order: Vec<(f32, u32)> =
            most.iter().copied().zip(latents.iter().copied()).collect();
        order.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
        let best: Vec<u32> = order[..k].iter().map(|pair| pair.1).collect();
        self.take(&best, values);
        self.raise();
        let hopeless = |pair: &&(f32, u32)| pair.0 <= *self.floor;
        let others = order[k..].iter().filter(|pair| !hopeless(pair));
        let others: Vec<u32> = others.map(|pair| pair.1).collect();
        self.take(&others, values);
    }

    /// Lets go of what cannot be among the largest any more.
    fn raise(&mut self) {
        if self.kept.len() >= self.keep.most {
            *self.floor = largest(self.kept, self.keep.most);
        }
    }
}

/// Cuts to the `most` largest, of equal ones the lower latents; the smallest of them.
fn largest(entries: &mut Vec<Entry>, most: usize) -> f32 {
    if entries.len() <= most {
        return entries
            .iter()
            .map(|entry| entry.value)
            .fold(f32::INFINITY, f32::min);
    }
    let order = |a: &Entry, b: &Entry| b.value.total_cmp(&a.value).then(a.latent.cmp(&b.latent));
    entries.select_nth_unstable_by(most - 1, order);
    entries.truncate(most);
    entries[most - 1].value
}

/// More than f32 arithmetic can round away of a product of rows, over both norms: see `screen.rs`.
fn rounding(d_in: usize) -> f32 {
    (d_in + 128) as f32 / (1 << 24) as f32
}
