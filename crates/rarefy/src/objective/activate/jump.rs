//! Jump: the pre-activation where it lies above the latent's threshold, else 0.
//!
//! ```text
//! f = pre where pre > theta, else 0
//! ```
//!
//! A step has no derivative by its threshold. In its place stands a window of width `bandwidth` around it: with
//! `K` a kernel of area 1, `k = K((pre - theta) / bandwidth) / bandwidth` and g the derivative by the value,
//!
//! ```text
//! d f / d theta = -theta k g          d [pre > theta] / d theta = -k g
//! ```
//!
//! and by the pre-activation only `[pre > theta] g`, or, with `to_input`, also what the threshold gets, with the
//! other sign. The threshold itself is learned, not its logarithm, and kept from falling below 0: Adam moves every
//! number by about the learning rate, which hardly changes a logarithm.
//!
//! Source: Rajamanoharan et al. 2024, arXiv:2407.14435; Anthropic, January 2025 (`to_input`).

use super::Activate;
use super::kernel::Kernel;
use crate::objective::batch::{BatchView, Entries, EntryDerivatives, LatentSums};
use crate::objective::formula::{Maths, Number, short};
use crate::objective::{
    BATCHTOPK, ConversionNote, Conversions, DEEPMIND, DICTIONARY_LEARNING, Dual, JANUARY, SAELENS,
    Theirs, TwinEntry,
};
use crate::params::Params;

/// Activation with a jump at each latent's threshold, block `threshold`, `[d_sae]`.
#[derive(Debug, Clone)]
pub struct Jump {
    /// Width of the window around a threshold, in units of `pre`.
    pub bandwidth: Number,
    /// Form of the window.
    pub kernel: Kernel,
    /// True if the window's derivative reaches the encoder as well as the threshold.
    pub to_input: bool,
    /// Start value of all thresholds.
    pub start: Number,
    /// Learning rate of the thresholds over that of the weights.
    pub rate: f64,
    per_latent: [(&'static str, f32); 1],
}

impl Jump {
    /// Jump whose thresholds start at `start`.
    pub fn new(start: Number, bandwidth: Number, kernel: Kernel, to_input: bool) -> Self {
        Self {
            bandwidth,
            kernel,
            to_input,
            start,
            rate: 1.0,
            per_latent: [("threshold", start.value() as f32)],
        }
    }

    /// The jump with another learning rate of its thresholds.
    #[must_use]
    pub fn with_rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// Distance from a threshold beyond which the window is 0.
    pub fn reach(&self) -> f64 {
        self.kernel.reach() * self.bandwidth.value()
    }

    /// Height of the window at a pre-activation.
    fn window_at(&self, pre: f64, theta: f64) -> f64 {
        let bandwidth = self.bandwidth.value();
        self.kernel.at((pre - theta) / bandwidth) / bandwidth
    }
}

/// Thresholds and windows in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        Theirs::new(SAELENS, "threshold", "jumprelu_init_threshold"),
        Theirs::new(SAELENS, "bandwidth", "jumprelu_bandwidth"),
        Theirs::new(DICTIONARY_LEARNING, "bandwidth", "bandwidth"),
        Theirs::new(BATCHTOPK, "bandwidth", "bandwidth"),
        Theirs::new(DEEPMIND, "bandwidth", "epsilon").published(1e-3),
        Theirs::new(DEEPMIND, "threshold", "theta").published(1e-3),
        Theirs::new(JANUARY, "bandwidth", "epsilon").published(2.0),
        Theirs::new(JANUARY, "threshold", "theta").published(0.1),
    ],
    notes: &[
        ConversionNote {
            conventions: BATCHTOPK,
            text: "the gradient for log theta lacks a factor theta",
        },
        ConversionNote {
            conventions: DEEPMIND,
            text: "log theta is learned",
        },
    ],
};

