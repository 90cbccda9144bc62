//! Fuzzing of all readers: fixtures with random damage are opened, with a fixed seed.
//!
//! The short run is a test. `cargo xtask fuzz MINUTES` starts the long run, with the minutes and the seed in
//! environment variables. A file that panics or takes too long is kept in the folder for temporary files of the tests.
#![allow(
    clippy::disallowed_methods,
    reason = "a file that takes too long is found by the clock, beside the thread that reads it"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rarefy::data::OpenOptions;
use rarefy::{Error, Rng};

use crate::hostile::{MOST_MEMORY, address_space, read_all};
use crate::{fixtures, tables};

/// Longest time for one file in a build for tests.
const LONGEST: Duration = Duration::from_secs(5);
/// Number of damaged files of the short run.
const SHORT_RUN: usize = 1500;

#[test]
fn fuzzed_arrays_give_errors() {
    short_run(arrays);
}

#[test]
fn fuzzed_tables_give_errors() {
    short_run(tables_of_packages);
}

fn short_run(seeds: fn(&Path) -> Vec<Seed>) {
    let folder = tempfile::tempdir().unwrap();
    let before = address_space();
    let seeds = seeds(&folder.path().join("work"));
    let faults = fuzz(folder.path(), &seeds, 1, |count| count < SHORT_RUN);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let grown = address_space().saturating_sub(before);
    assert!(grown < MOST_MEMORY, "{grown} bytes more");
}

#[test]
#[ignore = "long: `cargo xtask fuzz MINUTES` runs it"]
fn fuzzed_fixtures_give_errors_for_minutes() {
    let number = |name| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse().expect("a whole number"))
    };
    let minutes: u64 = number("RAREFY_FUZZ_MINUTES").unwrap_or(1);
    let seed = number("RAREFY_FUZZ_SEED").unwrap_or(1);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let _ = std::fs::remove_dir_all(&folder);
    let work = folder.join("work");
    let seeds = [arrays(&work), tables_of_packages(&work)].concat();
    let start = Instant::now();
    let mut opened = 0;
    let faults = fuzz(&folder, &seeds, seed, |count| {
        opened = count;
        start.elapsed() < Duration::from_secs(60 * minutes)
    });
    let peak = address_space() >> 20;
    println!("{opened} files in {minutes} min from seed {seed}, {peak} MiB of address space");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Fixture: path to open, files to damage, options.
#[derive(Clone)]
struct Seed {
    open: PathBuf,
    files: Vec<PathBuf>,
    options: OpenOptions,
}

/// Opens damaged fixtures while `go_on` is true for their number. Returns a line for each panic, slow file, and error
/// without a file name.
fn fuzz(
    folder: &Path,
    seeds: &[Seed],
    seed: u64,
    mut go_on: impl FnMut(usize) -> bool,
) -> Vec<String> {
    assert!(seeds.len() > 80, "only {} fixtures", seeds.len());
    let mut rng = Rng::seed_from_u64(seed);
    let mut faults = Vec::new();
    let mut count = 0;
    while go_on(count) && faults.len() < 20 {
        let seed = &seeds[rng.random_range(0..seeds.len())];
        let file = &seed.files[rng.random_range(0..seed.files.len())];
        let whole = std::fs::read(file).unwrap();
        let damaged = damage(whole.clone(), &mut rng);
        std::fs::write(file, &damaged).unwrap();
        // If memory runs out, the process ends here, and the file stays behind.
        std::fs::write(folder.join("last"), &damaged).unwrap();
        if let Some(fault) = open(seed) {
            let name = file.strip_prefix(folder).unwrap().display().to_string();
            let kept = folder.join(format!("{count}-{}", name.replace('/', "-")));
            std::fs::write(&kept, &damaged).unwrap();
            let kept = kept.display();
            faults.push(format!("{name}, number {count}, kept as {kept}: {fault}"));
        }
        std::fs::write(file, whole).unwrap();
        count += 1;
    }
    faults
}

/// Fixtures of all formats in `data`, copied to a folder.
fn arrays(work: &Path) -> Vec<Seed> {
    let data = work.join("data");
    copy_folder(&fixtures::folder(), &data);
    let all = fixtures::expected();
    let readable = all.readable.iter().map(|f| (&f.file, &f.options));
    let refused = all.refused.iter().map(|f| (&f.file, &f.options));
    let seeds = readable.chain(refused);
    existing(seeds.map(|(file, options)| (data.join(file), options.open())))
}

