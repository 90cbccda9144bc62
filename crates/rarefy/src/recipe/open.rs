//! Opening the rows of a run: inputs side by side, then the target.

use crate::config::{Config, DataConfig};
use crate::data::{self, Dataset, OpenOptions, SideBySide, Source, hold_out};
use crate::io_spec::IoSpec;
use crate::plan::Plan;
use crate::preprocess::{self, FittedPipelines};
use crate::{Error, Result};

/// Opens the rows that a configuration names, and refuses settings that cannot work before a row is read.
///
/// # Errors
/// As [`open`], [`Plan::check`] and [`preprocess::check`]; [`Error::Hyper`] if no row is left to train on.
pub fn open_checked(config: &mut Config) -> Result<(Dataset<'static>, IoSpec)> {
    Plan::check(config, None)?;
    let named = [&config.data.preprocess, &config.data.preprocess_target];
    named
        .into_iter()
        .flatten()
        .try_for_each(|steps| preprocess::check(steps))?;
    let (dataset, raw) = open(&mut config.data)?;
    let holdout = config.data.holdout.unwrap_or(0);
    hold_out(dataset.source.as_ref(), holdout)?;
    let steps = config.data.preprocess.as_deref().unwrap_or_default();
    let of_target = config.data.preprocess_target.as_deref();
    let prepared = FittedPipelines::io(steps, of_target, &raw)?;
    let rows = dataset.source.rows() - holdout;
    Plan::check(config, Some((rows, &prepared)))?;
    config.data.image_shape = dataset.image_shape;
    Ok((dataset, raw))
}

/// Number of rows from which on a part is held out by default: fewer are needed for training.
const ENOUGH_ROWS: usize = 1000;
/// Largest number of rows that are held out by default: more measure no better.
const MOST_HELD_OUT: usize = 50_000;

/// Rows that the program holds out if the user says nothing: a twentieth of 1000 rows or more, at most 50,000; none if
/// `batch` rows would not be left.
///
/// # Example
/// ```
/// use rarefy::recipe::default_holdout;
/// assert_eq!([999, 1797, 5_000_000].map(|rows| default_holdout(rows, None)), [0, 89, 50_000]);
/// assert_eq!(default_holdout(1797, Some(1797)), 0);
/// ```
pub fn default_holdout(rows: usize, batch: Option<usize>) -> usize {
    let part = (rows / 20).min(MOST_HELD_OUT);
    let fits = batch.is_none_or(|batch| batch <= rows - part);
    if rows >= ENOUGH_ROWS && fits { part } else { 0 }
}

/// Opens the rows that a configuration names, inputs side by side and then the target, and says which
/// columns are which. The preprocessing that the data asks for goes into the configuration unless another is named
/// there.
///
/// # Errors
/// As [`data::open`]; [`Error::Conflict`] if the target is the data itself; [`Error::Shape`] for an image shape
/// that does not fit.
pub fn open(config: &mut DataConfig) -> Result<(Dataset<'static>, IoSpec)> {
    let options = config.open_options();
    if config.target.as_ref() == Some(&config.path) {
        let why = format!(
            "`data.target` must differ from `data.path`, got {} for both; name two members of one file as FILE::MEMBER",
            config.path
        );
        return Err(Error::Conflict(why));
    }
    let paths: Vec<&str> = [&config.path]
        .into_iter()
        .chain(&config.more)
        .map(String::as_str)
        .collect();
    let mut dataset = data::open_all(&paths, &options)?;
    if let Some(shape) = config.image_shape {
        dataset.image_shape = Some(checked_shape(shape, dataset.source.as_ref())?);
    }
    let preprocess = &mut config.preprocess;
    preprocess.get_or_insert_with(|| dataset.default_preprocess.clone());
    let target = config.target.as_deref();
    side_by_side(dataset, &config.with, target, &options)
}

/// Puts further inputs and a target beside a dataset. Labels of the first dataset stay; an image shape does not.
/// Options such as a member have no effect on inputs and targets of a format without members.
///
/// # Errors
/// As [`data::open`] and [`SideBySide::new`]; [`Error::Conflict`] for several inputs with a target.
pub fn side_by_side(
    first: Dataset<'static>,
    with: &[String],
    target: Option<&str>,
    options: &OpenOptions,
) -> Result<(Dataset<'static>, IoSpec)> {
    let mut inputs = vec![first.source.d_in()];
    if with.is_empty() && target.is_none() {
        return Ok((first, IoSpec::autoencoder(inputs[0])));
    }
    if options.skip_bad_rows {
        let why = "`data.skip_bad_rows` would leave out other rows of each file, so that row i of one belongs to another row of the next; leave rows with NaN or gaps out of all files before";
        return Err(Error::Conflict(why.into()));
    }
    let mut sources = vec![first.source];
    let mut notes = first.notes;
    for path in with {
        let dataset = data::open_beside(path, options)?;
        inputs.push(dataset.source.d_in());
        sources.push(dataset.source);
        notes.extend(dataset.notes);
    }
    let target = target
        .map(|path| data::open_beside(path, options))
        .transpose()?;
    let width = target.as_ref().map(|target| target.source.d_in());
    if let Some(target) = target {
        sources.push(target.source);
        notes.extend(target.notes);
    }
    let dataset = Dataset {
        parts: sources.iter().map(|s| s.name().to_owned()).collect(),
        source: Box::new(SideBySide::new(sources)?),
        image_shape: None,
        notes,
        ..first
    };
    Ok((dataset, IoSpec::new(&inputs, width)?))
}

/// The image shape, if it fits the rows.
///
/// # Errors
/// [`Error::Shape`] if height times width, or three times that for colour, is not the number of values in a row.
pub fn checked_shape(shape: (usize, usize), rows: &dyn Source) -> Result<(usize, usize)> {
    if data::image_channels(shape, rows.d_in()).is_some() {
        return Ok(shape);
    }
    let colour = if rows.d_in().is_multiple_of(3) {
        " (x 3 for colour)"
    } else {
        ""
    };
    Err(Error::Shape {
        what: "image shape".into(),
        expected: format!("height x width{colour} = {} values in a row", rows.d_in()),
        got: format!("{} x {}", shape.0, shape.1),
    })
}
