//! Integer products of six samples, or 32 on AMX, with a panel of 64 latents.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::x86;
use super::{GROUP, PANEL, QUAD, ROWS};
use crate::cpu::Path;

/// Largest number of samples in a tile.
pub(crate) const MOST_ROWS: usize = 32;

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
    /// AMX `tdpbusd` on tile registers (`amx.rs`).
    Amx,
}

impl Engine {
    /// Engines that this machine can run, slowest first.
    pub fn available() -> &'static [Self] {
        let paths = Path::available();
        if paths.contains(&Path::Avx512) && vnni() && amx() {
            &[
                Self::Portable,
                Self::Avx2,
                Self::AvxVnni,
                Self::Vnni,
                Self::Amx,
            ]
        } else if paths.contains(&Path::Avx512) && vnni() {
            &[Self::Portable, Self::Avx2, Self::AvxVnni, Self::Vnni]
        } else if paths.contains(&Path::Avx2) && avx_vnni() {
            &[Self::Portable, Self::Avx2, Self::AvxVnni]
        } else if paths.contains(&Path::Avx2) {
            &[Self::Portable, Self::Avx2]
        } else {
            &[Self::Portable]
        }
    }

    /// Number of samples in a tile; blocks of rows are padded to whole tiles.
    pub const fn rows(self) -> usize {
        match self {
            Self::Amx => MOST_ROWS,
            _ => ROWS,
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

/// Fastest engine of the CPU path in use.
pub fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    *ENGINE.get_or_init(|| match crate::path() {
        // A path that `RAREFY_CPU` names shows what machines without AMX get.
        Path::Avx512 if vnni() && amx() && !crate::cpu::forced() => Engine::Amx,
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

#[cfg(target_arch = "x86_64")]
use super::amx::available as amx;

#[cfg(not(target_arch = "x86_64"))]
fn vnni() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn amx() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn avx_vnni() -> bool {
    false
}

/// For each group of quads of a panel, `-OFFSET` times the sums of its latents' bytes in each strand, modulo 2^16:
/// `[groups, 64, 2]`. Only the AVX2 engine needs them, other engines get none.
fn corrections(engine: Engine, panel: &[i8]) -> Vec<i16> {
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

/// Numbers that an engine needs beside samples and weights, and its registers, prepared once for a panel.
pub(crate) struct Prepared {
    corrections: Vec<i16>,
    #[cfg(target_arch = "x86_64")]
    amx: Option<(super::amx::Tiles, super::amx::Tail)>,
}

impl Prepared {
    pub(crate) fn new(engine: Engine, panel: &[i8]) -> Self {
        Self {
            corrections: corrections(engine, panel),
            #[cfg(target_arch = "x86_64")]
            amx: (engine == Engine::Amx)
                .then(|| (super::amx::Tiles::new(), super::amx::Tail::of(panel))),
        }
    }
}

/// Products of a tile, `sums[i][j] = sum_l q[i][l] w[j][l]`, from `x = q + OFFSET` and `start[j] = -OFFSET sum_l w[j][l]`.
/// The AVX2 engine uses corrections in the place of `start`, and is right within its [`Limits`] only.
///
/// # Shapes
/// `x`: `[rows, padded]` of the engine's [`Engine::rows`], more bytes may follow; `panel`: `[padded / 4, 64, 4]`; `prepared`: of
/// this panel.
#[inline]
pub(crate) fn tile(
    engine: Engine,
    x: &[u8],
    panel: &[i8],
    start: &[i32; PANEL],
    prepared: &Prepared,
    sums: &mut [[i32; PANEL]; MOST_ROWS],
) {
    let padded = panel.len() / PANEL;
    let corrections = &*prepared.corrections;
    assert!(
        x.len() >= engine.rows() * padded
            && panel.len() == padded * PANEL
            && padded.is_multiple_of(QUAD)
    );
    assert!(
        engine != Engine::Avx2 || corrections.len() == padded.div_ceil(GROUP * QUAD) * 2 * PANEL
    );
    debug_assert!(Engine::available().contains(&engine));
    #[cfg(target_arch = "x86_64")]
    if let Some((tiles, tail)) = &prepared.amx {
        return tiles.products(x, panel, tail, start, sums);
    }
    let x = &x[..ROWS * padded];
    let sums: &mut [_; ROWS] = sums.first_chunk_mut().expect("a tile has 6 rows at least");
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
        for padded in [4, 8, 12, 32, 36, 64, 100, 128, 768] {
            for &engine in Engine::available() {
                let quantised = |kind: usize, limits: Limits| {
                    let mut q = vec![0; padded];
                    let _ = quantise(&row(padded, kind), limits, &mut q);
                    q
                };
                let rows = engine.rows();
                let samples: Vec<Vec<i8>> = (0..rows)
                    .map(|i| quantised(i, engine.of_samples()))
                    .collect();
                let weights: Vec<Vec<i8>> = (0..PANEL)
                    .map(|j| quantised(j, engine.of_weights()))
                    .collect();
                let mut x = vec![0; rows * padded];
                for (q, bytes) in samples.iter().zip(x.chunks_exact_mut(padded)) {
                    offset(q, bytes);
                }
                let mut panel = vec![0; PANEL * padded];
                for (j, q) in weights.iter().enumerate() {
                    pack(q, j, &mut panel);
                }
                let sum = |q: &[i8]| q.iter().map(|q| i32::from(*q)).sum::<i32>();
                let start = std::array::from_fn(|j| -i32::from(OFFSET) * sum(&weights[j]));
                let mut sums = [[1; PANEL]; MOST_ROWS];
                let prepared = Prepared::new(engine, &panel);
                tile(engine, &x, &panel, &start, &prepared, &mut sums);
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
