//! Command `rarefy data`: summary, image patches, shards.

use std::path::Path;

use rarefy::Error;
use rarefy::data::{self, Dataset, OpenOptions, PatchOptions, survey};
use serde_json::json;

use crate::cli::DataCommand;
use crate::configuration::{data_options, parse_size};
use crate::output::{self, number};
use crate::{npy_file, output_path, reading};

pub fn run(command: DataCommand) -> anyhow::Result<()> {
    match command {
        DataCommand::Info { data, source, json } => {
            info(&data::open(&data, &data_options(&source)?)?, json)
        }
        DataCommand::Patches {
            images,
            size,
            count,
            seed,
            out,
        } => {
            output_path::check_file(&out)?;
            output_path::check_apart(&out, &[Path::new(&images)])?;
            let patches = PatchOptions {
                size: parse_size("--size", &size)?,
                count,
                seed,
            };
            let dataset = data::open(
                &images,
                &OpenOptions {
                    patches,
                    ..OpenOptions::default()
                },
            )?;
            if dataset.image_shape.is_none() {
                return Err(
                    Error::format(&images, "expected PNG or JPEG images, got other data").into(),
                );
            }
            write_npy(&dataset, 0, dataset.source.rows(), &out)?;
            output::print(&format!(
                "{} patches of {size} -> {}",
                dataset.source.rows(),
                out.display()
            ))
        }
        DataCommand::Shard {
            data,
            source,
            shard_rows,
            out,
        } => {
            if shard_rows == 0 {
                return Err(Error::hyper("--shard-rows", "at least 1", 0).into());
            }
            output_path::check_folder(&out)?;
            shard(
                &data::open(&data, &data_options(&source)?)?,
                shard_rows,
                &out,
            )
        }
    }
}

/// Writes all shards, or none: a folder with only some of the shards would look complete.
fn shard(dataset: &Dataset, shard_rows: usize, out: &Path) -> anyhow::Result<()> {
    reading::tell(dataset);
    let made = !out.exists();
    if std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        // Shards of another split in the same folder would be read as one data set.
        let path = out.display();
        return Err(Error::Conflict(format!(
            "{path} holds other files; give a new or empty folder with --out"
        ))
        .into());
    }
    let rows = dataset.source.rows();
    let shards = rows.div_ceil(shard_rows);
    let path = |shard: usize| out.join(format!("shard-{shard:05}.npy"));
    for shard in 0..shards {
        let start = shard * shard_rows;
        let written = write_npy(dataset, start, shard_rows.min(rows - start), &path(shard));
        if let Err(error) = written {
            // Errors of the clean-up are dropped: the user should see the first failure.
            (0..shard).for_each(|done| drop(std::fs::remove_file(path(done))));
            if made {
                let _ = std::fs::remove_dir(out);
            }
            return Err(error.into());
        }
    }
    output::print(&format!(
        "{rows} rows in {shards} shards -> {}",
        out.display()
    ))
}

fn write_npy(dataset: &Dataset, start: usize, rows: usize, path: &Path) -> rarefy::Result<()> {
    const BLOCK: usize = 1 << 14;
    let source = dataset.source.as_ref();
    let blocks = (0..rows).step_by(BLOCK).map(|first| {
        let mut block = vec![0.0; BLOCK.min(rows - first) * source.d_in()];
        source.read(start + first, &mut block)?;
        Ok(block)
    });
    npy_file::write_rows(path, (rows, source.d_in()), blocks)
}

fn info(dataset: &Dataset, as_json: bool) -> anyhow::Result<()> {
    reading::tell(dataset);
    let s = survey(dataset.source.as_ref())?;
    let constant = s.variance.iter().filter(|v| **v == 0.0).count();
    let deviation = s.grand_variance().sqrt();
    let labels: Vec<String> = dataset.labels.iter().flatten().take(8).cloned().collect();
    if as_json {
        return output::json(&json!({
            "name": dataset.source.name(), "rows": s.rows, "d_in": s.d_in, "min": s.min, "max": s.max,
            "mean": s.grand_mean(), "standard_deviation": deviation, "constant_columns": constant,
            "image_shape": dataset.image_shape, "first_labels": labels, "default_preprocess": dataset.default_preprocess,
        }));
    }
    let mut rows = vec![
        vec!["data".into(), dataset.source.name().to_owned()],
        vec!["rows".into(), s.rows.to_string()],
        vec!["values per row".into(), s.d_in.to_string()],
        vec![
            "range".into(),
            format!("{} to {}", number(s.min.into()), number(s.max.into())),
        ],
        vec![
            "mean, standard deviation".into(),
            format!("{}, {}", number(s.grand_mean()), number(deviation)),
        ],
        vec!["constant columns".into(), constant.to_string()],
    ];
    if let Some((height, width)) = dataset.image_shape {
        rows.push(vec!["image shape".into(), format!("{height} x {width}")]);
    }
    if !labels.is_empty() {
        rows.push(vec!["first labels".into(), labels.join(" ")]);
    }
    if !dataset.default_preprocess.is_empty() {
        rows.push(vec![
            "default preprocessing".into(),
            dataset.default_preprocess.join(","),
        ]);
    }
    output::print(&output::table(&["", ""], &rows, false))
}
