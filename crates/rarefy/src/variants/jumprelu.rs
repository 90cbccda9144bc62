//! `JumpReLU`: every pre-activation above a threshold that each latent learns, and a penalty on the number of active
//! latents.

use super::sparse::{self, AuxOptions};
use super::{Dial, DialSettings, Example, Info, Kind, Unit};
use crate::objective::kernel::Kernel;
use crate::objective::{
    AboveThreshold, Jump, L0Quadratic, L0Step, L0Target, Objective, PreActivation, TanhL0,
};
use crate::options::{Auto, OptionSet, option_set, words};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "jumprelu",
    summary: "Keeps every pre-activation above a threshold that each latent learns",
    source: "Rajamanoharan et al. 2024, Jumping ahead: JumpReLU sparse autoencoders, arXiv:2407.14435",
    own_options: JumpReluOptions::TABLE,
    example: Example {
        options: &[("threshold", "0.75")],
        pre: [0.5, -1.0, 2.0, 0.75],
        latents: [0.0, 0.0, 2.0, 0.0],
    },
    defaults: sparse::PENALISED,
    dial: Some(Dial {
        option: "l0",
        settings: DialSettings::Times(&[4.0, 2.0, 1.0, 0.4, 0.15]),
    }),
    checks: &[
        &[("l0", "0.3"), ("penalty", "step"), ("bandwidth", "0.2")],
        &[
            ("l0", "0.3"),
            ("penalty", "tanh"),
            ("bandwidth", "0.2"),
            ("pre_act", "0.1"),
        ],
        &[
            ("l0", "0.3"),
            ("penalty", "quadratic"),
            ("target_l0", "5"),
            ("bandwidth", "0.3"),
            ("ste_to_input", "true"),
        ],
        &[
            ("l0", "0.3"),
            ("penalty", "target"),
            ("target_l0", "5"),
            ("bandwidth", "0.1"),
            ("kernel", "triangular"),
        ],
        &[
            ("l0", "0.3"),
            ("penalty", "tanh"),
            ("bandwidth", "0.2"),
            ("kernel", "gaussian"),
            ("ste_to_input", "true"),
        ],
    ],
    resolve: sparse::resolve,
    compose: |options| {
        let options = JumpReluOptions::read(options);
        let jump = Jump::new(
            sparse::number(options.threshold, "threshold"),
            sparse::number(options.bandwidth, "bandwidth"),
            options.kernel,
            options.ste_to_input,
        );
        let jump = jump.with_rate(options.threshold_rate.value().unwrap_or(1.0));
        let selection = AboveThreshold {
            reach: jump.reach(),
        };
        let weight = sparse::number(options.l0, "l0");
        let (target, scale) = (options.target_l0, options.tanh_scale);
        let objective = Objective::new(selection, jump);
        let objective = match options.penalty {
            L0Penalty::Step => objective.with_term(L0Step { weight }),
            L0Penalty::Tanh => objective.with_term(TanhL0 { weight, scale }),
            L0Penalty::Quadratic => objective.with_term(L0Quadratic { weight, target }),
            L0Penalty::Target => objective.with_term(L0Target { weight, target }),
        };
        let weight = options.pre_act;
        let objective = if weight > 0.0 {
            objective.with_term(PreActivation { weight })
        } else {
            objective
        };
        let objective = objective
            .with_aux_k(options.aux.aux_k())
            .with_encoder_start(sparse::half_on);
        sparse::composed(objective)
    },
};

/// Penalty on the number of active latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum L0Penalty {
    /// Number of active latents (L0).
    Step,
    /// Smooth count of active latents, `tanh` of their values.
    Tanh,
    /// Squared distance of the L0 of each row from the target.
    Quadratic,
    /// Squared distance of the mean L0 from the target.
    Target,
}

words!(L0Penalty {
    Step: "step",
    Tanh: "tanh",
    Quadratic: "quadratic",
    Target: "target",
});

option_set! {
    /// Options of `jumprelu`.
    pub struct JumpReluOptions {
        /// Penalty on the number of active latents (L0). step: L0. tanh: a smooth count.
        /// quadratic: squared distance of the L0 of each row from target_l0.
        /// target: squared distance of the mean L0 from target_l0
        penalty: L0Penalty = "step", Kind::Choice(L0Penalty::WORDS);
        /// Weight of the penalty; larger gives sparser codes. auto: 0.006 times the data's variance; the variance with the
        /// penalties quadratic and target
        l0: Auto<f64> = "auto", Kind::AutoAtLeast(0.0), Unit::weight_of_count;
        /// Number of active latents of a row that the penalties quadratic and target aim at; given alone, it sets the penalty target
        target_l0: f64 = "32", Kind::Open(0.0, f64::INFINITY);
        /// Steepness c of the penalty tanh
        tanh_scale: f64 = "4", Kind::Open(0.0, f64::INFINITY), Unit::per_activation;
        /// Initial threshold of all latents, a pre-activation.
        /// auto: 0.1 times the data's standard deviation along one direction; with the penalties quadratic and target the
        /// pre-activation that about target_l0 latents of a row exceed at first
        threshold: Auto<f64> = "auto", Kind::AutoAtLeast(0.0), Unit::activation;
        /// Learning rate of the thresholds over that of the weights. auto: the data's standard deviation along one direction,
        /// at least 1, so that thresholds cross data of any scale in as many steps
        threshold_rate: Auto<f64> = "auto", Kind::AutoAbove(0.0), Unit::activation;
        /// Width of the window around a threshold within which pre-activations train the threshold.
        /// auto: 0.5 times the data's standard deviation along one direction
        bandwidth: Auto<f64> = "auto", Kind::AutoAbove(0.0), Unit::activation;
        /// Shape of the window around a threshold
        kernel: Kernel = "rectangle", Kind::Choice(Kernel::WORDS);
        /// If true, the pseudo-derivative of the window trains the encoder as well (Anthropic); if false, only the
        /// threshold (paper)
        ste_to_input: bool = "false", Kind::Flag;
        /// Weight of a penalty on dead latents for the distance of their pre-activations to their thresholds; 0: none
        pre_act: f64 = "0", Kind::AtLeast(0.0), Unit::weight_of_length;
        also aux: AuxOptions;
    }
}
