//! Transcoders and crosscoders through the program, and combinations that are refused before a row is read.

use crate::common::{Page, TestDir, all_fail, noise, npy, text};

const WEIGHTS: &str = "model/sae_weights.safetensors";

/// Folder with `x.npy`, 400 rows of six values, and `y.npy`, four functions of each row.
fn dir_with_data() -> TestDir {
    let dir = TestDir::new();
    let x = noise(2400);
    let y = x.chunks_exact(6).flat_map(|row| {
        let sum: f32 = row.iter().sum();
        [sum, row[0] * row[1], row[2].max(0.0), 3.0]
    });
    dir.write("y.npy", npy(4, &y.collect::<Vec<f32>>()));
    dir.write("x.npy", npy(6, &x));
    dir
}

#[test]
fn transcoder_trains_evaluates_encodes_and_decodes() {
    let dir = dir_with_data();
    let train = "train x.npy --target y.npy --arch topk --k 2 --latents 16 --batch 100 --steps 40";
    let whole = dir.json(&format!(
        "{train} --preprocess standardise --out run --json -q"
    ));
    assert_eq!((&whole["rows"], &whole["steps"]), (&400.into(), &40.into()));
    let inspected = dir.json("inspect run --json");
    assert_eq!(inspected["io"], "transcoder");
    assert_eq!(
        (&inspected["d_in"], &inspected["d_out"]),
        (&6.into(), &4.into())
    );
    let again = dir.json("eval run x.npy --target y.npy --json");
    assert_eq!(again["mse"], whole["mse"]);
    // Encoding needs the inputs alone; decoded rows are as wide as the target.
    dir.ok("encode run x.npy --out codes.npz");
    let decoded = dir.json("decode run codes.npz --out y_hat.npy --json");
    assert_eq!(decoded["values"], 4);
    dir.ok("report run");
    let report = text(&dir.read("run/report.html"));
    let words = "topk transcoder from x.npy to y.npy";
    assert!(report.contains(words) && report.contains("400 rows of 6 to 4"));
    assert!(!report.contains("Latents by input"));
    assert!(
        dir.ok("inspect run")
            .contains("standardise; target: standardise")
    );

    dir.ok(&format!("{train} --skip --out skip -q"));
    assert_eq!(dir.json("inspect skip --json")["io"], "skip transcoder");
    dir.ok("encode skip x.npy --out skip.npz");
}

#[test]
fn crosscoder_trains_evaluates_encodes_and_decodes() {
    let dir = dir_with_data();
    let train =
        "train x.npy --with y.npy --with x.npy --arch relu --latents 16 --batch 100 --steps 40";
    dir.ok(&format!("{train} --out run -q"));
    let inspected = dir.json("inspect run --json");
    assert_eq!(inspected["inputs"], serde_json::json!([6, 4, 6]));
    let evaluated = dir.json("eval run x.npy --with y.npy --with x.npy --json");
    let by_input = evaluated["explained_variance_by_input"].as_array().unwrap();
    assert_eq!(by_input.len(), 3);
    let table = dir.ok("eval run x.npy --with y.npy --with x.npy");
    assert_eq!(table.matches("  of x.npy").count(), 2, "{table}");
    assert_eq!(table.matches("  of y.npy").count(), 1, "{table}");
    let report = text(&dir.read("run/report.html"));
    for words in [
        "relu crosscoder of x.npy and y.npy and x.npy",
        "400 rows of 6 + 4 + 6, 16 latents",
        "explained of y.npy",
        "Right: latents of y.npy only.",
    ] {
        assert!(report.contains(words), "{words}");
    }
    let page = Page::of(&dir, "run");
    assert_eq!(page.head["inputs"][1], "y.npy");
    assert_eq!(page.floats("share").len(), 16 * 3);
    dir.ok("encode run x.npy --with y.npy --with x.npy --out codes.npz");
    let decoded = dir.json("decode run codes.npz --out rows.npy --json");
    assert_eq!(decoded["values"], 16);
    // The preprocessing is fitted to each input separately.
    dir.ok(&format!("{train} --preprocess scale --out scaled -q"));
    let scaled = dir.json("inspect scaled --json");
    assert_eq!(scaled["preprocess"][0], "(scale | scale | scale)");
    dir.ok("eval scaled x.npy --with y.npy --with x.npy");
}

