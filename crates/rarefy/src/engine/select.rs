//! The largest pre-activations of a whole batch.

use super::block::{Entry, Keep};
use super::encoder::{Centred, Encoder};

/// Rows that give a first idea of the smallest value that will be kept.
const SAMPLE: usize = 96;
/// How far below that idea the search begins.
const MARGIN: f32 = 0.9;

/// The `floor(n k)` largest positive values of all rows.
///
/// All values above a guess are found; if there are too few, the guess was too high and is lowered, so
/// the guess costs time at worst.
pub(super) fn batch(
    encoder: &Encoder,
    rows: &Centred,
    k: f64,
    hint: Option<f32>,
) -> Vec<Vec<Entry>> {
    let n = rows.x.len() / encoder.d_in;
    let wanted = (n as f64 * k) as usize;
    if wanted == 0 {
        return vec![Vec::new(); n];
    }
    let mut above = hint.unwrap_or_else(|| guess(encoder, rows, k)) * MARGIN;
    loop {
        let keep = Keep {
            most: usize::MAX,
            above,
        };
        let mut found = encoder.rows(rows, keep);
        let count: usize = found.iter().map(Vec::len).sum();
        if count >= wanted || above <= 0.0 {
            cut(&mut found, count, wanted);
            return found;
        }
        // Far too few may be a batch without enough positive values at all.
        above = if count * 4 < wanted * 3 {
            0.0
        } else {
            above * MARGIN * MARGIN
        };
    }
}

/// Where the smallest kept value of a few rows lies.
fn guess(encoder: &Encoder, rows: &Centred, k: f64) -> f32 {
    let n = rows.x.len() / encoder.d_in;
    let some = SAMPLE.min(n);
    let mut x = Vec::with_capacity(some * encoder.d_in);
    for i in 0..some {
        x.extend_from_slice(&rows.x[i * n / some * encoder.d_in..][..encoder.d_in]);
    }
    let keep = Keep {
        most: ((4.0 * k) as usize + 1).min(encoder.d_sae),
        above: 0.0,
    };
    let found = encoder.rows(&Centred { x: &x, ..*rows }, keep);
    let mut values: Vec<f32> = found
        .into_iter()
        .flatten()
        .map(|entry| entry.value)
        .collect();
    let wanted = (some as f64 * k) as usize;
    if values.len() <= wanted || wanted == 0 {
        return 0.0;
    }
    *values
        .select_nth_unstable_by(wanted - 1, |a, b| b.total_cmp(a))
        .1
}

/// Cuts to the wanted number of entries.
fn cut(rows: &mut [Vec<Entry>], count: usize, wanted: usize) {
    if count <= wanted {
        return;
    }
    let mut values: Vec<f32> = rows.iter().flatten().map(|entry| entry.value).collect();
    let smallest = *values
        .select_nth_unstable_by(wanted - 1, |a, b| b.total_cmp(a))
        .1;
    let larger = values.iter().filter(|value| **value > smallest).count();
    let mut ties = wanted - larger;
    for row in rows {
        row.retain(|entry| {
            let tie = entry.value == smallest && ties > 0;
            ties -= usize::from(tie);
            entry.value > smallest || tie
        });
    }
}
