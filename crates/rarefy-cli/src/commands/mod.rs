//! Commands of the program, one file each.

mod bench;
mod check;
mod codes;
mod compare;
mod convert;
mod data;
mod eval;
mod explain;
mod frontier;
mod inspect;
mod latents;
mod list;
mod plot;
mod report;
mod synth;
mod train;
mod truth;
mod watch;

use std::process::ExitCode;

use clap::ArgMatches;

use crate::cli::{Cli, Commands};

/// Runs the command of the command line.
pub fn run(cli: Cli, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match cli.command {
        Commands::Train(args) => {
            let (_, train) = matches.subcommand().expect("clap parsed a subcommand");
            train::run(&args, train)?;
        }
        Commands::Frontier(args) => frontier::run(&args)?,
        Commands::Explain(args) => {
            let (_, explain) = matches.subcommand().expect("clap parsed a subcommand");
            explain::run(args, explain)?;
        }
        Commands::Eval(args) => eval::run(&args)?,
        Commands::Latents(args) => latents::run(&args)?,
        Commands::Watch(args) => watch::run(&args)?,
        Commands::Compare(args) => compare::run(&args)?,
        Commands::Encode(args) => codes::encode(&args)?,
        Commands::Decode(args) => codes::decode(&args)?,
        Commands::Convert(args) => convert::run(&args)?,
        Commands::Inspect(args) => inspect::run(&args)?,
        Commands::Report(args) => report::run(&args)?,
        Commands::Plot(command) => plot::run(&command)?,
        Commands::Check(command) => return check::run(&command),
        Commands::Data(command) => data::run(command)?,
        Commands::List(args) => list::run(&args)?,
        Commands::Synth(args) => synth::run(&args)?,
        Commands::Truth(args) => truth::run(&args)?,
        Commands::Bench(command) => bench::run(&command)?,
    }
    Ok(ExitCode::SUCCESS)
}
