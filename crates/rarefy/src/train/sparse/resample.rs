//! Resampling: latents that are silent for long get new weights from rows with a large error.
//!
//! ```text
//! anthropic             rows of the data, drawn with chances ~ (|x - x_hat|^2)^2
//!                       v = (x - b_dec) / |x - b_dec|     w_dec[j] = v     w_enc[j] = 0.2 s v
//! dictionary-learning   rows of the batch, drawn with chances ~ |x - x_hat|
//!                       w_dec[j] = x / |x|     w_enc[j] = 0.2 s x
//! ```
//!
//! `s` is the mean length of the encoder rows of the other latents. `b_enc[j]` becomes 0, per-latent parameters get
//! their start values, and the optimiser's moments of the latent become 0. The decoder row of a transcoder is drawn
//! from the target. A latent is silent if it did not fire for half of the steps between two resamplings.

use std::sync::Arc;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rarefy_kernels::vector::dot;

use super::blocks::{Blocks, ModelShape};
use super::step::Step;
use crate::config::Recipe;
use crate::data::Source;
use crate::io_spec::IoSpec;
use crate::optim::Descent;
use crate::params::Params;
use crate::plan::Plan;
use crate::train::State;
use crate::{Result, Rng};

/// Rows whose loss is looked at, at most. Bricken et al. took 819,200 and had 131,072 latents to revive.
const ROWS: usize = 1 << 16;

/// Length of a resampled encoder row, over the mean length of the active latents' rows.
const SHARE: f64 = 0.2;

/// Resamples silent latents where it is due and returns their number.
///
/// `batch` holds the rows of the step that was just done; the recipe `anthropic` draws from `pool`, which is
/// all rows of the run or a [`Reservoir`](crate::train::Reservoir) of the rows pushed so far.
pub(in crate::train) fn resample(
    plan: &Plan,
    pool: Option<&dyn Source>,
    batch: &[f32],
    state: &mut State,
    step: &mut Step,
) -> Result<usize> {
    if !is_due(plan, state.step) {
        return Ok(0);
    }
    let train = &plan.config().train;
    // A caller may push fewer or more rows than the planned batch, so the rows of a step are counted.
    let rows_of_a_step = state.rows_seen / state.step as u64;
    let silent = train.resample_every as u64 / 2 * rows_of_a_step;
    let dead: Vec<bool> = state.since_fired.iter().map(|s| *s > silent).collect();
    let latents: Vec<usize> = (0..dead.len()).filter(|&j| dead[j]).collect();
    if latents.is_empty() || latents.len() == dead.len() {
        return Ok(0);
    }
    let mut rng =
        Rng::seed_from_u64(train.seed ^ (state.step as u64).wrapping_mul(0xD1B5_4A32_D192_ED03));
    let count = latents.len();
    let mut errors = |rows: &[f32]| {
        let schedule = plan.schedules().now(state.step);
        step.errors(schedule, &state.params, rows)
    };
    let drawn = match train.resample {
        Recipe::DictionaryLearning => {
            let chances = errors(batch).into_iter().map(f64::sqrt).collect();
            let places = draw(chances, count, &mut rng);
            rows_of(batch, plan.io().row_width(), &places)
        }
        Recipe::Anthropic => {
            let pool = pool.expect("the recipe `anthropic` keeps a pool of rows");
            draw_from_pool(pool, count, plan.batch(), &mut errors, &mut rng)?
        }
    };
    let objective = Arc::clone(&step.objective);
    let per_latent = objective.per_latent();
    let (params, descent) = (&mut state.params, state.optimizer.descent());
    let revived = revive(
        params,
        descent,
        (plan.io(), per_latent),
        &dead,
        &drawn,
        train.resample,
    );
    for &j in &latents[..revived] {
        state.since_fired[j] = 0;
    }
    if let Some(ema) = &mut state.ema {
        let shape = ModelShape::new(plan.io(), dead.len());
        restart_average(ema, state.params.values(), shape, &latents[..revived]);
    }
    step.reset_encoder(&state.params);
    Ok(revived)
}

/// True at the end of each period between two resamplings.
///
/// The last resampling is one period before the end of the run, so that new weights are trained for as long as the
/// ones before.
fn is_due(plan: &Plan, step: usize) -> bool {
    let every = plan.config().train.resample_every;
    every > 0 && step.is_multiple_of(every) && step + every <= plan.steps()
}

