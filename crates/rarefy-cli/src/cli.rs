//! Command line of the program. Options of architectures come from the library's table, not from here.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::output;

mod bench;
mod compare;
mod data;
mod examples;
mod explain;
mod foreign;
mod frontier;
mod io_spec;
mod latents;
mod model;
mod optimizer;
mod options;
mod schedules;
mod synth;
mod train;
mod watch;

pub use bench::{BenchArgs, BenchCommand, BenchObjectiveArgs, BenchStepArgs};
pub use compare::CompareArgs;
pub use data::{DataArgs, DataCommand, ShardArgs, data_path};
pub use explain::ExplainArgs;
pub use frontier::FrontierArgs;
pub use io_spec::IoArgs;
pub use latents::{LatentsArgs, LensArgs};
pub use model::{ConvertArgs, DecodeArgs, EncodeArgs, EvalArgs, InspectArgs, ReportArgs};
pub use optimizer::{OptimizerArgs, SeedArgs};
pub use options::given_options;
pub use schedules::ScheduleArgs;
pub use synth::{SynthArgs, TruthArgs};
pub use train::TrainArgs;
pub use watch::WatchArgs;

/// Train, evaluate, explain and apply sparse autoencoders.
#[derive(Parser)]
#[command(
    name = "rarefy",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Commands,
}

#[derive(Subcommand)]
pub enum Commands {
    /// Train a sparse autoencoder and write a run folder with model, metrics and report.
    Train(TrainArgs),
    /// Train several architectures at several sparsities and compare them at equal L0.
    Frontier(FrontierArgs),
    /// Print the objective of a run and its coefficients in other libraries' conventions.
    Explain(ExplainArgs),
    /// Evaluate a model on data: explained variance, L0, dead latents.
    Eval(EvalArgs),
    /// Show what latents respond to, search them, and rank them by a class or score.
    Latents(LatentsArgs),
    /// Show the curves of a run in the terminal, live while it trains.
    ///
    /// Curves of loss, explained variance, L0 and the share of dead latents over the steps; of kl, loss, reconstruction, penalty and
    /// mean activation. The picture follows the run; q or Ctrl-C leaves, and the run goes on. If standard output is no terminal,
    /// one picture is printed. The folder is only read.
    Watch(WatchArgs),
    /// Compare runs: settings that differ, figures side by side, curves over each other.
    Compare(CompareArgs),
    /// Encode rows into latents and write the codes to a file.
    Encode(EncodeArgs),
    /// Decode a file of codes into rows.
    Decode(DecodeArgs),
    /// Write a model in another library's format.
    Convert(ConvertArgs),
    /// Show the format, architecture and shapes of a model, run or data file.
    Inspect(InspectArgs),
    /// Write the HTML report of a run again, on the same or on other data.
    Report(ReportArgs),
    /// Draw the features of a model, the curves of a run or the KL penalty, as files.
    #[command(subcommand)]
    Plot(PlotCommand),
    /// Check gradients numerically on this machine.
    #[command(subcommand)]
    Check(CheckCommand),
    /// Summarise data, cut image patches or split data into shards.
    #[command(subcommand)]
    Data(DataCommand),
    /// List architectures, formats, samples, preprocessing steps or metrics.
    List(ListArgs),
    /// Generate rows from a known sparse dictionary.
    Synth(SynthArgs),
    /// Score a model against the known dictionary of synthetic data.
    Truth(TruthArgs),
    /// Measure the speed of this machine and of training steps.
    Bench(BenchArgs),
}

