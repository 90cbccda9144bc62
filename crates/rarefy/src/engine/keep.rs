//! What a row keeps of the latents that its candidates turn out to be.

use std::num::NonZeroUsize;

use rarefy_kernels::screen::pre_activations;

use super::encoder::Centred;

/// One active latent of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) value: f32,
    pub(super) latent: u32,
}

impl Entry {
    /// What entries are compared by. Where there is something to compare, values are positive or wanted
    /// for their size.
    pub(super) fn size(self) -> f32 {
        self.value.abs()
    }
}

/// Which pre-activations a row wants, before it is asked how many.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// All above one value.
    Above(f32),
    /// All above the latent's own value, `[d_sae]`.
    Each(&'a [f32]),
    /// All but zeros, compared by their size.
    EitherSign,
}

/// What a row keeps: of each group the `most` largest of those that it wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeepRule<'a> {
    pub(super) wanted: Wanted<'a>,
    pub(super) most: usize,
    /// Neighbouring latents of a group; none if all latents are one.
    pub(super) group: Option<NonZeroUsize>,
    /// The largest of all rows together that can matter.
    pub(super) together: usize,
    /// A guess at the smallest that will be kept, over the row's norm: the search begins there, and a
    /// row that ends with fewer than it could keep may have lost some.
    pub(super) at_norm: f32,
}

impl<'a> KeepRule<'a> {
    /// Everything that is wanted.
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

    /// What a latent of a row of this norm must exceed to matter, at the start. The bounds of
    /// [`Wanted::Each`] are taken off the biases, so that latents have this in common.
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

    /// The most that a row can keep, of all groups.
    pub(super) fn of_row(&self, d_sae: usize) -> usize {
        let groups = self.group.map_or(1, |size| d_sae / size);
        self.most.saturating_mul(groups)
    }

    /// Whether a row with this floor takes an exact pre-activation.
    fn takes(&self, entry: Entry, floor: f32) -> bool {
        // Equal to the floor can still win by a lower latent.
        match self.wanted {
            Wanted::Above(above) => entry.value > above && entry.value >= floor,
            Wanted::Each(bounds) => entry.value > bounds[entry.latent as usize],
            Wanted::EitherSign => entry.size() > 0.0 && entry.size() >= floor,
        }
    }
}

/// What a row has kept.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptRow {
    pub(super) entries: Vec<Entry>,
    /// Norm of the row.
    pub(super) norm: f32,
}

/// What a row has found so far.
#[derive(Debug, Clone, Default)]
pub(super) struct RowProgress {
    /// The group that the row is in: its candidates come in the order of their latents.
    pub(super) group: usize,
    /// What a latent of this group must exceed to matter.
    pub(super) floor: f32,
    /// Of this group.
    pub(super) kept: Vec<Entry>,
    /// Of the groups before it.
    done: Vec<Entry>,
}

impl RowProgress {
    /// Before the first candidate.
    pub(super) fn at(floor: f32) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    /// What the row keeps, in the order of the latents.
    pub(super) fn finish(mut self, keep: &KeepRule) -> Vec<Entry> {
        self.close(keep);
        self.done.sort_unstable_by_key(|entry| entry.latent);
        self.done
    }

    /// The group has no more candidates.
    fn close(&mut self, keep: &KeepRule) {
        largest(&mut self.kept, keep.most);
        if self.done.is_empty() {
            std::mem::swap(&mut self.done, &mut self.kept);
        } else {
            self.done.append(&mut self.kept);
        }
    }
}

/// One row while its candidates are computed.
pub(super) struct RowSearch<'a> {
    pub(super) x: &'a [f32],
    pub(super) rows: &'a Centred<'a>,
    pub(super) keep: &'a KeepRule<'a>,
    /// Where each group begins.
    pub(super) bottom: f32,
    pub(super) progress: &'a mut RowProgress,
}

impl RowSearch<'_> {
    /// Computes what can matter of some candidates; how many that are.
    ///
    /// # Shapes
    /// `latents`, rising, and what they are `most`; `values` is room for as many.
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
            // Their panel's floor may have been another group's.
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

    /// The most promising first: what they turn out to be spares most of the others.
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

    /// Lets go of what cannot be among the largest any more.
    fn raise(&mut self) {
        let RowProgress { kept, floor, .. } = &mut *self.progress;
        if kept.len() >= self.keep.most {
            *floor = largest(kept, self.keep.most);
        }
    }
}

/// Whether what is at most so much cannot matter; NaN says nothing.
fn hopeless(most: f32, floor: f32) -> bool {
    most <= floor
}

/// Cuts to the `most` largest, of equal ones the lower latents; the smallest of them.
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
