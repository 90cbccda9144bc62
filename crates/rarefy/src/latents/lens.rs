//! Logit lens: the tokens that a latent raises and lowers, for models of a language model's activations.

use rarefy_kernels::matmul::{Op, matmul};
use rayon::prelude::*;
use serde::Serialize;

use crate::model::Model;
use crate::{Error, Result};

/// Number of latents whose logits are computed at a time.
const BLOCK: usize = 32;

/// Tokens of one latent, each with the logit that an activation of 1 adds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Lens {
    /// Tokens with the largest logits, the largest first.
    pub raised: Vec<(usize, f32)>,
    /// Tokens with the smallest logits, the smallest first.
    pub lowered: Vec<(usize, f32)>,
}

/// The `count` tokens that each latent raises and lowers most.
///
/// ```text
/// logits_l = (U - mean over tokens of U) w_dec_l
/// ```
///
/// `unembedding` is U, `[tokens, raw_d_out]`, row-major: the output matrix of the language model. If the model has a final
/// norm with weights, they belong into U. A constant that is added to all logits changes no prediction, so U is centred.
///
/// # Shapes
/// The result: `[d_sae]`.
///
/// # Errors
/// [`Error::Shape`] if the size of `unembedding` is no multiple of `raw_d_out`.
///
/// # Source
/// nostalgebraist 2020, *Interpreting GPT: the logit lens*.
pub fn lens(model: &Model, unembedding: &[f32], count: usize) -> Result<Vec<Lens>> {
    let width = model.raw_d_out();
    let tokens = unembedding.len() / width;
    if tokens == 0 || !unembedding.len().is_multiple_of(width) {
        return Err(Error::Shape {
            what: "unembedding".into(),
            expected: format!("rows of {width} values, one for each token"),
            got: format!("{} values", unembedding.len()),
        });
    }
    let mut centred = unembedding.to_vec();
    let mut mean = vec![0.0_f64; width];
    for row in unembedding.chunks_exact(width) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(m, v)| *m += f64::from(*v) / tokens as f64);
    }
    for row in centred.chunks_exact_mut(width) {
        row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= *m as f32);
    }
    let params = model.params();
    let w_dec = params.find("w_dec").unwrap_or_else(|| params.get("w_enc"));
    let directions = model.output_pipeline().invert_directions(w_dec);
    let blocks = directions.par_chunks(BLOCK * width).map(|block| {
        let latents = block.len() / width;
        let mut logits = vec![0.0; latents * tokens];
        matmul(
            &mut logits,
            false,
            (block, Op::N),
            (&centred, Op::T),
            [latents, tokens, width],
        );
        let ends = |logits: &[f32]| Lens {
            raised: largest(logits, count, 1.0),
            lowered: largest(logits, count, -1.0),
        };
        logits.chunks_exact(tokens).map(ends).collect::<Vec<Lens>>()
    });
    Ok(blocks.collect::<Vec<_>>().concat())
}

/// The `count` largest values times `sign`, with their places; ties go to lower places.
fn largest(values: &[f32], count: usize, sign: f32) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let by_value = |a: &usize, b: &usize| {
        (sign * values[*b])
            .total_cmp(&(sign * values[*a]))
            .then(a.cmp(b))
    };
    let count = count.min(order.len());
    if count < order.len() {
        order.select_nth_unstable_by(count, by_value);
        order.truncate(count);
    }
    order.sort_by(by_value);
    order.into_iter().map(|at| (at, values[at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Layout, Params};
    use crate::preprocess::Pipeline;
    use crate::variants::{Options, find};

    #[test]
    fn tokens_along_a_decoder_row_are_raised() {
        let info = find("relu").unwrap();
        let options = Options::check(info.options(), []).unwrap();
        let blocks = [
            ("w_enc", 2, 2),
            ("b_enc", 1, 2),
            ("w_dec", 2, 2),
            ("b_dec", 1, 2),
        ];
        let mut params = Params::zeros(&Layout::new(&blocks));
        params
            .get_mut("w_dec")
            .copy_from_slice(&[1.0, 0.0, 0.0, 2.0]);
        let model = Model::autoencoder(info, options, params, Pipeline::identity(2)).unwrap();
        // Three tokens with the mean (1, 1).
        let found = lens(&model, &[3.0, 0.0, 0.0, 0.0, 0.0, 3.0], 2).unwrap();
        assert_eq!(found[0].raised, [(0, 2.0), (1, -1.0)]);
        assert_eq!(found[0].lowered, [(1, -1.0), (2, -1.0)]);
        assert_eq!(found[1].raised[0], (2, 4.0));
        assert!(lens(&model, &[1.0; 3], 2).is_err());
    }

    #[test]
    fn more_tokens_than_there_are_gives_all() {
        assert_eq!(largest(&[1.0, 3.0], 9, 1.0), [(1, 3.0), (0, 1.0)]);
    }
}
