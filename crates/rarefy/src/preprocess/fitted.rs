//! Fitted pipelines of a model: one for each input, and one for the target of a transcoder.

use std::ops::Range;

use super::Pipeline;
use crate::data::{Columns, Source};
use crate::io_spec::IoSpec;
use crate::{Error, Result};

/// Fitted preprocessing of inputs and target, and the input and output columns after preprocessing.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedPipelines {
    /// Pipeline of the inputs; for several inputs their pipelines joined column by column.
    pub inputs: Pipeline,
    /// Pipeline of the target; `Some` only for a transcoder.
    pub target: Option<Pipeline>,
    /// Input and output columns of prepared rows.
    pub io: IoSpec,
}

impl FittedPipelines {
    /// Fits the named steps to each input separately, and the steps `of_target` to the target. If `of_target` is
    /// `None`, the target gets the steps of the inputs.
    ///
    /// # Errors
    /// Same as [`Pipeline::fit`]; [`Error::Conflict`] for a step that removes the mean or scale of each output
    /// row of a crosscoder or transcoder, because their codes store no row context.
    ///
    /// # Panics
    /// If the rows of `source` do not have the columns of `raw`.
    ///
    /// # Example
    /// ```
    /// use rarefy::io_spec::IoSpec;
    /// use rarefy::data::Memory;
    /// use rarefy::preprocess::FittedPipelines;
    /// // An input of one value, 0 or 4, and a target of one, 10 or 30.
    /// let rows = Memory::new("two rows", 2, vec![0.0, 10.0, 4.0, 30.0]);
    /// let fitted = FittedPipelines::fit(&["scale".into()], None, &rows, &IoSpec::new(&[1], Some(1))?)?;
    /// assert_eq!(fitted.rows().apply(&[1.0, 20.0]).0, [0.25, 0.5]);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn fit(
        steps: &[String],
        of_target: Option<&[String]>,
        source: &dyn Source,
        raw: &IoSpec,
    ) -> Result<Self> {
        if !raw.has_several_inputs() && !raw.has_target() {
            let inputs = Pipeline::fit(steps, source)?;
            let io = IoSpec::autoencoder(inputs.d_out());
            return Ok(Self {
                inputs,
                target: None,
                io,
            });
        }
        assert_eq!(
            source.d_in(),
            raw.row_width(),
            "rows must have the columns of raw"
        );
        let fit = |steps: &[String], columns: Range<usize>| {
            Pipeline::fit(steps, &Columns::new(source, columns))
        };
        let mut start = 0;
        let mut parts = Vec::new();
        for width in raw.input_widths() {
            parts.push(fit(steps, start..start + width)?);
            start += width;
        }
        let target = match raw.target_width() {
            Some(_) => Some(fit(of_target.unwrap_or(steps), start..raw.row_width())?),
            None => None,
        };
        let widths: Vec<usize> = parts.iter().map(Pipeline::d_out).collect();
        let written = target
            .as_ref()
            .map_or(parts.as_slice(), std::slice::from_ref);
        if let Some(step) = written.iter().find_map(Pipeline::keeps_context) {
            let way_out = if raw.has_target() {
                "; set `data.preprocess_target` to other steps, such as none"
            } else {
                ""
            };
            return Err(Error::Conflict(format!(
                "preprocessing {step} cannot be inverted for a {}, whose codes store no mean or scale of each \
                 row{way_out}",
                raw.name()
            )));
        }
        Ok(Self {
            io: IoSpec::new(&widths, target.as_ref().map(Pipeline::d_out))?,
            inputs: if parts.len() == 1 {
                parts.remove(0)
            } else {
                Pipeline::side_by_side(parts)
            },
            target,
        })
    }

    /// Input and output columns after preprocessing by steps that are not fitted yet.
    ///
    /// # Errors
    /// Same as [`IoSpec::new`].
    pub fn io(steps: &[String], of_target: Option<&[String]>, raw: &IoSpec) -> Result<IoSpec> {
        let behind = |steps: &[String], width: usize| {
            let cut = steps
                .iter()
                .rev()
                .find_map(|step| step.strip_prefix("pca:"));
            let kept = cut.and_then(|rest| rest.split(':').next()?.parse().ok());
            kept.unwrap_or(width)
        };
        let inputs: Vec<usize> = raw
            .input_widths()
            .iter()
            .map(|w| behind(steps, *w))
            .collect();
        let target = raw.target_width();
        IoSpec::new(
            &inputs,
            target.map(|w| behind(of_target.unwrap_or(steps), w)),
        )
    }

    /// Pipeline applied to complete rows, `[inputs | target]`.
    pub fn rows(&self) -> Pipeline {
        match &self.target {
            None => self.inputs.clone(),
            Some(target) => Pipeline::side_by_side(vec![self.inputs.clone(), target.clone()]),
        }
    }
}
