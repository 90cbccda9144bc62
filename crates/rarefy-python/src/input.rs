//! Rows of a caller: numpy arrays of any number type and order, borrowed, or paths.

use std::path::Path;

use half::{bf16, f16};
use numpy::ndarray::ArrayView2;
use numpy::{
    Element, PyArrayDescrMethods, PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use rarefy::data::{Dataset, OpenOptions, Source, check_finite};
use rarefy::{Error, Result};

use crate::watch::Watch;

/// Number that becomes an `f32`.
trait Number: Copy + Sync {
    fn narrow(self) -> f32;
    fn wide(self) -> f64;
    /// True if `f32` loses digits of it.
    const IS_WIDE: bool = false;
}

macro_rules! numbers {
    ($($kind:ty => $wide:literal),*) => {
        $(impl Number for $kind {
            #[allow(clippy::cast_lossless, reason = "one macro for all types")]
            fn narrow(self) -> f32 { self as f32 }
            #[allow(clippy::cast_lossless, reason = "one macro for all types")]
            fn wide(self) -> f64 { self as f64 }
            const IS_WIDE: bool = $wide;
        })*
    };
}
numbers!(f32 => false, i8 => false, u8 => false, i16 => false, u16 => false);
numbers!(f64 => true, i32 => true, u32 => true, i64 => true, u64 => true);

impl Number for f16 {
    fn narrow(self) -> f32 {
        self.to_f32()
    }
    fn wide(self) -> f64 {
        self.to_f64()
    }
}

impl Number for bool {
    fn narrow(self) -> f32 {
        f32::from(self)
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

/// The 16 bits of a `bf16`, which numpy has no type for.
#[derive(Clone, Copy)]
struct Bits(u16);

impl Number for Bits {
    fn narrow(self) -> f32 {
        bf16::from_bits(self.0).to_f32()
    }
    fn wide(self) -> f64 {
        bf16::from_bits(self.0).to_f64()
    }
}

/// Borrowed matrix of one number type, in any order. Rows become `f32` as they are read, so nothing is copied as a whole.
struct Matrix<'a, T, F> {
    name: &'a str,
    values: ArrayView2<'a, T>,
    /// Number of an element, which may be stored as bits.
    number: F,
}

impl<T: Copy + Sync, N: Number, F: Fn(T) -> N + Sync + Send> Matrix<'_, T, F> {
    fn copy_row(&self, row: usize, out: &mut [f32]) {
        let row = self.values.row(row);
        match row.as_slice() {
            Some(row) => out
                .iter_mut()
                .zip(row)
                .for_each(|(o, v)| *o = (self.number)(*v).narrow()),
            None => out
                .iter_mut()
                .zip(&row)
                .for_each(|(o, v)| *o = (self.number)(*v).narrow()),
        }
    }
}

impl<T: Copy + Sync, N: Number, F: Fn(T) -> N + Sync + Send> Matrix<'_, T, F> {
    /// Refuses NaN and infinities, and numbers that `f32` cannot hold.
    fn check(&self, start: usize, values: &[f32]) -> Result<()> {
        let Err(error) = check_finite(Path::new(self.name), start, self.values.ncols(), values)
        else {
            return Ok(());
        };
        let Error::NotFinite { row, column, .. } = error else {
            return Err(error);
        };
        let value = (self.number)(self.values[[row, column]]).wide();
        if !value.is_finite() {
            return Err(error);
        }
        Err(Error::OutOfRange {
            path: self.name.into(),
            place: format!("row {row}, column {column}"),
            got: value,
        })
    }
}

