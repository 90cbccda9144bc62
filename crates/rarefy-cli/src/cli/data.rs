//! Flags of the data that a command reads, and the commands of `rarefy data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rarefy::config;
use toml::{Table, Value};

use crate::configuration::count;

/// Flags that say how a data file is read.
#[derive(Args, Clone, Default)]
pub struct DataArgs {
    /// Use only the first N rows [default: all].
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub rows: Option<usize>,
    /// Member of a file that has several: npz array, safetensors tensor or parquet column.
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
}

impl DataArgs {
    /// Puts the given flags into a layer of the configuration.
    pub fn put(&self, layer: &mut Table) {
        for (key, value) in [
            ("data.rows", count(self.rows)),
            ("data.member", self.member.clone().map(Value::String)),
            ("data.header", self.header.map(Value::Boolean)),
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
        /// Data: file, folder of shards, glob or sample:NAME.
        data: String,
        #[command(flatten)]
        source: DataArgs,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Cut grey patches at random positions from photographs.
    Patches {
        /// Image file, folder or glob.
        images: String,
        /// Height and width of a patch in pixels.
        #[arg(long, value_name = "HxW", default_value = "8x8")]
        size: String,
        /// Number of patches.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        count: usize,
        /// Seed of the random positions.
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// File to write (.npy).
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Split data into npy files with equally many rows.
    Shard {
        /// Data: file, folder of shards, glob or sample:NAME.
        data: String,
        #[command(flatten)]
        source: DataArgs,
        /// Number of rows per shard.
        #[arg(long, value_name = "N")]
        shard_rows: usize,
        /// Folder to write; it must be new or empty.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
}
