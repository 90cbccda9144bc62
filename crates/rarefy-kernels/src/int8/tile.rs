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
    /// AVX2 `vpmaddubsw` and `vpaddw`: sums of sixteen products in 16 bits.
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

    /// Limits of quantised samples.
    pub const fn of_samples(self) -> Limits {
        match self {
            Self::Avx2 => Limits {
                strand: 200.0,
                ..Limits::NONE
            },
            _ => Limits::NONE,
        }
    }

    /// Limits of quantised weights.
    pub const fn of_weights(self) -> Limits {
        match self {
            // A sum of two products is at most 255 times 128 and fits 16 bits. So does a sum of sixteen, by Cauchy and
            // Schwarz at most 200 times 163.
            Self::Avx2 => Limits {
                pair: 128.0,
                strand: 163.0,
            },
            _ => Limits::NONE,
        }
    }
}

/// Limits of the integers of a row, beside 127 for each of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest sum of two neighbours' absolute values. Only those at even places share a register's lane.
    pub pair: f32,
    /// Largest norm of a strand: the first or the last two inputs of each of [`GROUP`] quads.
    pub strand: f32,
}

impl Limits {
    /// No limits but 127.
    pub const NONE: Self = Self {
        pair: f32::INFINITY,
        strand: f32::INFINITY,
    };
}

/// Number of quads whose products the AVX2 engine sums in 16 bits, before it adds the sums to those in 32 bits.
pub const GROUP: usize = 8;

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

/// For each group of quads of a panel, `-OFFSET` times the sums of its latents' bytes in each strand, modulo 2^16:
/// `[groups, 64, 2]`. Only the AVX2 engine needs them, other engines get none.
pub(crate) fn corrections(engine: Engine, panel: &[i8]) -> Vec<i16> {
    match engine {
        #[cfg(target_arch = "x86_64")]
        Engine::Avx2 => {
            let groups = panel.len().div_ceil(GROUP * QUAD * PANEL);
            let mut all = vec![0; groups * 2 * PANEL];
            let parts = panel.chunks(GROUP * QUAD * PANEL);
            for (of_group, quads) in all.chunks_exact_mut(2 * PANEL).zip(parts) {
                // SAFETY: as in `tile`. `of_group` has 128 numbers.
                unsafe { x86::correction(quads, of_group) };
            }
            all
        }
        _ => {
            let _ = panel;
            Vec::new()
        }
    }
}

/// Products of a tile, `sums[i][j] = sum_l q[i][l] w[j][l]`, from `x = q + OFFSET` and `start[j] = -OFFSET sum_l w[j][l]`.
/// The AVX2 engine uses `corrections` in the place of `start`, and is right within its [`Limits`] only.
///
/// # Shapes
/// `x`: `[6, padded]`; `panel`: `[padded / 4, 64, 4]`.
#[inline]
pub(crate) fn tile(
    engine: Engine,
    x: &[u8],
    panel: &[i8],
    start: &[i32; PANEL],
    corrections: &[i16],
    sums: &mut [[i32; PANEL]; ROWS],
) {
    let padded = panel.len() / PANEL;
    assert!(
        x.len() == ROWS * padded && panel.len() == padded * PANEL && padded.is_multiple_of(QUAD)
    );
    assert!(
        engine != Engine::Avx2 || corrections.len() == padded.div_ceil(GROUP * QUAD) * 2 * PANEL
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
        Engine::Avx2 => unsafe { x86::avx2(x, panel, corrections, sums) },
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

    use super::super::OFFSET;
    use super::{GROUP, PANEL, QUAD, ROWS};

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::{OFFSET, offset, pack, quantise};

    /// Rows that reach each limit: equal values (strands), pairs, and rows between.
    fn row(d: usize, kind: usize) -> Vec<f32> {
        let value = |i: usize| match kind % 4 {
            0 => 1.0,
            1 => f32::from(u8::from(i.is_multiple_of(37) || i % 37 == 1)) - 0.5,
            2 => ((i * 37 + kind * 11) % 101) as f32 - 50.0,
            _ => [1.0, -1.0][i / 4 % 2] * ((i + kind) % 7) as f32,
        };
        let sign = [1.0, -1.0][kind / 4 % 2];
        (0..d).map(|i| sign * value(i)).collect()
    }

    #[test]
    fn products_of_each_engine_equal_plain_loops() {
        for padded in [4, 8, 12, 32, 36, 100, 768] {
            for &engine in Engine::available() {
                let quantised = |kind: usize, limits: Limits| {
                    let mut q = vec![0; padded];
                    let _ = quantise(&row(padded, kind), limits, &mut q);
                    q
                };
                let samples: Vec<Vec<i8>> = (0..ROWS)
                    .map(|i| quantised(i, engine.of_samples()))
                    .collect();
                let weights: Vec<Vec<i8>> = (0..PANEL)
                    .map(|j| quantised(j, engine.of_weights()))
                    .collect();
                let mut x = vec![0; ROWS * padded];
                for (q, bytes) in samples.iter().zip(x.chunks_exact_mut(padded)) {
                    offset(q, bytes);
                }
                let mut panel = vec![0; PANEL * padded];
                for (j, q) in weights.iter().enumerate() {
                    pack(q, j, &mut panel);
                }
                let sum = |q: &[i8]| q.iter().map(|q| i32::from(*q)).sum::<i32>();
                let start = std::array::from_fn(|j| -i32::from(OFFSET) * sum(&weights[j]));
                let mut sums = [[1; PANEL]; ROWS];
                let corrections = corrections(engine, &panel);
                tile(engine, &x, &panel, &start, &corrections, &mut sums);
                for (i, x) in samples.iter().enumerate() {
                    for (j, w) in weights.iter().enumerate() {
                        let products = x.iter().zip(w).map(|(x, w)| i32::from(*x) * i32::from(*w));
                        let want: i32 = products.sum();
                        assert_eq!(sums[i][j], want, "{engine:?} {padded} row {i} latent {j}");
                    }
                }
            }
        }
    }
}
