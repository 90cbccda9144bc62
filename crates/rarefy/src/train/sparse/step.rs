//! One training step of a sparse architecture.
//!
//! ```text
//! f = the entries of w_enc (x - b_dec) + b_enc that the architecture finds    encode
//! r_l = w_dec^T f + b_dec - x over the latents of level l
//! L = sum_l c_l 1/n sum |r_l|^2                                 decode, loss
//! aux = c sum |r + w_dec^T a|^2 / sum |r - mean r|^2            a: largest among the dead
//! df = 2/n r . w_dec[j]      dw_dec[j] = 2/n sum f r            gradients, by latent
//! dp = df through the architecture's nonlinearity and penalty
//! dw_enc[j] = sum dp (x - b_dec)      db_dec = 2/n sum r - w_enc^T sum dp
//! ```
//!
//! This is an autoencoder. A transcoder decodes for another row y than the one that it encodes, on top of
//! `b_dec` and, if it skips, `w_skip x` (`dw_skip = 2/n sum r x^T`), and takes nothing off x.
//!
//! Everything behind the encoder goes by latent: a latent's rows of both matrices, of their gradients
//! and moments are visited twice, once for the gradient and, when the norm of the whole is known, once
//! for clipping, Adam, the norm and the next step's quantisation. (Once would need the norm before the
//! gradient.) No sum depends on the number of threads: partial sums belong to a panel of latents or to
//! a few rows and are added in order.

use std::sync::Arc;

use rayon::prelude::*;

use super::backward::Found;
use super::blocks::{Blocks, Shape};
use super::reading::Reading;
use super::unroll::Unrolled;
use crate::codes::Codes;
use crate::config::DecoderNorm;
use crate::engine::{Centred, Encoder, centre, skip};
use crate::io_spec::IoSpec;
use crate::optim::Descent;
use crate::params::Params;
use crate::variants::{RowTerms, Sparse, SparseBatch, StepSchedule};

/// What a step is told.
#[derive(Debug, Clone, Copy)]
pub struct StepSettings {
    /// Learning rate of this step.
    pub lr: f64,
    /// Largest norm of the gradient.
    pub clip: Option<f64>,
    /// What changes in the course of a run.
    pub now: StepSchedule,
}

/// What a step found, before it changed anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Mean over rows of the sum over outputs of the squared error, of all levels with their weights.
    pub reconstruction: f64,
    /// The same of all latents together, with weight 1.
    pub mse: f64,
    /// The sparsity penalty with its coefficient.
    pub penalty: f64,
    /// It without its coefficient, at this p and at the one that follows, where p is annealed.
    pub norms: [f64; 2],
    /// The auxiliary losses with their coefficients: the dead latents' and that of a second reading.
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
    pub(super) sparse: Arc<dyn Sparse>,
    pub(super) shape: Shape,
    pub(super) io: IoSpec,
    pub(super) norm: DecoderNorm,
    pub(super) encoder: Encoder,
    /// `x - b_dec`, or x, `[n, d_in]`.
    pub(super) centred: Vec<f32>,
    /// What a skip transcoder decodes on top of, `b_dec + w_skip x`, `[n, d_out]`; else empty.
    base: Vec<f32>,
    pub(super) main: Reading,
    /// What each entry saw, if they follow one another.
    pub(super) unrolled: Option<Unrolled>,
    /// Pre-activations as codes, if the architecture reads them too.
    pub(super) second: Option<Reading>,
    /// Rows in which a latent is active, summed over latents.
    active: usize,
    /// Dead latents, and their attempt at what is left over: by level if that is asked for.
    pub(super) dead: Vec<u32>,
    pub(super) rest: Vec<Reading>,
    /// Lengths of the decoder's rows, if the architecture wants them.
    norms: Vec<f32>,
    /// What the parameters stand for, and the lengths of their decoder rows, if they stand for another model.
    pub(super) model: Option<Params>,
    pub(super) lengths: Vec<f32>,
    /// In the parameters' layout; rows of latents that have none hold old numbers.
    pub(super) gradient: Vec<f32>,
    /// Whether a latent has a gradient.
    pub(super) touched: Vec<bool>,
}

