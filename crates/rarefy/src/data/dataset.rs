//! Rows of a source with what belongs to them: labels, texts, image shape, and what was read of which file.

use std::path::PathBuf;

use serde::Serialize;

use super::{Excerpt, Places, Source};
use crate::{Error, Result};

/// Raw rows with optional labels, image shape and default preprocessing; returned by [`open`](crate::data::open).
/// [`Builder::fit`](crate::Builder::fit) applies the default preprocessing unless
/// [`Builder::preprocess`](crate::Builder::preprocess) names other steps.
pub struct Dataset<'a> {
    /// Source of the raw rows, which may borrow them.
    pub source: Box<dyn Source + 'a>,
    /// Label of each row, `[rows]` (digit classes, words), empty where a label is missing; `None` if the data has no
    /// labels.
    pub labels: Option<Vec<String>>,
    /// Text of each row, `[rows]` (sentences, tokens), empty where a text is missing; `None` if the data has no texts.
    pub texts: Option<Vec<String>>,
    /// Contexts, positions and tokens of the rows, if the data says them; [`OpenOptions::places`](crate::data::OpenOptions::places)
    /// asks for those that take time to read.
    pub places: Option<Places>,
    /// Height and width in pixels, if each row is an image in row-major order: grey, or colour with three values for each
    /// pixel, as the number of values in a row says.
    pub image_shape: Option<(usize, usize)>,
    /// Names of preprocessing steps that training applies unless the configuration names others; empty for none. The
    /// rows of `source` themselves stay raw.
    pub default_preprocess: Vec<String>,
    /// Names of the sources joined column by column (inputs, then the target); empty for a single source.
    pub parts: Vec<String>,
    /// Columns of a table with their roles, in the order of the file, columns of data in the order of their values in a
    /// row; empty for arrays.
    pub columns: Vec<Column>,
    /// Files that were read, in the order of their rows; empty for rows in memory.
    pub files: Vec<PathBuf>,
    /// Statements about the reading that the caller may not expect, one sentence each: columns left out, axes joined,
    /// rows skipped. Empty if all was read as it stands.
    pub notes: Vec<String>,
}

/// Column of a table: its name, type and role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Name of the column, or its number from 0 in a file without names.
    pub name: String,
    /// Type in words, such as `f32`, `text` or `list of f32`.
    pub kind: String,
    /// Use of the column.
    pub role: Role,
    /// Reason for a role other than data, such as `row number`; empty if none is needed.
    pub reason: String,
}

/// Use of a column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Values of the rows.
    Data,
    /// Label of each row.
    Label,
    /// Text of each row.
    Text,
    /// Number or name of each row; not data.
    Id,
    /// Neither data nor label, text or id.
    LeftOut,
}

impl<'a> Dataset<'a> {
    /// Data set of the rows of `source`, without labels, image shape or default preprocessing; set the public fields to
    /// add them.
    pub fn new(source: impl Source + 'a) -> Self {
        Self {
            source: Box::new(source),
            labels: None,
            image_shape: None,
            default_preprocess: Vec::new(),
            texts: None,
            places: None,
            parts: Vec::new(),
            columns: Vec::new(),
            files: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Data set of a file without rows, of `d_in` values a row, or 0 if the file does not say. It is refused alone, and
    /// counts nothing among shards.
    pub(crate) fn empty(name: impl Into<String>, d_in: usize) -> Self {
        Self::new(Empty {
            name: name.into(),
            d_in,
        })
    }

    /// Data set of the first `rows` rows, with their labels, for example for a quick trial. Image shape and default
    /// preprocessing stay. An error if `rows` is 0 or exceeds the number of rows.
    ///
    /// # Errors
    /// [`Error::Hyper`] if `rows` is 0 or exceeds the number of rows.
    pub fn first(mut self, rows: usize) -> Result<Self> {
        if rows == 0 || rows > self.source.rows() {
            let expected = format!(
                "between 1 and the {} rows of {}",
                self.source.rows(),
                self.source.name()
            );
            return Err(Error::hyper("data.rows", &expected, rows));
        }
        for cells in [&mut self.labels, &mut self.texts].into_iter().flatten() {
            cells.truncate(rows);
        }
        self.places = self.places.map(|places| places.first(rows));
        self.source = Box::new(First {
            source: self.source,
            rows,
        });
        Ok(self)
    }

    /// Rows that represent all: of drawn rows ([`Source::is_drawn`]), the first 131,072 and the last `held_out`, which are held out;
    /// else all rows.
    #[doc(hidden)]
    #[must_use]
    pub fn representative(mut self, held_out: usize) -> Self {
        if self.source.is_drawn() {
            self.source = Box::new(Excerpt::new(self.source, held_out));
        }
        self
    }
}

/// Source without rows.
struct Empty {
    name: String,
    d_in: usize,
}

impl Source for Empty {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> usize {
        0
    }

    fn d_in(&self) -> usize {
        self.d_in
    }

    fn read(&self, _: usize, out: &mut [f32]) -> Result<()> {
        assert!(out.is_empty(), "rows past the end");
        Ok(())
    }
}

/// Source of the first `rows` rows of another source.
struct First<'a> {
    source: Box<dyn Source + 'a>,
    rows: usize,
}

impl Source for First<'_> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn d_in(&self) -> usize {
        self.source.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        assert!(
            start + out.len() / self.d_in() <= self.rows,
            "rows past the end"
        );
        self.source.read(start, out)
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        assert!(
            rows.iter().all(|row| *row < self.rows),
            "a row past the end"
        );
        self.source.gather(rows, out)
    }

    fn has_f64(&self) -> bool {
        self.source.has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        assert!(
            start + out.len() / self.d_in() <= self.rows,
            "rows past the end"
        );
        self.source.read_f64(start, out)
    }

    fn as_slice(&self) -> Option<&[f32]> {
        self.source
            .as_slice()
            .map(|all| &all[..self.rows * self.d_in()])
    }

    fn is_drawn(&self) -> bool {
        self.source.is_drawn()
    }

    fn is_in_memory(&self) -> bool {
        self.source.is_in_memory()
    }
}
