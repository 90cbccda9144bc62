//! Settings of a run on rows that the caller gives, in place of a path.

use super::checked_shape;
use crate::config::Config;
use crate::data::Rows;
use crate::{Error, Result, variants};

/// The configuration with what the given rows say about themselves: name, default preprocessing, image shape.
///
/// # Errors
/// [`Error::Unknown`] for an unknown architecture; [`Error::Conflict`] for a setting that names other rows, because it
/// would be ignored; [`Error::Shape`] for an image shape that does not fit.
pub fn of_given_rows(mut config: Config, rows: &Rows) -> Result<Config> {
    variants::find(&config.model.arch)?;
    refuse_other_rows(&config)?;
    let data = &mut config.data;
    data.path = rows.source().name().into();
    if let Some(dataset) = rows.dataset() {
        let preprocess = &mut data.preprocess;
        preprocess.get_or_insert_with(|| dataset.default_preprocess.clone());
        data.image_shape = data.image_shape.or(dataset.image_shape);
    }
    if let Some(shape) = data.image_shape {
        checked_shape(shape, rows.source())?;
    }
    Ok(config)
}

fn refuse_other_rows(config: &Config) -> Result<()> {
    let data = &config.data;
    let set = [
        ("data.target", data.target.is_some()),
        ("data.preprocess_target", data.preprocess_target.is_some()),
        ("data.with", !data.with.is_empty()),
        ("data.rows", data.rows.is_some()),
        ("data.member", data.member.is_some()),
        ("data.header", data.header.is_some()),
        ("data.columns", !data.columns.is_empty()),
        ("data.exclude", !data.exclude.is_empty()),
        ("data.label", data.label.is_some()),
        ("data.text", data.text.is_some()),
        ("data.row_axis", data.row_axis.is_some()),
        ("data.skip_bad_rows", data.skip_bad_rows),
    ];
    let Some((key, _)) = set.into_iter().find(|(_, is_set)| *is_set) else {
        return Ok(());
    };
    Err(Error::Conflict(format!(
        "`{key}` says how files are read, and this run is given its rows: leave it out, and pass the rows and columns that are wanted"
    )))
}
