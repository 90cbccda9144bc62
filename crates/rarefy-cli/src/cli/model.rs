//! Flags of the commands that use a trained model.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use rarefy::formats::MODEL_FORMATS;

use super::{DataArgs, LensArgs, data_path, number};

#[derive(Args)]
pub struct EvalArgs {
    /// Run folder or model folder.
    pub model: PathBuf,
    /// Data to evaluate on: files, folders of shards, globs or sample:NAME [default: the rows of the run, held-out and
    /// training rows apart].
    #[arg(value_parser = data_path())]
    pub data: Vec<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Target data of a transcoder, with as many rows as the data.
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub target: Option<String>,
    /// Next input of a crosscoder, in the order of training (repeat for each).
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub with: Vec<String>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct EncodeArgs {
    /// Run folder or model folder.
    pub model: PathBuf,
    /// Data to encode: files, folders of shards, globs or sample:NAME [default: the rows of the run].
    #[arg(value_parser = data_path())]
    pub data: Vec<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Next input of a crosscoder, in the order of training (repeat for each).
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub with: Vec<String>,
    /// File to write: .npy (dense), .npz (scipy.sparse CSR), .safetensors or .parquet.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Drop latents with values up to X; has no effect on dense .npy files.
    ///
    /// The default keeps every active latent. Raise it for sigmoid latents (kl), which are never exactly 0.
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = number)]
    pub threshold: f32,
    /// Print one JSON object instead of a line of text.
    #[arg(long)]
    pub json: bool,
    /// Print errors only, and the object of --json.
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Args)]
pub struct DecodeArgs {
    /// Run folder or model folder.
    pub model: PathBuf,
    /// File of codes that `rarefy encode` wrote.
    pub codes: PathBuf,
    /// File to write (.npy).
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print one JSON object instead of a line of text.
    #[arg(long)]
    pub json: bool,
}

/// Write a model in another library's format.
///
/// Preprocessing that the other library does not have is folded into the weights.
#[derive(Args)]
pub struct ConvertArgs {
    /// Run folder or model folder.
    pub path: PathBuf,
    /// Format to write.
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(MODEL_FORMATS.iter().map(|format| format.name)), default_value = MODEL_FORMATS[0].name)]
    pub to: String,
    /// Folder to write; it must be new or empty.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Print one JSON object instead of a line of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct InspectArgs {
    /// Run folder, model folder or data file.
    pub path: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ReportArgs {
    /// Run folder.
    pub run: PathBuf,
    /// Data to report on, repeated for several files as one data set [default: the data of the run].
    #[arg(long, value_name = "DATA")]
    pub data: Vec<String>,
    /// Target data of a transcoder, if --data is given.
    #[arg(long, value_name = "DATA", requires = "data")]
    pub target: Option<String>,
    /// Next input of a crosscoder, if --data is given (repeat for each).
    #[arg(long, value_name = "DATA", requires = "data")]
    pub with: Vec<String>,
    /// Text file with one label per row, shown beside the latents [default: the data's own labels].
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Text file with one text per row, such as the sentences of embeddings [default: the data's own texts].
    #[arg(long, value_name = "FILE")]
    pub texts: Option<PathBuf>,
    #[command(flatten)]
    pub lens: LensArgs,
    /// Height and width of the images in the rows, such as 28x28 [default: the shape that the run recorded].
    #[arg(long, value_name = "HxW")]
    pub image_shape: Option<String>,
    /// File to write (.html) [default: the run's report.html; with --data, report-DATA.html in the run's folder].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
