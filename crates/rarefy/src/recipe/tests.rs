//! Passes over data that is larger than memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config;
use crate::train::Silent;

/// More rows than initial weights look at.
const ROWS: usize = 40_000;
/// Rows that the decoder bias starts from.
const START_ROWS: usize = 1 << 15;
const WIDTH: usize = 4;

/// A source that counts the rows read from it and never lies in memory.
struct Counting {
    rows: Memory,
    read: AtomicUsize,
}

impl Counting {
    fn new() -> Self {
        let values = (0..ROWS * WIDTH).map(|i| ((i * i % 9973) as f32 * 0.61).sin());
        Self {
            rows: Memory::new("counted", WIDTH, values.collect()),
            read: AtomicUsize::new(0),
        }
    }

    /// Rows read since the last call.
    fn take(&self) -> usize {
        self.read.swap(0, Ordering::Relaxed)
    }
}

impl Source for Counting {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn d_in(&self) -> usize {
        WIDTH
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.read.fetch_add(out.len() / WIDTH, Ordering::Relaxed);
        self.rows.read(start, out)
    }
}

#[test]
fn large_data_is_read_once_for_statistics_and_once_an_epoch() {
    for (steps, passes) in [
        ("", 1),
        ("'scale'", 1),
        ("'standardise'", 1),
        ("'norm-average'", 1),
        ("'norm-square'", 1),
        ("'row-mean'", 1),
        ("'norm-row'", 1),
        ("'row-mean', 'scale'", 1),
        ("'norm-average', 'scale'", 2),
        ("'clip-sd:3'", 2),
        ("'zca'", 3),
    ] {
        let counting = Counting::new();
        let text = format!(
            "[data]\npreprocess = [{steps}]\n[model]\narch = 'topk'\nlatents = 8\noptions = {{ k = 2 }}\n\
             [train]\nepochs = 2\nbatch = 4000\nlr = 0.001"
        );
        let mut config = config::merge(&[text.parse().unwrap()]).unwrap();
        let raw = IoSpec::autoencoder(WIDTH);
        let data = TrainingData::with_memory(&config.data, &counting, &raw, 0).unwrap();
        assert_eq!(counting.take(), passes * ROWS, "statistics with {steps}");
        // Ten batches an epoch, and no more steps than two epochs.
        config.train.epochs = None;
        config.train.steps = Some(20);
        let trainer = data.trainer(data.plan(&config).unwrap()).unwrap();
        assert_eq!(counting.take(), START_ROWS, "initial weights with {steps}");
        data.train(trainer, &mut Silent).unwrap();
        assert_eq!(counting.take(), 2 * ROWS, "two epochs with {steps}");
    }
}

#[test]
fn data_that_fits_in_memory_is_read_once_after_fitting() {
    let counting = Counting::new();
    let config = config::merge(&["[data]\npreprocess = ['scale']".parse().unwrap()]).unwrap();
    let raw = IoSpec::autoencoder(WIDTH);
    let data = TrainingData::new(&config.data, &counting, &raw).unwrap();
    assert_eq!(counting.take(), 2 * ROWS);
    assert!(data.rows().as_slice().is_some());
}

#[test]
fn usual_run_has_no_warnings() {
    let rows = Counting::new();
    let text = "[model]\narch = 'topk'\nlatents = 8\noptions = { k = 2 }\n[train]\nsteps = 10\nbatch = 4000";
    let config = config::merge(&[text.parse().unwrap()]).unwrap();
    let raw = IoSpec::autoencoder(WIDTH);
    let data = TrainingData::new(&config.data, &rows, &raw).unwrap();
    let plan = data.plan(&config).unwrap();
    assert_eq!(data.warnings(&plan).unwrap(), plan.warnings());
}
