//! Grey images as PNG data URIs, without a dependency: stored (uncompressed) deflate blocks.

use crate::Images;

/// How pixels become grey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Each image by its own largest absolute value: -max black, 0 middle grey, max white.
    Symmetric,
    /// All images by the range of these.
    Range,
}

/// Each image as a data URI.
pub(crate) fn data_uris(images: &Images, scale: Scale) -> Vec<String> {
    let all = || {
        images
            .pixels
            .iter()
            .flatten()
            .copied()
            .filter(|v| v.is_finite())
    };
    let (low, high) = (
        all().fold(f32::INFINITY, f32::min),
        all().fold(f32::NEG_INFINITY, f32::max),
    );
    let grey = |pixels: &[f32]| -> Vec<u8> {
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
    let uri = |pixels: &Vec<f32>| {
        format!(
            "data:image/png;base64,{}",
            base64(&png(images.width, images.height, &grey(pixels)))
        )
    };
    images
        .pixels
        .iter()
        .filter(|p| p.len() == images.width * images.height)
        .map(uri)
        .collect()
}

/// An 8-bit grey PNG.
fn png(width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(pixels.len() + height);
    for line in pixels.chunks_exact(width) {
        lines.push(0); // filter: none
        lines.extend_from_slice(line);
    }
    let mut header = Vec::new();
    header.extend_from_slice(&(width as u32).to_be_bytes());
    header.extend_from_slice(&(height as u32).to_be_bytes());
    header.extend_from_slice(&[8, 0, 0, 0, 0]); // 8 bits, grey, the only methods there are
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &zlib(&lines));
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend_from_slice(&kind);
    file.extend_from_slice(data);
    let sum = crc32(&file[start..]);
    file.extend_from_slice(&sum.to_be_bytes());
}

/// A zlib stream of stored blocks.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = data.chunks(0xFFFF).count();
    for (index, block) in data.chunks(0xFFFF).enumerate() {
        out.push(u8::from(index + 1 == blocks));
        out.extend_from_slice(&(block.len() as u16).to_le_bytes());
        out.extend_from_slice(&(!(block.len() as u16)).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&adler32(data).to_be_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    };
    !data.iter().fold(!0, step)
}

fn adler32(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    (b << 16) | a
}

fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for group in data.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (i, byte)| {
            bits | u32::from(*byte) << (16 - 8 * i)
        });
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= group.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_have_their_published_values() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
        assert_eq!(
            ["", "f", "fo", "foo"].map(|s| base64(s.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v"]
        );
    }

    #[test]
    fn a_filter_is_scaled_by_its_own_largest_value() {
        let images = Images {
            height: 1,
            width: 3,
            pixels: vec![vec![-2.0, 0.0, 1.0]],
        };
        let all = data_uris(&images, Scale::Symmetric);
        let want = format!(
            "data:image/png;base64,{}",
            base64(&png(3, 1, &[0, 128, 191]))
        );
        assert_eq!(all, [want]);
        let constant = Images {
            height: 1,
            width: 2,
            pixels: vec![vec![0.0, 0.0], vec![1.0]],
        };
        assert_eq!(
            data_uris(&constant, Scale::Range).len(),
            1,
            "an image of a wrong size is left out"
        );
    }
}
