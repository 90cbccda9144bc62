//! `JumpReLU`: what lies above a threshold that each latent learns for itself.
//!
//! ```text
//! f = pre where pre > theta, else 0
//! step      penalty = l0/m sum_i L0_i                                   L0_i: latents of row i that are on
//! tanh      penalty = l0/m sum_ij tanh(c f_ij |w_dec_j|)
//! quadratic penalty = l0/m sum_i 2/t (L0_i - t)^2                       t: the target
//! target    penalty = l0 (mean L0 / t - 1)^2
//! and       pre_act/m sum over dead j, i: max(0, theta_j - pre_ij) |w_dec_j|
//! ```
//!
//! A step has no derivative by its threshold. In its place stands a window of width `bandwidth` around it:
//! with `K` a kernel of area 1, `k = K((pre - theta) / bandwidth) / bandwidth` and g what comes from above,
//!
//! ```text
//! d f / d theta = -theta k g          d [pre > theta] / d theta = -k g
//! ```
//!
//! and by the pre-activation only `[pre > theta] g`, or, with `ste_to_input`, what the threshold gets with
//! the other sign as well. The threshold itself is learned, not its logarithm, and kept from falling below 0:
//! Adam moves every number by about the learning rate, which hardly changes a logarithm.

mod kernel;

use std::sync::Arc;

use super::sparse::{
    self, Aux, Entries, RowTerms, SaelensKind, Sparse, SparseBatch, StepSchedule, Terms, Twin,
    TwinBatch,
};
use super::{Architecture, Dial, DialSettings, Dual, Example, Hyper, Info, Kind, OptionInfo};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;
use kernel::Kernel;

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "jumprelu",
    summary: "Keeps what lies above a threshold that each latent learns",
    source: "Rajamanoharan et al. 2024, Jumping ahead: JumpReLU sparse autoencoders, arXiv:2407.14435",
    options: OPTIONS,
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
    build: |hyper| Ok(Architecture::Sparse(Arc::new(JumpRelu::new(hyper)))),
};

const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "penalty",
        help: "What is paid for: latents that are on (step), softly counted (tanh), each row's distance from a \
               target (quadratic), the mean's distance from it (target)",
        kind: Kind::Choice(&["step", "tanh", "quadratic", "target"]),
        default: "step",
    },
    OptionInfo {
        name: "l0",
        help: "Weight of the penalty; auto takes a share of the data's variance",
        kind: Kind::AutoAtLeast(0.0),
        default: "auto",
    },
    OptionInfo {
        name: "target_l0",
        help: "Latents of a row that the penalties quadratic and target aim at",
        kind: Kind::Open(0.0, f64::INFINITY),
        default: "32",
    },
    OptionInfo {
        name: "tanh_scale",
        help: "Steepness c of the penalty tanh",
        kind: Kind::Open(0.0, f64::INFINITY),
        default: "4",
    },
    OptionInfo {
        name: "threshold",
        help: "What all thresholds start from; auto takes a share of the data's standard deviation",
        kind: Kind::AutoAtLeast(0.0),
        default: "auto",
    },
    OptionInfo {
        name: "bandwidth",
        help: "Width of the window around a threshold that its derivative is taken over; auto takes a share of the data's standard deviation",
        kind: Kind::AutoAtLeast(0.0),
        default: "auto",
    },
    OptionInfo {
        name: "kernel",
        help: "Form of that window",
        kind: Kind::Choice(kernel::NAMES),
        default: "rectangle",
    },
    OptionInfo {
        name: "ste_to_input",
        help: "Whether the window's derivative reaches the encoder as well (Anthropic) or the threshold alone (the paper)",
        kind: Kind::Flag,
        default: "false",
    },
    OptionInfo {
        name: "pre_act",
        help: "Weight of what dead latents pay for being below their thresholds; 0 for none",
        kind: Kind::AtLeast(0.0),
        default: "0",
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];

