//! IDX reader, the format of MNIST: a big-endian header with element type and sizes, then the values.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::content;
use super::file_matrix::exactly;
use super::{Dataset, Element, FileMatrix, MatrixLayout, Memory, OpenOptions, Source};
use crate::{Error, Result};

pub(super) fn open(path: &Path, _: &OpenOptions) -> Result<Dataset> {
    let (mut input, packed) = content::unpacked(path)?;
    let (layout, sizes) = header(path, &mut input)?;
    let mut dataset = if packed {
        Dataset::new(layout.decode(path, input)?)
    } else {
        Dataset::new(FileMatrix::open(path, layout)?)
    };
    if let [_, height, width] = sizes[..] {
        dataset.image_shape = Some((height, width));
    }
    dataset.labels = labels_paths(path)
        .find(|beside| beside.exists())
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

/// Reads the header: the layout of the matrix and the sizes of all axes. The input is then at the first value.
fn header(path: &Path, input: &mut impl Read) -> Result<(MatrixLayout, Vec<usize>)> {
    let bad = |why: String| Error::format(path, why);
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
            return Err(bad(format!(
                "not an IDX file, plain or gzip: expected 0, 0 and an element type from byte 0 on, got {:?}",
                &magic[..3]
            )));
        }
    };
    let axes = usize::from(magic[3]);
    let sizes = next(4 * axes, "sizes at byte 4")?;
    let (sizes, _) = sizes.as_chunks::<4>();
    let sizes: Vec<usize> = sizes
        .iter()
        .map(|b| u32::from_be_bytes(*b) as usize)
        .collect();
    let [rows, rest @ ..] = sizes.as_slice() else {
        return Err(bad("expected at least one axis at byte 3, got 0".into()));
    };
    let d_in = rest
        .iter()
        .try_fold(1usize, |product, n| product.checked_mul(*n))
        .ok_or_else(|| {
            bad(format!(
                "expected less than 2^64 values in a row, got sizes {sizes:?} at byte 4"
            ))
        })?;
    let layout = MatrixLayout {
        offset: (4 + 4 * axes) as u64,
        element,
        big_endian: true,
        column_major: false,
        rows: *rows,
        d_in,
    };
    Ok((layout, sizes))
}

/// Reads the labels of `rows` images.
fn labels(path: &Path, images: &Path, rows: usize) -> Result<Vec<String>> {
    let (mut input, _) = content::unpacked(path)?;
    let (layout, _) = header(path, &mut input)?;
    if (layout.rows, layout.d_in) != (rows, 1) {
        return Err(Error::Shape {
            what: format!("{}: labels of {}", path.display(), images.display()),
            expected: format!("{rows} x 1"),
            got: format!("{} x {}", layout.rows, layout.d_in),
        });
    }
    let values: Memory = layout.decode(path, input)?;
    let values = values.as_slice().unwrap_or_default();
    Ok(values.iter().map(ToString::to_string).collect())
}
