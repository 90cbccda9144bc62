//! Search of one block of rows over all latents, a few panels of 64 latents at a time.
//!
//! Measured on 2 cores of Zen 4 (int8 peak 934, f32 peak 234 GFLOP/s), 4096 rows, 768 -> 16384, k = 32: 208 ms,
//! of which about 130 are products of bytes (111 at peak speed), 50 exact pre-activations, 18 comparisons.
//!
//! | tried | encoder |
//! |---|---|
//! | the search of each row starts from 0: 532 candidates per row, 398 of them computed exactly | 231 ms |
//! | the search starts near the smallest kept value of the last batch (`select.rs`) | 202 ms |
//! | 2, 4, 8, 16 panels before candidates are computed | 236, 231, 239, 236 (search from 0) |
//! | 1, 4, 8, 16, 32 waiting candidates per row | 218, 216, 213, 215, 215 |
//! | 64 and more waiting candidates, the largest bounds first | 222 to 234 |
//! | exact pre-activations row by row without prefetching | equal: the last-level cache is the limit |
//! | panels of 768 inputs in two parts that fit the first-level cache | 219 instead of 208: partial sums are stored once more |
//!
//! On 2 cores of Zen 3 (AVX2, f32 peak 200, int8 peak 450), the same shape takes 378 ms when nobody else uses the machine: about
//! 230 products of bytes, 80 exact pre-activations (240 per row, limited by the last-level cache), 25 comparisons, 18 rows that
//! are searched again, 15 quantised rows.
//!
//! On 2 cores of Sapphire Rapids (AVX-512), 384 -> 3072, k = 128: all rows waiting for the candidates of all panels, then exact
//! pre-activations of the k largest bounds and of the rest that can still be kept, for 512 rows together a few panels at a time:
//! 112 ms where candidates computed as they come take 104, and 284 for 240 at the first shape. Of 390 exact pre-activations a row 300
//! remain, but floors that rise late leave more candidates to list.
//!
//! On 2 cores of Zen 4, AVX-512 and AVX2, 4096 rows, encoder in ms before and after five changes of 30 November 2026: arrays at the start of
//! lines and on huge pages, prefetches of first lines only, candidates written by compressed stores, selection of sizes alone, `f32`
//! products only beyond [`TOO_MANY`], which was 0.1 and made for dot products twice as slow:
//!
//! | shape | AVX-512 | AVX2 |
//! |---|---|---|
//! | 384 -> 2048, k = 128 | 48.6 -> 38.4 | 59.5 -> 51.7 |
//! | 384 -> 3072, k = 128 | 57.9 -> 49.7 | 74 -> 69 |
//! | 768 -> 4096, k = 128 | 147 -> 103 | 171 -> 146 |
//! | 1536 -> 8192, k = 128 | 665 -> 329 | |
//!
//! There, too, rows that wait for all panels have fewer exact pre-activations and take longer: 52.7 instead of 38.4 ms at the first shape.
//!
//! A second screening stage in bf16 was not built. It would halve the memory traffic of the exact part at
//! best, and the kept latents would still need their f32 weights.

use std::borrow::Cow;

use rarefy_kernels::int8::{Engine, PANEL, offset, padded, quantise, rotate};
use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::screen::{Panel, SPARE, screen_bytes, screen_products};
use rayon::prelude::*;

use super::encoder::{Centred, Encoder, Screen};
use super::keep::{KeepRule, KeptRow, RowProgress, RowSearch, Wanted};
use super::scratch::{PANELS, Scratch};

/// Share of candidates among the screened latents, beyond those that are kept, above which `f32` products are faster. Relative to one
/// pre-activation by an `f32` product, an exact one takes 3 times as long and one by bytes a quarter to two fifths.
const TOO_MANY: f64 = 0.3;

/// Candidates that a row collects before their exact pre-activations are computed. Computing several together hides the
/// latency of memory.
const WAIT: usize = 8;
/// Waiting candidates after `f32` products, times k. Their bounds are tight: of all candidates of a row, only the k largest and nearly
/// equal ones need exact pre-activations.
const WAIT_FOR_K: usize = 2;
/// Largest k with which rows wait for so many.
const MOST_K: usize = 512;

/// Maximum number of rows in one task. With more rows, each panel is loaded less often; with fewer, the rows
/// leave more room in the caches.
const MOST_ROWS: usize = 512;

