//! The data embedded in the library: real, small, free to use.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::{Dataset, Element, Memory, csv};
use crate::{Error, Result};

/// Every sample, in the order that lists show them.
pub const SAMPLES: &[SampleInfo] = &[
    SampleInfo {
        name: "digits",
        summary: "1797 handwritten digits, 8x8 pixels of 0 to 16, with labels",
        licence: "CC BY 4.0 (UCI optdigits, by way of scikit-learn)",
        // beta 3 is the Stanford exercise's and holds every latent within a few percent of rho; with
        // 1, the reconstruction pulls them up to 40 % off. weight_decay 0.001 rubs the pixel noise
        // out of the filters, so that strokes remain; 0.0001 explains 93 % of the variance and
        // looks like noise. 400 iterations (a quarter of a second) leave nothing to gain.
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
        summary: "GloVe vectors (50 dimensions) of the 10,000 most frequent English words, with the words",
        licence: "PDDL 1.0 (public domain)",
        // Without weight_decay the linear decoder grows and the latents shrink to a few percent
        // around rho: 99 % explained, nothing to read. At 0.005 they go up to 1 on what they mean.
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
        // The Stanford exercise's own.
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

/// One line of the table of samples.
pub struct SampleInfo {
    /// What comes after `sample:`.
    pub name: &'static str,
    /// One sentence for lists.
    pub summary: &'static str,
    /// Under which terms it is here.
    pub licence: &'static str,
    /// Settings that suit it by architecture, as `--set` takes them; below anything that the user
    /// says.
    pub defaults: &'static [(&'static str, SampleDefaults)],
    load: fn() -> Dataset,
}

/// Keys and values.
type SampleDefaults = &'static [(&'static str, &'static str)];

impl SampleInfo {
    /// The settings that suit it and an architecture, if any are better than the architecture's own.
    pub fn defaults_of(&self, arch: &str) -> SampleDefaults {
        let found = self.defaults.iter().find(|(name, _)| *name == arch);
        found.map_or(&[], |(_, settings)| settings)
    }
}

/// The table line called `name`.
///
/// # Errors
/// [`Error::Unknown`] with the nearest name.
pub fn find(name: &str) -> Result<&'static SampleInfo> {
    SAMPLES
        .iter()
        .find(|s| s.name == name)
        .ok_or_else(|| Error::unknown("sample", name, SAMPLES.iter().map(|s| s.name)))
}

pub(super) fn load(name: &str) -> Result<Dataset> {
    Ok((find(name)?.load)())
}

const VENDORED: &str = "the vendored samples are checked by their sums";

fn digits() -> Dataset {
    let packed = include_bytes!("../../../../data/digits/digits.csv.gz");
    let table = csv::read(
        Path::new("sample:digits"),
        GzDecoder::new(&packed[..]),
        b',',
        Some(false),
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

fn words() -> Dataset {
    const D_IN: usize = 50;
    let bytes = include_bytes!("../../../../data/words/vectors.i8");
    let scales = include_bytes!("../../../../data/words/scales.f32");
    let mut values = vec![0.0; bytes.len()];
    Element::I8.convert(bytes, false, &mut values);
    let mut scale = vec![0.0; scales.len() / 4];
    Element::F32.convert(scales, false, &mut scale);
    for (row, scale) in values.chunks_exact_mut(D_IN).zip(scale) {
        row.iter_mut().for_each(|v| *v *= scale);
    }
    let mut dataset = Dataset::new(Memory::new("sample:words", D_IN, values));
    dataset.labels = Some(
        include_str!("../../../../data/words/words.txt")
            .lines()
            .map(str::to_owned)
            .collect(),
    );
    dataset.default_preprocess = vec!["standardise".into()];
    dataset
}

fn patches() -> Dataset {
    let packed = include_bytes!("../../../../data/patches/patches.u8.gz");
    let mut bytes = Vec::new();
    GzDecoder::new(&packed[..])
        .read_to_end(&mut bytes)
        .expect(VENDORED);
    let values = bytes.iter().map(|&b| f32::from(b)).collect();
    let mut dataset = Dataset::new(Memory::new("sample:patches", 64, values));
    dataset.image_shape = Some((8, 8));
    // The Stanford exercise's own preparation; its images came whitened up to a cut-off frequency,
    // and zca:3 does the same: directions with little variance, which are mostly noise, stay
    // small. With the full whitening of zca:0.1 no 25 latents pay their penalty, and all collapse.
    dataset.default_preprocess = ["row-mean", "zca:3", "clip-sd:3", "scale:0.1:0.9"]
        .map(str::to_owned)
        .into();
    dataset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_what_they_say() {
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
    }
}