impl<T: Copy + Sync + Send, N: Number, F: Fn(T) -> N + Sync + Send> Source for Matrix<'_, T, F> {
    fn name(&self) -> &str {
        self.name
    }

    fn rows(&self) -> usize {
        self.values.nrows()
    }

    fn d_in(&self) -> usize {
        self.values.ncols()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        for (row, out) in out.chunks_exact_mut(self.d_in()).enumerate() {
            self.copy_row(start + row, out);
        }
        self.check(start, out)
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(self.d_in())) {
            self.copy_row(*row, out);
            self.check(*row, out)?;
        }
        Ok(())
    }

    fn has_f64(&self) -> bool {
        N::IS_WIDE
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        for (row, out) in out.chunks_exact_mut(self.d_in()).enumerate() {
            let values = self.values.row(start + row);
            for (column, (out, value)) in out.iter_mut().zip(&values).enumerate() {
                *out = (self.number)(*value).wide();
                if !out.is_finite() {
                    return Err(Error::NotFinite {
                        path: self.name.into(),
                        row: start + row,
                        column,
                        got: *out as f32,
                    });
                }
            }
        }
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        true
    }
}

/// Rows as Python hands them over: a numpy matrix, borrowed as long as the value lives, or paths of files.
pub struct Input<'py> {
    name: String,
    form: Form<'py>,
}

