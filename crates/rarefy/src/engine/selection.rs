//! Rules that decide which latents of a row are active.

/// Rule that selects the active latents of each row by their pre-activations.
///
/// All other latents are 0. Every selection is exact: the result equals computing all pre-activations in `f32`, in
/// the order of [`pre_activations`](rarefy_kernels::screen::pre_activations), and sorting them.
///
/// # Panics
/// [`Encoder::encode`](super::Encoder::encode) panics if the number of thresholds is not the number of latents, or
/// the number of latents is not a multiple of the number of groups.
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
    /// The k largest positive pre-activations of each row (`TopK`). Ties go to lower latents.
    Row(usize),
    /// The k largest positive pre-activations of each group of latents, in each row. Ties go to lower latents.
    Groups {
        /// Number of groups, each of equally many neighbouring latents. Must divide the number of latents.
        groups: usize,
        /// Maximum number of active latents in a group.
        k: usize,
    },
    /// The k pre-activations of each row with the largest absolute values, with their signs and without zeros.
    /// Ties go to lower latents.
    Magnitude(usize),
    /// The `floor(n k)` largest positive pre-activations of all n rows together (`BatchTopK`). Ties go to earlier
    /// rows, then to lower latents.
    Batch(f64),
    /// All pre-activations strictly above one threshold, which may be negative.
    Above(f32),
    /// All pre-activations strictly above the threshold of their latent, `[d_sae]`; thresholds may be negative.
    Each(&'a [f32]),
}

impl Selection<'_> {
    /// Panics if the selection does not fit `d_sae` latents.
    #[track_caller]
    pub(super) fn check(self, d_sae: usize) {
        match self {
            Self::Groups { groups, .. } => assert!(
                groups > 0 && d_sae.is_multiple_of(groups),
                "{d_sae} latents cannot be split into {groups} equal groups"
            ),
            Self::Each(bounds) => assert!(
                bounds.len() == d_sae,
                "expected one threshold for each of the {d_sae} latents, got {} thresholds",
                bounds.len()
            ),
            Self::Row(_) | Self::Magnitude(_) | Self::Batch(_) | Self::Above(_) => {}
        }
    }
}
