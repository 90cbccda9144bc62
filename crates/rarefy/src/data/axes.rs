//! Axes of arrays: one rule for npy, npz, safetensors and IDX that makes rows of an array of any shape.
//!
//! ```text
//! 2 axes   [n, d]         n rows of d values
//! images   [n, h, w ...]  n rows of h * w ... values; see `image_shape`
//! others   [a, b ..., d]  a * b ... rows of d values, as for activations [prompts, tokens, width]
//! ```
//!
//! `data.row_axis` overrides the rule. Every choice for more than two axes is stated in a note.

use std::ops::RangeInclusive;
use std::path::Path;

use super::{Element, Places, RowAxis};
use crate::{Error, Result};

/// Plausible heights and widths of an image in pixels.
const PIXELS: RangeInclusive<usize> = 2..=4096;

/// Array as stored: its shape and what else decides how rows are made of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Array<'a> {
    /// Sizes of all axes.
    pub(super) shape: &'a [usize],
    /// Element type.
    pub(super) element: Element,
    /// True for a format of images, IDX.
    pub(super) is_images: bool,
}

/// Largest number of axes, that of `NumPy`.
const MOST_AXES: usize = 64;

/// Refuses shapes of more axes than an array has; a damaged header may list thousands.
pub(super) fn check_axes(path: &Path, shape: &[usize]) -> Result<()> {
    if shape.len() <= MOST_AXES {
        return Ok(());
    }
    let got = shape.len();
    let why =
        format!("expected an array of at most {MOST_AXES} axes, got {got}; write the file again");
    Err(Error::format(path, why))
}

/// Rows that an array is read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArrayRows {
    /// Number of rows.
    pub(super) rows: usize,
    /// Number of values in a row.
    pub(super) d_in: usize,
    /// Height and width, if each row is an image in row-major order, with one channel or with three in the last axis.
    pub(super) image_shape: Option<(usize, usize)>,
    /// Places of the rows in the entries of the axis before the last, such as the tokens of a prompt; `None` for rows of other axes.
    pub(super) places: Option<Places>,
    /// Statement about the axes; `None` for a matrix.
    pub(super) note: Option<String>,
}

impl Array<'_> {
    /// Rows of the array, by `axis` or by the rule above. `path` names the array in messages.
    ///
    /// # Errors
    /// [`Error::Format`] for fewer than two axes and for sizes whose product exceeds a `usize`.
    pub(super) fn rows(&self, path: &Path, axis: Option<RowAxis>) -> Result<ArrayRows> {
        check_axes(path, self.shape)?;
        let (first, rest, last) = match self.shape {
            [] => return Err(not_a_matrix(path, "(), a single number")),
            [_] => {
                let hint = format!("{:?}; reshape a single row with x[None, :]", self.shape);
                return Err(not_a_matrix(path, &hint));
            }
            [first, .., last] => (*first, &self.shape[1..], *last),
        };
        let flat = (first, product(path, self.shape, rest)?);
        let all_but_last = &self.shape[..self.shape.len() - 1];
        let by_last = (product(path, self.shape, all_but_last)?, last);
        let image = self.image();
        let chosen = axis.unwrap_or(match image {
            Some(_) => RowAxis::Flatten,
            None => RowAxis::Last,
        });
        let ((rows, d_in), other) = match chosen {
            RowAxis::Flatten => (flat, by_last),
            RowAxis::Last => (by_last, flat),
        };
        let image = image.filter(|_| chosen == RowAxis::Flatten);
        let note = (self.shape.len() > 2).then(|| {
            let read = match (&image, chosen) {
                (Some(Image { sizes, .. }), _) => {
                    let noun = if rows == 1 { "image" } else { "images" };
                    format!("{noun} of {sizes} ({d_in} values)")
                }
                (None, RowAxis::Last) => format!("rows of {d_in} values (last axis)"),
                (None, RowAxis::Flatten) => {
                    format!("rows of {d_in} values (all axes but the first)")
                }
            };
            self.note(path, chosen, &format!("{rows} {read}"), other)
        });
        Ok(ArrayRows {
            rows,
            d_in,
            image_shape: image.and_then(|image| image.shape),
            places: (self.shape.len() > 2 && chosen == RowAxis::Last)
                .then(|| Places::every(self.shape[self.shape.len() - 2]))
                .flatten(),
            note,
        })
    }

    /// Sentence about the rows that were made, and about the `other` rows that `data.row_axis` would make.
    fn note(&self, path: &Path, chosen: RowAxis, read: &str, other: (usize, usize)) -> String {
        let option = match chosen {
            RowAxis::Last => "flatten",
            RowAxis::Flatten => "last",
        };
        format!(
            "{}: shape {:?} read as {read}; `data.row_axis = {option}` reads {} rows of {} values",
            path.display(),
            self.shape,
            other.0,
            other.1
        )
    }

    /// Image that each entry of the first axis is; `None` if the array does not look like images.
    ///
    /// Images are bytes of three or four axes with plausible sizes. Four axes of which the last has size 3 are colour
    /// images in any element type, because no one trains on rows of 3 values of four axes.
    fn image(&self) -> Option<Image> {
        let pixels = |h: &usize, w: &usize| PIXELS.contains(h) && PIXELS.contains(w);
        let grey = |h: &usize, w: &usize| Image::new(&[*h, *w], Some((*h, *w)));
        let bytes = self.element == Element::U8;
        match self.shape {
            [_, h, w] if self.is_images => Some(grey(h, w)),
            [_, h, w, 3] if pixels(h, w) => Some(Image::new(&[*h, *w, 3], Some((*h, *w)))),
            [_, h, w] | [_, h, w, 1] | [_, 1, h, w] if bytes && pixels(h, w) => Some(grey(h, w)),
            [_, h, w, 4] if bytes && pixels(h, w) => Some(Image::new(&[*h, *w, 4], None)),
            [_, c @ (3 | 4), h, w] if bytes && pixels(h, w) => {
                Some(Image::new(&[*c, *h, *w], None))
            }
            [_, _, _, ..] if self.is_images => Some(Image::new(&self.shape[1..], None)),
            _ => None,
        }
    }
}

