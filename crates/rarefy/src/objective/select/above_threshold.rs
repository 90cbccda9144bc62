//! Pre-activations above a threshold that each latent learns.
//!
//! While training, entries down to `reach` below the threshold are found as well: the pseudo-derivative of the
//! step looks at a window around the threshold.

use super::{SaelensKind, Select};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::objective::StepSchedule;
use crate::params::Params;

/// Selection of the pre-activations above each latent's own threshold, block `threshold`, `[d_sae]`.
#[derive(Debug, Clone, Copy)]
pub struct AboveThreshold {
    /// Distance below the threshold down to which entries are found while training, in units of `pre`.
    pub reach: f64,
}

impl Select for AboveThreshold {
    fn encode(
        &self,
        _: StepSchedule,
        p: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        let reach = self.reach as f32;
        let thresholds = p.get("threshold").iter();
        let bounds: Vec<f32> = thresholds.map(|theta| theta - reach).collect();
        encoder.encode_centred(rows, Selection::Each(&bounds), codes);
    }

    fn encode_trained(&self, p: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Each(p.get("threshold")), codes);
    }

    fn twin(&self, pre: &[Vec<f64>], per_latent: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let within = |row: &Vec<f64>| {
            let near = |j: &usize| row[*j] > per_latent[*j][0] - self.reach;
            (0..row.len()).filter(near).collect()
        };
        pre.iter().map(within).collect()
    }

    fn note(&self, _: &str) -> String {
        "each latent learns its theta_j".into()
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::JumpRelu
    }
}
