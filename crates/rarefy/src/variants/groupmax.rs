//! `GroupMax`: the latents are cut into k groups of neighbours, and of each a row keeps the largest.

use super::sparse;
use super::{Example, Info, OptionInfo};
use crate::Error;
use crate::objective::{Groups, Identity, Objective};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "groupmax",
    summary: "Keeps the largest positive pre-activation of each of k groups of latents",
    source: "EleutherAI sparsify, activation groupmax",
    own_options: OPTIONS,
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
    compose: |hyper| {
        let groups = sparse::k(hyper) as usize;
        sparse::composed(
            Objective::new(Groups { groups }, Identity).with_aux_k(sparse::aux_k(hyper)),
        )
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::ROW_K,
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];
