//! Opening data for a command, with the image shape and labels that the user may add.

use rarefy::config::DataConfig;
use rarefy::data::{self, Dataset, OpenOptions, SideBySide, Source};
use rarefy::io_spec::IoSpec;
use rarefy::preprocess::FittedPipelines;
use rarefy::{Error, Result};

/// Opens the data that a run's configuration names, inputs side by side and then the target, and says which
/// columns are which. The data's own preprocessing, unless the user named other, goes into the configuration.
pub fn open(config: &mut DataConfig) -> Result<(Dataset, IoSpec)> {
    let options = OpenOptions {
        member: config.member.clone(),
        header: config.header,
        rows: config.rows,
        ..OpenOptions::default()
    };
    if config.target.as_ref() == Some(&config.path) {
        let why = format!(
            "the target {} is the data itself, and a transcoder predicts other rows; of a file with several members \
             name one each, as FILE::MEMBER",
            config.path
        );
        return Err(Error::Conflict(why));
    }
    let mut dataset = data::open(&config.path, &options)?;
    if let Some(shape) = config.image_shape {
        dataset.image_shape = Some(checked_shape(shape, dataset.source.as_ref())?);
    }
    let preprocess = &mut config.preprocess;
    preprocess.get_or_insert_with(|| dataset.default_preprocess.clone());
    let target = config.target.as_deref();
    side_by_side(dataset, &config.with, target, &options)
}

/// Fits the preprocessing that [`open`] settled.
pub fn fit(config: &DataConfig, training: &dyn Source, raw: &IoSpec) -> Result<FittedPipelines> {
    let steps = config.preprocess.as_deref().unwrap_or_default();
    FittedPipelines::fit(steps, config.preprocess_target.as_deref(), training, raw)
}

/// Puts further inputs and a target beside a dataset. Its labels stay; pictures of joined rows there are none.
pub fn side_by_side(
    first: Dataset,
    with: &[String],
    target: Option<&str>,
    options: &OpenOptions,
) -> Result<(Dataset, IoSpec)> {
    let mut inputs = vec![first.source.d_in()];
    if with.is_empty() && target.is_none() {
        return Ok((first, IoSpec::autoencoder(inputs[0])));
    }
    let mut sources = vec![first.source];
    for path in with {
        let source = data::open(path, options)?.source;
        inputs.push(source.d_in());
        sources.push(source);
    }
    let target = target.map(|path| data::open(path, options)).transpose()?;
    let width = target.as_ref().map(|target| target.source.d_in());
    sources.extend(target.map(|target| target.source));
    let dataset = Dataset {
        parts: sources.iter().map(|s| s.name().to_owned()).collect(),
        source: Box::new(SideBySide::new(sources)?),
        image_shape: None,
        ..first
    };
    Ok((dataset, IoSpec::new(&inputs, width)?))
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
