//! Rows of Arrow files, read where they stand: lists of floats of one length without gaps, uncompressed, in batches.
//!
//! The library `datasets` writes such files, and so does `SAELens` when it caches activations. The values of a batch stand in one piece, so a
//! batch is a matrix in the file. Other columns are decoded into memory.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_ipc::{RecordBatch, root_as_message};
use arrow_schema::{DataType, Schema, SchemaRef};

use super::file::Lazily;
use super::lengths::{self, Part};
use super::stacks::Cells;
use super::{ArrowTable, guarded};
use crate::data::table::roles::{self, Roles};
use crate::data::table::{Kind, Table};
use crate::data::{
    Dataset, Element, FileMatrix, MOST_WIDTH, MatrixLayout, OpenOptions, Shards, Source,
};
use crate::{Error, Result};

/// Rows of an Arrow file or stream, read when they are needed; `None` for files that are to be decoded.
///
/// # Errors
/// Errors of reading labels and texts.
pub(in crate::data) fn open(
    path: &Path,
    options: &OpenOptions,
) -> Result<Option<Dataset<'static>>> {
    // The decoder names what is wrong with a damaged file.
    let Ok(Some((schema, batches))) = guarded(path, || outline(path)) else {
        return Ok(None);
    };
    let file = Lazily { path: path.into() };
    let mut table = ArrowTable::new(path, &schema, batches.rows, Box::new(file));
    let Ok(Roles { columns, data }) = roles::assign(path, table.fields(), options) else {
        return Ok(None);
    };
    let &[column] = &data[..] else {
        return Ok(None);
    };
    let Some(column_layout) =
        Layout::of(&schema, column).filter(|_| table.fields()[column].kind == Kind::List)
    else {
        return Ok(None);
    };
    // Rows with a null are left out by decoding; those of a context stay, or are left out for NaN when they are read.
    if options.skip_bad_rows && column_layout.levels.len() == 1 {
        return Ok(None);
    }
    let Some((pieces, cells)) = batches.pieces(&column_layout) else {
        return Ok(None);
    };
    let parts = FileMatrix::pieces(path, &pieces)?;
    let parts = parts
        .into_iter()
        .map(|part| Box::new(part) as Box<dyn Source>);
    let source = Shards::of(&path.display().to_string(), parts.collect());
    cells
        .dataset(path, &mut table, (columns, column), options, source)
        .map(Some)
}

/// Messages of a file with the batches of rows.
struct Batches {
    file: BufReader<File>,
    parts: Vec<(Part, Vec<u8>)>,
    rows: usize,
}

/// Schema and batches, without their values; `None` if the file is no Arrow file of today or is compressed.
fn outline(path: &Path) -> Result<Option<(SchemaRef, Batches)>> {
    let damaged = |why: String| Error::format(path, format!("damaged Arrow file: {why}"));
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let mut magic = [0; 6];
    file.read_exact(&mut magic).map_err(Error::io(path))?;
    let is_stream = magic.starts_with(&[0xFF; 4]);
    if !is_stream && magic != *b"ARROW1" {
        return Ok(None);
    }
    let parts = lengths::parts(&mut file, is_stream).map_err(damaged)?;
    file.rewind().map_err(Error::io(path))?;
    let schema = if is_stream {
        StreamReader::try_new(&mut file, None).map(|reader| reader.schema())
    } else {
        FileReader::try_new(&mut file, None).map(|reader| reader.schema())
    };
    let schema = schema.map_err(|e| damaged(e.to_string()))?;
    let mut batches = Batches {
        file,
        parts: Vec::new(),
        rows: 0,
    };
    for part in parts {
        let message = part.message(&mut batches.file).map_err(damaged)?;
        let rows = {
            let message = root_as_message(&message).map_err(|e| damaged(e.to_string()))?;
            let Some(batch) = message.header_as_record_batch() else {
                continue;
            };
            if batch.compression().is_some() {
                return Ok(None);
            }
            usize::try_from(batch.length())
                .map_err(|_| damaged("negative length of a batch".into()))?
        };
        batches.rows = batches
            .rows
            .checked_add(rows)
            .ok_or_else(|| damaged("more rows than a number can say".into()))?;
        batches.parts.push((part, message));
    }
    Ok(Some((schema, batches)))
}

