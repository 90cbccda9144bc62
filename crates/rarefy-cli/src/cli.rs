//! The flags. Architectures' own options are not written here: they come from the library's table.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

mod aids;
mod explain;
mod frontier;
mod io_spec;
mod options;
mod synth;

pub use aids::AidArgs;
pub use explain::ExplainArgs;
pub use frontier::FrontierArgs;
pub use io_spec::IoArgs;
pub use options::given_options;
pub use synth::{SynthArgs, TruthArgs};

/// Sparse autoencoders, exact and fast: train them, measure them, turn rows into latents and back.
#[derive(Parser)]
#[command(
    name = "rarefy",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Commands,
}

#[derive(Subcommand)]
pub enum Commands {
    /// Train a sparse autoencoder and write a run folder with model, records and report.
    Train(TrainArgs),
    /// Train architectures at several sparsities, and show what each explains at which L0.
    Frontier(FrontierArgs),
    /// Print what a run minimises, and what its coefficients are in other libraries and papers.
    Explain(ExplainArgs),
    /// Measure a model on data.
    Eval(EvalArgs),
    /// Turn rows into latents.
    Encode(EncodeArgs),
    /// Turn latents back into rows.
    Decode(DecodeArgs),
    /// Write a model for another program, its preprocessing worked into the weights.
    Convert(ConvertArgs),
    /// Say what a file or folder is.
    Inspect(InspectArgs),
    /// Write the report of a run again, perhaps on other data.
    Report(ReportArgs),
    /// Draw a picture.
    #[command(subcommand)]
    Plot(PlotCommand),
    /// Check the mathematics on this machine.
    #[command(subcommand)]
    Check(CheckCommand),
    /// Look at data, cut patches, split into shards.
    #[command(subcommand)]
    Data(DataCommand),
    /// List what there is.
    List(ListArgs),
    /// Make rows of a known sparse dictionary, with hierarchy, correlation and noise as told.
    Synth(SynthArgs),
    /// Hold a model against the dictionary that its data came of.
    Truth(TruthArgs),
    /// Measure this machine: its limits, and a training step at several shapes.
    Bench(BenchArgs),
}

