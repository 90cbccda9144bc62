//! Command `rarefy report`: writes the report of a run again.

use rarefy::config;
use rarefy::model::Model;
use rarefy::recipe::{self, Evaluated};
use rarefy_run::folder::Run;
use rarefy_run::report;

use crate::cli::ReportArgs;
use crate::reading::lines;
use crate::{configuration, output, reading};

pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let run = Run::at(&args.run);
    let mut config = config::merge(&[configuration::from_run(&run)?])?;
    if let Some((path, more)) = args.data.split_first() {
        config.data = config::DataConfig {
            path: path.clone(),
            more: more.to_vec(),
            target: args.target.clone(),
            with: args.with.clone(),
            ..config::DataConfig::default()
        };
    }
    if let Some(shape) = &args.image_shape {
        config.data.image_shape = Some(configuration::parse_size("data.image_shape", shape)?);
    }
    let model = Model::load(&args.run)?;
    let (mut data, given) = recipe::open(&mut config.data)?;
    model.check_given(data.source.name(), &given)?;
    if let Some(path) = &args.labels {
        data.labels = Some(lines(path, "labels", data.source.rows())?);
    }
    if let Some(path) = &args.texts {
        data.texts = Some(lines(path, "texts", data.source.rows())?);
    }
    let image_shape = data.image_shape.or(model.image_shape());
    let model = model.with_image_shape(image_shape);
    let (data, reading) = reading::watch(data, false);
    // Other data has no rows that the run trained on.
    let holdout = if args.data.is_empty() {
        config.data.holdout.unwrap_or(0)
    } else {
        0
    };
    let (evaluated, responses) = Evaluated::with_responses(&model, data.source.as_ref(), holdout)?;
    let tokens = args.lens.tokens(&model)?;
    report::write(
        &run,
        &model,
        &data,
        (&evaluated, &responses),
        tokens.as_ref(),
    )?;
    reading.finish();
    output::print(&run.report_path().display().to_string())
}
