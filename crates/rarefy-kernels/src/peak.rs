//! Peak arithmetic rate of the machine: a loop of multiply-adds without memory access.

use crate::cpu::Path;
use crate::int8::Engine;

/// Number of accumulators in the loop, enough to hide the latency of every multiply-add unit.
const CHAINS: usize = 12;

/// Runs `rounds` rounds of independent f32 multiply-adds; returns the number of operations.
///
/// The caller measures the time. Operations per second are the f32 peak of one core on [`crate::path`].
pub fn multiply_adds(rounds: usize) -> usize {
    let lanes = match crate::path() {
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => {
            // SAFETY: `path` contains only instructions that were detected on this machine.
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

/// Runs `rounds` rounds of byte dot products on [`crate::int8::engine`]; returns the number of
/// operations, or `None` without instructions for them. See [`multiply_adds`].
pub fn byte_multiply_adds(rounds: usize) -> Option<usize> {
    let (bytes, sum) = bytes_on(crate::int8::engine(), rounds)?;
    std::hint::black_box(sum);
    Some(rounds * CHAINS * bytes * 2)
}

/// Bytes per instruction of an engine, and the sum of the products of `rounds` rounds.
fn bytes_on(engine: Engine, rounds: usize) -> Option<(usize, i32)> {
    debug_assert!(Engine::available().contains(&engine));
    match engine {
        #[cfg(target_arch = "x86_64")]
        // Four instructions a round, in three times as many rounds.
        Engine::Amx => Some((16 * 1024, crate::int8::amx::peak(rounds * CHAINS / 4))),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an engine is one that was detected on this machine.
        Engine::Vnni => Some((64, unsafe { x86::vnni(rounds) })),
        #[cfg(target_arch = "x86_64")]
        Engine::AvxVnni if is_x86_feature_detected!("avxvnni") => {
            // SAFETY: as above; the VEX form was detected too.
            Some((32, unsafe { x86::avx_vnni(rounds) }))
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above; without the VEX form, the engine is available because of AVX-512.
        Engine::AvxVnni => Some((32, unsafe { x86::evex_vnni(rounds) })),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Engine::Avx2 => Some((32, unsafe { x86::avx2_bytes(rounds) })),
        _ => {
            let _ = rounds;
            None
        }
    }
}

/// Runs `rounds` rounds of dot products of bf16 pairs; returns the number of operations, or `None`
/// without instructions for them. See [`multiply_adds`].
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

// Written in intrinsics: the compiler does not vectorise a loop over small arrays of accumulators
// (measured: a thirtieth of the peak).
#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports, reason = "the instructions' own names")]
    use std::arch::x86_64::*;

    use super::CHAINS;
    use crate::int8::GROUP;

    /// SSE2 loop, with a multiplication and an addition for each multiply-add.
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

    /// Bytes of samples and weights; each instruction adds `X W` for each of its bytes.
    const X: i8 = 3;
    const W: i8 = 5;

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn vnni(rounds: usize) -> i32 {
        let (x, w) = (_mm512_set1_epi8(X), _mm512_set1_epi8(W));
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

    macro_rules! dots_of_bytes {
        ($(#[$meta:meta])* $name:ident, $features:literal, $dot:ident) => {
            $(#[$meta])*
            #[target_feature(enable = $features)]
            pub(super) fn $name(rounds: usize) -> i32 {
                let (x, w) = (_mm256_set1_epi8(X), _mm256_set1_epi8(W));
                let mut chains = [_mm256_setzero_si256(); CHAINS];
                for _ in 0..rounds {
                    for chain in &mut chains {
                        *chain = $dot(*chain, x, w);
                    }
                }
                chains.iter().map(|&chain| total(chain)).fold(0, i32::wrapping_add)
            }
        };
    }

    dots_of_bytes! {
        /// VEX form of `vpdpbusd`, for machines with AVX2 and without AVX-512.
        avx_vnni, "avx2,avxvnni", _mm256_dpbusd_avx_epi32
    }
    dots_of_bytes! {
        /// EVEX form of `vpdpbusd` on 256 bits, for tests on machines without the VEX form.
        evex_vnni, "avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32
    }
    /// The instructions of the tile. Each product has other operands, else the compiler would compute one for all chains.
    #[target_feature(enable = "avx2")]
    pub(super) fn avx2_bytes(rounds: usize) -> i32 {
        let xs = std::hint::black_box([_mm256_set1_epi8(X); GROUP]);
        let ws = std::hint::black_box([_mm256_set1_epi8(W); CHAINS]);
        let mut sums = _mm256_setzero_si256();
        for first in (0..rounds).step_by(GROUP) {
            let mut chains = [_mm256_setzero_si256(); CHAINS];
            for x in &xs[..GROUP.min(rounds - first)] {
                for (chain, w) in chains.iter_mut().zip(&ws) {
                    *chain = _mm256_add_epi16(*chain, _mm256_maddubs_epi16(*x, *w));
                }
            }
            for chain in chains {
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(chain, _mm256_set1_epi16(1)));
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx2")]
    fn total(sums: __m256i) -> i32 {
        // SAFETY: both are 256 bits of plain numbers.
        let sums: [i32; 8] = unsafe { std::mem::transmute(sums) };
        sums.into_iter().fold(0, i32::wrapping_add)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte of each instruction adds 3 times 5, so the sum gives the number of operations.
    #[test]
    fn operation_count_equals_the_operations_of_each_engine() {
        for &engine in Engine::available() {
            let Some((bytes, sum)) = bytes_on(engine, 100) else {
                assert_eq!(engine, Engine::Portable);
                continue;
            };
            let operations = 100 * CHAINS * bytes;
            assert_eq!(sum, 15 * operations as i32, "{engine:?}");
        }
    }

    #[test]
    fn byte_peak_is_none_only_on_the_portable_engine() {
        let bytes = match crate::int8::engine() {
            Engine::Portable => None,
            Engine::Amx => Some(16 * 1024),
            Engine::Vnni => Some(64),
            Engine::AvxVnni | Engine::Avx2 => Some(32),
        };
        let operations = bytes.map(|bytes| 10 * CHAINS * bytes * 2);
        assert_eq!(byte_multiply_adds(10), operations);
    }
}
