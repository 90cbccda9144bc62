//! Writing a store: begin, append, or continue where a stopped writer was.

use std::path::Path;

use super::MANIFEST;
use super::manifest::{Arguments, Given, LeftOut, Manifest, Number, Shard};
use super::mask::Mask;
use super::shard::{Summed, write_rows};
use super::{cells, tokens};
use crate::data::{Dataset, evenly_spaced_rows};
use crate::{Error, Result};

/// Settings of a store.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Number type; `None` for `f64` where the data has more digits than `f32`, else `f32`.
    pub number: Option<Number>,
    /// Rows of the data that a shard takes; `None` for those of the store, or as many as take 1 GiB.
    pub shard_rows: Option<usize>,
    /// Rows whose norm is more than this factor times the median norm are left out.
    pub outlier_norm: Option<f64>,
    /// Positions at the start of each context that are left out.
    pub skip_first: u64,
    /// Tokens whose rows are left out.
    pub skip_tokens: Vec<i32>,
    /// Name of the model whose activations the rows are.
    pub model: Option<String>,
    /// Place in the model, such as a hook.
    pub module: Option<String>,
}

/// State of the folder that a writer expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// A new or empty folder.
    New,
    /// A complete store, which gets more rows.
    Append,
    /// A store whose writer was stopped, with the same data and settings; a complete one stays as it is.
    Resume,
}

/// Rows of a store that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Rows in the store.
    pub rows: usize,
    /// Rows that were left out, over all of the store.
    pub left_out: LeftOut,
    /// Number of shards.
    pub shards: usize,
    /// Rows of the data that a shard takes.
    pub shard_rows: usize,
    /// Number type.
    pub number: Number,
    /// Rows that were there before.
    pub before: usize,
}

/// Writes the rows of a data set as a store. `done` is called with the number of rows of each piece; an error of it, such as
/// [`Error::Interrupted`], stops the writer, and [`Begin::Resume`] continues from the last complete shard.
///
/// # Errors
/// [`Error::Conflict`] for a folder in another state than `begin` expects, and for other data or settings than those of the store;
/// [`Error::Format`] for values that the number type cannot hold, with their row and column; errors of reading and writing. After an error
/// that would come again, the folder is as it was before.
///
/// # Example
/// ```
/// use rarefy::data::store::{Begin, Number, StoreOptions, write};
/// use rarefy::data::{self, Dataset, Memory};
/// let dir = tempfile::tempdir().unwrap();
/// let folder = dir.path().join("store");
/// let rows = Dataset::new(Memory::new("rows", 2, vec![0.5, -1.0, 127.0, 3.2]));
/// let options = StoreOptions { number: Some(Number::Int8), ..StoreOptions::default() };
/// write(&rows, &folder, &options, Begin::New, &mut |_| Ok(()))?;
/// let store = data::open(folder.to_str().unwrap(), &Default::default())?;
/// let mut second = [0.0; 2];
/// store.source.read(1, &mut second)?;
/// assert_eq!(second, [127.0, 3.0]); // steps of 127 / 127
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn write(
    dataset: &Dataset,
    folder: &Path,
    options: &StoreOptions,
    begin: Begin,
    done: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Written> {
    if options.shard_rows == Some(0) {
        return Err(Error::hyper("store.shard_rows", "at least 1", 0));
    }
    let was_there = folder.is_dir();
    let mut manifest = start(dataset, folder, options, begin)?;
    let before = manifest.rows();
    if !manifest.complete {
        manifest.write(folder)?;
        let written = write_shards(dataset, folder, &mut manifest, done);
        let written = written.and_then(|()| match manifest.rows() {
            0 => Err(Error::Conflict(
                "all rows are left out: leave out `store.skip_first` and `store.skip_tokens`, or raise `store.outlier_norm`".into(),
            )),
            _ => Ok(()),
        });
        if let Err(error) = written {
            if !is_passing(&error) {
                // The rows cannot be stored: nothing could continue from here.
                take_back(folder, &manifest, was_there);
            }
            return Err(error);
        }
        let shape = manifest.image_shape;
        manifest.image_shape = shape.filter(|_| shape == dataset.image_shape);
        manifest.complete = true;
        manifest.write(folder)?;
    }
    Ok(Written {
        rows: manifest.rows(),
        left_out: manifest.left_out(),
        shards: manifest.shards.len(),
        shard_rows: manifest.arguments.shard_rows,
        number: manifest.arguments.number,
        before,
    })
}

/// Number of rows that take 1 GiB.
fn default_shard_rows(number: Number, width: usize) -> usize {
    const BYTES: usize = 1 << 30;
    (BYTES / (number.size() * width)).max(1)
}

/// CRC-32 of evenly spaced rows with their labels, texts and places, in hexadecimal digits.
fn sample(dataset: &Dataset) -> Result<String> {
    const ROWS: usize = 64;
    let source = dataset.source.as_ref();
    let mut sum = flate2::Crc::new();
    for value in evenly_spaced_rows(source, ROWS)? {
        sum.update(&value.to_le_bytes());
    }
    for row in (0..ROWS).map(|at| at * source.rows() / ROWS) {
        for cells in [&dataset.labels, &dataset.texts].into_iter().flatten() {
            sum.update(cells[row].as_bytes());
            sum.update(&[0]);
        }
        if let Some(places) = &dataset.places {
            sum.update(&places.context(row).to_le_bytes());
            sum.update(&places.position(row).to_le_bytes());
            sum.update(&places.token(row).unwrap_or(-1).to_le_bytes());
        }
    }
    Ok(format!("{:08x}", sum.sum()))
}

/// True for errors after which the same call can succeed.
fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Interrupted | Error::Io { .. })
}

