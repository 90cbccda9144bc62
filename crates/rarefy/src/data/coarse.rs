//! Columns whose values lie so close together, and so far from zero, that `f32` cannot tell many of them apart.

use super::spread::even_positions;
use super::value::Value;
use super::{Dataset, Role, Source};
use crate::Result;

/// Number of rows that are looked at, half of them at the start and half at the end. Two blocks are read fast from every
/// file, also where columns are stored one after the other.
const MOST_ROWS: usize = 256;
/// Number of rows below which values may be alike by chance.
const FEWEST_ROWS: usize = 8;
/// Number of values that are looked at, unless two rows hold more.
const MOST_VALUES: usize = 1 << 22;
/// Range of a column in steps of `f32` below which a note is worth reading: rounding then costs a hundredth of a
/// deviation or more.
const FEW_STEPS: f64 = 32.0;
/// Range of a column in steps of `f32` below which preprocessing needs the digits that `f32` cuts off.
const TOO_FEW_STEPS: f32 = 4096.0;
/// Values nearer to zero have no offset to subtract.
const NEAREST: f64 = 1e-30;
/// Whole numbers below this are exact in `f32`.
const EXACT: f64 = 16_777_216.0;

/// True if `f32` may cut off too many digits of a column of rows of `d_in` values: the range of all values, or of their
/// middle half, has few steps, or whole numbers are too large to be exact. Values that are not finite count nothing.
pub(crate) fn is_coarse(values: &[f32], d_in: usize) -> bool {
    coarse_columns(values, d_in).contains(&true)
}

/// For each column, true if it is coarse.
fn coarse_columns(values: &[f32], d_in: usize) -> Vec<bool> {
    let of_all = ranges(values, d_in).into_iter().enumerate();
    let is_coarse = |(column, range): (usize, (f32, f32))| {
        if few_steps(range) {
            return true;
        }
        let sample = sample(values, d_in, column);
        few_steps(middle(&sample)) || are_large_numbers(&sample)
    };
    of_all.map(is_coarse).collect()
}

/// Evenly spaced finite values of a column, in rising order. A sample, because columns of long rows lie far apart in memory.
fn sample(values: &[f32], d_in: usize, column: usize) -> Vec<f32> {
    let rows = even_positions(values.len() / d_in, MOST_ROWS);
    let sample = rows.map(|row| values[row * d_in + column]);
    let mut sample: Vec<f32> = sample.filter(|value| value.is_finite()).collect();
    sample.sort_by(f32::total_cmp);
    sample
}

/// Range of the middle half of sorted values: a few others, such as 0 for a missing one, leave it as it is.
fn middle(sorted: &[f32]) -> (f32, f32) {
    let at = |share: usize| sorted.get(sorted.len() * share / 4).copied();
    (
        at(1).unwrap_or(f32::INFINITY),
        at(3).unwrap_or(f32::NEG_INFINITY),
    )
}

/// True if values are whole, and most are beyond the whole numbers that `f32` holds exactly, such as times and ids:
/// differences in a row count too.
fn are_large_numbers(values: &[f32]) -> bool {
    let large = values.iter().filter(|value| f64::from(value.abs()) > EXACT);
    2 * large.count() > values.len() && values.iter().all(|value| value.fract() == 0.0)
}

/// Values in `f64`, if one of the columns that `f32` holds coarsely has other values there than in `f32`, and not the same
/// in all rows. `narrow` holds them in `f32`.
pub(crate) fn needed(values: Vec<f64>, narrow: &[f32], d_in: usize) -> Option<Vec<f64>> {
    let coarse = coarse_columns(narrow, d_in);
    if !coarse.contains(&true) {
        return None;
    }
    let mut differs = vec![false; d_in];
    let rows = values.chunks_exact(d_in).zip(narrow.chunks_exact(d_in));
    for (row, narrow) in rows {
        for ((value, narrow), differs) in row.iter().zip(narrow).zip(&mut differs) {
            *differs |= f64::from(*narrow) != *value && !value.is_nan();
        }
    }
    let mut of_f64 = ranges(&values, d_in)
        .into_iter()
        .zip(coarse.iter().zip(&differs));
    let is_needed =
        of_f64.any(|((low, high), (coarse, differs))| *coarse && *differs && low < high);
    is_needed.then_some(values)
}

