//! Starting bounds of the search for the largest pre-activations, and repeated searches after a wrong bound.

use std::num::NonZeroUsize;

use super::block::search;
use super::encoder::{Centred, Encoder, Hint};
use super::keep::{Entry, KeepRule, KeptRow, Wanted};
use super::selection::Selection;
use crate::data::spread::even_positions;

/// Number of sampled rows that give a first guess of the smallest kept value.
const SAMPLE: usize = 96;
/// Minimum number of rows for which a sample saves time.
const WORTH_A_SAMPLE: usize = 10 * SAMPLE;
/// Expected share of rows whose smallest kept value is below the guess. These rows are searched twice, but a
/// lower guess gives all other rows more candidates.
const SURPRISED: f64 = 0.02;
/// Factor from the guess to the starting bound of the rows whose smallest kept value is below the guess.
const LOWER: f32 = 0.8;
/// Factor from the smallest kept value of the last batch to the starting bound of the next batch selection.
const MARGIN: f32 = 0.9;

/// Finds the entries that each row keeps under a selection.
pub(super) fn select(encoder: &Encoder, rows: &Centred, selection: Selection) -> Vec<KeptRow> {
    let (d_sae, hints) = (encoder.d_sae, &encoder.hints);
    let most = |k, wanted| KeepRule {
        most: k,
        ..KeepRule::all(wanted)
    };
    match selection {
        Selection::Row(k) => {
            let keep = most(k.min(d_sae), POSITIVE);
            each_row(encoder, &hints.row, rows, keep)
        }
        Selection::Magnitude(k) => {
            let keep = most(k.min(d_sae), Wanted::EitherSign);
            each_row(encoder, &hints.magnitude, rows, keep)
        }
        Selection::Groups { groups, k } => {
            let size = d_sae / groups;
            let group = NonZeroUsize::new(size).filter(|_| groups > 1);
            let keep = KeepRule {
                group,
                ..most(k.min(size), POSITIVE)
            };
            each_row(encoder, &hints.groups, rows, keep)
        }
        Selection::Batch(k) => batch(encoder, &hints.batch, rows, k),
        Selection::Above(above) => search(encoder, rows, KeepRule::all(Wanted::Above(above))),
        Selection::Each(bounds) => search(encoder, rows, KeepRule::all(Wanted::Each(bounds))),
    }
}

const POSITIVE: Wanted = Wanted::Above(0.0);

/// Finds the largest entries of each row.
fn each_row(encoder: &Encoder, hint: &Hint, rows: &Centred, keep: KeepRule) -> Vec<KeptRow> {
    let n = rows.x.len() / encoder.d_in;
    let k = keep.of_row(encoder.d_sae);
    let search_from = |x: &[f32], at_norm: f32| {
        search(
            encoder,
            &Centred { x, ..*rows },
            KeepRule { at_norm, ..keep },
        )
    };
    let guess = hint.get().unwrap_or_else(|| match n {
        WORTH_A_SAMPLE.. => low_ratio(&search_from(&sample(encoder, rows), 0.0), k),
        _ => 0.0,
    });
    let mut found = search_from(rows.x, guess);
    // Few rows are short. A search from 0 costs each of them several times as much as one from a lower guess.
    for above in [LOWER * guess, 0.0] {
        let short: Vec<usize> = (0..n).filter(|&i| found[i].entries.len() < k).collect();
        if guess == 0.0 || short.is_empty() {
            break;
        }
        let again = search_from(&gather(encoder, rows, short.iter().copied()), above);
        for (i, kept) in short.into_iter().zip(again) {
            found[i] = kept;
        }
    }
    hint.set(low_ratio(&found, k));
    found
}

