//! Rules that decide which latents of a row are active.

/// Which latents of a row are active, by its pre-activations.
///
/// The others are 0. Every selection is exact: it is that of computing all pre-activations, in f32 in the
/// order of [`pre_activations`](rarefy_kernels::screen::pre_activations), and sorting them.
///
/// # Panics
/// [`Encoder::encode`] panics if there are not as many bounds as latents, or they cannot be cut into so many
/// groups.
/// # Example
/// ```
/// use rarefy::codes::Codes;
/// use rarefy::engine::{Encoder, Selection};
/// use rarefy::params::{Layout, Params};
/// // Pre-activations are the row itself.
/// let mut params = Params::zeros(&Layout::new(&[("w_enc", 4, 4), ("b_enc", 1, 4)]));
/// (0..4).for_each(|j| params.get_mut("w_enc")[5 * j] = 1.0);
/// let encoder = Encoder::new(&params);
/// let selected = |selection: Selection| {
///     let mut codes = Codes::new(4);
///     encoder.encode_as_is(&params, &[1.0, -4.0, 3.0, 2.0], selection, &mut codes);
///     codes.to_dense()
/// };
/// assert_eq!(selected(Selection::Row(2)), [0.0, 0.0, 3.0, 2.0]);
/// assert_eq!(selected(Selection::Groups { groups: 2, k: 1 }), [1.0, 0.0, 3.0, 0.0]);
/// assert_eq!(selected(Selection::Magnitude(2)), [0.0, -4.0, 3.0, 0.0]);
/// assert_eq!(selected(Selection::Batch(3.0)), [1.0, 0.0, 3.0, 2.0]);
/// assert_eq!(selected(Selection::Above(1.0)), [0.0, 0.0, 3.0, 2.0]);
/// assert_eq!(selected(Selection::Each(&[0.5, -5.0, 3.0, 0.0])), [1.0, -4.0, 0.0, 2.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Selection<'a> {
    /// The k largest positive pre-activations of each row; of equal ones the lower latents.
    Row(usize),
    /// The k largest positive ones of each group of each row; of equal ones the lower latents.
    Groups {
        /// Equal groups of neighbouring latents; the number of latents is a multiple of it.
        groups: usize,
        /// Latents that a group keeps, at most.
        k: usize,
    },
    /// The k of each row that are largest by absolute value, with their signs, zeros never; of equal ones
    /// the lower latents.
    Magnitude(usize),
    /// The `floor(n k)` largest positive ones of all n rows together; of equal ones the earlier rows,
    /// in them the lower latents.
    Batch(f64),
    /// All strictly above a threshold, of any sign.
    Above(f32),
    /// All strictly above the latent's own threshold, of any sign, `[d_sae]`.
    Each(&'a [f32]),
}

impl Selection<'_> {
    #[track_caller]
    pub(super) fn check(self, d_sae: usize) {
        match self {
            Self::Groups { groups, .. } => assert!(
                groups > 0 && d_sae.is_multiple_of(groups),
                "{d_sae} latents cannot be cut into {groups} equal groups"
            ),
            Self::Each(bounds) => assert!(
                bounds.len() == d_sae,
                "each of the {d_sae} latents needs its own bound, got {} bounds",
                bounds.len()
            ),
            Self::Row(_) | Self::Magnitude(_) | Self::Batch(_) | Self::Above(_) => {}
        }
    }
}
