//! The k pre-activations of each row that are largest by absolute value, with their signs.

use super::{SaelensKind, Select, largest_of_rows};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::objective::StepSchedule;
use crate::params::Params;

/// Selection of the k pre-activations of each row that are largest by absolute value.
#[derive(Debug, Clone, Copy)]
pub struct MagnitudeK {
    /// Latents that a row keeps.
    pub k: usize,
}

impl Select for MagnitudeK {
    fn encode(
        &self,
        schedule: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        encoder.encode_centred(rows, Selection::Magnitude(schedule.k(self.k)), codes);
    }

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Magnitude(self.k), codes);
    }

    fn twin(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let sizes = pre.iter().map(|row| row.iter().map(|v| v.abs()).collect());
        largest_of_rows(&sizes.collect::<Vec<Vec<f64>>>(), self.k)
    }

    fn note(&self, k: &str) -> String {
        format!("kept: the {k} of each row that are largest by absolute value")
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::AbsTopK(self.k)
    }

    fn annealed_k(&self) -> Option<f64> {
        Some(self.k as f64)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn widened(&self, times: usize) -> Option<Box<dyn Select>> {
        Some(Box::new(MagnitudeK { k: self.k * times }))
    }
}
