//! Tiles of six samples in the registers of AVX-512 and AVX2.

#[allow(clippy::wildcard_imports, reason = "the instructions' own names")]
use std::arch::x86_64::*;

use super::{GROUP, OFFSET, PANEL, QUAD, ROWS};

/// Tile on 512-bit registers. The rows are written out: in a loop over arrays the compiler does not
/// keep 24 sums in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn vnni(
    x: &[u8],
    panel: &[i8],
    start: &[i32; PANEL],
    sums: &mut [[i32; PANEL]; ROWS],
) {
    let padded = panel.len() / PANEL;
    let quads = padded / QUAD;
    let x: *const u8 = x.as_ptr();
    let mut w: *const i8 = panel.as_ptr();
    // SAFETY: each address is inside its slice: `quads` steps of 256 bytes of the panel and of four
    // bytes of each of the six rows (the caller checked the sizes), 64 values of `start` and of each
    // row of `sums`.
    unsafe {
        let s: [__m512i; 4] =
            std::array::from_fn(|i| _mm512_loadu_si512(start.as_ptr().add(16 * i).cast()));
        macro_rules! row {
            ($a:ident, $b:ident, $c:ident, $d:ident) => {
                let (mut $a, mut $b, mut $c, mut $d) = (s[0], s[1], s[2], s[3]);
            };
        }
        row!(a0, a1, a2, a3);
        row!(b0, b1, b2, b3);
        row!(c0, c1, c2, c3);
        row!(d0, d1, d2, d3);
        row!(e0, e1, e2, e3);
        row!(f0, f1, f2, f3);
        for quad in 0..quads {
            let at = x.add(QUAD * quad);
            let w0 = _mm512_loadu_si512(w.cast());
            let w1 = _mm512_loadu_si512(w.add(64).cast());
            let w2 = _mm512_loadu_si512(w.add(128).cast());
            let w3 = _mm512_loadu_si512(w.add(192).cast());
            w = w.add(QUAD * PANEL);
            macro_rules! add {
                ($row:expr, $a:ident, $b:ident, $c:ident, $d:ident) => {
                    let x = _mm512_set1_epi32(at.add($row * padded).cast::<i32>().read_unaligned());
                    $a = _mm512_dpbusd_epi32($a, x, w0);
                    $b = _mm512_dpbusd_epi32($b, x, w1);
                    $c = _mm512_dpbusd_epi32($c, x, w2);
                    $d = _mm512_dpbusd_epi32($d, x, w3);
                };
            }
            add!(0, a0, a1, a2, a3);
            add!(1, b0, b1, b2, b3);
            add!(2, c0, c1, c2, c3);
            add!(3, d0, d1, d2, d3);
            add!(4, e0, e1, e2, e3);
            add!(5, f0, f1, f2, f3);
        }
        macro_rules! store {
            ($row:expr, $($sum:ident at $place:expr),+) => {
                $(_mm512_storeu_si512(sums[$row].as_mut_ptr().add($place).cast(), $sum);)+
            };
        }
        store!(0, a0 at 0, a1 at 16, a2 at 32, a3 at 48);
        store!(1, b0 at 0, b1 at 16, b2 at 32, b3 at 48);
        store!(2, c0 at 0, c1 at 16, c2 at 32, c3 at 48);
        store!(3, d0 at 0, d1 at 16, d2 at 32, d3 at 48);
        store!(4, e0 at 0, e1 at 16, e2 at 32, e3 at 48);
        store!(5, f0 at 0, f1 at 16, f2 at 32, f3 at 48);
    }
}