/// Where rows come from.
#[derive(Args, Clone, Default)]
pub struct DataArgs {
    /// Use only the first N rows.
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub rows: Option<usize>,
    /// Member of an npz, tensor of a safetensors file, column of a parquet file, where it is not named as `FILE::MEMBER`.
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub member: Option<String>,
    /// Whether a csv has a header line (detected if not said).
    #[arg(long, value_name = "BOOL", help_heading = "Data")]
    pub header: Option<bool>,
}

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct TrainArgs {
    /// File, folder of shards, glob or sample:NAME [default: sample:digits].
    pub data: Option<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Rows, evenly over the data, that are never trained on: for figures, and for batch-topk's threshold [default: 0].
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub holdout: Option<usize>,
    /// Preprocessing steps in order, separated by commas, or `none` (see `rarefy list preprocessing`); fitted to each of several inputs by itself.
    #[arg(long, value_name = "STEP,...", help_heading = "Data")]
    pub preprocess: Option<String>,
    /// Height and width of the images that rows are, such as 28x28.
    #[arg(long, value_name = "HxW", help_heading = "Data")]
    pub image_shape: Option<String>,

    /// Architecture (see `rarefy list architectures`) [default: kl].
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub arch: Option<String>,
    /// Number of latents [default: 64 for kl, else 8 for each input].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub latents: Option<usize>,
    /// Start from the weights of this model.
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    pub init: Option<PathBuf>,
    /// Keep decoder rows at length 1, leave them free, or leave them free and measure pre-activations in their lengths, as SAELens does [default: free for kl, else unit].
    #[arg(long, value_name = "NORM", value_parser = ["unit", "free", "rescale"], help_heading = "Model")]
    pub decoder_norm: Option<String>,
    #[command(flatten)]
    pub io: IoArgs,

    /// Optimiser; sparse architectures take adam, schedule-free or signum, kl the first three [default: lbfgs for kl without --batch, else adam].
    #[arg(long, value_name = "NAME", value_parser = ["lbfgs", "adam", "sgd", "schedule-free", "signum"], help_heading = "Training")]
    pub optimizer: Option<String>,
    /// Optimiser steps (lbfgs: iterations) [default: 400 iterations or 20 epochs, of sparse architectures at least 1000 steps].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub steps: Option<usize>,
    /// Passes over the data instead of steps.
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "steps",
        help_heading = "Training"
    )]
    pub epochs: Option<usize>,
    /// Rows in a mini-batch, at most all [default: all for lbfgs, else 256 for kl and 4096 for sparse architectures].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub batch: Option<usize>,
    /// Learning rate [default: 0.001 for kl and 0.0002 sqrt(16384 / latents) for sparse architectures with adam, 0.1 with sgd].
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub lr: Option<f64>,
    /// Largest norm of the gradient of adam and sgd, or `none` [default: none for kl, else 1].
    #[arg(long, value_name = "X|none", help_heading = "Training")]
    pub clip: Option<String>,
    /// Stop when the objective falls by less than this share over 5 iterations (lbfgs) or an epoch (adam, sgd); 0 for never [default: 1e-9 for lbfgs, else 0].
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub tolerance: Option<f64>,
    /// Seed of initial weights and of the order of rows [default: 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 63), help_heading = "Training")]
    pub seed: Option<u64>,
    /// Threads; the result does not depend on them [default: all cores].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub threads: Option<usize>,
    /// Take rows in the order of the data.
    #[arg(long, help_heading = "Training")]
    pub no_shuffle: bool,

    #[command(flatten)]
    pub aids: AidArgs,

    /// Run folder [default: the first free runs/ARCH-DATA-N].
    #[arg(long, value_name = "RUN", help_heading = "Run")]
    pub out: Option<PathBuf>,
    /// Configuration file (TOML), as a run's config.toml.
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub config: Option<PathBuf>,
    /// Set any key of the configuration, such as `train.history=50`.
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Run")]
    pub set: Vec<String>,
    /// Go on from the newest checkpoint of --out.
    #[arg(long, requires = "out", help_heading = "Run")]
    pub resume: bool,
    /// Replace the run that --out holds.
    #[arg(
        long,
        requires = "out",
        conflicts_with = "resume",
        help_heading = "Run"
    )]
    pub force: bool,
    /// Print one JSON object instead of tables.
    #[arg(long, help_heading = "Run")]
    pub json: bool,
    /// Say nothing but errors (and what --json prints).
    #[arg(long, short, help_heading = "Run")]
    pub quiet: bool,
}

