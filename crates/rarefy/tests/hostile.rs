//! Damaged and malicious files give an error that names the file, no panic, and no excessive memory.
//!
//! Each valid file is truncated at many lengths and changed at many positions. The random seed is fixed, so that
//! failures are reproducible.

use rarefy::io_spec::IoSpec;
use rarefy::variants::{BiasStart, StartRows};
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::fixtures::{Options, folder};
use rand::{RngExt, SeedableRng};
use rarefy::config::Config;
use rarefy::data::{self, Memory, OpenOptions, survey};
use rarefy::formats::codes;
use rarefy::model::Model;
use rarefy::plan::Plan;
use rarefy::preprocess::Pipeline;
use rarefy::train::State;
use rarefy::variants;
use rarefy::{Error, Result};

/// Number of truncated and of changed copies of each file.
const TRIALS: usize = 150;
/// Maximum growth of the address space in bytes over all trials of a test. Stacks and pools fit; memory for the sizes
/// that a hostile header claims does not.
pub const MOST_MEMORY: u64 = 1 << 30;

/// Expected outcome for a truncated file.
#[derive(Clone, Copy, PartialEq)]
pub enum Cut {
    Refused,
    MayPass,
}

/// Opens many damaged copies of the file at `path`.
pub fn batter(path: &Path, cut: Cut, open: &dyn Fn() -> Result<()>) {
    let whole = std::fs::read(path).unwrap();
    open().unwrap_or_else(|e| panic!("whole file: {e}"));
    let before = address_space();
    let name = path.file_name().unwrap().to_str().unwrap();
    let step = whole.len().div_ceil(TRIALS);
    for length in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let outcome = attempt(path, &whole[..length], open, &format!("cut at {length}"));
        assert!(
            outcome.is_err() || cut == Cut::MayPass,
            "{name} cut at {length} of {} was read",
            whole.len()
        );
    }
    let mut rng = rarefy::Rng::seed_from_u64(1);
    for trial in 0..TRIALS {
        let mut bytes = whole.clone();
        // Half of the changes are near an end of the file, where headers are.
        let at = match trial % 4 {
            0 => rng.random_range(0..whole.len().min(64)),
            1 => whole.len() - 1 - rng.random_range(0..whole.len().min(64)),
            _ => rng.random_range(0..whole.len()),
        };
        // One byte, or eight bytes that form a large number.
        let value = rng.random_range(0..=255);
        let count = if trial % 3 == 0 { 8 } else { 1 };
        let fill = if count == 1 {
            value
        } else {
            [0xFF, 0x7F][trial % 2]
        };
        bytes
            .iter_mut()
            .skip(at)
            .take(count)
            .for_each(|b| *b = fill);
        let what = format!("{count} x {fill:#x} at {at}");
        // The changed file may still be valid.
        let _ = attempt(path, &bytes, open, &what);
    }
    let grown = address_space().saturating_sub(before);
    assert!(grown < MOST_MEMORY, "{name}: {grown} bytes more");
    std::fs::write(path, whole).unwrap();
}

/// Writes `bytes` to the file and opens it. Asserts that there is no panic and that an error names the file.
fn attempt(path: &Path, bytes: &[u8], open: &dyn Fn() -> Result<()>, what: &str) -> Result<()> {
    std::fs::write(path, bytes).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let outcome =
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| panic!("{name}, {what}: panicked"));
    if let Err(error) = &outcome {
        let text = error.to_string();
        let named = text.contains(name) || names_a_setting(error);
        assert!(named, "{name}, {what}: no file in `{text}`");
        assert!(
            text.len() < 2000,
            "{name}, {what}: {} bytes of message",
            text.len()
        );
    }
    outcome
}

/// True for errors about settings: `cfg.json` of a model holds architecture and options like a configuration.
fn names_a_setting(error: &Error) -> bool {
    matches!(
        error,
        Error::Unknown { .. } | Error::Hyper { .. } | Error::Conflict(_)
    )
}

/// Peak address space of this process in bytes; 0 if the system does not report it.
pub fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or(0, |n: u64| n * 1024)
}

/// Copies a fixture and the other files of its folder to a temporary folder.
fn copy(file: &str) -> (tempfile::TempDir, PathBuf) {
    let from = folder().join(file);
    let into = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), into.path().join(entry.file_name())).unwrap();
    }
    let path = into.path().join(from.file_name().unwrap());
    (into, path)
}

pub fn read_all(path: &Path, options: &OpenOptions) -> Result<()> {
    let dataset = data::open(path.to_str().unwrap(), options)?;
    survey(dataset.source.as_ref()).map(|_| ())
}

fn batter_data(file: &str, member: Option<&str>, cut: Cut) {
    let (_keep, path) = copy(file);
    let mut options = Options::default().open();
    options.member = member.map(str::to_owned);
    options.patches.size = (9, 7);
    options.patches.count = 2;
    batter(&path, cut, &|| read_all(&path, &options));
}

