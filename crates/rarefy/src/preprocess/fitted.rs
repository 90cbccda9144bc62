//! The pipelines of a model: of each input by itself, and of a transcoder's target.

use std::ops::Range;

use super::Pipeline;
use crate::data::{Columns, Source};
use crate::io_spec::IoSpec;
use crate::{Error, Result};

/// Pipelines fitted to the rows of a binding, and what the binding is of prepared rows.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedPipelines {
    /// Of the inputs, side by side where there are several.
    pub inputs: Pipeline,
    /// Of a transcoder's target.
    pub target: Option<Pipeline>,
    /// What a model of prepared rows reads and writes.
    pub io: IoSpec,
}

impl FittedPipelines {
    /// Fits the named steps to each input by itself, and others (or the same) to the target.
    ///
    /// # Errors
    /// As [`Pipeline::fit`]; [`Error::Conflict`] for a step that takes something off each row to give it back
    /// behind the decoder, where several inputs or another target leave it no place.
    ///
    /// # Panics
    /// If the source is not of the binding's rows.
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
        assert_eq!(source.d_in(), raw.row_width(), "rows of another io");
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
                "; the target has steps of its own by `--preprocess-target`, such as none"
            } else {
                ""
            };
            return Err(Error::Conflict(format!(
                "preprocessing {step} takes something off each row that the decoded row would need back, and \
                 a {} has no place to keep it{way_out}",
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

    /// What a model reads and writes behind steps that are not fitted yet.
    ///
    /// # Errors
    /// None that fitting would not meet.
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

    /// What whole rows go through: inputs side by side, then the target.
    pub fn rows(&self) -> Pipeline {
        match &self.target {
            None => self.inputs.clone(),
            Some(target) => Pipeline::side_by_side(vec![self.inputs.clone(), target.clone()]),
        }
    }
}
