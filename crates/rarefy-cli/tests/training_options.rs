//! Schedules, averaging, resampling and optimisers, through the program.

use crate::common::{TestDir, all_fail};
use serde_json::Value;

const WEIGHTS: &str = "model/sae_weights.safetensors";
const TRAIN: &str = "train sample:words --rows 2000 --latents 200 --batch 128 -q";

/// Training options, each alone: architecture and flags.
const OPTIONS: &[(&str, &str)] = &[
    ("topk --k 4", "--lr-warmup 5 --lr-decay 6"),
    ("topk --k 4", "--lr-schedule cosine --lr-end 0.0001"),
    ("batch-topk --k 3.5", "--k-start 20 --k-anneal 12"),
    ("matryoshka --k 4", "--k-start 2 --k-anneal 12"),
    ("jumprelu", "--beta1 0 --beta2 0.99"),
    ("gated", "--ema 0.9"),
    ("matching-pursuit --k 4", "--ema 0.9"),
    ("batch-topk --k 3.5", "--ema 0.99 --holdout 100"),
    ("topk --k 4", "--optimizer schedule-free --lr-warmup 5"),
    ("jumprelu", "--optimizer signum"),
    ("topk --k 1 --aux-coefficient 0", "--resample-every 6"),
    (
        "topk --k 1 --aux-coefficient 0",
        "--resample-every 6 --ema 0.9",
    ),
    (
        "batch-topk --k 1 --aux-coefficient 0",
        "--resample-every 6 --resample dictionary-learning",
    ),
    ("topk --k 4", "--b-dec-start mean"),
    ("matryoshka --k 4", "--decoder-norm rescale"),
    ("jumprelu", "--decoder-norm rescale --ema 0.9"),
    ("relu", "--p-end 0.5 --p-from 3"),
];

#[test]
fn each_training_option_changes_weights_and_is_independent_of_threads_and_resume() {
    for (arch, flags) in OPTIONS {
        let dir = TestDir::new();
        let train = format!("{TRAIN} --arch {arch} --sparsity-warmup 4 --dead-after 300");
        let weights = |out: &str| dir.read(&format!("{out}/{WEIGHTS}"));
        dir.ok(&format!("{train} --steps 20 --out plain"));
        dir.ok(&format!(
            "{train} {flags} --steps 20 --threads 1 --out whole"
        ));
        assert!(
            weights("whole") != weights("plain"),
            "{arch} {flags} changes nothing"
        );
        dir.ok(&format!(
            "{train} {flags} --steps 20 --threads 3 --out threads"
        ));
        assert!(
            weights("whole") == weights("threads"),
            "{arch} {flags}: threads"
        );
        // A run of 20 steps, resumed from its checkpoint of step 11.
        let keep = "--set checkpoint_every=11";
        dir.ok(&format!("{train} {flags} --steps 20 {keep} --out parts"));
        std::fs::remove_file(dir.path("parts/checkpoints/step-000000000020.safetensors")).unwrap();
        std::fs::remove_dir_all(dir.path("parts/model")).unwrap();
        dir.ok("train --out parts --resume -q");
        assert!(
            weights("whole") == weights("parts"),
            "{arch} {flags}: resumed"
        );
    }
}

/// Penalty and learning rate are extreme, so that many latents die without resampling.
#[test]
fn resampling_lowers_dead_latents_and_raises_explained_variance() {
    let dir = TestDir::new();
    for (run, recipe, most) in [
        (
            "relu --latents 400 --l1 8 --lr 0.01 --sparsity-warmup 1",
            "anthropic",
            0.95,
        ),
        (
            "topk --latents 2000 --k 2 --lr 0.003",
            "dictionary-learning",
            0.5,
        ),
    ] {
        let train = format!(
            "train sample:words --rows 4000 --batch 512 --steps 1500 --aux-coefficient 0 -q --json --arch {run}"
        );
        let figures = |name: &str, more: &str| {
            let value: Value = dir.json(&format!("{train} --out {recipe}-{name} {more}"));
            ["dead_latents", "explained_variance"].map(|key| value[key].as_f64().unwrap())
        };
        let [dead, explained] = figures("without", "");
        let [fewer, more] = figures("with", &format!("--resample-every 200 --resample {recipe}"));
        assert!(
            dead > 100.0 && fewer < most * dead,
            "{recipe}: {fewer} of {dead}"
        );
        assert!(more > explained, "{recipe}: {more} {explained}");
    }
}

