//! Weight averaging: the moving average of the parameters, and the model made from it.

use rayon::prelude::*;

use super::parametrisation::constrain_rows;
use crate::config::DecoderNorm;
use crate::objective::Objective;
use crate::params::Params;
use crate::plan::Plan;
use crate::train::State;
use crate::variants::rescaled;

/// Number of values that one task averages.
const PIECE: usize = 1 << 16;

/// Updates the average after step t, counted from 1: `ema += (1 - decay) / (1 - decay^t) (params - ema)`.
///
/// The result equals a moving average that starts at 0 and is divided by the sum of its weights.
pub(super) fn follow(ema: &mut [f32], params: &[f32], decay: f64, t: usize) {
    let t = i32::try_from(t).unwrap_or(i32::MAX);
    let share = ((1.0 - decay) / (1.0 - decay.powi(t))) as f32;
    ema.par_chunks_mut(PIECE)
        .zip(params.par_chunks(PIECE))
        .for_each(|(ema, params)| {
            let pairs = ema.iter_mut().zip(params);
            pairs.for_each(|(average, p)| *average += share * (p - *average));
        });
}

/// Parameters of the model if they differ from the last ones: their average, or their rescaled form.
pub(super) fn model(plan: &Plan, sparse: &Objective, state: &mut State) -> Option<Params> {
    let averaged = averaged(plan, sparse, state);
    if plan.decoder_norm() == DecoderNorm::Rescale {
        return Some(rescaled(averaged.as_ref().unwrap_or(&state.params)));
    }
    averaged
}

/// Averaged parameters, projected onto the constraints as after each step; `None` without an average.
fn averaged(plan: &Plan, sparse: &Objective, state: &mut State) -> Option<Params> {
    let values = match &state.ema {
        Some(ema) if state.step > 0 => ema.clone(),
        Some(_) => return None,
        None => {
            let params = &state.params;
            state.optimizer.descent().average(params.values())?
        }
    };
    let mut params = state.params.clone();
    params.values_mut().copy_from_slice(&values);
    let d_out = plan.io().d_out();
    constrain_rows(plan.decoder_norm(), params.get_mut("w_dec"), d_out);
    if sparse.pursues() {
        let w_dec = params.get("w_dec").to_vec();
        params.get_mut("w_enc").copy_from_slice(&w_dec);
    }
    sparse.constrain(&mut params);
    Some(params)
}

#[cfg(test)]
mod tests {
    use super::follow;

    /// With a decay of 1/2: 4, then (4 + 2 8) / 3, then (4 + 2 8 + 4 1) / 7.
    #[test]
    fn the_average_is_corrected_for_its_start() {
        let mut ema = [0.0];
        for (t, value, expected) in [(1, 4.0, 4.0), (2, 8.0, 20.0 / 3.0), (3, 1.0, 24.0 / 7.0)] {
            follow(&mut ema, &[value], 0.5, t);
            assert!((ema[0] - expected).abs() < 1e-6, "{ema:?} {expected}");
        }
    }
}
