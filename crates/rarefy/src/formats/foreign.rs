//! Models of other libraries: recognised by the names of their files and refused by the library's name.

use std::path::{Path, PathBuf};

use super::locate;
use crate::Error;

/// Table line of a library whose models are recognised, but not read.
struct Library {
    name: &'static str,
    /// Files that a model folder of the library has, all of them.
    files: &'static [&'static str],
}

/// Libraries in the order of the search: folders with more files first.
const LIBRARIES: &[Library] = &[
    library("sparsify (EleutherAI)", &["cfg.json", "sae.safetensors"]),
    library("dictionary_learning", &["config.json", "ae.pt"]),
    library("Gemma Scope 2", &["config.json", "params.safetensors"]),
    library("Language-Model-SAEs (Llama Scope)", &["hyperparams.json"]),
    library("temporal SAEs", &["conf.yaml", "latest_ckpt.safetensors"]),
    library("PEFT (an adapter)", &["adapter_config.json"]),
    library(
        "transformers (a language model)",
        &["config.json", "model.safetensors"],
    ),
    library(
        "transformers (a language model)",
        &["config.json", "model.safetensors.index.json"],
    ),
    library(
        "transformers (a language model)",
        &["config.json", "pytorch_model.bin"],
    ),
    library("SAELens before version 3", &["cfg.json", "sae_weights.pt"]),
    library("Gemma Scope", &["params.npz"]),
    library("dictionary_learning", &["ae.pt"]),
    library("sparsify (EleutherAI)", &["sae.safetensors"]),
];

const fn library(name: &'static str, files: &'static [&'static str]) -> Library {
    Library { name, files }
}

/// Endings of files that a framework writes for whole models: the framework, and its typical SAE libraries.
const ENDINGS: &[(&str, &str)] = &[
    (
        "pt",
        "PyTorch, as OpenAI's sparse_autoencoder or dictionary_learning write them",
    ),
    ("pth", "PyTorch, as overcomplete writes them"),
    ("bin", "PyTorch"),
    ("ckpt", "PyTorch Lightning"),
    ("pkl", "Python's pickle"),
    ("onnx", "ONNX"),
    ("h5", "Keras"),
    ("keras", "Keras"),
];

/// Model folder that is read.
const EXPECTED: &str = "a run folder, or a model's folder with cfg.json and sae_weights.safetensors as rarefy and SAELens \
                        write it";

/// Advice for models of other libraries.
const CONVERT: &str = "SAELens reads the models of several libraries: load it there and save it with `sae.save_model`";

/// Error for a path that holds a model of another library, a file instead of a folder, or several models.
///
/// `None` for the folder of a model that is read, and for a path without any sign of a model.
pub fn refused_model(path: &Path) -> Option<Error> {
    if path.is_file() {
        return Some(refused_file(path));
    }
    if !path.is_dir()
        || locate(path).is_some_and(|(folder, _)| folder.join("sae_weights.safetensors").exists())
    {
        return None;
    }
    if let Some(library) = library_of(path) {
        let files = library.files.join(" and ");
        let why = format!(
            "a folder of {}, with {files}; expected {EXPECTED}; {CONVERT}",
            library.name
        );
        return Some(Error::format(path, why));
    }
    inner_models(path).map(|why| Error::format(path, why))
}

/// Library whose files are all in the folder.
fn library_of(folder: &Path) -> Option<&'static Library> {
    let has = |file: &&str| folder.join(file).is_file();
    LIBRARIES
        .iter()
        .find(|library| library.files.iter().all(has))
}

/// Error for a file: a model is a folder.
fn refused_file(path: &Path) -> Error {
    let lower =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().to_lowercase();
    let (name, ending) = (lower(path.file_name()), lower(path.extension()));
    let mut single = LIBRARIES
        .iter()
        .filter(|library| library.files == [name.as_str()]);
    let mut endings = ENDINGS.iter().filter(|(known, _)| *known == ending);
    let foreign = single.next().map(|library| library.name);
    let why = match foreign.or_else(|| endings.next().map(|(_, framework)| *framework)) {
        Some(foreign) => format!("a file of {foreign}; expected {EXPECTED}; {CONVERT}"),
        None => format!("a file; expected {EXPECTED}"),
    };
    Error::format(path, why)
}

/// Message that lists the models in the folders below, up to four.
fn inner_models(folder: &Path) -> Option<String> {
    const SHOWN: usize = 4;
    let entries = std::fs::read_dir(folder).ok()?;
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    if let Some(library) = folders.iter().find_map(|inner| library_of(inner)) {
        return Some(format!(
            "holds model folders of {}; expected {EXPECTED}; {CONVERT}",
            library.name
        ));
    }
    folders.retain(|inner| inner.join("sae_weights.safetensors").exists());
    let names: Vec<String> = folders
        .iter()
        .take(SHOWN)
        .map(|inner| inner.display().to_string())
        .collect();
    let more = if folders.len() > SHOWN { ", ..." } else { "" };
    (!names.is_empty()).then(|| {
        format!(
            "a folder with several models; give one of {}{more}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn folder_of_each_library_is_refused_by_its_name() {
        for library in LIBRARIES {
            let folder = tempfile::tempdir().unwrap();
            for file in library.files {
                std::fs::write(folder.path().join(file), "{}").unwrap();
            }
            let error = Model::load(folder.path()).err().unwrap().to_string();
            assert!(error.contains(library.name), "{error}");
            assert!(error.contains("sae_weights.safetensors"), "{error}");
            let above = tempfile::tempdir().unwrap();
            std::fs::rename(folder.path(), above.path().join("layer_3")).unwrap();
            let error = Model::load(above.path()).err().unwrap().to_string();
            assert!(error.contains(library.name), "{error}");
        }
    }

    #[test]
    fn file_given_as_model_is_named_as_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for (name, expected) in [
            ("params.npz", "a file of Gemma Scope; expected a run folder"),
            ("12.pt", "a file of PyTorch, as OpenAI's"),
            ("sae.pth", "as overcomplete"),
            ("rows.npy", "rows.npy: a file; expected a run folder"),
            ("cfg.json", "cfg.json: a file; expected a run folder"),
            (
                "sae_weights.safetensors",
                "safetensors: a file; expected a run folder",
            ),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "x").unwrap();
            let error = Model::load(&path).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn folder_of_several_models_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        for layer in ["a", "b"] {
            let inner = folder.path().join(layer);
            std::fs::create_dir(&inner).unwrap();
            std::fs::write(inner.join("sae_weights.safetensors"), "").unwrap();
        }
        let error = Model::load(folder.path()).err().unwrap().to_string();
        assert!(
            error.contains("several models; give one of") && error.contains("/b"),
            "{error}"
        );
        assert!(refused_model(&folder.path().join("none")).is_none());
    }
}