/// Takes the newest source back: the store is as it was before, or gone if it had no other.
fn take_back(folder: &Path, manifest: &Manifest, was_there: bool) {
    // Errors of the clean-up are dropped: the failure before says more.
    let before = manifest.without_newest();
    let kept = before.as_ref().map_or(0, |before| before.shards.len());
    match before {
        Some(mut before) => drop(before.write(folder)),
        None => drop(std::fs::remove_file(folder.join(MANIFEST))),
    }
    for shard in &manifest.shards[kept..] {
        let _ = std::fs::remove_file(folder.join(&shard.file));
        let _ = std::fs::remove_file(cells::path(folder, &shard.file));
        let _ = std::fs::remove_file(tokens::path(folder, &shard.file));
    }
    // Folders in which files are left stay.
    let _ = std::fs::remove_dir(folder.join("cells"));
    let _ = std::fs::remove_dir(folder.join("tokens"));
    if !was_there {
        let _ = std::fs::remove_dir(folder);
    }
}

/// Manifest to go on from.
fn start(
    dataset: &Dataset,
    folder: &Path,
    options: &StoreOptions,
    begin: Begin,
) -> Result<Manifest> {
    let source = dataset.source.as_ref();
    let widest = if source.has_f64() {
        Number::F64
    } else {
        Number::F32
    };
    let number = options.number.unwrap_or(widest);
    let mut skip_tokens = options.skip_tokens.clone();
    skip_tokens.sort_unstable();
    skip_tokens.dedup();
    let arguments = Arguments {
        number,
        shard_rows: options
            .shard_rows
            .unwrap_or_else(|| default_shard_rows(number, source.d_in())),
        outlier_norm: options.outlier_norm,
        skip_first: options.skip_first,
        skip_tokens,
        model: options.model.clone().map(serde_json::Value::String),
        module: options.module.clone(),
    };
    let given = Given {
        data: source.name().to_owned(),
        rows: source.rows(),
        sample: sample(dataset)?,
    };
    let there = Manifest::is_in(folder);
    let refuse = |why: String| -> Result<Manifest> {
        Err(Error::Conflict(format!("{}: {why}", folder.display())))
    };
    match begin {
        Begin::New if there => refuse("a store already; `store.append` adds rows to it, `store.resume` continues a stopped one".into()),
        Begin::Append | Begin::Resume if !there => refuse(format!("expected a store, got a folder without {MANIFEST}; leave out `store.append` and `store.resume`")),
        Begin::New => {
            refuse_files(folder)?;
            let mut manifest = Manifest::new(source.d_in(), arguments);
            let mask = Mask::new(dataset, &manifest.arguments, None)?;
            manifest.norm_limit = mask.norm_limit()?;
            manifest.image_shape = dataset.image_shape;
            manifest.sources.push(given);
            Ok(manifest)
        }
        Begin::Append | Begin::Resume => {
            remove_temporary(folder);
            let mut manifest = Manifest::read(folder)?;
            check_equal(folder, &manifest, source.d_in(), (&arguments, options))?;
            if begin == Begin::Resume {
                let newest = manifest.sources.last();
                let is_same = |was: &Given| (was.rows, &was.sample) == (given.rows, &given.sample);
                if !newest.is_some_and(is_same) {
                    let was = newest.map_or("other rows".into(), |was| {
                        format!("{} with {} rows", was.data, was.rows)
                    });
                    return refuse(format!(
                        "its last rows are of {was}, not of {} with {}, or the data has changed: give the same data and columns",
                        given.data, given.rows
                    ));
                }
                return Ok(manifest);
            }
            if !manifest.complete {
                return refuse("the store is not complete; `store.resume` continues it with the data that it was made of".into());
            }
            let has_places = manifest.shards.iter().all(|shard| shard.tokens_sha256.is_some());
            if has_places && dataset.places.is_none() {
                return refuse("the store has the position of each row, and this data does not; write it as a store of its own".into());
            }
            manifest.complete = false;
            manifest.sources.push(given);
            Ok(manifest)
        }
    }
}

/// Refuses to write beside other files, which would be read as rows or be lost.
fn refuse_files(folder: &Path) -> Result<()> {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    // The lock of the process that calls.
    let is_own = |name: &str| name.starts_with(".rarefy-") || name == "run.lock";
    if entries.all(|entry| is_own(&entry.file_name().to_string_lossy())) {
        remove_temporary(folder);
        return Ok(());
    }
    let path = folder.display();
    Err(Error::Conflict(format!(
        "{path} holds other files; give a new or empty folder"
    )))
}

