//! Shards: the rows of several files, one file after the other, as one source.

use std::path::{Path, PathBuf};

use super::value::Value;
use super::{Column, Dataset, Places, Role, Source};
use crate::{Error, Result};

/// Maximum number of notes of all shards together.
const MOST_NOTES: usize = 8;

/// Source that concatenates the rows of several sources with equal numbers of columns.
pub struct Shards {
    name: String,
    /// First row of each shard, then the total number of rows.
    starts: Vec<usize>,
    parts: Vec<Box<dyn Source>>,
}

/// Data set of one file, with its path.
type Shard = (PathBuf, Dataset<'static>);

/// Labels or texts of a data set.
type Cells = for<'s> fn(&'s mut Dataset<'static>) -> &'s mut Option<Vec<String>>;

impl Shards {
    /// Concatenates data sets, given with their paths. Shards without rows are passed over; if no shard has rows, the
    /// result has none.
    ///
    /// The result has labels if one shard has labels; labels of rows of other shards are then empty, and a note says
    /// so. Texts are joined likewise. Notes of the shards are joined.
    ///
    /// # Errors
    /// [`Error::Shape`] with the first shard whose number of columns differs; [`Error::Format`] if there is no
    /// shard, or if the columns of a shard have other names or another order.
    pub fn join(name: &str, datasets: Vec<Shard>) -> Result<Dataset<'static>> {
        let files = datasets.iter().flat_map(|(_, shard)| &shard.files);
        let files: Vec<PathBuf> = files.cloned().collect();
        let mut notes = joined_notes(&datasets);
        let (mut full, empty): (Vec<Shard>, Vec<Shard>) = datasets
            .into_iter()
            .partition(|(_, shard)| shard.source.rows() > 0);
        if let Some((first, _)) = empty.first() {
            let first = and_more(first, empty.len() - 1);
            notes.push(format!("{first}: no rows, passed over"));
        }
        notes.extend(check_equal(&full)?);
        let labels = joined_cells("label", &mut full, |d| &mut d.labels, &mut notes);
        let texts = joined_cells("text", &mut full, |d| &mut d.texts, &mut notes);
        let places = joined_places(&full, &mut notes);
        let shards = full.into_iter().chain(empty);
        let shards: Vec<Dataset<'static>> = shards.map(|(_, shard)| shard).collect();
        let Some(mut joined) = Self::concatenate(name, shards) else {
            let why = "expected at least one data file, got none";
            return Err(Error::format(name, why));
        };
        (joined.labels, joined.texts, joined.places) = (labels, texts, places);
        (joined.files, joined.notes) = (files, notes);
        Ok(joined)
    }

    /// Rows of several sources of one width, one after the other.
    ///
    /// # Panics
    /// Without a source.
    #[cfg(feature = "parquet")]
    pub(super) fn of(name: &str, parts: Vec<Box<dyn Source>>) -> Self {
        assert!(!parts.is_empty(), "there must be a source");
        let mut starts = vec![0];
        starts.extend(parts.iter().scan(0, |end, part| {
            *end += part.rows();
            Some(*end)
        }));
        let name = name.into();
        Self {
            name,
            starts,
            parts,
        }
    }

    /// First data set with the rows of all; `None` without a data set.
    fn concatenate(name: &str, shards: Vec<Dataset<'static>>) -> Option<Dataset<'static>> {
        let mut shards = shards.into_iter();
        let mut joined = shards.next()?;
        let mut starts = vec![0, joined.source.rows()];
        let mut parts = vec![joined.source];
        for shard in shards.filter(|shard| shard.source.rows() > 0) {
            let shape = joined.image_shape;
            joined.image_shape = shape.filter(|_| shape == shard.image_shape);
            if joined.default_preprocess != shard.default_preprocess {
                joined.default_preprocess.clear();
            }
            starts.push(starts[starts.len() - 1] + shard.source.rows());
            parts.push(shard.source);
        }
        let name = name.into();
        joined.source = Box::new(Self {
            name,
            starts,
            parts,
        });
        Some(joined)
    }

    fn rows_at<V: Value>(&self, start: usize, out: &mut [V]) -> Result<()> {
        let d_in = self.d_in();
        let (mut row, mut out) = (start, out);
        while !out.is_empty() {
            let shard = self.starts.partition_point(|&first| first <= row) - 1;
            let here = (self.starts[shard + 1] - row).min(out.len() / d_in);
            let (now, later) = out.split_at_mut(here * d_in);
            V::read(&*self.parts[shard], row - self.starts[shard], now)?;
            row += here;
            out = later;
        }
        Ok(())
    }
}

/// Checks that all shards have the width and the columns of the first. Returns a note if some have a header and others
/// have none.
fn check_equal(shards: &[Shard]) -> Result<Option<String>> {
    let Some(((first_path, first), rest)) = shards.split_first() else {
        return Ok(None);
    };
    let mut note = None;
    for (path, shard) in rest {
        let (expected, got) = (first.source.d_in(), shard.source.d_in());
        if expected != got {
            return Err(Error::Shape {
                what: format!("{}: values in a row", path.display()),
                expected: format!("{expected} as in {}", first_path.display()),
                got: match other_role(&first.columns, &shard.columns) {
                    Some(column) => format!("{got}: column `{column}` is data in one of them only"),
                    None => got.to_string(),
                },
            });
        }
        let (expected, got) = (data_columns(&first.columns), data_columns(&shard.columns));
        if expected == got || expected.is_empty() || got.is_empty() {
            continue;
        }
        if unnamed(&first.columns) || unnamed(&shard.columns) {
            note.get_or_insert_with(|| {
                let (path, first) = (path.display(), first_path.display());
                format!("{path}: only one of this file and {first} has names of columns; columns are joined by position")
            });
            continue;
        }
        let differs = expected
            .iter()
            .zip(&got)
            .position(|(a, b)| a != b)
            .unwrap_or(0);
        let why = format!(
            "expected the columns of {}, got `{}` in place of `{}`; `data.columns` sets columns and their order",
            first_path.display(),
            got[differs],
            expected[differs]
        );
        return Err(Error::format(path, why));
    }
    Ok(note)
}

/// Name of the first column that is data in one table and not in the other, if both are tables.
fn other_role<'c>(a: &'c [Column], b: &'c [Column]) -> Option<&'c str> {
    let (left, right) = (data_columns(a), data_columns(b));
    let alone = |names: &[&'c str], others: &[&str]| {
        names.iter().copied().find(|name| !others.contains(name))
    };
    let both = !left.is_empty() && !right.is_empty();
    both.then(|| alone(&left, &right).or_else(|| alone(&right, &left)))?
}

/// Names of the columns that are data.
fn data_columns(columns: &[Column]) -> Vec<&str> {
    let data = columns.iter().filter(|column| column.role == Role::Data);
    data.map(|column| &*column.name).collect()
}

/// True if the columns have their numbers from 0 as names, as in a file without a header.
fn unnamed(columns: &[Column]) -> bool {
    let mut numbered = columns.iter().enumerate();
    numbered.all(|(index, column)| column.name == index.to_string())
}

/// Labels or texts of all rows, empty for shards without; `None` if no shard has any.
fn joined_cells(
    what: &str,
    shards: &mut [Shard],
    of: Cells,
    notes: &mut Vec<String>,
) -> Option<Vec<String>> {
    let count = shards.len();
    let (mut all, mut without, mut of_shards) = (Vec::new(), Vec::new(), Vec::new());
    for (path, shard) in shards {
        if let Some(cells) = of(shard).take() {
            of_shards.push((&*path, are_numbers(&cells)));
            all.extend(cells);
        } else {
            all.resize(all.len() + shard.source.rows(), String::new());
            without.push(path);
        }
    }
    if without.len() == count {
        return None;
    }
    notes.extend(numbers_beside_words(&of_shards).filter(|_| what == "label"));
    if let Some(first) = without.first() {
        let first = and_more(first, without.len() - 1);
        notes.push(format!(
            "{first}: no {what}s, which other files have; the {what} of each row is empty"
        ));
    }
    Some(all)
}

/// Places of all rows, if all shards have them; a note if only some have them, or only some have tokens.
fn joined_places(shards: &[Shard], notes: &mut Vec<String>) -> Option<Places> {
    let known = |(_, shard): &&Shard| shard.places.is_some();
    let all: Vec<_> = shards
        .iter()
        .filter(known)
        .map(|(_, shard)| (shard.source.rows(), shard.places.clone()))
        .collect();
    let parts: Vec<_> = all
        .iter()
        .filter_map(|(rows, places)| Some((*rows, places.as_ref()?)))
        .collect();
    if parts.is_empty() {
        return None;
    }
    let joined = (parts.len() == shards.len())
        .then(|| Places::joined(&parts))
        .flatten();
    if joined.is_none() {
        let has_tokens = |places: &Option<Places>| places.as_ref().is_some_and(Places::has_tokens);
        let without = shards.iter().find(|(_, shard)| !has_tokens(&shard.places));
        notes.extend(without.map(|(path, _)| {
            let path = path.display();
            format!(
                "{path}: no positions or tokens, which other files have; they are left out of all"
            )
        }));
    }
    joined
}

/// True if all cells that are not empty are numbers; `None` if all are empty.
fn are_numbers(cells: &[String]) -> Option<bool> {
    let mut full = cells.iter().filter(|cell| !cell.is_empty()).peekable();
    full.peek()?;
    Some(full.all(|cell| cell.parse::<f64>().is_ok_and(f64::is_finite)))
}

/// Note on labels that are numbers in one file and words in another, such as classes with and without their names.
fn numbers_beside_words(shards: &[(&PathBuf, Option<bool>)]) -> Option<String> {
    let first = |wanted| shards.iter().find(|(_, are)| *are == Some(wanted));
    let ((numbers, _), (words, _)) = (first(true)?, first(false)?);
    Some(format!(
        "{}: labels are numbers, but words in {}; the same label may be written in two ways",
        numbers.display(),
        words.display()
    ))
}

/// Notes of all shards, each once: the same note of several files names the first file and the number of others.
fn joined_notes(shards: &[Shard]) -> Vec<String> {
    let mut groups: Vec<(&Path, &str, usize)> = Vec::new();
    for (path, shard) in shards {
        let start = format!("{}: ", path.display());
        for note in &shard.notes {
            let said = note.strip_prefix(&start).unwrap_or(note);
            match groups.iter_mut().find(|(_, known, _)| *known == said) {
                Some((.., more)) => *more += 1,
                None => groups.push((path, said, 0)),
            }
        }
    }
    let left_out = groups.len().saturating_sub(MOST_NOTES);
    let shown = groups.iter().take(MOST_NOTES);
    let mut notes: Vec<String> = shown
        .map(|(path, said, more)| format!("{}: {said}", and_more(path, *more)))
        .collect();
    if let Some((path, ..)) = groups.get(MOST_NOTES) {
        notes.push(format!(
            "{}: {left_out} more notes of this file and later ones",
            path.display()
        ));
    }
    notes
}

/// Path of the first of several files, and the number of further ones.
fn and_more(path: &Path, more: usize) -> String {
    match more {
        0 => path.display().to_string(),
        1 => format!("{} and 1 more file", path.display()),
        more => format!("{} and {more} more files", path.display()),
    }
}

impl Source for Shards {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> usize {
        self.starts[self.parts.len()]
    }

    fn d_in(&self) -> usize {
        self.parts[0].d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.rows_at(start, out)
    }

    fn has_f64(&self) -> bool {
        self.parts.iter().any(|part| part.has_f64())
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        self.rows_at(start, out)
    }

    fn is_in_memory(&self) -> bool {
        self.parts.iter().all(|part| part.is_in_memory())
    }
}
