//! Codes as safetensors: `indptr` and `indices` (i64), `data` (f32), `shape`, perhaps `row_means`.

use std::path::Path;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors};

use super::{Codes, Error, Result, assemble};
use crate::atomic;

pub(super) fn write(path: &Path, codes: &Codes) -> Result<()> {
    let i64s = |values: &mut dyn Iterator<Item = i64>| {
        values.flat_map(i64::to_le_bytes).collect::<Vec<u8>>()
    };
    let f32s = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let mut tensors = vec![
        (
            "indptr",
            Dtype::I64,
            i64s(&mut codes.offsets.iter().map(|&o| o as i64)),
        ),
        (
            "indices",
            Dtype::I64,
            i64s(&mut codes.indices.iter().map(|&i| i64::from(i))),
        ),
        ("data", Dtype::F32, f32s(&codes.values)),
        (
            "shape",
            Dtype::I64,
            i64s(&mut [codes.rows() as i64, codes.d_sae as i64].into_iter()),
        ),
    ];
    if !codes.row_means.is_empty() {
        tensors.push(("row_means", Dtype::F32, f32s(&codes.row_means)));
    }
    let views = tensors.iter().map(|(name, dtype, bytes)| {
        let length = bytes.len() * 8 / dtype.bitsize();
        (
            *name,
            TensorView::new(*dtype, vec![length], bytes).expect("length times size is the bytes"),
        )
    });
    let bytes =
        ::safetensors::serialize(views, None).map_err(|e| Error::format(path, e.to_string()))?;
    atomic::write(path, |out| out.write_all(&bytes))
}

pub(super) fn read(path: &Path) -> Result<Codes> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| Error::format(path, e.to_string()))?;
    let tensor = |name: &str, dtype: Dtype| match file.tensor(name) {
        Ok(tensor) if tensor.dtype() == dtype => Ok(tensor.data().to_vec()),
        Ok(tensor) => Err(Error::format(
            path,
            format!("{name}: expected {dtype:?}, got {:?}", tensor.dtype()),
        )),
        Err(_) => Err(Error::format(
            path,
            format!("expected a tensor `{name}`, got none"),
        )),
    };
    let i64s = |name: &str| -> Result<Vec<i64>> {
        Ok(tensor(name, Dtype::I64)?
            .as_chunks()
            .0
            .iter()
            .map(|b| i64::from_le_bytes(*b))
            .collect())
    };
    let f32s = |name: &str| -> Result<Vec<f32>> {
        Ok(tensor(name, Dtype::F32)?
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect())
    };
    let shape = i64s("shape")?;
    let d_sae = shape
        .get(1)
        .and_then(|&d| usize::try_from(d).ok())
        .unwrap_or(0);
    let mut codes = assemble(
        path,
        d_sae,
        i64s("indptr")?,
        i64s("indices")?,
        f32s("data")?,
    )?;
    if file.tensor("row_means").is_ok() {
        codes.row_means = f32s("row_means")?;
    }
    Ok(codes)
}
