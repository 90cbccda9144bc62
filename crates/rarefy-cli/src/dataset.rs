//! Data of a command: opens inputs and target, and fits the preprocessing.

use rarefy::config::DataConfig;
use rarefy::data::{self, Dataset, OpenOptions, SideBySide, Source};
use rarefy::io_spec::IoSpec;
use rarefy::preprocess::FittedPipelines;
use rarefy::{Error, Result};

/// Opens the data of a configuration: inputs side by side, then the target.
///
/// Returns the dataset and its columns. If the configuration names no preprocessing, the data's default is put there.
pub fn open(config: &mut DataConfig) -> Result<(Dataset, IoSpec)> {
    let options = OpenOptions {
        member: config.member.clone(),
        header: config.header,
        rows: config.rows,
        ..OpenOptions::default()
    };
    if config.target.as_ref() == Some(&config.path) {
        let why = format!(
            "`data.target` must differ from `data.path`, got {} for both; name two members of one file as FILE::MEMBER",
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

/// Fits the preprocessing of the configuration on the training rows.
pub fn fit(config: &DataConfig, training: &dyn Source, raw: &IoSpec) -> Result<FittedPipelines> {
    let steps = config.preprocess.as_deref().unwrap_or_default();
    FittedPipelines::fit(steps, config.preprocess_target.as_deref(), training, raw)
}

/// Joins further inputs and a target to a dataset, column-wise. The labels stay; the image shape is dropped.
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

/// Image shape, checked against the width of the rows.
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
