//! JPEG decoder: grey or RGB with 8 bits; files without their own end marker count as cut off.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::picture::{Picture, Refusal};

/// Decodes a JPEG file. If `lenient`, a missing end and errors of the data are accepted; the decoder fills the rest
/// with one colour.
pub(super) fn decode(file: &[u8], lenient: bool) -> Result<Picture, Refusal> {
    if !lenient && !has_end(file) {
        let why = "the file is cut off: its end marker is missing";
        return Err(Refusal::Damaged(why.into()));
    }
    let most = usize::from(u16::MAX);
    let options = DecoderOptions::default()
        .set_strict_mode(!lenient)
        .set_max_width(most)
        .set_max_height(most);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(file), options);
    decoder.decode_headers().map_err(|e| damaged(&e))?;
    let (channels, to) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        _ => (3, ColorSpace::RGB),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(to));
    let info = decoder
        .info()
        .ok_or_else(|| Refusal::Damaged("the header is missing".into()))?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    Refusal::check_size(width, height, channels)?;
    let bytes = decoder.decode().map_err(|e| damaged(&e))?;
    if bytes.len() != width * height * channels {
        let why = "number of pixels differs from the header";
        return Err(Refusal::Damaged(why.into()));
    }
    Ok(Picture {
        bytes,
        channels,
        is_wide: false,
        size: (height, width),
        damage: None,
    })
}

/// True if the picture itself has an end marker.
///
/// The search goes from segment to segment by their lengths: a thumbnail within a segment has an end marker too, which
/// says nothing about the picture.
fn has_end(file: &[u8]) -> bool {
    const END: u8 = 0xD9;
    let mut at = 2;
    while let Some(rest) = file.get(at..) {
        // In compressed data FF 00 is the value FF, and FF D0 to FF D7 are restart markers without a length.
        let is_segment =
            |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 1 | 0xD0..=0xD7 | 0xFF);
        let Some(marker) = rest.windows(2).position(is_segment) else {
            return false;
        };
        if rest[marker + 1] == END {
            return true;
        }
        let Some(&[high, low]) = rest.get(marker + 2..marker + 4) else {
            return false;
        };
        at += marker + 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}

fn damaged(error: &DecodeErrors) -> Refusal {
    Refusal::Damaged(error.to_string().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photograph() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/images/smooth.jpg");
        std::fs::read(path).unwrap()
    }

    #[test]
    fn jpeg_that_is_cut_off_is_refused_or_accepted_as_damaged() {
        let whole = photograph();
        assert!(decode(&whole, false).is_ok());
        for kept in [whole.len() * 2 / 3, whole.len() - 2] {
            let Err(Refusal::Damaged(why)) = decode(&whole[..kept], false) else {
                panic!("{kept} bytes were read");
            };
            assert!(why.contains("cut off"), "{kept}: {why}");
        }
        let cut = decode(&whole[..whole.len() - 2], true).unwrap();
        assert_eq!(cut.bytes, decode(&whole, false).unwrap().bytes);
    }

    #[test]
    fn end_marker_of_a_thumbnail_is_not_the_end_of_the_picture() {
        let whole = photograph();
        // An application segment of 8 bytes that holds a small picture's start and end.
        let segment = [0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9];
        let with_thumbnail = [&whole[..2], &segment, &whole[2..]].concat();
        assert!(decode(&with_thumbnail, false).is_ok());
        let cut = &with_thumbnail[..with_thumbnail.len() - 2];
        assert!(matches!(decode(cut, false), Err(Refusal::Damaged(_))));
        // Bytes after the end, as some cameras write, are accepted.
        assert!(decode(&[&whole[..], b"more"].concat(), false).is_ok());
    }
}
