//! Encoder weights, quantised for the encoding of many rows.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rarefy_kernels::int8::{self, Engine, Limits, OFFSET, PANEL, pack, padded, quantise, rotate};
use rarefy_kernels::screen::Panel;
use rayon::prelude::*;

use super::lines::Lines;
use super::products::RowProducts;
use super::scratch::Scratch;
use crate::params::Params;

/// Method that computes approximate pre-activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    /// Products of 8-bit integers.
    Bytes(Engine),
    /// Products of `f32` by the matrix library.
    Products,
}

impl Screen {
    /// Fastest method on this machine. Products of bytes need special instructions to be faster.
    pub(super) fn best(d_in: usize) -> Self {
        match int8::engine() {
            Engine::Portable => Self::Products,
            _ if d_in > int8::MOST_INPUTS => Self::Products,
            engine => Self::Bytes(engine),
        }
    }

    /// Engine for the bytes of rows; after `f32` products any.
    pub(super) fn engine(self) -> Engine {
        match self {
            Self::Bytes(engine) => engine,
            Self::Products => Engine::Portable,
        }
    }
}

/// Encoder with quantised weights, which finds the active latents of rows.
///
/// ```text
/// pre = w_enc (x - b_dec) + b_enc        encode
/// pre = w_enc x + b_enc                  encode_as_is
/// ```
///
/// The quantised weights only decide which pre-activations are computed exactly. The exact values come from the
/// parameters, in the same order of `f32` operations on every machine. So each call takes the parameters from
/// which the encoder was made.
///
/// # Example
/// ```
/// use rarefy::codes::Codes;
/// use rarefy::engine::{Encoder, Selection};
/// use rarefy::params::{Layout, Params};
/// let blocks = [("w_enc", 3, 2), ("b_enc", 1, 3), ("b_dec", 1, 2)];
/// let mut params = Params::zeros(&Layout::new(&blocks));
/// params.get_mut("w_enc").copy_from_slice(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
/// params.get_mut("b_enc")[2] = -1.0;
/// params.get_mut("b_dec").copy_from_slice(&[1.0, 2.0]);
/// let encoder = Encoder::new(&params);
/// let x = [3.0, -1.0];
/// let mut codes = Codes::new(3);
/// // x - b_dec = (2, -3); pre = (2, -3, -2)
/// encoder.encode(&params, &x, Selection::Row(2), &mut codes);
/// // pre = (3, -1, 1)
/// encoder.encode_as_is(&params, &x, Selection::Row(2), &mut codes);
/// assert_eq!(codes.to_dense(), [2.0, 0.0, 0.0, 3.0, 0.0, 1.0]);
/// ```
pub struct Encoder {
    pub(super) d_in: usize,
    pub(super) d_sae: usize,
    pub(super) screen: Screen,
    /// Quantised weights, `[panels, padded / 4, 64, 4]`; empty for [`Screen::Products`].
    pub(super) weights: Lines<i8>,
    /// Scales, norms and biases of each panel of 64 latents.
    pub(super) panels: Vec<Panel>,
    /// Starting bounds for the next search.
    pub(super) hints: Hints,
    /// Buffers of finished blocks, for reuse.
    pub(super) scratch: Mutex<Vec<Scratch>>,
    /// Products of the rows with each other, once a pursuit needed them.
    pub(super) products: Mutex<Option<Arc<RowProducts>>>,
}

/// Smallest kept value of recent rows, from which the next search starts.
///
/// A hint saves time and never changes a result: rows for which the hint was too high are searched again.
#[derive(Default)]
pub(super) struct Hint {
    /// Bits of an `f32`; 0 for no hint.
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

/// Hints, one for each kind of selection, because calls with different selections may alternate.
#[derive(Default)]
pub(super) struct Hints {
    /// Smallest kept value divided by the norm of its row, for [`Selection::Row`](super::Selection::Row).
    pub(super) row: Hint,
    /// Smallest kept value of a group divided by the norm of its row, for
    /// [`Selection::Groups`](super::Selection::Groups).
    pub(super) groups: Hint,
    /// Smallest kept absolute value divided by the norm of its row, for
    /// [`Selection::Magnitude`](super::Selection::Magnitude).
    pub(super) magnitude: Hint,
    /// Smallest kept value of a batch, for [`Selection::Batch`](super::Selection::Batch).
    pub(super) batch: Hint,
}

/// Centred input rows (with `b_dec` already subtracted, if the model does that) and the encoder's exact weights.
pub struct Centred<'a> {
    /// Input rows, `[n, d_in]`.
    pub x: &'a [f32],
    /// Encoder weights, `[d_sae, d_in]`.
    pub w_enc: &'a [f32],
    /// Encoder biases, `[d_sae]`.
    pub b_enc: &'a [f32],
}