/// Finds the `floor(n k)` largest positive values of all rows.
///
/// The search finds all values above a guess. If these are too few, the guess is lowered and the search
/// repeated.
///
/// Reduction point: the cut is common to all rows. The guess changes the time, not the kept values.
fn batch(encoder: &Encoder, hint: &Hint, rows: &Centred, k: f64) -> Vec<KeptRow> {
    let n = rows.x.len() / encoder.d_in;
    let wanted = (n as f64 * k) as usize;
    let guess = hint
        .get()
        .unwrap_or_else(|| guess_for_batch(encoder, rows, k));
    let mut above = guess * MARGIN;
    for attempt in 0.. {
        let keep = KeepRule {
            most: if wanted == 0 { 0 } else { usize::MAX },
            together: wanted,
            ..KeepRule::all(Wanted::Above(above))
        };
        let mut found = search(encoder, rows, keep);
        let count: usize = found.iter().map(|kept| kept.entries.len()).sum();
        if count >= wanted || above <= 0.0 {
            let smallest = cut(&mut found, wanted).unwrap_or(0.0);
            // A batch with too few positive values gives no hint for the next one.
            hint.set(if count < wanted { 0.0 } else { smallest });
            return found;
        }
        // Far too few: the batch may have fewer positive values than wanted.
        above = if count * 2 < wanted || attempt == 3 {
            0.0
        } else {
            above * MARGIN * MARGIN
        };
    }
    unreachable!("the last attempt takes every positive value")
}

/// Guess of the smallest kept value of a batch, from a sample of rows.
fn guess_for_batch(encoder: &Encoder, rows: &Centred, k: f64) -> f32 {
    let x = sample(encoder, rows);
    // A row may have several times its mean number of entries.
    let keep = KeepRule {
        most: ((4.0 * k) as usize + 1).min(encoder.d_sae),
        ..KeepRule::all(POSITIVE)
    };
    let mut found = search(encoder, &Centred { x: &x, ..*rows }, keep);
    let wanted = (found.len() as f64 * k) as usize;
    let count: usize = found.iter().map(|kept| kept.entries.len()).sum();
    if count > wanted {
        cut(&mut found, wanted).unwrap_or(0.0)
    } else {
        0.0
    }
}

/// Keeps the `wanted` largest entries of all rows (ties go to earlier rows and lower latents). Returns the
/// smallest kept value; `None` if no entry is kept.
fn cut(rows: &mut [KeptRow], wanted: usize) -> Option<f32> {
    let mut values: Vec<f32> = entries(rows).map(|entry| entry.value).collect();
    let last = values.len().min(wanted).checked_sub(1)?;
    let smallest = *values.select_nth_unstable_by(last, |a, b| b.total_cmp(a)).1;
    let larger = values.iter().filter(|value| **value > smallest).count();
    let mut ties = last + 1 - larger;
    for row in rows {
        row.entries.retain(|entry| {
            let tie = entry.value == smallest && ties > 0;
            ties -= usize::from(tie);
            entry.value > smallest || tie
        });
    }
    Some(smallest)
}

/// Entries of all rows.
fn entries(rows: &[KeptRow]) -> impl Iterator<Item = &Entry> {
    rows.iter().flat_map(|kept| &kept.entries)
}

/// Quantile [`SURPRISED`] over rows of the smallest kept size divided by the norm of the row. A row with fewer
/// than k entries counts as 0.
fn low_ratio(rows: &[KeptRow], k: usize) -> f32 {
    let smallest = |kept: &KeptRow| {
        let sizes = kept.entries.iter().map(|entry| entry.size());
        sizes.fold(f32::INFINITY, f32::min)
    };
    let ratio = |kept: &KeptRow| match kept.entries.len() {
        count if count < k || kept.norm == 0.0 => 0.0,
        _ => smallest(kept) / kept.norm,
    };
    let mut ratios: Vec<f32> = rows.iter().map(ratio).collect();
    if ratios.is_empty() {
        return 0.0;
    }
    let place = (ratios.len() as f64 * SURPRISED) as usize;
    let (_, low, _) = ratios.select_nth_unstable_by(place, f32::total_cmp);
    if low.is_finite() { *low } else { 0.0 }
}

/// Evenly spaced sample of the rows, [`SAMPLE`] at most.
fn sample(encoder: &Encoder, rows: &Centred) -> Vec<f32> {
    let n = rows.x.len() / encoder.d_in;
    gather(encoder, rows, even_positions(n, SAMPLE))
}

/// Copies the rows with the given numbers.
fn gather(encoder: &Encoder, rows: &Centred, which: impl Iterator<Item = usize>) -> Vec<f32> {
    let d_in = encoder.d_in;
    which
        .flat_map(|i| &rows.x[i * d_in..(i + 1) * d_in])
        .copied()
        .collect()
}
