//! Vectors in the registers of AVX-512 and AVX2.

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

/// For each mask of eight lanes, the numbers of its lanes, then zeros.
static ORDERS: [[u8; 8]; 256] = {
    let mut orders = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut count) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                orders[mask][count] = lane;
                count += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    orders
};

/// Numbers of the lanes of both halves of a mask, in the order that puts them side by side.
#[inline(always)]
fn orders(mask: u32) -> [__m256i; 2] {
    let (low, high) = (
        &ORDERS[(mask & 0xff) as usize],
        &ORDERS[(mask >> 8 & 0xff) as usize],
    );
    instructions!([
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(low.as_ptr().cast())),
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(high.as_ptr().cast())),
    ])
}

/// Eight places behind those of the lower half of a mask.
#[inline(always)]
fn behind<T>(to: &mut [T; LANES], mask: u32) -> &mut [T] {
    let count = (mask & 0xff).count_ones() as usize;
    &mut to[count..count + 8]
}

/// Sums of lanes 8 places apart, of two vectors.
#[inline(always)]
fn two_512(a: __m512, b: __m512) -> __m512 {
    instructions!(_mm512_add_ps(
        _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
        _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b)
    ))
}

/// Sums of lanes 8 places apart and then 4, of two vectors.
#[inline(always)]
fn two_256([a_low, a_high]: [__m256; 2], [b_low, b_high]: [__m256; 2]) -> __m256 {
    instructions!({
        let (a, b) = (_mm256_add_ps(a_low, a_high), _mm256_add_ps(b_low, b_high));
        let (first, second) = (
            _mm256_permute2f128_ps::<0x20>(a, b),
            _mm256_permute2f128_ps::<0x31>(a, b),
        );
        _mm256_add_ps(first, second)
    })
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
    fn compress(value: Self::F, mask: u32, to: &mut [f32; LANES]) {
        instructions!({
            let packed = _mm512_maskz_compress_ps(mask as u16, value);
            _mm512_storeu_ps(to.as_mut_ptr(), packed);
        });
    }
    #[inline(always)]
    fn numbers(first: u32, mask: u32, to: &mut [u32; LANES]) {
        instructions!({
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let numbers = _mm512_add_epi32(lanes, _mm512_set1_epi32(first as i32));
            let packed = _mm512_maskz_compress_epi32(mask as u16, numbers);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), packed);
        });
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
    #[inline(always)]
    fn four_sums([a, b, c, d]: [Self::F; 4]) -> [f32; 4] {
        let (ab, cd) = (two_512(a, b), two_512(c, d));
        instructions!({
            let first = _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd);
            let second = _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd);
            let fours = _mm512_add_ps(first, second);
            let twos = _mm512_add_ps(fours, _mm512_permute_ps::<0b11_10_11_10>(fours));
            let ones = _mm512_add_ps(twos, _mm512_permute_ps::<0b01_01_01_01>(twos));
            // The first of each quarter.
            let places = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            let mut sums = [0.0; 4];
            let gathered = _mm512_castps512_ps128(_mm512_permutexvar_ps(places, ones));
            _mm_storeu_ps(sums.as_mut_ptr(), gathered);
            sums
        })
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
    fn compress(value: Self::F, mask: u32, to: &mut [f32; LANES]) {
        let [low, high] = orders(mask);
        instructions!({
            let [first, second] = [
                _mm256_permutevar8x32_ps(value[0], low),
                _mm256_permutevar8x32_ps(value[1], high),
            ];
            _mm256_storeu_ps(to.as_mut_ptr(), first);
            _mm256_storeu_ps(behind(to, mask).as_mut_ptr(), second);
        });
    }
    #[inline(always)]
    fn numbers(first: u32, mask: u32, to: &mut [u32; LANES]) {
        let [low, high] = orders(mask);
        instructions!({
            let first = _mm256_set1_epi32(first as i32);
            let second = _mm256_add_epi32(first, _mm256_set1_epi32(8));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_add_epi32(first, low));
            let to = behind(to, mask).as_mut_ptr();
            _mm256_storeu_si256(to.cast(), _mm256_add_epi32(second, high));
        });
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
    #[inline(always)]
    fn four_sums([a, b, c, d]: [Self::F; 4]) -> [f32; 4] {
        let (ab, cd) = (two_256(a, b), two_256(c, d));
        instructions!({
            let first = _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd);
            let second = _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd);
            let twos = _mm256_add_ps(first, second);
            // Sums of a and c, then of b and d, each twice.
            let ones = _mm256_add_ps(twos, _mm256_permute_ps::<0b10_11_00_01>(twos));
            let (ac, bd) = (
                _mm256_castps256_ps128(ones),
                _mm256_extractf128_ps::<1>(ones),
            );
            let mut sums = [0.0; 4];
            let mixed = _mm_shuffle_ps::<0b10_00_10_00>(ac, bd);
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_permute_ps::<0b11_01_10_00>(mixed));
            sums
        })
    }
}
