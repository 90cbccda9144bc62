//! IDX reader, the format of MNIST: a big-endian header with element type and sizes, then the values.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::file_matrix::exactly;
use super::{Dataset, Element, FileMatrix, MatrixLayout, Memory, OpenOptions, Source};
use crate::{Error, Result};

pub(super) fn open(path: &Path, _: &OpenOptions) -> Result<Dataset> {
    let (mut input, packed) = reader(path)?;
    let (layout, sizes) = header(path, &mut input)?;
    let mut dataset = if packed {
        Dataset::new(layout.decode(path, input)?)
    } else {
        Dataset::new(FileMatrix::open(path, layout)?)
    };
    if let [_, height, width] = sizes[..] {
        dataset.image_shape = Some((height, width));
    }
    dataset.labels = labels_path(path)
        .filter(|beside| beside.exists())
        .map(|beside| labels(&beside, path, layout.rows))
        .transpose()?;
    Ok(dataset)
}

/// Path of the labels file that belongs to an images file, by the usual names.
fn labels_path(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    name.contains("images")
        .then(|| images.with_file_name(labels))
}

/// True if the file holds the labels of an images file in the same folder.
pub(super) fn is_labels(path: &Path) -> bool {
    let images = path.file_name().and_then(|name| {
        let name = name.to_str()?;
        let images = name.replace("labels", "images").replace("idx1", "idx3");
        name.contains("labels").then(|| path.with_file_name(images))
    });
    images.is_some_and(|images| images.exists())
}

/// Reader of the uncompressed content of a file; true if the file is gzip-compressed.
fn reader(path: &Path) -> Result<(Box<dyn Read>, bool)> {
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let packed = path.extension().is_some_and(|e| e == "gz");
    let reader: Box<dyn Read> = if packed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok((reader, packed))
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
                "not an IDX file: expected 0, 0 and an element type from byte 0 on, got {:?}",
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
    let (mut input, _) = reader(path)?;
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
