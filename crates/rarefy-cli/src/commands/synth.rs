//! Command `rarefy synth`: rows from a known sparse dictionary.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rarefy::formats::codes;
use rarefy::synth::{BLOCK, Directions, FactorSpec, Hierarchy, Magnitudes, Spec, Truth};
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

/// Ending of a dictionary file.
const DICTIONARY: &str = ".truth.safetensors";

pub fn run(args: &SynthArgs) -> anyhow::Result<()> {
    let files = Files::of(args)?;
    files.check(args.force)?;
    let truth = make(args)?;
    let entries = match files.rows {
        Some(rows) => Some(write_rows(&truth, rows, args)?),
        None => None,
    };
    // The dictionary is written last: it must not exist without its rows.
    truth.save(&files.dictionary, args.rows)?;
    let l0 = entries.map(|entries| entries as f64 / args.rows as f64);
    done(args, &files, &truth, l0)
}

/// Files to write.
struct Files<'a> {
    /// Rows; `None` if they are drawn when they are needed.
    rows: Option<&'a Path>,
    dictionary: PathBuf,
    codes: Option<&'a Path>,
}

impl<'a> Files<'a> {
    fn of(args: &'a SynthArgs) -> Result<Self> {
        let out = args.out.as_path();
        let codes = args.codes.as_deref();
        if out.to_string_lossy().ends_with(DICTIONARY) {
            if codes.is_some() {
                let why = "--codes needs rows that are written; give an --out that ends in .npy";
                return Err(Error::Conflict(why.into()));
            }
            return Ok(Self {
                rows: None,
                dictionary: out.to_owned(),
                codes: None,
            });
        }
        if out.extension().is_none_or(|e| e != "npy") {
            let expected = format!("a file that ends in .npy or {DICTIONARY}");
            return Err(Error::hyper("--out", &expected, out.display()));
        }
        Ok(Self {
            rows: Some(out),
            dictionary: out.with_extension(&DICTIONARY[1..]),
            codes,
        })
    }

    /// Refuses files that cannot be written, and existing ones unless `force`.
    fn check(&self, force: bool) -> anyhow::Result<()> {
        let apart: Vec<&Path> = self.rows.into_iter().chain([&*self.dictionary]).collect();
        if let Some(path) = self.codes {
            codes::find(path)?;
            output_path::check_file(path)?;
            output_path::check_apart(path, &apart)?;
        }
        for path in &apart {
            output_path::check_file(path)?;
        }
        let mut all = apart.into_iter().chain(self.codes);
        let Some(path) = all.find(|path| path.exists() && !force) else {
            return Ok(());
        };
        let why = format!(
            "{} exists, and models may have been trained on it; replace it with --force, or give another --out",
            path.display()
        );
        Err(Error::Conflict(why).into())
    }
}

/// Makes the dictionary.
fn make(args: &SynthArgs) -> Result<Truth> {
    if args.like.is_none() {
        return Truth::new(&spec(args)?);
    }
    let published = FactorSpec::synth_sae_bench_16k();
    let spinner = indicatif::ProgressBar::new_spinner()
        .with_message("turning directions away from each other");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let truth = Truth::of_factors(&FactorSpec {
        d_in: args.d_in.unwrap_or(published.d_in),
        features: args.features.unwrap_or(published.features),
        seed: args.seed,
        ..published
    });
    spinner.finish_and_clear();
    truth
}

/// Writes the rows, and their codes if `--codes` is given; returns the number of active features over all rows.
fn write_rows(truth: &Truth, out: &Path, args: &SynthArgs) -> Result<usize> {
    let looks = style("{bar:24} {human_pos}/{human_len} rows  {rate}  {eta} left");
    let bar = indicatif::ProgressBar::new(args.rows as u64).with_style(looks);
    let codes = args.codes.as_ref();
    let codes = codes.map(|path| codes::Writer::create(path, truth.features()));
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
    npy_file::write_rows(out, &[args.rows, truth.d_in()], chunks)?;
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
        d_in: args.d_in.unwrap_or(64),
        features: args.features.unwrap_or(256),
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

fn done(args: &SynthArgs, files: &Files, truth: &Truth, l0: Option<f64>) -> anyhow::Result<()> {
    let (rows, d_in, features) = (args.rows, truth.d_in(), truth.features());
    let shown = |path: &Path| path.display().to_string();
    let dictionary = shown(&files.dictionary);
    if args.json {
        return output::json(&json!({
            "rows": rows, "d_in": d_in, "features": features, "l0": l0,
            "out": files.rows.map(shown), "truth": dictionary, "codes": files.codes.map(shown),
        }));
    }
    let (Some(out), Some(l0)) = (files.rows, l0) else {
        return output::print(&format!(
            "dictionary of {features} features in {d_in} dimensions, {rows} rows to draw -> {dictionary}"
        ));
    };
    let mut text = format!(
        "{rows} rows x {d_in} values, {} of {features} features active per row -> {}\ndictionary -> {dictionary}",
        number(l0),
        shown(out)
    );
    if let Some(path) = files.codes {
        text = format!("{text}\ncodes -> {}", shown(path));
    }
    output::print(&text)
}
