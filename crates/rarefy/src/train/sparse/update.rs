//! The second half of a step: every latent's weights move, and become bytes again.

use rarefy_kernels::int8::PANEL;
use rarefy_kernels::sparse::normalise_row;
use rayon::prelude::*;

use super::blocks::Blocks;
use super::step::{Step, StepSettings};
use crate::config::DecoderNorm;
use crate::engine::Encoder;
use crate::optim::Descent;
use crate::optim::descent::Move;
use crate::params::Params;
use crate::variants::rescale;

impl Step {
    /// Clipping, Adam, the decoder's norm and the encoder's bytes, panel by panel.
    pub(super) fn update(
        &mut self,
        params: &mut Params,
        descent: &mut Descent,
        norm: f64,
        settings: &StepSettings,
    ) {
        let (shape, tied) = (self.shape, self.sparse.pursues());
        let (unit, rescaling) = (
            self.norm == DecoderNorm::Unit,
            self.norm == DecoderNorm::Rescale,
        );
        let (step, [first, second]) = descent.next(settings.lr, norm, settings.clip);
        let mut encoder = std::mem::replace(&mut self.encoder, Encoder::empty());
        let p = Blocks::of_mut(shape, params.values_mut());
        let m = Blocks::of_mut(shape, first);
        let v = Blocks::of_mut(shape, second);
        let g = self.gradient_blocks();
        step.take(p.b_dec, g.b_dec, m.b_dec, v.b_dec);
        step.take(p.b_enc, g.b_enc, m.b_enc, v.b_enc);
        step.take(p.w_skip, g.w_skip, m.w_skip, v.w_skip);
        let own = self.sparse.own().len() * shape.d_sae;
        let of = ..own;
        step.take(&mut p.own[of], &g.own[of], &mut m.own[of], &mut v.own[of]);
        let (wide_in, wide_out) = (PANEL * shape.d_in, PANEL * shape.d_out);
        let moments = m
            .w_enc
            .par_chunks_mut(wide_in)
            .zip(v.w_enc.par_chunks_mut(wide_in));
        let moments = moments.zip(
            m.w_dec
                .par_chunks_mut(wide_out)
                .zip(v.w_dec.par_chunks_mut(wide_out)),
        );
        encoder
            .panels_mut()
            .zip(p.b_enc.par_chunks(PANEL))
            .zip(
                p.w_enc
                    .par_chunks_mut(wide_in)
                    .zip(p.w_dec.par_chunks_mut(wide_out)),
            )
            .zip(moments)
            .enumerate()
            .for_each(
                |(
                    panel,
                    (((mut bytes, b_enc), (w_enc, w_dec)), ((m_enc, v_enc), (m_dec, v_dec))),
                )| {
                    let latents = panel * PANEL..panel * PANEL + b_enc.len();
                    let touched = &self.touched[latents.clone()];
                    let (first, end) = (latents.start, latents.end);
                    let g_enc = &g.w_enc[first * shape.d_in..end * shape.d_in];
                    let g_dec = &g.w_dec[first * shape.d_out..end * shape.d_out];
                    if !tied {
                        move_rows(&step, touched, [&mut *w_enc, m_enc, v_enc], g_enc);
                    }
                    if !tied && !rescaling {
                        bytes.quantise(w_enc, b_enc);
                    }
                    move_rows(&step, touched, [&mut *w_dec, m_dec, v_dec], g_dec);
                    if unit {
                        w_dec.chunks_exact_mut(shape.d_out).for_each(normalise_row);
                    }
                    if tied {
                        w_enc.copy_from_slice(w_dec);
                        bytes.quantise(w_enc, b_enc);
                    }
                },
            );
        self.encoder = encoder;
        self.sparse.constrain(params);
        self.look_again(params);
    }

    /// What the parameters stand for now, where that is another model.
    pub(super) fn look_again(&mut self, params: &Params) {
        if let Some(model) = &mut self.model {
            rescale(params, model, &mut self.lengths);
            self.encoder
                .quantise(model.get("w_enc"), model.get("b_enc"));
        }
    }
}

/// Moves rows of which some have no gradient.
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