/// Smallest and largest value of each column.
fn ranges<V: Value>(values: &[V], d_in: usize) -> Vec<(V, V)> {
    let none = (V::of_f32(f32::INFINITY), V::of_f32(f32::NEG_INFINITY));
    let mut ranges = vec![none; d_in];
    for row in values.chunks_exact(d_in.max(1)) {
        for (value, (low, high)) in row.iter().zip(&mut ranges) {
            let wide: f64 = (*value).into();
            if wide.is_finite() {
                *low = low.least(*value);
                *high = high.most(*value);
            }
        }
    }
    ranges
}

/// True if a range of `f32` is short in steps, and far enough from zero.
fn few_steps((low, high): (f32, f32)) -> bool {
    let near = low.abs().max(high.abs());
    f64::from(near) > NEAREST && high - low < TOO_FEW_STEPS * (near - near.next_down())
}

/// Note on the columns that `f32` holds coarsely, such as `1e9 + noise`; `None` if there are none, or if rows
/// cannot be read, which training reports with its place.
pub(super) fn note(dataset: &Dataset) -> Option<String> {
    let d_in = dataset.source.d_in();
    if d_in == 0 || dataset.source.rows() < FEWEST_ROWS {
        return None;
    }
    let most = (MOST_VALUES / d_in).clamp(FEWEST_ROWS, MOST_ROWS);
    let rows = ends(&*dataset.source, most).ok()?;
    let coarse: Vec<Coarse> = (0..d_in)
        .filter_map(|column| Coarse::of(&rows, d_in, column, dataset.source.has_f64()))
        .collect();
    let first = coarse.first()?;
    let others = match coarse.len() - 1 {
        0 => String::new(),
        1 => " and 1 other column".into(),
        others => format!(" and {others} other columns"),
    };
    let advice = match (dataset.source.has_f64(), dataset.columns.is_empty()) {
        (true, _) => {
            "; the preprocessing steps standardise, scale, pca and zca subtract in f64 and keep the differences"
        }
        (false, true) => "; subtract an offset and save the differences",
        (false, false) => {
            "; subtract an offset and save the differences, or leave such columns out with `data.exclude`"
        }
    };
    Some(format!(
        "{}: column {}{others}: f32 holds values near {} in steps of {}, and {} sampled values differ by {}{advice}",
        dataset.source.name(),
        name(dataset, first.column),
        first.near,
        first.step,
        rows.len() / d_in,
        first.range,
    ))
}

/// The first and the last rows, `most` together; all rows if there are no more.
fn ends(source: &dyn Source, most: usize) -> Result<Vec<f64>> {
    let (all, d_in) = (source.rows(), source.d_in());
    let mut rows = vec![0.0; all.min(most) * d_in];
    let (first, last) = rows.split_at_mut(all.min(most) / 2 * d_in);
    source.read_f64(0, first)?;
    source.read_f64(all - last.len() / d_in, last)?;
    Ok(rows)
}

/// A column that `f32` holds coarsely.
struct Coarse {
    column: usize,
    /// Value of the largest magnitude.
    near: f32,
    /// Distance from that value to the next.
    step: f64,
    /// Largest value less the smallest.
    range: f64,
}

impl Coarse {
    /// The column if it is coarse. It is not if `f32` holds all values exactly. Without values in `f64`, whole numbers from
    /// 2^24 on count as rounded, unless they are all equal.
    fn of(rows: &[f64], d_in: usize, column: usize, has_f64: bool) -> Option<Self> {
        let values = || rows[column..].iter().step_by(d_in).copied();
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let near = if high.abs() >= low.abs() { high } else { low } as f32;
        let step = f64::from(near.abs() - near.abs().next_down());
        let range = high - low;
        let exact = if has_f64 {
            range == 0.0 || values().all(|v| f64::from(v as f32) == v)
        } else {
            range == 0.0 || (f64::from(near.abs()) < EXACT && values().all(|v| v.fract() == 0.0))
        };
        let coarse = range < FEW_STEPS * step && !exact && f64::from(near.abs()) > NEAREST;
        coarse.then_some(Self {
            column,
            near,
            step,
            range,
        })
    }
}