/// Image in an array: its sizes in words, and height and width if a row can be drawn.
struct Image {
    sizes: String,
    shape: Option<(usize, usize)>,
}

impl Image {
    fn new(sizes: &[usize], shape: Option<(usize, usize)>) -> Self {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        Self {
            sizes: sizes.join(" x "),
            shape,
        }
    }
}

fn not_a_matrix(path: &Path, got: &str) -> Error {
    Error::format(
        path,
        format!("expected a matrix (rows x values), got shape {got}"),
    )
}

fn product(path: &Path, shape: &[usize], axes: &[usize]) -> Result<usize> {
    let product = axes.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
    product.ok_or_else(|| {
        let why = format!("expected less than 2^64 values in a row, got shape {shape:?}");
        Error::format(path, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(shape: &[usize], element: Element, axis: Option<RowAxis>) -> ArrayRows {
        let array = Array {
            shape,
            element,
            is_images: false,
        };
        array.rows(Path::new("x.npy"), axis).unwrap()
    }

    #[test]
    fn activations_have_rows_of_the_last_axis() {
        let got = rows(&[20, 5, 8], Element::F32, None);
        assert_eq!((got.rows, got.d_in, got.image_shape), (100, 8, None));
        assert_eq!(
            got.note.unwrap(),
            "x.npy: shape [20, 5, 8] read as 100 rows of 8 values (last axis); `data.row_axis = flatten` reads 20 rows \
             of 40 values"
        );
        let got = rows(&[2, 3, 4, 8], Element::F16, None);
        assert_eq!((got.rows, got.d_in), (24, 8));
        let got = rows(&[20, 5, 8], Element::F32, Some(RowAxis::Flatten));
        assert_eq!((got.rows, got.d_in), (20, 40));
        assert!(got.note.unwrap().contains("all axes but the first"));
        assert_eq!(rows(&[20, 5], Element::F32, None).note, None);
    }

    #[test]
    fn bytes_of_plausible_sizes_are_images() {
        for (shape, d_in, image_shape) in [
            (&[9, 28, 20][..], 560, Some((28, 20))),
            (&[9, 28, 20, 1], 560, Some((28, 20))),
            (&[9, 1, 28, 20], 560, Some((28, 20))),
            (&[9, 28, 20, 3], 1680, Some((28, 20))),
            (&[9, 28, 20, 4], 2240, None),
            (&[9, 3, 28, 20], 1680, None),
        ] {
            let got = rows(shape, Element::U8, None);
            assert_eq!(
                (got.rows, got.d_in, got.image_shape),
                (9, d_in, image_shape),
                "{shape:?}"
            );
            assert!(got.note.unwrap().contains("9 images of"));
            let got = rows(shape, Element::U8, Some(RowAxis::Last));
            assert_eq!(
                (got.d_in, got.image_shape),
                (shape[shape.len() - 1], None),
                "{shape:?}"
            );
        }
        // One pixel is no image, nor is a width that no camera has.
        assert_eq!(rows(&[9, 1, 20], Element::U8, None).d_in, 20);
        assert_eq!(rows(&[9, 20, 5000], Element::U8, None).d_in, 5000);
        // Activations of another type with three entries in the second axis stay activations.
        assert_eq!(rows(&[9, 3, 28, 20], Element::F32, None).d_in, 20);
        assert_eq!(
            rows(&[9, 8, 8, 3], Element::F32, None).image_shape,
            Some((8, 8))
        );
    }

    #[test]
    fn product_of_sizes_above_2_64_is_refused() {
        let array = Array {
            shape: &[1 << 40, 1 << 40, 4],
            element: Element::F32,
            is_images: false,
        };
        let error = array.rows(Path::new("x"), None).unwrap_err().to_string();
        assert!(error.contains("2^64"), "{error}");
    }
}
