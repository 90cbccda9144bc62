//! Peak arithmetic and memory bandwidth of this machine.

use std::time::Instant;

use rarefy::{Error, Result};
use rarefy_kernels::int8;
use rarefy_kernels::peak::{bf16_multiply_adds, byte_multiply_adds, multiply_adds};
use rayon::prelude::*;
use serde::Serialize;

use crate::output;

/// Rounds of a peak loop, which take some tens of milliseconds.
const ROUNDS: usize = 10_000_000;
/// Number of values that a thread copies: far more than its share of the caches.
const COPIED: usize = 1 << 24;

/// Peaks on all threads, in 10^9 operations or bytes per second.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub threads: usize,
    pub path: String,
    /// Instruction set for products of bytes.
    pub byte_engine: String,
    pub peak_f32_gflops: f64,
    /// Peak of dot products of bf16 pairs; `None` without such instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bf16_gflops: Option<f64>,
    /// Peak of dot products of bytes; `None` without such instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_int8_gops: Option<f64>,
    /// Bytes read and written by a copy.
    pub memory_gb_per_second: f64,
}

impl Machine {
    pub fn measure() -> Self {
        let peak = |loops: fn(usize) -> Option<usize>| best_of_three(|| on_every_thread(loops));
        Self {
            threads: rayon::current_num_threads(),
            path: format!("{:?}", rarefy_kernels::path()),
            byte_engine: format!("{:?}", int8::engine()),
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
            (
                "int8 peak",
                format!(
                    "{} ({})",
                    or_none(self.peak_int8_gops, "GOP/s"),
                    self.byte_engine
                ),
            ),
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

/// Peak of f32 multiply-adds alone, which every measurement prints for comparison.
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
    // The first copy is not timed: fresh pages cost more than the copy itself.
    to.copy_from_slice(&from);
    let start = Instant::now();
    to.par_chunks_mut(COPIED)
        .zip(from.par_chunks(COPIED))
        .for_each(|(to, from)| to.copy_from_slice(from));
    let seconds = start.elapsed().as_secs_f64();
    std::hint::black_box(&to);
    (2 * size_of_val(&from[..])) as f64 / seconds / 1e9
}

/// Bytes that a measurement may use if the free memory is unknown.
const MOST_BYTES: f64 = (16u64 << 30) as f64;

/// Refuses a measurement that needs more memory than is free; the system would end this program or another.
///
/// # Errors
/// [`Error::Conflict`] with both sizes.
pub fn refuse_beyond_memory(measurement: &str, bytes: f64) -> Result<()> {
    let (most, whose) = match free_memory() {
        Some(free) => (free, "are free on this machine"),
        None => (MOST_BYTES, "is the limit"),
    };
    if bytes <= most {
        return Ok(());
    }
    let (bytes, most) = (bytes / 1e9, most / 1e9);
    Err(Error::Conflict(format!(
        "{measurement} takes about {bytes:.1} GB of memory, but {most:.1} GB {whose}"
    )))
}

/// Free memory in bytes, from Linux's /proc/meminfo; `None` on other systems.
fn free_memory() -> Option<f64> {
    available(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn available(meminfo: &str) -> Option<f64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024.0 * kilobytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_parsed_from_meminfo() {
        let text = "MemTotal:       24689764 kB\nMemAvailable:   13000000 kB\nBuffers: 1 kB\n";
        assert_eq!(available(text), Some(1024.0 * 13e6));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: many\n"), None);
    }

    #[test]
    fn memory_beyond_free_memory_is_refused() {
        assert!(refuse_beyond_memory("nothing", 0.0).is_ok());
        let why = refuse_beyond_memory("a step", 1e18).unwrap_err();
        let why = why.to_string();
        assert!(
            why.starts_with("a step takes about 1000000000.0 GB of memory, but "),
            "{why}"
        );
    }
}