#[test]
fn settings_without_effect_are_warned_about() {
    let dir = TestDir::new();
    let warnings = |call: &str| -> Vec<String> {
        let said = dir.run(&format!(
            "train sample:digits --rows 200 {call} --out run --force"
        ));
        assert!(
            said.status.success(),
            "{call}: {}",
            crate::common::text(&said.stderr)
        );
        let text = crate::common::text(&said.stderr);
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("warning: "));
        lines.map(str::to_owned).collect()
    };
    let topk = "--arch topk --latents 70 --batch 50 --steps 4";
    for (call, expected) in [
        (String::new() + topk, vec![]),
        (
            format!("{topk} --sparsity-warmup 2"),
            vec![
                "nothing that the architecture pays for could rise: sparsity_warmup without effect",
            ],
        ),
        (
            format!("{topk} --resample dictionary-learning"),
            vec!["nothing is resampled without resample_every: resample without effect"],
        ),
        (
            format!("{topk} --optimizer signum --beta2 0.9"),
            vec!["they are Adam's: beta2 without effect"],
        ),
        (
            format!("{topk} --lr-warmup 3 --lr-decay 2"),
            vec![
                "lr_warmup 3 and lr_decay 2 take more than the run's 4 steps: the learning rate never is the one of lr",
            ],
        ),
        (
            "--arch relu --latents 70 --batch 50 --steps 4 --sparsity-warmup 5".into(),
            vec![
                "sparsity_warmup 5 is more than the run's 4 steps: the penalty never has its weight",
            ],
        ),
        (
            "--steps 40 --lr-schedule cosine --beta1 0.5 --b-dec-start mean".into(),
            vec![
                "optimizer lbfgs searches its own steps over all rows: lr_schedule without effect",
                "they are Adam's: beta1 without effect",
                "architecture kl starts b_dec from 0: b_dec_start without effect",
            ],
        ),
    ] {
        assert_eq!(warnings(&call), expected, "{call}");
    }
}

#[test]
fn resume_with_other_settings_is_refused() {
    let dir = TestDir::new();
    let train = "train sample:words --rows 500 --latents 60 --batch 50 --steps 12 -q";
    dir.ok(&format!("{train} --arch topk --k 4 --out topk"));
    dir.ok(&format!("{train} --arch relu --out relu"));
    let table = RESUMED
        .replace("{topk}", &newest("topk"))
        .replace("{relu}", &newest("relu"));
    all_fail(&dir, &table);
}

fn newest(run: &str) -> String {
    format!("{run}/checkpoints/step-000000000012.safetensors")
}

const RESUMED: &str = "$ train --out topk --resume --centre false
2 error: {topk}: the checkpoint is of the model autoencoder of [50] with centre true, this run is of autoencoder of [50] with centre false
$ train --out topk --resume --decoder-norm rescale
2 error: {topk}: the checkpoint is of the model autoencoder of [50] with centre true, this run is of autoencoder of [50] with centre true and decoder_norm rescale
$ train --out topk --resume --steps 11
2 error: 12 steps are done already, so the run cannot end after 11
$ train --out topk --resume --ema 0.9
2 error: the run was begun without ema and cannot take it up now: leave it out, or begin a new run
$ train --out relu --resume --p-end 0.5 --steps 40
2 error: the run was begun without p_end and cannot take it up now: leave it out, or begin a new run
";

#[test]
fn flags_replace_resolved_values_of_a_recorded_configuration() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 6, &crate::common::noise(1200));
    dir.write_npy("y.npy", 4, &crate::common::noise(800));
    let short = "--latents 16 --batch 50 --steps 4 -q";
    dir.ok(&format!("train x.npy --arch topk --k 2 {short} --out auto"));
    let config = "--config auto/config.toml -q";
    dir.ok(&format!("train {config} --target y.npy --out transcoder"));
    dir.ok(&format!("train {config} --with y.npy --out cross"));
    for (run, centre) in [("auto", true), ("transcoder", false), ("cross", false)] {
        let config: toml::Table = crate::common::text(&dir.read(&format!("{run}/config.toml")))
            .parse()
            .unwrap();
        assert_eq!(config["model"]["centre"].as_bool(), Some(centre), "{run}");
    }
    dir.ok(&format!(
        "train x.npy --arch topk --k 2 {short} --lr-schedule cosine --out cosine"
    ));
    dir.ok("train --config cosine/config.toml --lr-schedule constant --out constant -q");
    // The target may be set in the configuration instead of by a flag.
    dir.ok("train --config transcoder/config.toml --skip --preprocess-target none --out skip -q");
    assert_eq!(dir.json("inspect skip --json")["io"], "skip transcoder");
}

