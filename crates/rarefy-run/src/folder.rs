//! Run folder: `config.toml`, `model/`, `checkpoints/`, `metrics.jsonl`, `figures.json`, `report.html`, `tensorboard/`.

mod lock;

use std::fs;
use std::path::{Path, PathBuf};

use rarefy::config::Config;
use rarefy::{Error, Result, atomic};
use toml::Table;

use crate::{output_path, tensorboard};
pub use lock::{Holder, Lock};

/// Entries of a run folder.
const ENTRIES: [&str; 8] = [
    "config.toml",
    "model",
    "checkpoints",
    "metrics.jsonl",
    "figures.json",
    "report.html",
    "tensorboard",
    lock::LOCK,
];

/// Start of the names of files that are being written.
const TEMPORARY: &str = ".rarefy-";

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

    /// Run in the first free folder `runs/ARCH-DATA-N`, which is created and locked.
    pub fn fresh(arch: &str, data: &str) -> Result<(Self, Lock)> {
        let (folder, lock) = Lock::first_free(|number| named(arch, data, number))?;
        Ok((Self { folder }, lock))
    }

    /// Locks the folder for this process and removes temporary files that a killed process left there.
    pub fn lock(&self) -> Result<Lock> {
        output_path::check_folder(&self.folder)?;
        let lock = Lock::folder(&self.folder)?;
        for folder in [
            self.folder.clone(),
            self.checkpoints(),
            self.model_path(),
            self.tensorboard_path(),
        ] {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let stale = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(TEMPORARY);
            for entry in entries.filter(|entry| stale(&entry.file_name())) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(lock)
    }

    /// Process that holds the folder, by its lock file, which is only read; `None` if there is none.
    pub fn holder(&self) -> Option<Holder> {
        Holder::of(&self.folder)
    }

    /// Fails if the folder holds other files than a run, or holds a run and `replace` is false. The folder is locked.
    pub fn check(&self, replace: bool) -> Result<()> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let names: Vec<String> = names.filter(|name| name != lock::LOCK).collect();
        let path = self.folder.display();
        if names.is_empty() {
            return Ok(());
        }
        if !names.iter().all(|name| ENTRIES.contains(&name.as_str()))
            && !self.config_path().exists()
        {
            return Err(Error::Conflict(format!(
                "{path} holds other files and is not a run folder; give another --out"
            )));
        }
        if replace {
            return Ok(());
        }
        let run = if !self.config_path().exists() {
            "the rest of a run without config.toml; replace it with --force, or give another --out"
        } else if self.can_begin() {
            "a run without a checkpoint; start it from step 0 with --resume, replace it with --force, or give another --out"
        } else {
            "a run already; continue it with --resume, replace it with --force, or give another --out"
        };
        Err(Error::Conflict(format!("{path} holds {run}")))
    }

    /// True for a run that ended before its first checkpoint: a configuration, no checkpoint and no model.
    pub fn can_begin(&self) -> bool {
        self.config_path().exists()
            && self.all_checkpoints().is_empty()
            && !self.model_path().exists()
    }

    /// Text of `config.toml`.
    pub fn config_text(&self) -> Result<String> {
        let path = self.config_path();
        if !path.exists() {
            let models = self.folder.join("models");
            let of_sweep = fs::read_dir(&self.folder).into_iter().flatten().flatten();
            let mut of_sweep = of_sweep.map(|entry| entry.path());
            let hint = if models.is_dir() {
                format!("; the models of a frontier are in {}", models.display())
            } else if let Some(member) = of_sweep.find(|path| path.join("config.toml").exists()) {
                format!("; its subfolders are runs, such as {}", member.display())
            } else {
                String::new()
            };
            let why = format!("expected a run folder, got no config.toml in it{hint}");
            return Err(Error::format(&self.folder, why));
        }
        fs::read_to_string(&path).map_err(Error::io(&path))
    }

    /// Settings in `config.toml`.
    pub fn settings(&self) -> Result<Table> {
        let parsed = self.config_text()?.parse();
        parsed.map_err(|e: toml::de::Error| {
            let message = format!("expected a configuration as TOML: {}", e.message());
            Error::format(self.config_path(), message)
        })
    }

    /// Makes the folder and writes the configuration, before training starts.
    pub fn create(&self, config: &Config) -> Result<()> {
        self.write_config(config)?;
        fs::create_dir_all(self.checkpoints()).map_err(Error::io(&self.folder))
    }

    /// Writes `config.toml`.
    pub fn write_config(&self, config: &Config) -> Result<()> {
        let text = toml::to_string(config)
            .map_err(|e| Error::Conflict(format!("the configuration: {e}")))?;
        atomic::write(self.config_path(), |out| out.write_all(text.as_bytes()))
    }

    /// Removes checkpoints, metrics, event files, report and model of an earlier run.
    pub fn clear(&self) -> Result<()> {
        let damaged = self.in_checkpoints("damaged");
        for checkpoint in self.all_checkpoints().into_iter().chain(damaged) {
            fs::remove_file(&checkpoint).map_err(Error::io(&checkpoint))?;
        }
        for file in [self.metrics_path(), self.figures_path(), self.report_path()] {
            if file.exists() {
                fs::remove_file(&file).map_err(Error::io(&file))?;
            }
        }
        let model = self.model_path();
        if model.is_dir() {
            fs::remove_dir_all(&model).map_err(Error::io(&model))?;
        }
        tensorboard::clear(&self.tensorboard_path())
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

    /// Path of `tensorboard/`, the folder of event files.
    pub fn tensorboard_path(&self) -> PathBuf {
        self.folder.join("tensorboard")
    }

    /// Metrics of the finished model.
    pub fn figures_path(&self) -> PathBuf {
        self.folder.join("figures.json")
    }

    /// Path of `report.html`.
    pub fn report_path(&self) -> PathBuf {
        self.folder.join("report.html")
    }

    /// Path of the report on other data than that of the run.
    pub fn report_path_of(&self, data: &str) -> PathBuf {
        self.folder.join(format!("report-{}.html", short(data)))
    }

    /// Path of the checkpoint of a step.
    pub fn checkpoint_path(&self, step: usize) -> PathBuf {
        self.checkpoints()
            .join(format!("step-{step:012}.safetensors"))
    }

    /// Paths of the checkpoints, the newest first. At least one.
    fn checkpoints_to_resume(&self) -> Result<Vec<PathBuf>> {
        let mut all = self.all_checkpoints();
        all.reverse();
        if all.is_empty() {
            let path = self.folder.display();
            let why = format!("{path} has no checkpoint to resume from");
            return Err(Error::Conflict(why));
        }
        Ok(all)
    }

    /// Resumes from the newest checkpoint that can be read. Damaged newer ones are set aside, each with a warning.
    pub fn resume_newest<T>(
        &self,
        resume: impl Fn(&Path) -> Result<T>,
    ) -> Result<(T, Vec<String>)> {
        let mut damaged: Vec<(PathBuf, Error)> = Vec::new();
        for checkpoint in self.checkpoints_to_resume()? {
            match resume(&checkpoint) {
                Ok(resumed) => {
                    let warning = |(path, error): (PathBuf, Error)| {
                        Self::set_aside(&path)?;
                        Ok(format!("{error}; an older checkpoint is used"))
                    };
                    let warnings = damaged.into_iter().map(warning).collect::<Result<_>>()?;
                    return Ok((resumed, warnings));
                }
                Err(error @ (Error::Format { .. } | Error::Io { .. })) => {
                    damaged.push((checkpoint, error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(damaged.swap_remove(0).1)
    }

    /// Sets a damaged checkpoint aside: from then on it is no checkpoint of the run.
    fn set_aside(checkpoint: &Path) -> Result<()> {
        let aside = checkpoint.with_extension("damaged");
        fs::rename(checkpoint, &aside).map_err(Error::io(checkpoint))
    }

    /// Removes all but the newest checkpoints and those whose steps are multiples of `keep_every`, if that is not 0.
    pub fn prune_checkpoints(&self, newest: usize, keep_every: usize) -> Result<()> {
        let all = self.all_checkpoints();
        let is_kept = |path: &Path| {
            let step = path.file_stem().and_then(|name| name.to_str());
            let step = step.and_then(|name| name.strip_prefix("step-")?.parse::<usize>().ok());
            keep_every > 0 && step.is_some_and(|step| step.is_multiple_of(keep_every))
        };
        let old = &all[..all.len().saturating_sub(newest)];
        for old in old.iter().filter(|path| !is_kept(path)) {
            fs::remove_file(old).map_err(Error::io(old))?;
        }
        Ok(())
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }

    fn all_checkpoints(&self) -> Vec<PathBuf> {
        self.in_checkpoints("safetensors")
    }

    /// Files with this ending in `checkpoints/`, sorted.
    fn in_checkpoints(&self, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.checkpoints())
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path());
        let mut found: Vec<PathBuf> = entries
            .filter(|p| p.extension().is_some_and(|e| e == ending))
            .collect();
        found.sort();
        found
    }
}

/// Folder `runs/ARCH-DATA-N`.
fn named(arch: &str, data: &str, number: usize) -> PathBuf {
    PathBuf::from("runs").join(format!("{arch}-{}-{number}", short(data)))
}

/// Short name of data for names of files.
fn short(data: &str) -> String {
    let path = Path::new(data.trim_start_matches("sample:"));
    // A glob is a poor name; the folder before it is used.
    let glob = |path: &&Path| path.to_string_lossy().contains(['*', '?', '[']);
    let source = path.ancestors().find(|path| !glob(path)).unwrap_or(path);
    let name = source
        .file_stem()
        .map_or_else(|| "data".into(), |stem| stem.to_string_lossy());
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    name.chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::named;

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
            let folder = named("topk", data, 1).display().to_string();
            assert_eq!(folder, format!("runs/topk-{name}-1"), "{data}");
        }
    }
}
