//! Bytes against those of TensorBoard's writer; files of resumed runs.

use super::*;

/// A step with one scalar.
fn step(step: usize) -> (usize, Scalars) {
    (step, vec![("loss".into(), 1.0 / step as f64)])
}

/// Starts a file with these steps.
fn start(folder: &Path, kept: std::ops::Range<usize>) -> Events {
    Events::start(folder, kept.map(step)).unwrap()
}

/// Steps and times of the scalar events of a folder.
fn events(folder: &Path) -> Vec<(usize, f64)> {
    let all = files(folder)
        .into_iter()
        .flat_map(|path| frames::read(&path).unwrap());
    let time = |frame: &[u8]| f64::from_le_bytes(frame[13..21].try_into().unwrap());
    all.map(|(step, frame)| (step, time(&frame))).collect()
}

#[test]
fn events_have_the_bytes_of_tensorboards_writer() {
    let golden = "../rarefy/tests/golden/tensorboard_events.tfevents";
    let golden = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(golden)).unwrap();
    let events: [(usize, &[(&str, f64)]); 4] = [
        (0, &[("loss", 1.5)]),
        (1, &[("explained_variance", -0.25), ("loss", 0.0)]),
        (300, &[("held_out/l0", 32.0)]),
        (
            1 << 40,
            &[
                ("loss", 1.0 / f64::from(1 << 30)),
                (&format!("tag of 130 bytes {}", "x".repeat(113)), 1e30),
            ],
        ),
    ];
    let mut bytes = frames::framed(&encoding::version(1_234_567_890.5));
    for (step, scalars) in events {
        let owned: Vec<_> = scalars.iter().map(|&(t, v)| (t.to_owned(), v)).collect();
        let event = encoding::scalars(1_234_567_891.25 + step as f64, step, &owned);
        assert_eq!(encoding::step_of(&event), (step > 0).then_some(step));
        bytes.extend(frames::framed(&event));
    }
    assert_eq!(bytes, golden);
}

#[test]
fn resumed_run_copies_the_events_up_to_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tensorboard");
    let mut first = start(&folder, 0..0);
    for (step, scalars) in (1..5).map(step) {
        first.append(step, &scalars).unwrap();
    }
    first.sync().unwrap();
    let before = events(&folder);
    // The last frame of a killed run is incomplete.
    let path = files(&folder).remove(0);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    assert_eq!(events(&folder), before[..3]);
    let mut second = start(&folder, 1..3);
    assert_eq!(files(&folder).len(), 1, "the earlier file is removed");
    assert_ne!(files(&folder)[0], path, "TensorBoard sees a new file");
    assert_eq!(events(&folder), before[..2]);
    second.append(3, &step(3).1).unwrap();
    let steps: Vec<usize> = events(&folder).into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [1, 2, 3]);
}

#[test]
fn records_without_an_event_get_one_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    start(dir.path(), 7..9);
    let steps: Vec<usize> = events(dir.path())
        .into_iter()
        .map(|(step, _)| step)
        .collect();
    assert_eq!(steps, [7, 8]);
}

#[test]
fn clear_removes_event_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tensorboard");
    start(&folder, 0..0);
    assert!(is_in(&folder));
    clear(&folder).unwrap();
    assert!(!folder.exists() && !is_in(&folder));
    start(&folder, 0..0);
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    clear(&folder).unwrap();
    assert!(folder.join("notes.txt").exists() && !is_in(&folder));
}
