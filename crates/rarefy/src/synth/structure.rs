//! Structure of a dictionary: clusters, trees and firing probabilities of the features.

use std::ops::Range;

use super::{Hierarchy, Spec};
use crate::{Error, Result};

/// Maximum firing probability of a feature. A feature that fires in every row would be a bias.
const MOST: f64 = 0.5;

/// Probabilities, parents and clusters of all features.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Structure {
    /// Firing probability of each feature.
    pub(super) probabilities: Vec<f64>,
    /// Parent of each feature; `None` for features without a parent.
    pub(super) parents: Vec<Option<usize>>,
    /// Number of the cluster of each feature; `None` for features outside clusters.
    pub(super) clusters: Vec<Option<usize>>,
    /// Features without a parent, split into clusters; clusters of one feature if there is no correlation.
    groups: Vec<Vec<usize>>,
    trees: Trees,
}

impl Structure {
    /// Checks a specification and derives the structure.
    pub(super) fn new(spec: &Spec) -> Result<Self> {
        spec.check()?;
        let trees = Trees::new(spec)?;
        let parents: Vec<_> = (0..spec.features).map(|f| trees.parent(f)).collect();
        let top: Vec<usize> = (0..spec.features)
            .filter(|f| parents[*f].is_none())
            .collect();
        let size = if spec.correlation > 0.0 {
            spec.cluster
        } else {
            1
        };
        let groups: Vec<_> = top.chunks(size).map(<[usize]>::to_vec).collect();
        let mut clusters = vec![None; spec.features];
        for (number, group) in groups.iter().enumerate().filter(|(_, g)| g.len() > 1) {
            group.iter().for_each(|f| clusters[*f] = Some(number));
        }
        Ok(Self {
            probabilities: probabilities(spec, &trees, &parents, &top)?,
            parents,
            clusters,
            groups,
            trees,
        })
    }

    /// Features without a parent, cluster by cluster.
    pub(super) fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    /// Features of the cluster of f, including f; empty if f is in no cluster.
    pub(super) fn cluster_of(&self, f: usize) -> &[usize] {
        self.clusters[f].map_or(&[][..], |number| self.groups[number].as_slice())
    }

    /// Children of feature f.
    pub(super) fn children(&self, f: usize) -> Range<usize> {
        self.trees.children(f)
    }
}

/// Equal trees, one after the other, with features numbered level by level as in a heap.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trees {
    /// Number of children of a feature.
    branch: usize,
    /// Number of features in a tree; 1 without a hierarchy.
    size: usize,
    /// Number of trees.
    count: usize,
    /// Mean number of features of a tree that fire when its top feature fires, including the top.
    active: f64,
}

impl Trees {
    fn new(spec: &Spec) -> Result<Self> {
        let Some(hierarchy) = &spec.hierarchy else {
            return Ok(Self {
                branch: 0,
                size: 1,
                count: spec.features,
                active: 1.0,
            });
        };
        let size = size(hierarchy, spec.features).ok_or_else(|| {
            let Hierarchy { depth, branch, .. } = hierarchy;
            let expected = format!(
                "at least the size of one tree of `hierarchy.depth` {depth} and `hierarchy.branch` {branch}"
            );
            Error::hyper("features", &expected, spec.features)
        })?;
        Ok(Self {
            branch: hierarchy.branch,
            size,
            count: spec.features / size,
            active: (0..=hierarchy.depth)
                .map(|level| hierarchy.children.powi(level as i32))
                .sum(),
        })
    }

    fn parent(&self, f: usize) -> Option<usize> {
        let (tree, place) = (f / self.size, f % self.size);
        (tree < self.count && place > 0).then(|| tree * self.size + (place - 1) / self.branch)
    }

    fn children(&self, f: usize) -> Range<usize> {
        let (tree, place) = (f / self.size, f % self.size);
        let first = place * self.branch + 1;
        if tree >= self.count || first >= self.size {
            return 0..0;
        }
        let start = tree * self.size + first;
        start..start + self.branch
    }
}

/// Number of features in a tree, `1 + branch + branch^2 + ...` down to the lowest level; `None` if it exceeds
/// `features`.
fn size(hierarchy: &Hierarchy, features: usize) -> Option<usize> {
    let (mut size, mut level) = (1usize, 1usize);
    for _ in 0..hierarchy.depth {
        level = level.checked_mul(hierarchy.branch)?;
        size = size.checked_add(level)?;
        if size > features {
            return None;
        }
    }
    Some(size)
}

