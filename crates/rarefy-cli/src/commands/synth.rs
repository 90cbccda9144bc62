//! Command `rarefy synth`: rows from a known sparse dictionary.

use std::path::{Path, PathBuf};

use rarefy::formats::codes;
use rarefy::synth::{BLOCK, Directions, Hierarchy, Magnitudes, Spec, Truth};
use rarefy::{Error, Result};
use rarefy_run::output_path;
use serde_json::json;

use crate::cli::SynthArgs;
use crate::configuration::parse_pair;
use crate::npy_file;
use crate::output::{self, number};
use crate::reading::style;

/// Number of rows that are drawn and written together.
const ROWS: usize = 8 * BLOCK;

pub fn run(args: &SynthArgs) -> anyhow::Result<()> {
    let out = &args.out;
    if out.extension().is_none_or(|e| e != "npy") {
        return Err(Error::hyper("--out", "a file that ends in .npy", out.display()).into());
    }
    let beside = out.with_extension("truth.safetensors");
    if let Some(path) = &args.codes {
        codes::find(path)?;
        output_path::check_file(path)?;
        output_path::check_apart(path, &[out, &beside])?;
    }
    output_path::check_file(out)?;
    output_path::check_file(&beside)?;
    let there = [Some(out), Some(&beside), args.codes.as_ref()];
    if let Some(path) = there.into_iter().flatten().find(|path| path.exists())
        && !args.force
    {
        let why = format!(
            "{} exists, and models may have been trained on it; replace it with --force, or give another --out",
            path.display()
        );
        return Err(Error::Conflict(why).into());
    }
    let truth = Truth::new(&spec(args)?)?;
    let entries = write_rows(&truth, args)?;
    // The dictionary is written last: it must not exist without its rows.
    truth.save(&beside, args.rows)?;
    done(args, &beside, entries as f64 / args.rows as f64)
}

/// Writes the rows, and their codes if `--codes` is given; returns the number of active features over all rows.
fn write_rows(truth: &Truth, args: &SynthArgs) -> Result<usize> {
    let looks = style("{bar:24} {human_pos}/{human_len} rows  {rate}  {eta} left");
    let bar = indicatif::ProgressBar::new(args.rows as u64).with_style(looks);
    let codes = args.codes.as_ref();
    let codes = codes.map(|path| codes::Writer::create(path, args.features));
    let (mut entries, mut codes) = (0, codes.transpose()?);
    let chunks = (0..args.rows).step_by(ROWS).map(|start| {
        let end = args.rows.min(start + ROWS);
        let sample = truth.draw(start..end);
        entries += sample.codes.values.len();
        if let Some(codes) = &mut codes {
            codes.push(&sample.codes)?;
        }
        bar.inc((end - start) as u64);
        Ok(sample.x)
    });
    npy_file::write_rows(&args.out, &[args.rows, args.d_in], chunks)?;
    bar.finish_and_clear();
    codes.map_or(Ok(()), codes::Writer::finish)?;
    Ok(entries)
}

fn spec(args: &SynthArgs) -> Result<Spec> {
    let hierarchy = args.hierarchy.as_deref().map(|text| -> Result<Hierarchy> {
        let (depth, branch) = parse_pair(text)
            .ok_or_else(|| Error::hyper("--hierarchy", "DEPTHxBRANCH, such as 2x3", text))?;
        Ok(Hierarchy {
            depth,
            branch,
            children: args.children,
            exclusive: args.exclusive,
        })
    });
    Ok(Spec {
        d_in: args.d_in,
        features: args.features,
        l0: args.l0,
        zipf: args.zipf,
        correlation: args.correlation,
        cluster: args.cluster,
        hierarchy: hierarchy.transpose()?,
        directions: match args.directions.as_str() {
            "orthogonal" => Directions::Orthogonal,
            _ => Directions::Random,
        },
        magnitudes: match args.magnitudes.as_str() {
            "constant" => Magnitudes::Constant,
            "uniform" => Magnitudes::Uniform,
            "exponential" => Magnitudes::Exponential,
            _ => Magnitudes::HalfNormal,
        },
        noise: args.noise,
        centre: args.centre,
        seed: args.seed,
    })
}

fn done(args: &SynthArgs, beside: &Path, l0: f64) -> anyhow::Result<()> {
    let SynthArgs {
        rows,
        d_in,
        features,
        ..
    } = args;
    let shown = |path: &PathBuf| path.display().to_string();
    let (out, truth) = (shown(&args.out), beside.display());
    if args.json {
        return output::json(&json!({
            "rows": rows, "d_in": d_in, "features": features, "l0": l0,
            "out": out, "truth": truth.to_string(), "codes": args.codes.as_ref().map(shown),
        }));
    }
    let mut text = format!(
        "{rows} rows x {d_in} values, {} of {features} features active per row -> {out}\ndictionary -> {truth}",
        number(l0)
    );
    if let Some(path) = &args.codes {
        text = format!("{text}\ncodes -> {}", path.display());
    }
    output::print(&text)
}