#[test]
fn invalid_training_options_are_refused_before_data_is_read() {
    all_fail(&TestDir::new(), REFUSED);
}

const REFUSED: &str = "$ train missing.npy --arch relu --k-start 40 --latents 64
2 error: k_start is where a run's k begins, and this architecture has none that could change
$ train missing.npy --arch groupmax --k 4 --k-start 8 --latents 64
2 error: k_start is where a run's k begins, and this architecture has none that could change
$ train missing.npy --arch topk --k 4 --k-anneal 8 --latents 64
2 error: k_anneal wants the k that a run begins with: give `--k-start`
$ train missing.npy --arch topk --k 4 --k-start 65 --latents 64
2 error: `k_start` must be at most the 64 latents, got 65
$ train missing.npy --arch topk --k-start 0
2 error: `k_start` must be a finite number above 0, got 0
$ train missing.npy --arch topk --latents 64 --k 4 --p-end 0.5
2 error: p_end is where the p of a norm ends, and this architecture's penalty has none
$ train missing.npy --arch relu --latents 64 --p-from 5
2 error: p_from wants the p that a run ends with: give `--p-end`
$ train missing.npy --arch topk --ema 1
2 error: `ema` must be at least 0 and below 1, got 1
$ train missing.npy --arch topk --beta1 -0.1
2 error: `beta1` must be at least 0 and below 1, got -0.1
$ train missing.npy --arch topk --lr-end 0.1
2 error: lr_end is where a cosine ends: give `--lr-schedule cosine` with it
$ train missing.npy --arch topk --optimizer signum --lr-decay 10
2 error: an optimizer without a schedule averages over the run, so its learning rate may rise but not fall: leave out lr_decay and lr_schedule
$ train missing.npy --arch topk --optimizer schedule-free --beta1 0
2 error: an optimizer without a schedule takes its gradients near the average, which wants a beta1 above 0
$ train missing.npy --arch topk --optimizer schedule-free --ema 0.9
2 error: an optimizer without a schedule gives an average already: leave out ema
$ train missing.npy --arch topk --optimizer signum --resample-every 9
2 error: resampling sets weights anew, and an optimizer without a schedule would average them with the old ones
$ train missing.npy --arch matching-pursuit --resample-every 9
2 error: resampling gives a latent an encoder shorter than its decoder, and here both are one
$ train missing.npy --arch kl --ema 0.9 --optimizer adam
2 error: ema and resampling are the sparse engine's; architecture kl has neither
$ train missing.npy --arch kl --optimizer signum
2 error: optimizers schedule-free and signum are those of the sparse engine; architecture kl is trained by `--optimizer adam`
$ train missing.npy --arch topk --latents 64 --k 4 --k-start 20 --k-anneal 101 --steps 100
2 error: `k_anneal` must be at most the run's 100 steps, got 101
$ train missing.npy --arch relu --latents 64 --lr 0.001 --lr-schedule cosine --lr-end 0.1
2 error: `lr_end` must be at most the learning rate that it falls from, 0.001, got 0.1
$ train missing.npy --arch topk --latents 64 --k 4 --resample-every 51 --steps 100
2 error: `resample_every` must be at most half of the run's 100 steps, got 51
$ train missing.npy --arch relu --latents 64 --p-end 1.5
2 error: `p_end` must be at most the p that it comes down from, 1, got 1.5
$ train missing.npy --arch relu --latents 64 --p-end 0.5 --p-from 95 --steps 100
2 error: p comes down in 10 equal parts, so it must begin at least as many steps before the run's end; the run has 100 steps and p_from is 95
";
