//! IDX, the format of MNIST: a big-endian header with element type and sizes, then the values.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{Block, BlockLayout, Dataset, Element, OpenOptions, Source};
use crate::{Error, Result};

pub(super) fn open(path: &Path, _: &OpenOptions) -> Result<Dataset> {
    let (layout, sizes, bytes) = read_header(path)?;
    let mut dataset = match bytes {
        Some(bytes) => Dataset::new(layout.decode(path, &path.display().to_string(), &bytes)?),
        None => Dataset::new(Block::open(path, layout)?),
    };
    if let [_, height, width] = sizes[..] {
        dataset.image_shape = Some((height, width));
    }
    dataset.labels = labels_beside(path, layout.rows);
    Ok(dataset)
}

/// Layout, sizes of all axes and, for a gzipped file, its content.
fn read_header(path: &Path) -> Result<(BlockLayout, Vec<usize>, Option<Vec<u8>>)> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let zipped = path.extension().is_some_and(|e| e == "gz");
    let mut bytes = Vec::new();
    if zipped {
        let packed = |e: std::io::Error| Error::format(path, format!("damaged gzip: {e}"));
        MultiGzDecoder::new(file)
            .read_to_end(&mut bytes)
            .map_err(packed)?;
    } else {
        // 4 bytes of magic and at most 255 sizes.
        file.by_ref()
            .take(4 + 4 * 255)
            .read_to_end(&mut bytes)
            .map_err(Error::io(path))?;
    }
    let bad = |why: String| Error::format(path, why);
    let &[zero, also_zero, code, axes, ref rest @ ..] = bytes.as_slice() else {
        return Err(bad(format!(
            "truncated: expected an IDX header of 4 bytes or more, got {}",
            bytes.len()
        )));
    };
    let element = match (zero, also_zero, code) {
        (0, 0, 0x08) => Element::U8,
        (0, 0, 0x09) => Element::I8,
        (0, 0, 0x0B) => Element::I16,
        (0, 0, 0x0C) => Element::I32,
        (0, 0, 0x0D) => Element::F32,
        (0, 0, 0x0E) => Element::F64,
        _ => {
            return Err(bad(format!(
                "not an IDX file: expected 0, 0 and a type at byte 0, got {zero}, {also_zero}, {code}"
            )));
        }
    };
    let (sizes, _) = rest.as_chunks::<4>();
    let Some(sizes) = sizes.get(..usize::from(axes)).filter(|s| !s.is_empty()) else {
        return Err(bad(format!(
            "truncated: expected {axes} sizes at byte 4, got {} bytes",
            rest.len()
        )));
    };
    let sizes: Vec<usize> = sizes
        .iter()
        .map(|b| u32::from_be_bytes(*b) as usize)
        .collect();
    let d_in = sizes[1..]
        .iter()
        .try_fold(1usize, |product, n| product.checked_mul(*n));
    let layout = BlockLayout {
        offset: 4 + 4 * u64::from(axes),
        element,
        big_endian: true,
        column_major: false,
        rows: sizes[0],
        d_in: d_in.ok_or_else(|| bad(format!("sizes {sizes:?} are too large")))?,
    };
    Ok((layout, sizes, zipped.then_some(bytes)))
}

/// Labels of an images file, from the file that the usual name points to, if it fits.
fn labels_beside(path: &Path, rows: usize) -> Option<Vec<String>> {
    let name = path.file_name()?.to_str()?;
    if !name.contains("images") {
        return None;
    }
    let beside: PathBuf =
        path.with_file_name(name.replace("images", "labels").replace("idx3", "idx1"));
    let (layout, _, bytes) = read_header(&beside).ok()?;
    let mut values = vec![0.0; layout.rows];
    match bytes {
        Some(bytes) => {
            values.copy_from_slice(layout.decode(&beside, "labels", &bytes).ok()?.as_slice()?);
        }
        None => Block::open(&beside, layout)
            .ok()?
            .read(0, &mut values)
            .ok()?,
    }
    (values.len() == rows).then(|| values.iter().map(ToString::to_string).collect())
}
