//! Exact pre-activations of a row's candidates, and the entries that the row keeps.

use std::num::NonZeroUsize;

use rarefy_kernels::screen::pre_activations;

use super::encoder::Centred;

/// Entry of a row: an active latent and its exact pre-activation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) value: f32,
    pub(super) latent: u32,
}

impl Entry {
    /// Absolute value, by which entries are compared. Selections that compare entries have positive values or
    /// need absolute values.
    pub(super) fn size(self) -> f32 {
        self.value.abs()
    }
}

/// Condition on single pre-activations, before the largest of them are selected.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// Pre-activations above one threshold.
    Above(f32),
    /// Pre-activations above the threshold of their latent, `[d_sae]`.
    Each(&'a [f32]),
    /// Pre-activations other than 0, compared by absolute value.
    EitherSign,
}

/// Rule for the entries that a row keeps: of each group, the `most` largest that are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeepRule<'a> {
    /// Condition on single pre-activations.
    pub(super) wanted: Wanted<'a>,
    /// Maximum number of entries in each group of each row.
    pub(super) most: usize,
    /// Number of neighbouring latents in a group; `None` if all latents are one group.
    pub(super) group: Option<NonZeroUsize>,
    /// Number of entries that a batch selection keeps of all rows together.
    pub(super) together: usize,
    /// Guess of the smallest kept value divided by the norm of its row, from which the search starts. A row with
    /// fewer than the maximum number of entries may have lost some, and must be searched again.
    pub(super) at_norm: f32,
}

impl<'a> KeepRule<'a> {
    /// Rule that keeps all wanted entries.
    pub(super) const fn all(wanted: Wanted<'a>) -> Self {
        Self {
            wanted,
            most: usize::MAX,
            group: None,
            together: usize::MAX,
            at_norm: 0.0,
        }
    }

    /// True if pre-activations are compared by absolute value.
    pub(super) fn either_sign(&self) -> bool {
        matches!(self.wanted, Wanted::EitherSign)
    }

    /// Value that a latent must exceed at the start of the search of a row of norm `norm`. The thresholds of
    /// [`Wanted::Each`] are subtracted from the biases, so one value is enough.
    pub(super) fn bottom(&self, norm: f32) -> f32 {
        let above = match self.wanted {
            Wanted::Above(above) => above,
            Wanted::Each(_) | Wanted::EitherSign => 0.0,
        };
        if self.at_norm > 0.0 {
            above.max(self.at_norm * norm)
        } else {
            above
        }
    }

    /// Maximum number of entries of a row, over all groups.
    pub(super) fn of_row(&self, d_sae: usize) -> usize {
        let groups = self.group.map_or(1, |size| d_sae / size);
        self.most.saturating_mul(groups)
    }

    /// True if a row with this floor keeps the entry.
    fn takes(&self, entry: Entry, floor: f32) -> bool {
        // An entry equal to the floor can still win a tie by its lower latent.
        match self.wanted {
            Wanted::Above(above) => entry.value > above && entry.value >= floor,
            Wanted::Each(bounds) => entry.value > bounds[entry.latent as usize],
            Wanted::EitherSign => entry.size() > 0.0 && entry.size() >= floor,
        }
    }
}

/// Result of the search of one row.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptRow {
    /// Kept entries, sorted by latent.
    pub(super) entries: Vec<Entry>,
    /// Upper bound of the norm of the row.
    pub(super) norm: f32,
}

/// Entries found so far in one row.
#[derive(Debug, Clone, Default)]
pub(super) struct RowProgress {
    /// Current group; candidates arrive in the order of their latents.
    pub(super) group: usize,
    /// Value that a latent of the current group must exceed.
    pub(super) floor: f32,
    /// Entries of the current group.
    pub(super) kept: Vec<Entry>,
    /// Final entries of the earlier groups.
    done: Vec<Entry>,
}