/// Fixtures of tables, copied to a folder.
fn tables_of_packages(work: &Path) -> Vec<Seed> {
    let into = work.join("tables");
    for part in ["csv", "jsonl"] {
        copy_folder(&tables::folder().join(part), &into.join(part));
    }
    tables::unpack("packed.zip.gz", &into);
    let all = tables::expected().into_iter();
    existing(all.map(|table| (into.join(&table.file), table.options.open())))
}

/// Fixtures that are a file or a folder with files.
fn existing(all: impl Iterator<Item = (PathBuf, OpenOptions)>) -> Vec<Seed> {
    let seeds = all.map(|(open, options)| Seed {
        files: files_of(&open),
        open,
        options,
    });
    seeds.filter(|seed| !seed.files.is_empty()).collect()
}

/// The file itself, or all files of a folder, in the order of their names.
fn files_of(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.into()];
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn copy_folder(from: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = into.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Opens a fixture in another thread and reads all rows. Returns what went wrong.
fn open(seed: &Seed) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    let (path, options) = (seed.open.clone(), seed.options.clone());
    std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| read_all(&path, &options)));
        let _ = sender.send(outcome);
    });
    match receiver.recv_timeout(LONGEST) {
        Err(_) => Some(format!("took longer than {} s", LONGEST.as_secs())),
        Ok(Err(_)) => Some("panicked".into()),
        Ok(Ok(outcome)) => outcome.err().and_then(|error| unclear(&error, &seed.open)),
    }
}

/// The message of an error that neither names the file nor a setting, or is longer than a screen.
fn unclear(error: &Error, path: &Path) -> Option<String> {
    let text = error.to_string();
    let name = path.file_name().unwrap().to_str().unwrap();
    let setting = matches!(
        error,
        Error::Unknown { .. } | Error::Hyper { .. } | Error::Conflict(_)
    );
    if !setting && !text.contains(name) {
        return Some(format!("no file name in the error: {text}"));
    }
    (text.len() > 2000).then(|| format!("{} bytes of message", text.len()))
}

/// One to four changes of the bytes of a file.
fn damage(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    for _ in 0..rng.random_range(1..=4) {
        change(&mut bytes, rng);
    }
    bytes
}

/// Changes a bit, a byte, a length field or a number in text; cuts, repeats or removes a part.
fn change(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let Some(last) = bytes.len().checked_sub(1) else {
        bytes.extend([0x50, 0x41]);
        return;
    };
    // Half of the changes are near an end of the file, where headers are.
    let at = match rng.random_range(0..4) {
        0 => rng.random_range(0..=last.min(64)),
        1 => last - rng.random_range(0..=last.min(128)),
        _ => rng.random_range(0..=last),
    };
    let end = at + rng.random_range(1..=32).min(bytes.len() - at);
    match rng.random_range(0..8) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = rng.random_range(0..=255),
        2 => {
            let value = LENGTHS[rng.random_range(0..LENGTHS.len())].to_le_bytes();
            let width = 1 << rng.random_range(1..4);
            bytes
                .iter_mut()
                .skip(at)
                .zip(value)
                .take(width)
                .for_each(|(byte, new)| *byte = new);
        }
        3 => bytes.truncate(at),
        4 => {
            let part = bytes[at..end].repeat(rng.random_range(1..40));
            bytes.splice(end..end, part);
        }
        5 => drop(bytes.drain(at..end)),
        6 => {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            bytes.splice(at..end, word.bytes());
        }
        _ => {
            let from = rng.random_range(0..=last);
            let part: Vec<u8> = bytes[from..].iter().take(end - at).copied().collect();
            bytes.splice(at..end, part);
        }
    }
}

/// Values of length fields that readers get wrong: none, negative, or more than the file has.
const LENGTHS: [u64; 8] = [
    0,
    1,
    0x7F,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    1 << 40,
    u64::MAX,
];

/// Words that texts get wrong.
const WORDS: [&str; 12] = [
    "",
    "\"",
    ",",
    ";",
    "\n",
    "[",
    "{\"a\":",
    "1e999",
    "-",
    "NaN",
    "\u{feff}",
    "99999999999999999999",
];
