//! PNG decoder: 8 or 16 bits a value, palettes expanded, every checksum verified.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, Reader, Transformations};

use super::picture::{MOST_BYTES, Picture, Refusal};

type File<'a> = Cursor<&'a [u8]>;

/// Decodes a PNG file. If `lenient`, checksums are ignored and the rows before the damage are the picture.
pub(super) fn decode(file: &[u8], lenient: bool) -> Result<Picture, Refusal> {
    let limits = ::png::Limits { bytes: MOST_BYTES };
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), limits);
    // Palettes and 1 to 4 bits become 8 bits a channel.
    decoder.set_transformations(Transformations::EXPAND);
    decoder.ignore_checksums(lenient);
    let info = decoder.read_header_info().map_err(|e| damaged(&e))?;
    let sizes = (info.width as usize, info.height as usize);
    // The smallest size that the header allows, before the decoder takes memory for a row.
    Refusal::check_size(sizes.0, sizes.1, info.color_type.samples())?;
    let mut reader = decoder.read_info().map_err(|e| damaged(&e))?;
    let (color, depth) = reader.output_color_type();
    let is_wide = depth == BitDepth::Sixteen;
    Refusal::check_size(sizes.0, sizes.1, pixel_bytes(color, is_wide))?;
    let (bytes, height) = if lenient {
        rows_before_damage(&mut reader)?
    } else {
        (all_rows(&mut reader)?, sizes.1)
    };
    Ok(Picture {
        bytes,
        channels: color.samples(),
        is_wide,
        size: (height, sizes.0),
        damage: None,
    })
}

fn pixel_bytes(color: ColorType, is_wide: bool) -> usize {
    color.samples() * if is_wide { 2 } else { 1 }
}

/// All rows; an error if the file ends before its end marker.
fn all_rows(reader: &mut Reader<File>) -> Result<Vec<u8>, Refusal> {
    let size = reader.output_buffer_size();
    let mut bytes = vec![0; size.ok_or_else(|| Refusal::Damaged("impossible size".into()))?];
    reader.next_frame(&mut bytes).map_err(|e| damaged(&e))?;
    reader.finish().map_err(|e| damaged(&e))?;
    Ok(bytes)
}

/// Complete rows from the top, and their number. Rows after the damage are not made up.
fn rows_before_damage(reader: &mut Reader<File>) -> Result<(Vec<u8>, usize), Refusal> {
    if reader.info().interlaced {
        let why = "interlaced, so that no row is complete before the end";
        return Err(Refusal::Damaged(why.into()));
    }
    let (mut bytes, mut rows) = (Vec::new(), 0);
    while let Ok(Some(row)) = reader.next_row() {
        bytes.extend_from_slice(row.data());
        rows += 1;
    }
    if rows > 0 {
        Ok((bytes, rows))
    } else {
        Err(Refusal::Damaged("no row is complete".into()))
    }
}

fn damaged(error: &::png::DecodingError) -> Refusal {
    Refusal::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PNG file of a picture with `width` pixels in a row.
    fn file(color: ColorType, depth: BitDepth, width: u32, data: &[u8]) -> Vec<u8> {
        let row = width as usize * color.samples() * depth as usize / 8;
        let mut file = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut file, width, (data.len() / row) as u32);
        encoder.set_color(color);
        encoder.set_depth(depth);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        file
    }

    fn grey(picture: &Picture) -> Vec<f32> {
        let (height, width) = picture.size;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        pixels.map(|(y, x)| picture.grey(y, x)).collect()
    }

    #[test]
    fn grey_values_of_each_kind_of_png_are_those_by_hand() {
        // 0.2126 * 255 = 54.2; 0.7152 * 255 = 182.4; 21.26 + 143.04 + 0.0722 * 60 = 168.6
        let rgb = [255, 0, 0, 0, 255, 0, 100, 200, 60];
        for (color, depth, width, data, expected) in [
            (
                ColorType::Rgb,
                BitDepth::Eight,
                3,
                &rgb[..],
                &[54.0, 182.0, 169.0][..],
            ),
            (
                ColorType::Rgba,
                BitDepth::Eight,
                1,
                &[255, 255, 255, 9],
                &[255.0],
            ),
            (
                ColorType::GrayscaleAlpha,
                BitDepth::Eight,
                2,
                &[7, 0, 9, 255],
                &[7.0, 9.0],
            ),
            (
                ColorType::Grayscale,
                BitDepth::Four,
                2,
                &[0x3f],
                &[51.0, 255.0],
            ),
            // 128 and 129 of 65535 are different levels, 0x0101 is level 1 of 8 bits.
            (
                ColorType::Grayscale,
                BitDepth::Sixteen,
                4,
                &[0, 128, 0, 129, 1, 1, 0xFF, 0xFF],
                &[128.0 / 257.0, 129.0 / 257.0, 1.0, 255.0],
            ),
            (
                ColorType::Rgb,
                BitDepth::Sixteen,
                1,
                &[0, 0, 1, 1, 0, 0],
                &[0.7152],
            ),
        ] {
            let picture = decode(&file(color, depth, width, data), false).unwrap();
            assert_eq!(picture.size, (1, width as usize));
            assert_eq!(grey(&picture), expected, "{color:?}");
        }
    }

    #[test]
    fn colour_of_a_grey_picture_has_three_equal_channels() {
        let rgba = file(ColorType::Rgba, BitDepth::Eight, 1, &[1, 2, 3, 9]);
        assert_eq!(decode(&rgba, false).unwrap().colour(0, 0), [1.0, 2.0, 3.0]);
        let grey = file(
            ColorType::GrayscaleAlpha,
            BitDepth::Eight,
            2,
            &[7, 0, 9, 255],
        );
        assert_eq!(decode(&grey, false).unwrap().colour(0, 1), [9.0; 3]);
    }

    #[test]
    fn truncated_png_is_refused_or_cut_to_its_complete_rows() {
        // Noise, so that the compressed data is as long as the picture.
        let noise: Vec<u8> = (0..64 * 64u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let whole = file(ColorType::Grayscale, BitDepth::Eight, 64, &noise);
        for kept in [whole.len() / 2, whole.len() - 12, whole.len() - 20] {
            assert!(
                matches!(decode(&whole[..kept], false), Err(Refusal::Damaged(_))),
                "{kept}"
            );
        }
        let half = decode(&whole[..whole.len() / 2], true).unwrap();
        assert!((8..60).contains(&half.size.0), "{:?}", half.size);
        assert_eq!(half.bytes, noise[..half.size.0 * 64]);
    }

    #[test]
    fn changed_byte_of_the_data_is_refused() {
        let mut damaged = file(ColorType::Grayscale, BitDepth::Eight, 4, &[1, 2, 3, 4]);
        let at = damaged.len() - 20;
        damaged[at] ^= 1;
        assert!(matches!(decode(&damaged, false), Err(Refusal::Damaged(_))));
    }

    #[test]
    fn picture_that_claims_more_than_memory_is_refused_by_its_size() {
        let mut file = file(ColorType::Grayscale, BitDepth::Eight, 1, &[1]);
        // Width 40000 and height 30000; the header's checksum follows from them.
        file[16..24].copy_from_slice(&[0, 0, 0x9C, 0x40, 0, 0, 0x75, 0x30]);
        let sum = crc(&file[12..29]);
        file[29..33].copy_from_slice(&sum.to_be_bytes());
        let Err(Refusal::TooLarge(why)) = decode(&file, false) else {
            panic!("the picture was read");
        };
        assert!(
            why.contains("at most 1024 MiB, got 40000 x 30000 pixels"),
            "{why}"
        );
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
            })
        })
    }
}