impl RowProgress {
    /// Progress before the first candidate.
    pub(super) fn at(floor: f32) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    /// Ends the search and returns the kept entries, sorted by latent.
    pub(super) fn finish(mut self, keep: &KeepRule, keys: &mut Vec<u32>) -> Vec<Entry> {
        self.close(keep, keys);
        // Entries are in order, or in two ordered runs after `take_best_first`.
        self.done.sort_by_key(|entry| entry.latent);
        self.done
    }

    /// Ends the current group.
    fn close(&mut self, keep: &KeepRule, keys: &mut Vec<u32>) {
        largest(&mut self.kept, keep.most, keys);
        if self.done.is_empty() {
            std::mem::swap(&mut self.done, &mut self.kept);
        } else {
            self.done.append(&mut self.kept);
        }
    }
}

/// Search of one row: computes exact pre-activations of candidates.
pub(super) struct RowSearch<'a> {
    pub(super) x: &'a [f32],
    pub(super) rows: &'a Centred<'a>,
    pub(super) keep: &'a KeepRule<'a>,
    /// Floor at the start of each group.
    pub(super) bottom: f32,
    pub(super) progress: &'a mut RowProgress,
    /// Buffer.
    pub(super) keys: &'a mut Vec<u32>,
}

impl RowSearch<'_> {
    /// Computes the exact pre-activations of candidates that can still be kept. Returns their number.
    ///
    /// # Shapes
    /// `latents` (ascending), `most` (upper bound of each pre-activation) and the buffer `values`: equal lengths.
    pub(super) fn look(&mut self, latents: &[u32], most: &[f32], values: &mut [f32]) -> usize {
        let Some(size) = self.keep.group else {
            return self.look_at_one_group(latents, most, values);
        };
        let group = |latent: u32| latent as usize / size;
        let (mut computed, mut start) = (0, 0);
        for latents in latents.chunk_by(|a, b| group(*a) == group(*b)) {
            let most = &most[start..start + latents.len()];
            start += latents.len();
            if group(latents[0]) != self.progress.group {
                self.progress.close(self.keep, self.keys);
                self.progress.group = group(latents[0]);
                self.progress.floor = self.bottom;
            }
            let floor = self.progress.floor;
            // The screen may have used the lower floor of another group.
            if !most.iter().all(|most| hopeless(*most, floor)) {
                computed += self.look_at_one_group(latents, most, values);
            }
        }
        computed
    }

    fn look_at_one_group(&mut self, latents: &[u32], most: &[f32], values: &mut [f32]) -> usize {
        if latents.len() <= self.keep.most {
            self.take(latents, values);
            latents.len()
        } else {
            self.take_best_first(latents, most, values)
        }
    }

    fn take(&mut self, latents: &[u32], values: &mut [f32]) {
        let values = &mut values[..latents.len()];
        pre_activations(self.x, self.rows.w_enc, self.rows.b_enc, latents, values);
        let RowProgress { kept, floor, .. } = &mut *self.progress;
        // Every entry is written and the place of the next one moved without a branch: half of the entries are taken, in no order that
        // a CPU could predict.
        let mut count = kept.len();
        kept.resize(count + latents.len(), Entry::default());
        for (&latent, &mut value) in latents.iter().zip(values) {
            let entry = Entry { value, latent };
            kept[count] = entry;
            count += usize::from(self.keep.takes(entry, *floor));
        }
        kept.truncate(count);
        if self.progress.kept.len() > self.keep.most.saturating_add(self.keep.most / 4) {
            self.raise();
        }
    }

    /// Computes the k candidates with the largest bounds first. Their exact values raise the floor, so that most
    /// other candidates need no exact value.
    fn take_best_first(&mut self, latents: &[u32], most: &[f32], values: &mut [f32]) -> usize {
        let mut bounds: Vec<f32> = most.to_vec();
        let place = bounds.len() - self.keep.most;
        let bound = *bounds.select_nth_unstable_by(place, f32::total_cmp).1;
        let pairs = || latents.iter().zip(most);
        let best = pairs().filter(|pair| pair.1.total_cmp(&bound).is_ge());
        let best: Vec<u32> = best.map(|pair| *pair.0).collect();
        self.take(&best, values);
        self.raise();
        let floor = self.progress.floor;
        let others =
            pairs().filter(|pair| pair.1.total_cmp(&bound).is_lt() && !hopeless(*pair.1, floor));
        let others: Vec<u32> = others.map(|pair| *pair.0).collect();
        self.take(&others, values);
        best.len() + others.len()
    }

    /// Removes entries that cannot be among the largest, and raises the floor.
    fn raise(&mut self) {
        let RowProgress { kept, floor, .. } = &mut *self.progress;
        if kept.len() >= self.keep.most {
            *floor = largest(kept, self.keep.most, self.keys);
        }
    }
}

