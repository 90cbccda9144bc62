//! Fitting and surveying in as few passes over the rows as the steps allow.

use super::steps::{FittedStep, add_lengths, norm_of, parse};
use super::{FittedPipelines, Pipeline, Prepared, check};
use crate::Result;
use crate::data::{ColumnSurvey, Source, Survey, column_survey, survey, survey_with};
use crate::io_spec::IoSpec;

impl Pipeline {
    /// Fits the named steps and surveys the prepared rows, with passes shared where the steps allow it.
    ///
    /// | step | passes over the rows |
    /// |---|---|
    /// | none | one: the survey |
    /// | `scale`, `standardise`, `norm-average`, `norm-square` | one for step and survey, if it is the only step |
    /// | `clip-sd` | one, and the survey |
    /// | `pca`, `zca` | two, and the survey |
    /// | `row-mean`, `norm-row`, `layer-norm` | none, and the survey |
    ///
    /// Each step is fitted to measured rows, so the pipeline is that of [`Pipeline::fit`] to the last bit. Behind
    /// a step of the first line the survey follows by calculation: extremes are exact, means and variances
    /// differ from measured ones by the rounding of f32 (1e-7). They are reported, and no weight depends on them.
    ///
    /// # Errors
    /// As [`Pipeline::fit`].
    ///
    /// # Example
    /// ```
    /// use rarefy::data::Memory;
    /// use rarefy::preprocess::Pipeline;
    /// let data = Memory::new("two rows", 2, vec![0.0, 8.0, 4.0, 16.0]);
    /// let (pipeline, survey) = Pipeline::fit_surveyed(&["scale".into()], &data)?;
    /// assert_eq!(pipeline, Pipeline::fit(&["scale".into()], &data)?);
    /// assert_eq!((survey.min, survey.max, survey.mean), (0.0, 1.0, vec![0.125, 0.75]));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn fit_surveyed(names: &[String], source: &dyn Source) -> Result<(Self, Survey)> {
        let mut pipeline = Self::identity(source.d_in());
        check(names)?;
        let mut known: Option<Known> = None;
        for name in names.iter().filter(|name| *name != "none") {
            let step = {
                let so_far = Prepared::new(source, &pipeline);
                let (kind, _) = parse(name)?;
                let measured = known.as_ref().is_some_and(|known| known.measured);
                match kind {
                    "norm-average" | "norm-square" if known.is_none() && !so_far.has_f64() => {
                        let d = so_far.d_in();
                        let add = |sums: &mut [f64; 2], x: &[f32]| add_lengths(sums, x, d);
                        let (columns, lanes) = survey_with(&so_far, Default::default, add)?;
                        known = Some(Known::measured(columns));
                        norm_of(kind, &lanes, so_far.rows(), d)
                    }
                    "scale" | "standardise" | "clip-sd" => {
                        if !measured {
                            known = Some(Known::measured(column_survey(&so_far)?));
                        }
                        let columns = known.as_ref().map(|known| &known.columns);
                        FittedStep::fit_known(name, &so_far, columns)?
                    }
                    _ => FittedStep::fit(name, &so_far)?,
                }
            };
            known = known.and_then(|known| known.behind(&step, source.has_f64()));
            pipeline.names.push(name.clone());
            pipeline.steps.push(step);
        }
        let known = match known {
            Some(known) => known.columns.survey,
            None => survey(&Prepared::new(source, &pipeline))?,
        };
        Ok((pipeline, known))
    }
}

impl FittedPipelines {
    /// [`FittedPipelines::fit`] and the survey of the prepared rows, with passes shared as in [`Pipeline::fit_surveyed`]. Of
    /// several inputs, or an input and a target, each is fitted in separate passes.
    ///
    /// # Errors
    /// As [`FittedPipelines::fit`].
    pub fn fit_surveyed(
        steps: &[String],
        of_target: Option<&[String]>,
        source: &dyn Source,
        raw: &IoSpec,
    ) -> Result<(Self, Survey)> {
        if raw.has_several_inputs() || raw.has_target() {
            let fitted = Self::fit(steps, of_target, source, raw)?;
            let survey = survey(&Prepared::new(source, &fitted.rows()))?;
            return Ok((fitted, survey));
        }
        let (inputs, survey) = Pipeline::fit_surveyed(steps, source)?;
        let io = IoSpec::autoencoder(inputs.d_out());
        let fitted = Self {
            inputs,
            target: None,
            io,
        };
        Ok((fitted, survey))
    }
}

