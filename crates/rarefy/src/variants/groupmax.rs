//! `GroupMax`: the latents are cut into k groups of neighbours, and of each a row keeps the largest.

use std::sync::Arc;

use super::sparse::{self, Aux, SaelensKind, Sparse, StepSchedule, Twin};
use super::{Architecture, Example, Info, OptionInfo};
use crate::Error;
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "groupmax",
    summary: "Keeps the largest positive pre-activation of each of k groups of latents",
    source: "EleutherAI sparsify, activation groupmax",
    options: OPTIONS,
    example: Example {
        options: &[("k", "2")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.5, 0.0, 2.0, 0.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[&[("k", "1")], &[("k", "4")], &[("k", "12")]],
    resolve: |hyper, setting| {
        let chosen = hyper.text("k") == "auto";
        let resolved = sparse::resolve(hyper, setting)?;
        let (k, latents) = (sparse::k(hyper) as usize, setting.d_sae);
        if chosen {
            let divides = (1..=k).rev().find(|k| latents.is_multiple_of(*k));
            hyper.set("k", divides.unwrap_or(1));
        } else if !latents.is_multiple_of(k) {
            let expected = format!("a number that divides the {latents} latents");
            return Err(Error::hyper("k", &expected, k));
        }
        Ok(resolved)
    },
    build: |hyper| {
        Ok(Architecture::Sparse(Arc::new(GroupMax {
            k: sparse::k(hyper) as usize,
            aux: sparse::aux(hyper),
        })))
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::ROW_K,
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];

/// Its objective.
#[derive(Debug, Clone)]
struct GroupMax {
    k: usize,
    aux: Aux,
}

impl Sparse for GroupMax {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::Own
    }

    fn encode(
        &self,
        _: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        let groups = Selection::Groups {
            groups: self.k,
            k: 1,
        };
        encoder.encode_centred(rows, groups, codes);
    }

    fn encode_trained(&self, p: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        self.encode(StepSchedule::default(), p, encoder, rows, codes);
    }
}

impl Twin for GroupMax {
    fn keep(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let largest = |group: &[f64]| sparse::largest_of_rows(&[group.to_vec()], 1).remove(0);
        let of_row = |row: &Vec<f64>| {
            let groups = row.chunks_exact(row.len() / self.k).enumerate();
            let first = |at: usize| at * row.len() / self.k;
            groups
                .flat_map(|(at, group)| largest(group).into_iter().map(move |j| first(at) + j))
                .collect()
        };
        pre.iter().map(of_row).collect()
    }
}
