//! Figures of a trained model on the rows of its run.

use crate::Result;
use crate::data::{Columns, HoldoutPart, Source, hold_out};
use crate::latents::{Gathering, Responses};
use crate::metrics::{Evaluation, evaluate, evaluate_and};
use crate::model::Model;
use crate::variants::Architecture;

/// Figures of a trained model on the rows of its run.
pub struct Evaluated {
    /// Figures of the training rows.
    pub training: Evaluation,
    /// Figures of the held-out rows, if any.
    pub held_out: Option<Evaluation>,
}

impl Evaluated {
    /// Evaluates a model on rows of which some were held out from training.
    ///
    /// # Errors
    /// [`Error::Hyper`](crate::Error::Hyper) if all rows were held out; errors of [`evaluate`].
    pub fn of(model: &Model, source: &dyn Source, holdout: usize) -> Result<Self> {
        Self::of_parts(source, holdout, |part| evaluate(model, part))
    }

    /// [`Evaluated::of`] with the responses of the latents to all rows, which equal [`Responses::of`]. A sparse model
    /// encodes each row once for both.
    ///
    /// # Errors
    /// As [`Evaluated::of`].
    ///
    /// # Example
    /// ```
    /// use rarefy::recipe::Evaluated;
    /// let digits = rarefy::data::open("sample:digits", &Default::default())?;
    /// let model = rarefy::topk(4).latents(32).steps(20).batch(128).fit(&digits)?;
    /// let (evaluated, responses) = Evaluated::with_responses(&model, digits.source.as_ref(), 97)?;
    /// assert_eq!((evaluated.training.rows, evaluated.held_out.unwrap().rows), (1700, 97));
    /// assert_eq!(responses.rows.len(), 1797);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn with_responses(
        model: &Model,
        source: &dyn Source,
        holdout: usize,
    ) -> Result<(Self, Responses)> {
        // A transcoder's rows have the target behind the input.
        let inputs = Columns::new(source, 0..model.raw_d_in());
        if let Architecture::Dense(_) = model.architecture() {
            let responses = Responses::of(model, &inputs)?;
            return Ok((Self::of(model, source, holdout)?, responses));
        }
        let mut gathering = Gathering::new(model, &inputs)?;
        let evaluated = Self::of_parts(source, holdout, |part| {
            evaluate_and(model, part, |first, codes| {
                let rows = (first..part.rows()).map(|row| part.position(row));
                gathering.add(rows, codes);
            })
        })?;
        Ok((evaluated, gathering.finish()))
    }

    fn of_parts(
        source: &dyn Source,
        holdout: usize,
        mut figures: impl FnMut(&HoldoutPart) -> Result<Evaluation>,
    ) -> Result<Self> {
        let (training, held_out) = hold_out(source, holdout)?;
        Ok(Self {
            training: figures(&training)?,
            held_out: held_out.as_ref().map(figures).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sparse and dense, with and without held-out rows: one pass finds what two passes find.
    #[test]
    fn responses_of_the_evaluation_are_those_of_a_pass_of_their_own() {
        let digits = crate::data::open("sample:digits", &crate::data::OpenOptions::default());
        let digits = digits.unwrap();
        let source = digits.source.as_ref();
        let sparse = crate::topk(4).latents(32).steps(20).batch(128).fit(&digits);
        let dense = crate::kl().latents(16).steps(5).fit(&digits);
        for model in [sparse.unwrap(), dense.unwrap()] {
            let apart = Responses::of(&model, source).unwrap();
            for holdout in [0, 1, 97, 1000] {
                let (evaluated, responses) =
                    Evaluated::with_responses(&model, source, holdout).unwrap();
                assert!(responses.rows == apart.rows, "{holdout}");
                for latent in 0..model.d_sae() {
                    assert!(
                        responses.entries(latent).eq(apart.entries(latent)),
                        "{holdout}"
                    );
                }
                let (training, held_out) = hold_out(source, holdout).unwrap();
                assert_eq!(evaluated.training, evaluate(&model, &training).unwrap());
                let held_out = held_out.map(|rows| evaluate(&model, &rows).unwrap());
                assert_eq!(evaluated.held_out, held_out);
            }
        }
    }
}