/// Lists of a level: how their ends are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Level {
    Offsets32,
    Offsets64,
    Fixed(usize),
}

/// Places of a column of lists, or of lists of lists, of floats in the messages of a file.
#[derive(Debug, PartialEq)]
struct Layout {
    /// Nodes and buffers of the columns before.
    node: usize,
    buffer: usize,
    levels: Vec<Level>,
    element: Element,
}

impl Layout {
    /// Buffer with the values, behind those of the lists and the mask of the values.
    fn values(&self) -> usize {
        let lists = self.levels.iter().map(|level| level.buffers());
        self.buffer + lists.sum::<usize>() + 1
    }

    /// `None` if the column is none of these lists, or stands behind a column whose places are not known.
    fn of(schema: &Schema, column: usize) -> Option<Self> {
        let (mut node, mut buffer) = (0, 0);
        for field in schema.fields().iter().take(column) {
            let (nodes, buffers) = counts(field.data_type())?;
            node += nodes;
            buffer += buffers;
        }
        let (mut levels, mut data_type) = (Vec::new(), schema.field(column).data_type());
        let element = loop {
            data_type = match data_type {
                DataType::List(item) => {
                    levels.push(Level::Offsets32);
                    item.data_type()
                }
                DataType::LargeList(item) => {
                    levels.push(Level::Offsets64);
                    item.data_type()
                }
                DataType::FixedSizeList(item, size) => {
                    levels.push(Level::Fixed(usize::try_from(*size).ok()?));
                    item.data_type()
                }
                DataType::Float16 => break Element::F16,
                DataType::Float32 => break Element::F32,
                DataType::Float64 => break Element::F64,
                _ => return None,
            };
        };
        (1..=2).contains(&levels.len()).then_some(Self {
            node,
            buffer,
            levels,
            element,
        })
    }
}

impl Level {
    /// Buffers of a list of this level: a mask, and ends unless the length is fixed.
    fn buffers(self) -> usize {
        1 + usize::from(!matches!(self, Self::Fixed(_)))
    }
}

/// Numbers of nodes and of buffers of a column; `None` for types that are not known here.
fn counts(data_type: &DataType) -> Option<(usize, usize)> {
    let with = |own: usize, (nodes, buffers): (usize, usize)| (1 + nodes, own + buffers);
    Some(match data_type {
        DataType::Null => (1, 0),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => (1, 3),
        DataType::List(item) | DataType::LargeList(item) => with(2, counts(item.data_type())?),
        DataType::FixedSizeList(item, _) => with(1, counts(item.data_type())?),
        DataType::Struct(fields) => {
            let all = fields.iter().map(|field| counts(field.data_type()));
            let all: Vec<_> = all.collect::<Option<_>>()?;
            with(
                1,
                all.iter()
                    .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)),
            )
        }
        DataType::Dictionary(..) | DataType::Boolean | DataType::FixedSizeBinary(_) => (1, 2),
        t if t.is_primitive() => (1, 2),
        _ => return None,
    })
}

impl Batches {
    /// Matrix of each batch with rows, and the cells that the rows are of; `None` if lists differ in length or values are missing.
    fn pieces(mut self, layout: &Layout) -> Option<(Vec<MatrixLayout>, Cells)> {
        let (mut pieces, mut counts, mut width) = (Vec::new(), Vec::new(), None);
        for (part, message) in &self.parts {
            let message = root_as_message(message).ok()?;
            let header = message.header_as_record_batch()?;
            let piece = Batch {
                file: &mut self.file,
                header,
                body: part.body(),
            }
            .piece(layout, &mut counts)?;
            if piece.rows == 0 {
                continue;
            }
            if piece.d_in != *width.get_or_insert(piece.d_in) {
                return None;
            }
            pieces.push(piece);
        }
        // A list of one list is that list.
        let is_stack = layout.levels.len() == 2 && counts.iter().any(|count| *count != 1);
        Some((
            pieces,
            Cells {
                counts,
                width: width?,
                is_stack,
            },
        ))
    }
}

/// Batch of rows in a file.
struct Batch<'a> {
    file: &'a mut BufReader<File>,
    header: RecordBatch<'a>,
    /// Position of its buffers.
    body: u64,
}

