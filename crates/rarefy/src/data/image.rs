//! Patches of photographs: each row is a small grey image cut from a random position.

use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};

use super::{Dataset, Memory, OpenOptions};
use crate::{Error, Result, Rng};

/// Maximum number of values of all patches: 16 GiB of `f32`.
const MOST_VALUES: usize = 1 << 32;

/// Size, number and seed of patches drawn from photographs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchOptions {
    /// Height and width of a patch in pixels.
    pub size: (usize, usize),
    /// Total number of patches, divided evenly among the photographs.
    pub count: usize,
    /// Seed of the random positions.
    pub seed: u64,
}

impl Default for PatchOptions {
    fn default() -> Self {
        Self {
            size: (8, 8),
            count: 10_000,
            seed: 0,
        }
    }
}

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    patches(&[path.to_path_buf()], &options.patches)
}

/// Draws patches at random positions of photographs, as grey values from 0 to 255 (Rec. 709 luma).
///
/// # Errors
/// [`Error::Format`] if a file is not a PNG or JPEG image or is smaller than a patch; [`Error::Hyper`] if
/// `options` ask for no patch or for too many; [`Error::Io`] if a file cannot be read.
pub fn patches(paths: &[PathBuf], options: &PatchOptions) -> Result<Dataset> {
    let (height, width) = options.size;
    if height * width == 0 || options.count == 0 {
        return Err(Error::hyper(
            "patches",
            "at least one patch of at least one pixel",
            format!("{} of {height}x{width} pixels", options.count),
        ));
    }
    let most = MOST_VALUES / (height * width);
    if options.count > most {
        let expected = format!("at most {most} patches of {height}x{width}");
        return Err(Error::hyper("patches.count", &expected, options.count));
    }
    let mut rng = Rng::seed_from_u64(options.seed);
    let mut values = Vec::with_capacity(options.count * height * width);
    for (number, path) in paths.iter().enumerate() {
        let (pixels, rows, columns) = grey_pixels(path)?;
        if rows < height || columns < width {
            return Err(Error::format(
                path,
                format!("expected at least {height} x {width} pixels, got {rows} x {columns}"),
            ));
        }
        // Even shares; the first photographs get one more patch each for the remainder.
        let share = options.count / paths.len() + usize::from(number < options.count % paths.len());
        for _ in 0..share {
            let (top, left) = (
                rng.random_range(0..=rows - height),
                rng.random_range(0..=columns - width),
            );
            for y in top..top + height {
                values.extend(
                    pixels[y * columns + left..][..width]
                        .iter()
                        .map(|&v| f32::from(v)),
                );
            }
        }
    }
    let name = paths
        .first()
        .map_or_else(String::new, |p| p.display().to_string());
    let mut dataset = Dataset::new(Memory::new(name, height * width, values));
    dataset.image_shape = Some(options.size);
    Ok(dataset)
}

/// Grey values of a photograph row by row, its height and its width.
#[cfg(feature = "images")]
fn grey_pixels(path: &Path) -> Result<(Vec<u8>, usize, usize)> {
    let picture = ::image::ImageReader::open(path)
        .map_err(Error::io(path))?
        .with_guessed_format()
        .map_err(Error::io(path))?
        .decode()
        .map_err(|e| Error::format(path, format!("not a PNG or JPEG image: {e}")))?
        .to_luma8();
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    Ok((picture.into_raw(), height, width))
}

#[cfg(not(feature = "images"))]
fn grey_pixels(path: &Path) -> Result<(Vec<u8>, usize, usize)> {
    Err(super::missing_feature(path, "images"))
}
