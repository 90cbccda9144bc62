//! The k largest positive pre-activations of each row.

use super::{SaelensKind, Select, largest_of_rows};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::objective::StepSchedule;
use crate::params::Params;

/// Selection of the k largest positive pre-activations of each row.
#[derive(Debug, Clone, Copy)]
pub struct RowK {
    /// Latents that a row keeps.
    pub k: usize,
}

impl Select for RowK {
    fn encode(
        &self,
        schedule: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        encoder.encode_centred(rows, Selection::Row(schedule.k(self.k)), codes);
    }

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Row(self.k), codes);
    }

    fn twin(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        largest_of_rows(pre, self.k)
    }

    fn note(&self, k: &str) -> String {
        format!("kept: the {k} largest positive of each row")
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::TopK(self.k)
    }

    fn annealed_k(&self) -> Option<f64> {
        Some(self.k as f64)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn widened(&self, times: usize) -> Option<Box<dyn Select>> {
        Some(Box::new(RowK { k: self.k * times }))
    }
}
