//! Order of the batches, resuming, and the variance of batches from windows.

use std::sync::Mutex;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::likeness::{factor, likeness};
use super::*;
use crate::config::{self, ByteSize};
use crate::data::{Memory, check_finite, survey};
use crate::train::{Silent, State};
use crate::{Error, train};

/// Rows that do not count as rows in memory; the reads are recorded.
struct OnDisk {
    rows: Memory,
    reads: Mutex<Vec<(usize, usize)>>,
}

impl OnDisk {
    fn new(width: usize, values: Vec<f32>) -> Self {
        Self {
            rows: Memory::new("on disk", width, values),
            reads: Mutex::default(),
        }
    }

    /// Rows whose first values are their numbers.
    fn numbered(rows: usize) -> Self {
        let values = (0..rows).flat_map(|row| [row as f32, (row as f32 * 0.37).sin()]);
        Self::new(2, values.collect())
    }
}

impl Source for OnDisk {
    fn name(&self) -> &str {
        self.rows.name()
    }

    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn d_in(&self) -> usize {
        self.rows.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let count = out.len() / self.d_in();
        self.reads.lock().unwrap().push((start, count));
        self.rows.read(start, out)?;
        check_finite(self.name().as_ref(), start, self.d_in(), out)
    }
}

/// Caller who never stops, and counts the waits.
#[derive(Default)]
struct Patient(usize);

impl Caller for Patient {
    fn waiting(&mut self, waits: bool) {
        self.0 += usize::from(waits);
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

/// Plan of a run over these rows whose windows take so many blocks of a lane.
fn plan(data: &dyn Source, (batch, steps): (usize, usize), blocks: usize, more: &str) -> Plan {
    let text = format!(
        "[model]\narch = 'topk'\nlatents = 8\noptions = {{ k = 2 }}\n[train]\nbatch = {batch}\nsteps = {steps}\nseed = 3\n{more}"
    );
    let mut config = config::merge(&[text.parse().unwrap()]).unwrap();
    let row = size_of::<f32>() * data.d_in();
    let bytes = blocks * (order::LANES + order::SPARE) * BLOCK * row;
    config.data.memory = ByteSize::of(bytes);
    Plan::new(&config, &survey(data).unwrap()).unwrap()
}

/// Rows of the steps from one on.
fn batches(plan: &Plan, data: &dyn Source, from: usize) -> Vec<Vec<f32>> {
    let steps = plan.steps() - from;
    with_batches(plan, data, from..plan.steps(), |batches| {
        let next = |_| -> Result<Vec<f32>> {
            let rows = batches.next(&mut Patient::default())?;
            Ok(rows.as_slice().expect("a batch lies in memory").to_vec())
        };
        (0..steps).map(next).collect()
    })
    .unwrap()
}

#[test]
fn windows_use_each_row_once_an_epoch_and_read_each_block_once() {
    for (rows, batch, blocks) in [
        (20_000, 300, 1),
        (20_000, 300, 3),
        (20_033, 1000, 40),
        (4097, 64, 1),
        (64, 3, 2),
        (65, 7, 1),
    ] {
        let data = OnDisk::numbered(rows);
        let per_epoch = rows / batch;
        let plan = plan(&data, (batch, 2 * per_epoch), blocks, "");
        data.reads.lock().unwrap().clear();
        let all = batches(&plan, &data, 0);
        let epochs: Vec<Vec<usize>> = all
            .chunks(per_epoch)
            .map(|epoch| {
                let rows = epoch.iter().flatten().step_by(2);
                rows.map(|number| *number as usize).collect()
            })
            .collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), per_epoch * batch, "{rows} rows: a row twice");
        }
        assert_ne!(epochs[0], epochs[1], "{rows} rows: two equal epochs");
        let mut reads = data.reads.lock().unwrap().clone();
        reads.sort_unstable();
        for same in reads.chunk_by(|a, b| a.0 == b.0) {
            assert_eq!(same[0].0 % BLOCK, 0);
            assert!(
                same.len() <= 2,
                "{rows} rows: a block more than twice in two epochs"
            );
        }
        let read: usize = reads.iter().map(|(_, count)| count).sum();
        assert!(read <= 2 * rows && read >= 2 * per_epoch * batch);
    }
}

