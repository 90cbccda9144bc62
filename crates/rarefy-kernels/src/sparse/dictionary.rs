//! Decoder rows of length one, and gradients orthogonal to them.
//!
//! Sums are f64, so that the length of a finite row other than zero is neither 0 nor infinite, and a
//! projected gradient is orthogonal up to f32 rounding. The loops are plain: memory limits them.

use crate::cpu::kernel;
use crate::lanes::Lanes;
use crate::vector::dot_body;

kernel! {
    /// Removes the component of a gradient along a decoder row; returns the new squared norm.
    ///
    /// ```text
    /// g = g - (g . w / w . w) w          returns |g|^2
    /// ```
    ///
    /// A row that is renormalised after each step cannot move along itself. Adam would count this
    /// component in its moments, and the renormalisation would undo it.
    ///
    /// # Shapes
    /// `g`, `w`: `[d_in]`. `w` may have any length; if `w` is zero, `g` is unchanged.
    /// # Numerics
    /// Computed in f64, rounded to f32.
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
    // Only a zero row is skipped: a NaN must reach the gradient and be noticed.
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
    /// `w`: `[d_in]`; a row of zeros is unchanged.
    /// # Numerics
    /// Computed in f64, rounded to f32: `|w|` is 1 within 1e-7.
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
