//! Exact pre-activations of a row's candidates, and the entries that the row keeps.

use std::num::NonZeroUsize;

use rarefy_kernels::screen::pre_activations;

use super::encoder::Centred;

/// Entry of a row: an active latent and its exact pre-activation.
#[derive(Debug, Clone, Copy, PartialEq)]
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
    pub(super) fn finish(mut self, keep: &KeepRule) -> Vec<Entry> {
        self.close(keep);
        self.done.sort_unstable_by_key(|entry| entry.latent);
        self.done
    }

    /// Ends the current group.
    fn close(&mut self, keep: &KeepRule) {
        largest(&mut self.kept, keep.most);
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
                self.progress.close(self.keep);
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
        for (&latent, &mut value) in latents.iter().zip(values) {
            let entry = Entry { value, latent };
            if self.keep.takes(entry, self.progress.floor) {
                self.progress.kept.push(entry);
                if self.progress.kept.len() >= self.keep.most.saturating_mul(2) {
                    self.raise();
                }
            }
        }
        if self.progress.kept.len() > self.keep.most.saturating_add(self.keep.most / 4) {
            self.raise();
        }
    }

    /// Computes the k candidates with the largest bounds first. Their exact values raise the floor, so that most
    /// other candidates need no exact value.
    fn take_best_first(&mut self, latents: &[u32], most: &[f32], values: &mut [f32]) -> usize {
        let k = self.keep.most;
        let mut order: Vec<(f32, u32)> =
            most.iter().copied().zip(latents.iter().copied()).collect();
        order.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
        let best: Vec<u32> = order[..k].iter().map(|pair| pair.1).collect();
        self.take(&best, values);
        self.raise();
        let floor = self.progress.floor;
        let others = order[k..].iter().filter(|pair| !hopeless(pair.0, floor));
        let others: Vec<u32> = others.map(|pair| pair.1).collect();
        self.take(&others, values);
        k + others.len()
    }

    /// Removes entries that cannot be among the largest, and raises the floor.
    fn raise(&mut self) {
        let RowProgress { kept, floor, .. } = &mut *self.progress;
        if kept.len() >= self.keep.most {
            *floor = largest(kept, self.keep.most);
        }
    }
}

/// True if a candidate with upper bound `most` cannot be kept. False for a NaN.
fn hopeless(most: f32, floor: f32) -> bool {
    most <= floor
}

/// Keeps the `most` largest entries (ties go to lower latents) and returns the smallest kept size.
///
/// Bisection over the sizes' bits, with counts of whole vectors, was as fast as this partition (160 entries, k 128).
fn largest(entries: &mut Vec<Entry>, most: usize) -> f32 {
    if entries.len() <= most {
        return entries
            .iter()
            .map(|entry| entry.size())
            .fold(f32::INFINITY, f32::min);
    }
    let order = |a: &Entry, b: &Entry| b.size().total_cmp(&a.size()).then(a.latent.cmp(&b.latent));
    entries.select_nth_unstable_by(most - 1, order);
    entries.truncate(most);
    entries[most - 1].size()
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
            assert_eq!(largest(&mut entries, most), smallest, "{n}, {most}");
            entries.sort_by_key(|entry| entry.latent);
            expected.sort_by_key(|entry| entry.latent);
            assert_eq!(entries, expected, "{n}, {most}");
        }
    }
}
