//! Command `rarefy report`: writes the report of a run again.

use std::path::PathBuf;

use rarefy::Error;
use rarefy::model::Model;
use rarefy::recipe::{self, Evaluated};
use rarefy_run::folder::Run;
use rarefy_run::{output_path, report};

use crate::cli::{DataArgs, ReportArgs};
use crate::reading::lines;
use crate::rows::{Given, Opened};
use crate::{configuration, output, reading};

pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let run = Run::at(&args.run);
    let out = out(args, &run)?;
    // The page shows the settings of the run.
    configuration::from_run(&run)?;
    let model = Model::load(&args.run)?;
    let Opened {
        dataset: mut data,
        io,
        holdout,
    } = Given {
        model: &args.run,
        data: &args.data,
        source: &DataArgs::default(),
        with: &args.with,
        target: args.target.as_deref(),
    }
    .open()?;
    model.check_given(data.source.name(), &io)?;
    if let Some(shape) = &args.image_shape {
        let shape = configuration::parse_size("data.image_shape", shape)?;
        data.image_shape = Some(recipe::checked_shape(shape, data.source.as_ref())?);
    }
    if let Some(path) = &args.labels {
        data.labels = Some(lines(path, "labels", data.source.rows(), None)?);
    }
    if let Some(path) = &args.texts {
        data.texts = Some(lines(path, "texts", data.source.rows(), None)?);
    }
    let image_shape = data.image_shape.or(model.image_shape());
    let model = model.with_image_shape(image_shape);
    let data = data.representative(holdout);
    let (data, reading) = reading::watch(data, false, "report");
    let (evaluated, responses) = Evaluated::with_responses(&model, data.source.as_ref(), holdout)?;
    let tokens = args.lens.tokens(&model)?;
    let found = (&evaluated, &responses);
    report::write(&run, &out, (&model, &data), found, tokens.as_ref())?;
    reading.finish();
    output::print(&out.display().to_string())
}

/// Page to write. That of other data does not replace the page of the run.
fn out(args: &ReportArgs, run: &Run) -> rarefy::Result<PathBuf> {
    let Some(out) = &args.out else {
        return Ok(match args.data.first() {
            Some(data) => run.report_path_of(data),
            None => run.report_path(),
        });
    };
    if out
        .extension()
        .is_none_or(|ending| !ending.eq_ignore_ascii_case("html"))
    {
        return Err(Error::hyper(
            "--out",
            "a file that ends in .html",
            out.display(),
        ));
    }
    output_path::check_file(out)?;
    Ok(out.clone())
}