#[test]
fn input_and_target_from_members_of_one_file_train_alike() {
    let dir = dir_with_data();
    let train = "--arch topk --k 2 --latents 16 --batch 100 --steps 3 -q --json";
    let apart = dir.json(&format!("train x.npy --target y.npy {train} --out apart"));
    let header = r#"{"x":{"dtype":"F32","shape":[400,6],"data_offsets":[0,9600]},"y":{"dtype":"F32","shape":[400,4],"data_offsets":[9600,16000]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    for name in ["x.npy", "y.npy"] {
        let values = dir.read_npy(name);
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
    dir.write("both.safetensors", bytes);
    let file = "both.safetensors";
    let together = dir.json(&format!(
        "train {file}::x --target {file}::y {train} --out together"
    ));
    assert_eq!(together["mse"], apart["mse"]);
    let evaluated = dir.json(&format!(
        "eval together {file} --member x --target {file}::y --json"
    ));
    assert_eq!(evaluated["mse"], apart["mse"]);
    all_fail(&dir, MEMBERS);
}

const MEMBERS: &str = "$ train both.safetensors --member x --target both.safetensors --arch topk --k 2
2 error: `data.target` must differ from `data.path`, got both.safetensors for both; name two members of one file as FILE::MEMBER
hint: set `data.target` with --target, `data.path` with the argument DATA
$ train both.safetensors::x --target both.safetensors::z --arch topk --k 2
2 error: unknown tensor of both.safetensors `z` (known: x, y)
";

#[test]
fn report_on_other_data_needs_all_inputs_and_the_target() {
    let dir = dir_with_data();
    let train = "--arch topk --k 2 --latents 16 --batch 100 --steps 3 -q";
    dir.ok(&format!("train x.npy --target y.npy {train} --out trans"));
    dir.ok(&format!("train x.npy --with y.npy {train} --out cross"));
    dir.ok("report trans --data x.npy --target y.npy");
    dir.ok("report cross --data x.npy --with y.npy");
    all_fail(&dir, REPORTS);
}

const REPORTS: &str = "$ report trans --data x.npy
2 error: the model is a transcoder: set `data.target` to the rows that it predicts
hint: set `data.target` with --target
$ report cross --data x.npy
1 error: x.npy: values in a row: expected 6 + 4 as the model was trained on; set `data.with` to the crosscoder's further inputs, got 6
hint: set `data.with` with --with
";

/// The output of a transcoder needs no mean or scale of the input rows.
#[test]
fn decode_warns_only_if_codes_lack_row_means() {
    let dir = dir_with_data();
    let train = "--arch topk --k 2 --latents 16 --batch 100 --steps 3 -q";
    dir.ok(&format!(
        "train x.npy --target y.npy {train} --preprocess layer-norm --preprocess-target scale --out trans"
    ));
    dir.ok(&format!(
        "train x.npy {train} --preprocess layer-norm --out auto"
    ));
    for (run, warned) in [("trans", false), ("auto", true)] {
        dir.ok(&format!("encode {run} x.npy --out {run}.npy"));
        let said = dir.run(&format!("decode {run} {run}.npy --out {run}-rows.npy"));
        assert!(said.status.success());
        let said = text(&said.stderr);
        assert_eq!(
            said.contains("the decoded rows lack them"),
            warned,
            "{run}: {said}"
        );
    }
}

#[test]
fn transcoder_and_crosscoder_are_byte_equal_over_threads_and_resume() {
    let dir = dir_with_data();
    for (name, more) in [
        ("skip", "--target y.npy --skip --arch batch-topk --k 2.5"),
        ("cross", "--with y.npy --arch jumprelu"),
    ] {
        let train = format!("train x.npy {more} --latents 16 --batch 64 -q");
        let weights = |out: &str| dir.read(&format!("{out}/{WEIGHTS}"));
        for threads in [1, 2, 3] {
            dir.ok(&format!(
                "{train} --steps 20 --threads {threads} --out {name}{threads}"
            ));
            assert!(weights(&format!("{name}{threads}")) == weights(&format!("{name}1")));
        }
        let out = format!("{name}-parts");
        // The default warm-up is a share of the run, which differs between the two calls.
        let told = "--set train.sparsity_warmup=5 --dead-after 400";
        dir.ok(&format!("{train} {told} --steps 20 --out {name}-whole"));
        dir.ok(&format!("{train} {told} --steps 7 --out {out}"));
        dir.ok(&format!("train --out {out} --resume --steps 20 -q"));
        assert!(weights(&out) == weights(&format!("{name}-whole")), "{name}");
    }
}

#[test]
fn data_of_other_widths_than_the_model_is_refused() {
    let dir = dir_with_data();
    dir.write("few.npy", npy(4, &noise(40)));
    let train = "--arch topk --k 2 --latents 16 --batch 100 --steps 3 -q";
    dir.ok(&format!(
        "train x.npy --target y.npy --skip {train} --out skip"
    ));
    dir.ok(&format!("train x.npy --with y.npy {train} --out cross"));
    dir.ok(&format!("train x.npy {train} --out plain"));
    dir.ok("encode skip x.npy --out codes.npz");
    all_fail(&dir, OTHERS);
}

