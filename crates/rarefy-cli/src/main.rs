//! The program `rarefy`: flags in, library calls, tables and files out.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "the program may look at the clock, for progress and throughput; results never depend on it"
)]

mod cli;
mod commands;
mod configuration;
mod dataset;
mod interrupt;
mod npy_file;
mod observer;
mod output;
mod output_path;
mod reading;
mod report;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    let (cli, matches) = cli::parse();
    match commands::run(cli, &matches) {
        Ok(code) => code,
        Err(error) => output::fail(&error),
    }
}
