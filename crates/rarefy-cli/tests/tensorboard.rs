//! Event files of `train --tensorboard`, read by a reader of this test and compared with `metrics.jsonl` and `figures.json`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::{TestDir, text};

/// Scalars of one event, by tag.
type Scalars = BTreeMap<String, f32>;

/// Event: wall time, step, version of the file, scalars.
#[derive(Debug, Default, PartialEq)]
struct Event {
    wall_time: f64,
    step: u64,
    version: String,
    scalars: Scalars,
}

/// Checksum of a frame, bit by bit.
fn masked_sum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = sum & 1 == 1;
            sum >>= 1;
            if odd {
                sum ^= 0x82f6_3b78;
            }
        }
    }
    (!sum).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Takes bytes off the front.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

/// Events of a file, whose lengths and checksums must be right to the last byte.
fn frames(file: &[u8]) -> Vec<Event> {
    let mut rest = file;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = take(&mut rest, 8);
        let sum = take(&mut rest, 4);
        assert_eq!(masked_sum(length).to_le_bytes(), sum, "sum of the length");
        let length = u64::from_le_bytes(length.try_into().unwrap());
        let data = take(&mut rest, usize::try_from(length).unwrap());
        let sum = take(&mut rest, 4);
        assert_eq!(masked_sum(data).to_le_bytes(), sum, "sum of the data");
        found.push(event(data));
    }
    found
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(rest, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// Fields of a message: number, and the value's number or bytes.
fn fields(mut rest: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let (mut number, mut bytes): (u64, &[u8]) = (0, &[]);
        match key & 7 {
            0 => number = varint(&mut rest),
            1 => bytes = take(&mut rest, 8),
            2 => {
                let length = varint(&mut rest);
                bytes = take(&mut rest, usize::try_from(length).unwrap());
            }
            5 => bytes = take(&mut rest, 4),
            other => panic!("type {other}"),
        }
        found.push((key >> 3, number, bytes));
    }
    found
}

fn event(data: &[u8]) -> Event {
    let mut event = Event::default();
    for (field, number, bytes) in fields(data) {
        match field {
            1 => event.wall_time = f64::from_le_bytes(bytes.try_into().unwrap()),
            2 => event.step = number,
            3 => event.version = text(bytes),
            5 => {
                event.scalars = fields(bytes)
                    .iter()
                    .map(|(_, _, one)| scalar(one))
                    .collect();
            }
            other => panic!("field {other}"),
        }
    }
    event
}

fn scalar(data: &[u8]) -> (String, f32) {
    let found = fields(data);
    let [(1, _, tag), (2, _, value)] = found[..] else {
        panic!("{found:?}");
    };
    (text(tag), f32::from_le_bytes(value.try_into().unwrap()))
}

/// Paths of the event files of a run.
fn event_files(dir: &TestDir, run: &str) -> Vec<String> {
    let folder = format!("{run}/tensorboard/events.out.tfevents.");
    let all = dir.everything().into_iter();
    all.filter(|path| path.starts_with(&folder)).collect()
}

/// Scalar events of the one event file of a run.
fn scalar_events(dir: &TestDir, run: &str) -> Vec<Event> {
    let files = event_files(dir, run);
    assert_eq!(files.len(), 1, "{files:?}");
    let mut events = frames(&dir.read(&files[0]));
    let first = events.remove(0);
    assert_eq!(first.version, "brain.Event:2");
    assert!(first.step == 0 && first.scalars.is_empty());
    assert!(events.iter().all(|event| event.version.is_empty()));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let age = |event: &Event| now.as_secs_f64() - event.wall_time;
    assert!(
        events
            .iter()
            .all(|event| (0.0..600.0).contains(&age(event)))
    );
    events
}

/// Numbers of an object as scalars, each tag behind `prefix`.
fn scalars(object: &Value, prefix: &str) -> Scalars {
    let fields = object.as_object().unwrap().iter();
    let number = |(name, value): (&String, &Value)| {
        Some((format!("{prefix}{name}"), value.as_f64()? as f32))
    };
    fields.filter_map(number).collect()
}