/// The data is missing or holds a NaN; the error names the combination, so no data was read.
#[test]
fn invalid_option_combinations_are_refused_before_data_is_read() {
    let dir = TestDir::new();
    dir.write("nan.npy", npy(6, &[f32::NAN; 60]));
    dir.write("y.npy", npy(4, &noise(40)));
    all_fail(&dir, WRONG);
}

const OTHERS: &str = "$ train x.npy --target few.npy --arch topk --k 2 --out new
1 error: few.npy: rows: expected 400, the number of rows of x.npy, because rows of equal number form one sample, got 10
$ eval skip x.npy
2 error: the model is a transcoder: set `data.target` to the rows that it predicts
hint: set `data.target` with --target
$ eval plain x.npy --target y.npy
2 error: the model is an autoencoder and reconstructs its own input: remove `data.target`
hint: set `data.target` with --target
$ eval skip x.npy --target x.npy
1 error: values in a row of the target: expected 4 as the model was trained on, got 6
$ eval cross x.npy
1 error: x.npy: values in a row: expected 6 + 4 as the model was trained on; set `data.with` to the crosscoder's further inputs, got 6
hint: set `data.with` with --with
$ encode cross y.npy --with x.npy --out new.npz
1 error: y.npy + x.npy: values in a row: expected 6 + 4 as the model was trained on, got 4 + 6
$ decode skip codes.npz --out new.npy
2 error: a skip transcoder cannot be decoded from codes alone: its output also depends on the input rows
$ train x.npy --with y.npy --arch relu --preprocess row-mean --out new
2 error: preprocessing row-mean cannot be inverted for a crosscoder, whose codes store no mean or scale of each row
";

const WRONG: &str = "$ train missing.npy --arch topk --latents 8 --k 9
2 error: `model.options.k` must be at most the 8 latents, got 9
hint: set `model.options.k` with --k
$ train nan.npy --arch topk --k 49
2 error: `model.options.k` must be at most the 48 latents, got 49
hint: set `model.options.k` with --k
$ train missing.npy --arch topk --k 2.5
2 error: `model.options.k` must be auto or a whole number not below 1, got 2.5
hint: set `model.options.k` with --k
$ train missing.npy --arch matryoshka --latents 8 --k 9
2 error: `model.options.k` must be at most the 8 latents, got 9
hint: set `model.options.k` with --k
$ train missing.npy --arch relu --k 3
2 error: architecture relu has no option `k`; set `model.options.l1`, by which it is sparse, or `model.arch` to an architecture that has it: topk, batch-topk, abs-topk, groupmax, matryoshka, matching-pursuit
hint: set `model.options.l1` with --l1, `model.arch` with --arch
$ train missing.npy --arch topk --optimizer lbfgs
2 error: L-BFGS needs a smooth objective, which topk does not have; set `train.optimizer` to adam
hint: set `train.optimizer` with --optimizer
$ train missing.npy --arch matching-pursuit --target y.npy
2 error: architecture matching-pursuit cannot predict `data.target`: its encoder is tied to the decoder
hint: set `data.target` with --target
$ train missing.npy --arch matching-pursuit --centre false
2 error: `model.centre` must be true with architecture matching-pursuit: its first residual is x - b_dec
hint: set `model.centre` with --centre
$ train missing.npy --arch kl --target y.npy
2 error: architecture kl reconstructs its input and cannot predict `data.target`; set `model.arch` to a sparse architecture
hint: set `data.target` with --target, `model.arch` with --arch
$ train missing.npy --arch kl --centre false
2 error: architecture kl does not subtract b_dec from the input: remove `model.centre`
hint: set `model.centre` with --centre
$ train missing.npy --arch topk --target y.npy --centre true
2 error: `model.centre` cannot be true with `data.target`: b_dec is a bias of the target, not of the input
hint: set `model.centre` with --centre, `data.target` with --target
$ train missing.npy --arch topk --target y.npy --with y.npy
2 error: several inputs cannot be combined with a target: a crosscoder reconstructs its own inputs
$ train missing.npy --arch topk --set model.skip=true
2 error: `model.skip` predicts a target from the input: set `data.target`
hint: set `model.skip` with --skip, `data.target` with --target
$ train nan.npy --arch kl --tied --decoder-norm unit --optimizer adam
2 error: `model.decoder_norm` unit cannot be combined with a tied decoder
hint: set `model.decoder_norm` with --decoder-norm
$ train missing.npy --arch kl --latents 4 --tied --decoder-norm unit --optimizer adam
2 error: `model.decoder_norm` unit cannot be combined with a tied decoder
hint: set `model.decoder_norm` with --decoder-norm
$ train missing.npy --arch topk --steps 3 --set train.epochs=2
2 error: set `train.steps` or `train.epochs`, not both
hint: set `train.steps` with --steps, `train.epochs` with --epochs
";
