//! Grey and colour images as PNG data URIs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use png::{BitDepth, ColorType, Encoder, EncodingError};

use crate::Images;

/// Mapping of pixel values to levels from 0 to 255, the same for the three channels of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Each image by its largest absolute value: -max is black, 0 middle grey, max white.
    Symmetric,
    /// Common range of all images: smallest value black, largest value white.
    Range,
}

/// PNG data URI of each image; images of a wrong size are left out.
pub(crate) fn data_uris(images: &Images, scale: Scale) -> Vec<String> {
    let all = || {
        let values = images.pixels.iter().flatten().copied();
        values.filter(|v| v.is_finite())
    };
    let (low, high) = (
        all().fold(f32::INFINITY, f32::min),
        all().fold(f32::NEG_INFINITY, f32::max),
    );
    let levels = |pixels: &[f32]| -> Vec<u8> {
        let largest = pixels
            .iter()
            .filter(|v| v.is_finite())
            .fold(0.0f32, |most, v| most.max(v.abs()));
        let share = |v: f32| match scale {
            Scale::Symmetric if largest > 0.0 => 0.5 + 0.5 * v / largest,
            Scale::Range if high > low => (v - low) / (high - low),
            _ => 0.5,
        };
        pixels
            .iter()
            .map(|&v| (share(v).clamp(0.0, 1.0) * 255.0).round() as u8)
            .collect()
    };
    let size = images.width * images.height;
    let uri = |pixels: &Vec<f32>| {
        let color = if pixels.len() == size {
            ColorType::Grayscale
        } else {
            ColorType::Rgb
        };
        let file = png(images, color, &levels(pixels))
            .expect("an image in memory has as many pixels as its size");
        format!("data:image/png;base64,{}", STANDARD.encode(file))
    };
    images
        .pixels
        .iter()
        .filter(|p| !p.is_empty() && [size, 3 * size].contains(&p.len()))
        .map(uri)
        .collect()
}

/// PNG file of an image with 8 bits a value and the size of `images`.
fn png(images: &Images, color: ColorType, pixels: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, images.width as u32, images.height as u32);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Width, height and grey levels of a data URI.
    fn decoded(uri: &str) -> (u32, u32, Vec<u8>) {
        let text = uri.strip_prefix("data:image/png;base64,").unwrap();
        let file = STANDARD.decode(text).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            info.color_type.samples(),
            pixels.len() / (info.width * info.height) as usize
        );
        (info.width, info.height, pixels)
    }

    #[test]
    fn filter_is_scaled_by_its_largest_value() {
        let images = Images {
            height: 1,
            width: 3,
            pixels: vec![vec![-2.0, 0.0, 1.0]],
        };
        let uris = data_uris(&images, Scale::Symmetric);
        assert_eq!(uris.len(), 1);
        assert_eq!(decoded(&uris[0]), (3, 1, vec![0, 128, 191]));
    }

    #[test]
    fn range_is_common_to_all_images_and_rows_go_from_top_to_bottom() {
        let images = Images {
            height: 2,
            width: 1,
            pixels: vec![vec![0.0, 1.0], vec![2.0, f32::NAN]],
        };
        let uris = data_uris(&images, Scale::Range);
        assert_eq!(decoded(&uris[0]), (1, 2, vec![0, 128]));
        assert_eq!(decoded(&uris[1]), (1, 2, vec![255, 0]));
    }

    #[test]
    fn three_values_for_each_pixel_are_a_colour() {
        let images = Images {
            height: 1,
            width: 2,
            pixels: vec![vec![-2.0, 0.0, 2.0, 1.0, 1.0, 1.0]],
        };
        let uris = data_uris(&images, Scale::Symmetric);
        assert_eq!(decoded(&uris[0]), (2, 1, vec![0, 128, 255, 191, 191, 191]));
    }

    #[test]
    fn image_of_a_wrong_size_is_left_out() {
        let images = Images {
            height: 1,
            width: 2,
            pixels: vec![vec![0.0, 0.0], vec![1.0], vec![], vec![1.0; 4]],
        };
        assert_eq!(data_uris(&images, Scale::Range).len(), 1);
        let empty = Images {
            pixels: vec![vec![]],
            ..Images::default()
        };
        assert!(data_uris(&empty, Scale::Range).is_empty());
    }
}