/// The survey of the rows behind the steps so far.
struct Known {
    columns: ColumnSurvey,
    /// False if it follows by calculation.
    measured: bool,
}

impl Known {
    fn measured(columns: ColumnSurvey) -> Self {
        Self {
            columns,
            measured: true,
        }
    }

    /// The survey of the rows behind a further step, if it follows. Rows of `f64` are rounded behind the last step alone.
    fn behind(self, step: &FittedStep, has_f64: bool) -> Option<Self> {
        let ColumnSurvey {
            survey,
            mut min,
            mut max,
        } = self.columns;
        // A rising map of each column, rounded as the step rounds each value.
        let maps: Vec<(f64, f64)> = match step {
            FittedStep::Scale { factor, .. } if *factor <= 0.0 => return None,
            FittedStep::Scale { .. } => Vec::new(),
            FittedStep::Standardise { mean, deviation } => mean
                .iter()
                .copied()
                .zip(deviation.iter().copied())
                .collect(),
            _ => return None,
        };
        let map = |j: usize, x: f64| match step {
            FittedStep::Scale { factor, shift } => x * factor + shift,
            _ => (x - maps[j].0) / maps[j].1,
        };
        let slope = |j: usize| match step {
            FittedStep::Scale { factor, .. } => *factor,
            _ => 1.0 / maps[j].1,
        };
        for values in [&mut min, &mut max] {
            for (j, value) in values.iter_mut().enumerate() {
                let mapped = map(j, *value);
                *value = if has_f64 {
                    mapped
                } else {
                    f64::from(mapped as f32)
                };
            }
        }
        let mean = survey.mean.iter().enumerate();
        let variance = survey.variance.iter().enumerate();
        let survey = Survey {
            mean: mean.map(|(j, mean)| map(j, *mean)).collect(),
            variance: variance.map(|(j, v)| v * slope(j).powi(2)).collect(),
            ..survey
        };
        let mut columns = ColumnSurvey { survey, min, max };
        let (low, high) = columns.range();
        (columns.survey.min, columns.survey.max) = (low as f32, high as f32);
        Some(Self {
            columns,
            measured: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    /// Every step alone and in pairs: the same pipeline as in separate passes, the same survey up to rounding.
    #[test]
    fn shared_passes_fit_the_same_pipeline() {
        let values = (0..900).map(|i| ((i * i) as f32 * 0.37).sin() + (i % 3) as f32);
        let data = Memory::new("rows", 3, values.collect());
        let steps = [
            "scale",
            "scale:-1:2",
            "standardise",
            "row-mean",
            "norm-row",
            "norm-average",
            "norm-square",
            "clip-sd:1",
            "pca:2",
            "zca",
        ];
        for first in steps {
            for second in steps {
                let names = [first.to_owned(), second.to_owned()];
                if check(&names).is_err() {
                    continue;
                }
                let (pipeline, found) = match Pipeline::fit(&names, &data) {
                    Ok(_) => Pipeline::fit_surveyed(&names, &data).unwrap(),
                    Err(_) => continue,
                };
                assert_eq!(pipeline, Pipeline::fit(&names, &data).unwrap(), "{names:?}");
                let measured = survey(&Prepared::new(&data, &pipeline)).unwrap();
                assert_eq!(
                    (found.rows, found.d_in, found.min, found.max),
                    (measured.rows, measured.d_in, measured.min, measured.max),
                    "{names:?}"
                );
                let pairs = found.mean.iter().zip(&measured.mean);
                let pairs = pairs.chain(found.variance.iter().zip(&measured.variance));
                for (a, b) in pairs {
                    assert!(
                        (a - b).abs() <= 1e-6 * (1.0 + b.abs()),
                        "{names:?}: {a} {b}"
                    );
                }
            }
        }
    }
}
