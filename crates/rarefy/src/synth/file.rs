//! A truth on disk, `.safetensors`: what it is made of, and what came of that.
//!
//! Tensors `directions` (f32, `[features, d_in]`), `bias` (f32, `[d_in]`), `probabilities` (f64),
//! `parents` and `clusters` (i64, -1 for none). The header's texts hold `version`, `spec` as JSON and
//! `rows`, the number of rows that were written as data. The directions and the bias are the file's:
//! whoever wants others puts them there. All else follows from `spec`, and must.

use std::path::Path;

use super::{Spec, Structure, Truth};
use crate::tensors::{Reader, Writer};
use crate::{Error, Result};

/// Raised when the same settings come to mean other rows.
const VERSION: &str = "1";

impl Truth {
    /// Writes the truth, atomically; `rows` is how many of its rows were written as data.
    ///
    /// # Errors
    /// [`Error::Io`].
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

    /// Reads what [`Truth::save`] wrote, and how many rows it was told of: the rows from there on
    /// are in no data.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a damaged file, or one of another version.
    pub fn load(path: &Path) -> Result<(Self, usize)> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let file = Reader::new(path, &bytes)?;
        let version = file.text("version")?;
        if version != VERSION {
            return Err(file.bad(format!("expected version {VERSION}, got {version}")));
        }
        let rows = file.text("rows")?;
        let rows = rows
            .parse()
            .map_err(|_| file.bad(format!("expected a number as `rows`, got `{rows}`")))?;
        let spec: Spec = serde_json::from_str(file.text("spec")?)
            .map_err(|e| file.bad(format!("expected a specification as `spec`: {e}")))?;
        // The file has as many values as it says; before anything is made of the numbers in `spec`.
        let shape = file.view("directions")?.shape().to_vec();
        if shape != [spec.features, spec.d_in] {
            let expected = [spec.features, spec.d_in];
            return Err(file.bad(format!("directions: expected {expected:?}, got {shape:?}")));
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

/// Whether a file is one that [`Truth::save`] wrote, and not rows or weights in the same format.
pub fn is_truth(path: &Path) -> bool {
    let ending = path.extension().is_some_and(|e| e == "safetensors");
    ending
        && std::fs::read(path).is_ok_and(|bytes| {
            Reader::new(path, &bytes).is_ok_and(|file| file.text("spec").is_ok())
        })
}

/// The structure that the file tells must be the one that its specification has here.
fn check(file: &Reader, structure: &Structure) -> Result<()> {
    let other = |name: &str| {
        file.bad(format!(
            "{name}: expected what follows from `spec`, got other values"
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
    // Powers differ in the last place from machine to machine.
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b;
    if told.len() != ours.len() || !told.iter().zip(ours).all(near) {
        return Err(other("probabilities"));
    }
    Ok(())
}

fn finite(file: &Reader, name: &str, count: usize) -> Result<Vec<f32>> {
    let values: Vec<f32> = file.vector(name)?;
    if values.len() != count {
        let got = values.len();
        return Err(file.bad(format!("{name}: expected {count} values, got {got}")));
    }
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(values),
        Some(at) => Err(file.bad(format!(
            "{name}: expected finite numbers, got {} at index {at}",
            values[at]
        ))),
    }
}

fn signed(numbers: &[Option<usize>]) -> Vec<i64> {
    numbers.iter().map(|n| n.map_or(-1, |n| n as i64)).collect()
}
