//! Opening data for a command, with the image shape and labels that the user may add.

use rarefy::config::DataConfig;
use rarefy::data::{self, Dataset, OpenOptions, Source};
use rarefy::{Error, Result};

/// Opens the data that a run's configuration names.
pub fn open(config: &DataConfig) -> Result<Dataset> {
    let options = OpenOptions {
        member: config.member.clone(),
        header: config.header,
        rows: config.rows,
        ..OpenOptions::default()
    };
    let mut dataset = data::open(&config.path, &options)?;
    if let Some(shape) = config.image_shape {
        dataset.image_shape = Some(checked_shape(shape, dataset.source.as_ref())?);
    }
    Ok(dataset)
}

/// An image shape that fits the rows.
pub fn checked_shape(shape: (usize, usize), rows: &dyn Source) -> Result<(usize, usize)> {
    if shape.0 * shape.1 == rows.d_in() {
        return Ok(shape);
    }
    Err(Error::Shape {
        what: "image shape".into(),
        expected: format!("height x width = {} values in a row", rows.d_in()),
        got: format!("{} x {}", shape.0, shape.1),
    })
}
