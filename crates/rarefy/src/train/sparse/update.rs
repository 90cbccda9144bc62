//! Second half of a step: the optimiser updates the weights of each latent, and the encoder is quantised again.

use rarefy_kernels::int8::PANEL;
use rayon::prelude::*;

use super::backward::Gradients;
use super::blocks::{Blocks, ModelShape};
use super::parametrisation::Parametrisation;
use crate::engine::Encoder;
use crate::objective::Objective;
use crate::optim::descent::Move;
use crate::params::Params;

/// Update of all parameters by one optimiser move.
pub(super) struct Update<'a> {
    step: &'a Move,
    shape: ModelShape,
    parametrisation: &'a Parametrisation,
    /// True if the encoder is the decoder.
    tied: bool,
    /// Number of per-latent parameters that training changes.
    per_latent: usize,
    /// Learning rate of the per-latent parameters over that of all others.
    rate: f64,
}

/// Update by `step` of a model of this objective.
pub(super) fn move_all<'a>(
    step: &'a Move,
    objective: &Objective,
    shape: ModelShape,
    parametrisation: &'a Parametrisation,
) -> Update<'a> {
    Update {
        step,
        shape,
        parametrisation,
        tied: objective.pursues(),
        per_latent: objective.per_latent().len() * shape.d_sae,
        rate: objective.per_latent_rate(),
    }
}

impl Update<'_> {
    /// Moves all parameters, panel by panel, with constraints on decoder rows and the encoder's bytes.
    pub(super) fn apply(
        &self,
        params: &mut Params,
        [first, second]: [&mut Vec<f32>; 2],
        gradients: &Gradients,
        encoder: &mut Encoder,
    ) {
        let (shape, step) = (self.shape, self.step);
        let p = Blocks::of_mut(shape, params.values_mut());
        let m = Blocks::of_mut(shape, first);
        let v = Blocks::of_mut(shape, second);
        let g = Blocks::of(shape, &gradients.values);
        step.take(p.b_dec, g.b_dec, m.b_dec, v.b_dec);
        step.take(p.b_enc, g.b_enc, m.b_enc, v.b_enc);
        step.take(p.w_skip, g.w_skip, m.w_skip, v.w_skip);
        let of = ..self.per_latent;
        step.times(self.rate).take(
            &mut p.per_latent[of],
            &g.per_latent[of],
            &mut m.per_latent[of],
            &mut v.per_latent[of],
        );
        let (wide_in, wide_out) = (PANEL * shape.d_in, PANEL * shape.d_out);
        let weights = p.w_enc.par_chunks_mut(wide_in);
        let weights = weights.zip(p.w_dec.par_chunks_mut(wide_out));
        let moments_enc = m.w_enc.par_chunks_mut(wide_in);
        let moments_enc = moments_enc.zip(v.w_enc.par_chunks_mut(wide_in));
        let moments_dec = m.w_dec.par_chunks_mut(wide_out);
        let moments_dec = moments_dec.zip(v.w_dec.par_chunks_mut(wide_out));
        encoder
            .panels_mut()
            .zip(p.b_enc.par_chunks(PANEL))
            .zip(weights)
            .zip(moments_enc.zip(moments_dec))
            .enumerate()
            .for_each(
                |(
                    panel,
                    (((mut bytes, b_enc), (w_enc, w_dec)), ((m_enc, v_enc), (m_dec, v_dec))),
                )| {
                    let (first, end) = (panel * PANEL, panel * PANEL + b_enc.len());
                    let touched = &gradients.touched[first..end];
                    let g_enc = &g.w_enc[first * shape.d_in..end * shape.d_in];
                    let g_dec = &g.w_dec[first * shape.d_out..end * shape.d_out];
                    if !self.tied {
                        move_rows(step, touched, [&mut *w_enc, m_enc, v_enc], g_enc);
                        if self.parametrisation.is_direct() {
                            bytes.quantise(w_enc, b_enc);
                        }
                    }
                    move_rows(step, touched, [&mut *w_dec, m_dec, v_dec], g_dec);
                    self.parametrisation.constrain(w_dec, shape.d_out);
                    if self.tied {
                        w_enc.copy_from_slice(w_dec);
                        bytes.quantise(w_enc, b_enc);
                    }
                },
            );
    }
}

/// Moves rows, some of which have no gradient.
fn move_rows(step: &Move, touched: &[bool], [w, m, v]: [&mut [f32]; 3], g: &[f32]) {
    let width = w.len() / touched.len();
    let zeros = vec![0.0; width];
    let rows = w.chunks_exact_mut(width).zip(m.chunks_exact_mut(width));
    let rows = rows
        .zip(v.chunks_exact_mut(width))
        .zip(g.chunks_exact(width));
    for ((((w, m), v), g), touched) in rows.zip(touched) {
        step.take(w, if *touched { g } else { &zeros }, m, v);
    }
}
