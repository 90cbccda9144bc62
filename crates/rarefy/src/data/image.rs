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
#[cfg(not(feature = "images"))]
fn grey_pixels(path: &Path) -> Result<(Vec<u8>, usize, usize)> {
    Err(super::missing_feature(path, "images"))
}

#[cfg(feature = "images")]
use decode::grey_pixels;

/// Decoders of PNG and JPEG; the first bytes of a file say which format it has.
#[cfg(feature = "images")]
mod decode {
    use std::io::Cursor;
    use std::path::Path;

    use zune_jpeg::JpegDecoder;
    use zune_jpeg::errors::DecodeErrors;
    use zune_jpeg::zune_core::colorspace::ColorSpace;
    use zune_jpeg::zune_core::options::DecoderOptions;

    use crate::Error;

    /// Largest picture in bytes: a few bytes can claim any size.
    const MOST_BYTES: usize = 1 << 30;

    /// A decoded photograph: 1 to 4 bytes a pixel (grey, grey and alpha, RGB, RGBA).
    struct Pixels {
        bytes: Vec<u8>,
        channels: usize,
        size: (usize, usize),
    }

    /// Grey values of a photograph row by row, its height and its width.
    pub(super) fn grey_pixels(path: &Path) -> crate::Result<(Vec<u8>, usize, usize)> {
        let file = std::fs::read(path).map_err(Error::io(path))?;
        let decoded = if file.starts_with(b"\x89PNG") {
            png(&file)
        } else {
            jpeg(&file)
        };
        let refuse = |why| Error::format(path, format!("not a PNG or JPEG image: {why}"));
        let pixels = decoded.map_err(refuse)?;
        let (height, width) = pixels.size;
        Ok((grey(pixels), height, width))
    }

    fn png(file: &[u8]) -> Result<Pixels, String> {
        let mut decoder = png::Decoder::new(Cursor::new(file));
        // Palettes and 1 to 4 bits become 8 bits a channel.
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
        let size = reader.output_buffer_size();
        let size = size.filter(|size| *size <= MOST_BYTES);
        let mut bytes = vec![0; size.ok_or("the picture is larger than 1 GiB")?];
        let frame = reader.next_frame(&mut bytes).map_err(|e| e.to_string())?;
        if frame.bit_depth == png::BitDepth::Sixteen {
            bytes = of_16_bits(&bytes);
        }
        Ok(Pixels {
            bytes,
            channels: frame.color_type.samples(),
            size: (frame.height as usize, frame.width as usize),
        })
    }

    /// The nearest values of 8 bits to big-endian ones of 16.
    fn of_16_bits(bytes: &[u8]) -> Vec<u8> {
        let values = bytes
            .chunks_exact(2)
            .map(|v| u32::from(u16::from_be_bytes([v[0], v[1]])));
        values
            .map(|v| ((v * 255 + 32_767) / 65_535) as u8)
            .collect()
    }

    fn jpeg(file: &[u8]) -> Result<Pixels, String> {
        // A decoder fills the rest of a file that was cut off with grey; a complete file ends with this marker.
        let complete = file.windows(2).rev().any(|marker| marker == [0xFF, 0xD9]);
        if !complete {
            return Err("the file is cut off: its end marker is missing".into());
        }
        let most = usize::from(u16::MAX);
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(most)
            .set_max_height(most);
        let mut decoder = JpegDecoder::new_with_options(Cursor::new(file), options);
        let refuse = |error: DecodeErrors| error.to_string().trim().to_owned();
        decoder.decode_headers().map_err(refuse)?;
        let (channels, to) = match decoder.input_colorspace() {
            Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
            _ => (3, ColorSpace::RGB),
        };
        decoder.set_options(options.jpeg_set_out_colorspace(to));
        let size = decoder.output_buffer_size();
        if size.is_none_or(|size| size > MOST_BYTES) {
            return Err("the picture is larger than 1 GiB".into());
        }
        let bytes = decoder.decode().map_err(refuse)?;
        let info = decoder.info().ok_or("a JPEG without a header")?;
        Ok(Pixels {
            bytes,
            channels,
            size: (info.height.into(), info.width.into()),
        })
    }