/// Compares the events of a run with its records, and the last event with its figures; returns the steps.
fn agrees_with_records(dir: &TestDir, run: &str) -> Vec<u64> {
    let mut events = scalar_events(dir, run);
    let last = events.pop().unwrap();
    let records = text(&dir.read(&format!("{run}/metrics.jsonl")));
    let records: Vec<Value> = records
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), records.len());
    for (event, record) in events.iter().zip(&records) {
        assert_eq!(event.step, record["step"].as_u64().unwrap());
        let mut expected = scalars(record, "");
        expected.remove("step");
        expected.remove("rows_seen");
        assert_eq!(event.scalars, expected);
    }
    let steps: Vec<u64> = events.iter().map(|event| event.step).collect();
    assert_eq!(Some(&last.step), steps.last());
    let figures = serde_json::from_slice::<Value>(&dir.read(&format!("{run}/figures.json")));
    let figures = figures.unwrap();
    let of = |part: &str| match &figures[part] {
        Value::Null => Scalars::new(),
        metrics => scalars(metrics, &format!("{part}/")),
    };
    let all: Scalars = of("training").into_iter().chain(of("held_out")).collect();
    for (tag, value) in &last.scalars {
        assert_eq!(all.get(tag), Some(value), "{tag}");
    }
    let has = |tag: &str| last.scalars.contains_key(tag);
    assert!(has("training/explained_variance"));
    assert_eq!(
        has("held_out/explained_variance"),
        !figures["held_out"].is_null()
    );
    steps
}

const TOPK: &str = "train --rows 300 --arch topk --latents 16 --k 4 --batch 50 -q --tensorboard";

#[test]
fn event_files_hold_the_numbers_of_the_records() {
    let dir = TestDir::new();
    dir.ok(&format!("{TOPK} --steps 25 --holdout 40 --out topk"));
    // The last step has a record, whatever its number.
    assert_eq!(agrees_with_records(&dir, "topk"), [10, 20, 25]);
    let tags = &scalar_events(&dir, "topk")[0].scalars;
    let names: Vec<&str> = tags.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "auxiliary",
            "dead_fraction",
            "explained_variance",
            "gradient_norm",
            "l0",
            "loss",
            "reconstruction"
        ]
    );
    dir.ok("train --rows 100 --latents 4 --steps 6 --holdout 0 -q --tensorboard --out kl");
    assert_eq!(agrees_with_records(&dir, "kl"), [1, 2, 3, 4, 5, 6]);
    let events = scalar_events(&dir, "kl");
    assert!(
        ["penalty", "rho_hat_mean", "weight_decay"]
            .iter()
            .all(|tag| events[0].scalars.contains_key(*tag))
    );
    dir.ok("train --rows 100 --latents 4 --steps 6 -q --out plain");
    assert!(!dir.path("plain/tensorboard").exists());
}

#[test]
fn resumed_run_has_each_step_once_and_keeps_the_times() {
    let dir = TestDir::new();
    dir.ok(&format!(
        "{TOPK} --steps 40 --set checkpoint_every=20 --out run"
    ));
    let before = scalar_events(&dir, "run");
    let file = event_files(&dir, "run");
    // As after a kill at step 40: the newest checkpoint is that of step 20, and the last event is incomplete.
    std::fs::remove_file(dir.path("run/checkpoints/step-000000000040.safetensors")).unwrap();
    let whole = dir.read(&file[0]);
    dir.write(&file[0], &whole[..whole.len() - 5]);
    dir.ok("train --out run --resume --steps 60 -q");
    assert_eq!(agrees_with_records(&dir, "run"), [10, 20, 30, 40, 50, 60]);
    assert_eq!(scalar_events(&dir, "run")[..2], before[..2]);
    assert_ne!(event_files(&dir, "run"), file);
    // A finished run writes its figures again, once.
    dir.ok("train --out run --resume -q");
    assert_eq!(agrees_with_records(&dir, "run"), [10, 20, 30, 40, 50, 60]);
}

#[test]
fn event_files_begin_with_the_records_of_a_run_without_them() {
    let dir = TestDir::new();
    let plain = TOPK.replace(" --tensorboard", "");
    dir.ok(&format!("{plain} --steps 20 --out run"));
    dir.ok("train --out run --resume --steps 30 --tensorboard -q");
    assert_eq!(agrees_with_records(&dir, "run"), [10, 20, 30]);
}

#[test]
fn replaced_run_has_no_event_file_of_the_run_before() {
    let dir = TestDir::new();
    dir.ok(&format!("{TOPK} --steps 20 --out run"));
    let first = event_files(&dir, "run");
    dir.ok(&format!("{TOPK} --steps 10 --out run --force"));
    assert_eq!(agrees_with_records(&dir, "run"), [10]);
    assert_ne!(event_files(&dir, "run"), first);
    let plain = TOPK.replace(" --tensorboard", "");
    dir.ok(&format!("{plain} --steps 10 --out run --force"));
    assert!(!dir.path("run/tensorboard").exists());
}
