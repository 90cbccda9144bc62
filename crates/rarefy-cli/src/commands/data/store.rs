//! Commands `rarefy data shard` and `rarefy data verify`: stores.

use std::path::Path;

use indicatif::{HumanBytes, ProgressBar};
use rarefy::Error;
use rarefy::data::store::{self, Begin, Number, StoreOptions, Written};
use rarefy::data::{self, OpenOptions};
use rarefy_run::folder::Lock;
use rarefy_run::output_path;
use serde_json::json;

use crate::cli::ShardArgs;
use crate::configuration::{as_paths, data_options};
use crate::reading::{self, style};
use crate::{interrupt, output};

/// Writes a store.
pub fn shard(args: &ShardArgs) -> anyhow::Result<()> {
    if args.shard_rows == Some(0) {
        return Err(Error::hyper("store.shard_rows", "at least 1", 0).into());
    }
    output_path::check_folder(&args.out)?;
    let inputs: Vec<&Path> = args.data.iter().map(Path::new).collect();
    output_path::check_apart(&args.out, &inputs)?;
    // Held until the end: one process at a time writes into a store.
    let _lock = Lock::folder(&args.out)?;
    let of_rows = OpenOptions {
        places: true,
        ..data_options(&args.source)?
    };
    let dataset = data::open_all(&as_paths(&args.data), &of_rows)?;
    reading::tell(&dataset, "train");
    let begin = match (args.append, args.resume) {
        (true, _) => Begin::Append,
        (_, true) => Begin::Resume,
        _ => Begin::New,
    };
    let options = options(args);
    let looks = style("{bar:24} {human_pos}/{human_len} rows  {rate}  {eta} left");
    let bar = ProgressBar::new(dataset.source.rows() as u64).with_style(looks);
    interrupt::watch();
    let written = store::write(&dataset, &args.out, &options, begin, &mut |rows| {
        bar.inc(rows as u64);
        interrupt::check()
    });
    interrupt::release();
    bar.finish_and_clear();
    if let Err(Error::Interrupted) = written {
        output::note("interrupted; the same command with --resume continues");
    }
    tell(args, dataset.source.d_in(), &written?)
}

fn options(args: &ShardArgs) -> StoreOptions {
    let number = args.dtype.as_deref().map(|name| match name {
        "f64" => Number::F64,
        "f16" => Number::F16,
        "bf16" => Number::Bf16,
        "int8" => Number::Int8,
        _ => Number::F32,
    });
    StoreOptions {
        number,
        shard_rows: args.shard_rows,
        outlier_norm: args.outlier_norm,
        skip_first: args.skip_first,
        skip_tokens: args.skip_tokens.clone(),
        model: args.model.clone(),
        module: args.module.clone(),
    }
}

fn tell(args: &ShardArgs, d_in: usize, written: &Written) -> anyhow::Result<()> {
    let out = args.out.display().to_string();
    let Written {
        rows,
        left_out,
        shards,
        shard_rows,
        number,
        before,
    } = *written;
    if args.json {
        return output::json(&json!({
            "rows": rows, "d_in": d_in, "dtype": number, "shards": shards, "shard_rows": shard_rows, "left_out": left_out,
            "rows_before": before, "out": out,
        }));
    }
    // A mask that was asked for has its number also if it is 0: a token may be misspelt.
    let reasons = [
        (left_out.first, "position", args.skip_first > 0),
        (left_out.special, "token", !args.skip_tokens.is_empty()),
        (left_out.outliers, "norm", args.outlier_norm.is_some()),
    ];
    let left_out: String = reasons
        .into_iter()
        .filter(|(count, _, is_asked)| *count > 0 || *is_asked)
        .map(|(count, reason, _)| match count {
            1 => format!(", 1 row left out because of its {reason}"),
            many => format!(", {many} rows left out because of their {reason}s"),
        })
        .collect();
    let shards = match shards {
        1 => "1 shard".to_owned(),
        many => format!("{many} shards"),
    };
    output::print(&format!("{rows} rows in {shards}{left_out} -> {out}"))
}

/// Checks a store.
pub fn verify(folder: &Path, as_json: bool) -> anyhow::Result<()> {
    let looks = style("{spinner} {bytes} checked  {bytes_per_sec}");
    let bar = ProgressBar::new_spinner().with_style(looks);
    interrupt::watch();
    let verified = store::verify(folder, &mut |bytes| {
        bar.inc(bytes as u64);
        interrupt::check()
    });
    interrupt::release();
    bar.finish_and_clear();
    let verified = verified?;
    let out = folder.display().to_string();
    if as_json {
        return output::json(&json!({
            "store": out, "rows": verified.rows, "files": verified.files, "bytes": verified.bytes,
        }));
    }
    output::print(&format!(
        "{out}: {} rows, {} files of {}, all as in the manifest",
        verified.rows,
        verified.files,
        HumanBytes(verified.bytes)
    ))
}
