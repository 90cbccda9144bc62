//! The rows that a command reads: the data that it names, or the data of the run.

use std::io::ErrorKind;
use std::path::Path;

use rarefy::Error;
use rarefy::config::{self, DataConfig};
use rarefy::data::{self, Dataset, OpenOptions, UsualColumns};
use rarefy::io_spec::IoSpec;
use rarefy::recipe::{self, side_by_side};
use rarefy_run::folder::Run;
use toml::Table;

use crate::cli::DataArgs;
use crate::configuration::{self, as_paths};
use crate::output;

/// Data of a command that has a model.
pub struct Given<'a> {
    /// Run or model folder.
    pub model: &'a Path,
    /// Paths of the data; empty for the data of the run.
    pub data: &'a [String],
    pub source: &'a DataArgs,
    pub with: &'a [String],
    pub target: Option<&'a str>,
}

/// Rows, and which of them the run has held out.
pub struct Opened {
    pub dataset: Dataset<'static>,
    /// Columns of a row that are inputs, and those of the target.
    pub io: IoSpec,
    /// Number of rows that the run held out; 0 for rows that are not those of the run, or not all of them.
    pub holdout: usize,
}

impl Given<'_> {
    /// Opens the rows.
    ///
    /// # Errors
    /// [`Error::Format`] without data, if the model is no run or the data of the run is gone; errors of opening files.
    pub fn open(&self) -> anyhow::Result<Opened> {
        self.opened(|config| config)
    }

    /// [`Given::open`] without the target of a transcoder, whose latents read the input alone.
    ///
    /// # Errors
    /// As [`Given::open`].
    pub fn open_inputs(&self) -> anyhow::Result<Opened> {
        self.opened(|config| DataConfig {
            target: None,
            ..config
        })
    }

    fn opened(&self, of_run: impl Fn(DataConfig) -> DataConfig) -> anyhow::Result<Opened> {
        let mut layer = Table::new();
        self.source.put(&mut layer);
        if self.data.is_empty() {
            let whole = layer.is_empty();
            let mut config = of_run(run_config(self.model, layer)?);
            let holdout = config.holdout.filter(|_| whole).unwrap_or(0);
            let opened = recipe::open(&mut config);
            let (dataset, io) = opened.map_err(|error| naming_run(self.model, error))?;
            return Ok(Opened {
                dataset,
                io,
                holdout,
            });
        }
        let options = options_beside(self.model, layer)?;
        let first = data::open_all(&as_paths(self.data), &options)?;
        let (dataset, io) = side_by_side(first, self.with, self.target, &options)?;
        Ok(Opened {
            dataset,
            io,
            holdout: 0,
        })
    }

    /// Paths of the rows.
    ///
    /// # Errors
    /// [`Error::Format`] without data, if the model is no run.
    pub fn paths(&self) -> anyhow::Result<Vec<String>> {
        if !self.data.is_empty() {
            return Ok([self.data, self.with].concat());
        }
        let DataConfig {
            path, more, with, ..
        } = run_config(self.model, Table::new())?;
        Ok([vec![path], more, with].concat())
    }

    /// Says that named data has rows of the run's training, where held-out figures are to be had.
    pub fn tell_of_training_rows(&self) {
        let run = run_config(self.model, Table::new());
        let holds_out = run.is_ok_and(|run| run.holdout.is_some_and(|rows| rows > 0));
        if holds_out && self.data.iter().any(|path| is_of_run(self.model, path)) {
            output::note(
                "note: the model was trained on these rows; without DATA, held-out and training rows are told apart",
            );
        }
    }
}

/// Settings of the data of a run, under the flags of a command.
///
/// # Errors
/// [`Error::Format`] for a folder that is no run.
pub fn run_config(model: &Path, layer: Table) -> anyhow::Result<DataConfig> {
    let run = Run::at(model);
    if !run.config_path().exists() {
        let why = "the folder is no run, which knows its data: give the data behind the model";
        return Err(Error::format(model, why).into());
    }
    Ok(config::merge(&[configuration::from_run(&run)?, layer])?.data)
}

/// Options of reading data that is named, for a model: the flags, then the roles of columns that a run knows.
///
/// # Errors
/// Errors of the configuration.
pub fn options_beside(model: &Path, layer: Table) -> rarefy::Result<OpenOptions> {
    let mut options = config::merge(&[layer])?.data.open_options();
    let Ok(of_run) = run_config(model, Table::new()) else {
        return Ok(options);
    };
    // Another label of the command does not make the run's label an input, and is none itself.
    let mut exclude = of_run.exclude;
    if let Some(given) = &options.label {
        exclude.retain(|name| name != given);
        let own = of_run.label.clone();
        let own = own.filter(|own| own != given && Some(own) != options.text.as_ref());
        exclude.extend(own.clone());
        // Columns that the command leaves out take the place of all that the run leaves out.
        if !options.exclude.is_empty() {
            options.exclude.extend(own);
        }
    }
    Ok(OpenOptions {
        usual: UsualColumns {
            columns: of_run.columns,
            exclude,
            label: of_run.label,
            text: of_run.text,
        },
        ..options
    })
}

/// Error of opening the data of a run; where the data is gone, what to do.
pub fn naming_run(model: &Path, error: Error) -> Error {
    match error {
        Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            let why = format!(
                "the data of the run, {}, is not there: give the path where it is now",
                path.display()
            );
            Error::format(model, why)
        }
        error => error,
    }
}

/// True if a path is among the training data of the run.
pub fn is_of_run(model: &Path, path: &str) -> bool {
    let same = |other: &String| {
        let real = |path: &str| std::fs::canonicalize(path).ok();
        other == path || real(other).is_some_and(|other| Some(other) == real(path))
    };
    let data = run_config(model, Table::new());
    data.is_ok_and(|data| same(&data.path) || data.more.iter().any(same))
}
