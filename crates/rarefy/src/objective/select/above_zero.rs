//! Every positive pre-activation.

use super::{SaelensKind, Select};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::objective::{Maths, StepSchedule};
use crate::params::Params;

/// Selection of every positive pre-activation.
#[derive(Debug, Clone, Copy)]
pub struct AboveZero;

impl Select for AboveZero {
    fn encode(
        &self,
        _: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        encoder.encode_centred(rows, Selection::Above(0.0), codes);
    }

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Above(0.0), codes);
    }

    fn twin(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let positive = |row: &Vec<f64>| (0..row.len()).filter(|&j| row[j] > 0.0).collect();
        pre.iter().map(positive).collect()
    }

    fn note(&self, _: &str) -> String {
        String::new()
    }

    fn maths(&self) -> Maths {
        Maths::new("max(0, pre_ij)", r"\max(0, p_{ij})")
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::Standard
    }
}