impl Batch<'_> {
    /// Matrix of the rows of a column; appends the number of rows of each cell.
    fn piece(mut self, layout: &Layout, counts: &mut Vec<usize>) -> Option<MatrixLayout> {
        let most = self.values(layout)?;
        let cells = usize::try_from(self.header.length()).ok()?;
        let (mut range, mut buffer) = (0..cells, layout.buffer);
        let mut lengths = Vec::new();
        for (depth, level) in layout.levels.iter().enumerate() {
            let (length, nulls) = self.node(layout.node + depth)?;
            if nulls != 0 || (range.end as i64) > length {
                return None;
            }
            let ends = match level {
                Level::Fixed(size) => {
                    let end = range.end.checked_mul(*size);
                    end.filter(|end| *size > 0 && *end <= most)?;
                    (range.start..=range.end).map(|at| at * size).collect()
                }
                Level::Offsets32 => {
                    self.offsets::<4>(buffer + 1, &range, |bytes| i32::from_le_bytes(bytes).into())?
                }
                Level::Offsets64 => self.offsets::<8>(buffer + 1, &range, i64::from_le_bytes)?,
            };
            buffer += level.buffers();
            let of_lists = ends.windows(2).map(|pair| pair[1].checked_sub(pair[0]));
            lengths = of_lists.collect::<Option<Vec<_>>>()?;
            if depth + 1 < layout.levels.len() {
                counts.extend(&lengths);
            }
            range = *ends.first()?..*ends.last()?;
        }
        if layout.levels.len() == 1 {
            counts.extend(std::iter::repeat_n(1, cells));
        }
        let (rows, d_in) = (lengths.len(), lengths.first().copied().unwrap_or(0));
        let is_even = lengths.iter().all(|length| *length == d_in);
        let is_matrix = is_even && (1..=MOST_WIDTH).contains(&d_in);
        if range.end > most || (rows > 0 && !is_matrix) {
            return None;
        }
        let (start, _) = self.buffer(layout.values())?;
        Some(MatrixLayout {
            offset: start + (range.start * layout.element.size()) as u64,
            element: layout.element,
            big_endian: false,
            column_major: false,
            rows,
            d_in,
        })
    }

    /// Number of values in all lists; `None` if one is missing or their buffer is shorter.
    fn values(&self, layout: &Layout) -> Option<usize> {
        let (values, nulls) = self.node(layout.node + layout.levels.len())?;
        let values = usize::try_from(values).ok()?;
        let bytes = values.checked_mul(layout.element.size())? as u64;
        let (_, length) = self.buffer(layout.values())?;
        (nulls == 0 && bytes <= length).then_some(values)
    }

    /// Length and number of nulls of a node.
    fn node(&self, at: usize) -> Option<(i64, i64)> {
        let nodes = self.header.nodes()?;
        let node = (at < nodes.len()).then(|| nodes.get(at))?;
        Some((node.length(), node.null_count()))
    }

    /// Position and length of a buffer.
    fn buffer(&self, at: usize) -> Option<(u64, u64)> {
        let buffers = self.header.buffers()?;
        let buffer = (at < buffers.len()).then(|| buffers.get(at))?;
        let offset = u64::try_from(buffer.offset()).ok()?;
        Some((
            self.body.checked_add(offset)?,
            u64::try_from(buffer.length()).ok()?,
        ))
    }

    /// Starts of the lists of a range, and the end of the last one.
    fn offsets<const SIZE: usize>(
        &mut self,
        at: usize,
        range: &std::ops::Range<usize>,
        number: fn([u8; SIZE]) -> i64,
    ) -> Option<Vec<usize>> {
        if range.is_empty() {
            return Some(vec![0]);
        }
        let (start, length) = self.buffer(at)?;
        let end = range.end.checked_add(1)?.checked_mul(SIZE)? as u64;
        let first = (range.start * SIZE) as u64;
        (end <= length).then_some(())?;
        let bytes = lengths::at(self.file, start + first, end - first).ok()?;
        let (numbers, _) = bytes.as_chunks::<SIZE>();
        numbers
            .iter()
            .map(|bytes| usize::try_from(number(*bytes)).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests;