/// What the penalty counts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Penalty {
    Step,
    Tanh(f64),
    Quadratic(f64),
    Target(f64),
}

/// Its objective.
#[derive(Debug, Clone)]
struct JumpRelu {
    aux: Aux,
    penalty: Penalty,
    l0: f64,
    bandwidth: f64,
    kernel: Kernel,
    to_input: bool,
    pre_act: f64,
    own: [(&'static str, f32); 1],
}

impl JumpRelu {
    fn new(hyper: &Hyper) -> Self {
        let target = hyper.number("target_l0");
        Self {
            aux: sparse::aux(hyper),
            penalty: match hyper.text("penalty") {
                "tanh" => Penalty::Tanh(hyper.number("tanh_scale")),
                "quadratic" => Penalty::Quadratic(target),
                "target" => Penalty::Target(target),
                _ => Penalty::Step,
            },
            l0: sparse::coefficient(hyper, "l0"),
            bandwidth: sparse::coefficient(hyper, "bandwidth"),
            kernel: Kernel::named(hyper.text("kernel")),
            to_input: hyper.flag("ste_to_input"),
            pre_act: hyper.number("pre_act"),
            own: [("threshold", sparse::coefficient(hyper, "threshold") as f32)],
        }
    }

    /// Whether latents count by being on or by how much.
    fn counts(&self) -> bool {
        !matches!(self.penalty, Penalty::Tanh(_))
    }

    /// The penalty and its derivative by every row's L0, for rows that have so many latents.
    fn by_l0(&self, l0: &[f64], weight: f64) -> (f64, Vec<f64>) {
        let n = l0.len() as f64;
        let share = weight * self.l0 / n;
        match self.penalty {
            Penalty::Tanh(_) => (0.0, vec![share; l0.len()]),
            Penalty::Step => (share * l0.iter().sum::<f64>(), vec![share; l0.len()]),
            Penalty::Quadratic(t) => (
                l0.iter().map(|l0| share * 2.0 / t * (l0 - t).powi(2)).sum(),
                l0.iter().map(|l0| share * 4.0 / t * (l0 - t)).collect(),
            ),
            Penalty::Target(t) => {
                let off = l0.iter().sum::<f64>() / n / t - 1.0;
                (
                    weight * self.l0 * off * off,
                    vec![share * 2.0 * off / t; l0.len()],
                )
            }
        }
    }

    /// What dead latents pay for being below their thresholds. All rows count, and an entry above its
    /// threshold does not, so sums over the batch and over entries are enough.
    fn lift(&self, batch: &SparseBatch, entries: &Entries, by: &mut [f32], terms: &mut Terms) {
        let (j, n) = (entries.latent, batch.n as f64);
        let d_in = entries.row_sum.len();
        let theta = f64::from(batch.params.get("threshold")[j]);
        let bias = f64::from(batch.params.get("b_enc")[j]);
        let w_enc = &batch.params.get("w_enc")[j * d_in..(j + 1) * d_in];
        let pairs = w_enc.iter().zip(entries.row_sum);
        let along: f64 = pairs.map(|(w, x)| f64::from(*w) * x).sum();
        let share = self.pre_act / n;
        let slope = share * f64::from(batch.norms[j]);
        let (mut below, mut missing) = (n, n * (theta - bias) - along);
        for (by, &pre) in by.iter_mut().zip(entries.pre) {
            let pre = f64::from(pre);
            if pre > theta {
                *by += slope as f32;
                below -= 1.0;
                missing -= theta - pre;
            }
        }
        terms.penalty += slope * missing;
        terms.by_norm += share * missing;
        terms.by_own[0] += slope * below;
        terms.by_every_row -= slope;
    }
}

impl Sparse for JumpRelu {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::JumpRelu
    }

    fn own(&self) -> &[(&'static str, f32)] {
        &self.own
    }

    fn encoder_start(&self, d_in: usize, d_sae: usize) -> f32 {
        sparse::half_on(d_in, d_sae)
    }

    /// Everything that the window reaches.
    fn encode(
        &self,
        _: StepSchedule,
        p: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        let reach = (self.kernel.reach() * self.bandwidth) as f32;
        let bounds: Vec<f32> = p
            .get("threshold")
            .iter()
            .map(|theta| theta - reach)
            .collect();
        encoder.encode_centred(rows, Selection::Each(&bounds), codes);
    }

    fn encode_trained(&self, p: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Each(p.get("threshold")), codes);
    }

    fn activate(&self, params: &Params, latents: &[u32], pre: &[f32], values: &mut [f32]) {
        let theta = params.get("threshold");
        for ((value, &pre), &j) in values.iter_mut().zip(pre).zip(latents) {
            *value = if pre > theta[j as usize] { pre } else { 0.0 };
        }
    }

    fn wants_norms(&self) -> bool {
        !self.counts() || self.pre_act > 0.0
    }

    fn rows(&self, batch: &SparseBatch) -> RowTerms {
        let l0: Vec<f64> = batch
            .codes
            .offsets
            .windows(2)
            .map(|ends| {
                let values = &batch.codes.values[ends[0]..ends[1]];
                values.iter().filter(|value| **value != 0.0).count() as f64
            })
            .collect();
        let (penalty, weights) = self.by_l0(&l0, batch.now.sparsity);
        RowTerms {
            penalty,
            weights: weights.into_iter().map(|w| w as f32).collect(),
            ..RowTerms::default()
        }
    }

    fn backward(&self, batch: &SparseBatch, entries: &Entries, by: &mut [f32]) -> Terms {
        let theta = f64::from(batch.params.get("threshold")[entries.latent]);
        let mut terms = Terms::default();
        for (at, by) in by.iter_mut().enumerate() {
            let (pre, f) = (f64::from(entries.pre[at]), f64::from(entries.values[at]));
            let weight = f64::from(batch.terms.weights[entries.rows[at] as usize]);
            let window = self.kernel.at((pre - theta) / self.bandwidth) / self.bandwidth;
            let mut by_f = f64::from(*by);
            if let Penalty::Tanh(c) = self.penalty {
                let norm = f64::from(batch.norms[entries.latent]);
                let soft = (c * f * norm).tanh();
                let slope = weight * c * (1.0 - soft * soft);
                terms.penalty += weight * soft;
                by_f += slope * norm;
                terms.by_norm += slope * f;
            }
            let by_step = if self.counts() { weight } else { 0.0 };
            let pseudo = window * (theta * by_f + by_step);
            terms.by_own[0] -= pseudo;
            let straight = if f == 0.0 { 0.0 } else { by_f };
            *by = (straight + if self.to_input { pseudo } else { 0.0 }) as f32;
        }
        if entries.dead && self.pre_act > 0.0 {
            self.lift(batch, entries, by, &mut terms);
        }
        terms
    }

    fn constrain(&self, params: &mut Params) {
        let theta = params.get_mut("threshold").iter_mut();
        theta.for_each(|theta| *theta = theta.max(0.0));
    }
}

impl Twin for JumpRelu {
    fn keep(&self, pre: &[Vec<f64>], own: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let reach = self.kernel.reach() * self.bandwidth;
        let within = |row: &Vec<f64>| {
            let near = |j: &usize| row[*j] > own[*j][0] - reach;
            (0..row.len()).filter(near).collect()
        };
        pre.iter().map(within).collect()
    }