impl Step {
    /// Buffers for a model of this size; the encoder is quantised here and after each step.
    ///
    /// `norm` says what holds decoder rows: kept at length 1, with gradients perpendicular to them; free; or free
    /// with pre-activations measured in their lengths, so that the parameters stand for another model
    /// ([`crate::variants::rescaled`]).
    ///
    /// # Panics
    /// If the parameters are of other sizes than the binding.
    pub fn new(sparse: &Arc<dyn Sparse>, io: &IoSpec, norm: DecoderNorm, params: &Params) -> Self {
        let d_sae = params.get("b_enc").len();
        assert_eq!(
            (params.get("w_enc").len(), params.get("b_dec").len()),
            (d_sae * io.d_in(), io.d_out()),
            "parameters of another {}",
            io.name()
        );
        let levels = sparse.levels(d_sae);
        let readings = if sparse.aux().by_level {
            levels.len()
        } else {
            1
        };
        let model = (norm == DecoderNorm::Rescale).then(|| params.clone());
        let mut step = Self {
            sparse: Arc::clone(sparse),
            shape: Shape::new(io, d_sae),
            io: io.clone(),
            norm,
            encoder: Encoder::new(params),
            centred: Vec::new(),
            base: Vec::new(),
            main: Reading::new(d_sae, levels),
            unrolled: sparse.pursues().then(Unrolled::default),
            second: sparse.second_reading().map(|_| Reading::plain(d_sae)),
            active: 0,
            dead: Vec::new(),
            rest: (0..readings).map(|_| Reading::plain(d_sae)).collect(),
            norms: Vec::new(),
            model,
            lengths: Vec::new(),
            gradient: vec![0.0; params.values().len()],
            touched: vec![false; d_sae],
        };
        step.look_again(params);
        step
    }

