//! What the machine can do at best: a loop of multiply-adds that touches no memory.

use crate::cpu::Path;
use crate::int8::Engine;

/// Accumulators in the loop: enough to hide the latency of every multiply-add unit.
const CHAINS: usize = 12;

/// Runs `rounds` rounds of independent multiply-adds; returns the floating-point operations done.
///
/// The caller times it: operations over seconds is the f32 peak of one core on [`crate::path`].
pub fn multiply_adds(rounds: usize) -> usize {
    let lanes = match crate::path() {
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => {
            // SAFETY: `path` only holds what was found on this machine.
            std::hint::black_box(unsafe { x86::avx512(rounds) });
            16
        }
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => {
            // SAFETY: as above.
            std::hint::black_box(unsafe { x86::avx2(rounds) });
            8
        }
        #[cfg(target_arch = "x86_64")]
        Path::Portable => {
            // SAFETY: SSE2 is part of every x86-64.
            std::hint::black_box(unsafe { x86::sse2(rounds) });
            4
        }
        #[cfg(not(target_arch = "x86_64"))]
        _ => {
            std::hint::black_box(portable(rounds));
            4
        }
    };
    rounds * CHAINS * lanes * 2
}

/// As [`multiply_adds`], in dot products of bytes on [`crate::int8::engine`]; `None` where the machine
/// has no instructions for them.
pub fn byte_multiply_adds(rounds: usize) -> Option<usize> {
    let bytes = match crate::int8::engine() {
        #[cfg(target_arch = "x86_64")]
        Engine::Vnni => {
            // SAFETY: an engine is one that was found on this machine.
            std::hint::black_box(unsafe { x86::vnni(rounds) });
            64
        }
        #[cfg(target_arch = "x86_64")]
        Engine::Avx2 => {
            // SAFETY: as above.
            std::hint::black_box(unsafe { x86::avx2_bytes(rounds) });
            32
        }
        _ => return None,
    };
    Some(rounds * CHAINS * bytes * 2)
}

/// As [`multiply_adds`], in dot products of bf16 pairs; `None` where the machine has none.
pub fn bf16_multiply_adds(rounds: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if crate::path() == Path::Avx512 && is_x86_feature_detected!("avx512bf16") {
        // SAFETY: the machine has the instructions.
        std::hint::black_box(unsafe { x86::bf16(rounds) });
        return Some(rounds * CHAINS * 32 * 2);
    }
    let _ = rounds;
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn portable(rounds: usize) -> f32 {
    let mut chains = [[0.5f32; 4]; CHAINS];
    let (factor, term) = std::hint::black_box(([0.999f32; 4], [0.001f32; 4]));
    for _ in 0..rounds {
        for chain in &mut chains {
            for j in 0..4 {
                chain[j] = chain[j] * factor[j] + term[j];
            }
        }
    }
    chains.iter().flatten().sum()
}

// The compiler does not vectorise a loop over small arrays of accumulators by itself (tried: it
// ran at a thirtieth of the peak), so this one is written in intrinsics.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512bh, _mm_add_ps, _mm_cvtss_f32, _mm_mul_ps, _mm_set1_ps, _mm256_add_epi32,
        _mm256_cvtss_f32, _mm256_extract_epi32, _mm256_fmadd_ps, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_ps,
        _mm512_cvtss_f32, _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
        _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    };

    use super::CHAINS;

    /// SSE2, which every x86-64 has: a multiplication and an addition for each multiply-add.
    #[target_feature(enable = "sse2")]
    pub(super) fn sse2(rounds: usize) -> f32 {
        let (factor, term) = (_mm_set1_ps(0.999), _mm_set1_ps(0.001));
        let mut chains = [_mm_set1_ps(0.5); CHAINS];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm_add_ps(_mm_mul_ps(*chain, factor), term);
            }
        }
        chains.iter().map(|&chain| _mm_cvtss_f32(chain)).sum()
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(rounds: usize) -> f32 {
        let (factor, term) = (_mm512_set1_ps(0.999), _mm512_set1_ps(0.001));
        let mut chains = [_mm512_set1_ps(0.5); CHAINS];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, factor, term);
            }
        }
        chains.iter().map(|&chain| _mm512_cvtss_f32(chain)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(rounds: usize) -> f32 {
        let (factor, term) = (_mm256_set1_ps(0.999), _mm256_set1_ps(0.001));
        let mut chains = [_mm256_set1_ps(0.5); CHAINS];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, factor, term);
            }
        }
        chains.iter().map(|&chain| _mm256_cvtss_f32(chain)).sum()
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn vnni(rounds: usize) -> i32 {
        let (x, w) = (_mm512_set1_epi8(3), _mm512_set1_epi8(5));
        let mut chains = [_mm512_set1_epi32(0); CHAINS];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm512_dpbusd_epi32(*chain, x, w);
            }
        }
        chains
            .iter()
            .map(|&chain| _mm512_reduce_add_epi32(chain))
            .fold(0, i32::wrapping_add)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2_bytes(rounds: usize) -> i32 {
        let (mut x, w) = (_mm256_set1_epi8(3), _mm256_set1_epi8(5));
        let mut chains = [_mm256_set1_epi16(0); CHAINS];
        for _ in 0..rounds {
            for chain in &mut chains {
                let pairs = _mm256_maddubs_epi16(x, w);
                *chain = _mm256_add_epi32(*chain, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
            // Without a new x the compiler would take the products out of the loop.
            x = std::hint::black_box(x);
        }
        chains
            .iter()
            .map(|&chain| _mm256_extract_epi32::<0>(chain))
            .fold(0, i32::wrapping_add)
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn bf16(rounds: usize) -> f32 {
        // SAFETY: both are 512 bits of plain numbers.
        let one: __m512bh = unsafe { std::mem::transmute(_mm512_set1_epi32(0x3f80_3f80)) };
        let mut chains = [_mm512_set1_ps(0.0); CHAINS];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm512_dpbf16_ps(*chain, one, one);
            }
        }
        chains.iter().map(|&chain| _mm512_cvtss_f32(chain)).sum()
    }
}