#[derive(Args)]
pub struct EvalArgs {
    /// Run or model folder.
    pub model: PathBuf,
    /// File, folder of shards, glob or sample:NAME.
    pub data: String,
    #[command(flatten)]
    pub source: DataArgs,
    /// What a transcoder is to predict from each row.
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub target: Option<String>,
    /// A crosscoder's further inputs, in the order that it was trained on (may be repeated).
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub with: Vec<String>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct EncodeArgs {
    /// Run or model folder.
    pub model: PathBuf,
    /// File, folder of shards, glob or sample:NAME.
    pub data: String,
    #[command(flatten)]
    pub source: DataArgs,
    /// A crosscoder's further inputs, in the order that it was trained on (may be repeated).
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub with: Vec<String>,
    /// File to write: .npy dense, .npz (scipy.sparse CSR), .safetensors or .parquet.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// In sparse formats, leave out latents up to this value.
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = a_number)]
    pub threshold: f32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct DecodeArgs {
    /// Run or model folder.
    pub model: PathBuf,
    /// File that `encode` wrote.
    pub codes: PathBuf,
    /// File to write (.npy).
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ConvertArgs {
    /// Run or model folder.
    pub path: PathBuf,
    /// For which program.
    #[arg(long, value_name = "FORMAT", value_parser = ["saelens"], default_value = "saelens")]
    pub to: String,
    /// Folder to write.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct InspectArgs {
    /// Run, model or data.
    pub path: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ReportArgs {
    /// Run folder.
    pub run: PathBuf,
    /// Other data than the run was trained on.
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// With other data: what a transcoder is to predict from each row.
    #[arg(long, value_name = "DATA", requires = "data")]
    pub target: Option<String>,
    /// With other data: a crosscoder's further inputs (may be repeated).
    #[arg(long, value_name = "DATA", requires = "data")]
    pub with: Vec<String>,
    /// One label a line, for the rows of the data.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Height and width of the images that rows are.
    #[arg(long, value_name = "HxW")]
    pub image_shape: Option<String>,
}

#[derive(Subcommand)]
pub enum PlotCommand {
    /// The lecture's penalty against the mean activation: "let us plot it and check".
    Penalty {
        /// Target mean activation.
        #[arg(long, value_name = "R")]
        rho: f64,
        /// SVG file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
pub enum CheckCommand {
    /// Hand-written gradients against central differences, f32 against f64.
    Gradients {
        /// Architecture.
        #[arg(long, value_name = "NAME", default_value = "kl")]
        arch: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// Rows, width, range, mean and first labels.
    Info {
        /// File, folder of shards, glob or sample:NAME.
        data: String,
        #[command(flatten)]
        source: DataArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Cut grey patches out of photographs.
    Patches {
        /// Image file, folder or glob.
        images: String,
        /// Height and width of a patch.
        #[arg(long, value_name = "HxW", default_value = "8x8")]
        size: String,
        /// Number of patches.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        count: usize,
        /// Seed of the positions.
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// File to write (.npy).
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write data as npy shards of so many rows.
    Shard {
        /// File, folder of shards, glob or sample:NAME.
        data: String,
        #[command(flatten)]
        source: DataArgs,
        /// Rows in a shard.
        #[arg(long, value_name = "N")]
        shard_rows: usize,
        /// Folder to write.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
}

#[derive(Args)]
pub struct ListArgs {
    /// What to list.
    #[arg(value_parser = ["architectures", "formats", "samples", "metrics", "preprocessing"])]
    pub what: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub what: Option<BenchCommand>,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum BenchCommand {
    /// Time one full-batch value and gradient of the kl objective on made-up data.
    Objective(BenchObjectiveArgs),
    /// Time a training step of a sparse architecture on made-up data, stage by stage.
    Step(BenchStepArgs),
}

#[derive(Args)]
pub struct BenchObjectiveArgs {
    /// Rows.
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    pub rows: usize,
    /// Values in a row.
    #[arg(long, default_value_t = 784, value_parser = at_least_one)]
    pub d_in: usize,
    /// Latents.
    #[arg(long, default_value_t = 196, value_parser = at_least_one)]
    pub latents: usize,
    /// Output unit.
    #[arg(long, default_value = "sigmoid", value_parser = ["sigmoid", "linear"])]
    pub decoder: String,
    /// Loss.
    #[arg(long, default_value = "squared", value_parser = ["squared", "cross-entropy"])]
    pub loss: String,
    /// Measured evaluations.
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    pub repeats: usize,
    /// Threads [default: all cores].
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct BenchStepArgs {
    /// Rows of a batch.
    #[arg(long, default_value_t = 4096, value_parser = at_least_one)]
    pub rows: usize,
    /// Values in a row.
    #[arg(long, default_value_t = 768, value_parser = at_least_one)]
    pub d_in: usize,
    /// Latents.
    #[arg(long, default_value_t = 16_384, value_parser = at_least_one)]
    pub latents: usize,
    /// Architecture: one of the sparse ones.
    #[arg(long, value_name = "NAME", default_value = "topk")]
    pub arch: String,
    /// Active latents of a row; where the architecture does not count them, about so many.
    #[arg(long, default_value_t = 32, value_parser = at_least_one)]
    pub k: usize,
    /// Latents that start dead, so that the auxiliary stage has something to do.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub dead: usize,
    /// Measured steps.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub steps: usize,
    /// Threads [default: all cores].
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A number that can be compared with.
fn a_number(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if !number.is_nan() => Ok(number),
        _ => Err("expected a number".into()),
    }
}

/// A count that makes sense.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..1 << 32).contains(&count) => Ok(count),
        _ => Err("expected a whole number from 1 to 2^32 - 1".into()),
    }
}

/// Parses the command line; usage errors end the program with exit code 2.
pub fn parse() -> (Cli, ArgMatches) {
    let matches = command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    (cli, matches)
}

/// The whole command, with every architecture's options on `train`.
pub fn command() -> Command {
    let cli = Cli::command().mut_subcommand("truth", |truth| truth.after_help(synth::figures()));
    cli.mut_subcommand("train", options::of_architectures)
        .mut_subcommand("explain", |explain| {
            explain::worded(options::of_architectures(explain))
        })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