    /// With the published pseudo-derivatives.
    fn value(&self, pre: Dual, _: Dual, own: &[Dual]) -> Dual {
        let theta = own[0];
        let window = self.kernel.at((pre.value - theta.value) / self.bandwidth) / self.bandwidth;
        let on = pre.value > theta.value;
        let by_input = f64::from(u8::from(on))
            + if self.to_input {
                theta.value * window
            } else {
                0.0
            };
        Dual {
            value: if on { pre.value } else { 0.0 },
            slope: by_input * pre.slope - theta.value * window * theta.slope,
        }
    }

    fn penalty(&self, batch: &TwinBatch) -> Dual {
        let n = batch.rows.len() as f64;
        let step = |pre: Dual, theta: Dual| {
            let window =
                self.kernel.at((pre.value - theta.value) / self.bandwidth) / self.bandwidth;
            let by_input = if self.to_input {
                window * pre.slope
            } else {
                0.0
            };
            Dual {
                value: f64::from(u8::from(pre.value > theta.value)),
                slope: by_input - window * theta.slope,
            }
        };
        let l0: Vec<Dual> = batch
            .rows
            .iter()
            .map(|row| {
                row.iter()
                    .map(|e| step(e.pre, batch.own[e.latent][0]))
                    .sum()
            })
            .collect();
        let paid: Dual = match self.penalty {
            Penalty::Step => l0.iter().copied().sum::<Dual>() * (1.0 / n),
            Penalty::Tanh(c) => {
                let entries = batch.rows.iter().flatten();
                let soft = entries.map(|e| (e.value * batch.norms[e.latent] * c).tanh());
                soft.sum::<Dual>() * (1.0 / n)
            }
            Penalty::Quadratic(t) => {
                let off = l0.iter().map(|l0| (*l0 - Dual::from(t)).square());
                off.sum::<Dual>() * (2.0 / t / n)
            }
            Penalty::Target(t) => {
                (l0.iter().copied().sum::<Dual>() * (1.0 / n / t) - Dual::from(1.0)).square()
            }
        };
        let mut lifted = Dual::default();
        for row in &batch.pre {
            for j in (0..row.len()).filter(|&j| batch.dead[j]) {
                lifted += (batch.own[j][0] - row[j]).relu() * batch.norms[j];
            }
        }
        paid * self.l0 + lifted * (self.pre_act / n)
    }