/// True if a candidate with upper bound `most` cannot be kept. False for a NaN.
fn hopeless(most: f32, floor: f32) -> bool {
    most <= floor
}

/// Keeps the `most` largest entries (ties go to lower latents), in their order, and returns the smallest kept size. `keys` is a buffer.
///
/// The sizes alone are partitioned, as integers: bits of floats that are not negative have the order of the floats. Partitioning the
/// entries took twice as long, and left them to be sorted by latent at the end (160 entries, k 128).
fn largest(entries: &mut Vec<Entry>, most: usize, keys: &mut Vec<u32>) -> f32 {
    let Some(others) = entries.len().checked_sub(most).filter(|others| *others > 0) else {
        let sizes = entries.iter().map(|entry| entry.size());
        return sizes.fold(f32::INFINITY, f32::min);
    };
    keys.clear();
    keys.extend(entries.iter().map(|entry| entry.size().to_bits()));
    let (below, &mut smallest, above) = keys.select_nth_unstable(others);
    let ties = 1 + above.iter().filter(|key| **key == smallest).count();
    let lost = below.iter().filter(|key| **key == smallest).count();
    // All ties stay, or the lowest latents among them.
    let last = if lost == 0 {
        u32::MAX
    } else {
        let tied = entries
            .iter()
            .filter(|entry| entry.size().to_bits() == smallest);
        let mut latents: Vec<u32> = tied.map(|entry| entry.latent).collect();
        *latents.select_nth_unstable(ties - 1).1
    };
    let mut kept = 0;
    for at in 0..entries.len() {
        let entry = entries[at];
        let key = entry.size().to_bits();
        entries[kept] = entry;
        kept += usize::from(key > smallest || (key == smallest && entry.latent <= last));
    }
    entries.truncate(kept);
    f32::from_bits(smallest)
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;

    #[test]
    fn largest_entries_are_those_of_a_sort_and_ties_go_to_lower_latents() {
        for (n, most) in [(0, 3), (3, 3), (40, 1), (40, 7), (200, 32), (33, 32)] {
            // Few different values: many ties. Half of them are negative.
            let value =
                |j: u32| ((j * 7919) % 23) as f32 * if j.is_multiple_of(2) { 0.5 } else { -0.5 };
            let entry = |latent: u32| Entry {
                value: value(latent),
                latent,
            };
            let mut entries: Vec<Entry> = (0..n).map(|j| entry(n - 1 - j)).collect();
            let mut expected = entries.clone();
            expected.sort_by_key(|entry| (Reverse(entry.size().to_bits()), entry.latent));
            expected.truncate(most);
            let smallest = expected
                .iter()
                .map(|e| e.size())
                .fold(f32::INFINITY, f32::min);
            assert_eq!(
                largest(&mut entries, most, &mut Vec::new()),
                smallest,
                "{n}, {most}"
            );
            // The order stays: descending latents.
            expected.sort_by_key(|entry| Reverse(entry.latent));
            assert_eq!(entries, expected, "{n}, {most}");
        }
    }
}
