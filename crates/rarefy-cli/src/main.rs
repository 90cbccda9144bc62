//! Program `rarefy`: parses flags, calls the library, prints tables and writes files.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock is used for progress and throughput only; results do not depend on it"
)]

mod cli;
mod commands;
mod configuration;
mod hints;
mod interrupt;
mod npy_file;
mod output;
mod reading;
mod rows;
mod threads;

use std::process::ExitCode;

use rarefy_kernels::memory::Lines;

#[global_allocator]
static MEMORY: Lines = Lines;

fn main() -> ExitCode {
    let (cli, matches) = cli::parse();
    let run = || {
        threads::check_environment()?;
        commands::run(cli, &matches)
    };
    match run() {
        Ok(code) => code,
        Err(error) => output::fail(&error, &cli::called(&matches)),
    }
}
