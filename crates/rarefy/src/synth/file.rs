//! File format of a known dictionary, `.safetensors`.
//!
//! The tensors are `directions` (f32, `[features, d_in]`), `bias` (f32, `[d_in]`), `probabilities` (f64),
//! `parents` and `clusters` (i64, -1 for none). The texts of the header are `version`, `spec` or `factors` (JSON: the
//! specification of clusters, or that of features driven by few factors) and `rows`, the number of rows that training reads.
//! Directions and bias are read from the file, so that users can replace them. All other tensors must equal the values
//! derived from the specification.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::clusters::Clusters;
use super::factors::Factors;
use super::{FactorSpec, Process, Spec, Truth};
use crate::tensors::{Reader, Writer, texts};
use crate::{Error, Result};

/// Version of the format. It increases if equal settings give other rows.
const VERSION: &str = "1";
/// Largest number of rows that a file may name.
const MOST_ROWS: usize = 1 << 40;
/// Text of the header that holds a specification of clusters.
const CLUSTERS: &str = "spec";
/// Text of the header that holds a specification of factors.
const FACTORS: &str = "factors";

impl Truth {
    /// Writes the dictionary to a file, atomically. `rows` is the number of rows that were written as data.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path, rows: usize) -> Result<()> {
        let (key, spec) = match &self.process {
            Process::Clusters(clusters) => (CLUSTERS, serde_json::to_string(&clusters.spec)),
            Process::Factors(factors) => (FACTORS, serde_json::to_string(&factors.spec)),
        };
        let spec = spec.expect("a specification is JSON");
        let (parents, clusters) = (signed(self.parents()), self.signed_clusters());
        let mut file = Writer::default();
        file.tensor(
            "directions",
            &[self.features(), self.d_in()],
            &self.directions,
        );
        file.vector("bias", &self.bias);
        file.vector("probabilities", self.probabilities());
        file.vector("parents", &parents);
        file.vector("clusters", &clusters);
        file.text("version", &VERSION);
        file.text(key, &spec);
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
        if rows > MOST_ROWS {
            return Err(file.bad(format!(
                "expected `rows` of at most {MOST_ROWS}, got {rows}"
            )));
        }
        // The shape of the tensor is checked before memory is allocated by the numbers of the specification.
        let process = if file.text(FACTORS).is_ok() {
            let spec: FactorSpec = specification(&file, FACTORS)?;
            check_shape(&file, [spec.features, spec.d_in])?;
            let factors = Factors::new(&spec).map_err(|e| file.bad(e.to_string()))?;
            Process::Factors(Box::new(factors))
        } else {
            let spec: Spec = specification(&file, CLUSTERS)?;
            check_shape(&file, [spec.features, spec.d_in])?;
            let clusters = Clusters::new(&spec).map_err(|e| file.bad(e.to_string()))?;
            Process::Clusters(Box::new(clusters))
        };
        let [features, d_in] =
            [0, 1].map(|axis| file.view("directions").map(|view| view.shape()[axis]));
        let (features, d_in) = (features?, d_in?);
        let truth = Self {
            directions: finite(&file, "directions", features * d_in)?,
            bias: finite(&file, "bias", d_in)?,
            process,
        };
        truth.check(&file)?;
        Ok((truth, rows))
    }

    /// Checks that parents, clusters and probabilities in the file equal the values derived from its specification.
    fn check(&self, file: &Reader) -> Result<()> {
        let other = |name: &str| {
            file.bad(format!(
                "tensor {name}: expected the values that follow from the specification, got other values"
            ))
        };
        for (name, ours) in [
            ("parents", signed(self.parents())),
            ("clusters", self.signed_clusters()),
        ] {
            if file.vector::<i64>(name)? != ours {
                return Err(other(name));
            }
        }
        let told: Vec<f64> = file.vector("probabilities")?;
        let ours = self.probabilities();
        // Results of `powf` differ in the last bit between machines.
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b;
        if told.len() != ours.len() || !told.iter().zip(ours).all(near) {
            return Err(other("probabilities"));
        }
        Ok(())
    }

    /// Cluster of each feature as `i64`.
    fn signed_clusters(&self) -> Vec<i64> {
        let clusters: Vec<_> = (0..self.features()).map(|f| self.cluster(f)).collect();
        signed(&clusters)
    }
}

/// True if [`Truth::save`] wrote the file; false for data or weights in safetensors files.
pub fn is_truth(path: &Path) -> bool {
    let ending = path.extension().is_some_and(|e| e == "safetensors");
    let says_so = || {
        let texts = texts(path);
        [CLUSTERS, FACTORS]
            .iter()
            .any(|key| texts.contains_key(*key))
    };
    ending && says_so()
}

/// Reads the specification in the header.
fn specification<T: DeserializeOwned>(file: &Reader, key: &str) -> Result<T> {
    serde_json::from_str(file.text(key)?).map_err(|e| {
        file.bad(format!(
            "expected a specification of synthetic data as `{key}` in the header: {e}"
        ))
    })
}

fn check_shape(file: &Reader, expected: [usize; 2]) -> Result<()> {
    let shape = file.view("directions")?.shape().to_vec();
    if shape == expected {
        return Ok(());
    }
    Err(file.bad(format!(
        "tensor directions: expected shape {expected:?}, got {shape:?}"
    )))
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
