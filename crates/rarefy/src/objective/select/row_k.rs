//! The k largest pre-activations of each row: of the positive ones, or by absolute value with their signs.

use super::{SaelensKind, Select, largest_of_rows};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::objective::{
    BATCHTOPK, Conversions, DICTIONARY_LEARNING, OPENAI, RESCALED, SAELENS, SPARSIFY, StepSchedule,
    Theirs,
};
use crate::params::Params;

/// Selection of the k largest pre-activations of each row.
#[derive(Debug, Clone, Copy)]
pub struct RowK {
    /// Latents that a row keeps.
    pub k: usize,
    /// Order of a row's pre-activations.
    pub order: RowOrder,
}

/// Order of a row's pre-activations, largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// Positive pre-activations by their value.
    Positive,
    /// All pre-activations by their absolute value.
    Magnitude,
}

impl RowK {
    fn selection(&self, k: usize) -> Selection<'static> {
        match self.order {
            RowOrder::Positive => Selection::Row(k),
            RowOrder::Magnitude => Selection::Magnitude(k),
        }
    }
}

/// Number k of positive pre-activations in other libraries.
const POSITIVE: Conversions = Conversions {
    coefficients: &[
        IN_SAELENS,
        Theirs::new(DICTIONARY_LEARNING, "k", "k"),
        Theirs::new(SPARSIFY, "k", "k"),
        Theirs::new(OPENAI, "k", "k"),
        Theirs::new(BATCHTOPK, "k", "top_k"),
    ],
    notes: &[],
};

/// Number k of absolute pre-activations in other libraries.
const MAGNITUDE: Conversions = Conversions {
    coefficients: &[IN_SAELENS],
    notes: &[],
};

const IN_SAELENS: Theirs = Theirs::new(SAELENS, "k", "k").with(RESCALED);

impl Select for RowK {
    fn encode(
        &self,
        schedule: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        encoder.encode_centred(rows, self.selection(schedule.k(self.k)), codes);
    }

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, self.selection(self.k), codes);
    }

    fn twin(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        match self.order {
            RowOrder::Positive => largest_of_rows(pre, self.k),
            RowOrder::Magnitude => {
                let sizes = pre.iter().map(|row| row.iter().map(|v| v.abs()).collect());
                largest_of_rows(&sizes.collect::<Vec<Vec<f64>>>(), self.k)
            }
        }
    }

    fn note(&self, k: &str) -> String {
        match self.order {
            RowOrder::Positive => format!("kept: the {k} largest positive of each row"),
            RowOrder::Magnitude => {
                format!("kept: the {k} of each row that are largest by absolute value")
            }
        }
    }

    fn conversions(&self) -> &'static Conversions {
        match self.order {
            RowOrder::Positive => &POSITIVE,
            RowOrder::Magnitude => &MAGNITUDE,
        }
    }

    fn saelens_kind(&self) -> SaelensKind {
        match self.order {
            RowOrder::Positive => SaelensKind::TopK(self.k),
            RowOrder::Magnitude => SaelensKind::AbsTopK(self.k),
        }
    }

    fn annealed_k(&self) -> Option<f64> {
        Some(self.k as f64)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn widened(&self, times: usize) -> Option<Box<dyn Select>> {
        let k = self.k.saturating_mul(times);
        Some(Box::new(Self { k, ..*self }))
    }
}
