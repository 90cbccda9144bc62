//! An encoder made ready for many rows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rarefy_kernels::int8::{self, Engine, PANEL, pack, padded, quantise, rotate};
use rarefy_kernels::screen::Panel;
use rayon::prelude::*;

use super::block::{Block, Keep, Kept, Scratch};
use super::{Selection, select};
use crate::codes::Codes;
use crate::params::Params;

/// Rows that one task encodes, at most. More rows share a panel's way through the caches; fewer leave
/// more room beside it.
const MOST_ROWS: usize = 512;

/// How pre-activations are found roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    /// As products of bytes.
    Bytes(Engine),
    /// As f32 products of a library.
    Products,
}

impl Screen {
    /// What is fastest here. Bytes gain nothing without instructions for them.
    pub(super) fn best(d_in: usize) -> Self {
        match int8::engine() {
            Engine::Portable => Self::Products,
            _ if d_in > int8::MOST_INPUTS => Self::Products,
            engine => Self::Bytes(engine),
        }
    }
}

/// A snapshot of encoder weights, quantised: `pre = w_enc (x - b_dec) + b_enc`.
pub struct Encoder {
    pub(super) d_in: usize,
    pub(super) d_sae: usize,
    pub(super) screen: Screen,
    /// `[panels, padded / 4, 64, 4]`; empty where products need none.
    pub(super) weights: Vec<i8>,
    pub(super) panels: Vec<Panel>,
    /// Of the smallest kept value over the row's norm, where rows are alone.
    row_hint: Hint,
    /// Of the smallest kept value, where they are together.
    batch_hint: Hint,
    /// Buffers of blocks that are done.
    scratch: Mutex<Vec<Scratch>>,
}

/// Where the last rows' smallest kept values were, so that the search begins near the next ones'.
///
/// It saves time and never changes a result: what a wrong hint hides is searched for again.
#[derive(Default)]
pub(super) struct Hint {
    /// Bits of the f32; 0 for none.
    bits: AtomicU32,
}

impl Hint {
    pub(super) fn get(&self) -> Option<f32> {
        let value = f32::from_bits(self.bits.load(Ordering::Relaxed));
        (value > 0.0).then_some(value)
    }

    pub(super) fn set(&self, value: f32) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }
}

/// Rows with `b_dec` taken off, `[n, d_in]`.
pub(crate) struct Centred<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) w_enc: &'a [f32],
    pub(crate) b_enc: &'a [f32],
}

impl Encoder {
    /// Quantises the encoder of these parameters.
    pub fn new(params: &Params) -> Self {
        let (d_sae, d_in) = (params.get("b_enc").len(), params.get("b_dec").len());
        Self::with_screen(
            params.get("w_enc"),
            params.get("b_enc"),
            Screen::best(d_in),
            d_in,
            d_sae,
        )
    }

    pub(crate) fn with_screen(
        w_enc: &[f32],
        b_enc: &[f32],
        screen: Screen,
        d_in: usize,
        d_sae: usize,
    ) -> Self {
        let panels = d_sae.div_ceil(PANEL);
        let bytes = match screen {
            Screen::Bytes(_) => panels * PANEL * padded(d_in),
            Screen::Products => 0,
        };
        let mut encoder = Self {
            d_in,
            d_sae,
            screen,
            weights: vec![0; bytes],
            panels: vec![Panel::default(); panels],
            row_hint: Hint::default(),
            batch_hint: Hint::default(),
            scratch: Mutex::default(),
        };
        encoder
            .panels_mut()
            .zip(w_enc.par_chunks(PANEL * d_in))
            .zip(b_enc.par_chunks(PANEL))
            .for_each(|((mut panel, w_enc), b_enc)| panel.quantise(w_enc, b_enc));
        encoder
    }

    /// No latents at all: what stands for an encoder while it is elsewhere.
    pub(crate) fn empty() -> Self {
        Self {
            d_in: 1,
            d_sae: 0,
            screen: Screen::Products,
            weights: Vec::new(),
            panels: Vec::new(),
            row_hint: Hint::default(),
            batch_hint: Hint::default(),
            scratch: Mutex::default(),
        }
    }

