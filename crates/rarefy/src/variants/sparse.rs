//! What the architectures of the sparse engine share: parameters, their start, options.
//!
//! ```text
//! pre = W_enc (x - b_dec) + b_enc      f = the selected pre-activations, else 0
//! x_hat = W_dec^T f + b_dec
//! J = 1/m sum_i |x_i - x_hat_i|^2 + coefficient AuxK
//! AuxK = sum_i |r_i - W_dec^T a_i|^2 / sum_i |r_i - mean r|^2        r = x - x_hat, a constant
//! ```
//!
//! `a_i` are the `aux_k` largest positive pre-activations of row i among dead latents: those that
//! no row has selected for `dead_after` rows. Without them `AuxK` is 0.

use rand::RngExt;

use super::median::geometric_median;
use super::{Batching, Defaults, Hyper, Kind, OptionInfo, Resolved, Setting};
use crate::data::Source;
use crate::engine::{Aux, Objective, Selection};
use crate::params::{Layout, Params};
use crate::{Error, Result, Rng};

/// An architecture that keeps a few latents of each row.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparse {
    /// What training lowers.
    pub objective: Objective,
    /// How the one threshold of a trained model is found, if it has one.
    pub threshold: Option<Threshold>,
}

/// How the threshold of a trained model is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What a step keeps of the moving average of the smallest kept value.
    pub decay: f64,
    /// Whether the model takes the calibrated threshold rather than the moving average.
    pub calibrated: bool,
    /// Latents that a row should have on average.
    pub k: f64,
}

impl Sparse {
    /// Which pre-activations a trained model keeps.
    pub fn inference(&self, params: &Params) -> Selection<'_> {
        match self.threshold {
            Some(_) => Selection::Above(params.get("threshold")[0]),
            None => self.objective.selection,
        }
    }

    pub(super) fn layout(&self, d_in: usize, d_sae: usize) -> Layout {
        let mut blocks = vec![
            ("w_enc", d_sae, d_in),
            ("b_enc", 1, d_sae),
            ("w_dec", d_sae, d_in),
            ("b_dec", 1, d_in),
        ];
        if self.threshold.is_some() {
            blocks.push(("threshold", 1, 1));
        }
        Layout::new(&blocks)
    }
}

/// Decoder rows of length 1 in random directions, the encoder a copy of them, no encoder bias,
/// and the decoder bias at the geometric median of the rows (Gao et al. 2024, appendix A).
pub(super) fn init(layout: &Layout, rows: &dyn Source, rng: &mut Rng) -> Result<Params> {
    let mut params = Params::zeros(layout);
    let median = geometric_median(&sample(rows)?, rows.d_in());
    let b_dec = params.get_mut("b_dec").iter_mut();
    b_dec.zip(median).for_each(|(b, m)| *b = m as f32);
    for row in params.get_mut("w_dec").chunks_exact_mut(rows.d_in()) {
        row.iter_mut()
            .for_each(|w| *w = (2.0 * rng.random::<f64>() - 1.0) as f32);
        let norm = rarefy_kernels::vector::dot(row, row).sqrt() as f32;
        row.iter_mut().for_each(|w| *w /= norm);
    }
    let w_dec = params.get("w_dec").to_vec();
    params.get_mut("w_enc").copy_from_slice(&w_dec);
    Ok(params)
}

/// Rows that the decoder bias starts from: all, or so many evenly over the data.
const MEDIAN_ROWS: usize = 1 << 15;

fn sample(rows: &dyn Source) -> Result<Vec<f32>> {
    let (all, d_in) = (rows.rows(), rows.d_in());
    let count = all.min(MEDIAN_ROWS);
    let mut values = vec![0.0; count * d_in];
    if count == all {
        rows.read(0, &mut values)?;
    } else {
        let chosen: Vec<usize> = (0..count).map(|i| i * all / count).collect();
        rows.gather(&chosen, &mut values)?;
    }
    Ok(values)
}

