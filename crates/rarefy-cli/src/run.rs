//! Run folder: `config.toml`, `model/`, `checkpoints/`, `metrics.jsonl`, `report.html`.

use std::fs;
use std::path::{Path, PathBuf};

use rarefy::config::Config;
use rarefy::{Error, Result, atomic};

use crate::output_path;

/// Number of checkpoints kept: the newest, and the one before to go back to by hand.
const KEPT: usize = 2;

/// Paths inside a run folder.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
}

impl Run {
    /// Run in a folder that may not exist yet.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Run in the first free folder `runs/ARCH-DATA-N`.
    pub fn fresh(arch: &str, data: &str) -> Self {
        let path = Path::new(data.trim_start_matches("sample:"));
        // A glob is a poor name; the folder before it is used.
        let glob = |path: &&Path| path.to_string_lossy().contains(['*', '?', '[']);
        let mut named = path.ancestors().skip_while(glob);
        let source = named.next().unwrap_or(path);
        let name: String = source
            .file_stem()
            .map_or_else(|| "data".into(), |s| s.to_string_lossy().into_owned())
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let numbered = |n: usize| PathBuf::from("runs").join(format!("{arch}-{name}-{n}"));
        let mut number = 1;
        while numbered(number).exists() {
            number += 1;
        }
        Self {
            folder: numbered(number),
        }
    }

    /// Fails if the folder cannot be made, holds other files than a run, or holds a run and `replace` is false.
    pub fn check(&self, replace: bool) -> Result<()> {
        output_path::check_folder(&self.folder)?;
        let mut entries = fs::read_dir(&self.folder).into_iter().flatten();
        if entries.next().is_none() {
            return Ok(());
        }
        let path = self.folder.display();
        if self.config_path().exists() {
            return if replace {
                Ok(())
            } else {
                Err(Error::Conflict(format!(
                    "{path} holds a run already; continue it with --resume, replace it with --force, or give another --out"
                )))
            };
        }
        Err(Error::Conflict(format!(
            "{path} holds other files and is not a run folder; give another --out"
        )))
    }

    /// Text of `config.toml`.
    pub fn config_text(&self) -> Result<String> {
        let path = self.config_path();
        if !path.exists() {
            return Err(Error::format(
                &self.folder,
                "expected a run folder, got no config.toml in it",
            ));
        }
        fs::read_to_string(&path).map_err(Error::io(&path))
    }

    /// Makes the folder and writes the configuration, before training starts.
    pub fn create(&self, config: &Config) -> Result<()> {
        fs::create_dir_all(self.checkpoints()).map_err(Error::io(&self.folder))?;
        self.write_config(config)
    }

    /// Writes `config.toml`.
    pub fn write_config(&self, config: &Config) -> Result<()> {
        let text = toml::to_string(config)
            .map_err(|e| Error::Conflict(format!("the configuration: {e}")))?;
        atomic::write(self.config_path(), |out| out.write_all(text.as_bytes()))
    }

    /// Removes checkpoints, metrics, report and model of an earlier run.
    pub fn clear(&self) -> Result<()> {
        for checkpoint in self.all_checkpoints() {
            fs::remove_file(&checkpoint).map_err(Error::io(&checkpoint))?;
        }
        for file in [self.metrics_path(), self.report_path()] {
            if file.exists() {
                fs::remove_file(&file).map_err(Error::io(&file))?;
            }
        }
        let model = self.model_path();
        if model.is_dir() {
            fs::remove_dir_all(&model).map_err(Error::io(&model))?;
        }
        Ok(())
    }

    /// Path of the run folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of `config.toml`.
    pub fn config_path(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// Path of `model/`.
    pub fn model_path(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// Path of `metrics.jsonl`.
    pub fn metrics_path(&self) -> PathBuf {
        self.folder.join("metrics.jsonl")
    }

    /// Path of `report.html`.
    pub fn report_path(&self) -> PathBuf {
        self.folder.join("report.html")
    }

    /// Path of the checkpoint of a step.
    pub fn checkpoint_path(&self, step: usize) -> PathBuf {
        self.checkpoints()
            .join(format!("step-{step:012}.safetensors"))
    }

    /// Path of the newest checkpoint.
    pub fn newest_checkpoint(&self) -> Result<PathBuf> {
        self.all_checkpoints().pop().ok_or_else(|| {
            Error::Conflict(format!(
                "{} has no checkpoint to resume from",
                self.folder.display()
            ))
        })
    }

    /// Removes all but the newest [`KEPT`] checkpoints.
    pub fn prune_checkpoints(&self) -> Result<()> {
        let all = self.all_checkpoints();
        for old in &all[..all.len().saturating_sub(KEPT)] {
            fs::remove_file(old).map_err(Error::io(old))?;
        }
        Ok(())
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }

    fn all_checkpoints(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.checkpoints())
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path());
        let mut found: Vec<PathBuf> = entries
            .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
            .collect();
        found.sort();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::Run;

    #[test]
    fn fresh_run_is_named_after_its_data() {
        for (data, name) in [
            ("sample:digits", "digits"),
            ("some/where/acts.npy", "acts"),
            ("acts.npz::mlp_in", "acts"),
            ("activations/*.npy", "activations"),
            ("x/part-?/*.npy", "x"),
            ("*.npy", "data"),
            ("a b.npy", "a-b"),
        ] {
            let folder = Run::fresh("topk", data).folder().display().to_string();
            assert_eq!(folder, format!("runs/topk-{name}-1"), "{data}");
        }
    }
}
