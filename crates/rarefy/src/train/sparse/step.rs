//! One training step of a sparse architecture.
//!
//! ```text
//! f = the selected entries of w_enc (x - b_dec) + b_enc         encode
//! r = w_dec^T f + b_dec - x        L = 1/n sum |r|^2            decode, loss
//! aux = c sum |r + w_dec^T a|^2 / sum |r - mean r|^2            a: largest among the dead
//! dp = 2/n r . w_dec[j]      dw_dec[j] = 2/n sum f r      dw_enc[j] = sum dp (x - b_dec)
//! db_dec = 2/n sum r - w_enc^T sum dp                           gradients, by latent
//! ```
//!
//! Everything behind the encoder goes by latent: a latent's rows of both matrices, of their gradients
//! and moments are visited twice, once for the gradient and, when the norm of the whole is known, once
//! for clipping, Adam, the norm and the next step's quantisation. (Once would need the norm before the
//! gradient.) No sum depends on the number of threads: partial sums belong to a panel of latents or to
//! `ROWS` rows and are added in order.

use rarefy_kernels::encoder::column_sums;
use rarefy_kernels::int8::PANEL;
use rarefy_kernels::sparse::{latent_gradient, normalise_row, project_row, residual_row};
use rarefy_kernels::vector::{self, dot};
use rayon::prelude::*;

use super::blocks::Blocks;
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Grouped, Objective, Screen, Selection, centre};
use crate::optim::Descent;
use crate::params::Params;

/// Rows whose sums are added up together.
const ROWS: usize = 64;

/// What a step is told.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Learning rate of this step.
    pub lr: f64,
    /// Largest norm of the gradient.
    pub clip: Option<f64>,
    /// Whether decoder rows stay at length 1 (and their gradients perpendicular to them).
    pub unit_norm: bool,
}

/// What a step found, before it changed anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Mean over rows of the sum over inputs of the squared error.
    pub reconstruction: f64,
    /// The auxiliary loss with its coefficient.
    pub auxiliary: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Mean over rows of the number of active latents.
    pub l0: f64,
    /// Dead latents.
    pub dead: usize,
    /// The smallest active value of the batch.
    pub smallest: Option<f32>,
}

/// The stages of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Centring, quantising, screening, selecting; codes by latent.
    Encode,
    /// Residuals and the loss; who fired.
    Decode,
    /// The dead latents' loss.
    Auxiliary,
    /// Gradients by latent and their norm.
    Backward,
    /// Clipping, Adam, the decoder's norm, quantising the encoder anew.
    Update,
}

/// The buffers of a step and the encoder, kept from step to step.
pub struct Step {
    objective: Objective,
    d_in: usize,
    d_sae: usize,
    encoder: Encoder,
    /// `x - b_dec`, `[n, d_in]`.
    centred: Vec<f32>,
    main: Loss,
    /// Dead latents, and their attempt at what is left over.
    dead: Vec<u32>,
    auxiliary: Loss,
    /// In the parameters' layout; rows of latents without entries hold old numbers.
    gradient: Vec<f32>,
}

/// Codes and what they leave over.
struct Loss {
    codes: Codes,
    grouped: Grouped,
    /// `[n, d_in]`.
    residual: Vec<f32>,
    /// Sum of its squares.
    square: f64,
    /// Sums of its columns.
    columns: Vec<f64>,
    /// Derivative of the loss by the residual, over the residual.
    scale: f64,
}

impl Step {
    /// Buffers for a model of this size; the encoder is quantised here and after each step.
    pub fn new(objective: Objective, params: &Params) -> Self {
        let (d_sae, d_in) = (params.get("b_enc").len(), params.get("b_dec").len());
        Self {
            objective,
            d_in,
            d_sae,
            encoder: Encoder::new(params),
            centred: Vec::new(),
            main: Loss::of(d_sae),
            dead: Vec::new(),
            auxiliary: Loss::of(d_sae),
            gradient: vec![0.0; params.values().len()],
        }
    }

    /// One optimiser step on the rows `x`: encode, decode, loss, backward, clip, Adam, norm.
    ///
    /// `since_fired` counts, for each latent, the rows since it was last active.
    ///
    /// # Panics
    /// If the sizes differ from those that the step was made for.
    pub fn run(
        &mut self,
        params: &mut Params,
        descent: &mut Descent,
        since_fired: &mut [u64],
        x: &[f32],
        settings: &Settings,
    ) -> Report {
        self.run_watched(params, descent, since_fired, x, settings, &mut |_| {})
    }

