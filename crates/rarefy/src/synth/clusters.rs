//! Features in clusters and trees: the rows in which each of them fires.

use rand::RngExt;

use super::random::{magnitude, successes};
use super::structure::Structure;
use super::{BLOCK, Spec};
use crate::codes::Codes;
use crate::{Result, Rng};

/// A specification and the structure that follows from it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clusters {
    pub(super) spec: Spec,
    pub(super) structure: Structure,
}

impl Clusters {
    pub(super) fn new(spec: &Spec) -> Result<Self> {
        Ok(Self {
            structure: Structure::new(spec)?,
            spec: spec.clone(),
        })
    }

    /// Draws the values of a block of rows. Changing the order of its random numbers would change the rows of every seed.
    pub(super) fn codes(&self, rng: &mut Rng) -> Codes {
        let fired = self.fired(rng);
        self.values(&fired, rng)
    }

    /// Draws the rows of a block in which each feature fires, `[features][rows]`.
    fn fired(&self, rng: &mut Rng) -> Vec<Vec<u32>> {
        let mut fired = vec![Vec::new(); self.spec.features];
        for group in self.structure.groups() {
            match group.as_slice() {
                &[f] => fired[f] = successes(self.structure.probabilities[f], BLOCK, rng),
                many => self.cluster(many, &mut fired, rng),
            }
        }
        let Some(hierarchy) = self.spec.hierarchy else {
            return fired;
        };
        let share = hierarchy.children / hierarchy.branch as f64;
        for parent in 0..self.spec.features {
            let children = self.structure.children(parent);
            let rows = std::mem::take(&mut fired[parent]);
            if hierarchy.exclusive && !children.is_empty() {
                for &row in &rows {
                    // Child j fires if the number is in the j-th interval of length `share` of [0, 1).
                    let child = (rng.random::<f64>() / share) as usize;
                    if child < children.len() {
                        fired[children.start + child].push(row);
                    }
                }
            } else {
                for child in children {
                    let some = successes(share, rows.len(), rng);
                    fired[child] = some.iter().map(|at| rows[*at as usize]).collect();
                }
            }
            fired[parent] = rows;
        }
        fired
    }

    /// Draws the firing of a cluster of correlated features.
    ///
    /// In each row the cluster has a shared number u, uniform on [0, 1). A feature fires if u < p. It uses the
    /// shared u with probability `sqrt(correlation)`, otherwise an independent one. Rows without firing cost
    /// nothing: the shared u is drawn only if it is below the largest p, an independent one only if it is below p.
    fn cluster(&self, members: &[usize], fired: &mut [Vec<u32>], rng: &mut Rng) {
        let asks = self.spec.correlation.sqrt();
        let p = |f: usize| self.structure.probabilities[f];
        let most = members.iter().fold(0.0, |most: f64, f| most.max(p(*f)));
        let shared: Vec<(u32, f64)> = successes(most, BLOCK, rng)
            .into_iter()
            .map(|row| (row, most * rng.random::<f64>()))
            .collect();
        for &f in members {
            let alone = (1.0 - asks) * p(f);
            let mut rows = successes(alone, BLOCK, rng);
            // Probability of using the shared number, given that the feature has not fired by an independent one.
            let asks = asks / (1.0 - alone);
            let asked = shared
                .iter()
                .filter(|(_, u)| rng.random::<f64>() < asks && *u < p(f));
            rows.extend(asked.map(|(row, _)| *row));
            rows.sort_unstable();
            rows.dedup();
            fired[f] = rows;
        }
    }

    /// Builds codes from the firing rows of each feature; magnitudes are drawn feature by feature.
    fn values(&self, fired: &[Vec<u32>], rng: &mut Rng) -> Codes {
        let mut offsets = vec![0usize; BLOCK + 1];
        for row in fired.iter().flatten() {
            offsets[*row as usize + 1] += 1;
        }
        for row in 0..BLOCK {
            offsets[row + 1] += offsets[row];
        }
        let entries = offsets[BLOCK];
        let (mut indices, mut values) = (vec![0; entries], vec![0.0; entries]);
        let mut next = offsets.clone();
        for (f, rows) in fired.iter().enumerate() {
            for &row in rows {
                let at = &mut next[row as usize];
                indices[*at] = f as u32;
                values[*at] = magnitude(self.spec.magnitudes, rng);
                *at += 1;
            }
        }
        Codes {
            offsets,
            indices,
            values,
            ..Codes::new(self.spec.features)
        }
    }
}