enum Form<'py> {
    F32(PyReadonlyArray2<'py, f32>),
    F64(PyReadonlyArray2<'py, f64>),
    F16(PyReadonlyArray2<'py, f16>),
    Bf16(PyReadonlyArray2<'py, u16>),
    I8(PyReadonlyArray2<'py, i8>),
    U8(PyReadonlyArray2<'py, u8>),
    I16(PyReadonlyArray2<'py, i16>),
    U16(PyReadonlyArray2<'py, u16>),
    I32(PyReadonlyArray2<'py, i32>),
    U32(PyReadonlyArray2<'py, u32>),
    I64(PyReadonlyArray2<'py, i64>),
    U64(PyReadonlyArray2<'py, u64>),
    Bool(PyReadonlyArray2<'py, bool>),
    Paths(Vec<String>),
}

impl<'py> FromPyObject<'_, 'py> for Input<'py> {
    type Error = PyErr;

    /// Takes a `rarefy._arrays.Rows`: `values` is a matrix or a list of paths, `is_bf16` says that the matrix holds bits.
    fn extract(rows: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let name: String = rows.getattr("name")?.extract()?;
        let values = rows.getattr("values")?;
        if let Ok(paths) = values.extract::<Vec<String>>() {
            let form = Form::Paths(paths);
            return Ok(Self { name, form });
        }
        let is_bf16: bool = rows.getattr("is_bf16")?.extract()?;
        let form = matrix(&values, is_bf16)?;
        Ok(Self { name, form })
    }
}

/// The matrix in its own number type.
fn matrix<'py>(values: &Bound<'py, PyAny>, is_bf16: bool) -> PyResult<Form<'py>> {
    let array = values.cast::<PyUntypedArray>()?;
    let dtype = array.dtype();
    let is = |other: &Bound<'py, numpy::PyArrayDescr>| dtype.is_equiv_to(other);
    let py = values.py();
    macro_rules! try_as {
        ($($form:ident: $kind:ty),*) => {
            $(if is(&<$kind>::get_dtype(py)) {
                return Ok(Form::$form(values.extract::<PyReadonlyArray2<'py, $kind>>().map_err(PyErr::from)?));
            })*
        };
    }
    if is_bf16 {
        return Ok(Form::Bf16(values.extract()?));
    }
    try_as!(F32: f32, F64: f64, F16: f16, I8: i8, U8: u8, I16: i16, U16: u16, I32: i32, U32: u32, I64: i64, U64: u64, Bool: bool);
    Err(PyTypeError::new_err(format!(
        "expected an array of numbers, got dtype {dtype}"
    )))
}

impl Input<'_> {
    /// True if reading rows costs no more than copying them, so that a copy in memory gains nothing.
    pub fn is_plain(&self) -> bool {
        matches!(&self.form, Form::F32(values) if values.is_c_contiguous())
    }

    /// True if the rows are files.
    pub fn paths(&self) -> Option<&[String]> {
        match &self.form {
            Form::Paths(paths) => Some(paths),
            _ => None,
        }
    }

    /// A view that another thread can read.
    pub fn view(&self) -> View<'_> {
        let name = &*self.name;
        let form = match &self.form {
            Form::F32(v) => ViewForm::F32(v.as_array()),
            Form::F64(v) => ViewForm::F64(v.as_array()),
            Form::F16(v) => ViewForm::F16(v.as_array()),
            Form::Bf16(v) => ViewForm::Bf16(v.as_array()),
            Form::I8(v) => ViewForm::I8(v.as_array()),
            Form::U8(v) => ViewForm::U8(v.as_array()),
            Form::I16(v) => ViewForm::I16(v.as_array()),
            Form::U16(v) => ViewForm::U16(v.as_array()),
            Form::I32(v) => ViewForm::I32(v.as_array()),
            Form::U32(v) => ViewForm::U32(v.as_array()),
            Form::I64(v) => ViewForm::I64(v.as_array()),
            Form::U64(v) => ViewForm::U64(v.as_array()),
            Form::Bool(v) => ViewForm::Bool(v.as_array()),
            Form::Paths(paths) => ViewForm::Paths(paths),
        };
        View { name, form }
    }
}

/// Borrowed rows without the interpreter.
#[derive(Clone)]
pub struct View<'a> {
    name: &'a str,
    form: ViewForm<'a>,
}

#[derive(Clone)]
enum ViewForm<'a> {
    F32(ArrayView2<'a, f32>),
    F64(ArrayView2<'a, f64>),
    F16(ArrayView2<'a, f16>),
    Bf16(ArrayView2<'a, u16>),
    I8(ArrayView2<'a, i8>),
    U8(ArrayView2<'a, u8>),
    I16(ArrayView2<'a, i16>),
    U16(ArrayView2<'a, u16>),
    I32(ArrayView2<'a, i32>),
    U32(ArrayView2<'a, u32>),
    I64(ArrayView2<'a, i64>),
    U64(ArrayView2<'a, u64>),
    Bool(ArrayView2<'a, bool>),
    Paths(&'a [String]),
}

impl<'a> View<'a> {
    /// The rows with their name; those of files with labels, texts and notes. Reading them ends if the caller asked to stop.
    pub fn dataset<'d>(self, watch: &'d Watch, options: &OpenOptions) -> Result<Dataset<'d>>
    where
        'a: 'd,
    {
        let name = self.name;
        macro_rules! same {
            ($values:expr) => {
                Dataset::new(Matrix {
                    name,
                    values: $values,
                    number: |v| v,
                })
            };
        }
        let dataset = match self.form {
            ViewForm::F32(values) => same!(values),
            ViewForm::F64(values) => same!(values),
            ViewForm::F16(values) => same!(values),
            ViewForm::Bf16(values) => Dataset::new(Matrix {
                name,
                values,
                number: Bits,
            }),
            ViewForm::I8(values) => same!(values),
            ViewForm::U8(values) => same!(values),
            ViewForm::I16(values) => same!(values),
            ViewForm::U16(values) => same!(values),
            ViewForm::I32(values) => same!(values),
            ViewForm::U32(values) => same!(values),
            ViewForm::I64(values) => same!(values),
            ViewForm::U64(values) => same!(values),
            ViewForm::Bool(values) => same!(values),
            ViewForm::Paths(paths) => {
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                rarefy::data::open_all(&paths, options)?
            }
        };
        Ok(watched(dataset, watch))
    }
}

/// Rows that are read only while nobody asked to stop.
pub fn watched<'d>(dataset: Dataset<'d>, watch: &'d Watch) -> Dataset<'d> {
    rarefy_run::watched::watched(dataset, |_| watch.check())
}

/// Labels and texts that the caller gives in place of those of the data.
///
/// # Errors
/// [`Error::Shape`] for another number of them than rows.
pub fn with_cells(
    mut dataset: Dataset<'_>,
    labels: Option<Vec<String>>,
    texts: Option<Vec<String>>,
) -> Result<Dataset<'_>> {
    let rows = dataset.source.rows();
    for (name, cells, place) in [
        ("labels", labels, &mut dataset.labels),
        ("texts", texts, &mut dataset.texts),
    ] {
        let Some(cells) = cells else { continue };
        if cells.len() != rows {
            return Err(Error::Shape {
                what: name.into(),
                expected: format!("{rows}, one for each row"),
                got: cells.len().to_string(),
            });
        }
        *place = Some(cells);
    }
    Ok(dataset)
}
