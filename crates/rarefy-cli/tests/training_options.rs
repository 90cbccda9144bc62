//! Schedules, averaging, resampling and optimisers, through the program.

use crate::common::{TestDir, all_fail, noise, text};
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
            0.6,
        ),
    ] {
        let train = format!(
            "train sample:words --rows 4000 --batch 256 --steps 1000 --aux-coefficient 0 -q --json --arch {run}"
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
        assert!(said.status.success(), "{call}: {}", text(&said.stderr));
        let text = text(&said.stderr);
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("warning: "));
        // Advice on the result begins with a number.
        let of_settings = lines.filter(|line| line.starts_with('`'));
        of_settings.map(str::to_owned).collect()
    };
    let topk = "--arch topk --latents 70 --batch 50 --steps 4";
    for (call, expected) in [
        (String::new() + topk, vec![]),
        (
            format!("{topk} --sparsity-warmup 2"),
            vec!["`train.sparsity_warmup` has no effect: `topk` has no sparsity penalty"],
        ),
        (
            format!("{topk} --resample dictionary-learning"),
            vec![
                "`train.resample` has no effect: nothing is resampled if `train.resample_every` is 0",
            ],
        ),
        (
            format!("{topk} --optimizer signum --beta2 0.9"),
            vec!["`train.beta2` has no effect: the optimizer does not use this decay of Adam"],
        ),
        (
            format!("{topk} --lr-warmup 3 --lr-decay 2"),
            vec![
                "`train.lr_warmup` 3 and `train.lr_decay` 2 are together longer than the run of 4 steps: the learning rate never reaches `train.lr`",
            ],
        ),
        (
            "--arch relu --latents 70 --batch 50 --steps 4 --sparsity-warmup 5".into(),
            vec![
                "`train.sparsity_warmup` 5 is longer than the run of 4 steps: the penalty never reaches its weight",
            ],
        ),
        (
            "--steps 40 --lr-schedule cosine --beta1 0.5 --b-dec-start mean".into(),
            vec![
                "`train.lr_schedule` has no effect: L-BFGS searches the length of its steps over all rows",
                "`train.beta1` has no effect: the optimizer does not use this decay of Adam",
                "`model.b_dec_start` has no effect: architecture kl starts with a b_dec of 0",
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
2 error: {topk}: the checkpoint has the model autoencoder of [50] with centre true, this run has autoencoder of [50] with centre false
$ train --out topk --resume --decoder-norm rescale
2 error: {topk}: the checkpoint has the model autoencoder of [50] with centre true, this run has autoencoder of [50] with centre true and decoder_norm rescale
$ train --out topk --resume --steps 11
2 error: `train.steps` must be at least 12, since 12 steps are done, got 11
hint: set `train.steps` with --steps
$ train --out topk --resume --ema 0.9
2 error: `train.ema` cannot be added to a run that was started without it: remove it, or start a new run
hint: set `train.ema` with --ema
$ train --out relu --resume --p-end 0.5 --steps 40
2 error: `train.p_end` cannot be added to a run that was started without it: remove it, or start a new run
hint: set `train.p_end` with --p-end
";

#[test]
fn flags_replace_resolved_values_of_a_recorded_configuration() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 6, &noise(1200));
    dir.write_npy("y.npy", 4, &noise(800));
    let short = "--latents 16 --batch 50 --steps 4 -q";
    dir.ok(&format!("train x.npy --arch topk --k 2 {short} --out auto"));
    let config = "--config auto/config.toml -q";
    dir.ok(&format!("train {config} --target y.npy --out transcoder"));
    dir.ok(&format!("train {config} --with y.npy --out cross"));
    for (run, centre) in [("auto", true), ("transcoder", false), ("cross", false)] {
        let config: toml::Table = text(&dir.read(&format!("{run}/config.toml")))
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
2 error: this architecture has no k that changes during a run: remove `train.k_start`
hint: set `train.k_start` with --k-start
$ train missing.npy --arch groupmax --k 4 --k-start 8 --latents 64
2 error: this architecture has no k that changes during a run: remove `train.k_start`
hint: set `train.k_start` with --k-start
$ train missing.npy --arch topk --k 4 --multi-k 4 --k-start 9 --latents 64
2 error: k cannot change during a run while `model.options.multi_k` is above 1: remove `train.k_start`
hint: set `model.options.multi_k` with --multi-k, `train.k_start` with --k-start
$ train missing.npy --arch topk --k 4 --k-anneal 8 --latents 64
2 error: `train.k_anneal` needs the k at the start of the run: set `train.k_start`
hint: set `train.k_anneal` with --k-anneal, `train.k_start` with --k-start
$ train missing.npy --arch topk --k 4 --k-start 65 --latents 64
2 error: `train.k_start` must be at most the 64 latents, got 65
hint: set `train.k_start` with --k-start
$ train missing.npy --arch topk --k-start 0
2 error: `train.k_start` must be a finite number above 0, got 0
hint: set `train.k_start` with --k-start
$ train missing.npy --arch topk --latents 64 --k 4 --p-end 0.5
2 error: the penalty of this architecture has no p: remove `train.p_end`
hint: set `train.p_end` with --p-end
$ train missing.npy --arch relu --latents 64 --p-from 5
2 error: `train.p_from` needs the p at the end of the run: set `train.p_end`
hint: set `train.p_from` with --p-from, `train.p_end` with --p-end
$ train missing.npy --arch topk --ema 1
2 error: `train.ema` must be at least 0 and below 1, got 1
hint: set `train.ema` with --ema
$ train missing.npy --arch topk --beta1 -0.1
2 error: `train.beta1` must be at least 0 and below 1, got -0.1
hint: set `train.beta1` with --beta1
$ train missing.npy --arch topk --lr-end 0.1
2 error: `train.lr_end` is the last value of a cosine: set `train.lr_schedule` to cosine
hint: set `train.lr_end` with --lr-end, `train.lr_schedule` with --lr-schedule
$ train missing.npy --arch topk --optimizer signum --lr-decay 10
2 error: optimizers schedule-free and signum average over the run, so the learning rate must not decrease: remove `train.lr_decay` and `train.lr_schedule`
hint: set `train.lr_decay` with --lr-decay, `train.lr_schedule` with --lr-schedule
$ train missing.npy --arch topk --optimizer schedule-free --beta1 0
2 error: `train.beta1` must be above 0 with optimizers schedule-free and signum, which take gradients near the average; got 0
hint: set `train.beta1` with --beta1
$ train missing.npy --arch topk --optimizer schedule-free --ema 0.9
2 error: optimizers schedule-free and signum already average the weights: remove `train.ema`
hint: set `train.ema` with --ema
$ train missing.npy --arch topk --optimizer signum --resample-every 9
2 error: optimizers schedule-free and signum would average resampled weights with the old ones: remove `train.resample_every`
hint: set `train.resample_every` with --resample-every
$ train missing.npy --arch matching-pursuit --resample-every 9
2 error: resampling shortens encoder rows only, and here the encoder is tied to the decoder: remove `train.resample_every`
hint: set `train.resample_every` with --resample-every
$ train missing.npy --arch kl --ema 0.9 --optimizer adam
2 error: `train.ema`, `train.mask` and `train.resample_every` need a sparse architecture, and kl is dense: remove them or set `model.arch`
hint: set `train.ema` with --ema, `train.mask` with --mask, `train.resample_every` with --resample-every, `model.arch` with --arch
$ train missing.npy --arch matching-pursuit --mask 0.2
2 error: a pursuit ends with the residual of the row that it reads, so that row must be whole: remove `train.mask`
hint: set `train.mask` with --mask
$ train missing.npy --arch topk --mask 1
2 error: `train.mask` must be at least 0 and below 1, got 1
hint: set `train.mask` with --mask
$ train missing.npy --arch kl --optimizer signum
2 error: optimizers schedule-free and signum need a sparse architecture, and kl is dense; set `train.optimizer` to adam
hint: set `train.optimizer` with --optimizer
$ train missing.npy --arch topk --latents 64 --k 4 --k-start 20 --k-anneal 101 --steps 100
2 error: `train.k_anneal` must be at most the 100 steps of the run, got 101
hint: set `train.k_anneal` with --k-anneal
$ train missing.npy --arch relu --latents 64 --lr 0.001 --lr-schedule cosine --lr-end 0.1
2 error: `train.lr_end` must be at most the learning rate 0.001, got 0.1
hint: set `train.lr_end` with --lr-end
$ train missing.npy --arch topk --latents 64 --k 4 --resample-every 51 --steps 100
2 error: `train.resample_every` must be at most half of the run's 100 steps, got 51
hint: set `train.resample_every` with --resample-every
$ train missing.npy --arch relu --latents 64 --p-end 1.5
2 error: `train.p_end` must be at most the initial p of 1, got 1.5
hint: set `train.p_end` with --p-end
$ train missing.npy --arch relu --latents 64 --p-end 0.5 --p-from 95 --steps 100
2 error: p decreases in 10 equal parts: `train.p_from` must be at least 10 steps before the end of the run (100 steps), got 95
hint: set `train.p_from` with --p-from
";

/// `--arch X --help` shows the options of X, each with its meaning and default there.
#[test]
fn help_of_an_architecture_has_its_options_alone() {
    let dir = TestDir::new();
    let of_kl = dir.ok("train --arch kl --help");
    assert!(
        of_kl.contains("--rho-estimate") && !of_kl.contains("--k <") && !of_kl.contains("--l1 <")
    );
    assert!(of_kl.contains("kl: "));
    let of_topk = dir.ok("train --arch=topk -h");
    assert!(
        of_topk.contains("--multi-k")
            && !of_topk.contains("--rho <")
            && !of_topk.contains("[topk, ")
    );
    let all = dir.ok("train --help");
    assert!(all.contains("--rho") && all.contains("--multi-k"));
    let failed = dir.run("train --arch nope --help");
    assert_eq!(failed.status.code(), Some(2));
    assert!(text(&failed.stderr).contains("nope"));
}

/// Adam's first step has the length of the learning rate, whatever the gradient: that of thresholds is `threshold_rate` times it.
#[test]
fn thresholds_move_by_their_own_rate() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 4, &noise(4000));
    let moved = |rate: f32| {
        dir.ok(&format!(
            "train x.npy --arch jumprelu --latents 8 --threshold 0.5 --bandwidth 0.5 --threshold-rate {rate} --lr 0.01 \
             --steps 1 --batch 1000 --holdout 0 --out run --force -q"
        ));
        let model = rarefy::model::Model::load(&dir.path("run")).unwrap();
        let thresholds = model.params().get("threshold");
        thresholds
            .iter()
            .fold(0.0_f32, |most, t| most.max((t - 0.5).abs()))
    };
    let (once, thrice) = (moved(1.0), moved(3.0));
    assert!(once > 1e-3, "{once}");
    assert!((thrice / once - 3.0).abs() < 1e-3, "{once} {thrice}");
}