    /// As [`Step::run`]; `done` is called at the end of each stage, so that a benchmark can look at
    /// its clock.
    ///
    /// # Panics
    /// As [`Step::run`].
    pub fn run_watched(
        &mut self,
        params: &mut Params,
        descent: &mut Descent,
        since_fired: &mut [u64],
        x: &[f32],
        settings: &Settings,
        done: &mut dyn FnMut(Stage),
    ) -> Report {
        let n = x.len() / self.d_in;
        self.encode(params, x);
        done(Stage::Encode);
        self.decode(params, x);
        self.count(since_fired, n);
        done(Stage::Decode);
        self.explain_rest(params);
        done(Stage::Auxiliary);
        let norm = self.backward(params, settings.unit_norm);
        let report = self.report(n, norm);
        done(Stage::Backward);
        self.update(params, descent, norm, settings);
        done(Stage::Update);
        report
    }

    /// The gradient of the last step before clipping, for tests.
    pub fn gradient(&self, params: &Params) -> Params {
        let mut gradient = params.clone();
        gradient.values_mut().fill(0.0);
        let from = Blocks::of(self.d_in, self.d_sae, &self.gradient);
        gradient.get_mut("b_enc").copy_from_slice(from.b_enc);
        gradient.get_mut("b_dec").copy_from_slice(from.b_dec);
        for j in (0..self.d_sae).filter(|&j| self.loss_of(j).is_some()) {
            let row = j * self.d_in..(j + 1) * self.d_in;
            gradient.get_mut("w_enc")[row.clone()].copy_from_slice(&from.w_enc[row.clone()]);
            gradient.get_mut("w_dec")[row.clone()].copy_from_slice(&from.w_dec[row]);
        }
        gradient
    }

    fn encode(&mut self, params: &Params, x: &[f32]) {
        let b_dec = params.get("b_dec");
        self.centred.resize(x.len(), 0.0);
        centre(x, b_dec, &mut self.centred);
        let rows = Centred {
            x: &self.centred,
            w_enc: params.get("w_enc"),
            b_enc: params.get("b_enc"),
        };
        self.main.codes.clear();
        let selection = self.objective.selection;
        self.encoder
            .encode_centred(&rows, selection, &mut self.main.codes);
        self.main.grouped.fill(&self.main.codes);
    }

    fn decode(&mut self, params: &Params, x: &[f32]) {
        let n = x.len() / self.d_in;
        let b_dec = params.get("b_dec");
        self.main.leave(params, self.d_in, x, |_| b_dec);
        self.main.scale = 2.0 / n as f64;
    }

    /// Who fired, and who is dead.
    fn count(&mut self, since_fired: &mut [u64], n: usize) {
        let after = self.objective.aux.dead_after;
        self.dead.clear();
        for (j, since) in since_fired.iter_mut().enumerate() {
            *since = if self.main.grouped.of(j).0.is_empty() {
                since.saturating_add(n as u64)
            } else {
                0
            };
            if *since >= after {
                self.dead.push(j as u32);
            }
        }
    }

    /// The dead latents' part: their largest pre-activations, decoded without `b_dec`, against the
    /// residual, which counts as data here.
    fn explain_rest(&mut self, params: &Params) {
        let (d_in, aux) = (self.d_in, self.objective.aux);
        self.auxiliary.codes.clear();
        self.auxiliary.square = 0.0;
        self.auxiliary.scale = 0.0;
        if aux.coefficient > 0.0 && !self.dead.is_empty() {
            let n = self.main.residual.len() / d_in;
            let (w_enc, b_enc) = rows_of(params, &self.dead, d_in);
            let encoder = Encoder::with_screen(&w_enc, &b_enc, Screen::Products, d_in, b_enc.len());
            let k = aux.k.unwrap_or(d_in / 2).clamp(1, self.dead.len());
            let rows = Centred {
                x: &self.centred,
                w_enc: &w_enc,
                b_enc: &b_enc,
            };
            let codes = &mut self.auxiliary.codes;
            encoder.encode_centred(&rows, Selection::Row(k), codes);
            for latent in &mut codes.indices {
                *latent = self.dead[*latent as usize];
            }
            let (zeros, left) = (vec![0.0; self.main.residual.len()], &self.main.residual);
            self.auxiliary
                .leave(params, d_in, &zeros, |i| &left[i * d_in..(i + 1) * d_in]);
            // |r - mean r|^2 summed over the batch.
            let mean_square = dot_f64(&self.main.columns) / n as f64;
            let spread = self.main.square - mean_square;
            if spread > 0.0 {
                self.auxiliary.scale = 2.0 * aux.coefficient / spread;
            }
        }
        self.auxiliary.grouped.fill(&self.auxiliary.codes);
    }