/// Tile on 256-bit registers, sixteen latents at a time: twelve of sixteen registers hold sums.
macro_rules! dot_of_bytes {
    ($(#[$meta:meta])* $name:ident, $features:literal, $dot:ident) => {
        $(#[$meta])*
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(
            x: &[u8],
            panel: &[i8],
            start: &[i32; PANEL],
            sums: &mut [[i32; PANEL]; ROWS],
        ) {
            let padded = panel.len() / PANEL;
            for part in (0..PANEL).step_by(16) {
                // SAFETY: as in `vnni`, with sixteen of the 64 latents at a time.
                unsafe {
                    let s: [__m256i; 2] = std::array::from_fn(|i| {
                        _mm256_loadu_si256(start.as_ptr().add(part + 8 * i).cast())
                    });
                    let mut sum = [[s[0], s[1]]; ROWS];
                    let mut w = panel.as_ptr().add(QUAD * part);
                    let mut at = x.as_ptr();
                    for _ in 0..padded / QUAD {
                        let (w0, w1) = (_mm256_loadu_si256(w.cast()), _mm256_loadu_si256(w.add(32).cast()));
                        macro_rules! add {
                            ($row:expr) => {
                                let x = _mm256_set1_epi32(at.add($row * padded).cast::<i32>().read_unaligned());
                                sum[$row] = [$dot(sum[$row][0], x, w0), $dot(sum[$row][1], x, w1)];
                            };
                        }
                        add!(0);
                        add!(1);
                        add!(2);
                        add!(3);
                        add!(4);
                        add!(5);
                        w = w.wrapping_add(QUAD * PANEL);
                        at = at.add(QUAD);
                    }
                    for (sum, to) in sum.iter().zip(sums.iter_mut()) {
                        _mm256_storeu_si256(to.as_mut_ptr().add(part).cast(), sum[0]);
                        _mm256_storeu_si256(to.as_mut_ptr().add(part + 8).cast(), sum[1]);
                    }
                }
            }
        }
    };
}

dot_of_bytes! {
    /// VEX form of `vpdpbusd`, for machines with AVX2 and without AVX-512.
    avx_vnni, "avx2,avxvnni", _mm256_dpbusd_avx_epi32
}
dot_of_bytes! {
    /// EVEX form of `vpdpbusd` on 256 bits, for tests on machines without the VEX form.
    evex_vnni, "avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32
}
/// Tile on 256-bit registers, sixteen latents at a time. Twelve registers hold sums of a group in 16 bits, which are then
/// added to sums in 32 bits in memory: 2.25 instructions for 32 products, where widening each sum of two takes 3. On a core
/// of Zen 3, 230 GOP/s instead of 185; with groups of 4 and 16 quads, 190 and 235.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2(
    x: &[u8],
    panel: &[i8],
    corrections: &[i16],
    sums: &mut [[i32; PANEL]; ROWS],
) {
    let padded = panel.len() / PANEL;
    let quads = padded / QUAD;
    for part in (0..PANEL).step_by(16) {
        // SAFETY: as in `vnni`, with sixteen of the 64 latents at a time; `corrections` has 128 numbers for each group.
        unsafe {
            let mut total = [[_mm256_setzero_si256(); 2]; ROWS];
            let mut w = panel.as_ptr().add(QUAD * part);
            let mut at = x.as_ptr();
            let mut start = corrections.as_ptr().add(2 * part);
            for first in (0..quads).step_by(GROUP) {
                let s = [
                    _mm256_loadu_si256(start.cast()),
                    _mm256_loadu_si256(start.add(16).cast()),
                ];
                start = start.wrapping_add(2 * PANEL);
                let mut sum = [s; ROWS];
                for _ in 0..GROUP.min(quads - first) {
                    let (w0, w1) = (
                        _mm256_loadu_si256(w.cast()),
                        _mm256_loadu_si256(w.add(32).cast()),
                    );
                    macro_rules! add {
                        ($row:expr) => {
                            let x = _mm256_set1_epi32(
                                at.add($row * padded).cast::<i32>().read_unaligned(),
                            );
                            sum[$row] = [
                                _mm256_add_epi16(sum[$row][0], _mm256_maddubs_epi16(x, w0)),
                                _mm256_add_epi16(sum[$row][1], _mm256_maddubs_epi16(x, w1)),
                            ];
                        };
                    }
                    add!(0);
                    add!(1);
                    add!(2);
                    add!(3);
                    add!(4);
                    add!(5);
                    w = w.wrapping_add(QUAD * PANEL);
                    at = at.add(QUAD);
                }
                let one = _mm256_set1_epi16(1);
                for (total, sum) in total.iter_mut().zip(sum) {
                    total[0] = _mm256_add_epi32(total[0], _mm256_madd_epi16(sum[0], one));
                    total[1] = _mm256_add_epi32(total[1], _mm256_madd_epi16(sum[1], one));
                }
            }
            for (total, to) in total.iter().zip(sums.iter_mut()) {
                _mm256_storeu_si256(to.as_mut_ptr().add(part).cast(), total[0]);
                _mm256_storeu_si256(to.as_mut_ptr().add(part + 8).cast(), total[1]);
            }
        }
    }
}

/// Minus the sums of the group `quads` of a panel, as if all samples were [`OFFSET`]: 128 numbers.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn correction(quads: &[i8], of_group: &mut [i16]) {
    let x = _mm256_set1_epi8(OFFSET as i8);
    let mut sums = [_mm256_setzero_si256(); 8];
    for quad in quads.chunks_exact(QUAD * PANEL) {
        for (sum, w) in sums.iter_mut().zip(quad.chunks_exact(32)) {
            // SAFETY: `w` has 32 bytes.
            let w = unsafe { _mm256_loadu_si256(w.as_ptr().cast()) };
            *sum = _mm256_sub_epi16(*sum, _mm256_maddubs_epi16(x, w));
        }
    }
    for (sum, to) in sums.iter().zip(of_group.chunks_exact_mut(16)) {
        // SAFETY: `to` has sixteen numbers of two bytes.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), *sum) };
    }
}
