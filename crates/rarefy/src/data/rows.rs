//! Rows in any form that a caller has: a source, a dataset, a slice with its width.

use std::path::Path;

use super::{Dataset, Source, check_finite};
use crate::{Error, Result};

/// Borrowed rows that [`Builder::fit`](crate::Builder::fit), [`Model::encode`](crate::model::Model::encode) and others
/// take as `impl Into<Rows>`. Pass a `&Dataset`, a `&dyn Source` or any `&impl Source`, or `(&values, d_in)`: a
/// row-major slice or `Vec` with the width of a row.
///
/// # Example
/// ```
/// use rarefy::Rows;
/// let values = [0.0, 1.0, 2.0, 3.0];
/// let rows = Rows::from((&values[..], 2));
/// assert_eq!(rows.check()?.source().rows(), 2);
/// assert!(Rows::from((&values[..], 3)).check().is_err());
/// # Ok::<(), rarefy::Error>(())
/// ```
pub struct Rows<'a>(Form<'a>);

enum Form<'a> {
    Source(&'a dyn Source),
    Dataset(&'a Dataset<'a>),
    Slice(Slice<'a>),
    /// Rows of a view whose values do not lie row by row, copied.
    #[cfg(feature = "ndarray")]
    Owned(super::Memory),
}

impl<'a> Rows<'a> {
    /// Returns the rows unchanged, or an error if there are none, if a slice ends within a row, or if rows in memory hold
    /// NaN or infinities. `fit`, `encode` and `evaluate` make this check themselves.
    ///
    /// # Errors
    /// [`Error::Shape`] for no rows or a part of a row; [`Error::NotFinite`] with row and column.
    pub fn check(self) -> Result<Self> {
        if let Form::Slice(Slice { values, width }) = &self.0 {
            whole_rows("rows", values, *width)?;
        }
        let source = self.source();
        if source.rows() == 0 || source.d_in() == 0 {
            return Err(Error::Shape {
                what: source.name().into(),
                expected: "one or more rows of one or more values".into(),
                got: format!("{} rows of {} values", source.rows(), source.d_in()),
            });
        }
        // A source that reads its rows refuses such values itself.
        if let Some(values) = source.as_slice() {
            check_finite(Path::new(source.name()), 0, source.d_in(), values)?;
        }
        Ok(self)
    }

    /// Returns the rows as a [`Source`], which gives number, width and values of rows. Use in a function that accepts
    /// slices, datasets and sources alike.
    pub fn source(&self) -> &dyn Source {
        match &self.0 {
            Form::Source(source) => *source,
            Form::Dataset(dataset) => dataset.source.as_ref(),
            Form::Slice(slice) => slice,
            #[cfg(feature = "ndarray")]
            Form::Owned(rows) => rows,
        }
    }

    /// The dataset that the rows were given as, if any.
    pub(crate) fn dataset(&self) -> Option<&'a Dataset<'a>> {
        match self.0 {
            Form::Dataset(dataset) => Some(dataset),
            _ => None,
        }
    }
}

impl<'a> From<&'a dyn Source> for Rows<'a> {
    fn from(source: &'a dyn Source) -> Self {
        Self(Form::Source(source))
    }
}

impl<'a, S: Source> From<&'a S> for Rows<'a> {
    fn from(source: &'a S) -> Self {
        Self(Form::Source(source))
    }
}

impl<'a> From<&'a Dataset<'a>> for Rows<'a> {
    fn from(dataset: &'a Dataset<'a>) -> Self {
        Self(Form::Dataset(dataset))
    }
}

impl<'a> From<(&'a [f32], usize)> for Rows<'a> {
    fn from((values, width): (&'a [f32], usize)) -> Self {
        Self(Form::Slice(Slice { values, width }))
    }
}

impl<'a> From<(&'a Vec<f32>, usize)> for Rows<'a> {
    fn from((values, width): (&'a Vec<f32>, usize)) -> Self {
        (values.as_slice(), width).into()
    }
}

/// A matrix of the crate `ndarray`, one sample a row. A view in another order than row by row is copied.
///
/// # Example
/// ```
/// use ndarray::array;
/// use rarefy::Rows;
/// let x = array![[0.0_f32, 1.0], [2.0, 3.0], [4.0, 5.0]];
/// let columns = x.t(); // two rows of three values
/// let rows = Rows::from(columns).check()?;
/// assert_eq!((rows.source().rows(), rows.source().d_in()), (2, 3));
/// assert_eq!(rows.source().as_slice(), Some(&[0.0, 2.0, 4.0, 1.0, 3.0, 5.0][..]));
/// # Ok::<(), rarefy::Error>(())
/// ```
#[cfg(feature = "ndarray")]
impl<'a> From<ndarray::ArrayView2<'a, f32>> for Rows<'a> {
    fn from(view: ndarray::ArrayView2<'a, f32>) -> Self {
        let width = view.ncols();
        if let Some(values) = view.to_slice() {
            return (values, width).into();
        }
        let values = view.iter().copied().collect();
        Self(Form::Owned(super::Memory::new(
            "rows in memory",
            width,
            values,
        )))
    }
}

#[cfg(feature = "ndarray")]
impl<'a> From<&'a ndarray::Array2<f32>> for Rows<'a> {
    fn from(matrix: &'a ndarray::Array2<f32>) -> Self {
        matrix.view().into()
    }
}

/// Refuses values that are no whole rows.
pub(crate) fn whole_rows(what: &str, values: &[f32], width: usize) -> Result<()> {
    if width > 0 && !values.is_empty() && values.len().is_multiple_of(width) {
        return Ok(());
    }
    Err(Error::Shape {
        what: what.into(),
        expected: format!("one or more rows of {width} values"),
        got: format!("{} values", values.len()),
    })
}

/// Borrowed rows in memory.
pub(crate) struct Slice<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) width: usize,
}

impl Source for Slice<'_> {
    fn name(&self) -> &'static str {
        "rows in memory"
    }

    fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    fn d_in(&self) -> usize {
        self.width
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        out.copy_from_slice(&self.values[start * self.width..][..out.len()]);
        Ok(())
    }

    fn as_slice(&self) -> Option<&[f32]> {
        Some(self.values)
    }
}
