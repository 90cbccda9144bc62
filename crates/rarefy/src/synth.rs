//! Data whose answer is known: rows made of a sparse dictionary, to hold trained models against.
//!
//! ```text
//! x_i = b + sum_f c_if d_f + noise e_i          |d_f| = 1, |b| = centre, e_i normal
//! c_if = a magnitude of mean 1 if feature f fires in row i, else 0
//! ```
//!
//! A *feature* is a direction of the truth; what a model has learned is a *latent*. Each feature
//! fires with a probability of its own ([`Truth::probabilities`]), and which fire together is known:
//! clusters ([`Spec::correlation`]) and trees ([`Hierarchy`]).
//!
//! Row i depends on the seed and i alone: not on the number of threads, not on which rows were drawn
//! before, not on how many there will be. So the rows behind those that a model was trained on are
//! fresh rows of the same truth, and no file of them is needed.

mod draw;
mod file;
mod random;
mod structure;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use structure::Structure;

pub use draw::{BLOCK, Sample};
pub use file::is_truth;

/// Values of all directions together, at most: 16 GiB of f32.
const MOST_VALUES: usize = 1 << 32;

/// What a truth is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Values in a row.
    pub d_in: usize,
    /// Directions of the dictionary.
    pub features: usize,
    /// Mean number of features that fire in a row.
    pub l0: f64,
    /// Exponent s of a power law: of the features that are nobody's child the r-th, from 1, fires in
    /// proportion to `r^-s`, at most in every second row. 0 for all alike.
    pub zipf: f64,
    /// How much the features of a cluster fire together, from 0 to 1:
    ///
    /// ```text
    /// cov(f fires, g fires) = correlation (min(p_f, p_g) - p_f p_g)
    /// ```
    ///
    /// which is that share of the most that their probabilities allow. Between features of equal
    /// probability it is their coefficient of correlation. How often each fires does not change.
    pub correlation: f64,
    /// Features of a cluster: neighbours among those that are nobody's child.
    pub cluster: usize,
    /// Features that fire only where another does.
    pub hierarchy: Option<Hierarchy>,
    /// How the directions lie.
    pub directions: Directions,
    /// How strongly a feature fires.
    pub magnitudes: Magnitudes,
    /// Standard deviation of the noise on each value.
    pub noise: f64,
    /// Length of the constant `b` that every row has, in a random direction.
    pub centre: f64,
    /// Seed of the directions and the rows.
    pub seed: u64,
}

/// Trees of features: a child fires only in rows in which its parent does.
///
/// The first features are trees one after the other, each from the top level by level, so that the
/// children of a feature are neighbours. What is left over, less than a tree, is single features.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hierarchy {
    /// Levels below the top.
    pub depth: usize,
    /// Children of each feature that is not on the lowest level.
    pub branch: usize,
    /// Mean number of children that fire where their parent does: each with `children / branch`.
    pub children: f64,
    /// Whether at most one child of a feature fires at a time.
    pub exclusive: bool,
}

/// How the directions of a dictionary lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Directions {
    /// Each by itself, evenly over the sphere.
    Random,
    /// At right angles; no more of them than values in a row.
    Orthogonal,
}

/// How strongly a feature fires where it fires; always 1 on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Magnitudes {
    /// Always 1.
    Constant,
    /// Evenly between 1/2 and 3/2.
    Uniform,
    /// The size of a normal number, `sqrt(pi / 2) |e|`: often weak, seldom strong.
    HalfNormal,
    /// `-ln(1 - u)`: weaker more often, strong more often.
    Exponential,
}

impl Default for Spec {
    /// 256 features in 64 dimensions, 8 of them in a row, all alike and independent, no noise.
    fn default() -> Self {
        Self {
            d_in: 64,
            features: 256,
            l0: 8.0,
            zipf: 0.0,
            correlation: 0.0,
            cluster: 8,
            hierarchy: None,
            directions: Directions::Random,
            magnitudes: Magnitudes::HalfNormal,
            noise: 0.0,
            centre: 0.0,
            seed: 0,
        }
    }
}

impl Spec {
    /// Refuses numbers that are no dictionary.
    fn check(&self) -> Result<()> {
        count("d_in", self.d_in, 1)?;
        count("features", self.features, 1)?;
        count("cluster", self.cluster, 2)?;
        let most = MOST_VALUES / self.d_in;
        if self.features > most {
            let expected = format!("at most {most} for rows of {}", self.d_in);
            return Err(Error::hyper("features", &expected, self.features));
        }
        if self.directions == Directions::Orthogonal && self.features > self.d_in {
            return Err(Error::Conflict(format!(
                "{} features cannot be orthogonal in {} dimensions; take random directions",
                self.features, self.d_in
            )));
        }
        // With 4, the second feature fires in a 16th as many rows as the first: that is enough, and
        // far from where the last of a million would have no probability at all.
        within("zipf", self.zipf, 4.0)?;
        within("correlation", self.correlation, 1.0)?;
        within("noise", self.noise, f64::MAX)?;
        within("centre", self.centre, f64::MAX)?;
        self.hierarchy.as_ref().map_or(Ok(()), Hierarchy::check)
    }
}

