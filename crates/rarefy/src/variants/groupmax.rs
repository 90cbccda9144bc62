//! `GroupMax`: the latents are cut into k groups of neighbours, and each row keeps the largest of each group.

use super::sparse::{self, AuxOptions, RowKOptions};
use super::{Example, Info};
use crate::Error;
use crate::objective::{Groups, Identity, Objective};
use crate::options::{OptionSet, option_set};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "groupmax",
    summary: "Keeps the largest positive pre-activation of each of k groups of latents",
    source: "EleutherAI sparsify, activation groupmax",
    own_options: GroupMaxOptions::TABLE,
    example: Example {
        options: &[("k", "2")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.5, 0.0, 2.0, 0.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[&[("k", "1")], &[("k", "4")], &[("k", "12")]],
    resolve: |options, context| {
        let chosen = options.is_auto("k");
        let resolved = sparse::resolve(options, context)?;
        let (k, latents) = (RowKOptions::read(options).k(), context.d_sae);
        if chosen {
            let divides = (1..=k).rev().find(|k| latents.is_multiple_of(*k));
            options.set("k", divides.unwrap_or(1));
        } else if !latents.is_multiple_of(k) {
            let expected = format!("a number that divides the {latents} latents");
            return Err(Error::hyper("k", &expected, k));
        }
        Ok(resolved)
    },
    compose: |options| {
        let options = GroupMaxOptions::read(options);
        let groups = options.rows.k();
        sparse::composed(
            Objective::new(Groups { groups }, Identity).with_aux_k(options.aux.aux_k()),
        )
    },
};

option_set! {
    /// Options of `groupmax`.
    pub struct GroupMaxOptions {
        use rows: RowKOptions;
        also aux: AuxOptions;
    }
}
