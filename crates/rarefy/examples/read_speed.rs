//! Speed of reading data files: MB/s of f32 values and of file bytes, median of five.
//!
//! ```text
//! cargo run --release --example read_speed -p rarefy -- FILE...
//! ```
//!
//! Each reading opens the file and copies all rows, so that formats that are read in place and formats that are
//! decoded at once do the same work. One reading before fills the page cache. `benches/reading.py` makes files of 100 MB.
#![allow(
    clippy::disallowed_methods,
    reason = "an example may look at the clock; only the library may not"
)]

use std::time::Instant;

use rarefy::Result;
use rarefy::data::{self, OpenOptions};

/// Number of readings that count.
const READINGS: usize = 5;
/// Number of values copied at once: 4 MB, which stay in the cache of a processor.
const CHUNK: usize = 1 << 20;

fn main() {
    println!("  values     file  seconds  file");
    println!("    MB/s     MB/s   median");
    for file in std::env::args().skip(1) {
        match measure(&file) {
            Ok(line) => println!("{line}  {file}"),
            Err(error) => println!("{error}"),
        }
    }
}

/// Opens and reads a file several times; returns MB/s of values, MB/s of bytes and seconds.
fn measure(file: &str) -> Result<String> {
    let values = read(file)?;
    let mut seconds = Vec::new();
    for _ in 0..READINGS {
        let start = Instant::now();
        read(file)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[READINGS / 2];
    let speed = |bytes: u64| bytes as f64 / 1e6 / median;
    let bytes = std::fs::metadata(file).map_or(0, |file| file.len());
    let values = speed(4 * values as u64);
    Ok(format!("{values:>8.0} {:>8.0} {median:>8.3}", speed(bytes)))
}

/// Opens a file and copies all rows; returns the number of values.
fn read(file: &str) -> Result<usize> {
    let dataset = data::open(file, &OpenOptions::default())?;
    let (rows, d_in) = (dataset.source.rows(), dataset.source.d_in());
    let step = (CHUNK / d_in).max(1);
    let mut out = vec![0.0; step.min(rows) * d_in];
    for start in (0..rows).step_by(step) {
        let count = step.min(rows - start);
        dataset.source.read(start, &mut out[..count * d_in])?;
        std::hint::black_box(&out);
    }
    Ok(rows * d_in)
}