    /// Rec. 709 luma, `0.2126 R + 0.7152 G + 0.0722 B`, to the nearest number; alpha is left out.
    fn grey(pixels: Pixels) -> Vec<u8> {
        match pixels.channels {
            1 => pixels.bytes,
            2 => pixels.bytes.chunks_exact(2).map(|pixel| pixel[0]).collect(),
            channels => {
                let pixels = pixels.bytes.chunks_exact(channels);
                pixels
                    .map(|pixel| luma([pixel[0], pixel[1], pixel[2]]))
                    .collect()
            }
        }
    }

    fn luma([r, g, b]: [u8; 3]) -> u8 {
        let tenthousandths = 2126 * u32::from(r) + 7152 * u32::from(g) + 722 * u32::from(b);
        ((tenthousandths + 5000) / 10_000) as u8
    }
    #[cfg(test)]
    mod tests {
        use super::*;

        /// A picture of one row, as a PNG file.
        fn file(color: png::ColorType, depth: png::BitDepth, width: u32, data: &[u8]) -> Vec<u8> {
            let mut file = Vec::new();
            let mut encoder = png::Encoder::new(&mut file, width, 1);
            encoder.set_color(color);
            encoder.set_depth(depth);
            let mut writer = encoder.write_header().unwrap();
            writer.write_image_data(data).unwrap();
            writer.finish().unwrap();
            file
        }

        #[test]
        fn grey_values_of_each_kind_of_png_are_those_by_hand() {
            use png::{BitDepth, ColorType};
            // 0.2126 * 255 = 54.2; 0.7152 * 255 = 182.4; 21.26 + 143.04 + 0.0722 * 60 = 168.6
            let rgb = [255, 0, 0, 0, 255, 0, 100, 200, 60];
            let luma = [54, 182, 169];
            for (color, depth, width, data, expected) in [
                (ColorType::Rgb, BitDepth::Eight, 3, &rgb[..], &luma[..]),
                (
                    ColorType::Rgba,
                    BitDepth::Eight,
                    1,
                    &[255, 255, 255, 9],
                    &[255],
                ),
                (
                    ColorType::GrayscaleAlpha,
                    BitDepth::Eight,
                    2,
                    &[7, 0, 9, 255],
                    &[7, 9],
                ),
                (ColorType::Grayscale, BitDepth::Four, 2, &[0x3f], &[51, 255]),
                // 128 / 257 is below a half, 129 / 257 above; 0x8080 / 257 is 128.
                (
                    ColorType::Grayscale,
                    BitDepth::Sixteen,
                    3,
                    &[0, 128, 0, 129, 0x80, 0x80],
                    &[0, 1, 128],
                ),
            ] {
                let pixels = png(&file(color, depth, width, data)).unwrap();
                assert_eq!(pixels.size, (1, width as usize));
                assert_eq!(grey(pixels), expected, "{color:?}");
            }
        }

        #[test]
        fn jpeg_that_is_cut_off_is_refused() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/images/smooth.jpg");
            let whole = std::fs::read(path).unwrap();
            assert!(jpeg(&whole).is_ok());
            for kept in [whole.len() * 2 / 3, whole.len() - 2] {
                let error = jpeg(&whole[..kept]).err().unwrap();
                assert!(error.contains("cut off"), "{kept}: {error}");
            }
        }

        #[test]
        fn picture_that_claims_more_than_memory_is_refused() {
            let mut file = file(png::ColorType::Grayscale, png::BitDepth::Eight, 1, &[1]);
            // Width and height of 2^30; the header's checksum follows from them.
            file[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
            let sum = crc(&file[12..29]);
            file[29..33].copy_from_slice(&sum.to_be_bytes());
            let error = png(&file).err().unwrap();
            assert!(error.contains("limits"), "{error}");
        }

        fn crc(bytes: &[u8]) -> u32 {
            !bytes.iter().fold(u32::MAX, |sum, byte| {
                (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                    (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
                })
            })
        }
    }
}