/// Name of a column of values: that of the table if each of its columns of data has one value, else its number.
fn name(dataset: &Dataset, column: usize) -> String {
    let data = dataset.columns.iter().filter(|c| c.role == Role::Data);
    let names: Vec<_> = data.map(|c| &c.name).collect();
    match names.get(column) {
        Some(name) if names.len() == dataset.source.d_in() => format!("`{name}`"),
        _ => column.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::{Memory, OpenOptions, npy, open};

    fn note_on(d_in: usize, values: Vec<f32>) -> Option<String> {
        note(&Dataset::new(Memory::new("rows", d_in, values)))
    }

    fn opened(path: &Path, bytes: &[u8]) -> String {
        std::fs::write(path, bytes).unwrap();
        let spec = path.to_string_lossy();
        open(&spec, &OpenOptions::default())
            .unwrap()
            .notes
            .join("\n")
    }

    #[test]
    fn noise_far_from_zero_is_noted_with_its_step() {
        // Below 2^20 = 1048576, steps are 1/16; the range is 1.5, 24 steps.
        let rows = (0..20).flat_map(|i| [i as f32 / 16.0, 1e6 + (i % 2) as f32 * 1.5]);
        let note = note_on(2, rows.collect()).unwrap();
        let expected = "column 1: f32 holds values near 1000001.5 in steps of 0.0625, and 20 sampled values differ by 1.5";
        assert!(note.contains(expected), "{note}");
        let apart = |range: f32| (0..20).map(|i| -1e6 - (i % 2) as f32 * range).collect();
        assert!(note_on(1, apart(1.5)).is_some());
        assert_eq!(note_on(1, apart(2.5)), None, "40 steps are many");
    }

    #[test]
    fn exact_values_have_no_note() {
        let mask = [0.0, f32::MAX];
        for values in [[1e6, 1e6 + 1.0], [0.1, 0.1], [0.0, 0.0], [1e-44, 0.0], mask] {
            assert_eq!(note_on(1, values.repeat(10)), None, "{values:?}");
        }
        assert_eq!(note_on(1, vec![1e9; 7]), None, "too few rows to say");
        assert!(note_on(1, [1e9, 1e9 + 64.0].repeat(4)).is_some());
        assert_eq!(note_on(1, vec![1e9; 8]), None, "constant");
    }

    #[test]
    fn first_and_last_rows_are_looked_at() {
        let all = Memory::new("rows", 1, (0..1000).map(|i| i as f32).collect());
        assert_eq!(ends(&all, 4).unwrap(), [0.0, 1.0, 998.0, 999.0]);
        assert_eq!(ends(&all, 2000).unwrap().len(), 1000);
    }

    #[test]
    fn files_of_wide_numbers_say_that_values_fall_together() {
        let folder = tempfile::tempdir().unwrap();
        let row = |i| format!("{}.5,{}\n", i % 4, 1_000_000_000 + i);
        let rows = (0..9).map(row).collect::<Vec<_>>().concat();
        let path = folder.path().join("x.csv");
        let note = opened(&path, format!("value,when\n{rows}").as_bytes());
        let words =
            "f32 holds values near 1000000000 in steps of 64, and 9 sampled values differ by 8";
        assert!(note.contains(&format!("column `when`: {words}")), "{note}");
        let turned = OpenOptions {
            columns: vec!["when".into(), "value".into()],
            rows: Some(8),
            ..OpenOptions::default()
        };
        let notes = open(&path.to_string_lossy(), &turned)
            .unwrap()
            .notes
            .join("\n");
        assert!(
            notes.contains("column `when`: ") && notes.contains("8 sampled"),
            "{notes}"
        );
        let values = (0..16).map(|i| {
            if i % 2 == 0 {
                1e9 + f64::from(i)
            } else {
                f64::from(i)
            }
        });
        let values: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
        let array = [npy::header("<f8", "(8, 2)"), values].concat();
        let note = opened(&folder.path().join("x.npy"), &array);
        assert!(
            note.contains("column 0: f32 holds values near 1000000000 in steps of 64"),
            "{note}"
        );
    }
}
