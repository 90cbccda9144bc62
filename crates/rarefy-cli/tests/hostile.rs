//! Hostile names and numbers on the command line: nothing reaches the terminal raw, and messages show what was given.

use crate::common::{TestDir, text};

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