    /// The panels, to quantise anew what has changed.
    pub(crate) fn panels_mut(&mut self) -> impl IndexedParallelIterator<Item = PanelMut<'_>> {
        let (d_in, screen) = (self.d_in, self.screen);
        let bytes = match screen {
            Screen::Bytes(_) => PANEL * padded(d_in),
            Screen::Products => 0,
        };
        let weights = Pieces {
            all: &mut self.weights,
            bytes,
        };
        weights
            .split(self.panels.len())
            .into_par_iter()
            .zip(self.panels.par_iter_mut())
            .map(move |(weights, facts)| PanelMut {
                d_in,
                screen,
                weights,
                facts,
            })
    }

    /// Appends the codes of the rows `x` (`[n, d_in]`).
    pub fn encode(&self, params: &Params, x: &[f32], selection: Selection, codes: &mut Codes) {
        let b_dec = params.get("b_dec");
        let mut centred = vec![0.0; x.len()];
        centre(x, b_dec, &mut centred);
        let centred = Centred {
            x: &centred,
            w_enc: params.get("w_enc"),
            b_enc: params.get("b_enc"),
        };
        self.encode_centred(&centred, selection, codes);
    }

    /// As [`Encoder::encode`].
    pub(crate) fn encode_centred(&self, rows: &Centred, selection: Selection, codes: &mut Codes) {
        let found = match selection {
            Selection::Row(k) => select::each_row(self, &self.row_hint, rows, k),
            Selection::Above(above) => self.rows(
                rows,
                Keep {
                    most: usize::MAX,
                    together: usize::MAX,
                    above,
                    at_norm: 0.0,
                },
            ),
            Selection::Batch(k) => select::batch(self, &self.batch_hint, rows, k),
        };
        for row in found {
            codes
                .indices
                .extend(row.entries.iter().map(|entry| entry.latent));
            codes
                .values
                .extend(row.entries.iter().map(|entry| entry.value));
            codes.offsets.push(codes.indices.len());
        }
    }

    /// What every row keeps, sorted by latent.
    pub(super) fn rows(&self, rows: &Centred, keep: Keep) -> Vec<Kept> {
        let n = rows.x.len() / self.d_in;
        if keep.most == 0 || n == 0 {
            return vec![Kept::default(); n];
        }
        let tasks = n
            .div_ceil(MOST_ROWS)
            .next_multiple_of(rayon::current_num_threads());
        // Equal shares, so that no thread waits for another's last block.
        let share = n.div_ceil(tasks).next_multiple_of(int8::ROWS);
        let blocks: Vec<Vec<Kept>> = rows
            .x
            .par_chunks(share * self.d_in)
            .with_max_len(1)
            .map(|x| {
                let scratch = self.scratch.lock().map(|mut pool| pool.pop());
                let scratch = scratch.ok().flatten().unwrap_or_default();
                let block = Centred { x, ..*rows };
                let (kept, scratch) = Block::new(self, &block, keep, scratch).run();
                if let Ok(mut pool) = self.scratch.lock() {
                    pool.push(scratch);
                }
                kept
            })
            .collect();
        blocks.into_iter().flatten().collect()
    }
}

/// `centred = x - b_dec`, row by row.
pub(crate) fn centre(x: &[f32], b_dec: &[f32], centred: &mut [f32]) {
    let d_in = b_dec.len();
    let piece = d_in * int8::ROWS * 8;
    centred
        .par_chunks_mut(piece)
        .zip(x.par_chunks(piece))
        .for_each(|(centred, x)| {
            for (centred, x) in centred.chunks_exact_mut(d_in).zip(x.chunks_exact(d_in)) {
                for ((centred, x), b) in centred.iter_mut().zip(x).zip(b_dec) {
                    *centred = x - b;
                }
            }
        });
}

/// A slice cut into equal pieces, which may be empty ones.
struct Pieces<'a> {
    all: &'a mut [i8],
    bytes: usize,
}

impl<'a> Pieces<'a> {
    fn split(self, count: usize) -> Vec<&'a mut [i8]> {
        let mut rest = self.all;
        (0..count)
            .map(|_| {
                let (piece, others) = std::mem::take(&mut rest).split_at_mut(self.bytes);
                rest = others;
                piece
            })
            .collect()
    }
}

/// One panel of 64 latents (the last may have fewer).
pub(crate) struct PanelMut<'a> {
    d_in: usize,
    screen: Screen,
    weights: &'a mut [i8],
    facts: &'a mut Panel,
}

impl PanelMut<'_> {
    /// Takes on new weights, `[latents, d_in]`, and biases.
    pub(crate) fn quantise(&mut self, w_enc: &[f32], b_enc: &[f32]) {
        let (mut q, mut rotated) = (vec![0; self.d_in], vec![0.0; self.d_in]);
        for (j, (w, bias)) in w_enc.chunks_exact(self.d_in).zip(b_enc).enumerate() {
            rotated.copy_from_slice(w);
            rotate(&mut rotated);
            let row = quantise(&rotated, 127, &mut q);
            let facts = &mut *self.facts;
            facts.scale[j] = row.scale;
            facts.norm[j] = row.norm;
            facts.error[j] = row.error;
            // Adding the bias rounds once more, by less than this.
            facts.bias[j] = (bias + bias.abs() * f32::EPSILON * 8.0).next_up();
            if let Screen::Bytes(engine) = self.screen {
                facts.start[j] = -i32::from(engine.offset()) * row.sum;
                pack(&q, j, self.weights);
            }
        }
    }
}