#[test]
fn damaged_npy_and_npz_files_give_errors() {
    for file in ["f4", "fortran", "version2", "three-axes"] {
        batter_data(&format!("npy/{file}.npy"), None, Cut::Refused);
    }
    batter_data("npz/one.npz", None, Cut::Refused);
    batter_data("npz/several.npz", Some("x"), Cut::Refused);
}

#[test]
fn damaged_csv_files_give_errors() {
    for file in ["labels.csv", "savetxt.csv", "labels.tsv"] {
        batter_data(&format!("csv/{file}"), None, Cut::MayPass);
    }
    batter_data("csv/labels.csv.gz", None, Cut::Refused);
}

#[test]
fn damaged_idx_files_give_errors() {
    for file in [
        "idx/train-images-idx3-ubyte",
        "idx-gz/train-images-idx3-ubyte.gz",
    ] {
        batter_data(file, None, Cut::Refused);
    }
    batter_data("idx-other/f8.idx", None, Cut::Refused);
    // The labels file is opened together with the images.
    let (_keep, images) = copy("idx/train-images-idx3-ubyte");
    let labels = images.with_file_name("train-labels-idx1-ubyte");
    batter(&labels, Cut::Refused, &|| {
        read_all(&images, &OpenOptions::default())
    });
}

#[test]
fn damaged_safetensors_files_give_errors() {
    batter_data("safetensors/float32.safetensors", None, Cut::Refused);
    batter_data(
        "safetensors/several.safetensors",
        Some("W_dec"),
        Cut::MayPass,
    );
}

#[test]
fn damaged_parquet_files_give_errors() {
    for file in [
        "fixed",
        "variable",
        "columns",
        "codec-gzip",
        "codec-lz4",
        "codec-brotli",
    ] {
        batter_data(&format!("parquet/{file}.parquet"), None, Cut::Refused);
    }
}

#[test]
fn damaged_images_give_errors() {
    for file in ["grey.png", "colour.png", "smooth.jpg"] {
        batter_data(&format!("images/{file}"), None, Cut::MayPass);
    }
}

#[test]
fn damaged_codes_of_every_format_give_errors() {
    for file in [
        "csr.npz",
        "unsorted.npz",
        "lists.parquet",
        "csr.safetensors",
        "dense.npy",
    ] {
        let (_keep, path) = copy(&format!("codes/{file}"));
        batter(&path, Cut::Refused, &|| {
            let codes = codes::read(&path)?;
            // The program uses codes that fit its model like this.
            if codes.d_sae == 4 {
                assert_eq!(codes.to_dense().len(), 4 * codes.rows());
            }
            Ok(())
        });
    }
}

/// Rows that every preprocessing step changes.
fn rows() -> Memory {
    let values = (0..60).map(|i| ((i * i) % 17) as f32 + (i % 4) as f32);
    Memory::new("rows", 4, values.collect())
}

fn pipeline() -> Pipeline {
    let steps = [
        "row-mean",
        "clip-sd:2",
        "standardise",
        "zca:0.1",
        "scale:0.1:0.9",
    ];
    Pipeline::fit(&steps.map(str::to_owned), &rows()).unwrap()
}

#[test]
fn damaged_model_folders_give_errors() {
    for arch in ["kl", "batch-topk"] {
        batter_model_folder(arch);
    }
}

fn batter_model_folder(arch: &str) {
    let folder = tempfile::tempdir().unwrap();
    let info = variants::find(arch).unwrap();
    let options =
        variants::Options::check(info.options(), BTreeMap::<&str, String>::new()).unwrap();
    let architecture = info.build(&options).unwrap();
    let mut rng = rarefy::Rng::seed_from_u64(1);
    let params = architecture
        .init(
            (&IoSpec::autoencoder(4), BiasStart::Median),
            5,
            &StartRows::new(Box::new(rows())),
            &mut rng,
        )
        .unwrap();
    let model = Model::autoencoder(info, options, params, pipeline())
        .unwrap()
        .with_image_shape(Some((2, 2)));
    model.save(folder.path()).unwrap();
    let use_it = || {
        let model = Model::load(folder.path())?;
        let rows = vec![0.5; 2 * model.raw_d_in()];
        assert_eq!(model.reconstruct_raw(&rows).len(), rows.len());
        assert_eq!(model.filters().len(), model.d_sae());
        Ok(())
    };
    for file in [
        "cfg.json",
        "sae_weights.safetensors",
        "preprocess.safetensors",
    ] {
        batter(&folder.path().join(file), Cut::MayPass, &use_it);
    }
}

#[test]
fn damaged_preprocessing_files_give_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocess.safetensors");
    pipeline().save(&path).unwrap();
    batter(&path, Cut::Refused, &|| {
        let pipeline = Pipeline::load(&path)?;
        if pipeline.d_in() == 4 {
            let (prepared, context) = pipeline.apply(&[1.0; 8]);
            assert_eq!(pipeline.invert(&prepared, &context).len(), 8);
        }
        Ok(())
    });
}