/// Draws up to `count` rows of the pool with chances in proportion to their squared loss, which is measured on at
/// most [`ROWS`] random rows, a batch at a time.
fn draw_from_pool(
    pool: &dyn Source,
    count: usize,
    batch: usize,
    errors: &mut dyn FnMut(&[f32]) -> Vec<f64>,
    rng: &mut Rng,
) -> Result<Vec<f32>> {
    let measured = pool.rows().min(ROWS);
    let mut all: Vec<usize> = (0..pool.rows()).collect();
    let (places, _) = all.partial_shuffle(rng, measured);
    places.sort_unstable();
    let mut chances = Vec::with_capacity(measured);
    let mut rows = vec![0.0; batch.min(measured) * pool.d_in()];
    for places in places.chunks(batch) {
        rows.resize(places.len() * pool.d_in(), 0.0);
        pool.gather(places, &mut rows)?;
        chances.extend(errors(&rows).into_iter().map(|error| error * error));
    }
    let drawn = draw(chances, count, rng);
    let chosen: Vec<usize> = drawn.into_iter().map(|at| places[at]).collect();
    rows.resize(chosen.len() * pool.d_in(), 0.0);
    pool.gather(&chosen, &mut rows)?;
    Ok(rows)
}

/// Gives new weights to the first dead latents, one for each of the `rows`; returns their number.
///
/// `rows` are `[n, io.row_width()]`.
///
/// # Source
/// Bricken et al. 2023, *Towards monosemanticity*, appendix; `dictionary_learning` 0.1.0, `StandardTrainer`.
///
/// # Example
/// ```
/// use rarefy::io_spec::IoSpec;
/// use rarefy::config::Recipe;
/// use rarefy::optim::Descent;
/// use rarefy::optim::descent::Rule;
/// use rarefy::params::{Layout, Params};
/// use rarefy::train::sparse::resample::revive;
/// let blocks = [("w_enc", 2, 2), ("b_enc", 1, 2), ("w_dec", 2, 2), ("b_dec", 1, 2)];
/// let mut params = Params::zeros(&Layout::new(&blocks));
/// params.get_mut("w_enc").copy_from_slice(&[6.0, 8.0, 1.0, 1.0]); // the first is 10 long
/// let mut adam = Descent::new(Rule::ADAM, params.values());
/// let bound = (&IoSpec::autoencoder(2), &[][..]);
/// let revived = revive(&mut params, &mut adam, bound, &[false, true], &[0.0, 3.0], Recipe::Anthropic);
/// assert_eq!(revived, 1);
/// assert_eq!(params.get("w_dec"), [0.0, 0.0, 0.0, 1.0]);
/// assert_eq!(params.get("w_enc"), [6.0, 8.0, 0.0, 2.0]); // a fifth of 10
/// ```
pub fn revive(
    params: &mut Params,
    descent: &mut Descent,
    (io, per_latent): (&IoSpec, &[(&'static str, f32)]),
    dead: &[bool],
    rows: &[f32],
    recipe: Recipe,
) -> usize {
    let length = SHARE * mean_length(params, dead);
    let latents = (0..dead.len()).filter(|&j| dead[j]);
    let b_dec = params.get("b_dec").to_vec();
    let shape = ModelShape::new(io, dead.len());
    let (d_in, d_out) = (shape.d_in, shape.d_out);
    let mut revived = 0;
    for (j, row) in latents.zip(rows.chunks_exact(io.row_width())) {
        let target = &row[io.target_start()..];
        let (x, y) = match recipe {
            Recipe::DictionaryLearning => (row[..d_in].to_vec(), target.to_vec()),
            Recipe::Anthropic => {
                let y: Vec<f32> = target.iter().zip(&b_dec).map(|(y, b)| y - b).collect();
                let x = if io.has_target() {
                    row[..d_in].to_vec()
                } else {
                    y.clone()
                };
                (x, y)
            }
        };
        revived += 1;
        let of_norm = |v: &[f32]| dot(v, v).sqrt().max(f64::MIN_POSITIVE);
        let times = match recipe {
            Recipe::Anthropic => length / of_norm(&x),
            Recipe::DictionaryLearning => length,
        };
        set(
            &mut params.get_mut("w_enc")[j * d_in..(j + 1) * d_in],
            &x,
            times,
        );
        set(
            &mut params.get_mut("w_dec")[j * d_out..(j + 1) * d_out],
            &y,
            1.0 / of_norm(&y),
        );
        params.get_mut("b_enc")[j] = 0.0;
        for (name, start) in per_latent {
            params.get_mut(name)[j] = *start;
        }
        for moments in &mut descent.moments {
            let blocks = Blocks::of_mut(shape, moments);
            blocks.w_enc[j * d_in..(j + 1) * d_in].fill(0.0);
            blocks.w_dec[j * d_out..(j + 1) * d_out].fill(0.0);
            blocks.b_enc[j] = 0.0;
            for kind in 0..per_latent.len() {
                blocks.per_latent[kind * dead.len() + j] = 0.0;
            }
        }
    }
    revived
}

/// Sets the averaged weights of these latents to their new weights.
fn restart_average(ema: &mut [f32], params: &[f32], shape: ModelShape, latents: &[usize]) {
    let (ema, params) = (Blocks::of_mut(shape, ema), Blocks::of(shape, params));
    for &j in latents {
        for (ema, params, width) in [
            (&mut *ema.w_enc, params.w_enc, shape.d_in),
            (&mut *ema.w_dec, params.w_dec, shape.d_out),
            (&mut *ema.b_enc, params.b_enc, 1),
        ] {
            let row = j * width..(j + 1) * width;
            ema[row.clone()].copy_from_slice(&params[row]);
        }
        for at in (j..ema.per_latent.len()).step_by(shape.d_sae) {
            ema.per_latent[at] = params.per_latent[at];
        }
    }
}

/// Mean length of the encoder rows of latents that are not dead.
fn mean_length(params: &Params, dead: &[bool]) -> f64 {
    let width = params.get("w_enc").len() / dead.len();
    let rows = params.get("w_enc").chunks_exact(width).zip(dead);
    let (sum, count) = rows
        .filter(|(_, dead)| !**dead)
        .fold((0.0, 0.0), |(sum, count), (row, _)| {
            (sum + dot(row, row).sqrt(), count + 1.0)
        });
    sum / f64::max(count, 1.0)
}

fn set(row: &mut [f32], values: &[f32], times: f64) {
    let pairs = row.iter_mut().zip(values);
    pairs.for_each(|(w, v)| *w = (times * f64::from(*v)) as f32);
}

fn rows_of(rows: &[f32], width: usize, places: &[usize]) -> Vec<f32> {
    let row = |&i: &usize| &rows[i * width..(i + 1) * width];
    places.iter().flat_map(row).copied().collect()
}

/// Draws up to `count` places without putting any back, with chances as given, in the order drawn (Efraimidis and
/// Spirakis 2006: the largest `ln(u) / chance`).
fn draw(chances: Vec<f64>, count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut keys: Vec<(f64, usize)> = chances
        .into_iter()
        .enumerate()
        .map(|(at, chance)| {
            let u: f64 = rng.random();
            (u.ln() / chance.max(f64::MIN_POSITIVE), at)
        })
        .collect();
    keys.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    keys.into_iter().take(count).map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ai-safety-foundation's example: losses of 1, 2 and 3 are drawn first in .07, .29 and .64 of all cases.
    #[test]
    fn rows_are_drawn_by_the_square_of_their_loss() {
        let mut rng = Rng::seed_from_u64(3);
        let mut first = [0.0; 3];
        for _ in 0..40_000 {
            let drawn = draw(vec![1.0, 4.0, 9.0], 2, &mut rng);
            assert!(drawn.len() == 2 && drawn[0] != drawn[1]);
            first[drawn[0]] += 1.0 / 40_000.0;
        }
        for (got, expected) in first.iter().zip([1.0 / 14.0, 4.0 / 14.0, 9.0 / 14.0]) {
            assert!(f64::abs(got - expected) < 0.01, "{first:?}");
        }
        assert_eq!(draw(vec![1.0, 0.0], 5, &mut rng).len(), 2);
    }
}