    /// The loss that a latent has a part in, if any: dead latents are in no row's codes.
    fn loss_of(&self, latent: usize) -> Option<&Loss> {
        let losses = [&self.main, &self.auxiliary];
        losses
            .into_iter()
            .find(|loss| loss.scale != 0.0 && !loss.grouped.of(latent).0.is_empty())
    }

    /// Gradients of everything; the norm of all of them.
    fn backward(&mut self, params: &Params, unit_norm: bool) -> f64 {
        let (d_in, d_sae) = (self.d_in, self.d_sae);
        let mut gradient = std::mem::take(&mut self.gradient);
        let Blocks {
            w_enc,
            b_enc,
            w_dec,
            b_dec,
        } = Blocks::of_mut(d_in, d_sae, &mut gradient);
        let (encoder, decoder) = (params.get("w_enc"), params.get("w_dec"));
        let partial: Vec<(f64, Vec<f32>)> = w_enc
            .par_chunks_mut(PANEL * d_in)
            .zip(w_dec.par_chunks_mut(PANEL * d_in))
            .zip(b_enc.par_chunks_mut(PANEL))
            .enumerate()
            .map(|(panel, ((d_enc, d_dec), d_bias))| {
                let mut square = 0.0;
                let mut through_b_dec = vec![0.0; d_in];
                for (j, d_bias) in d_bias.iter_mut().enumerate() {
                    let latent = panel * PANEL + j;
                    *d_bias = 0.0;
                    let Some(loss) = self.loss_of(latent) else {
                        continue;
                    };
                    let (rows, values) = loss.grouped.of(latent);
                    let row = j * d_in..(j + 1) * d_in;
                    let (d_enc, d_dec) = (&mut d_enc[row.clone()], &mut d_dec[row]);
                    d_enc.fill(0.0);
                    d_dec.fill(0.0);
                    let all = latent * d_in..(latent + 1) * d_in;
                    let (x, r, scale) = (&self.centred, &loss.residual, loss.scale as f32);
                    let w_dec = &decoder[all.clone()];
                    let sum = latent_gradient(d_enc, d_dec, w_dec, x, r, rows, values, scale);
                    vector::add_scaled(&mut through_b_dec, sum as f32, &encoder[all]);
                    *d_bias = sum as f32;
                    square += sum * sum + dot(d_enc, d_enc);
                    square += if unit_norm {
                        project_row(d_dec, w_dec)
                    } else {
                        dot(d_dec, d_dec)
                    };
                }
                (square, through_b_dec)
            })
            .collect();
        let mut of_b_dec: Vec<f64> = self
            .main
            .columns
            .iter()
            .map(|sum| sum * self.main.scale)
            .collect();
        for (_, through) in &partial {
            of_b_dec
                .iter_mut()
                .zip(through)
                .for_each(|(sum, t)| *sum -= f64::from(*t));
        }
        b_dec
            .iter_mut()
            .zip(&of_b_dec)
            .for_each(|(b, sum)| *b = *sum as f32);
        let squares: f64 = partial.iter().map(|(square, _)| square).sum();
        self.gradient = gradient;
        (squares + dot_f64(&of_b_dec)).sqrt()
    }

    fn report(&self, n: usize, gradient_norm: f64) -> Report {
        Report {
            reconstruction: self.main.square / n as f64,
            auxiliary: self.auxiliary.scale / 2.0 * self.auxiliary.square,
            gradient_norm,
            l0: self.main.codes.indices.len() as f64 / n as f64,
            dead: self.dead.len(),
            smallest: smallest(&self.main.codes),
        }
    }

