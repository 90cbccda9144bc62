//! Synthetic data with a known sparse dictionary, for testing what trained models recover.
//!
//! ```text
//! x_i = b + sum_f c_if d_f + noise e_i          |d_f| = 1, |b| = centre, e_i normal
//! c_if = a magnitude of mean 1 if feature f fires in row i, else 0
//! ```
//!
//! A *feature* is a direction of the known dictionary; a *latent* is learned by a model. Each feature fires with
//! its own probability ([`Truth::probabilities`]). Features fire together in clusters ([`Spec::correlation`]) and
//! trees ([`Hierarchy`]).
//!
//! Row i depends on the seed and i only: not on the number of threads, on earlier draws or on the number of rows.
//! So the rows after the training rows are fresh test rows of the same dictionary, and need no file.

mod apart;
mod clusters;
mod draw;
mod factors;
mod file;
mod random;
mod structure;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use clusters::Clusters;
use factors::Factors;

pub use draw::{BLOCK, Sample};
pub use factors::FactorSpec;
pub use file::is_truth;

/// Maximum number of values of all directions: 16 GiB of `f32`.
const MOST_VALUES: usize = 1 << 32;

/// Specification of synthetic data: dictionary, firing and noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Number of values in a row.
    pub d_in: usize,
    /// Number of features (directions of the dictionary).
    pub features: usize,
    /// Mean number of features that fire in a row.
    pub l0: f64,
    /// Exponent s of a power law of firing rates, from 0 to 4. Of the features without a parent, the r-th (from 1)
    /// fires in proportion to `r^-s`, in every second row at most. With 0 all rates are equal.
    pub zipf: f64,
    /// Correlation of firing within a cluster, from 0 to 1:
    ///
    /// ```text
    /// cov(f fires, g fires) = correlation (min(p_f, p_g) - p_f p_g)
    /// ```
    ///
    /// The value is the share of the largest possible covariance. For features of equal probability it is the
    /// correlation coefficient. The firing rate of each feature does not change.
    pub correlation: f64,
    /// Number of features in a cluster. Clusters consist of neighbours among the features without a parent.
    pub cluster: usize,
    /// Trees of features in which a child fires only if its parent fires; `None` for independent features.
    pub hierarchy: Option<Hierarchy>,
    /// Arrangement of the directions.
    pub directions: Directions,
    /// Distribution of the magnitude of a firing feature.
    pub magnitudes: Magnitudes,
    /// Standard deviation of the noise on each value.
    pub noise: f64,
    /// Length of the constant offset `b` of all rows, whose direction is random.
    pub centre: f64,
    /// Seed of the directions and the rows.
    pub seed: u64,
}

/// Trees of features: a child fires only in rows in which its parent does.
///
/// The first features form complete trees, one after the other. Within a tree, features are numbered level by level
/// from the top, so that the children of a feature are neighbours. The remaining features, fewer than a tree, are
/// single.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hierarchy {
    /// Number of levels below the top.
    pub depth: usize,
    /// Number of children of each feature above the lowest level.
    pub branch: usize,
    /// Mean number of children that fire when their parent fires. Each child fires with probability
    /// `children / branch`.
    pub children: f64,
    /// True if at most one child of a feature fires in a row.
    pub exclusive: bool,
}

/// Arrangement of the directions of a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Directions {
    /// Independent directions, uniform on the unit sphere.
    Random,
    /// Pairwise orthogonal directions; requires `features <= d_in`.
    Orthogonal,
}

/// Distribution of the magnitude of a firing feature; the mean is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Magnitudes {
    /// Constant magnitude 1.
    Constant,
    /// Uniform distribution on [1/2, 3/2].
    Uniform,
    /// Half-normal distribution: `sqrt(pi / 2) |e|` with a standard normal e.
    HalfNormal,
    /// Exponential distribution: `-ln(1 - u)` with a uniform u.
    Exponential,
}

impl Default for Spec {
    /// Specification of 256 independent features in 64 dimensions with equal rates, of which 8 fire in a row on
    /// average, without noise.
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
    /// Checks the ranges of all fields.
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
                "`features` = {} cannot be orthogonal in `d_in` = {} dimensions; use random `directions`",
                self.features, self.d_in
            )));
        }
        // With 4, the second feature fires 16 times less often than the first. The last of a million features still
        // has a probability above 0.
        within("zipf", self.zipf, 4.0)?;
        within("correlation", self.correlation, 1.0)?;
        within("noise", self.noise, f64::MAX)?;
        within("centre", self.centre, f64::MAX)?;
        self.hierarchy.as_ref().map_or(Ok(()), Hierarchy::check)
    }
}

impl Hierarchy {
    /// Checks the ranges of all fields.
    fn check(&self) -> Result<()> {
        count("hierarchy.depth", self.depth, 1)?;
        count("hierarchy.branch", self.branch, 1)?;
        let (most, of) = if self.exclusive {
            (1, "child that fires at a time")
        } else {
            (self.branch, "children of a feature")
        };
        if self.children > 0.0 && self.children <= most as f64 {
            return Ok(());
        }
        let expected = format!("above 0 and at most the {most} {of}");
        Err(Error::hyper("hierarchy.children", &expected, self.children))
    }
}

/// Checks that a count is at least `least`.
fn count(name: &str, got: usize, least: usize) -> Result<()> {
    if got >= least {
        return Ok(());
    }
    Err(Error::hyper(name, &format!("at least {least}"), got))
}

/// Checks that a number is in [0, most]; `f64::MAX` for no upper limit.
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

/// Known dictionary (ground truth) of synthetic data, from which rows are drawn.
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
    process: Process,
    directions: Vec<f32>,
    bias: Vec<f32>,
}

