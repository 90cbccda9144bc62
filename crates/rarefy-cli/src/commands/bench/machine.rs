//! What the machine can do at best.

use std::time::Instant;

use rarefy_kernels::peak::{bf16_multiply_adds, byte_multiply_adds, multiply_adds};
use rayon::prelude::*;
use serde::Serialize;

use crate::output;

/// Rounds of a peak loop: some tens of milliseconds.
const ROUNDS: usize = 10_000_000;
/// Values that a thread copies: far more than its share of the caches.
const COPIED: usize = 1 << 24;

/// Peaks on all threads, in 10^9 operations (or bytes) a second.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub threads: usize,
    pub path: String,
    pub peak_f32_gflops: f64,
    /// Dot products of bf16 pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bf16_gflops: Option<f64>,
    /// Dot products of bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_int8_gops: Option<f64>,
    /// Read and written, by a copy.
    pub memory_gb_per_second: f64,
}

impl Machine {
    pub fn measure() -> Self {
        let peak = |loops: fn(usize) -> Option<usize>| best_of_three(|| on_every_thread(loops));
        Self {
            threads: rayon::current_num_threads(),
            path: format!("{:?}", rarefy_kernels::path()),
            peak_f32_gflops: peak_f32(),
            peak_bf16_gflops: bf16_multiply_adds(1).map(|_| peak(bf16_multiply_adds)),
            peak_int8_gops: byte_multiply_adds(1).map(|_| peak(byte_multiply_adds)),
            memory_gb_per_second: best_of_three(copy),
        }
    }

    pub fn table(&self) -> String {
        let or_none = |value: Option<f64>, unit| match value {
            Some(value) => format!("{value:.0} {unit}"),
            None => "no instructions".into(),
        };
        let rows = [
            ("threads", format!("{} ({})", self.threads, self.path)),
            ("f32 peak", format!("{:.0} GFLOP/s", self.peak_f32_gflops)),
            ("bf16 peak", or_none(self.peak_bf16_gflops, "GFLOP/s")),
            ("int8 peak", or_none(self.peak_int8_gops, "GOP/s")),
            (
                "memory",
                format!("{:.0} GB/s read and written", self.memory_gb_per_second),
            ),
        ];
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect();
        output::table(&["", ""], &rows, true)
    }
}

/// The f32 peak alone, which every measurement prints beside itself.
pub fn peak_f32() -> f64 {
    best_of_three(|| on_every_thread(|rounds| Some(multiply_adds(rounds))))
}

fn best_of_three(once: impl Fn() -> f64) -> f64 {
    (0..3).map(|_| once()).fold(0.0, f64::max)
}

fn on_every_thread(loops: fn(usize) -> Option<usize>) -> f64 {
    let start = Instant::now();
    let operations: usize = (0..rayon::current_num_threads())
        .into_par_iter()
        .with_max_len(1)
        .filter_map(|_| loops(ROUNDS))
        .sum();
    operations as f64 / start.elapsed().as_secs_f64() / 1e9
}

fn copy() -> f64 {
    let threads = rayon::current_num_threads();
    let from = vec![1.0f32; threads * COPIED];
    let mut to = vec![0.0f32; threads * COPIED];
    // Once before the clock starts: fresh pages cost more than the copy.
    to.copy_from_slice(&from);
    let start = Instant::now();
    to.par_chunks_mut(COPIED)
        .zip(from.par_chunks(COPIED))
        .for_each(|(to, from)| to.copy_from_slice(from));
    let seconds = start.elapsed().as_secs_f64();
    std::hint::black_box(&to);
    (2 * size_of_val(&from[..])) as f64 / seconds / 1e9
}