    /// One optimiser step on the rows `x`, `[n, row]` of the binding: encode, decode, loss, backward, clip,
    /// Adam, norm.
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
        settings: &StepSettings,
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
        settings: &StepSettings,
        done: &mut dyn FnMut(Stage),
    ) -> Report {
        let n = x.len() / self.io.row_width();
        let other = self.model.take();
        let model = other.as_ref().unwrap_or(params);
        self.encode(settings.now, model, x);
        done(Stage::Encode);
        self.decode(model, x, n);
        self.count(since_fired, n);
        done(Stage::Decode);
        self.explain_rest(model, n);
        done(Stage::Auxiliary);
        let found = self.backward(model, settings, n);
        let report = self.report(n, &found);
        done(Stage::Backward);
        self.model = other;
        self.update(params, descent, found.norm, settings);
        done(Stage::Update);
        report
    }

    /// The codes of the last step's rows, for tests: some entries may have the value 0.
    pub fn codes(&self) -> &Codes {
        &self.main.codes
    }

    /// The gradient of the last step before clipping, for tests.
    pub fn gradient(&self, params: &Params) -> Params {
        let mut gradient = params.clone();
        let (d_in, d_out) = (self.shape.d_in, self.shape.d_out);
        gradient.values_mut().copy_from_slice(&self.gradient);
        for j in (0..self.shape.d_sae).filter(|&j| !self.touched[j]) {
            gradient.get_mut("w_enc")[j * d_in..(j + 1) * d_in].fill(0.0);
            gradient.get_mut("w_dec")[j * d_out..(j + 1) * d_out].fill(0.0);
        }
        gradient
    }

    pub(super) fn encode(&mut self, now: StepSchedule, params: &Params, x: &[f32]) {
        if self.io.centre {
            self.centred.resize(x.len(), 0.0);
            centre(x, params.get("b_dec"), &mut self.centred);
        } else {
            self.centred.clear();
            let rows = x.chunks_exact(self.io.row_width());
            rows.for_each(|row| self.centred.extend_from_slice(&row[..self.shape.d_in]));
        }
        let rows = Centred {
            x: &self.centred,
            w_enc: params.get("w_enc"),
            b_enc: params.get("b_enc"),
        };
        self.main.clear();
        let codes = &mut self.main.codes;
        self.sparse.encode(now, params, &self.encoder, &rows, codes);
        self.main.pre.extend_from_slice(&codes.values);
        let (sparse, pre) = (&self.sparse, &self.main.pre);
        for ends in codes.offsets.windows(2) {
            let row = ends[0]..ends[1];
            let values = &mut codes.values[row.clone()];
            sparse.activate(params, &codes.indices[row.clone()], &pre[row], values);
        }
        self.main.group();
    }

    pub(super) fn decode(&mut self, params: &Params, x: &[f32], n: usize) {
        let (b_dec, d_out) = (params.get("b_dec"), self.shape.d_out);
        if self.shape.skip {
            skip(params, &self.centred, &mut self.base);
        }
        let (base, wide, start) = (&self.base, self.io.row_width(), self.io.target_start());
        let row = |i: usize| {
            let base = base.get(i * d_out..(i + 1) * d_out).unwrap_or(b_dec);
            (&x[i * wide + start..(i + 1) * wide], base)
        };
        self.main.leave(params, row);
        self.main.scale = 2.0 / n as f64;
        if let Some(unrolled) = &mut self.unrolled {
            unrolled.fill(params, &self.main);
        }
        if let Some(second) = &mut self.second {
            second.codes.clone_from(&self.main.codes);
            second.codes.values.clone_from(&self.main.pre);
            second.pre.clone_from(&self.main.pre);
            second.group();
            second.leave(params, row);
            second.scale = 2.0 / n as f64;
        }
    }

    /// Who fired, and who is dead.
    fn count(&mut self, since_fired: &mut [u64], n: usize) {
        let after = self.sparse.aux().dead_after;
        self.dead.clear();
        self.active = 0;
        for (j, since) in since_fired.iter_mut().enumerate() {
            let fired = self.main.of(j).rows_with_value();
            self.active += fired;
            *since = match fired {
                0 => since.saturating_add(n as u64),
                _ => 0,
            };
            if *since >= after {
                self.dead.push(j as u32);
            }
        }
    }

    /// Lengths of the decoder's rows, where the architecture wants them.
    pub(super) fn measure_norms(&mut self, params: &Params) {
        if self.sparse.wants_norms() {
            let rows = params.get("w_dec").par_chunks_exact(self.shape.d_out);
            let norms = rows.map(|row| self.io.decoder_norm(row) as f32);
            norms.collect_into_vec(&mut self.norms);
        }
    }

    /// What the architecture sees of the batch.
    pub(super) fn batch<'b>(
        &'b self,
        params: &'b Params,
        now: StepSchedule,
        n: usize,
    ) -> SparseBatch<'b> {
        let mut batch = SparseBatch {
            now,
            n,
            codes: &self.main.codes,
            pre: &self.main.pre,
            params,
            norms: &self.norms,
            terms: RowTerms::default(),
        };
        batch.terms = self.sparse.rows(&batch);
        batch
    }

    fn report(&self, n: usize, found: &Found) -> Report {
        let auxiliary = self.rest.iter().chain(&self.second);
        let values = self.main.codes.values.iter().map(|value| value.abs());
        Report {
            reconstruction: self.main.weighted_square() / n as f64,
            mse: self.main.left.last().map_or(0.0, |left| left.square) / n as f64,
            penalty: found.penalty,
            norms: found.norms,
            auxiliary: 0.0
                + auxiliary
                    .map(|reading| reading.scale / 2.0 * reading.weighted_square())
                    .sum::<f64>(),
            gradient_norm: found.norm,
            l0: self.active as f64 / n as f64,
            dead: self.dead.len(),
            smallest: values.filter(|value| *value > 0.0).reduce(f32::min),
        }
    }

    /// The blocks of the gradient.
    pub(super) fn gradient_blocks(&self) -> Blocks<&[f32]> {
        Blocks::of(self.shape, &self.gradient)
    }
}