/// Finds the entries that each row keeps, sorted by latent.
pub(super) fn search(encoder: &Encoder, rows: &Centred, keep: KeepRule) -> Vec<KeptRow> {
    let n = rows.x.len() / encoder.d_in;
    if keep.most == 0 || n == 0 {
        return vec![KeptRow::default(); n];
    }
    let tasks = n
        .div_ceil(MOST_ROWS)
        .next_multiple_of(rayon::current_num_threads());
    // Equal shares, so that no thread waits for another's last block.
    let share = n
        .div_ceil(tasks)
        .next_multiple_of(encoder.screen.engine().rows());
    let blocks: Vec<Vec<KeptRow>> = rows
        .x
        .par_chunks(share * encoder.d_in)
        .with_max_len(1)
        .map(|x| {
            let scratch = encoder.scratch.lock().map(|mut pool| pool.pop());
            let scratch = scratch.ok().flatten().unwrap_or_default();
            let block = Centred { x, ..*rows };
            let (kept, scratch) = BlockSearch::new(encoder, &block, keep, scratch).run();
            if let Ok(mut pool) = encoder.scratch.lock() {
                pool.push(scratch);
            }
            kept
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

/// Search state of a block of rows.
pub(super) struct BlockSearch<'a> {
    encoder: &'a Encoder,
    rows: &'a Centred<'a>,
    keep: KeepRule<'a>,
    screen: Screen,
    progress: Vec<RowProgress>,
    scratch: Scratch,
}

impl<'a> BlockSearch<'a> {
    /// Search of the rows `rows` with reused buffers, whose content does not matter.
    pub(super) fn new(
        encoder: &'a Encoder,
        rows: &'a Centred<'a>,
        keep: KeepRule<'a>,
        scratch: Scratch,
    ) -> Self {
        let crowded = keep.most != usize::MAX
            && keep.of_row(encoder.d_sae).saturating_mul(2) >= encoder.d_sae;
        let mut block = Self {
            encoder,
            rows,
            keep,
            screen: if crowded {
                Screen::Products
            } else {
                encoder.screen
            },
            progress: vec![RowProgress::default(); rows.x.len() / encoder.d_in],
            scratch,
        };
        block.prepare();
        block
    }

    /// Searches all panels. Returns the kept entries of each row, sorted by latent, and the buffers.
    pub(super) fn run(mut self) -> (Vec<KeptRow>, Scratch) {
        let all = self.encoder.panels.len();
        for first in (0..all).step_by(PANELS) {
            let panels = PANELS.min(all - first);
            match self.screen {
                Screen::Bytes(engine) => self.screen_bytes(engine, first, panels),
                Screen::Products => self.screen_products(first, panels),
            }
            let enough = if first + panels == all {
                1
            } else {
                self.wait()
            };
            let computed = self.refine(enough);
            self.cap();
            let looked_at = self.progress.len() * PANELS * PANEL;
            let share = computed as f64 / looked_at as f64;
            if self.settled(first) && share > TOO_MANY + self.kept_share() {
                self.as_products();
            }
        }
        let Self {
            progress,
            keep,
            scratch: mut s,
            ..
        } = self;
        let kept = progress.into_iter().zip(&s.norm);
        let kept = kept.map(|(progress, &norm)| KeptRow {
            entries: progress.finish(&keep, &mut s.keys),
            norm,
        });
        (kept.collect(), s)
    }

    /// Share of the latents that a row keeps, which `f32` products compute exactly too.
    fn kept_share(&self) -> f64 {
        let d_sae = self.encoder.d_sae;
        self.keep.of_row(d_sae).min(d_sae) as f64 / d_sae as f64
    }

    /// Number of candidates for which a row waits.
    fn wait(&self) -> usize {
        match self.screen {
            Screen::Products => self.wait_for_products(),
            Screen::Bytes(_) => WAIT,
        }
    }

    fn wait_for_products(&self) -> usize {
        // The largest of one group are no candidates of the next one, and without a limit for a row all are computed.
        if self.keep.group.is_some() || self.keep.most > MOST_K {
            return WAIT;
        }
        WAIT.max(WAIT_FOR_K * self.keep.most)
    }

    /// True if the share of candidates in later panels will be like the present one. At the start of a search
    /// from 0 nearly every latent is a candidate; in a batch selection, floors rise during the block.
    fn settled(&self, panel: usize) -> bool {
        let (keep, looked_at) = (&self.keep, panel * PANEL);
        if keep.most == usize::MAX {
            return keep.together == usize::MAX;
        }
        match keep.group {
            Some(size) => looked_at >= 2 * size.get(),
            None => looked_at / 16 > keep.most,
        }
    }

    /// Resizes the buffers and fills them with the rotated and quantised rows.
    fn prepare(&mut self) {
        let (d_in, width) = (self.encoder.d_in, padded(self.encoder.d_in));
        let engine = self.screen.engine();
        let whole = self.progress.len().next_multiple_of(engine.rows());
        let wait = self.wait_for_products();
        let s = &mut self.scratch;
        for values in [&mut s.scale, &mut s.norm, &mut s.error] {
            values.clear();
            values.resize(whole, 0.0);
        }
        s.counts.clear();
        s.counts.resize(whole, 0);
        s.room = PANELS * PANEL + wait + SPARE;
        s.latents.resize(whole * s.room, 0);
        s.most.resize(whole * s.room, 0.0);
        s.bytes.resize(whole * width);
        let rounding = rounding(d_in);
        let (mut q, mut rotated) = (vec![0; d_in], vec![0.0; d_in]);
        for (i, x) in self.rows.x.chunks_exact(d_in).enumerate() {
            rotated.copy_from_slice(x);
            rotate(&mut rotated);
            let row = quantise(&rotated, engine.of_samples(), &mut q);
            s.norm[i] = row.norm + row.error;
            s.scale[i] = row.scale;
            s.error[i] = row.error + rounding * s.norm[i];
            offset(&q, &mut s.bytes.get_mut()[i * width..(i + 1) * width]);
        }
        s.floor.clear();
        for (progress, &norm) in self.progress.iter_mut().zip(&s.norm) {
            *progress = RowProgress::at(self.keep.bottom(norm));
            s.floor.push(progress.floor);
        }
        // Rows that only pad the last tile have no candidates.
        s.floor.resize(whole, f32::INFINITY);
        if self.screen == Screen::Products {
            self.as_products();
        }
    }

    /// Switches to `f32` products, whose only error is rounding.
    fn as_products(&mut self) {
        let rounding = rounding(self.encoder.d_in);
        self.screen = Screen::Products;
        self.scratch.scale.fill(1.0);
        for (error, norm) in self.scratch.error.iter_mut().zip(&self.scratch.norm) {
            *error = 2.0 * rounding * norm;
        }
    }

    /// Finds the candidates of some panels by products of bytes.
    fn screen_bytes(&mut self, engine: Engine, first: usize, panels: usize) {
        let (encoder, bytes) = (self.encoder, PANEL * padded(self.encoder.d_in));
        for at in first..first + panels {
            let latents = PANEL.min(encoder.d_sae - at * PANEL);
            let weights = &encoder.weights.get()[at * bytes..(at + 1) * bytes];
            let panel = &self.panel(at);
            self.set_floors(at);
            let (rows, samples, mut found) = self.scratch.views(self.keep.either_sign());
            let first = at * PANEL;
            screen_bytes(
                engine, rows, weights, panel, first, latents, &samples, &mut found,
            );
        }
    }

    /// Finds the candidates of some panels by `f32` products.
    fn screen_products(&mut self, first: usize, panels: usize) {
        let (encoder, d_in) = (self.encoder, self.encoder.d_in);
        let latents = (panels * PANEL).min(encoder.d_sae - first * PANEL);
        let n = self.progress.len();
        let mut pre = std::mem::take(&mut self.scratch.pre);
        pre.resize(n * latents, 0.0);
        let w_enc = &self.rows.w_enc[first * PANEL * d_in..][..latents * d_in];
        let x = (self.rows.x, Op::N);
        matmul(&mut pre, false, x, (w_enc, Op::T), [n, latents, d_in]);
        for at in 0..panels {
            let facts = self.panel(first + at);
            let panel = Panel {
                start: [0; PANEL],
                scale: [1.0; PANEL],
                norm: std::array::from_fn(|j| facts.norm[j] + facts.error[j]),
                error: [0.0; PANEL],
                ..facts.into_owned()
            };
            self.set_floors(first + at);
            let (_, samples, mut found) = self.scratch.views(self.keep.either_sign());
            let (pre, first) = (&pre[at * PANEL..], (first + at) * PANEL);
            let count = PANEL.min(latents - at * PANEL);
            screen_products(pre, latents, &panel, first, count, &samples, &mut found);
        }
        self.scratch.pre = pre;
    }

    /// Scales, norms and biases of a panel for the screen. With one threshold per latent, the threshold is
    /// subtracted from the bias, so that a candidate is a latent above 0.
    ///
    /// The difference is rounded, but no latent is lost. If `bias - threshold` is near enough to `-x . w` to
    /// matter, it is at most `|x| |w|`, and the error bound of the screen covers a few roundings of that size.
    /// If it is not near, rounding cannot make it near. Rounding also preserves the order of two numbers.
    fn panel(&self, at: usize) -> Cow<'a, Panel> {
        let panel = &self.encoder.panels[at];
        let Wanted::Each(bounds) = self.keep.wanted else {
            return Cow::Borrowed(panel);
        };
        let mut panel = panel.clone();
        for (bias, bound) in panel.bias.iter_mut().zip(&bounds[at * PANEL..]) {
            *bias = (*bias - bound).next_up();
        }
        Cow::Owned(panel)
    }

    /// Sets the floors of all rows for a panel, if latents have groups. A panel inside one group uses the floor
    /// of that group, if the row has reached it. A panel across groups uses the bottom, the lowest floor.
    fn set_floors(&mut self, panel: usize) {
        let Some(size) = self.keep.group else {
            return;
        };
        let group = panel * PANEL / size;
        let alone = ((panel + 1) * PANEL - 1) / size == group;
        let s = &mut self.scratch;
        for ((progress, floor), &norm) in self.progress.iter().zip(&mut s.floor).zip(&s.norm) {
            *floor = if alone && progress.group == group {
                progress.floor
            } else {
                self.keep.bottom(norm)
            };
        }
    }

    /// Removes entries of a batch selection that cannot be kept: those below the `together`-th largest of this
    /// block. So a block stores at most a few times the wanted number, however low the search started.
    fn cap(&mut self) {
        let (together, rows) = (self.keep.together, &mut self.progress);
        let count: usize = rows.iter().map(|row| row.kept.len()).sum();
        if together == 0 || count / 2 < together {
            return;
        }
        let entries = rows.iter().flat_map(|row| &row.kept);
        let mut sizes: Vec<f32> = entries.map(|entry| entry.size()).collect();
        let order = |a: &f32, b: &f32| b.total_cmp(a);
        let smallest = *sizes.select_nth_unstable_by(together - 1, order).1;
        for (row, floor) in rows.iter_mut().zip(&mut self.scratch.floor) {
            // Equal ones stay: which of them are wanted is for all blocks to say.
            row.kept.retain(|entry| entry.size() >= smallest);
            row.floor = row.floor.max(smallest);
            *floor = row.floor;
        }
    }

    /// Computes the exact pre-activations of rows with at least `enough` waiting candidates and raises the floors
    /// of these rows. Returns the number of exact pre-activations.
    fn refine(&mut self, enough: usize) -> usize {
        let (d_in, s) = (self.encoder.d_in, &mut self.scratch);
        let mut values = vec![0.0; s.room];
        let mut computed = 0;
        for (i, x) in self.rows.x.chunks_exact(d_in).enumerate() {
            let count = s.counts[i] as usize;
            if count < enough {
                continue;
            }
            s.counts[i] = 0;
            let mut row = RowSearch {
                x,
                rows: self.rows,
                keep: &self.keep,
                bottom: self.keep.bottom(s.norm[i]),
                progress: &mut self.progress[i],
                keys: &mut s.keys,
            };
            let waiting = i * s.room..i * s.room + count;
            let (latents, most) = (&s.latents[waiting.clone()], &s.most[waiting]);
            computed += row.look(latents, most, &mut values);
            s.floor[i] = row.progress.floor;
        }
        computed
    }
}

/// Upper bound of the rounding error of an `f32` product of two rows, divided by both norms; see `screen.rs`.
fn rounding(d_in: usize) -> f32 {
    (d_in + 128) as f32 / (1 << 24) as f32
}
