//! Mixing: share of another feature in the latent of a feature.

use rarefy_kernels::vector::dot;

use super::recovery::Match;
use crate::synth::Truth;

/// Cosine of latent and feature above which the latent is about the feature. Mixing ([`mixing`]) is measured for
/// these pairs only. An equal mix of two orthogonal features has a cosine of 0.71 with both.
pub const ABOUT: f32 = 0.5;

/// Coefficients `[a, b]` of a feature and a partner in a latent: `a feature + b partner` is the nearest point to the
/// latent in their plane.
///
/// Unlike the cosine with the partner, b is 0 for a latent that equals the feature, even if feature and partner are
/// not orthogonal.
///
/// ```text
/// g = feature . partner      p = latent . feature      q = latent . partner
/// a = (p - g q) / (1 - g^2)  b = (q - g p) / (1 - g^2)
/// ```
///
/// The share of the partner is `|b| / sqrt(a^2 + b^2)`: 0 without the partner, 0.71 for equal parts, 1 without the
/// feature. Hedging (Chanin et al. 2025, arXiv:2505.11756) and absorption (Chanin et al. 2024, arXiv:2409.14507)
/// both give such a share. With absorption, the latent of the feature is also silent in those rows.
///
/// # Shapes
/// `latent`, `feature`, `partner`: `[d_in]`. The vectors are normalised first, so their lengths do not matter.
///
/// # Numerics
/// The result is `[p, 0]` if feature and partner are parallel to within 1e-6 (`1 - g^2`).
///
/// # Example
/// ```
/// use rarefy::metrics::truth::mixing;
/// // The axes: 0.6 of the one and 0.8 of the other.
/// let [a, b] = mixing(&[3.0, 4.0], &[1.0, 0.0], &[0.0, 1.0]);
/// assert!((a - 0.6).abs() < 1e-6 && (b - 0.8).abs() < 1e-6);
/// // The feature itself, beside a partner with which it has a cosine of 0.6.
/// let [a, b] = mixing(&[5.0, 0.0], &[1.0, 0.0], &[0.6, 0.8]);
/// assert!((a - 1.0).abs() < 1e-6 && b.abs() < 1e-6);
/// ```
pub fn mixing(latent: &[f32], feature: &[f32], partner: &[f32]) -> [f64; 2] {
    let cosine = |a: &[f32], b: &[f32]| {
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        if lengths > 0.0 {
            dot(a, b) / lengths
        } else {
            0.0
        }
    };
    let (g, p, q) = (
        cosine(feature, partner),
        cosine(latent, feature),
        cosine(latent, partner),
    );
    let rest = 1.0 - g * g;
    if rest < 1e-6 {
        return [p, 0.0];
    }
    [(p - g * q) / rest, (q - g * p) / rest]
}

/// Decoder rows and feature directions in the space of preprocessed rows.
pub(super) struct Mixed<'a> {
    pub(super) w_dec: &'a [f32],
    pub(super) directions: &'a [f32],
    pub(super) d_in: usize,
}

impl Mixed<'_> {
    /// Share of a partner in the latent of a pair, by [`mixing`].
    pub(super) fn share(&self, pair: &Match, partner: usize) -> f64 {
        let direction = |f: usize| &self.directions[f * self.d_in..][..self.d_in];
        let latent = &self.w_dec[pair.latent * self.d_in..][..self.d_in];
        let [a, b] = mixing(latent, direction(pair.feature), direction(partner));
        let both = a.hypot(b);
        if both > 0.0 { b.abs() / both } else { 0.0 }
    }

    /// Largest share of any partner; `None` if the feature has no partner or the cosine is at most [`ABOUT`].
    pub(super) fn hedging(&self, truth: &Truth, pair: &Match) -> Option<f64> {
        let shares = truth
            .partners(pair.feature)
            .map(|partner| self.share(pair, partner));
        shares.reduce(f64::max).filter(|_| is_about(pair))
    }
}

/// True if the latent of the pair is about its feature.
pub(super) fn is_about(pair: &Match) -> bool {
    pair.cosine.abs() > ABOUT
}