/// Firing probabilities of all features, with the sum `l0`.
///
/// Features without a parent follow the power law. The probability of a child is its parent's times
/// `children / branch`.
fn probabilities(
    spec: &Spec,
    trees: &Trees,
    parents: &[Option<usize>],
    top: &[usize],
) -> Result<Vec<f64>> {
    let weights: Vec<f64> = (1..=top.len())
        .map(|rank| (rank as f64).powf(-spec.zipf))
        .collect();
    let is_tree = |f: &usize| f / trees.size < trees.count;
    let masses: Vec<f64> = top
        .iter()
        .map(|f| if is_tree(f) { trees.active } else { 1.0 })
        .collect();
    let most = MOST * masses.iter().sum::<f64>();
    if !(spec.l0 > 0.0 && spec.l0 <= most) {
        let expected = format!(
            "above 0 and at most {most}, the sum if each feature fires in every second row"
        );
        return Err(Error::hyper("l0", &expected, spec.l0));
    }
    let rates = rates(&weights, &masses, spec.l0);
    let share = spec.hierarchy.map_or(0.0, |h| h.children / h.branch as f64);
    let mut probabilities = vec![0.0; spec.features];
    top.iter()
        .zip(rates)
        .for_each(|(f, rate)| probabilities[*f] = rate);
    // Parents come before their children.
    for (f, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            probabilities[f] = probabilities[*parent] * share;
        }
    }
    Ok(probabilities)
}

/// Rates in proportion to descending weights, limited to [`MOST`], with `sum_r mass_r rate_r = total`.
///
/// Rates that would exceed the limit are set to it, and the other rates share the remaining total in proportion.
fn rates(weights: &[f64], masses: &[f64], total: f64) -> Vec<f64> {
    // Sum of weight times mass from each position to the end.
    let mut behind: Vec<f64> = weights.iter().zip(masses).map(|(w, m)| w * m).collect();
    for r in (1..behind.len()).rev() {
        behind[r - 1] += behind[r];
    }
    let (mut left, mut full) = (total, 0);
    while full < weights.len() && weights[full] * left > MOST * behind[full] {
        left -= MOST * masses[full];
        full += 1;
    }
    let of = |(r, weight): (usize, &f64)| {
        if r < full {
            MOST
        } else {
            weight * left / behind[full]
        }
    };
    weights.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_match_hand_worked_values() {
        // 1, 1/2, 1/4 of a total of 0.7: nothing is full.
        let rates_of = |total| rates(&[1.0, 0.5, 0.25], &[1.0, 1.0, 1.0], total);
        for (got, expected) in rates_of(0.7).iter().zip([0.4, 0.2, 0.1]) {
            assert!((got - expected).abs() < 1e-12, "{got}");
        }
        // Of 1.1 the first would have 0.63: it gets 0.5, the others 2/3 and 1/3 of the other 0.6.
        for (got, expected) in rates_of(1.1).iter().zip([0.5, 0.4, 0.2]) {
            assert!((got - expected).abs() < 1e-12, "{got}");
        }
        assert_eq!(rates_of(1.5), [0.5, 0.5, 0.5]);
        // A tree of two and a half features on average counts as that many.
        for (got, expected) in rates(&[1.0, 1.0], &[2.5, 1.0], 0.7).iter().zip([0.2, 0.2]) {
            assert!((got - expected).abs() < 1e-12, "{got}");
        }
    }

    #[test]
    fn trees_are_consecutive_and_numbered_level_by_level() {
        let spec = Spec {
            features: 16,
            l0: 1.0,
            hierarchy: Some(Hierarchy {
                depth: 2,
                branch: 2,
                children: 0.5,
                exclusive: false,
            }),
            correlation: 0.3,
            cluster: 3,
            ..Spec::default()
        };
        let s = Structure::new(&spec).unwrap();
        // Two trees of 7 and two single features.
        assert_eq!(
            &s.parents[..7],
            [None, Some(0), Some(0), Some(1), Some(1), Some(2), Some(2)]
        );
        assert_eq!(&s.parents[7..10], [None, Some(7), Some(7)]);
        assert_eq!(&s.parents[14..], [None, None]);
        assert_eq!(
            (s.children(0), s.children(2), s.children(7)),
            (1..3, 5..7, 8..10)
        );
        assert!(s.children(3).is_empty() && s.children(14).is_empty());
        for f in 0..16 {
            assert!(s.children(f).all(|child| s.parents[child] == Some(f)));
        }
        // Tops are 0, 7, 14, 15: a cluster of three and one alone.
        assert_eq!(
            (s.cluster_of(7), s.cluster_of(15)),
            (&[0, 7, 14][..], &[][..])
        );
        assert_eq!(
            (s.clusters[14], s.clusters[15], s.clusters[1]),
            (Some(0), None, None)
        );
        // 2 trees of 1 + 1/2 + 1/4 and 2 features come to 1: each top has 2/11, a child a quarter.
        let p = &s.probabilities;
        assert!((p[0] - 2.0 / 11.0).abs() < 1e-12 && (p[15] - 2.0 / 11.0).abs() < 1e-12);
        assert!((p[1] - p[0] / 4.0).abs() < 1e-12 && (p[6] - p[0] / 16.0).abs() < 1e-12);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
