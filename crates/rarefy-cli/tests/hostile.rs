//! Hostile names and numbers on the command line: nothing reaches the terminal raw, and messages show what was given.

use crate::common::{TestDir, noise, text};

#[test]
fn control_and_bidi_characters_of_names_are_escaped() {
    let dir = TestDir::new();
    let name = "a\u{1b}[31m\u{202e}b.npy";
    let output = dir
        .command("")
        .args(["data", "info", name])
        .output()
        .unwrap();
    let err = text(&output.stderr);
    assert!(!err.contains(['\u{1b}', '\u{202e}']), "{err:?}");
    assert!(err.contains("a\\u001b[31m\\u202eb.npy"), "{err}");
    dir.write_npy(name, 2, &[0.0, 1.0, 2.0, 3.0]);
    let output = dir
        .command("")
        .args(["data", "info", name, "--json"])
        .output()
        .unwrap();
    let out = text(&output.stdout);
    assert!(
        output.status.success() && !out.contains(['\u{1b}', '\u{202e}']),
        "{out:?}"
    );
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
}

#[test]
fn numbers_that_cannot_work_are_refused_by_the_plan() {
    let dir = TestDir::new();
    for (words, expected) in [
        (
            "--arch jumprelu --bandwidth 0",
            "`model.options.bandwidth` must be auto or a number above 0, got 0",
        ),
        (
            "--arch jumprelu --bandwidth 1e-300",
            "`model.options.bandwidth` must be 0 or between 1e-30 and 1e30",
        ),
        (
            "--arch relu --p 1e-30",
            "`model.options.p` must be a number in (0.01, 4)",
        ),
        (
            "--arch relu --p-end 1e-9",
            "`train.p_end` must be a finite number above 0.01",
        ),
        (
            "--arch relu --l1 1e300",
            "`model.options.l1` must be 0 or between 1e-30 and 1e30",
        ),
        ("--steps 18446744073709551615", "18446744073709551615"),
        (
            "--set train.steps=18446744073709551615",
            "18446744073709551615",
        ),
        ("--rows 9223372036854775808", "9223372036854775808"),
    ] {
        let output = dir.run(&format!("train --out run {words}"));
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {err}");
        assert!(err.contains(expected), "{words}: {err}");
        assert_eq!(dir.everything(), [""; 0], "{words}");
    }
}

#[test]
fn number_of_threads_in_the_environment_is_limited() {
    let dir = TestDir::new();
    let mut command = dir.command("train --rows 100 --latents 4 --steps 1");
    let output = command.env("RAYON_NUM_THREADS", "999999").output().unwrap();
    let err = text(&output.stderr);
    assert!(
        err.contains("`RAYON_NUM_THREADS` must be at most 1024, got 999999"),
        "{err}"
    );
}

/// Finite rows of which one is near the end of the range of `f32`, such as the mark of a missing value.
#[test]
fn results_beyond_the_range_of_numbers_are_not_written() {
    let dir = TestDir::new();
    let mut rows: Vec<f32> = noise(60).iter().map(|value| 0.01 * value).collect();
    dir.write_npy("rows.npy", 3, &rows);
    // Rows of mean length 1 in training: the factor for these small rows takes the mark out of the range.
    rows[13] = -3.4e38;
    dir.write_npy("mark.npy", 3, &rows);
    dir.ok("train rows.npy --preprocess scale --arch relu --latents 8 --steps 20 --out run -q");
    let fails = |words: &str| {
        let output = dir.run(words);
        assert!(!output.status.success(), "{words}");
        text(&output.stderr)
    };
    for out in ["codes.npz", "codes.npy", "codes.parquet"] {
        let why = fails(&format!("encode run mark.npy --out {out}"));
        assert!(why.contains("not written: row 4"), "{why}");
        assert!(!dir.path(out).exists());
    }
    for command in ["eval run mark.npy --json", "report run --data mark.npy"] {
        let why = fails(command);
        let expected =
            "mark.npy: mse: expected a finite number, got NaN; a number exceeds the range of f32";
        assert!(why.contains(expected), "{why}");
    }
    let why = fails("synth --rows 10 --d-in 4 --noise 1e39 --out synth.npy");
    assert!(why.contains("not written: row 0, column 0"), "{why}");
    assert!(!dir.path("synth.npy").exists());
}
