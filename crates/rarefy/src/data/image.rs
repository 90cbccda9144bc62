//! Patches of photographs: each row is a small image cut from a random position.

mod decode;
#[cfg(feature = "images")]
mod jpeg;
mod picture;
#[cfg(feature = "images")]
mod png;

use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::{Dataset, Memory, OpenOptions};
use crate::{Error, Result, Rng};
use picture::Picture;

/// Maximum number of values of all patches: 16 GiB of `f32`.
const MOST_VALUES: usize = 1 << 32;

/// Size, number, channels and seed of patches drawn from photographs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchOptions {
    /// Height and width of a patch in pixels.
    pub size: (usize, usize),
    /// Total number of patches, divided evenly among the photographs.
    pub count: usize,
    /// Seed of the random positions.
    pub seed: u64,
    /// Channels of a patch.
    pub channels: Channels,
    /// If true, damaged and truncated files are read as far as possible, with a note; otherwise they are errors.
    pub accept_damaged: bool,
}

/// Channels of image patches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One value for each pixel: Rec. 709 luma.
    #[default]
    Grey,
    /// Red, green and blue of each pixel, `[height, width, 3]` in row-major order.
    Colour,
}

impl Channels {
    /// Number of values of a pixel.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Colour => 3,
        }
    }
}

impl Default for PatchOptions {
    fn default() -> Self {
        Self {
            size: (8, 8),
            count: 10_000,
            seed: 0,
            channels: Channels::Grey,
            accept_damaged: false,
        }
    }
}

impl PatchOptions {
    /// Number of values of a patch, after a check of the options.
    fn checked_width(&self) -> Result<usize> {
        let (height, width) = self.size;
        let values = height
            .checked_mul(width)
            .and_then(|n| n.checked_mul(self.channels.count()));
        let size = format!("{height}x{width} pixels");
        let Some(values) = values.filter(|n| *n > 0 && self.count > 0) else {
            let expected = "at least one patch of at least one pixel";
            let got = format!("{} of {size}", self.count);
            return Err(Error::hyper("patches", expected, got));
        };
        let most = MOST_VALUES / values;
        if self.count > most {
            let expected = format!("at most {most} patches of {height}x{width}");
            return Err(Error::hyper("patches.count", &expected, self.count));
        }
        Ok(values)
    }
}

/// Number of channels of images with this height and width whose rows have `d_in` values: 1 for grey, 3 for colour;
/// `None` if the sizes do not fit.
///
/// # Example
/// ```
/// use rarefy::data::image_channels;
/// assert_eq!(image_channels((8, 8), 64), Some(1));
/// assert_eq!(image_channels((8, 8), 192), Some(3));
/// assert_eq!(image_channels((8, 8), 63), None);
/// ```
pub fn image_channels((height, width): (usize, usize), d_in: usize) -> Option<usize> {
    let pixels = height.checked_mul(width)?;
    [1, 3]
        .into_iter()
        .find(|channels| pixels > 0 && pixels.checked_mul(*channels) == Some(d_in))
}

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    patches(&[path.to_path_buf()], &options.patches)
}

/// Draws patches at random positions of photographs, with values from 0 to 255: grey (Rec. 709 luma) or red, green and
/// blue. Values of pictures with 16 bits are divided by 257 and keep their fractions, so that white is 255 in both.
/// Alpha is left out.
///
/// # Errors
/// [`Error::Format`] if a file is not a PNG or JPEG image, is damaged, or is smaller than a patch; [`Error::Hyper`] if
/// `options` ask for no patch or for too many; [`Error::Io`] if a file cannot be read.
pub fn patches(paths: &[PathBuf], options: &PatchOptions) -> Result<Dataset<'static>> {
    let d_in = options.checked_width()?;
    let (height, width) = options.size;
    let mut rng = Rng::seed_from_u64(options.seed);
    let mut values = Vec::with_capacity(options.count * d_in);
    let mut notes = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let picture = decode::decode(path, options.accept_damaged)?;
        if let Some(why) = &picture.damage {
            notes.push(format!("{}: damaged image accepted: {why}", path.display()));
        }
        let (rows, columns) = picture.size;
        if rows < height || columns < width {
            return Err(Error::format(
                path,
                format!("expected at least {height} x {width} pixels, got {rows} x {columns}"),
            ));
        }
        // Even shares; the first photographs get one more patch each for the remainder.
        let share = options.count / paths.len() + usize::from(number < options.count % paths.len());
        for _ in 0..share {
            let corner = (
                rng.random_range(0..=rows - height),
                rng.random_range(0..=columns - width),
            );
            cut(&picture, corner, options, &mut values);
        }
    }
    let name = paths
        .first()
        .map_or_else(String::new, |p| p.display().to_string());
    let mut dataset = Dataset::new(Memory::new(name, d_in, values));
    dataset.image_shape = Some(options.size);
    dataset.notes = notes;
    Ok(dataset)
}

/// Appends the patch whose first pixel is at row `top` and column `left`.
fn cut(picture: &Picture, (top, left): (usize, usize), options: &PatchOptions, out: &mut Vec<f32>) {
    let (height, width) = options.size;
    for y in top..top + height {
        for x in left..left + width {
            match options.channels {
                Channels::Grey => out.push(picture.grey(y, x)),
                Channels::Colour => out.extend(picture.colour(y, x)),
            }
        }
    }
}
