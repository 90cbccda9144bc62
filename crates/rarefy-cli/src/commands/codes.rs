//! Commands `rarefy encode` and `rarefy decode`: rows to codes and back.

use std::ops::Range;
use std::path::Path;

use indicatif::ProgressBar;
use rarefy::codes::Codes;
use rarefy::formats::codes;
use rarefy::model::Model;
use rarefy::{Error, Result};
use rarefy_run::output_path;
use serde_json::json;

use crate::cli::{DecodeArgs, EncodeArgs};
use crate::reading::{self, style};
use crate::rows::{Given, Opened};
use crate::{interrupt, npy_file, output};

/// Number of rows that are encoded or decoded together.
const ROWS: usize = 1 << 14;

pub fn encode(args: &EncodeArgs) -> anyhow::Result<()> {
    let format = codes::find(&args.out)?;
    output_path::check_file(&args.out)?;
    let given = Given {
        model: &args.model,
        data: &args.data,
        source: &args.source,
        with: &args.with,
        target: None,
    };
    let (files, paths) = (output_path::model_files(&args.model), given.paths()?);
    let inputs = paths.iter().map(Path::new).chain([&*files]);
    output_path::check_apart(&args.out, &inputs.collect::<Vec<_>>())?;
    let model = Model::load(&args.model)?;
    let Opened { dataset, io, .. } = given.open_inputs()?;
    let source = dataset.source.as_ref();
    model.check_inputs(source.name(), &io)?;
    let bar = if args.quiet {
        ProgressBar::hidden()
    } else {
        reading::tell(&dataset, "encode");
        progress(source.rows())
    };
    if format.extension == "npy" {
        let chunks = pieces(source.rows());
        let chunks = chunks.inspect(|rows| bar.inc(rows.len() as u64));
        let dense = chunks.map(|rows| model.encode_dense_range(source, rows));
        npy_file::write_rows(&args.out, &[source.rows(), model.d_sae()], dense)?;
    } else {
        interrupt::watch();
        let mut file = codes::Writer::create(&args.out, model.d_sae())?;
        let pushed = model.encode_pieces(source, args.threshold, &mut |codes| {
            interrupt::check()?;
            bar.inc(codes.rows() as u64);
            file.push(&codes)
        });
        let finished = pushed
            .and_then(|()| interrupt::check())
            .and_then(|()| file.finish());
        interrupt::release();
        finished?;
    }
    bar.finish_and_clear();
    if args.quiet && !args.json {
        return Ok(());
    }
    done(
        args.json,
        &args.out,
        source.rows(),
        ("latents", model.d_sae()),
    )
}

pub fn decode(args: &DecodeArgs) -> anyhow::Result<()> {
    if args.out.extension().is_none_or(|e| e != "npy") {
        return Err(Error::hyper("--out", "a file that ends in .npy", args.out.display()).into());
    }
    output_path::check_file(&args.out)?;
    let model = output_path::model_files(&args.model);
    output_path::check_apart(&args.out, &[&model, &args.codes])?;
    let model = Model::load(&args.model)?;
    if model.io_spec().skip {
        let why = "a skip transcoder cannot be decoded from codes alone: its output also depends on the input rows";
        return Err(Error::Conflict(why.into()).into());
    }
    let all = codes::read(&args.codes)?;
    check_codes(&model, &all, &args.codes)?;
    let bar = progress(all.rows());
    // Codes are sparse in memory; dense rows are made for one piece at a time.
    let chunks = pieces(all.rows()).map(|rows| {
        bar.inc(rows.len() as u64);
        model.decode(&part(&all, &rows))
    });
    npy_file::write_rows(&args.out, &[all.rows(), model.raw_d_out()], chunks)?;
    bar.finish_and_clear();
    done(
        args.json,
        &args.out,
        all.rows(),
        ("values", model.raw_d_out()),
    )
}

fn check_codes(model: &Model, codes: &Codes, path: &Path) -> Result<()> {
    let shape = |what: &str, expected: usize, got: usize| Error::Shape {
        what: format!("{}: {what}", path.display()),
        expected: expected.to_string(),
        got: got.to_string(),
    };
    if codes.d_sae != model.d_sae() {
        return Err(shape("latents", model.d_sae(), codes.d_sae));
    }
    if !codes.row_means.is_empty() && codes.row_means.len() != codes.rows() {
        return Err(shape("row means", codes.rows(), codes.row_means.len()));
    }
    if !codes.row_scales.is_empty() && codes.row_scales.len() != codes.rows() {
        return Err(shape("row scales", codes.rows(), codes.row_scales.len()));
    }
    let holds_none = codes.row_means.is_empty() && codes.row_scales.is_empty();
    if let Some(step) = model
        .output_pipeline()
        .keeps_context()
        .filter(|_| holds_none)
    {
        output::note(&format!(
            "warning: preprocessing {step} removed the mean or length of each row, and this file of codes does not \
             hold them; the decoded rows lack them"
        ));
    }
    Ok(())
}

fn pieces(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows)
        .step_by(ROWS)
        .map(move |start| start..(start + ROWS).min(rows))
}

/// Codes of a range of rows, with offsets that start at 0.
fn part(all: &Codes, rows: &Range<usize>) -> Codes {
    let offsets = &all.offsets[rows.start..=rows.end];
    let entries = offsets[0]..offsets[rows.len()];
    Codes {
        d_sae: all.d_sae,
        offsets: offsets.iter().map(|o| o - entries.start).collect(),
        indices: all.indices[entries.clone()].to_vec(),
        values: all.values[entries].to_vec(),
        row_means: all.row_means.get(rows.clone()).unwrap_or_default().to_vec(),
        row_scales: all
            .row_scales
            .get(rows.clone())
            .unwrap_or_default()
            .to_vec(),
    }
}

fn done(
    as_json: bool,
    out: &Path,
    rows: usize,
    (columns, width): (&str, usize),
) -> anyhow::Result<()> {
    let out = out.display().to_string();
    if as_json {
        return output::json(&json!({"rows": rows, columns: width, "out": out}));
    }
    output::print(&format!("{rows} rows x {width} {columns} -> {out}"))
}

fn progress(rows: usize) -> ProgressBar {
    let looks = style("{bar:24} {human_pos}/{human_len} rows  {rate}  {eta} left");
    ProgressBar::new(rows as u64).with_style(looks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_codes_concatenate_to_the_whole() {
        let dense: Vec<f32> = (0..12).map(|i| (i % 3) as f32).collect();
        let mut all = Codes::new(4);
        all.push_dense(&dense, 0.0);
        all.row_means = vec![1.0, 2.0, 3.0];
        for cut in 0..=3 {
            let (left, right) = (part(&all, &(0..cut)), part(&all, &(cut..3)));
            assert_eq!([left.to_dense(), right.to_dense()].concat(), dense);
            assert_eq!([left.row_means, right.row_means].concat(), all.row_means);
        }
    }
}
