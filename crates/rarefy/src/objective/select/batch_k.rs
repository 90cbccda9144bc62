//! The `floor(n k)` largest positive pre-activations of all n rows of a batch together.
//!
//! A trained model cannot select over a batch, or a row's code would depend on its neighbours. It keeps the
//! pre-activations above one threshold, block `threshold`, `[1]`, found at the end of training.
//!
//! Source: Bussmann et al. 2024, arXiv:2412.06410.

use super::{SaelensKind, Select, Threshold};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::objective::{
    BATCHTOPK, Conversions, DICTIONARY_LEARNING, RESCALED, SAELENS, StepSchedule, Theirs,
};
use crate::params::Params;

/// Selection of the `floor(n k)` largest positive pre-activations of n rows together.
#[derive(Debug, Clone, Copy)]
pub struct BatchK {
    /// Rule for the threshold of the trained model; `threshold.k` is the mean number of latents of a row.
    pub threshold: Threshold,
}

/// Number k in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        Theirs::new(SAELENS, "k", "k").with(RESCALED),
        Theirs::new(DICTIONARY_LEARNING, "k", "k"),
        Theirs::new(BATCHTOPK, "k", "top_k"),
    ],
    notes: &[],
};

impl Select for BatchK {
    fn encode(
        &self,
        schedule: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        let k = schedule.density * self.threshold.k;
        encoder.encode_centred(rows, Selection::Batch(k), codes);
    }

    fn encode_trained(&self, p: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        let above = p.get("threshold")[0];
        encoder.encode_centred(rows, Selection::Above(above), codes);
    }

    fn twin(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let wanted = (pre.len() as f64 * self.threshold.k).floor() as usize;
        let mut all: Vec<(usize, usize)> = Vec::new();
        for (i, row) in pre.iter().enumerate() {
            all.extend((0..row.len()).filter(|&j| row[j] > 0.0).map(|j| (i, j)));
        }
        all.sort_by(|a, b| pre[b.0][b.1].total_cmp(&pre[a.0][a.1]));
        all.truncate(wanted);
        all.sort_unstable();
        let mut kept = vec![Vec::new(); pre.len()];
        all.into_iter().for_each(|(i, j)| kept[i].push(j));
        kept
    }

    fn note(&self, k: &str) -> String {
        format!(
            "kept: the floor({k} m) largest positive of the m rows of a batch together; once trained, all above a threshold"
        )
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::JumpRelu
    }

    fn threshold(&self) -> Option<Threshold> {
        Some(self.threshold)
    }

    fn annealed_k(&self) -> Option<f64> {
        Some(self.threshold.k)
    }
}