#[test]
fn rows_of_a_block_are_spread_over_the_batches_of_a_window() {
    let data = OnDisk::numbered(64 * 64 * 40);
    let plan = plan(&data, (512, 300), 10, "");
    let all = batches(&plan, &data, 0);
    let window = window_rows(plan.config().data.memory.bytes(), 2);
    assert_eq!(window, 64 * 64 * 10);
    // Behind the first windows, which are shorter: pairs of rows of a block in the same batch.
    let mut pairs = 0;
    for batch in &all[120..200] {
        let mut of_blocks: Vec<usize> = batch
            .iter()
            .step_by(2)
            .map(|row| *row as usize / BLOCK)
            .collect();
        of_blocks.sort_unstable();
        let same = of_blocks.chunk_by(|a, b| a == b).map(<[usize]>::len);
        pairs += same.map(|count| count * (count - 1)).sum::<usize>();
    }
    let met = pairs as f64 / f64::from(80 * 512);
    let expected = 63.0 * (512.0 - 64.0) / window as f64;
    assert!(
        (met / expected - 1.0).abs() < 0.05,
        "{met} companions, expected {expected}"
    );
}

#[test]
fn stream_from_any_step_has_the_batches_of_the_whole_run() {
    for (rows, batch, blocks) in [(9000, 250, 1), (9001, 100, 2), (70, 9, 1)] {
        let data = OnDisk::numbered(rows);
        let steps = 5 * rows / batch / 2;
        for more in ["", "shuffle = false"] {
            let plan = plan(&data, (batch, steps), blocks, more);
            let all = batches(&plan, &data, 0);
            for from in (1..steps).step_by(steps.div_ceil(11)) {
                assert!(
                    batches(&plan, &data, from) == all[from..],
                    "{rows} rows from step {from}, {more}"
                );
            }
        }
    }
}

#[test]
fn rows_in_their_order_are_read_ahead() {
    let data = OnDisk::numbered(1000);
    let plan = plan(&data, (300, 5), 1, "shuffle = false");
    let first = |batch: &Vec<f32>| batch[0];
    let firsts: Vec<f32> = batches(&plan, &data, 0).iter().map(first).collect();
    assert_eq!(firsts, [0.0, 300.0, 600.0, 0.0, 300.0]);
}

/// A run over files against a run over the same rows in memory, in the same order: the same bytes.
#[test]
fn weights_do_not_depend_on_where_the_rows_lie() {
    let values = (0..6000 * 6).map(|i| ((i / 6) as f32 * 0.37 + (i % 6) as f32).sin());
    let data = OnDisk::new(6, values.collect());
    let trained = |plan: &Plan, rows: &dyn Source| {
        let start = State::new(plan, &data.rows, None).unwrap();
        let outcome = train::train(plan, rows, None, start, &mut Silent).unwrap();
        let bits = outcome.params.values().iter().map(|value| value.to_bits());
        bits.collect::<Vec<u32>>()
    };
    let windowed = plan(&data, (200, 30), 1, "");
    let order: Vec<f32> = batches(&windowed, &data, 0).concat();
    let in_memory = Memory::new("in memory", 6, order);
    let unshuffled = plan(&data, (200, 30), 1, "shuffle = false");
    assert_eq!(trained(&windowed, &data), trained(&unshuffled, &in_memory));
}