/// Removes files that a killed writer left.
fn remove_temporary(folder: &Path) {
    for folder in ["", "cells", "tokens"].map(|inner| folder.join(inner)) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".rarefy-"))
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Refuses rows of another width, and settings other than those of the store.
fn check_equal(
    folder: &Path,
    manifest: &Manifest,
    width: usize,
    (now, given): (&Arguments, &StoreOptions),
) -> Result<()> {
    let before = &manifest.arguments;
    if manifest.sources.is_empty() {
        let why = format!(
            "{}: `lm.harvest` made this store, which it alone can continue",
            folder.display()
        );
        return Err(Error::Conflict(why));
    }
    if manifest.n_inputs != width {
        return Err(Error::Shape {
            what: format!("{}: values in a row", folder.display()),
            expected: format!("{} as in the store", manifest.n_inputs),
            got: width.to_string(),
        });
    }
    let differs = |what: &str, was: String, is: String| {
        let why = format!(
            "{}: the store has {what} {was}, not {is}: give the same, or another folder",
            folder.display()
        );
        Err(Error::Conflict(why))
    };
    let show = |model: &Option<serde_json::Value>| {
        model.as_ref().map_or("none".into(), ToString::to_string)
    };
    let factor = |factor: Option<f64>| factor.map_or("none".into(), |factor| factor.to_string());
    let place = |module: &Option<String>| module.clone().unwrap_or_else(|| "none".into());
    if given
        .shard_rows
        .is_some_and(|rows| rows != before.shard_rows)
    {
        return differs(
            "`store.shard_rows`",
            before.shard_rows.to_string(),
            now.shard_rows.to_string(),
        );
    }
    if before.number != now.number && given.number.is_some() {
        return differs(
            "`store.dtype`",
            before.number.name().into(),
            now.number.name().into(),
        );
    }
    if before.outlier_norm != now.outlier_norm {
        return differs(
            "`store.outlier_norm`",
            factor(before.outlier_norm),
            factor(now.outlier_norm),
        );
    }
    if before.skip_first != now.skip_first {
        return differs(
            "`store.skip_first`",
            before.skip_first.to_string(),
            now.skip_first.to_string(),
        );
    }
    if before.skip_tokens != now.skip_tokens {
        let list = |ids: &[i32]| format!("{ids:?}");
        return differs(
            "`store.skip_tokens`",
            list(&before.skip_tokens),
            list(&now.skip_tokens),
        );
    }
    if before.model != now.model {
        return differs("`store.model`", show(&before.model), show(&now.model));
    }
    if before.module != now.module {
        return differs("`store.module`", place(&before.module), place(&now.module));
    }
    Ok(())
}

/// Writes the shards that are missing, and the manifest after each.
fn write_shards(
    dataset: &Dataset,
    folder: &Path,
    manifest: &mut Manifest,
    done: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let arguments = manifest.arguments.clone();
    let mask = Mask::new(dataset, &arguments, manifest.norm_limit)?;
    let source = dataset.source.as_ref();
    let newest = manifest.sources.len() - 1;
    let mut of_others = manifest.shards.iter().filter(|shard| shard.source < newest);
    let contexts_before = of_others.next_back().map_or(0, |shard| shard.sequences);
    let mut first = manifest.rows_read();
    done(first)?;
    while first < source.rows() {
        let last = source
            .rows()
            .min(first.saturating_add(arguments.shard_rows));
        let kept = mask.kept(first..last, done)?;
        let file = format!("shard-{:05}.safetensors", manifest.shards.len());
        let mut shard = Shard {
            file,
            rows: kept.rows.len(),
            sha256: None,
            cells_sha256: None,
            tokens_sha256: None,
            source: newest,
            rows_read: last,
            first: kept.first,
            special: kept.special,
            outliers: kept.outliers,
            sequences: contexts_before,
        };
        if !kept.rows.is_empty() {
            let path = folder.join(&shard.file);
            shard.sha256 = Some(write_rows(
                source,
                &path,
                &kept.rows,
                arguments.number,
                done,
            )?);
            shard.cells_sha256 = write_cells(dataset, folder, &shard.file, &kept.rows)?;
        }
        if let Some(places) = &dataset.places {
            let path = tokens::path(folder, &shard.file);
            let (sum, contexts) = tokens::write(
                &path,
                (places, source.rows()),
                first..last,
                &kept.rows,
                contexts_before,
            )?;
            (shard.tokens_sha256, shard.sequences) = (Some(sum), contexts);
        }
        done(last - first - kept.rows.len())?;
        manifest.shards.push(shard);
        manifest.write(folder)?;
        first = last;
    }
    Ok(())
}

/// Writes labels and texts of rows; returns the checksum, or `None` if the data has none.
fn write_cells(
    dataset: &Dataset,
    folder: &Path,
    file: &str,
    rows: &[usize],
) -> Result<Option<String>> {
    let Some(lines) = cells::lines(dataset, rows) else {
        return Ok(None);
    };
    let path = cells::path(folder, file);
    let mut out = Summed::create(&path)?;
    out.put(lines.as_bytes())?;
    out.commit().map(Some)
}
