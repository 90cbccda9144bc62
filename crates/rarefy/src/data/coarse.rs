//! Columns whose values lie so close together, and so far from zero, that `f32` cannot tell many of them apart.

use super::{Dataset, Role, evenly_spaced_rows};

/// Number of rows that are looked at, evenly spaced.
const MOST_ROWS: usize = 256;
/// Number of values that are looked at, unless two rows hold more.
const MOST_VALUES: usize = 1 << 22;
/// Range of a column in steps of `f32` below which a note is worth reading: rounding then costs a hundredth of a
/// deviation or more.
const FEW_STEPS: f32 = 32.0;
/// Whole numbers below this are exact in `f32`.
const EXACT: f32 = 16_777_216.0;

/// Note on the columns that `f32` holds coarsely, such as `1e9 + noise`; `None` if there are none, or if rows
/// cannot be read, which training reports with its place.
pub(super) fn note(dataset: &Dataset) -> Option<String> {
    let d_in = dataset.source.d_in();
    if d_in == 0 || dataset.source.rows() < 2 {
        return None;
    }
    let most = (MOST_VALUES / d_in).clamp(2, MOST_ROWS);
    let rows = evenly_spaced_rows(&*dataset.source, most).ok()?;
    let coarse: Vec<Coarse> = (0..d_in)
        .filter_map(|column| Coarse::of(&rows, d_in, column))
        .collect();
    let first = coarse.first()?;
    let others = match coarse.len() - 1 {
        0 => String::new(),
        1 => " and 1 other column".into(),
        others => format!(" and {others} other columns"),
    };
    Some(format!(
        "{}: column {}{others}: f32 holds values near {} in steps of {}, and {} sampled values differ by {}; \
         subtract an offset and save the differences, or leave such columns out with `data.exclude`",
        dataset.source.name(),
        name(dataset, first.column),
        first.near,
        first.step,
        rows.len() / d_in,
        first.range,
    ))
}

/// A column that `f32` holds coarsely.
struct Coarse {
    column: usize,
    /// Value of the largest magnitude.
    near: f32,
    /// Distance from that value to the next.
    step: f32,
    /// Largest value less the smallest.
    range: f32,
}

impl Coarse {
    /// The column if it is coarse. Constants are not, unless they are too large for whole numbers to be exact: then
    /// the file may hold values that differ.
    fn of(rows: &[f32], d_in: usize, column: usize) -> Option<Self> {
        let values = || rows[column..].iter().step_by(d_in).copied();
        let low = values().fold(f32::INFINITY, f32::min);
        let high = values().fold(f32::NEG_INFINITY, f32::max);
        let near = if high.abs() >= low.abs() { high } else { low };
        let step = near.abs().next_up() - near.abs();
        let range = high - low;
        let exact = near.abs() < EXACT && (range == 0.0 || values().all(|v| v.fract() == 0.0));
        (range < FEW_STEPS * step && !exact).then_some(Self {
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
        // Near 1e6, steps are 1/16; the range is 1.5, 24 steps.
        let note = note_on(2, vec![0.5, 1e6, 0.25, 1e6 + 1.5]).unwrap();
        assert!(
            note.contains("column 1: f32 holds values near 1000001.5 in steps of 0.0625, and 2 sampled values differ by 1.5"),
            "{note}"
        );
        assert_eq!(note_on(1, vec![1e6, 1e6 + 2.5]), None, "40 steps are many");
        assert!(note_on(1, vec![-1e6, -1e6 - 1.5]).is_some());
    }

    #[test]
    fn exact_values_have_no_note() {
        for values in [vec![1e6, 1e6 + 1.0], vec![0.1; 5], vec![0.0; 5], vec![1e9]] {
            assert_eq!(note_on(1, values.clone()), None, "{values:?}");
        }
        assert!(note_on(1, vec![1e9; 5]).is_some());
    }

    #[test]
    fn files_of_wide_numbers_say_that_values_fall_together() {
        let folder = tempfile::tempdir().unwrap();
        let csv = "when,value\n1000000001,0.5\n1000000002,0.75\n1000000004,0.25\n";
        let note = opened(&folder.path().join("x.csv"), csv.as_bytes());
        assert!(note.contains("column `when`: f32 holds values near 1000000000 in steps of 64"));
        let values = [1e9 + 0.25, 1.0, 1e9 - 2.0, 5.0f64].map(f64::to_le_bytes);
        let array = [npy::header("<f8", "(2, 2)"), values.concat()].concat();
        let note = opened(&folder.path().join("x.npy"), &array);
        assert!(note.contains("column 0: f32 holds values near 1000000000 in steps of 64"));
    }
}