#[derive(Subcommand)]
pub enum PlotCommand {
    /// Draw what each latent looks for: its filter, the picture of length 1 that raises it most.
    ///
    /// 0 is grey; each filter is scaled by its largest weight. Latents follow each other in rows, latent 0 at the upper left.
    Features {
        /// Run folder or model folder of a model of pictures.
        model: PathBuf,
        /// Draw only the first N latents [default: all].
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// Height and width of the pictures, such as 28x28 [default: the shape that the run recorded].
        #[arg(long, value_name = "HxW")]
        image_shape: Option<String>,
        /// PNG file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Plot the terms of the objective over the steps of a run.
    Curves {
        /// Run folder.
        run: PathBuf,
        /// SVG file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Plot the KL penalty against the mean activation of a latent.
    Penalty {
        /// Target mean activation, between 0 and 1.
        #[arg(long, value_name = "X")]
        rho: f64,
        /// SVG file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
pub enum CheckCommand {
    /// Compare gradients with central differences in f64, and f32 results with f64.
    Gradients {
        /// Architecture to check (see `rarefy list architectures`).
        #[arg(long, value_name = "NAME", default_value = "kl")]
        arch: String,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub struct ListArgs {
    /// Table to list.
    #[arg(value_name = "TABLE", value_parser = ["architectures", "formats", "samples", "metrics", "preprocessing"])]
    pub table: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Parses the command line; usage errors end the program with exit code 2.
pub fn parse() -> (Cli, ArgMatches) {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let matches = asked_for(&arguments.collect::<Vec<_>>())
        .try_get_matches()
        .unwrap_or_else(|error| refuse(&error));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    (cli, matches)
}

/// The command, with the options of one architecture only if the arguments ask for its help: `train --arch topk --help`.
fn asked_for(arguments: &[String]) -> Command {
    let asks = |argument: &String| argument == "-h" || argument == "--help";
    let named = |pair: &[String]| match pair[0].strip_prefix("--arch") {
        Some("") => pair.get(1).cloned(),
        Some(value) => value.strip_prefix('=').map(str::to_owned),
        None => None,
    };
    let arch = (0..arguments.len()).find_map(|i| named(&arguments[i..]));
    let arch = arch.filter(|_| arguments.iter().any(asks));
    let info = arch.map(|arch| {
        rarefy::variants::find(&arch).unwrap_or_else(|error| {
            output::note(&format!("error: {error}"));
            std::process::exit(2)
        })
    });
    match info {
        Some(info) => ["train", "explain"]
            .into_iter()
            .fold(command(), |all, name| {
                all.mut_subcommand(name, |command| options::only_of(command, info))
            }),
        None => command(),
    }
}

/// Answer to `rarefy plot RUN`.
const PLOTS: &str = "error: `rarefy plot` takes the kind of plot first\n\
    hint: rarefy plot features RUN --out features.png, or rarefy plot curves RUN --out curves.svg";

/// True if the program was called as `rarefy plot`.
fn plots() -> bool {
    std::env::args_os()
        .nth(1)
        .is_some_and(|name| name == "plot")
}

/// Prints an error of the arguments, or the help that was asked for, and ends the program.
fn refuse(error: &clap::Error) -> ! {
    let answer = match error.kind() {
        ErrorKind::UnknownArgument => foreign::answer(error),
        ErrorKind::InvalidSubcommand if plots() => Some(PLOTS.to_owned()),
        ErrorKind::InvalidSubcommand => foreign::command(error),
        _ => None,
    };
    if let Some(answer) = answer {
        output::note(&answer);
        std::process::exit(error.exit_code());
    }
    if error.kind() != ErrorKind::ValueValidation {
        error.exit();
    }
    // Words of Rust's parsers.
    let text = error
        .render()
        .to_string()
        .replace(
            "invalid digit found in string",
            "expected a whole number not below 0",
        )
        .replace("invalid float literal", "expected a number")
        .replace(
            "number too large to fit in target type",
            "expected a smaller number",
        );
    output::note(text.trim_end());
    std::process::exit(error.exit_code())
}

/// Complete command, with the options of all architectures and the examples.
pub fn command() -> Command {
    let cli = Cli::command()
        .mut_subcommand("train", options::with_architectures)
        .mut_subcommand("explain", |explain| {
            explain::described(options::with_architectures(explain))
        })
        .mut_subcommand("truth", |truth| truth.after_help(synth::metrics()));
    accept_negative_numbers(examples::add(cli))
}

/// Subcommand that was called, such as `data info`.
pub fn called(matches: &ArgMatches) -> Command {
    let (mut command, mut matches) = (command(), matches);
    while let Some((name, inner)) = matches.subcommand() {
        let found = command.find_subcommand(name).cloned();
        command = found.expect("clap parsed this subcommand");
        matches = inner;
    }
    command
}

/// Subcommand of a name, such as `train`.
///
/// # Panics
/// If there is no such subcommand.
pub fn named(name: &str) -> Command {
    let found = command().find_subcommand(name).cloned();
    found.expect("the name is one of the commands")
}

/// Lets numbers begin with a minus sign: `--seed -1` then names the wrong value, not an unknown flag `-1`.
fn accept_negative_numbers(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let number = arg
            .get_value_names()
            .is_some_and(|names| names.iter().any(|name| ["N", "X", "L0"].contains(&&**name)));
        let accepts = number || arg.is_allow_negative_numbers_set();
        arg.allow_negative_numbers(accepts)
    });
    command.mut_subcommands(accept_negative_numbers)
}

/// Number that is not NaN, so that comparisons with it make sense.
fn number(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if !number.is_nan() => Ok(number),
        _ => Err("expected a number".into()),
    }
}

/// Count between 1 and 2^32 - 1.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..1 << 32).contains(&count) => Ok(count),
        _ => Err("expected a whole number from 1 to 2^32 - 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_passes_the_assertions_of_clap() {
        command().debug_assert();
    }

    #[test]
    fn called_finds_nested_subcommand() {
        let words = ["rarefy", "data", "info", "x.npy"];
        let matches = command().try_get_matches_from(words).unwrap();
        assert_eq!(called(&matches).get_name(), "info");
    }

    /// `-h` of `train` fits on a screen or two; `--help` has every option.
    #[test]
    fn short_help_of_train_has_half_of_the_options() {
        let options = |help: &str| {
            let lines = help.lines().map(str::trim_start);
            lines.filter(|line| line.starts_with('-')).count()
        };
        let mut command = command();
        let train = command.find_subcommand_mut("train").unwrap();
        let short = options(&train.render_help().to_string());
        let long = options(&train.render_long_help().to_string());
        assert!(short <= 36 && long >= 70, "{short} of {long}");
    }

    #[test]
    fn every_option_of_every_command_has_a_help_text() {
        fn check(command: &Command) {
            for arg in command.get_arguments() {
                let id = format!("{} {}", command.get_name(), arg.get_id());
                assert!(arg.get_help().is_some(), "{id}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }
}
