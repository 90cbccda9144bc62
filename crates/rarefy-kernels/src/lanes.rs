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

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Sub};

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
    fn zero_sums() -> Self::D;
    fn add_to_sums(sums: Self::D, x: Self::F) -> Self::D;
    fn sums(sums: Self::D) -> [f64; LANES];
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

/// Vectors as arrays, for any target.
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

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports, reason = "the instructions' own names")]
    use std::arch::x86_64::*;

    use super::{LANES, Lanes};

    /// Vectors of one 512-bit register.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512;

    /// Vectors of two 256-bit registers.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2;

    /// Calls CPU instructions.
    macro_rules! instructions {
        ($body:expr) => {
            // SAFETY: `Lanes` is used only in functions compiled for the path's instructions, which
            // `cpu::path` detected on this machine. Pointers come from arrays of sixteen values.
            unsafe { $body }
        };
    }

    impl Lanes for Avx512 {
        const FMA: bool = true;
        type F = __m512;
        type D = [__m512d; 2];

        #[inline(always)]
        fn splat(value: f32) -> Self::F {
            instructions!(_mm512_set1_ps(value))
        }
        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self::F {
            instructions!(_mm512_loadu_ps(from.as_ptr()))
        }
        #[inline(always)]
        fn store(value: Self::F, to: &mut [f32; LANES]) {
            instructions!(_mm512_storeu_ps(to.as_mut_ptr(), value));
        }
        #[inline(always)]
        fn add(a: Self::F, b: Self::F) -> Self::F {
            instructions!(_mm512_add_ps(a, b))
        }
        #[inline(always)]
        fn sub(a: Self::F, b: Self::F) -> Self::F {
            instructions!(_mm512_sub_ps(a, b))
        }
        #[inline(always)]
        fn mul(a: Self::F, b: Self::F) -> Self::F {
            instructions!(_mm512_mul_ps(a, b))
        }
        #[inline(always)]
        fn div(a: Self::F, b: Self::F) -> Self::F {
            instructions!(_mm512_div_ps(a, b))
        }
        #[inline(always)]
        fn reciprocal(x: Self::F) -> Self::F {
            // An approximation to 14 bits and a Newton step: 4 cycles; a division takes 10.
            instructions!({
                let guess = _mm512_rcp14_ps(x);
                let rest = _mm512_fnmadd_ps(x, guess, _mm512_set1_ps(1.0));
                _mm512_fmadd_ps(guess, rest, guess)
            })
        }
        #[inline(always)]
        fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
            instructions!(_mm512_fmadd_ps(a, b, c))
        }
        #[inline(always)]
        fn at_least(low: Self::F, x: Self::F) -> Self::F {
            // If one operand is NaN, the instruction gives the second operand.
            instructions!(_mm512_max_ps(low, x))
        }
        #[inline(always)]
        fn abs(x: Self::F) -> Self::F {
            instructions!(_mm512_abs_ps(x))
        }
        #[inline(always)]
        fn where_positive(x: Self::F, a: Self::F, b: Self::F) -> Self::F {
            instructions!({
                let positive = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, _mm512_setzero_ps());
                _mm512_mask_blend_ps(positive, b, a)
            })
        }
        #[inline(always)]
        fn power_of_two(x: Self::F) -> Self::F {
            instructions!({
                let shifted = _mm512_slli_epi32::<23>(_mm512_castps_si512(x));
                let one = _mm512_castps_si512(_mm512_set1_ps(1.0));
                _mm512_castsi512_ps(_mm512_add_epi32(shifted, one))
            })
        }
        #[inline(always)]
        fn from_i32(from: &[i32; LANES]) -> Self::F {
            instructions!(_mm512_cvtepi32_ps(_mm512_loadu_si512(from.as_ptr().cast())))
        }
        #[inline(always)]
        fn not_at_most(a: Self::F, b: Self::F) -> u32 {
            u32::from(instructions!(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(a, b)))
        }
        #[inline(always)]
        fn zero_sums() -> Self::D {
            instructions!([_mm512_setzero_pd(); 2])
        }
        #[inline(always)]
        fn add_to_sums([low, high]: Self::D, x: Self::F) -> Self::D {
            instructions!({
                let upper = _mm512_extractf32x8_ps::<1>(x);
                [
                    _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(x))),
                    _mm512_add_pd(high, _mm512_cvtps_pd(upper)),
                ]
            })
        }
        #[inline(always)]
        fn sums([low, high]: Self::D) -> [f64; LANES] {
            let mut sums = [0.0; LANES];
            instructions!({
                _mm512_storeu_pd(sums.as_mut_ptr(), low);
                _mm512_storeu_pd(sums[8..].as_mut_ptr(), high);
            });
            sums
        }
    }

    /// Applies an expression to both halves.
    macro_rules! halves {
        (|$($half:ident),+| $body:expr) => {
            instructions!([{ $(let $half = $half[0];)+ $body }, { $(let $half = $half[1];)+ $body }])
        };
    }

    impl Lanes for Avx2 {
        const FMA: bool = true;
        type F = [__m256; 2];
        type D = [__m256d; 4];

        #[inline(always)]
        fn splat(value: f32) -> Self::F {
            instructions!([_mm256_set1_ps(value); 2])
        }
        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self::F {
            instructions!([
                _mm256_loadu_ps(from.as_ptr()),
                _mm256_loadu_ps(from[8..].as_ptr())
            ])
        }
        #[inline(always)]
        fn store([low, high]: Self::F, to: &mut [f32; LANES]) {
            instructions!({
                _mm256_storeu_ps(to.as_mut_ptr(), low);
                _mm256_storeu_ps(to[8..].as_mut_ptr(), high);
            });
        }
        #[inline(always)]
        fn add(a: Self::F, b: Self::F) -> Self::F {
            halves!(|a, b| _mm256_add_ps(a, b))
        }
        #[inline(always)]
        fn sub(a: Self::F, b: Self::F) -> Self::F {
            halves!(|a, b| _mm256_sub_ps(a, b))
        }
        #[inline(always)]
        fn mul(a: Self::F, b: Self::F) -> Self::F {
            halves!(|a, b| _mm256_mul_ps(a, b))
        }
        #[inline(always)]
        fn div(a: Self::F, b: Self::F) -> Self::F {
            halves!(|a, b| _mm256_div_ps(a, b))
        }
        #[inline(always)]
        fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
            halves!(|a, b, c| _mm256_fmadd_ps(a, b, c))
        }
        #[inline(always)]
        fn at_least(low: Self::F, x: Self::F) -> Self::F {
            halves!(|low, x| _mm256_max_ps(low, x))
        }
        #[inline(always)]
        fn abs(x: Self::F) -> Self::F {
            halves!(|x| _mm256_andnot_ps(_mm256_set1_ps(-0.0), x))
        }
        #[inline(always)]
        fn where_positive(x: Self::F, a: Self::F, b: Self::F) -> Self::F {
            halves!(|x, a, b| {
                let positive = _mm256_cmp_ps::<_CMP_GE_OQ>(x, _mm256_setzero_ps());
                _mm256_blendv_ps(b, a, positive)
            })
        }
        #[inline(always)]
        fn power_of_two(x: Self::F) -> Self::F {
            halves!(|x| {
                let shifted = _mm256_slli_epi32::<23>(_mm256_castps_si256(x));
                let one = _mm256_castps_si256(_mm256_set1_ps(1.0));
                _mm256_castsi256_ps(_mm256_add_epi32(shifted, one))
            })
        }
        #[inline(always)]
        fn from_i32(from: &[i32; LANES]) -> Self::F {
            instructions!([
                _mm256_cvtepi32_ps(_mm256_loadu_si256(from.as_ptr().cast())),
                _mm256_cvtepi32_ps(_mm256_loadu_si256(from[8..].as_ptr().cast())),
            ])
        }
        #[inline(always)]
        fn not_at_most(a: Self::F, b: Self::F) -> u32 {
            let [low, high] = instructions!([0, 1].map(|half| {
                _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(a[half], b[half])) as u32
            }));
            low | high << 8
        }
        #[inline(always)]
        fn zero_sums() -> Self::D {
            instructions!([_mm256_setzero_pd(); 4])
        }
        #[inline(always)]
        fn add_to_sums(sums: Self::D, x: Self::F) -> Self::D {
            instructions!({
                let quarter = |sum, four| _mm256_add_pd(sum, _mm256_cvtps_pd(four));
                [
                    quarter(sums[0], _mm256_castps256_ps128(x[0])),
                    quarter(sums[1], _mm256_extractf128_ps::<1>(x[0])),
                    quarter(sums[2], _mm256_castps256_ps128(x[1])),
                    quarter(sums[3], _mm256_extractf128_ps::<1>(x[1])),
                ]
            })
        }
        #[inline(always)]
        fn sums(quarters: Self::D) -> [f64; LANES] {
            let mut sums = [0.0; LANES];
            for (four, quarter) in sums.chunks_exact_mut(4).zip(quarters) {
                instructions!(_mm256_storeu_pd(four.as_mut_ptr(), quarter));
            }
            sums
        }
    }
}
