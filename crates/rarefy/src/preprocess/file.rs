//! File format of a pipeline: `preprocess.safetensors` in the folder of the model.
//!
//! The metadata holds `d_in` and the names of the steps, one per line. The numbers of step i are the tensors
//! `i.NAME` (f64 for scales and means, f32 for matrices and for the mean of a whitening, unless it has more digits). For joined pipelines, part p of step i has the prefix
//! `i.p.` before each name.

use std::path::Path;

use super::steps::FittedStep;
use super::whiten::Whiten;
use super::{Error, Pipeline, Result};
use crate::tensors::{Number, Reader, Writer};

impl Pipeline {
    /// Writes the pipeline to a file, atomically.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = Writer::default();
        self.write(&mut file, "");
        file.write(path)
    }

    /// Adds the tensors and texts of this pipeline, with the prefix `before` in their names.
    fn write<'a>(&'a self, file: &mut Writer<'a>, before: &str) {
        for (i, step) in self.steps.iter().enumerate() {
            let name = |of: &str| format!("{before}{i}.{of}");
            match step {
                FittedStep::Scale { factor, shift } => {
                    file.vector(name("affine"), [*factor, *shift]);
                }
                FittedStep::Standardise { mean, deviation } => {
                    file.vector(name("mean"), mean);
                    file.vector(name("deviation"), deviation);
                }
                FittedStep::RowMean | FittedStep::NormRow | FittedStep::LayerNorm => {}
                FittedStep::Clip { low, high } => file.vector(name("range"), [*low, *high]),
                FittedStep::Whiten(whiten) => {
                    whiten_mean(file, name("mean"), &whiten.mean);
                    file.vector(name("forward"), &whiten.forward);
                    file.vector(name("backward"), &whiten.backward);
                }
                FittedStep::SideBySide(parts) => {
                    for (p, part) in parts.iter().enumerate() {
                        part.write(file, &name(&format!("{p}.")));
                    }
                }
            }
        }
        file.text(&format!("{before}d_in"), &self.d_in);
        file.text(&format!("{before}steps"), &self.names.join("\n"));
    }

    /// Reads a pipeline that [`Pipeline::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] for a damaged file.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let file = Reader::new(path, &bytes)?;
        Self::read(&file, "")
    }

    /// Reads a pipeline whose names have the prefix `before`.
    fn read(file: &Reader, before: &str) -> Result<Self> {
        let key = format!("{before}d_in");
        let d_in = file.text(&key)?;
        let d_in = d_in.parse().ok().filter(|d| *d > 0).ok_or_else(|| {
            file.bad(format!(
                "expected a positive number as `{key}` in the header, got `{d_in}`"
            ))
        })?;
        let mut pipeline = Self::identity(d_in);
        for (i, name) in file.text(&format!("{before}steps"))?.lines().enumerate() {
            let step = if name.starts_with('(') {
                // Writers nest one level at most. Without this check a hostile file could recurse for ever.
                if !before.is_empty() {
                    let why = format!(
                        "`{before}steps`: expected plain steps, got joined pipelines inside joined pipelines"
                    );
                    return Err(file.bad(why));
                }
                side_by_side(file, i, pipeline.d_out())?
            } else {
                step(file, &format!("{before}{i}"), name, pipeline.d_out())?
            };
            pipeline.names.push(name.to_owned());
            pipeline.steps.push(step);
        }
        Ok(pipeline)
    }
}

/// Reads joined pipelines, whose input rows have `width` values in total.
fn side_by_side(file: &Reader, i: usize, width: usize) -> Result<FittedStep> {
    let mut parts = Vec::new();
    while parts.is_empty() || file.text(&format!("{i}.{}.d_in", parts.len())).is_ok() {
        parts.push(Pipeline::read(file, &format!("{i}.{}.", parts.len()))?);
    }
    let together = parts
        .iter()
        .map(Pipeline::d_in)
        .fold(0, usize::saturating_add);
    if together != width {
        return Err(file.bad(format!(
            "step {i}: expected parts with {width} columns in total, got {together}"
        )));
    }
    Ok(FittedStep::SideBySide(parts))
}

