//! Matching pursuit: one latent after the other, each chosen on the residual of the latents before it.

use super::sparse::{self, AuxOptions};
use super::{Example, Info, Kind, Unit};
use crate::objective::{Identity, Objective, Pursuit};
use crate::options::{Auto, OptionSet, option_set};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "matching-pursuit",
    summary: "Chooses one latent after the other, each for the residual of the latents before it",
    source: "Costa et al. 2025, From flat to hierarchical: extracting sparse representations with matching pursuit, arXiv:2506.03093",
    own_options: MatchingPursuitOptions::TABLE,
    example: Example {
        options: &[("k", "2")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.0, 0.0, 2.0, 1.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[
        &[("k", "1")],
        &[("k", "3")],
        &[("k", "3"), ("residual", "0.7")],
    ],
    resolve: sparse::resolve,
    compose: |options| {
        let options = MatchingPursuitOptions::read(options);
        let pursuit = Pursuit {
            k: sparse::k_or_default(options.k),
            residual: options.residual,
        };
        sparse::composed(Objective::new(pursuit, Identity).with_aux_k(options.aux.aux_k()))
    },
};

option_set! {
    /// Options of `matching-pursuit`.
    pub struct MatchingPursuitOptions {
        /// Largest number of rounds of each row; a row ends early if a round chooses a latent again.
        /// auto: 32, or a quarter of the inputs or of the latents if that is less
        k: Auto<usize> = "auto", Kind::AutoCount(1);
        /// Length of the residual at which a row ends before k rounds; 0: only a residual of 0
        residual: f64 = "0", Kind::AtLeast(0.0), Unit::activation;
        also aux: AuxOptions;
    }
}
