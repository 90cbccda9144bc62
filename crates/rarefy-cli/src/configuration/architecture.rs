//! Architecture of a run whose user named none.

use std::path::Path;

use rarefy::data::{self, OpenOptions};
use rarefy::variants;
use toml::{Table, Value};

/// Architectures among which a run without `--arch` chooses: the lecture's model for pictures, sparse codes for all else.
const FOR_PICTURES: [&str; 2] = ["kl", "topk"];
const FOR_VECTORS: [&str; 2] = ["topk", "kl"];

/// Architecture for the data and options of some layers; `None` if a layer names one.
///
/// Pictures get `kl`, as in the lecture, and all other data `topk`: with sigmoid latents, embeddings have no sparse codes.
/// Options decide where only one of the two has them.
pub fn by_default(layers: &[Table]) -> Option<&'static str> {
    let value = |section: &str, key: &str| {
        let found = layers
            .iter()
            .rev()
            .find_map(|layer| layer.get(section)?.get(key));
        found.cloned()
    };
    if value("model", "arch").is_some() {
        return None;
    }
    let options = layers
        .iter()
        .filter_map(|layer| layer.get("model")?.get("options")?.as_table());
    let options: Vec<String> = options
        .flat_map(Table::keys)
        .map(|key| key.replace('-', "_"))
        .collect();
    let path = value("data", "path");
    let are_pictures = path
        .as_ref()
        .and_then(Value::as_str)
        .is_none_or(is_of_pictures);
    let has_target = value("data", "target").is_some() || value("data", "with").is_some();
    let choices = if (are_pictures || value("data", "image_shape").is_some()) && !has_target {
        FOR_PICTURES
    } else {
        FOR_VECTORS
    };
    let has_all = |name: &&str| {
        let known = variants::find(name)
            .map(variants::Info::options)
            .unwrap_or_default();
        options
            .iter()
            .all(|option| known.iter().any(|info| info.name == *option))
    };
    choices.into_iter().find(has_all).or(Some(choices[0]))
}

/// True for data that says itself that its rows are pictures: samples, IDX files, and arrays with axes for height and width.
fn is_of_pictures(path: &str) -> bool {
    let lower = path.to_lowercase();
    let is_array = Path::new(&lower)
        .extension()
        .is_some_and(|ending| ending == "npy");
    let is_idx = lower.contains("ubyte") || lower.contains(".idx");
    let is_cheap = path.starts_with("sample:") || is_array || is_idx;
    is_cheap
        && data::open(path, &OpenOptions::default()).is_ok_and(|data| data.image_shape.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Option<&'static str> {
        by_default(&[text.parse().unwrap()])
    }

    #[test]
    fn pictures_get_the_lectures_model_and_vectors_sparse_codes() {
        assert_eq!(chosen(""), Some("kl"));
        assert_eq!(chosen("[data]\npath = 'sample:patches'"), Some("kl"));
        assert_eq!(chosen("[data]\npath = 'sample:words'"), Some("topk"));
        assert_eq!(chosen("[data]\npath = 'x.parquet'"), Some("topk"));
        assert_eq!(
            chosen("[data]\npath = 'x.csv'\nimage_shape = [8, 8]"),
            Some("kl")
        );
        assert_eq!(
            chosen("[data]\npath = 'sample:digits'\ntarget = 'y.npy'"),
            Some("topk")
        );
    }

    #[test]
    fn options_and_names_decide() {
        assert_eq!(
            chosen("[data]\npath = 'x.csv'\n[model.options]\nrho = '0.1'"),
            Some("kl")
        );
        assert_eq!(
            chosen("[data]\npath = 'sample:digits'\n[model.options]\nk = '8'"),
            Some("topk")
        );
        assert_eq!(
            chosen("[data]\npath = 'x.csv'\n[model.options]\nl1 = '8'"),
            Some("topk")
        );
        assert_eq!(chosen("[model]\narch = 'relu'"), None);
    }
}
