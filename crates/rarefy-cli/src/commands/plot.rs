//! Command `rarefy plot`: features of a model, curves of a run and the KL penalty, as files.

use std::path::Path;

use rarefy::data::image_channels;
use rarefy::model::Model;
use rarefy::{Error, Result, atomic};
use rarefy_report::Filters;
use rarefy_run::folder::Run;
use rarefy_run::{output_path, report};

use crate::cli::PlotCommand;
use crate::{configuration, output};

pub fn run(command: &PlotCommand) -> anyhow::Result<()> {
    match command {
        PlotCommand::Features {
            model,
            limit,
            image_shape,
            out,
        } => features(model, *limit, image_shape.as_deref(), out),
        PlotCommand::Curves { run, out } => curves(&Run::at(run), out),
        PlotCommand::Penalty { rho, out } => penalty(*rho, out),
    }
}

fn features(
    path: &Path,
    limit: Option<usize>,
    shape: Option<&str>,
    out: &Path,
) -> anyhow::Result<()> {
    check(out, "png")?;
    let model = Model::load(path)?;
    let shape = shape.map(|text| configuration::parse_size("--image-shape", text));
    let size = shape.transpose()?.or(model.image_shape());
    let size = size.ok_or_else(|| {
        Error::Conflict(
            "the model was not trained on pictures: give their size with --image-shape HxW".into(),
        )
    })?;
    let channels = image_channels(size, model.raw_d_in()).ok_or_else(|| Error::Shape {
        what: "picture".into(),
        expected: format!("height x width of {} values in a row", model.raw_d_in()),
        got: format!("{}x{}", size.0, size.1),
    })?;
    let mut levels = report::filter_levels(&model);
    levels.truncate(limit.unwrap_or(levels.len()));
    let filters = Filters {
        levels: &levels,
        size,
        channels,
    };
    let picture = filters.png().map_err(|why| Error::format(out, why))?;
    write(out, &picture, &format!("{} features", levels.len()))
}

fn curves(run: &Run, out: &Path) -> anyhow::Result<()> {
    check(out, "svg")?;
    run.config_text()?;
    let history = report::history(run)?;
    if history.is_empty() {
        let why = "the run has no records of its steps: metrics.jsonl is missing or empty";
        return Err(Error::format(run.folder(), why).into());
    }
    let svg = rarefy_report::curves_plot(&history);
    write(out, svg.as_bytes(), &format!("{} records", history.len()))
}

fn penalty(rho: f64, out: &Path) -> anyhow::Result<()> {
    if !(rho > 0.0 && rho < 1.0) {
        return Err(Error::hyper("--rho", "a number in (0, 1)", rho).into());
    }
    check(out, "svg")?;
    let svg = rarefy_report::penalty_plot(rho, &[]);
    write(
        out,
        svg.as_bytes(),
        &format!("minimum 0 at rho_hat = {rho}"),
    )
}

/// Refuses a file that does not end as it must.
fn check(out: &Path, ending: &str) -> Result<()> {
    if out
        .extension()
        .is_none_or(|e| !e.eq_ignore_ascii_case(ending))
    {
        let expected = format!("a file that ends in .{ending}");
        return Err(Error::hyper("--out", &expected, out.display()));
    }
    output_path::check_file(out)
}

fn write(out: &Path, bytes: &[u8], about: &str) -> anyhow::Result<()> {
    atomic::write(out, |file| file.write_all(bytes))?;
    output::print(&format!("{} ({about})", out.display()))
}
