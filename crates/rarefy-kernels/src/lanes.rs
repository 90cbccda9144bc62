//! Vectors of sixteen f32 in the registers of each CPU path, for kernels with long chains of operations.
//!
//! The compiler vectorises plain loops well if a value takes a few operations (`vector.rs`). With a long
//! chain (an exponential, a division) and f64 sums in the loop, it uses half registers. Twice as many
//! instructions then fill the scheduler before one chain ends. A loop of sixteen that is split in two may
//! not be vectorised at all.
//!
//! Measured on Zen 4, AVX-512, one core, in ns a value: plain loops along rows -> these vectors down
//! strips of columns (`strips.rs`):
//!
//! | rows x columns | sigmoid decoder and loss | sigmoid encoder and sums | backward |
//! |---|---|---|---|
//! | 600 x 64 | 1.07 -> 0.63 | 1.09 -> 0.67 | 0.20 -> 0.13 |
//! | 600 x 25 | 1.67 -> 0.69 | 1.30 -> 0.75 | 0.26 -> 0.17 |
//! | 240 x 784 | 0.92 -> 0.71 | 0.96 -> 0.72 | 0.21 -> 0.15 |

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::{Add, Div, Mul, Sub};

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Number of values in a vector, on each path.
pub(crate) const LANES: usize = 16;

/// Operations on the registers of a CPU path.
///
/// The methods are safe only in code compiled for the path's instructions. Only the `kernel!` macro
/// names a path, in functions compiled for its instructions.
pub(crate) trait Lanes: Copy {
    /// True if the path has fused multiply-add.
    const FMA: bool;
    /// Vector of sixteen f32.
    type F: Copy;
    /// Vector of sixteen f64.
    type D: Copy;

    fn splat(value: f32) -> Self::F;
    fn load(from: &[f32; LANES]) -> Self::F;
    fn store(value: Self::F, to: &mut [f32; LANES]);
    fn add(a: Self::F, b: Self::F) -> Self::F;
    fn sub(a: Self::F, b: Self::F) -> Self::F;
    fn mul(a: Self::F, b: Self::F) -> Self::F;
    fn div(a: Self::F, b: Self::F) -> Self::F;
    /// Reciprocal `1 / x` of a normal positive x, within 1 unit in the last place; NaN for NaN.
    #[inline(always)]
    fn reciprocal(x: Self::F) -> Self::F {
        Self::div(Self::splat(1.0), x)
    }
    /// Multiply-add `a b + c`, fused if the path has it.
    fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Larger of `low` and `x`; NaN if `x` is NaN.
    fn at_least(low: Self::F, x: Self::F) -> Self::F;
    fn abs(x: Self::F) -> Self::F;
    /// Selection: `a` in lanes with `x >= 0`, else `b`.
    fn where_positive(x: Self::F, a: Self::F, b: Self::F) -> Self::F;
    /// Power `2^n` of an integer n in the low bits of `x`: bits shifted left by 23, plus the bits of 1.0.
    fn power_of_two(x: Self::F) -> Self::F;
    fn from_i32(from: &[i32; LANES]) -> Self::F;
    /// Bit mask of the lanes without `a <= b`, which includes lanes with NaN.
    fn not_at_most(a: Self::F, b: Self::F) -> u32;
    /// Writes the lanes of `mask` (16 bits) side by side, in order; what follows them is arbitrary.
    #[inline(always)]
    fn compress(value: Self::F, mask: u32, to: &mut [f32; LANES]) {
        let mut all = [0.0; LANES];
        Self::store(value, &mut all);
        let (mut rest, mut count) = (mask, 0);
        while rest != 0 {
            to[count] = all[rest.trailing_zeros() as usize];
            (rest, count) = (rest & (rest - 1), count + 1);
        }
    }
    /// Writes `first + lane` for the lanes of `mask`, as [`Lanes::compress`] does.
    #[inline(always)]
    fn numbers(first: u32, mask: u32, to: &mut [u32; LANES]) {
        let (mut rest, mut count) = (mask, 0);
        while rest != 0 {
            to[count] = first + rest.trailing_zeros();
            (rest, count) = (rest & (rest - 1), count + 1);
        }
    }
    fn zero_sums() -> Self::D;
    fn add_to_sums(sums: Self::D, x: Self::F) -> Self::D;
    fn sums(sums: Self::D) -> [f64; LANES];
    /// Sum of each of four vectors. Numbers are added pairwise, in the same order on each path: those 8 places apart, then
    /// 4, 2 and 1.
    #[inline(always)]
    fn four_sums(vectors: [Self::F; 4]) -> [f32; 4] {
        vectors.map(|vector| {
            let mut sums = [0.0; LANES];
            Self::store(vector, &mut sums);
            for width in [8, 4, 2, 1] {
                for j in 0..width {
                    sums[j] += sums[j + width];
                }
            }
            sums[0]
        })
    }
}

/// Vector of sixteen f32 with operators.
#[derive(Clone, Copy)]
pub(crate) struct V<L: Lanes>(pub(crate) L::F);

impl<L: Lanes> V<L> {
    #[inline(always)]
    pub(crate) fn splat(value: f32) -> Self {
        Self(L::splat(value))
    }

    /// Multiply-add `self b + c`, fused if the path has it.
    #[inline(always)]
    pub(crate) fn mul_add(self, b: Self, c: Self) -> Self {
        Self(L::mul_add(self.0, b.0, c.0))
    }

    #[inline(always)]
    pub(crate) fn reciprocal(self) -> Self {
        Self(L::reciprocal(self.0))
    }

    #[inline(always)]
    pub(crate) fn abs(self) -> Self {
        Self(L::abs(self.0))
    }

    /// Selection: `a` in lanes with `self >= 0`, else `b`.
    #[inline(always)]
    pub(crate) fn where_positive(self, a: Self, b: Self) -> Self {
        Self(L::where_positive(self.0, a.0, b.0))
    }

    /// Loads `count` values at an index, followed by zeros.
    #[inline(always)]
    pub(crate) fn load(values: &[f32], at: usize, count: usize) -> Self {
        if let Some(whole) = values[at..at + count].first_chunk() {
            return Self(L::load(whole));
        }
        let mut padded = [0.0; LANES];
        padded[..count].copy_from_slice(&values[at..at + count]);
        Self(L::load(&padded))
    }

    /// Stores the first `count` values at an index.
    #[inline(always)]
    pub(crate) fn store(self, values: &mut [f32], at: usize, count: usize) {
        if let Some(whole) = values[at..at + count].first_chunk_mut() {
            return L::store(self.0, whole);
        }
        values[at..at + count].copy_from_slice(&self.to_array()[..count]);
    }

    #[inline(always)]
    pub(crate) fn to_array(self) -> [f32; LANES] {
        let mut array = [0.0; LANES];
        L::store(self.0, &mut array);
        array
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl<L: Lanes> $trait for V<L> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(L::$method(self.0, other.0))
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);
