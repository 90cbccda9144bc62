//! Command `rarefy data`: summary, image patches, stores.

use std::path::Path;

use rarefy::Error;
use rarefy::data::{
    self, Channels, Dataset, OpenOptions, PatchOptions, Source, Value, image_channels, survey_f64,
};
use rarefy_run::output_path;
use serde_json::json;

use crate::cli::DataCommand;
use crate::configuration::{as_paths, data_options, parse_size};
use crate::output::{self, number};
use crate::{npy_file, reading};

mod store;

pub fn run(command: DataCommand) -> anyhow::Result<()> {
    match command {
        DataCommand::Info { data, source, json } => {
            let dataset = data::open_all(&as_paths(&data), &data_options(&source)?)?;
            info(&dataset, json)
        }
        DataCommand::Patches {
            images,
            size,
            count,
            seed,
            channels,
            accept_damaged,
            out,
            json,
        } => {
            let patches = PatchOptions {
                size: parse_size("--size", &size)?,
                count,
                seed,
                channels: match channels.as_str() {
                    "colour" => Channels::Colour,
                    _ => Channels::Grey,
                },
                accept_damaged,
            };
            write_patches(&images, patches, &out, json)
        }
        DataCommand::Shard(args) => store::shard(&args),
        DataCommand::Verify { store, json } => store::verify(&store, json),
    }
}

/// Cuts patches and writes them: grey as a matrix, colour with the axes `[n, height, width, 3]`, so that readers know
/// the images again.
fn write_patches(
    images: &[String],
    patches: PatchOptions,
    out: &Path,
    as_json: bool,
) -> anyhow::Result<()> {
    output_path::check_file(out)?;
    let inputs: Vec<&Path> = images.iter().map(Path::new).collect();
    output_path::check_apart(out, &inputs)?;
    let (height, width) = patches.size;
    let channels = patches.channels;
    let options = OpenOptions {
        patches,
        ..OpenOptions::default()
    };
    let images = as_paths(images);
    let dataset = data::open_all(&images, &options)?;
    if dataset.image_shape != Some((height, width)) {
        let name = images.join(", ");
        return Err(Error::format(name, "expected PNG or JPEG images, got other data").into());
    }
    reading::tell(&dataset, "train");
    let rows = dataset.source.rows();
    let (shape, kind) = match channels {
        Channels::Grey => (vec![rows, height * width], ""),
        Channels::Colour => (vec![rows, height, width, 3], "colour "),
    };
    write_npy(&dataset, &shape, out)?;
    let out = out.display().to_string();
    if as_json {
        let shape = [height, width];
        return output::json(&json!({
            "rows": rows, "image_shape": shape, "image_channels": channels.count(), "out": out,
        }));
    }
    output::print(&format!(
        "{rows} {kind}patches of {height}x{width} -> {out}"
    ))
}

/// Writes all rows as an array of this shape; of `f64` if the data has more digits than `f32`.
fn write_npy(dataset: &Dataset, shape: &[usize], path: &Path) -> rarefy::Result<()> {
    let source = dataset.source.as_ref();
    if source.has_f64() {
        return npy_file::write_rows(path, shape, blocks::<f64>(source));
    }
    npy_file::write_rows(path, shape, blocks::<f32>(source))
}

/// Blocks of all rows.
fn blocks<V: Value>(source: &dyn Source) -> impl Iterator<Item = rarefy::Result<Vec<V>>> {
    const BLOCK: usize = 1 << 14;
    let rows = source.rows();
    (0..rows).step_by(BLOCK).map(move |first| {
        let mut block = vec![V::default(); BLOCK.min(rows - first) * source.d_in()];
        V::read(source, first, &mut block)?;
        Ok(block)
    })
}

/// Number of files, and the first and last in the order of the rows; `None` for one file or a sample.
fn files(dataset: &Dataset) -> Option<String> {
    let [first, .., last] = dataset.files.as_slice() else {
        return None;
    };
    let (count, first, last) = (dataset.files.len(), first.display(), last.display());
    Some(format!("{count}, from {first} to {last}"))
}

fn info(dataset: &Dataset, as_json: bool) -> anyhow::Result<()> {
    reading::tell(dataset, "train");
    let part = Dataset::new(dataset.source.as_ref()).representative(0);
    let (all, few) = (dataset.source.rows(), part.source.rows());
    if few < all {
        output::note(&format!(
            "note: rows are drawn when they are read; range, mean and deviation are those of the first {few}"
        ));
    }
    let s = survey_f64(part.source.as_ref())?;
    let constant = s.variance.iter().filter(|v| **v == 0.0).count();
    let deviation = s.grand_variance().sqrt();
    let labels: Vec<String> = dataset.labels.iter().flatten().take(8).cloned().collect();
    let texts = dataset.texts.iter().flatten().take(3);
    let texts: Vec<String> = texts.map(|text| output::start_of(text)).collect();
    if as_json {
        return output::json(&json!({
            "name": dataset.source.name(), "rows": all, "d_in": s.d_in, "min": s.min, "max": s.max,
            "mean": s.grand_mean(), "standard_deviation": deviation, "constant_columns": constant,
            "files": dataset.files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>(),
            "columns": dataset.columns, "notes": dataset.notes,
            "image_shape": dataset.image_shape,
            "image_channels": dataset.image_shape.and_then(|shape| image_channels(shape, s.d_in)),
            "first_labels": labels, "first_texts": texts, "default_preprocess": dataset.default_preprocess,
        }));
    }
    let mut rows = vec![
        vec!["data".into(), dataset.source.name().to_owned()],
        vec!["rows".into(), all.to_string()],
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
    if let Some(files) = files(dataset) {
        rows.insert(1, vec!["files".into(), files]);
    }
    if let Some((height, width)) = dataset.image_shape {
        let colour = match image_channels((height, width), s.d_in) {
            Some(3) => " x 3 (colour)",
            _ => "",
        };
        let shape = format!("{height} x {width}{colour}");
        rows.push(vec!["image shape".into(), shape]);
    }
    if !labels.is_empty() {
        rows.push(vec!["first labels".into(), labels.join(" ")]);
    }
    if !texts.is_empty() {
        rows.push(vec!["first texts".into(), texts.join("\n")]);
    }
    if !dataset.default_preprocess.is_empty() {
        rows.push(vec![
            "default preprocessing".into(),
            dataset.default_preprocess.join(","),
        ]);
    }
    output::print(&output::table(&["", ""], &rows, false))
}
