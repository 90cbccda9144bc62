//! Sample data sets embedded in the library: real, small and free to use.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::table::csv;
use super::{Dataset, Element, Memory, OpenOptions};
use crate::{Error, Result};

/// Table of all sample data sets, in the order that lists show them.
pub const SAMPLES: &[SampleInfo] = &[
    SampleInfo {
        name: "digits",
        summary: "1797 handwritten digits, 8x8 pixels of 0 to 16, with labels",
        licence: "CC BY 4.0 (UCI optdigits, by way of scikit-learn)",
        // beta 3 comes from the Stanford exercise and keeps the mean of every latent within a few percent of
        // rho; with beta 1 the means are up to 40 % off. weight_decay 0.001 removes the pixel noise from the
        // filters and leaves strokes; 0.0001 explains 93 % of the variance, but the filters look like noise.
        // More than 400 iterations (a quarter of a second) gain nothing.
        defaults: &[(
            "kl",
            &[
                ("latents", "64"),
                ("rho", "0.1"),
                ("beta", "3"),
                ("weight_decay", "0.001"),
            ],
        )],
        load: digits,
    },
    SampleInfo {
        name: "words",
        summary: "GloVe vectors (50 dimensions) of the 10,000 most frequent English words, with the words as labels",
        licence: "PDDL 1.0 (public domain)",
        // Without weight_decay the linear decoder grows and the latents vary by a few percent around rho:
        // 99 % of the variance is explained, but no latent is interpretable. With 0.005 a latent reaches 1 on
        // the words that it represents.
        defaults: &[(
            "kl",
            &[
                ("latents", "128"),
                ("rho", "0.05"),
                ("beta", "10"),
                ("weight_decay", "0.005"),
            ],
        )],
        load: words,
    },
    SampleInfo {
        name: "patches",
        summary: "10,000 grey 8x8 patches of natural photographs, pixels of 0 to 255",
        licence: "CC0 and public domain photographs (by way of scikit-image)",
        // Values of the Stanford exercise.
        defaults: &[(
            "kl",
            &[
                ("latents", "25"),
                ("rho", "0.01"),
                ("beta", "3"),
                ("weight_decay", "0.0001"),
            ],
        )],
        load: patches,
    },
];

/// Sample data set: one entry of [`SAMPLES`].
pub struct SampleInfo {
    /// Name of the sample, as in `sample:NAME`.
    pub name: &'static str,
    /// One-sentence description for lists.
    pub summary: &'static str,
    /// Licence and origin of the data.
    pub licence: &'static str,
    /// Recommended settings for this sample, by architecture. Settings of the user take precedence.
    pub defaults: &'static [(&'static str, SampleDefaults)],
    load: fn() -> Dataset<'static>,
}

/// Pairs of key and value.
type SampleDefaults = &'static [(&'static str, &'static str)];

impl SampleInfo {
    /// Recommended settings for this sample with an architecture; empty if the architecture's defaults are
    /// fine.
    pub fn defaults_of(&self, arch: &str) -> SampleDefaults {
        let found = self.defaults.iter().find(|(name, _)| *name == arch);
        found.map_or(&[], |(_, settings)| settings)
    }
}

/// Finds the sample called `name` in [`SAMPLES`].
///
/// # Errors
/// [`Error::Unknown`] if there is no such sample; the message suggests the nearest name.
pub fn find(name: &str) -> Result<&'static SampleInfo> {
    SAMPLES
        .iter()
        .find(|s| s.name == name)
        .ok_or_else(|| Error::unknown("sample", name, SAMPLES.iter().map(|s| s.name)))
}

pub(super) fn load(name: &str) -> Result<Dataset<'static>> {
    Ok((find(name)?.load)())
}

const VENDORED: &str = "embedded samples are valid, as their checksums are tested";

fn digits() -> Dataset<'static> {
    let packed = include_bytes!("../../data/digits/digits.csv.gz");
    let table = csv::read(
        Path::new("sample:digits"),
        GzDecoder::new(&packed[..]),
        &OpenOptions {
            header: Some(false),
            ..OpenOptions::default()
        },
    )
    .expect(VENDORED);
    let values = table.source.as_slice().expect(VENDORED);
    let (pixels, labels): (Vec<&[f32]>, Vec<String>) = values
        .chunks_exact(65)
        .map(|row| (&row[..64], row[64].to_string()))
        .unzip();
    let mut dataset = Dataset::new(Memory::new("sample:digits", 64, pixels.concat()));
    dataset.labels = Some(labels);
    dataset.image_shape = Some((8, 8));
    dataset.default_preprocess = vec!["scale".into()];
    dataset
}

