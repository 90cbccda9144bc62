//! Gated: one part decides if a latent is on, another how strongly, so the penalty does not shrink values.

use super::sparse::{self, AuxOptions, L1Options};
use super::{Example, Info, Kind};
use crate::objective::{AboveZero, Gate, GateL1, Objective, PreReconstruction};
use crate::options::{OptionSet, option_set, words};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "gated",
    summary: "One part decides if a latent is on, another how strongly, so the penalty does not shrink values",
    source: "Rajamanoharan et al. 2024, Improving dictionary learning with gated sparse autoencoders, arXiv:2404.16014",
    own_options: GatedOptions::TABLE,
    example: Example {
        options: &[],
        pre: [0.5, -1.0, 2.0, 0.0],
        latents: [0.5, 0.0, 2.0, 0.0],
    },
    defaults: sparse::PENALISED,
    dial: Some(sparse::L1_DIAL),
    checks: &[
        &[("l1", "0.3"), ("gate_decoder", "fixed")],
        &[("l1", "0.3"), ("gate_decoder", "learns")],
    ],
    resolve: sparse::resolve,
    compose: |options| {
        let options = GatedOptions::read(options);
        let learns = options.gate_decoder == GateDecoder::Learns;
        let teacher = PreReconstruction::of_gate(learns);
        let penalty = GateL1 {
            weight: options.penalty.weight(),
        };
        let objective = Objective::new(AboveZero, Gate)
            .with_pre_reconstruction(teacher)
            .with_term(penalty)
            .with_aux_k(options.aux.aux_k())
            .with_encoder_start(sparse::half_on);
        sparse::composed(objective)
    },
};

/// Role of the decoder in the gate's own reconstruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateDecoder {
    /// Constant, as in the paper.
    Fixed,
    /// Trained by that reconstruction as well, as in `SAELens`.
    Learns,
}

words!(GateDecoder {
    Fixed: "fixed",
    Learns: "learns",
});

option_set! {
    /// Options of `gated`.
    pub struct GatedOptions {
        use penalty: L1Options;
        /// Decoder in the gate's own reconstruction. fixed: a constant (paper). learns: trained by that
        /// reconstruction as well (SAELens)
        gate_decoder: GateDecoder = "fixed", Kind::Choice(GateDecoder::WORDS);
        also aux: AuxOptions;
    }
}
