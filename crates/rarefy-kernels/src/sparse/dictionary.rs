//! Keeping a latent's direction at length one, and its gradient across it.
//!
//! f64 inside: rows of any finite size have a length that is neither 0 nor infinite, and a projected
//! gradient stays across the direction to f32 rounding. Plain loops: they wait for memory.

use crate::cpu::kernel;
use crate::lanes::Lanes;
use crate::vector::dot_body;

kernel! {
    /// Removes a gradient's part along a direction; returns the square of what is left.
    ///
    /// ```text
    /// g = g - (g . w / w . w) w          returns |g|^2
    /// ```
    ///
    /// A direction that is renormalised after each step must not be pushed along itself: Adam would
    /// count those pushes in its moments and the renormalisation would throw them away.
    ///
    /// # Shapes
    /// `g`, `w`: `[d_in]`. `w` may have any length; where it is zero, `g` stays.
    /// # Numerics
    /// f64 inside, results rounded to f32.
    /// # Source
    /// Bricken et al. 2023, *Towards monosemanticity*.
    /// # Example
    /// ```
    /// use rarefy_kernels::sparse::project_row;
    ///
    /// let mut g = [3.0, 5.0];
    /// assert_eq!(project_row(&mut g, &[2.0, 0.0]), 25.0);
    /// assert_eq!(g, [0.0, 5.0]);
    /// ```
    pub fn project_row / project_row_on(g: &mut [f32], w: &[f32]) -> f64 = project
}

#[inline(always)]
fn project<L: Lanes>(g: &mut [f32], w: &[f32]) -> f64 {
    let square = dot_body::<L>(w, w);
    // Only a zero row: one with a NaN goes on, and shows.
    if square != 0.0 {
        let along = dot_body::<L>(g, w) / square;
        for (g, w) in g.iter_mut().zip(w) {
            *g = (f64::from(*g) - along * f64::from(*w)) as f32;
        }
    }
    dot_body::<L>(g, g)
}

kernel! {
    /// Scales a row to length one.
    ///
    /// ```text
    /// w = w / |w|
    /// ```
    ///
    /// # Shapes
    /// `w`: `[d_in]`; a row of zeros stays.
    /// # Numerics
    /// f64 inside, results rounded to f32: `|w|` is 1 within 1e-7.
    /// # Example
    /// ```
    /// use rarefy_kernels::sparse::normalise_row;
    ///
    /// let mut w = [3.0, -4.0];
    /// normalise_row(&mut w);
    /// assert_eq!(w, [0.6, -0.8]);
    /// ```
    pub fn normalise_row / normalise_row_on(w: &mut [f32]) = normalise
}

#[inline(always)]
fn normalise<L: Lanes>(w: &mut [f32]) {
    let square = dot_body::<L>(w, w);
    if square != 0.0 {
        let factor = 1.0 / square.sqrt();
        for w in w.iter_mut() {
            *w = (f64::from(*w) * factor) as f32;
        }
    }
}