/// Process that lets features fire.
#[derive(Debug, Clone, PartialEq)]
enum Process {
    Clusters(Box<Clusters>),
    Factors(Box<Factors>),
}

impl Truth {
    /// Creates the dictionary of a specification.
    ///
    /// # Errors
    /// [`Error::Hyper`] for a field outside its range; [`Error::Conflict`] for more orthogonal directions than
    /// dimensions.
    pub fn new(spec: &Spec) -> Result<Self> {
        let process = Process::Clusters(Box::new(Clusters::new(spec)?));
        let mut rng = random::dictionary(spec.seed);
        let directions = random::directions(spec, &mut rng)?;
        Ok(Self::with_bias(
            process,
            directions,
            spec.d_in,
            spec.centre,
            &mut rng,
        ))
    }

    /// Creates the dictionary of features that few factors drive. For [`FactorSpec::synth_sae_bench_16k`] this takes half a
    /// minute on two cores, because its directions are turned away from each other.
    ///
    /// # Errors
    /// [`Error::Hyper`] or [`Error::Conflict`] for a field outside its range.
    ///
    /// # Example
    /// ```
    /// use rarefy::synth::{FactorSpec, Truth};
    /// let spec = FactorSpec { d_in: 32, features: 84, trees: 4, apart_steps: 10, ..FactorSpec::synth_sae_bench_16k() };
    /// let truth = Truth::of_factors(&spec)?;
    /// // Four tops, 16 children, 64 children of these; then features outside the trees.
    /// assert_eq!([0, 4, 7, 20, 83].map(|f| truth.parents()[f]), [None, Some(0), Some(0), Some(4), Some(19)]);
    /// assert!((truth.probabilities()[0] - 0.4).abs() < 1e-12 && (truth.probabilities()[83] - 5e-4).abs() < 1e-12);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn of_factors(spec: &FactorSpec) -> Result<Self> {
        let process = Process::Factors(Box::new(Factors::new(spec)?));
        let mut rng = random::dictionary(spec.seed);
        let unit = |_| random::unit(spec.d_in, &mut rng);
        let mut directions: Vec<f32> = (0..spec.features)
            .flat_map(unit)
            .map(|d| d as f32)
            .collect();
        apart::turn(
            &mut directions,
            spec.d_in,
            spec.apart_steps,
            spec.apart_rate,
        );
        Ok(Self::with_bias(
            process,
            directions,
            spec.d_in,
            spec.centre,
            &mut rng,
        ))
    }

    /// Draws the direction of the offset of all rows.
    fn with_bias(
        process: Process,
        directions: Vec<f32>,
        d_in: usize,
        centre: f64,
        rng: &mut crate::Rng,
    ) -> Self {
        let bias = random::unit(d_in, rng);
        Self {
            process,
            directions,
            bias: bias.iter().map(|b| (b * centre) as f32).collect(),
        }
    }

    /// Specification of clusters; `None` for features that factors drive.
    pub fn spec(&self) -> Option<&Spec> {
        match &self.process {
            Process::Clusters(clusters) => Some(&clusters.spec),
            Process::Factors(_) => None,
        }
    }

    /// Number of values in a row.
    pub fn d_in(&self) -> usize {
        self.bias.len()
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.directions.len() / self.d_in()
    }

    /// Seed of the directions and the rows.
    fn seed(&self) -> u64 {
        match &self.process {
            Process::Clusters(clusters) => clusters.spec.seed,
            Process::Factors(factors) => factors.spec.seed,
        }
    }

    /// Unit vector of each feature, `[features, d_in]`.
    pub fn directions(&self) -> &[f32] {
        &self.directions
    }

    /// Constant offset `b` of all rows, `[d_in]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Firing probability of each feature, `[features]`. With a [`Spec`] the sum is [`Spec::l0`]; with a [`FactorSpec`] features fire
    /// about as often as these rates say.
    pub fn probabilities(&self) -> &[f64] {
        match &self.process {
            Process::Clusters(clusters) => &clusters.structure.probabilities,
            Process::Factors(factors) => &factors.rates,
        }
    }

    /// Parent of each feature, `[features]`: a feature with a lower number; `None` for features without a parent.
    pub fn parents(&self) -> &[Option<usize>] {
        match &self.process {
            Process::Clusters(clusters) => &clusters.structure.parents,
            Process::Factors(factors) => &factors.parents,
        }
    }

    /// Number of the cluster of a feature; `None` for features outside clusters.
    pub fn cluster(&self, f: usize) -> Option<usize> {
        match &self.process {
            Process::Clusters(clusters) => clusters.structure.clusters[f],
            Process::Factors(_) => None,
        }
    }

    /// Partners of feature f: the other features of its cluster and its children.
    ///
    /// Partners fire together with f more often than by chance, so a model may learn their sum.
    pub fn partners(&self, f: usize) -> impl Iterator<Item = usize> {
        let (same, children) = match &self.process {
            Process::Clusters(clusters) => {
                let structure = &clusters.structure;
                (structure.cluster_of(f), structure.children(f))
            }
            Process::Factors(factors) => (&[][..], factors.children(f)),
        };
        let same = same.iter().copied();
        same.filter(move |g| *g != f).chain(children)
    }
}

/// Easy dictionary for tests, which every architecture should recover: 32 features in 24 dimensions.
///
/// On average 2 features fire in a row, independently, with similar magnitudes and without noise. Models with 48
/// latents recover all features. With 32 latents, or with 3 features in a row, one or two latents of a `TopK`
/// model end between two features.
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
    Truth::new(&spec).expect("the specification is valid")
}

#[cfg(test)]
mod tests;