#[test]
fn damaged_checkpoints_give_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let survey = survey(&rows()).unwrap();
    for (arch, batch, option, value) in [
        ("kl", None, "rho_estimate", "exact"),
        ("kl", Some(5), "rho_estimate", "moving"),
        ("batch-topk", Some(5), "k", "2"),
    ] {
        let mut config = Config::default();
        config.model.arch = arch.into();
        config.model.latents = Some(5);
        config.train.batch = batch;
        config.model.options.insert(option.into(), value.into());
        let plan = Plan::new(&config, &survey).unwrap();
        let state = State::new(&plan, &rows(), None).unwrap();
        state.save(&path, &plan).unwrap();
        batter(&path, Cut::Refused, &|| {
            State::load(&path, &plan).map(|_| ())
        });
    }
}

/// Headers that claim impossible sizes, and small files that decompress to large ones.
#[test]
fn impossible_sizes_and_decompression_bombs_give_errors() {
    let folder = tempfile::tempdir().unwrap();
    let before = address_space();
    let zeros = vec![0; 64 << 20];
    let npy = |shape: &str, order: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let length = (text.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", length.as_slice(), text.as_bytes()].concat()
    };
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let zip = |member: &[u8]| {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file("x.npy", options).unwrap();
        archive.write_all(member).unwrap();
        archive.finish().unwrap().into_inner()
    };
    let idx = |sizes: [u32; 3]| {
        let sizes = sizes.map(u32::to_be_bytes).concat();
        [&[0, 0, 8, 3], sizes.as_slice()].concat()
    };
    let tensor = |shape: &str, end: &str| {
        let header =
            format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
        [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
    };
    let two_to_60 = 1u64 << 60;
    let deep = format!("({two_to_60}, {two_to_60})");
    let files: [(&str, Vec<u8>); 12] = [
        ("rows.npy", npy(&format!("({two_to_60}, 4)"), "False")),
        ("overflow.npy", npy(&deep, "True")),
        ("rows.npz", zip(&npy(&format!("({two_to_60}, 4)"), "False"))),
        ("overflow.npz", zip(&npy(&deep, "False"))),
        (
            "bomb.npz",
            zip(&[npy("(2, 2)", "False"), zeros.clone()].concat()),
        ),
        ("sizes-ubyte", idx([u32::MAX; 3])),
        ("sizes-ubyte.gz", gzip(&idx([u32::MAX, 1, 1]))),
        (
            "bomb-ubyte.gz",
            gzip(&[idx([2, 2, 2]), zeros.clone()].concat()),
        ),
        ("bomb.csv.gz", gzip(&zeros)),
        (
            "header.safetensors",
            [two_to_60.to_le_bytes(), [0; 8]].concat(),
        ),
        (
            "rows.safetensors",
            tensor("[1152921504606846976,4]", "18446744073709551615"),
        ),
        (
            "rows-2.safetensors",
            tensor("[1099511627776,4]", "17592186044416"),
        ),
    ];
    for (name, bytes) in files {
        assert!(bytes.len() < 1 << 20, "{name} is not a small file");
        let path = folder.path().join(name);
        let open = || read_all(&path, &OpenOptions::default());
        let outcome = attempt(&path, &bytes, &open, "whole");
        assert!(outcome.is_err(), "{name} was read");
        let grown = address_space().saturating_sub(before);
        assert!(grown < MOST_MEMORY, "{name}: {grown} bytes more");
    }
}

#[test]
fn row_of_more_values_than_any_model_takes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.npy");
    let width = (1 << 24) + 1;
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': (2, {width}), }}");
    let mut bytes = [
        b"\x93NUMPY\x01\0",
        (text.len() as u16).to_le_bytes().as_slice(),
    ]
    .concat();
    bytes.extend(text.as_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len((bytes.len() + 2 * width) as u64).unwrap();
    let error = read_all(&path, &OpenOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("wide.npy: expected at most 16777216 values in a row, got 16777217; `data.row_axis` sets how the axes of an array become rows"),
        "{error}"
    );
}

#[test]
fn model_with_impossible_sizes_gives_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sae_weights.safetensors"), b"").unwrap();
    for (d_in, d_sae) in [(1 << 30, 1 << 30), (usize::MAX, 2), (0, 4), (4, 0)] {
        let config = format!(r#"{{"architecture": "kl", "d_in": {d_in}, "d_sae": {d_sae}}}"#);
        let path = folder.path().join("cfg.json");
        std::fs::write(&path, config).unwrap();
        let loaded = catch_unwind(|| Model::load(folder.path()).map(|_| ()));
        let error = loaded.expect("no panic").expect_err("nothing is there");
        let text = error.to_string();
        assert!(
            text.contains("cfg.json") || text.contains("sae_weights"),
            "{text}"
        );
    }
}
