//! Architecture and preprocessing of a run whose user named none, from its data and options.

use std::path::Path;

use rarefy::data::{self, Dataset, OpenOptions, evenly_spaced_rows};
use rarefy::{config, variants};
use toml::{Table, Value};

/// Architectures among which a run without `--arch` chooses: the lecture's model for pictures, sparse codes for all else.
const FOR_PICTURES: [&str; 2] = ["kl", "topk"];
const FOR_VECTORS: [&str; 2] = ["topk", "kl"];
/// Rows that tell whether pictures are bytes.
const SOME: usize = 64;

/// Defaults that follow from the data and options of some layers, as a layer.
///
/// Pictures get `kl`, as in the lecture, and all other data `topk`: with sigmoid latents, embeddings have no sparse codes.
/// Options decide where only one of the two has them. Pictures of bytes are scaled to [0, 1].
pub fn defaults(layers: &[Table]) -> Table {
    let value = |section: &str, key: &str| {
        let found = layers
            .iter()
            .rev()
            .find_map(|layer| layer.get(section)?.get(key));
        found.cloned()
    };
    let path = value("data", "path").and_then(|path| Some(path.as_str()?.to_owned()));
    let pictures = path.as_deref().and_then(pictures);
    let mut defaults = Table::new();
    if value("model", "arch").is_none() {
        let are_pictures =
            path.is_none() || pictures.is_some() || value("data", "image_shape").is_some();
        let has_target = value("data", "target").is_some() || value("data", "with").is_some();
        let choices = if are_pictures && !has_target {
            FOR_PICTURES
        } else {
            FOR_VECTORS
        };
        config::insert(
            &mut defaults,
            "model.arch",
            architecture(layers, choices).into(),
        );
    }
    // Samples have settings of their own.
    let is_sample = path.is_none_or(|path| path.starts_with("sample:"));
    let are_bytes = || pictures.is_some_and(|data| has_bytes(&data));
    if value("data", "preprocess").is_none() && !is_sample && are_bytes() {
        config::insert(
            &mut defaults,
            "data.preprocess",
            Value::Array(vec!["scale".into()]),
        );
    }
    defaults
}

/// The first of two architectures that has all options of the layers; else the first.
fn architecture(layers: &[Table], choices: [&'static str; 2]) -> &'static str {
    let options = layers
        .iter()
        .filter_map(|layer| layer.get("model")?.get("options")?.as_table());
    let options: Vec<String> = options
        .flat_map(Table::keys)
        .map(|key| key.replace('-', "_"))
        .collect();
    let has_all = |name: &&str| {
        let known = variants::find(name)
            .map(variants::Info::options)
            .unwrap_or_default();
        options
            .iter()
            .all(|option| known.iter().any(|info| info.name == *option))
    };
    choices.into_iter().find(has_all).unwrap_or(choices[0])
}

/// Data that says itself that its rows are pictures: samples, IDX files, and arrays with axes for height and width.
fn pictures(path: &str) -> Option<Dataset<'static>> {
    let lower = path.to_lowercase();
    let is_array = Path::new(&lower)
        .extension()
        .is_some_and(|ending| ending == "npy");
    let is_idx = lower.contains("ubyte") || lower.contains(".idx");
    if !(path.starts_with("sample:") || is_array || is_idx) {
        return None;
    }
    // A file that cannot be opened gets its error where the run opens it.
    let data = data::open(path, &OpenOptions::default()).ok()?;
    data.image_shape.is_some().then_some(data)
}

/// True if the rows are bytes, as far as some of them tell: whole numbers from 0 to 255, some above 1.
fn has_bytes(data: &Dataset) -> bool {
    let count = SOME.min(data.source.rows());
    let Ok(rows) = evenly_spaced_rows(data.source.as_ref(), count) else {
        return false;
    };
    let is_byte = |v: &f32| v.fract() == 0.0 && (0.0..=255.0).contains(v);
    rows.iter().all(is_byte) && rows.iter().any(|v| *v > 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Option<String> {
        let defaults = defaults(&[text.parse().unwrap()]);
        Some(defaults.get("model")?.get("arch")?.as_str()?.to_owned())
    }

    fn assert_chosen(text: &str, arch: &str) {
        assert_eq!(chosen(text).as_deref(), Some(arch), "{text}");
    }

    #[test]
    fn pictures_get_the_lectures_model_and_vectors_sparse_codes() {
        assert_chosen("", "kl");
        assert_chosen("[data]\npath = 'sample:patches'", "kl");
        assert_chosen("[data]\npath = 'sample:words'", "topk");
        assert_chosen("[data]\npath = 'x.parquet'", "topk");
        assert_chosen("[data]\npath = 'x.csv'\nimage_shape = [8, 8]", "kl");
        assert_chosen("[data]\npath = 'sample:digits'\ntarget = 'y.npy'", "topk");
    }

    #[test]
    fn options_and_names_decide() {
        assert_chosen("[data]\npath = 'x.csv'\n[model.options]\nrho = '0.1'", "kl");
        assert_chosen(
            "[data]\npath = 'sample:digits'\n[model.options]\nk = '8'",
            "topk",
        );
        assert_chosen("[data]\npath = 'x.csv'\n[model.options]\nl1 = '8'", "topk");
        assert_eq!(chosen("[model]\narch = 'relu'"), None);
    }
}