/// Reads the numbers of step `i`, whose input rows have `width` values.
fn step(file: &Reader, i: &str, name: &str, width: usize) -> Result<FittedStep> {
    let misfit = |what: &str| {
        file.bad(format!(
            "step {i} (`{name}`): expected {what} for rows of {width} values, got other sizes"
        ))
    };
    Ok(match name.split(':').next().unwrap_or_default() {
        "scale" | "norm-average" | "norm-square" => {
            let [factor, shift] = pair(file, &format!("{i}.affine"))?;
            if factor == 0.0 {
                return Err(file.bad(format!("{i}.affine: expected a factor other than 0, got 0")));
            }
            FittedStep::Scale { factor, shift }
        }
        "standardise" => {
            let mean: Vec<f64> = finite(file, &format!("{i}.mean"))?;
            let deviation: Vec<f64> = finite(file, &format!("{i}.deviation"))?;
            if mean.len() != width || deviation.len() != width {
                return Err(misfit("a mean and a deviation"));
            }
            if deviation.iter().any(|d| *d <= 0.0) {
                let why =
                    format!("{i}.deviation: expected positive numbers, got a number not above 0");
                return Err(file.bad(why));
            }
            FittedStep::Standardise { mean, deviation }
        }
        "row-mean" => FittedStep::RowMean,
        "norm-row" => FittedStep::NormRow,
        "layer-norm" => FittedStep::LayerNorm,
        "clip-sd" => {
            let [low, high] = pair(file, &format!("{i}.range"))?;
            if low > high {
                return Err(file.bad(format!(
                    "{i}.range: expected a lower and an upper bound, got {low} and {high}"
                )));
            }
            FittedStep::Clip { low, high }
        }
        "pca" | "zca" => {
            let whiten = Whiten {
                mean: read_whiten_mean(file, &format!("{i}.mean"))?,
                forward: finite(file, &format!("{i}.forward"))?,
                backward: finite(file, &format!("{i}.backward"))?,
            };
            let values = whiten.forward.len();
            let whole = values > 0 && values.is_multiple_of(width);
            if whiten.mean.len() != width || !whole || whiten.backward.len() != values {
                return Err(misfit("a mean and whitening matrices"));
            }
            FittedStep::Whiten(whiten)
        }
        other => {
            return Err(file.bad(format!(
                "step {i}: expected a known preprocessing step, got `{other}`; the file may be from a newer version"
            )));
        }
    })
}

/// Adds the mean of a whitening: as `f32`, unless it has more digits.
fn whiten_mean<'a>(file: &mut Writer<'a>, name: String, mean: &'a [f64]) {
    let narrow: Vec<f32> = mean.iter().map(|v| *v as f32).collect();
    if narrow.iter().zip(mean).all(|(n, v)| f64::from(*n) == *v) {
        file.vector(name, narrow);
    } else {
        file.vector(name, mean);
    }
}

fn read_whiten_mean(file: &Reader, name: &str) -> Result<Vec<f64>> {
    if file.vector::<f64>(name).is_ok() {
        return finite(file, name);
    }
    let narrow: Vec<f32> = finite(file, name)?;
    Ok(narrow.into_iter().map(f64::from).collect())
}

/// Reads a tensor of two finite numbers.
fn pair(file: &Reader, name: &str) -> Result<[f64; 2]> {
    let values: Vec<f64> = finite(file, name)?;
    <[f64; 2]>::try_from(values).map_err(|values| {
        let got = values.len();
        file.bad(format!("{name}: expected 2 numbers, got {got}"))
    })
}

/// Reads a vector of finite numbers.
fn finite<T: Number + Into<f64>>(file: &Reader, name: &str) -> Result<Vec<T>> {
    let values: Vec<T> = file.vector(name)?;
    match values.iter().position(|v| !(*v).into().is_finite()) {
        None => Ok(values),
        Some(at) => Err(file.bad(format!(
            "{name}: expected finite numbers, got {} at index {at}",
            values[at].into()
        ))),
    }
}
