//! Flags of `rarefy latents`.

use std::path::PathBuf;

use clap::Args;
use rarefy::model::Model;
use rarefy_run::tokens::Tokens;

use super::{DataArgs, at_least_one, data_path};

/// Files of the logit lens.
#[derive(Args)]
pub struct LensArgs {
    /// Output matrix of the language model (unembedding), with a row or column for each token; adds the tokens that each
    /// latent raises and lowers.
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "vocabulary", value_parser = data_path())]
    pub unembedding: Option<String>,
    /// Tokens of the matrix: a JSON list, a JSON object of tokens and numbers (vocab.json), or lines of text.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Data",
        requires = "unembedding"
    )]
    pub vocabulary: Option<PathBuf>,
}

impl LensArgs {
    /// Tokens that the latents of a model raise and lower; `None` without the files.
    pub fn tokens(&self, model: &Model) -> rarefy::Result<Option<Tokens>> {
        let files = self.unembedding.as_ref().zip(self.vocabulary.as_ref());
        files
            .map(|(matrix, words)| Tokens::read(matrix, words, model))
            .transpose()
    }
}

/// Show what latents respond to: most active rows, names, neighbours.
///
/// Names come from the texts of the rows on which a latent is most active, or from their labels. Without DATA, the data of the
/// run is read. --search and --target rank latents by their association with words, a class or a score.
#[derive(Args)]
pub struct LatentsArgs {
    /// Run folder or model folder.
    pub model: PathBuf,
    /// Data: files, folders of shards, globs or sample:NAME [default: the data of the run].
    #[arg(value_parser = data_path())]
    pub data: Vec<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Next input of a crosscoder, in the order of training (repeat for each).
    #[arg(long, value_name = "DATA", help_heading = "Data", requires = "data")]
    pub with: Vec<String>,
    /// Text file with one text for each row, such as the sentences of embeddings [default: the data's own texts].
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub texts: Option<PathBuf>,
    /// Text file with one label or score for each row [default: the data's own labels].
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub labels: Option<PathBuf>,
    #[command(flatten)]
    pub lens: LensArgs,
    /// Rank latents by their association with the texts that contain all these words.
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["target", "latent"])]
    pub search: Option<String>,
    /// Rank latents by their association with a column of the data's table, or with its labels (`labels`).
    ///
    /// Numbers with fractions, or more than 20 different ones, are a score: latents are ranked by correlation. All else are
    /// classes: latents are ranked by the test of the counts, and have an odds ratio. q is the false discovery rate. Beside it, a
    /// cross-validated ridge regression tells how well the best latents predict the target, and how well all inputs do.
    #[arg(long, value_name = "COLUMN", conflicts_with = "latent")]
    pub target: Option<String>,
    /// Kind of the target [default: by its values].
    #[arg(long, value_name = "KIND", value_parser = ["score", "class"], requires = "target")]
    pub kind: Option<String>,
    /// Show the associations with one class of the target alone.
    #[arg(long, value_name = "NAME", requires = "target")]
    pub class: Option<String>,
    /// Show one latent in full, by its number.
    #[arg(long, value_name = "N")]
    pub latent: Option<usize>,
    /// Number of lines of the table; all latents are in --csv and --json.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    pub limit: usize,
    /// Order of the table: activity (most active rows first), max (largest activation) or number.
    #[arg(long, value_name = "ORDER", value_parser = ["activity", "max", "number"], default_value = "activity", conflicts_with_all = ["search", "target", "latent"])]
    pub sort: String,
    /// Number of most active rows of each latent.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    pub top: usize,
    /// File to write the whole table to (.csv).
    #[arg(long, value_name = "FILE", conflicts_with = "latent")]
    pub csv: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}
