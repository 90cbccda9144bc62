//! File format of a known dictionary, `.safetensors`.
//!
//! The tensors are `directions` (f32, `[features, d_in]`), `bias` (f32, `[d_in]`), `probabilities` (f64),
//! `parents` and `clusters` (i64, -1 for none). The texts of the header are `version`, `spec` (JSON) and `rows`, the
//! number of rows written as data. Directions and bias are read from the file, so that users can replace them. All
//! other tensors must equal the values derived from `spec`.

use std::path::Path;

use super::{Spec, Structure, Truth};
use crate::tensors::{Reader, Writer};
use crate::{Error, Result};

/// Version of the format. It increases if equal settings give other rows.
const VERSION: &str = "1";

impl Truth {
    /// Writes the dictionary to a file, atomically. `rows` is the number of rows that were written as data.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path, rows: usize) -> Result<()> {
        let (features, d_in) = (self.spec.features, self.spec.d_in);
        let spec = serde_json::to_string(&self.spec).expect("a specification is JSON");
        let (parents, clusters) = (signed(self.parents()), signed(self.clusters()));
        let mut file = Writer::default();
        file.tensor("directions", &[features, d_in], &self.directions);
        file.vector("bias", &self.bias);
        file.vector("probabilities", self.probabilities());
        file.vector("parents", &parents);
        file.vector("clusters", &clusters);
        file.text("version", &VERSION);
        file.text("spec", &spec);
        file.text("rows", &rows);
        file.write(path)
    }

    /// Reads a dictionary that [`Truth::save`] wrote, and the number of rows written as data. Later rows are fresh.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] for a damaged file or another version.
    pub fn load(path: &Path) -> Result<(Self, usize)> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let file = Reader::new(path, &bytes)?;
        let version = file.text("version")?;
        if version != VERSION {
            return Err(file.bad(format!(
                "expected `version` {VERSION} in the header, got {version}; create the file again with this version"
            )));
        }
        let rows = file.text("rows")?;
        let rows = rows.parse().map_err(|_| {
            file.bad(format!(
                "expected a number as `rows` in the header, got `{rows}`"
            ))
        })?;
        let spec: Spec = serde_json::from_str(file.text("spec")?).map_err(|e| {
            file.bad(format!(
                "expected a specification of synthetic data as `spec` in the header: {e}"
            ))
        })?;
        // The shape of the tensor is checked before memory is allocated by the numbers in `spec`.
        let shape = file.view("directions")?.shape().to_vec();
        if shape != [spec.features, spec.d_in] {
            let expected = [spec.features, spec.d_in];
            return Err(file.bad(format!(
                "tensor directions: expected shape {expected:?}, got {shape:?}"
            )));
        }
        let structure = Structure::new(&spec).map_err(|e| file.bad(e.to_string()))?;
        check(&file, &structure)?;
        let truth = Self {
            directions: finite(&file, "directions", spec.features * spec.d_in)?,
            bias: finite(&file, "bias", spec.d_in)?,
            structure,
            spec,
        };
        Ok((truth, rows))
    }
}

/// True if [`Truth::save`] wrote the file; false for data or weights in safetensors files.
pub fn is_truth(path: &Path) -> bool {
    let ending = path.extension().is_some_and(|e| e == "safetensors");
    ending
        && std::fs::read(path).is_ok_and(|bytes| {
            Reader::new(path, &bytes).is_ok_and(|file| file.text("spec").is_ok())
        })
}

/// Checks that parents, clusters and probabilities in the file equal the values derived from its specification.
fn check(file: &Reader, structure: &Structure) -> Result<()> {
    let other = |name: &str| {
        file.bad(format!(
            "tensor {name}: expected the values that follow from `spec`, got other values"
        ))
    };
    for (name, ours) in [
        ("parents", &structure.parents),
        ("clusters", &structure.clusters),
    ] {
        if file.vector::<i64>(name)? != signed(ours) {
            return Err(other(name));
        }
    }
    let told: Vec<f64> = file.vector("probabilities")?;
    let ours = &structure.probabilities;
    // Results of `powf` differ in the last bit between machines.
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b;
    if told.len() != ours.len() || !told.iter().zip(ours).all(near) {
        return Err(other("probabilities"));
    }
    Ok(())
}

/// Reads a tensor of `count` finite values.
fn finite(file: &Reader, name: &str, count: usize) -> Result<Vec<f32>> {
    let values: Vec<f32> = file.vector(name)?;
    if values.len() != count {
        let got = values.len();
        return Err(file.bad(format!("tensor {name}: expected {count} values, got {got}")));
    }
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(values),
        Some(at) => Err(file.bad(format!(
            "tensor {name}: expected finite numbers, got {} at index {at}",
            values[at]
        ))),
    }
}

/// Numbers as `i64`, -1 for `None`.
fn signed(numbers: &[Option<usize>]) -> Vec<i64> {
    numbers.iter().map(|n| n.map_or(-1, |n| n as i64)).collect()
}