impl Activate for Jump {
    fn per_latent(&self) -> &[(&'static str, f32)] {
        &self.per_latent
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn values(&self, params: &Params, latents: &[u32], pre: &[f32], values: &mut [f32]) {
        let theta = params.get("threshold");
        for ((value, &pre), &j) in values.iter_mut().zip(pre).zip(latents) {
            *value = if pre > theta[j as usize] { pre } else { 0.0 };
        }
    }

    fn backward(
        &self,
        batch: &BatchView,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        sums: &mut LatentSums,
    ) {
        let theta = f64::from(batch.params.get("threshold")[entries.latent]);
        let EntryDerivatives {
            d_pre,
            d_value,
            d_step,
            ..
        } = derivatives;
        for (at, d) in d_pre.iter_mut().enumerate() {
            let (pre, f) = (f64::from(entries.pre[at]), f64::from(entries.values[at]));
            let of = |terms: &[f64]| terms.get(at).copied().unwrap_or(0.0);
            let d_f = f64::from(*d) + of(d_value);
            let pseudo = self.window_at(pre, theta) * (theta * d_f + of(d_step));
            sums.d_per_latent[0] -= pseudo;
            let straight = if f == 0.0 { 0.0 } else { d_f };
            *d = (straight + if self.to_input { pseudo } else { 0.0 }) as f32;
        }
    }

    fn constrain(&self, params: &mut Params) {
        let theta = params.get_mut("threshold").iter_mut();
        theta.for_each(|theta| *theta = theta.max(0.0));
    }

    /// Values and steps with the published pseudo-derivatives.
    fn twin(&self, row: &mut [TwinEntry], _: &[Dual], per_latent: &[Vec<Dual>]) {
        for entry in row {
            let (pre, theta) = (entry.pre, per_latent[entry.latent][0]);
            let window = self.window_at(pre.value, theta.value);
            let on = pre.value > theta.value;
            let to_input = if self.to_input { window } else { 0.0 };
            let d_pre = f64::from(u8::from(on)) + theta.value * to_input;
            entry.value = Dual {
                value: if on { pre.value } else { 0.0 },
                slope: d_pre * pre.slope - theta.value * window * theta.slope,
            };
            entry.step = Dual {
                value: f64::from(u8::from(on)),
                slope: to_input * pre.slope - window * theta.slope,
            };
        }
    }

    fn pseudo_blocks(&self) -> &[&'static str] {
        if self.to_input {
            &["w_enc", "b_enc", "b_dec", "threshold"]
        } else {
            &["threshold"]
        }
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn has_step_derivative(&self) -> bool {
        true
    }

    fn maths(&self) -> Option<(Maths, &'static str)> {
        let formula = Maths::new("pre_ij [pre_ij > theta_j]", r"p_{ij}\,[p_{ij} > \theta_j]");
        Some((formula, ""))
    }

    /// Pseudo-derivatives of the threshold.
    fn further_lines(&self) -> Vec<(Maths, Maths, String)> {
        let width: Maths = self.bandwidth.into();
        let right = Maths::new(
            format!("K((pre_ij - theta_j) / {0}) / {0}", width.text),
            format!(
                r"\frac{{1}}{{{0}}} K\!\left(\frac{{p_{{ij}} - \theta_j}}{{{0}}}\right)",
                width.latex
            ),
        );
        let start = self.start.known().map_or("threshold".into(), short);
        let kernel = self.kernel.word();
        let also = if self.to_input {
            "; +k_ij is added to its derivative by pre_ij"
        } else {
            ""
        };
        vec![
            (
                Maths::new("k_ij", "k_{ij}"),
                right,
                format!("bandwidth; K: {kernel}, of area 1; theta_j starts at {start}"),
            ),
            (
                Maths::new("df/dtheta", r"\partial f_{ij} / \partial \theta_j"),
                Maths::new("-theta_j k_ij", r"-\theta_j k_{ij}"),
                format!("in place of a derivative; of [pre_ij > theta_j]: -k_ij{also}"),
            ),
        ]
    }
}