pub(super) const DEFAULTS: Defaults = Defaults {
    full_batch: false,
    sgd: false,
    latents: |d_in| 8 * d_in,
    latents_text: "8 for each input",
    // What dictionary_learning and sparsify take: it suits 16,384 latents, and fewer bear more.
    lr: |d_sae| 2e-4 / (d_sae as f64 / f64::from(1 << 14)).sqrt(),
    clip: Some(1.0),
    unit_norm: true,
    fewest_steps: 1000,
};

pub(super) const AUX_K: OptionInfo = OptionInfo {
    name: "aux_k",
    help: "Dead latents of a row that explain what the others leave; auto takes half the number of inputs",
    kind: Kind::AutoCount(1),
    default: "auto",
};

pub(super) const AUX_COEFFICIENT: OptionInfo = OptionInfo {
    name: "aux_coefficient",
    help: "Weight of the dead latents' loss, their squared error over the residual's variance; 0 for none",
    kind: Kind::AtLeast(0.0),
    default: "0.03125",
};

pub(super) const DEAD_AFTER: OptionInfo = OptionInfo {
    name: "dead_after",
    help: "Rows without firing after which a latent is dead; auto takes 10 million, or for less data \
           two passes over it or a tenth of the run",
    kind: Kind::AutoCount(1),
    default: "auto",
};

/// Rows in a mini-batch unless the user says otherwise.
const DEFAULT_BATCH: usize = 4096;

/// The field's count of rows after which a latent is dead.
const DEAD_AFTER_ROWS: usize = 10_000_000;

/// The training objective from checked options.
pub(super) fn objective(hyper: &Hyper, selection: Selection<'static>) -> Objective {
    let count = |name: &str| hyper.text(name).parse::<usize>().ok();
    Objective {
        selection,
        aux: Aux {
            k: count("aux_k"),
            coefficient: hyper.number("aux_coefficient"),
            dead_after: count("dead_after").unwrap_or(DEAD_AFTER_ROWS) as u64,
        },
    }
}

/// Decides what depends on the data and refuses what cannot work.
pub(super) fn resolve(hyper: &mut Hyper, setting: &Setting) -> Result<Resolved> {
    let rows = setting.survey.rows;
    let batch = match setting.batching {
        Batching::Mini(batch) => batch,
        Batching::Full => rows,
        Batching::Open => DEFAULT_BATCH.min(rows),
    };
    let k = hyper.number("k");
    if k > setting.d_sae as f64 {
        let most = format!("at most the {} latents", setting.d_sae);
        return Err(Error::hyper("k", &most, hyper.text("k")));
    }
    if k * (batch as f64) < 1.0 {
        return Err(Error::Conflict(format!(
            "k {k} keeps no latent at all in a batch of {batch}; take a larger k or batch"
        )));
    }
    if hyper.text("aux_k") == "auto" {
        hyper.set("aux_k", (setting.survey.d_in / 2).max(1));
    }
    if hyper.text("dead_after") == "auto" {
        let run = setting.length.steps(rows, batch).saturating_mul(batch);
        hyper.set("dead_after", dead_after(rows, run, batch));
    }
    Ok(Resolved {
        batching: Batching::Mini(batch),
        warnings: Vec::new(),
    })
}

/// The field's ten million rows are more than small data ever shows, so no latent would be dead
/// and none revived. In two passes over the data a latent that answers to a single row of it has
/// had its chance; a run of few passes still gives the revived nine tenths of its time.
fn dead_after(rows: usize, run: usize, batch: usize) -> usize {
    DEAD_AFTER_ROWS.min(2 * rows).min(run / 10).max(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latent_is_dead_when_it_had_its_chance() {
        // 100 passes over 10,000 rows; one pass over a million; a stream of a billion; a few steps.
        assert_eq!(dead_after(10_000, 1_000_000, 4096), 20_000);
        assert_eq!(dead_after(1_000_000, 1_000_000, 4096), 100_000);
        assert_eq!(dead_after(1_000_000_000, 1_000_000_000, 4096), 10_000_000);
        assert_eq!(dead_after(10_000, 8192, 4096), 4096);
    }
}
