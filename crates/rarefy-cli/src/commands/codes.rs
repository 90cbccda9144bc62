//! `rarefy encode` and `rarefy decode`.

use rarefy::codes::Codes;
use rarefy::data::{self, npy};
use rarefy::formats::codes;
use rarefy::model::Model;
use rarefy::preprocess::RowContext;
use rarefy::{Error, atomic};

use crate::cli::{DecodeArgs, EncodeArgs};
use crate::layers::data_options;
use crate::output;

/// Rows that are read, encoded and handed on together.
const ROWS: usize = 1 << 14;

pub fn encode(args: &EncodeArgs) -> anyhow::Result<()> {
    let format = codes::find(&args.out)?;
    let model = Model::load(&args.model)?;
    let dataset = data::open(&args.data, &data_options(&args.source))?;
    let source = dataset.source.as_ref();
    if source.d_in() != model.raw_width() {
        let (expected, got) = (model.raw_width().to_string(), source.d_in().to_string());
        return Err(Error::Shape {
            what: format!("{}: values in a row", source.name()),
            expected,
            got,
        }
        .into());
    }
    let bar = progress(source.rows());
    let chunks = (0..source.rows()).step_by(ROWS).map(|start| {
        let mut raw = vec![0.0; ROWS.min(source.rows() - start) * source.d_in()];
        source.read(start, &mut raw)?;
        let encoded = model.encode(&raw);
        bar.inc((raw.len() / source.d_in()) as u64);
        Ok::<_, Error>(encoded)
    });
    if format.extension == "npy" {
        // Dense rows go straight to the file, so that any number of them fits.
        let mut failed = None;
        let header = npy::f32_header(source.rows(), model.d_sae);
        let written = atomic::write(&args.out, |out| {
            out.write_all(&header)?;
            for chunk in chunks {
                let (latents, _) = chunk.map_err(|e| {
                    failed = Some(e);
                    std::io::Error::other("reading the data failed")
                })?;
                latents
                    .iter()
                    .try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
            }
            Ok(())
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        written?;
    } else {
        let mut all = Codes::new(model.d_sae);
        for chunk in chunks {
            let (latents, context) = chunk?;
            all.push_dense(&latents, args.threshold);
            all.row_means.extend(context.means);
        }
        codes::write(&args.out, &all)?;
    }
    bar.finish_and_clear();
    output::print(&format!(
        "{} rows x {} latents -> {}",
        source.rows(),
        model.d_sae,
        args.out.display()
    ))
}

pub fn decode(args: &DecodeArgs) -> anyhow::Result<()> {
    if args.out.extension().is_none_or(|e| e != "npy") {
        return Err(Error::hyper("out", "a file that ends in .npy", args.out.display()).into());
    }
    let model = Model::load(&args.model)?;
    let all = codes::read(&args.codes)?;
    if all.d_sae != model.d_sae {
        let what = format!("{}: latents", args.codes.display());
        return Err(Error::Shape {
            what,
            expected: model.d_sae.to_string(),
            got: all.d_sae.to_string(),
        }
        .into());
    }
    let removes_means = model.pipeline.names().iter().any(|name| name == "row-mean");
    if removes_means && all.row_means.is_empty() {
        eprintln!(
            "warning: the preprocessing removed each row's mean and these codes do not hold it; rows come back without"
        );
    }
    let rows = model.decode(
        &all.to_dense(),
        &RowContext {
            means: all.row_means.clone(),
        },
    );
    atomic::write(&args.out, |out| {
        out.write_all(&npy::f32_header(all.rows(), model.raw_width()))?;
        rows.iter()
            .try_for_each(|v| out.write_all(&v.to_le_bytes()))
    })?;
    output::print(&format!(
        "{} rows x {} values -> {}",
        all.rows(),
        model.raw_width(),
        args.out.display()
    ))
}

fn progress(rows: usize) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template(
        "{bar:24} {human_pos}/{human_len} rows  {per_sec}  {eta} left",
    );
    let bar = indicatif::ProgressBar::new(rows as u64);
    bar.with_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()))
}
