//! Flags of the data that a command reads, and the commands of `rarefy data`.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use rarefy::config;
use toml::{Table, Value};

use crate::configuration::{count, name_list};

/// Flags that say how a data file is read.
#[derive(Args, Clone, Default)]
pub struct DataArgs {
    /// Use only the first N rows [default: all].
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub rows: Option<usize>,
    /// Member of a file that has several: npz array, safetensors tensor or column of a table.
    ///
    /// `FILE::MEMBER` in place of the data's path says the same. If the file has one member, it is read by default.
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Data",
        hide_short_help = true
    )]
    pub member: Option<String>,
    /// True if the csv file starts with a header line [default: detected].
    ///
    /// Set it if the detection is wrong, for example if the header consists of numbers.
    #[arg(
        long,
        value_name = "BOOL",
        help_heading = "Data",
        hide_short_help = true
    )]
    pub header: Option<bool>,
    /// Columns of a table that are data, such as a,b,c or x_* [default: by type and name].
    #[arg(long, value_name = "NAME,...", help_heading = "Data")]
    pub columns: Option<String>,
    /// Columns of a table to leave out, such as id,note.
    #[arg(long, value_name = "NAME,...", help_heading = "Data")]
    pub exclude: Option<String>,
    /// Column of a table that holds labels [default: by name].
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Data",
        hide_short_help = true
    )]
    pub label: Option<String>,
    /// Column of a table that holds texts [default: by name].
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Data",
        hide_short_help = true
    )]
    pub text: Option<String>,
    /// Axes of an array with more than two that make a row [default: last; images: flatten].
    ///
    /// With `last`, activations of 20 prompts x 5 tokens x 8 values are 100 rows of 8; with `flatten`, 20 rows of 40.
    #[arg(
        long,
        value_name = "AXES",
        value_parser = ["last", "flatten"],
        help_heading = "Data",
        hide_short_help = true
    )]
    pub row_axis: Option<String>,
    /// Leave out rows with NaN, infinity or, in a table, a missing or unreadable number, and say how many.
    #[arg(long, help_heading = "Data", hide_short_help = true)]
    pub skip_bad_rows: bool,
}

impl DataArgs {
    /// Puts the given flags into a layer of the configuration.
    pub fn put(&self, layer: &mut Table) {
        for (key, value) in [
            ("data.rows", count(self.rows)),
            ("data.member", self.member.clone().map(Value::String)),
            ("data.header", self.header.map(Value::Boolean)),
            ("data.columns", self.columns.as_deref().map(name_list)),
            ("data.exclude", self.exclude.as_deref().map(name_list)),
            ("data.label", self.label.clone().map(Value::String)),
            ("data.text", self.text.clone().map(Value::String)),
            ("data.row_axis", self.row_axis.clone().map(Value::String)),
            (
                "data.skip_bad_rows",
                self.skip_bad_rows.then_some(Value::Boolean(true)),
            ),
        ] {
            if let Some(value) = value {
                config::insert(layer, key, value);
            }
        }
    }
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// Show rows, width, range, mean and first labels.
    Info {
        /// Data: files, folders of shards, globs or sample:NAME.
        #[arg(required = true, value_parser = data_path())]
        data: Vec<String>,
        #[command(flatten)]
        source: DataArgs,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Cut grey or colour patches at random positions from photographs.
    Patches {
        /// Image files, folders or globs.
        #[arg(required = true, value_parser = data_path())]
        images: Vec<String>,
        /// Height and width of a patch in pixels.
        #[arg(long, value_name = "HxW", default_value = "8x8")]
        size: String,
        /// Number of patches.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        count: usize,
        /// Seed of the random positions.
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// Channels of a patch: grey (luma), or colour (red, green, blue of each pixel).
        #[arg(long, value_name = "NAME", value_parser = ["grey", "colour"], default_value = "grey")]
        channels: String,
        /// Read damaged and cut-off files as far as possible, and say so.
        #[arg(long)]
        accept_damaged: bool,
        /// File to write (.npy).
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print one JSON object instead of a line of text.
        #[arg(long)]
        json: bool,
    },
    /// Write data as a store: a folder of shards with a manifest, checksums, labels and texts.
    ///
    /// A store is data for every command. It is refused until it is complete, so that a killed command leaves nothing that reads as a smaller data
    /// set; --resume continues after the last complete shard.
    Shard(Box<ShardArgs>),
    /// Compare all files of a store with the checksums of its manifest.
    Verify {
        /// Folder of the store.
        store: PathBuf,
        /// Print one JSON object instead of a line of text.
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `data shard`.
#[derive(Args)]
pub struct ShardArgs {
    /// Data: files, folders of shards, globs or sample:NAME.
    #[arg(required = true, value_parser = data_path())]
    pub data: Vec<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Number of rows of the data per shard [default: as many as take 1 GiB].
    #[arg(long, value_name = "N")]
    pub shard_rows: Option<usize>,
    /// Number type: f32, f16, bf16, int8 with a scale for each row, or f64 [default: f64 if the data has more digits than f32, else f32].
    #[arg(long, value_name = "TYPE", value_parser = ["f64", "f32", "f16", "bf16", "int8"], hide_possible_values = true)]
    pub dtype: Option<String>,
    /// Leave out rows whose norm is more than X times the median norm, and say how many.
    #[arg(long, value_name = "X")]
    pub outlier_norm: Option<f64>,
    /// Leave out the first N positions of each context, and say how many rows these are [default: 0].
    ///
    /// Positions are known of arrays [prompts, tokens, width], of activations that SAELens cached, of shards of saev, and of
    /// stores of these.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub skip_first: u64,
    /// Leave out rows of these tokens, such as 0,2, and say how many rows these are.
    ///
    /// Tokens are known of activations that SAELens cached, of stores of these, and of those of `lm.harvest`.
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub skip_tokens: Vec<i32>,
    /// Name of the model whose activations the rows are, for the manifest.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Place in the model, such as `blocks.8.hook_resid_pre`, for the manifest.
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// Folder to write; it must be new or empty, unless --append or --resume is given.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Add the rows to the complete store in --out.
    #[arg(long, conflicts_with = "resume")]
    pub append: bool,
    /// Continue the store in --out, whose writer was stopped; give the same data and flags.
    #[arg(long)]
    pub resume: bool,
    /// Print one JSON object instead of a line of text.
    #[arg(long)]
    pub json: bool,
}

/// Parser of paths of data, which a configuration stores as text.
pub fn data_path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|path| {
        let refuse = |_| "expected a path in UTF-8, so that config.toml can hold it; rename the file or link to it";
        path.into_string().map_err(refuse)
    })
}