impl Hierarchy {
    fn check(&self) -> Result<()> {
        count("depth", self.depth, 1)?;
        count("branch", self.branch, 1)?;
        let (most, of) = if self.exclusive {
            (1, "that fires at a time")
        } else {
            (self.branch, "that there are")
        };
        if self.children > 0.0 && self.children <= most as f64 {
            return Ok(());
        }
        let expected = format!("above 0 and at most the {most} {of}");
        Err(Error::hyper("children", &expected, self.children))
    }
}

fn count(name: &str, got: usize, least: usize) -> Result<()> {
    if got >= least {
        return Ok(());
    }
    Err(Error::hyper(name, &format!("at least {least}"), got))
}

/// A number from 0 to `most`, which may be all that there are.
fn within(name: &str, got: f64, most: f64) -> Result<()> {
    if (0.0..=most).contains(&got) {
        return Ok(());
    }
    let expected = if most == f64::MAX {
        "a finite number not below 0".to_owned()
    } else {
        format!("in [0, {most}]")
    };
    Err(Error::hyper(name, &expected, got))
}

/// A dictionary, and how rows come of it.
///
/// # Example
/// ```
/// use rarefy::synth::{Directions, Magnitudes, Spec, Truth};
/// let truth = Truth::new(&Spec {
///     d_in: 2,
///     features: 2,
///     l0: 1.0,
///     directions: Directions::Orthogonal,
///     magnitudes: Magnitudes::Constant,
///     ..Spec::default()
/// })?;
/// assert_eq!(truth.probabilities(), [0.5, 0.5]);
/// // A row is the sum of the directions that fire in it: of length 0, 1 or sqrt(2).
/// let sample = truth.draw(0..1000);
/// for (row, ends) in sample.x.chunks_exact(2).zip(sample.codes.offsets.windows(2)) {
///     let square: f32 = row.iter().map(|x| x * x).sum();
///     assert!((square - (ends[1] - ends[0]) as f32).abs() < 1e-5);
/// }
/// # Ok::<(), rarefy::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    spec: Spec,
    structure: Structure,
    directions: Vec<f32>,
    bias: Vec<f32>,
}

impl Truth {
    /// The truth of a specification.
    ///
    /// # Errors
    /// [`Error::Hyper`] or [`Error::Conflict`] for numbers that are no dictionary.
    pub fn new(spec: &Spec) -> Result<Self> {
        let structure = Structure::new(spec)?;
        let mut rng = random::dictionary(spec.seed);
        let directions = random::directions(spec, &mut rng)?;
        let bias = random::unit(spec.d_in, &mut rng);
        Ok(Self {
            spec: spec.clone(),
            structure,
            directions,
            bias: bias.iter().map(|b| (b * spec.centre) as f32).collect(),
        })
    }

    /// What it is made of.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// One unit vector a feature, `[features, d_in]`.
    pub fn directions(&self) -> &[f32] {
        &self.directions
    }

    /// What every row has, `[d_in]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// The share of rows in which each feature fires, `[features]`; their sum is the specification's
    /// `l0`.
    pub fn probabilities(&self) -> &[f64] {
        &self.structure.probabilities
    }

    /// The feature without which each does not fire, if there is one; always an earlier one.
    pub fn parents(&self) -> &[Option<usize>] {
        &self.structure.parents
    }

    /// The number of the cluster of each feature, if it is in one.
    pub fn clusters(&self) -> &[Option<usize>] {
        &self.structure.clusters
    }

    /// The features that fire with feature f more often than by chance, for which a model may take
    /// their sum: the others of its cluster, and its children.
    pub fn partners(&self, f: usize) -> impl Iterator<Item = usize> {
        let same = self.structure.cluster_of(f).iter().copied();
        same.filter(move |g| *g != f)
            .chain(self.structure.children(f))
    }

    /// A feature's direction.
    fn direction(&self, f: usize) -> &[f32] {
        &self.directions[f * self.spec.d_in..][..self.spec.d_in]
    }
}

/// A dictionary that every architecture should find, for tests: 32 features in 24 dimensions, of
/// which 2 fire in a row, independently and about equally strongly, without noise.
///
/// Half again as many latents help: with 32 of them one or two of `TopK`'s come to lie between two
/// features, as they do with 3 features in a row.
///
/// # Example
/// ```
/// let truth = rarefy::synth::easy(0);
/// let sample = truth.draw(0..1000);
/// assert_eq!((sample.x.len(), sample.codes.d_sae), (1000 * 24, 32));
/// ```
pub fn easy(seed: u64) -> Truth {
    let spec = Spec {
        d_in: 24,
        features: 32,
        l0: 2.0,
        magnitudes: Magnitudes::Uniform,
        seed,
        ..Spec::default()
    };
    Truth::new(&spec).expect("these numbers are a dictionary")
}

#[cfg(test)]
mod tests;
