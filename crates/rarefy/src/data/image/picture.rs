//! Decoded photographs: values of single pixels, and reasons why a file is not decoded.

/// Largest picture in bytes after decoding: a few bytes can claim any size.
#[cfg(feature = "images")]
pub(super) const MOST_BYTES: usize = 1 << 30;

/// Decoded photograph.
#[cfg_attr(
    not(feature = "images"),
    allow(dead_code, reason = "made by decoders only")
)]
#[derive(Debug)]
pub(super) struct Picture {
    /// Values pixel by pixel: one byte each, or two in big-endian order if `is_wide`.
    pub(super) bytes: Vec<u8>,
    /// Number of values of a pixel: 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA).
    pub(super) channels: usize,
    /// True for 16 bits a value, false for 8.
    pub(super) is_wide: bool,
    /// Height and width in pixels.
    pub(super) size: (usize, usize),
    /// Reason why the file is damaged; `None` for a sound file.
    pub(super) damage: Option<String>,
}

/// Reason why a file is not decoded.
#[cfg(feature = "images")]
#[derive(Debug)]
pub(super) enum Refusal {
    /// The picture is larger than [`MOST_BYTES`].
    TooLarge(String),
    /// The file is damaged or cut off.
    Damaged(String),
}

#[cfg(feature = "images")]
impl Refusal {
    /// Refusal of a picture that needs more than [`MOST_BYTES`]; `Ok` for a smaller one.
    ///
    /// Sizes are width and height in pixels and the number of bytes of a pixel.
    pub(super) fn check_size(width: usize, height: usize, pixel: usize) -> Result<(), Self> {
        let bytes = width as u128 * height as u128 * pixel as u128;
        if bytes <= MOST_BYTES as u128 {
            return Ok(());
        }
        Err(Self::TooLarge(format!(
            "picture too large: expected at most {} MiB, got {width} x {height} pixels (width x height) of {pixel} \
             bytes, {} MiB; cut or scale the picture first",
            MOST_BYTES >> 20,
            bytes >> 20
        )))
    }
}

impl Picture {
    /// Grey value of a pixel from 0 to 255: Rec. 709 luma, `0.2126 R + 0.7152 G + 0.0722 B`. Luma of 8 bits is rounded to
    /// the nearest number.
    pub(super) fn grey(&self, y: usize, x: usize) -> f32 {
        if self.channels < 3 {
            return self.value(y, x, 0);
        }
        let [r, g, b] = self.colour(y, x);
        if self.is_wide {
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        }
        let tenthousandths = 2126 * r as u32 + 7152 * g as u32 + 722 * b as u32;
        ((tenthousandths + 5000) / 10_000) as f32
    }

    /// Red, green and blue of a pixel from 0 to 255, equal for a grey picture.
    pub(super) fn colour(&self, y: usize, x: usize) -> [f32; 3] {
        let rgb = self.channels >= 3;
        [0, 1, 2].map(|channel| self.value(y, x, if rgb { channel } else { 0 }))
    }

    /// Value of a channel from 0 to 255. Values of 16 bits are divided by 257, which keeps their levels apart.
    fn value(&self, y: usize, x: usize, channel: usize) -> f32 {
        let at = (y * self.size.1 + x) * self.channels + channel;
        if self.is_wide {
            f32::from(u16::from_be_bytes([
                self.bytes[2 * at],
                self.bytes[2 * at + 1],
            ])) / 257.0
        } else {
            f32::from(self.bytes[at])
        }
    }
}