    fn pseudo(&self) -> &[&'static str] {
        if self.to_input {
            &["w_enc", "b_enc", "b_dec", "threshold"]
        } else {
            &["threshold"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Layout;

    /// The case that the field's own test of the pre-activation loss pins.
    #[test]
    fn dead_latents_pay_for_being_below_their_thresholds() {
        let given = [
            ("pre_act", "1"),
            ("threshold", "1"),
            ("bandwidth", "0.1"),
            ("l0", "0"),
        ];
        let hyper = Hyper::check(OPTIONS, given.map(|(k, v)| (k, v.to_owned()))).unwrap();
        let jumprelu = JumpRelu::new(&hyper);
        let (theta, norms) = ([1.0, 2.0, 1.5, 0.5], [2.0, 1.0, 1.5, 3.0]);
        let pre = [[0.5, 1.5, 1.0, 0.8], [0.8, 2.5, 1.2, 0.2]];
        // Two rows that are unit vectors: w_enc holds the pre-activations.
        let mut params = Params::zeros(&Layout::new(&[
            ("w_enc", 4, 2),
            ("b_enc", 1, 4),
            ("threshold", 1, 4),
        ]));
        let rows = params.get_mut("w_enc").chunks_exact_mut(2);
        for (w, (first, second)) in rows.zip(pre[0].iter().zip(&pre[1])) {
            w.copy_from_slice(&[*first, *second]);
        }
        params.get_mut("threshold").copy_from_slice(&theta);
        let codes = Codes::new(4);
        let batch = SparseBatch {
            now: StepSchedule::default(),
            n: 2,
            codes: &codes,
            pre: &[],
            params: &params,
            norms: &norms,
            terms: RowTerms::default(),
        };
        let mut terms = Terms::default();
        for latent in [0, 2] {
            let entries = Entries {
                latent,
                rows: &[],
                pre: &[],
                values: &[],
                by_second: &[],
                dead: true,
                row_sum: &[1.0, 1.0],
            };
            jumprelu.lift(&batch, &entries, &mut [], &mut terms);
        }
        assert!((terms.penalty - 1.3).abs() < 1e-6, "{}", terms.penalty);
    }
}
