//! One task of the encoder: a block of rows against all latents, some panels at a time.

use rarefy_kernels::int8::{self, Engine, PANEL, offset, padded, quantise, rotate};
use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::screen::{
    Found, Panel, Samples, pre_activations, screen_bytes, screen_products,
};

use super::encoder::{Centred, Encoder, Screen};

/// Panels between two looks at the candidates: their f32 weights should be in a core's own cache when
/// the candidates are computed exactly.
const PANELS: usize = 4;
/// Candidates a row, as a share of the latents looked at, beyond which f32 products are faster.
const TOO_MANY: f64 = 0.25;

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
    bytes: Vec<u8>,
    scale: Vec<f32>,
    norm: Vec<f32>,
    error: Vec<f32>,
    /// What a latent must exceed to matter.
    floor: Vec<f32>,
    kept: Vec<Vec<Entry>>,
    latents: Vec<u32>,
    most: Vec<f32>,
    counts: Vec<u32>,
    pre: Vec<f32>,
}

impl<'a> Block<'a> {
    pub(super) fn new(encoder: &'a Encoder, rows: &'a Centred<'a>, keep: Keep) -> Self {
        let n = rows.x.len() / encoder.d_in;
        let whole = n.next_multiple_of(int8::ROWS);
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
            bytes: Vec::new(),
            scale: vec![0.0; whole],
            norm: vec![0.0; whole],
            error: vec![0.0; whole],
            // Rows that only fill up the last tile have no candidates.
            floor: vec![f32::INFINITY; whole],
            kept: vec![Vec::new(); n],
            latents: vec![0; whole * PANELS * PANEL],
            most: vec![0.0; whole * PANELS * PANEL],
            counts: vec![0; whole],
            pre: Vec::new(),
        };
        block.quantise();
        for (floor, norm) in block.floor[..n].iter_mut().zip(&block.norm) {
            *floor = keep.above.max(keep.at_norm * norm);
        }
        block
    }

    /// All panels, then each row's entries in the order of their latents.
    pub(super) fn run(mut self) -> Vec<Kept> {
        for first in (0..self.encoder.panels.len()).step_by(PANELS) {
            let panels = PANELS.min(self.encoder.panels.len() - first);
            self.counts.fill(0);
            match self.screen {
                Screen::Bytes(engine) => self.screen_bytes(engine, first, panels),
                Screen::Products => self.screen_products(first, panels),
            }
            self.refine(first);
        }
        let finished = self.kept.into_iter().zip(self.norm);
        finished
            .map(|(mut entries, norm)| {
                largest(&mut entries, self.keep.most);
                entries.sort_unstable_by_key(|entry| entry.latent);
                Kept { entries, norm }
            })
            .collect()
    }

    fn quantise(&mut self) {
        let d_in = self.encoder.d_in;
        let rounding = rounding(d_in);
        let engine = match self.screen {
            Screen::Bytes(engine) => engine,
            Screen::Products => Engine::Portable,
        };
        let width = padded(d_in);
        if self.screen != Screen::Products {
            self.bytes = vec![engine.offset(); self.floor.len() * width];
        }
        let (mut q, mut rotated) = (vec![0; d_in], vec![0.0; d_in]);
        for (i, x) in self.rows.x.chunks_exact(d_in).enumerate() {
            rotated.copy_from_slice(x);
            rotate(&mut rotated);
            let row = quantise(&rotated, engine.levels(), &mut q);
            self.norm[i] = row.norm + row.error;
            self.scale[i] = row.scale;
            self.error[i] = row.error + rounding * self.norm[i];
            if self.screen != Screen::Products {
                offset(&q, engine, &mut self.bytes[i * width..(i + 1) * width]);
            }
        }
        if self.screen == Screen::Products {
            self.as_products();
        }
    }

    /// Products are off by rounding alone.
    fn as_products(&mut self) {
        let rounding = rounding(self.encoder.d_in);
        self.screen = Screen::Products;
        self.scale.fill(1.0);
        for (error, norm) in self.error.iter_mut().zip(&self.norm) {
            *error = 2.0 * rounding * norm;
        }
    }

    fn screen_bytes(&mut self, engine: Engine, first: usize, panels: usize) {
        let (encoder, bytes) = (self.encoder, PANEL * padded(self.encoder.d_in));
        for at in first..first + panels {
            let latents = PANEL.min(encoder.d_sae - at * PANEL);
            screen_bytes(
                engine,
                &self.bytes,
                &encoder.weights[at * bytes..(at + 1) * bytes],
                &encoder.panels[at],
                at * PANEL,
                latents,
                &Samples {
                    scale: &self.scale,
                    norm: &self.norm,
                    error: &self.error,
                    floor: &self.floor,
                },
                &mut Found {
                    latents: &mut self.latents,
                    most: &mut self.most,
                    counts: &mut self.counts,
                    room: PANELS * PANEL,
                },
            );
        }
    }

    fn screen_products(&mut self, first: usize, panels: usize) {
        let (encoder, d_in) = (self.encoder, self.encoder.d_in);
        let latents = (panels * PANEL).min(encoder.d_sae - first * PANEL);
        let n = self.kept.len();
        self.pre.resize(n * latents, 0.0);
        let w_enc = &self.rows.w_enc[first * PANEL * d_in..][..latents * d_in];
        matmul(
            &mut self.pre,
            false,
            (self.rows.x, Op::N),
            (w_enc, Op::T),
            [n, latents, d_in],
        );
        for at in 0..panels {
            let facts = &encoder.panels[first + at];
            let panel = Panel {
                start: [0; PANEL],
                scale: [1.0; PANEL],
                bias: facts.bias,
                norm: std::array::from_fn(|j| facts.norm[j] + facts.error[j]),
                error: [0.0; PANEL],
            };
            screen_products(
                &self.pre[at * PANEL..],
                latents,
                &panel,
                (first + at) * PANEL,
                PANEL.min(latents - at * PANEL),
                &Samples {
                    scale: &self.scale,
                    norm: &self.norm,
                    error: &self.error,
                    floor: &self.floor,
                },
                &mut Found {
                    latents: &mut self.latents,
                    most: &mut self.most,
                    counts: &mut self.counts,
                    room: PANELS * PANEL,
                },
            );
        }
    }

    /// Computes the candidates exactly and raises the floors.
    fn refine(&mut self, first: usize) {
        let d_in = self.encoder.d_in;
        let room = PANELS * PANEL;
        let mut values = vec![0.0; room];
        for (i, x) in self.rows.x.chunks_exact(d_in).enumerate() {
            let count = self.counts[i] as usize;
            if count == 0 {
                continue;
            }
            let latents = &mut self.latents[i * room..i * room + count];
            let most = &self.most[i * room..i * room + count];
            let row = &mut Row {
                x,
                rows: self.rows,
                keep: self.keep,
                floor: &mut self.floor[i],
                kept: &mut self.kept[i],
            };
            if count <= self.keep.most {
                row.take(latents, &mut values);
            } else {
                // The most promising first: what they turn out to be spares most of the others.
                let mut order: Vec<(f32, u32)> =
                    most.iter().copied().zip(latents.iter().copied()).collect();
                let k = self.keep.most;
                order.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
                let best: Vec<u32> = order[..k].iter().map(|pair| pair.1).collect();
                row.take(&best, &mut values);
                row.raise();
                let floor = *row.floor;
                let others = order[k..].iter().filter(|pair| !(pair.0 <= floor));
                let others: Vec<u32> = others.map(|pair| pair.1).collect();
                row.take(&others, &mut values);
            }
        }
        let candidates: u64 = self.counts.iter().map(|&c| u64::from(c)).sum();
        let looked_at = (self.kept.len() * room) as f64;
        if first > 0 && self.screen != Screen::Products && candidates as f64 > TOO_MANY * looked_at
        {
            self.as_products();
        }
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