impl Encoder {
    /// Creates an encoder by quantising `w_enc` and `b_enc` of the parameters.
    ///
    /// # Panics
    /// If `params` has no `w_enc` of `[d_sae, d_in]` and `b_enc` of `[d_sae]`, or one of them is empty.
    pub fn new(params: &Params) -> Self {
        let (w_enc, b_enc) = (params.get("w_enc"), params.get("b_enc"));
        let d_sae = b_enc.len();
        assert!(
            d_sae > 0 && !w_enc.is_empty() && w_enc.len().is_multiple_of(d_sae),
            "w_enc must have a row for each of the {d_sae} latents of b_enc, got {} values",
            w_enc.len()
        );
        let d_in = w_enc.len() / d_sae;
        Self::with_screen(w_enc, b_enc, Screen::best(d_in), d_in, d_sae)
    }

    /// Creates an encoder that uses the method `screen`.
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
            weights: Lines::new(bytes),
            panels: vec![Panel::default(); panels],
            hints: Hints::default(),
            scratch: Mutex::default(),
            products: Mutex::default(),
        };
        encoder.quantise(w_enc, b_enc);
        encoder
    }

    /// Quantises all weights again, after they changed.
    pub(crate) fn quantise(&mut self, w_enc: &[f32], b_enc: &[f32]) {
        let wide = PANEL * self.d_in;
        self.panels_mut()
            .zip(w_enc.par_chunks(wide))
            .zip(b_enc.par_chunks(PANEL))
            .for_each(|((mut panel, w_enc), b_enc)| panel.quantise(w_enc, b_enc));
    }

    /// Products of the encoder's rows with each other, if `searches` searches of a row are worth them and memory allows. They are kept
    /// until the weights change.
    pub(crate) fn row_products(&self, rows: &Centred, searches: usize) -> Option<Arc<RowProducts>> {
        let kept = self.products.lock().ok()?.clone();
        if kept.is_some() || !RowProducts::is_worth_it(self.d_sae, searches) {
            return kept;
        }
        // Not under the lock: a thread of the pool that waits for others may take up work that wants it.
        let made = Arc::new(RowProducts::new(rows.w_enc, self.d_sae));
        *self.products.lock().ok()? = Some(Arc::clone(&made));
        Some(made)
    }

    /// Mutable panels, to quantise changed weights again.
    pub(crate) fn panels_mut(&mut self) -> impl IndexedParallelIterator<Item = PanelMut<'_>> {
        self.products = Mutex::default();
        let (d_in, screen) = (self.d_in, self.screen);
        let bytes = match screen {
            Screen::Bytes(_) => PANEL * padded(d_in),
            Screen::Products => 0,
        };
        let weights = Pieces {
            all: self.weights.get_mut(),
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
}

/// Slice that is split into pieces of equal size, possibly 0.
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

/// Mutable panel of 64 latents (the last panel may have fewer).
pub(crate) struct PanelMut<'a> {
    d_in: usize,
    screen: Screen,
    weights: &'a mut [i8],
    facts: &'a mut Panel,
}

impl PanelMut<'_> {
    /// Quantises new weights `[latents, d_in]` and biases `[latents]` of this panel.
    pub(crate) fn quantise(&mut self, w_enc: &[f32], b_enc: &[f32]) {
        let (mut q, mut rotated) = (vec![0; self.d_in], vec![0.0; self.d_in]);
        let limits = match self.screen {
            Screen::Bytes(engine) => engine.of_weights(),
            Screen::Products => Limits::NONE,
        };
        for (j, (w, bias)) in w_enc.chunks_exact(self.d_in).zip(b_enc).enumerate() {
            rotated.copy_from_slice(w);
            rotate(&mut rotated);
            let row = quantise(&rotated, limits, &mut q);
            let facts = &mut *self.facts;
            facts.scale[j] = row.scale;
            facts.norm[j] = row.norm;
            facts.error[j] = row.error;
            // Adding the bias rounds once more, by less than this bound.
            let room = bias.abs() * f32::EPSILON * 8.0;
            facts.bias[j] = (bias + room).next_up();
            facts.minus_bias[j] = (room - bias).next_up();
            if let Screen::Bytes(_) = self.screen {
                facts.start[j] = -i32::from(OFFSET) * row.sum;
                pack(&q, j, self.weights);
            }
        }
    }
}
