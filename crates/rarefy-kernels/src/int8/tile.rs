//! Integer products of six samples with a panel of 64 latents.

use std::sync::OnceLock;

use super::{PANEL, QUAD};
use crate::cpu::Path;

/// Number of samples in a tile: 6 x 64 sums take 24 of the 32 AVX-512 registers.
pub const ROWS: usize = 6;

/// Instructions for products of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Plain loops without special instructions.
    Portable,
    /// AVX2 `vpmaddubsw` and `vpmaddwd`, with samples of 7 bits.
    Avx2,
    /// AVX-VNNI `vpdpbusd` on 256 bits.
    AvxVnni,
    /// AVX-512 VNNI `vpdpbusd` on 512 bits.
    Vnni,
}

impl Engine {
    /// Engines that this machine can run, slowest first.
    pub fn available() -> &'static [Self] {
        let paths = Path::available();
        if paths.contains(&Path::Avx512) && vnni() {
            &[Self::Portable, Self::Avx2, Self::AvxVnni, Self::Vnni]
        } else if paths.contains(&Path::Avx2) && avx_vnni() {
            &[Self::Portable, Self::Avx2, Self::AvxVnni]
        } else if paths.contains(&Path::Avx2) {
            &[Self::Portable, Self::Avx2]
        } else {
            &[Self::Portable]
        }
    }

    /// Largest absolute value of a quantised sample.
    pub const fn levels(self) -> i32 {
        match self {
            Self::Avx2 => 63,
            _ => 127,
        }
    }

    /// Offset added to samples, so that the stored bytes are not negative.
    pub const fn offset(self) -> u8 {
        self.levels() as u8 + 1
    }
}

/// Fastest engine of the CPU path in use.
pub fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    *ENGINE.get_or_init(|| match crate::path() {
        Path::Avx512 if vnni() => Engine::Vnni,
        Path::Avx512 | Path::Avx2 if avx_vnni() => Engine::AvxVnni,
        Path::Avx512 | Path::Avx2 => Engine::Avx2,
        Path::Portable => Engine::Portable,
    })
}

#[cfg(target_arch = "x86_64")]
fn vnni() -> bool {
    is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
fn avx_vnni() -> bool {
    is_x86_feature_detected!("avxvnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn vnni() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn avx_vnni() -> bool {
    false
}

/// Products of a tile: `sums[i][j] = start[j] + sum_l (x[i][l] as u8) (w[j][l] as i8)`.
///
/// # Shapes
/// `x`: `[6, padded]`; `panel`: `[padded / 4, 64, 4]`.
#[inline]
pub(crate) fn tile(
    engine: Engine,
    x: &[u8],
    panel: &[i8],
    start: &[i32; PANEL],
    sums: &mut [[i32; PANEL]; ROWS],
) {
    let padded = panel.len() / PANEL;
    assert!(
        x.len() == ROWS * padded && panel.len() == padded * PANEL && padded.is_multiple_of(QUAD)
    );
    debug_assert!(Engine::available().contains(&engine));
    match engine {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the engine is one of `available` (checked by `screen_bytes`), so the machine has the
        // instructions. The sizes that the pointers rely on were checked above.
        Engine::Vnni => unsafe { x86::vnni(x, panel, start, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Engine::AvxVnni if avx_vnni() => unsafe { x86::avx_vnni(x, panel, start, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above; without the VEX form, the engine is available because of AVX-512.
        Engine::AvxVnni => unsafe { x86::evex_vnni(x, panel, start, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Engine::Avx2 => unsafe { x86::avx2(x, panel, start, sums) },
        _ => portable(x, panel, start, sums),
    }
}

fn portable(x: &[u8], panel: &[i8], start: &[i32; PANEL], sums: &mut [[i32; PANEL]; ROWS]) {
    let padded = panel.len() / PANEL;
    for (x, sums) in x.chunks_exact(padded).zip(sums) {
        *sums = *start;
        let (quads, _) = x.as_chunks::<QUAD>();
        for (x, w) in quads.iter().zip(panel.chunks_exact(QUAD * PANEL)) {
            let x = x.map(i32::from);
            let (w, _) = w.as_chunks::<QUAD>();
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum += (0..QUAD).map(|l| x[l] * i32::from(w[l])).sum::<i32>();
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports, reason = "the instructions' own names")]
    use std::arch::x86_64::*;

    use super::{PANEL, QUAD, ROWS};

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
                        let x =
                            _mm512_set1_epi32(at.add($row * padded).cast::<i32>().read_unaligned());
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
                            w = w.add(QUAD * PANEL);
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
    dot_of_bytes! {
        /// Sums of pairs in 16 bits, which samples of 7 bits cannot overflow, then sums of pairs in 32 bits.
        avx2, "avx2", through_16_bits
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn through_16_bits(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        let pairs = _mm256_maddubs_epi16(x, w);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_each_engine_equal_plain_loops() {
        for padded in [4, 8, 12, 100, 768] {
            for &engine in Engine::available() {
                // The largest products in the engine's range, and values between them.
                let (most, middle) = (engine.levels(), engine.offset());
                let x: Vec<u8> = (0..ROWS * padded)
                    .map(|i| match i % 5 {
                        0 => middle + most as u8,
                        1 => middle - most as u8,
                        _ => (i * 37 % (2 * most as usize + 1)) as u8 + (middle - most as u8),
                    })
                    .collect();
                let panel: Vec<i8> = (0..PANEL * padded)
                    .map(|i| {
                        if i % 3 == 0 {
                            127
                        } else {
                            (i * 91 % 255) as i32 as u8 as i8
                        }
                    })
                    .map(|w| w.max(-127))
                    .collect();
                let start = std::array::from_fn(|j| 1000 * j as i32 - 7);
                let mut sums = [[1; PANEL]; ROWS];
                tile(engine, &x, &panel, &start, &mut sums);
                for i in 0..ROWS {
                    for j in 0..PANEL {
                        let product = |l: usize| {
                            let w = panel[l / QUAD * QUAD * PANEL + QUAD * j + l % QUAD];
                            i32::from(x[i * padded + l]) * i32::from(w)
                        };
                        let want = start[j] + (0..padded).map(product).sum::<i32>();
                        assert_eq!(sums[i][j], want, "{engine:?} {padded} row {i} latent {j}");
                    }
                }
            }
        }
    }
}
