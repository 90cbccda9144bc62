//! A pipeline as a file beside the model: `preprocess.safetensors`.
//!
//! The metadata holds `d_in` and the steps' names, one a line; step i's numbers are the tensors
//! `i.NAME` (f64 for scales and means, f32 for matrices).

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::steps::Step;
use super::whiten::Whiten;
use super::{Error, Pipeline, Result};
use crate::atomic;

impl Pipeline {
    /// Writes the pipeline, atomically.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<(String, Dtype, Vec<u8>)> = Vec::new();
        for (i, step) in self.steps.iter().enumerate() {
            let mut f64s = |name: &str, values: &[f64]| {
                tensors.push((
                    format!("{i}.{name}"),
                    Dtype::F64,
                    values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                ));
            };
            match step {
                Step::Scale { factor, shift } => f64s("affine", &[*factor, *shift]),
                Step::Standardise { mean, deviation } => {
                    f64s("mean", mean);
                    f64s("deviation", deviation);
                }
                Step::RowMean => {}
                Step::Clip { low, high } => f64s("range", &[*low, *high]),
                Step::Whiten(whiten) => {
                    for (name, values) in [
                        ("mean", &whiten.mean),
                        ("forward", &whiten.forward),
                        ("backward", &whiten.backward),
                    ] {
                        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                        tensors.push((format!("{i}.{name}"), Dtype::F32, bytes));
                    }
                }
            }
        }
        let views = tensors.iter().map(|(name, dtype, bytes)| {
            let length = bytes.len() * 8 / dtype.bitsize();
            (
                name.clone(),
                TensorView::new(*dtype, vec![length], bytes)
                    .expect("length times size is the bytes"),
            )
        });
        let metadata = HashMap::from([
            ("d_in".to_owned(), self.d_in.to_string()),
            ("steps".to_owned(), self.names.join("\n")),
        ]);
        let bytes = safetensors::serialize(views, Some(metadata))
            .map_err(|e| Error::format(path, e.to_string()))?;
        atomic::write(path, |out| out.write_all(&bytes))
    }

    /// Reads what [`Pipeline::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a damaged file.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let damaged = |why: &dyn std::fmt::Display| {
            Error::format(path, format!("not a preprocessing file: {why}"))
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let field = |key: &str| {
            metadata
                .get(key)
                .ok_or_else(|| damaged(&format!("no `{key}` in its header")))
        };
        let d_in: usize = field("d_in")?
            .parse()
            .map_err(|_| damaged(&"`d_in` is no number"))?;
        let names: Vec<String> = field("steps")?.lines().map(str::to_owned).collect();
        let tensor = |i: usize, name: &str, dtype: Dtype| {
            let full = format!("{i}.{name}");
            let tensor = file
                .tensor(&full)
                .map_err(|e| damaged(&format!("{full}: {e}")))?;
            if tensor.dtype() == dtype {
                Ok(tensor.data().to_vec())
            } else {
                Err(damaged(&format!("{full} is not {dtype:?}")))
            }
        };
        let f64s = |i, name: &str| -> Result<Vec<f64>> {
            Ok(tensor(i, name, Dtype::F64)?
                .as_chunks()
                .0
                .iter()
                .map(|b| f64::from_le_bytes(*b))
                .collect())
        };
        let f32s = |i, name: &str| -> Result<Vec<f32>> {
            Ok(tensor(i, name, Dtype::F32)?
                .as_chunks()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect())
        };
        let pair = |i, name: &str| match f64s(i, name)?.as_slice() {
            &[a, b] => Ok((a, b)),
            other => Err(damaged(&format!(
                "{i}.{name}: expected 2 numbers, got {}",
                other.len()
            ))),
        };
        let mut pipeline = Self::identity(d_in);
        for (i, name) in names.into_iter().enumerate() {
            let width = pipeline.d_out();
            let fits = |what: &str, got: usize, ok: bool| {
                if ok {
                    Ok(())
                } else {
                    Err(damaged(&format!(
                        "{i}.{what} with {got} values does not fit rows of {width}"
                    )))
                }
            };
            let step = match name.split(':').next().unwrap_or_default() {
                "scale" => {
                    pair(i, "affine").map(|(factor, shift)| Step::Scale { factor, shift })?
                }
                "standardise" => {
                    let (mean, deviation) = (f64s(i, "mean")?, f64s(i, "deviation")?);
                    fits(
                        "mean",
                        mean.len(),
                        mean.len() == width && deviation.len() == width,
                    )?;
                    Step::Standardise { mean, deviation }
                }
                "row-mean" => Step::RowMean,
                "clip-sd" => {
                    let (low, high) = pair(i, "range")?;
                    fits("range", 2, low <= high)?;
                    Step::Clip { low, high }
                }
                "pca" | "zca" => {
                    let whiten = Whiten {
                        mean: f32s(i, "mean")?,
                        forward: f32s(i, "forward")?,
                        backward: f32s(i, "backward")?,
                    };
                    let matrix = whiten.forward.len();
                    let whole = matrix > 0
                        && matrix.is_multiple_of(width)
                        && matrix == whiten.backward.len();
                    fits("forward", matrix, whiten.mean.len() == width && whole)?;
                    Step::Whiten(whiten)
                }
                other => return Err(damaged(&format!("unknown step `{other}`"))),
            };
            pipeline.names.push(name);
            pipeline.steps.push(step);
        }
        Ok(pipeline)
    }
}
