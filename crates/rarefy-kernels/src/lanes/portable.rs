//! Vectors as arrays, for any target.

use std::cmp::Ordering;

use super::{LANES, Lanes};

/// Vector of sixteen numbers in an array.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

impl Lanes for Portable {
    // On plain x86-64 a fused multiply-add is a slow library call; the other targets have it in their
    // base instructions.
    const FMA: bool = cfg!(not(target_arch = "x86_64"));
    type F = [f32; LANES];
    type D = [f64; LANES];

    #[inline(always)]
    fn splat(value: f32) -> Self::F {
        [value; LANES]
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn store(value: Self::F, to: &mut [f32; LANES]) {
        *to = value;
    }
    #[inline(always)]
    fn add(a: Self::F, b: Self::F) -> Self::F {
        each(|j| a[j] + b[j])
    }
    #[inline(always)]
    fn sub(a: Self::F, b: Self::F) -> Self::F {
        each(|j| a[j] - b[j])
    }
    #[inline(always)]
    fn mul(a: Self::F, b: Self::F) -> Self::F {
        each(|j| a[j] * b[j])
    }
    #[inline(always)]
    fn div(a: Self::F, b: Self::F) -> Self::F {
        each(|j| a[j] / b[j])
    }
    #[inline(always)]
    fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each(|j| {
            if Self::FMA {
                a[j].mul_add(b[j], c[j])
            } else {
                a[j] * b[j] + c[j]
            }
        })
    }
    #[inline(always)]
    fn at_least(low: Self::F, x: Self::F) -> Self::F {
        each(|j| if x[j] < low[j] { low[j] } else { x[j] })
    }
    #[inline(always)]
    fn abs(x: Self::F) -> Self::F {
        each(|j| x[j].abs())
    }
    #[inline(always)]
    fn where_positive(x: Self::F, a: Self::F, b: Self::F) -> Self::F {
        each(|j| if x[j] >= 0.0 { a[j] } else { b[j] })
    }
    #[inline(always)]
    fn power_of_two(x: Self::F) -> Self::F {
        each(|j| f32::from_bits((x[j].to_bits() << 23).wrapping_add(1f32.to_bits())))
    }
    #[inline(always)]
    fn from_i32(from: &[i32; LANES]) -> Self::F {
        each(|j| from[j] as f32)
    }
    #[inline(always)]
    fn not_at_most(a: Self::F, b: Self::F) -> u32 {
        (0..LANES).fold(0, |mask, j| {
            mask | u32::from(!matches!(
                a[j].partial_cmp(&b[j]),
                Some(Ordering::Less | Ordering::Equal)
            )) << j
        })
    }
    #[inline(always)]
    fn zero_sums() -> Self::D {
        [0.0; LANES]
    }
    #[inline(always)]
    fn add_to_sums(mut sums: Self::D, x: Self::F) -> Self::D {
        for j in 0..LANES {
            sums[j] += f64::from(x[j]);
        }
        sums
    }
    #[inline(always)]
    fn sums(sums: Self::D) -> [f64; LANES] {
        sums
    }
}
