//! Contexts of the rows of a shard: their tokens, and context, position and token of each row. `lm.harvest` writes the same tensors, and
//! ends each shard with a context.
//!
//! ```text
//! first_sequence [1]       number of the first context in the file
//! offsets [contexts + 1]   first place of each context in `ids`
//! text, start [contexts]   text that a context is of, and its first token there; here the context itself
//! ids [places]             tokens of all contexts; absent if tokens are not known
//! sequence, position, token [rows]   context, position in it, and token of each row; `token` is absent as `ids` is
//! ```

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::checksum::sum;
use super::manifest::Shard;
use crate::data::Places;
use crate::tensors::{Reader, Writer};
use crate::{Error, Result};

/// Path of the contexts of a shard.
pub(super) fn path(folder: &Path, shard: &str) -> PathBuf {
    folder.join("tokens").join(shard)
}

/// Writes the contexts from those of the shard before to those of rows `range` of a data set, for the rows that are kept; the last shard has all
/// that are left. A context that the shard before has cut comes again. `before` contexts are of other data. Returns the checksum, and the
/// number of contexts up to here.
pub(super) fn write(
    path: &Path,
    (places, rows): (&Places, usize),
    range: Range<usize>,
    kept: &[usize],
    before: u64,
) -> Result<(String, u64)> {
    let first = match range.start {
        0 => 0,
        start => places.context(start).min(places.context(start - 1) + 1),
    };
    let end = if range.end == rows {
        places.contexts(rows)
    } else {
        places.context(range.end - 1) + 1
    };
    let contexts = first..end;
    let offsets: Vec<i64> = contexts
        .clone()
        .chain([contexts.end])
        .map(|context| (places.start(context) - places.start(contexts.start)) as i64)
        .collect();
    let numbers: Vec<i64> = contexts
        .clone()
        .map(|context| (before + context) as i64)
        .collect();
    let of_rows = kept
        .iter()
        .map(|row| (before + places.context(*row)) as i64);
    let mut out = Writer::default();
    out.vector::<i64>("first_sequence", vec![numbers[0]]);
    out.vector::<i64>("start", vec![0; numbers.len()]);
    out.vector::<i64>("text", numbers);
    out.vector::<i64>("offsets", offsets);
    out.vector::<i64>("sequence", of_rows.collect::<Vec<_>>());
    let positions = kept.iter().map(|row| places.position(*row) as i32);
    out.vector::<i32>("position", positions.collect::<Vec<_>>());
    if places.has_tokens() {
        let ids = contexts
            .clone()
            .filter_map(|context| places.tokens_of(context));
        out.vector::<i32>("ids", ids.collect::<Vec<_>>().concat());
        let of_rows = kept.iter().filter_map(|row| places.token(*row));
        out.vector::<i32>("token", of_rows.collect::<Vec<_>>());
    }
    out.write(path)?;
    Ok((sum(path, &mut |_| Ok(()))?, before + contexts.end))
}

/// Places of the rows of all shards; `None` unless all shards have them.
///
/// # Errors
/// [`Error::Format`] for tensors that do not fit together; [`Error::Io`].
pub(super) fn read_all(folder: &Path, shards: &[Shard]) -> Result<Option<Places>> {
    let (mut starts, mut rows, mut ids) = (vec![0u64], Vec::new(), Some(Vec::new()));
    // Number of the context that `starts` begins its last entry with.
    let mut next = None;
    for shard in shards {
        if shard.tokens_sha256.is_none() {
            return Ok(None);
        }
        let path = path(folder, &shard.file);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let file = Reader::new(&path, &bytes)?;
        let of = |name: &str| file.vector::<i64>(name);
        let (first, offsets, sequence) = (of("first_sequence")?, of("offsets")?, of("sequence")?);
        let position: Vec<i32> = file.vector("position")?;
        let unlike = || file.bad("damaged: its contexts do not fit together; copy the file again");
        let (&[first], &[0, ..]) = (&first[..], &offsets[..]) else {
            return Err(unlike());
        };
        if !offsets.is_sorted() || (sequence.len(), position.len()) != (shard.rows, shard.rows) {
            return Err(unlike());
        }
        // A context that is in the shard before too, because the end of that shard has cut it.
        let again = match next {
            None => 0,
            Some(next) if first == next => 0,
            Some(next) if first.checked_add(1) == Some(next) && starts.len() > 1 => 1,
            Some(_) => return Err(unlike()),
        };
        let base = starts[starts.len() - 1 - again];
        let skipped = offsets.get(again).copied().ok_or_else(unlike)? as usize;
        for (sequence, position) in sequence.iter().zip(position) {
            let context = sequence
                .checked_sub(first)
                .and_then(|context| usize::try_from(context).ok());
            let range = context
                .and_then(|context| Some(*offsets.get(context)?..*offsets.get(context + 1)?));
            let place = range.and_then(|range| {
                range
                    .start
                    .checked_add(i64::from(position))
                    .filter(|place| range.contains(place))
            });
            let place = place.and_then(|place| base.checked_add(place as u64));
            rows.push(place.ok_or_else(unlike)?);
        }
        for offset in &offsets[again + 1..] {
            starts.push(base.checked_add(*offset as u64).ok_or_else(unlike)?);
        }
        let of_shard: Option<Vec<i32>> = file.has("ids").then(|| file.vector("ids")).transpose()?;
        ids = ids.zip(of_shard).map(|(mut all, of_shard)| {
            all.extend(of_shard.iter().skip(skipped));
            all
        });
        let contexts = offsets.len() as i64 - 1;
        next = Some(first.checked_add(contexts).ok_or_else(unlike)?);
    }
    let places = Places::of(starts, rows, ids);
    let why = "damaged: the contexts of its shards do not fit together; copy the store again";
    places.map(Some).ok_or_else(|| Error::format(folder, why))
}