#[test]
fn variance_of_batches_is_that_of_the_formula() {
    // Texts of 48 rows, which share a direction.
    let width = 16;
    let mut random = generator(7, 0);
    let mut normal = || (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0;
    let texts = 1500;
    let mut values = Vec::new();
    for _ in 0..texts {
        let of_text: Vec<f32> = (0..width).map(|_| 0.8 * normal()).collect();
        for _ in 0..48 {
            values.extend(of_text.iter().map(|x| x + normal()));
        }
    }
    let data = OnDisk::new(width, values);
    let survey = survey(&data).unwrap();
    let variance: f64 = survey.variance.iter().sum();
    let alike = likeness(&data, &survey.mean, variance).unwrap();
    // Pairs of a block of 64 that lie in the same text of 48, times the correlation of 0.64 / 1.64.
    let same_text: usize = (0..48 * 64usize)
        .step_by(64)
        .map(|first| {
            let of = |row: usize| row / 48;
            let rows = first..first + 64;
            let pairs = rows.clone().flat_map(|a| rows.clone().map(move |b| (a, b)));
            pairs.filter(|(a, b)| a != b && of(*a) == of(*b)).count()
        })
        .sum();
    let expected = same_text as f64 / (48.0 * 64.0) * 0.64 / 1.64;
    assert!(
        (alike / expected - 1.0).abs() < 0.1,
        "{alike}, expected {expected}"
    );
    // Batches of 2048 rows from windows of 8192.
    let (batch, blocks) = (2048, 2);
    let plan = plan(&data, (batch, 300), blocks, "");
    let all = batches(&plan, &data, 0);
    let mean_of = |batch: &[f32]| -> Vec<f64> {
        let mut sums = vec![0.0; width];
        for row in batch.chunks_exact(width) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += f64::from(*x));
        }
        sums.iter().map(|sum| sum / 2048.0).collect()
    };
    // Of batches behind the first windows of each epoch, so that these do not count.
    let per_epoch = data.rows() / batch;
    let late = all
        .iter()
        .enumerate()
        .filter(|(step, _)| step % per_epoch >= 4);
    let squares: Vec<f64> = late
        .map(|(_, batch)| {
            let means = mean_of(batch);
            let apart = means
                .iter()
                .zip(&survey.mean)
                .map(|(a, b)| (a - b) * (a - b));
            apart.sum()
        })
        .collect();
    let measured = squares.iter().sum::<f64>() / squares.len() as f64 / (variance / batch as f64);
    let window = window_rows(plan.config().data.memory.bytes(), width);
    let formula = factor(alike, batch, window);
    // Batches of a shuffle without replacement vary a little less, by the share of the epoch.
    assert!(
        formula > 3.0 && (measured / formula - 1.0).abs() < 0.12,
        "{measured}, the formula says {formula}"
    );
}

#[test]
fn likeness_of_shuffled_rows_is_near_zero_and_of_equal_rows_63() {
    let mut values: Vec<f32> = (0..64 * 300).map(|i| (i / 64) as f32).collect();
    let of = |values: &[f32]| {
        let data = Memory::new("rows", 1, values.to_vec());
        let survey = survey(&data).unwrap();
        likeness(&data, &survey.mean, survey.variance[0]).unwrap()
    };
    assert!((of(&values) - 63.0).abs() < 2.0, "{}", of(&values));
    values.shuffle(&mut generator(1, 0));
    assert!(of(&values).abs() < 0.5, "{}", of(&values));
    assert_eq!(of(&values[..63]), 0.0);
}

#[test]
fn error_of_reading_ends_the_run_that_meets_it() {
    let mut values: Vec<f32> = (0..5000).map(|i| i as f32).collect();
    let data = OnDisk::new(1, values.clone());
    let plan = plan(&data, (100, 50), 1, "");
    values[4321] = f32::NAN;
    let damaged = OnDisk::new(1, values);
    let error = with_batches(&plan, &damaged, 0..50, |batches| {
        for _ in 0..50 {
            batches.next(&mut Patient::default())?;
        }
        Ok(())
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("4321"), "{error}");
}

#[test]
fn a_caller_stops_a_run_between_two_windows() {
    struct Hasty;
    impl Caller for Hasty {
        fn waiting(&mut self, _: bool) {}

        fn is_stopped(&self) -> bool {
            true
        }
    }
    let data = OnDisk::numbered(640);
    let plan = plan(&data, (64, 5), 1, "");
    let stopped = with_batches(&plan, &data, 0..5, |batches| {
        batches.next(&mut Hasty).map(|_| ())
    });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
}

/// Rows of a disk so slow that a window takes seconds.
struct Slow(OnDisk);

impl Source for Slow {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn d_in(&self) -> usize {
        self.0.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        thread::sleep(core::time::Duration::from_millis(20));
        self.0.read(start, out)
    }
}

#[test]
fn a_caller_stops_a_run_in_the_middle_of_a_window() {
    /// Stops at the third look.
    #[derive(Default)]
    struct Looks(std::cell::Cell<usize>);
    impl Caller for Looks {
        fn waiting(&mut self, _: bool) {}

        fn is_stopped(&self) -> bool {
            self.0.set(self.0.get() + 1);
            self.0.get() == 3
        }
    }
    let data = OnDisk::numbered(64 * 64 * 100);
    let plan = plan(&data, (64, 5), 100, "");
    data.reads.lock().unwrap().clear();
    let slow = Slow(data);
    let stopped = with_batches(&plan, &slow, 0..5, |batches| {
        batches.next(&mut Looks::default()).map(|_| ())
    });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    // Looks are 50 ms apart and blocks take 20 ms; the first windows together would take two minutes.
    let read = slow.0.reads.lock().unwrap().len();
    assert!(read < 50, "{read} blocks were read");
}
