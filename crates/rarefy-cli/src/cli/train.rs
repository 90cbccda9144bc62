//! Flags of `train`.

use std::path::PathBuf;

use clap::Args;

use super::{DataArgs, IoArgs, OptimizerArgs, ScheduleArgs, at_least_one, data_path};

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct TrainArgs {
    /// Training data: files, folders of shards, globs or sample:NAME [default: sample:digits].
    ///
    /// Rows of several paths follow each other in the order given. See `rarefy list formats` and `rarefy list samples`.
    #[arg(value_parser = data_path())]
    pub data: Vec<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Number of rows, evenly spaced over the data, to exclude from training [default: a twentieth of 1000 rows or more].
    ///
    /// Of a dictionary of `rarefy synth`, whose rows are drawn, the last rows. Metrics of held-out and training rows are printed side by side after training. batch-topk calibrates its threshold on the
    /// held-out rows. 0 trains on all rows.
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub holdout: Option<usize>,
    /// Preprocessing steps in order, separated by commas, or `none` [default: the sample's steps; scale for pictures of bytes; else none].
    ///
    /// Steps are fitted on the training rows and saved with the model. Each input of a crosscoder is fitted separately.
    /// See `rarefy list preprocessing`. Use `scale` or `standardise` if the values are far from 1.
    #[arg(long, value_name = "STEP,...", help_heading = "Data")]
    pub preprocess: Option<String>,
    /// Height and width of the images in the rows, such as 28x28 [default: the data's own shape, if any].
    ///
    /// The report then shows decoder rows and reconstructions as images.
    #[arg(
        long,
        value_name = "HxW",
        help_heading = "Data",
        hide_short_help = true
    )]
    pub image_shape: Option<String>,
    /// Memory for rows, such as 4GiB [default: 1GiB].
    ///
    /// Rows that fit are kept in memory and shuffled as a whole. Larger data is read once an epoch, in blocks of 64 rows, and shuffled in a
    /// window of this size; a warning says if neighbouring rows are so alike that the window should be larger.
    #[arg(long, value_name = "SIZE", help_heading = "Data")]
    pub memory: Option<String>,

    /// Architecture (see `rarefy list architectures`) [default: kl for pictures, topk for all other data].
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub arch: Option<String>,
    /// Number of latents [default: 64 for kl, else 8 per input value, at most rows^0.7 / 3].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub latents: Option<usize>,
    /// Run or model folder with initial weights [default: random weights].
    ///
    /// The model must have the same shapes, and should have been trained with the same preprocessing.
    #[arg(
        long,
        value_name = "MODEL",
        help_heading = "Model",
        hide_short_help = true
    )]
    pub init: Option<PathBuf>,
    /// Constraint on decoder rows: unit, free or rescale [default: free for kl, else unit].
    ///
    /// unit: rows have length 1 after every step. free: no constraint. rescale: no constraint, and each pre-activation
    /// is multiplied by the length of its decoder row, as in SAELens.
    #[arg(long, value_name = "NORM", value_parser = ["unit", "free", "rescale"], help_heading = "Model", hide_short_help = true, hide_possible_values = true)]
    pub decoder_norm: Option<String>,
    #[command(flatten)]
    pub io: IoArgs,

    #[command(flatten)]
    pub optimizer: OptimizerArgs,
    #[command(flatten)]
    pub schedules: ScheduleArgs,

    /// Run folder to write [default: the first free runs/ARCH-DATA-N].
    #[arg(long, value_name = "RUN", help_heading = "Run")]
    pub out: Option<PathBuf>,
    /// Configuration file (TOML); a run's config.toml repeats that run.
    ///
    /// Flags and --set win over the file.
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub config: Option<PathBuf>,
    /// Set one key of the configuration, such as `train.history=50` (may be repeated).
    ///
    /// A key may be written without its section if it is unique: `history=50`. Flags win over --set.
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Run")]
    pub set: Vec<String>,
    /// Train a model for each value of a key, all on the same batches; repeat it for all combinations.
    ///
    /// `--sweep k=16,32,64 --sweep lr=1e-4,3e-4` trains six models. Each is a run folder in --out, with the bytes of the same run alone; one that
    /// fails does not stop the others. At the end a table and the page sweep.html compare them. Steps of preprocessing are joined by +:
    /// `--sweep preprocess=none,standardise+pca:64`.
    #[arg(long, value_name = "KEY=VALUE,...", help_heading = "Run")]
    pub sweep: Vec<String>,
    /// Continue from the newest checkpoint of --out.
    #[arg(long, requires = "out", help_heading = "Run")]
    pub resume: bool,
    /// Replace the run in --out.
    #[arg(
        long,
        requires = "out",
        conflicts_with = "resume",
        help_heading = "Run"
    )]
    pub force: bool,
    /// Also write TensorBoard event files, into the folder `tensorboard` of the run.
    ///
    /// Event files have the numbers of metrics.jsonl and, at the end, metrics of the training rows and the held-out rows. Read
    /// the files with `tensorboard --logdir runs`. A resumed run goes on with its event files without this option.
    #[arg(long, help_heading = "Run", hide_short_help = true)]
    pub tensorboard: bool,
    /// Print a line of progress on stderr every N seconds, and at the first and the last step.
    ///
    /// For batch systems, whose logs have no progress bar: step, loss, explained variance, L0, dead latents, rows per second, time
    /// elapsed and left. In a terminal, the lines take the place of the bar.
    #[arg(long, value_name = "N", value_parser = at_least_one, conflicts_with = "quiet", help_heading = "Run", hide_short_help = true)]
    pub log_every: Option<usize>,
    /// Print how long each part of the run took: reading, steps, evaluation, report.
    ///
    /// The object of --json has the seconds always.
    #[arg(long, help_heading = "Run", hide_short_help = true)]
    pub timings: bool,
    /// Print one JSON object instead of tables.
    #[arg(long, help_heading = "Run")]
    pub json: bool,
    /// Print errors only, and the object of --json.
    #[arg(long, short, help_heading = "Run")]
    pub quiet: bool,
}
