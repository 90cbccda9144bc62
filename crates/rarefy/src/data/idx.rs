//! IDX reader, the format of MNIST: a big-endian header with element type and sizes, then the values.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::axes::{Array, ArrayRows};
use super::content;
use super::file_matrix::exactly;
use super::{Dataset, Element, FileMatrix, MatrixLayout, OpenOptions, RowAxis, check_finite};
use crate::{Error, Result};

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    let (mut input, packed) = content::unpacked(path)?;
    let header = Header::read(path, &mut input)?;
    let (layout, rows) = header.matrix(path, options.row_axis)?;
    let mut dataset = if packed {
        let values = layout.decode(path, input)?;
        let mut exact = None;
        if layout.needs_f64(&values) {
            let (mut input, _) = content::unpacked(path)?;
            Header::read(path, &mut input)?;
            exact = Some(layout.decode(path, input)?);
        }
        Dataset::new(layout.source(path, values, exact))
    } else {
        let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
        layout.check_end(path, length)?;
        Dataset::new(FileMatrix::open(path, layout)?)
    };
    dataset.image_shape = rows.image_shape;
    dataset.notes.extend(rows.note);
    // Rows of single pixel lines have no labels.
    dataset.labels = labels_paths(path)
        .find(|beside| beside.exists() && Some(&layout.rows) == header.sizes.first())
        .map(|beside| labels(&beside, path, layout.rows))
        .transpose()?;
    Ok(dataset)
}

/// Paths of the labels file that may belong to an images file, by the usual names.
fn labels_paths(images: &Path) -> impl Iterator<Item = PathBuf> {
    beside(images, [("images", "labels"), ("idx3", "idx1")])
}

/// Paths of the images file that a labels file may belong to, by the usual names.
pub(super) fn images_paths(labels: &Path) -> impl Iterator<Item = PathBuf> {
    beside(labels, [("labels", "images"), ("idx1", "idx3")])
}

/// Paths in the same folder with the words of the name replaced, as it is, without `.gz` and with `.gz`. None if the
/// name lacks the first word.
fn beside(path: &Path, words: [(&str, &str); 2]) -> impl Iterator<Item = PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.filter(|name| name.contains(words[0].0)).map(|name| {
        let name = words
            .iter()
            .fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
        let other = match name.strip_suffix(".gz") {
            Some(plain) => plain.to_owned(),
            None => format!("{name}.gz"),
        };
        [path.with_file_name(name), path.with_file_name(other)]
    });
    name.into_iter().flatten()
}

/// Header of an IDX file.
struct Header {
    /// Element type.
    element: Element,
    /// Sizes of all axes.
    sizes: Vec<usize>,
}

impl Header {
    /// Reads the header. The input is then at the first value.
    fn read(path: &Path, input: &mut impl Read) -> Result<Self> {
        let mut next = |count: usize, what: &str| exactly(path, input, count as u64, what);
        let magic = next(4, "an IDX header")?;
        let element = match magic[..3] {
            [0, 0, 0x08] => Element::U8,
            [0, 0, 0x09] => Element::I8,
            [0, 0, 0x0B] => Element::I16,
            [0, 0, 0x0C] => Element::I32,
            [0, 0, 0x0D] => Element::F32,
            [0, 0, 0x0E] => Element::F64,
            _ => {
                let why = format!(
                    "not an IDX file, plain or gzip: expected 0, 0 and an element type from byte 0 on, got {:?}",
                    &magic[..3]
                );
                return Err(Error::format(path, why));
            }
        };
        let bytes = next(4 * usize::from(magic[3]), "sizes at byte 4")?;
        let (sizes, _) = bytes.as_chunks::<4>();
        let sizes = sizes.iter().map(|b| u32::from_be_bytes(*b) as usize);
        Ok(Self {
            element,
            sizes: sizes.collect(),
        })
    }

    /// Layout of the array as a matrix, and the rows that its axes make.
    fn matrix(&self, path: &Path, axis: Option<RowAxis>) -> Result<(MatrixLayout, ArrayRows)> {
        let array = Array {
            shape: &self.sizes,
            element: self.element,
            is_images: true,
        };
        let rows = array.rows(path, axis)?;
        Ok((self.layout(rows.rows, rows.d_in), rows))
    }

    fn layout(&self, rows: usize, d_in: usize) -> MatrixLayout {
        MatrixLayout {
            offset: (4 + 4 * self.sizes.len()) as u64,
            element: self.element,
            big_endian: true,
            column_major: false,
            rows,
            d_in,
        }
    }
}

/// Reads the labels of `rows` images.
fn labels(path: &Path, images: &Path, rows: usize) -> Result<Vec<String>> {
    let (mut input, _) = content::unpacked(path)?;
    let header = Header::read(path, &mut input)?;
    let sizes = header.sizes.as_slice();
    if sizes != [rows] && sizes != [rows, 1] {
        let got: Vec<String> = sizes.iter().map(usize::to_string).collect();
        return Err(Error::Shape {
            what: format!("{}: labels of {}", path.display(), images.display()),
            expected: rows.to_string(),
            got: got.join(" x "),
        });
    }
    let values: Vec<f32> = header.layout(rows, 1).decode(path, input)?;
    check_finite(path, 0, 1, &values)?;
    Ok(values.iter().map(ToString::to_string).collect())
}
