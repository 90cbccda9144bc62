//! Picture of all filters: what each latent looks for, side by side.

use png::{BitDepth, ColorType, Encoder};

/// Pixels between two filters.
const GAP: usize = 1;
/// Least width of the whole picture in pixels; smaller ones are enlarged by a whole number.
const WIDE: usize = 640;
/// Level between filters: white.
const PAPER: u8 = 255;

/// Filters of the same size, as levels: 128 for a weight of 0, 0 and 255 for the largest weight below and above it.
#[derive(Debug, Clone, Copy)]
pub struct Filters<'a> {
    /// Levels of each filter: height, width, channels.
    pub levels: &'a [Vec<u8>],
    /// Height and width in pixels.
    pub size: (usize, usize),
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

impl Filters<'_> {
    /// PNG file with the filters in rows of equal length, first latent first, enlarged to at least 640 pixels.
    ///
    /// # Errors
    /// Errors of the encoder, such as for a picture without pixels.
    ///
    /// # Example
    /// ```
    /// use rarefy_report::Filters;
    /// let levels = vec![vec![0, 128, 255, 128]; 5];
    /// let png = Filters { levels: &levels, size: (2, 2), channels: 1 }.png().unwrap();
    /// assert!(png.starts_with(b"\x89PNG"));
    /// ```
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let (width, height, pixels) = self.drawn();
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, width as u32, height as u32);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_color(if self.channels == 3 {
            ColorType::Rgb
        } else {
            ColorType::Grayscale
        });
        let written = encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&pixels));
        written.map_err(|error| error.to_string())?;
        Ok(file)
    }

    /// Width, height and values of the picture.
    fn drawn(&self) -> (usize, usize, Vec<u8>) {
        let (height, width) = self.size;
        let count = self.levels.len();
        let across = (count as f64).sqrt().ceil() as usize;
        let down = count.div_ceil(across.max(1));
        let (high, wide) = (down * (height + GAP) + GAP, across * (width + GAP) + GAP);
        let mut small = vec![PAPER; high * wide * self.channels];
        for (at, filter) in self.levels.iter().enumerate() {
            let top = GAP + at / across * (height + GAP);
            let left = GAP + at % across * (width + GAP);
            for (y, line) in filter.chunks_exact(width * self.channels).enumerate() {
                let start = ((top + y) * wide + left) * self.channels;
                small[start..start + line.len()].copy_from_slice(line);
            }
        }
        let times = WIDE.div_ceil(wide).max(1);
        let pixel = |x: usize, y: usize| {
            let start = (y / times * wide + x / times) * self.channels;
            &small[start..start + self.channels]
        };
        let (high, wide) = (high * times, wide * times);
        let all = (0..high).flat_map(|y| (0..wide).map(move |x| (x, y)));
        let pixels = all.flat_map(|(x, y)| pixel(x, y).iter().copied()).collect();
        (wide, high, pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_stand_in_rows_with_white_between() {
        let levels: Vec<Vec<u8>> = (0..3).map(|at| vec![at; 2]).collect();
        let filters = Filters {
            levels: &levels,
            size: (1, 2),
            channels: 1,
        };
        let (width, height, pixels) = filters.drawn();
        // Two across and two down: 7 x 5 pixels, enlarged 92 times.
        assert_eq!((width, height), (644, 460));
        let at = |x: usize, y: usize| pixels[y * 92 * width + x * 92];
        assert_eq!([at(0, 0), at(1, 1), at(2, 1), at(3, 1)], [255, 0, 0, 255]);
        assert_eq!([at(4, 1), at(1, 3), at(4, 3)], [1, 2, 255]);
    }
}
