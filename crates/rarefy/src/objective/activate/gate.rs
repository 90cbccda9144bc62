//! Gate: one affine map decides if a latent is on, a second one, equal but for scale and offset, how strongly.
//!
//! ```text
//! pi = W_enc (x - b_dec) + b_enc                on where pi > 0
//! f  = max(0, exp(r_mag) (pi - b_enc) + b_mag)  where it is on
//! ```
//!
//! `b_enc` is the paper's `b_gate`. The gate, a step, learns from a second reconstruction and a penalty.
//! Source: Rajamanoharan et al. 2024, arXiv:2404.16014.

use super::Activate;
use crate::codes::Codes;
use crate::objective::batch::{BatchView, Entries, EntryDerivatives, LatentSums};
use crate::objective::{Dual, Maths, SaelensKind, TwinEntry};
use crate::params::Params;

/// Activation with a gate and a magnitude; blocks `r_mag` and `b_mag`, `[d_sae]` each.
#[derive(Debug, Clone, Copy)]
pub struct Gate;

impl Activate for Gate {
    fn per_latent(&self) -> &[(&'static str, f32)] {
        &[("r_mag", 0.0), ("b_mag", 0.0)]
    }

    fn values(&self, params: &Params, latents: &[u32], pre: &[f32], values: &mut [f32]) {
        let (bias, r, b) = (
            params.get("b_enc"),
            params.get("r_mag"),
            params.get("b_mag"),
        );
        for ((value, &pre), &j) in values.iter_mut().zip(pre).zip(latents) {
            let j = j as usize;
            *value = ((pre - bias[j]) * r[j].exp() + b[j]).max(0.0);
        }
    }

    fn backward(
        &self,
        batch: &BatchView,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        sums: &mut LatentSums,
    ) {
        let j = entries.latent;
        let bias = f64::from(batch.params.get("b_enc")[j]);
        let scale = f64::from(batch.params.get("r_mag")[j]).exp();
        let EntryDerivatives {
            d_pre,
            d_value,
            d_gate,
            ..
        } = derivatives;
        for (at, d) in d_pre.iter_mut().enumerate() {
            let pi = f64::from(entries.pre[at]);
            let of = |terms: &[f64]| terms.get(at).copied().unwrap_or(0.0);
            let d_magnitude = if entries.values[at] > 0.0 {
                f64::from(*d) + of(d_value)
            } else {
                0.0
            };
            sums.d_per_latent[0] += d_magnitude * (pi - bias) * scale;
            sums.d_per_latent[1] += d_magnitude;
            sums.beside_bias += d_magnitude * scale;
            let second = entries.d_pre_reconstruction.get(at).copied();
            let d_gate = second.map_or(0.0, f64::from) + of(d_gate);
            *d = (d_gate + d_magnitude * scale) as f32;
        }
    }

    fn finish_trained(&self, params: &Params, codes: &mut Codes) {
        let pre = codes.values.clone();
        self.values(params, &codes.indices, &pre, &mut codes.values);
        codes.keep_above(0.0);
    }

    fn twin(&self, row: &mut [TwinEntry], bias: &[Dual], per_latent: &[Vec<Dual>]) {
        for entry in row {
            let [r_mag, b_mag] = per_latent[entry.latent][..] else {
                panic!("a gate has two per-latent parameters")
            };
            entry.value = ((entry.pre - bias[entry.latent]) * r_mag.exp() + b_mag).relu();
            entry.step = Dual::constant(f64::from(u8::from(entry.value.value > 0.0)));
        }
    }

    fn saelens_kind(&self) -> Option<SaelensKind> {
        Some(SaelensKind::Gated)
    }

    fn maths(&self) -> Option<(Maths, &'static str)> {
        let formula = Maths::new(
            "[pre_ij > 0] max(0, exp(r_j) (pre_ij - b_enc_j) + b_j)",
            r"[p_{ij} > 0] \max\bigl(0, e^{r_j} (p_{ij} - b_{\mathrm{enc},j}) + b_j\bigr)",
        );
        Some((formula, "r_j, b_j: r_mag, b_mag of latent j"))
    }
}