    /// Clipping, Adam, the decoder's norm and the encoder's bytes, panel by panel.
    fn update(
        &mut self,
        params: &mut Params,
        descent: &mut Descent,
        norm: f64,
        settings: &Settings,
    ) {
        let (d_in, d_sae) = (self.d_in, self.d_sae);
        let (adam, [mean, square]) = descent.next_adam(settings.lr, norm, settings.clip);
        let mut encoder = std::mem::replace(&mut self.encoder, Encoder::empty());
        let p = Blocks::of_mut(d_in, d_sae, params.values_mut());
        let m = Blocks::of_mut(d_in, d_sae, mean);
        let v = Blocks::of_mut(d_in, d_sae, square);
        let g = Blocks::of(d_in, d_sae, &self.gradient);
        vector::adam(&adam, p.b_dec, g.b_dec, m.b_dec, v.b_dec);
        vector::adam(&adam, p.b_enc, g.b_enc, m.b_enc, v.b_enc);
        let no_gradient = vec![0.0; d_in];
        let wide = PANEL * d_in;
        let row = |j: usize| j * d_in..(j + 1) * d_in;
        encoder
            .panels_mut()
            .zip(p.b_enc.par_chunks(PANEL))
            .zip(
                p.w_enc
                    .par_chunks_mut(wide)
                    .zip(p.w_dec.par_chunks_mut(wide)),
            )
            .zip(
                m.w_enc
                    .par_chunks_mut(wide)
                    .zip(m.w_dec.par_chunks_mut(wide)),
            )
            .zip(
                v.w_enc
                    .par_chunks_mut(wide)
                    .zip(v.w_dec.par_chunks_mut(wide)),
            )
            .enumerate()
            .for_each(|(panel, ((((mut bytes, b_enc), p), m), v))| {
                for j in 0..b_enc.len() {
                    let latent = panel * PANEL + j;
                    let (here, all) = (row(j), row(latent));
                    let (g_enc, g_dec) = match self.loss_of(latent) {
                        Some(_) => (&g.w_enc[all.clone()], &g.w_dec[all]),
                        None => (&no_gradient[..], &no_gradient[..]),
                    };
                    let at = here.clone();
                    vector::adam(
                        &adam,
                        &mut p.0[at.clone()],
                        g_enc,
                        &mut m.0[at.clone()],
                        &mut v.0[at],
                    );
                    let at = here.clone();
                    vector::adam(
                        &adam,
                        &mut p.1[at.clone()],
                        g_dec,
                        &mut m.1[at.clone()],
                        &mut v.1[at],
                    );
                    if settings.unit_norm {
                        normalise_row(&mut p.1[here]);
                    }
                }
                bytes.quantise(p.0, b_enc);
            });
        self.encoder = encoder;
    }
}

impl Loss {
    fn of(d_sae: usize) -> Self {
        Self {
            codes: Codes::new(d_sae),
            grouped: Grouped::default(),
            residual: Vec::new(),
            square: 0.0,
            columns: Vec::new(),
            scale: 0.0,
        }
    }

    /// What the codes leave over of `x`, decoded on top of `base`: residual, its square, its columns.
    fn leave<'b>(
        &mut self,
        params: &Params,
        d_in: usize,
        x: &[f32],
        base: impl Fn(usize) -> &'b [f32] + Sync,
    ) {
        let (codes, w_dec) = (&self.codes, params.get("w_dec"));
        self.residual.resize(x.len(), 0.0);
        let partial: Vec<(f64, Vec<f64>)> = self
            .residual
            .par_chunks_mut(ROWS * d_in)
            .enumerate()
            .map(|(chunk, residual)| {
                let mut square = 0.0;
                for (i, r) in residual.chunks_exact_mut(d_in).enumerate() {
                    let row = chunk * ROWS + i;
                    let entries = codes.offsets[row]..codes.offsets[row + 1];
                    let (indices, values) =
                        (&codes.indices[entries.clone()], &codes.values[entries]);
                    let x = &x[row * d_in..(row + 1) * d_in];
                    square += residual_row(r, x, base(row), w_dec, indices, values);
                }
                let mut columns = vec![0.0; d_in];
                column_sums(residual, &mut columns);
                (square, columns)
            })
            .collect();
        self.square = partial.iter().map(|(square, _)| square).sum();
        self.columns = vec![0.0; d_in];
        for (_, columns) in &partial {
            self.columns
                .iter_mut()
                .zip(columns)
                .for_each(|(sum, c)| *sum += c);
        }
    }
}

/// Encoder rows and biases of some latents, side by side.
fn rows_of(params: &Params, latents: &[u32], d_in: usize) -> (Vec<f32>, Vec<f32>) {
    let (w_enc, b_enc) = (params.get("w_enc"), params.get("b_enc"));
    let mut rows = Vec::with_capacity(latents.len() * d_in);
    for &j in latents {
        rows.extend_from_slice(&w_enc[j as usize * d_in..][..d_in]);
    }
    (rows, latents.iter().map(|&j| b_enc[j as usize]).collect())
}

fn smallest(codes: &Codes) -> Option<f32> {
    codes.values.iter().copied().reduce(f32::min)
}

fn dot_f64(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}
