//! The largest positive pre-activation of each of k groups of neighbouring latents.
//!
//! Source: `EleutherAI` sparsify, activation groupmax.

use super::{SaelensKind, Select, largest_of_rows};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::objective::{Conversions, SPARSIFY, StepSchedule, Theirs};
use crate::params::Params;

/// Selection of the largest positive pre-activation of each of `groups` equal groups of latents.
#[derive(Debug, Clone, Copy)]
pub struct Groups {
    /// Number of groups; divides the number of latents.
    pub groups: usize,
}

/// Number k in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[Theirs::new(SPARSIFY, "k", "k")],
    notes: &[],
};

impl Select for Groups {
    fn encode(
        &self,
        _: StepSchedule,
        params: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        self.encode_trained(params, encoder, rows, codes);
    }

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        let groups = Selection::Groups {
            groups: self.groups,
            k: 1,
        };
        encoder.encode_centred(rows, groups, codes);
    }

    fn twin(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let largest = |group: &[f64]| largest_of_rows(&[group.to_vec()], 1).remove(0);
        let of_row = |row: &Vec<f64>| {
            let groups = row.chunks_exact(row.len() / self.groups).enumerate();
            let first = |at: usize| at * row.len() / self.groups;
            groups
                .flat_map(|(at, group)| largest(group).into_iter().map(move |j| first(at) + j))
                .collect()
        };
        pre.iter().map(of_row).collect()
    }

    fn note(&self, k: &str) -> String {
        format!("kept: the largest of each of {k} groups of neighbouring latents, if positive")
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::Own
    }
}