fn words() -> Dataset<'static> {
    const D_IN: usize = 50;
    let bytes = include_bytes!("../../data/words/vectors.i8");
    let scales = include_bytes!("../../data/words/scales.f32");
    let mut values = vec![0.0; bytes.len()];
    Element::I8.convert(bytes, false, &mut values);
    let mut scale = vec![0.0; scales.len() / 4];
    Element::F32.convert(scales, false, &mut scale);
    for (row, scale) in values.chunks_exact_mut(D_IN).zip(scale) {
        row.iter_mut().for_each(|v| *v *= scale);
    }
    let mut dataset = Dataset::new(Memory::new("sample:words", D_IN, values));
    dataset.labels = Some(
        include_str!("../../data/words/words.txt")
            .lines()
            .map(str::to_owned)
            .collect(),
    );
    dataset.default_preprocess = vec!["standardise".into()];
    dataset
}

fn patches() -> Dataset<'static> {
    let packed = include_bytes!("../../data/patches/patches.residuals.gz");
    let mut bytes = Vec::new();
    GzDecoder::new(&packed[..])
        .read_to_end(&mut bytes)
        .expect(VENDORED);
    bytes.chunks_exact_mut(64).for_each(restore);
    let values = bytes.iter().map(|&b| f32::from(b)).collect();
    let mut dataset = Dataset::new(Memory::new("sample:patches", 64, values));
    dataset.image_shape = Some((8, 8));
    // Preprocessing of the Stanford exercise. Its images were whitened up to a cut-off frequency. zca:3 does the
    // same: directions with little variance, mostly noise, stay small. With zca:0.1 (nearly full whitening)
    // all 25 latents collapse, because none reduces the reconstruction error by more than its penalty.
    dataset.default_preprocess = ["row-mean", "zca:3", "clip-sd:3", "scale:0.1:0.9"]
        .map(str::to_owned)
        .into();
    dataset
}

/// Replaces the residuals of an 8x8 patch by its pixels. A pixel is predicted from its left, upper and upper left neighbour
/// as in lossless JPEG (LOCO-I, Weinberger et al. 2000): along an edge, else on a plane. Residuals pack a fifth smaller.
fn restore(patch: &mut [u8]) {
    for i in 0..64 {
        let (row, column) = (i / 8, i % 8);
        let predicted = match (row, column) {
            (0, 0) => 0,
            (0, _) => patch[i - 1],
            (_, 0) => patch[i - 8],
            _ => {
                let (left, up, corner) = (patch[i - 1], patch[i - 8], patch[i - 9]);
                if corner >= left.max(up) {
                    left.min(up)
                } else if corner <= left.min(up) {
                    left.max(up)
                } else {
                    left.wrapping_add(up).wrapping_sub(corner)
                }
            }
        };
        patch[i] = patch[i].wrapping_add(predicted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_expected_shapes_labels_and_first_values() {
        let digits = digits();
        assert_eq!((digits.source.rows(), digits.source.d_in()), (1797, 64));
        assert_eq!(digits.labels.as_ref().unwrap()[..3], ["0", "1", "2"]);
        // The first row of the UCI file as scikit-learn prints it: 0 0 5 13 9 1 0 0.
        assert_eq!(
            digits.source.as_slice().unwrap()[..8],
            [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]
        );

        let words = words();
        assert_eq!((words.source.rows(), words.source.d_in()), (10_000, 50));
        assert_eq!(words.labels.as_ref().unwrap()[..3], ["the", ",", "."]);
        // GloVe 6B 50d, "the": 0.418 0.24968 -0.41242; stored in steps of 2.67 / 127.
        for (got, want) in words
            .source
            .as_slice()
            .unwrap()
            .iter()
            .zip([0.418, 0.24968, -0.41242])
        {
            assert!((got - want).abs() < 0.02, "{got} {want}");
        }

        let patches = patches();
        assert_eq!((patches.source.rows(), patches.source.d_in()), (10_000, 64));
        // As the program that drew the patches prints them: means of all pixels and of the last patch, and its first row.
        let values = patches.source.as_slice().unwrap();
        let mean = |values: &[f32]| {
            values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64
        };
        assert!((mean(values) - 113.4258).abs() < 1e-4, "{}", mean(values));
        assert_eq!(mean(&values[639_936..]), 88.46875);
        assert_eq!(
            values[639_936..639_944],
            [99.0, 99.0, 99.0, 99.0, 99.0, 98.0, 98.0, 100.0]
        );
    }
}
