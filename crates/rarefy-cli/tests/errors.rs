//! Every failure: one readable message, exit code 1 or 2, no file half-written.

use crate::common::{TestDir, all_fail, noise, npy, text};

#[test]
fn unreadable_data_is_refused() {
    let dir = TestDir::new();
    let rows = noise(60);
    let with = |value: f32| {
        let mut rows = noise(60);
        rows[13] = value;
        npy(3, &rows)
    };
    let whole = npy(3, &rows);
    dir.write("empty.npy", "");
    dir.write("empty.csv", "");
    dir.write("short.npy", &whole[..whole.len() - 7]);
    dir.write("header.npy", &whole[..40]);
    dir.write("nan.npy", with(f32::NAN));
    dir.write("inf.npy", with(f32::INFINITY));
    dir.write("ragged.csv", "1,2,3\n4,5,6\n7,8\n");
    dir.write("word.csv", "a,b,c\n1,2,3\n4,five,6\n");
    dir.write("nan.csv", "1,2,3\n4,nan,6\n");
    dir.write("inf.csv", "1,2,3\n4,5,-inf\n");
    dir.write("blank.csv", "1,2,3\n4,,6\n");
    dir.write("notes.txt", "hello");
    let pickled = text(&rarefy::data::npy::f32_header(1, 2)[10..]).replace("'<f4'", "'|O'");
    let header = [
        b"\x93NUMPY\x01\x00".as_slice(),
        &(pickled.len() as u16).to_le_bytes(),
    ]
    .concat();
    dir.write(
        "pickled.npy",
        [header, pickled.into_bytes(), b"cos\nsystem\n".to_vec()].concat(),
    );
    std::fs::create_dir(dir.path("nothing")).unwrap();
    all_fail(&dir, UNREADABLE);
}

#[test]
fn settings_out_of_range_are_refused() {
    let dir = TestDir::new();
    let mut rows = noise(60);
    rows[7] = -0.25;
    rows[9] = 1.5;
    dir.write_npy("signed.npy", 3, &rows);
    all_fail(&dir, SENSELESS);
}

#[test]
fn unknown_flags_are_refused_with_a_suggestion() {
    let dir = TestDir::new();
    all_fail(&dir, FLAGS);
}

#[test]
fn invalid_configurations_are_refused_with_line_and_column() {
    let dir = TestDir::new();
    dir.write("syntax.toml", "[model]\nlatents = = 3\n");
    dir.write("key.toml", "[model]\nlatents = 9\n\n[train]\nsede = 3\n");
    dir.write("option.toml", "[model.options]\nrhoo = 0.1\n");
    dir.write("section.toml", "[modle]\nlatents = 9\n");
    dir.write("type.toml", "[model]\nlatents = \"many\"\n");
    dir.write("value.toml", "[model.options]\nrho = 2\n");
    dir.write("word.toml", "[train]\noptimizer = \"adm\"\n");
    dir.write("bytes.toml", b"\xff\xfe");
    std::fs::create_dir(dir.path("folder")).unwrap();
    all_fail(&dir, CONFIGURATIONS);
}

#[test]
fn unwritable_output_paths_are_refused() {
    let dir = TestDir::new();
    dir.write("file", "in the way");
    dir.write("full/notes.txt", "not a run");
    dir.ok("train --rows 100 --steps 1 --latents 4 --out run -q");
    all_fail(&dir, PLACES);
    assert_eq!(dir.read("file"), b"in the way");
}

#[test]
fn invalid_resumes_are_refused_and_leave_config_unchanged() {
    let dir = TestDir::new();
    dir.write("empty/notes.txt", "not a run");
    dir.ok("train --rows 100 --steps 1 --latents 4 --out run -q");
    dir.ok("train --rows 100 --steps 1 --latents 4 --out bare -q");
    let checkpoint = "checkpoints/step-000000000001.safetensors";
    std::fs::remove_file(dir.path(&format!("bare/{checkpoint}"))).unwrap();
    // A checkpoint in the folder of another run.
    dir.ok("train --rows 100 --steps 1 --latents 4 --out other -q");
    let patched = patch(
        &dir.read(&format!("other/{checkpoint}")),
        r#"\"arch\":\"kl\""#,
        r#"\"arch\":\"xx\""#,
    );
    dir.write(&format!("other/{checkpoint}"), patched);
    dir.ok("train --rows 100 --steps 1 --latents 4 --out damaged -q");
    let whole = dir.read(&format!("damaged/{checkpoint}"));
    dir.write(&format!("damaged/{checkpoint}"), &whole[..whole.len() / 2]);
    let before =
        ["run", "bare", "other", "damaged"].map(|run| dir.read(&format!("{run}/config.toml")));
    all_fail(&dir, RESUMED);
    let after =
        ["run", "bare", "other", "damaged"].map(|run| dir.read(&format!("{run}/config.toml")));
    assert!(before == after, "a refused resume changed config.toml");
}

#[test]
fn damaged_models_and_codes_are_refused() {
    let dir = TestDir::new();
    dir.ok("train --rows 100 --steps 1 --latents 4 --out run -q");
    dir.ok("encode run sample:digits --rows 10 --out codes.npz");
    dir.ok("encode run sample:digits --rows 10 --out codes.npy");
    dir.write_npy("narrow.npy", 3, &noise(60));
    dir.write("pickle.npz", "not a zip");
    let config = dir.read("run/model/cfg.json");
    let weights = dir.read("run/model/sae_weights.safetensors");
    let model = |name: &str, config: &[u8], weights: &[u8]| {
        dir.write(&format!("{name}/cfg.json"), config);
        dir.write(&format!("{name}/sae_weights.safetensors"), weights);
    };
    model("json", b"{\"architecture\": ", &weights);
    model("key", b"{\"architecture\": \"kl\", \"d_in\": 64}", &weights);
    model("arch", &patch(&config, "\"kl\"", "\"xx\""), &weights);
    model(
        "size",
        &patch(&config, "\"d_sae\": 4", "\"d_sae\": 5"),
        &weights,
    );
    model(
        "huge",
        &patch(&config, "\"d_sae\": 4", "\"d_sae\": 4000000000000000000"),
        &weights,
    );
    model(
        "zero",
        &patch(&config, "\"d_sae\": 4", "\"d_sae\": 0"),
        &weights,
    );
    model(
        "option",
        &patch(&config, "\"rho\": \"0.1\"", "\"rho\": \"1.1\""),
        &weights,
    );
    model("short", &config, &weights[..weights.len() - 3]);
    model("tensor", &config, &patch(&weights, "W_dec", "W_dac"));
    let mut nan = weights.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    model("nan", &config, &nan);
    dir.write("half/cfg.json", &config);
    all_fail(&dir, DAMAGED);
}

/// The value lies beyond the first piece of rows, so encoding has begun when it is read.
#[test]
fn nonfinite_value_in_row_39000_leaves_no_output() {
    let dir = TestDir::new();
    dir.write_npy("good.npy", 2, &noise(200));
    dir.ok("train good.npy --steps 1 --latents 2 --out run -q");
    let mut rows = noise(2 * 40_000);
    rows[2 * 39_000 + 1] = f32::NEG_INFINITY;
    dir.write_npy("late.npy", 2, &rows);
    all_fail(&dir, LATE);
}

/// Replaces the only occurrence of a text by another of any length.
#[track_caller]
fn patch(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut places = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, w)| *w == from.as_bytes());
    let (at, _) = places.next().expect("the text is there");
    assert!(places.next().is_none(), "the text is there once");
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

const UNREADABLE: &str = "$ train missing.npy --out run
1 error: missing.npy: No such file or directory (os error 2)
$ train digits --out run
1 error: digits: No such file or directory (os error 2)
hint: write sample:digits for the embedded sample
$ train empty.npy --out run
1 error: empty.npy: expected data, got an empty file
$ train empty.csv --out run
1 error: empty.csv: expected data, got an empty file
$ train short.npy --out run
1 error: short.npy: truncated: expected 240 bytes of data from byte 128 on (20 x 3 f32), got 233; write the file again
$ train header.npy --out run
1 error: header.npy: truncated: expected a header of 118 bytes, got 30
$ train pickled.npy --out run
1 error: pickled.npy: expected numbers, got pickled Python objects, which are never loaded because unpickling can run code; save numbers with x.astype('float32')
$ train nan.npy --out run
1 error: nan.npy: row 4, column 1: expected a finite number, got NaN
hint: leave such rows out with --skip-bad-rows, or replace the values
$ train inf.npy --out run
1 error: inf.npy: row 4, column 1: expected a finite number, got inf
hint: leave such rows out with --skip-bad-rows, or replace the values
$ train ragged.csv --out run
1 error: ragged.csv: line 3: expected 3 fields, got 2
$ train word.csv --out run
1 error: word.csv: line 3, column `b`: expected a number, got `five`; set `data.skip_bad_rows` to leave such rows out
hint: set `data.skip_bad_rows` with --skip-bad-rows
$ train blank.csv --out run
1 error: blank.csv: line 2, column `1` (the first is `0`): expected a number, got an empty cell; set `data.skip_bad_rows` to leave such rows out
hint: set `data.skip_bad_rows` with --skip-bad-rows
$ train nan.csv --out run
1 error: nan.csv: line 2, column `1` (the first is `0`): expected a number, got `nan`; set `data.skip_bad_rows` to leave such rows out
hint: set `data.skip_bad_rows` with --skip-bad-rows
$ train inf.csv --out run
1 error: inf.csv: line 2, column `2` (the first is `0`): expected a number, got `-inf`; set `data.skip_bad_rows` to leave such rows out
hint: set `data.skip_bad_rows` with --skip-bad-rows
$ train notes.txt --out run
1 error: notes.txt: a text file of this name is not read; if it holds a table of numbers, rename it so that it ends in .csv or .tsv (read are .npy, .npz, .csv, .csv.gz, .tsv, .tsv.gz, -ubyte, -ubyte.gz, .idx, .idx.gz, .safetensors, .parquet, .arrow, .feather, .ipc, .jsonl, .jsonl.gz, .ndjson, .ndjson.gz, .png, .jpg, .jpeg)
$ train nothing --out run
1 error: nothing: expected data files, got an empty folder
$ train sample:digit --out run
2 error: unknown sample `digit`, did you mean `digits`? (known: digits, words, patches)
$ data info nan.npy
1 error: nan.npy: row 4, column 1: expected a finite number, got NaN
hint: leave such rows out with --skip-bad-rows, or replace the values
$ data shard nan.npy --shard-rows 2 --out shards
1 error: nan.npy: row 4, column 1: expected a finite number, got NaN
hint: leave such rows out with --skip-bad-rows, or replace the values
$ data patches notes.txt --out p.npy
1 error: notes.txt: a text file of this name is not read; if it holds a table of numbers, rename it so that it ends in .csv or .tsv (read are .npy, .npz, .csv, .csv.gz, .tsv, .tsv.gz, -ubyte, -ubyte.gz, .idx, .idx.gz, .safetensors, .parquet, .arrow, .feather, .ipc, .jsonl, .jsonl.gz, .ndjson, .ndjson.gz, .png, .jpg, .jpeg)
";

const SENSELESS: &str = "$ train signed.npy --loss cross-entropy --out run
2 error: loss cross-entropy needs data in [0, 1], but the data spans [-0.25, 1.5]; add the step `scale` to `data.preprocess` or use `model.options.loss = squared`
hint: set `data.preprocess` with --preprocess, `model.options.loss` with --loss
$ train --rho 0 --out run
2 error: `model.options.rho` must be a number in (0, 1), got 0
hint: set `model.options.rho` with --rho
$ train --rho 1 --out run
2 error: `model.options.rho` must be a number in (0, 1), got 1
hint: set `model.options.rho` with --rho
$ train --rho -1 --out run
2 error: `model.options.rho` must be a number in (0, 1), got -1
hint: set `model.options.rho` with --rho
$ train --rho nan --out run
2 error: `model.options.rho` must be a number in (0, 1), got nan
hint: set `model.options.rho` with --rho
$ train --rho 1.5 --out run
2 error: `model.options.rho` must be a number in (0, 1), got 1.5
hint: set `model.options.rho` with --rho
$ plot penalty --rho 1 --out p.svg
2 error: `--rho` must be a number in (0, 1), got 1
$ train --latents 0 --out run
2 error: `model.latents` must be at least 1, got 0
hint: set `model.latents` with --latents
$ train --rows 5000 --out run
2 error: `data.rows` must be between 1 and the 1797 rows of sample:digits, got 5000
hint: set `data.rows` with --rows
$ train --rows 0 --out run
2 error: `data.rows` must be between 1 and the 1797 rows of sample:digits, got 0
hint: set `data.rows` with --rows
$ train --batch 5000 --out run
2 error: `train.batch` must be at most the 1797 rows of the data, got 5000
hint: set `train.batch` with --batch
$ train --steps 0 --out run
2 error: `train.steps` must be at least 1, got 0
hint: set `train.steps` with --steps
$ train --threads 0 --out run
2 error: `train.threads` must be between 1 and 1024, got 0
hint: set `train.threads` with --threads
$ train --lr nan --out run
2 error: `train.lr` must be a finite number above 0, got NaN
hint: set `train.lr` with --lr
$ train --clip tight --out run
2 error: `train.clip` must be a number or none, got tight
hint: set `train.clip` with --clip
$ train --image-shape 3x3 --out run
1 error: image shape: expected height x width = 64 values in a row, got 3 x 3
$ train --image-shape 8 --out run
2 error: `data.image_shape` must be HEIGHTxWIDTH, such as 28x28, got 8
hint: set `data.image_shape` with --image-shape
$ train --arch k1 --out run
2 error: unknown architecture `k1`, did you mean `kl`? (known: kl, relu, topk, batch-topk, abs-topk, groupmax, jumprelu, gated, matryoshka, matching-pursuit)
$ train --preprocess scael --out run
2 error: unknown preprocessing step `scael`, did you mean `scale`? (known: scale, standardise, row-mean, norm-average, norm-square, norm-row, layer-norm, clip-sd, pca, zca)
$ train --preprocess zca:x --out run
2 error: `data.preprocess` must be zca or zca:EPS, got zca:x
hint: set `data.preprocess` with --preprocess
$ check gradients --arch k1
2 error: unknown architecture `k1`, did you mean `kl`? (known: kl, relu, topk, batch-topk, abs-topk, groupmax, jumprelu, gated, matryoshka, matching-pursuit)
$ data shard sample:digits --shard-rows 0 --out shards
2 error: `store.shard_rows` must be at least 1, got 0
hint: set `store.shard_rows` with --shard-rows
";

const FLAGS: &str = "$ train --latnets 3
2 error: unexpected argument '--latnets' found

  tip: a similar argument exists: '--latents'

Usage: rarefy train --latents <N> [DATA]...

For more information, try '--help'.
$ trian
2 error: unrecognized subcommand 'trian'

  tip: a similar subcommand exists: 'train'

Usage: rarefy <COMMAND>

For more information, try '--help'.
$ train --seed -1
2 error: invalid value '-1' for '--seed <N>': expected a whole number not below 0

For more information, try '--help'.
$ train --optimizer adma
2 error: invalid value 'adma' for '--optimizer <NAME>'
  [possible values: lbfgs, adam, sgd, schedule-free, signum]

  tip: a similar value exists: 'adam'

For more information, try '--help'.
$ train --resume
2 error: the following required arguments were not provided:
  --out <RUN>

Usage: rarefy train --out <RUN> --resume [DATA]...

For more information, try '--help'.
";

const CONFIGURATIONS: &str = r#"$ train --out run --config syntax.toml
1 error: syntax.toml: line 2, column 11: extra `=`, expected nothing
$ train --out run --config key.toml
2 error: key.toml: line 5, column 1: unknown config key `train.sede`, did you mean `train.seed`?
hint: the config.toml of any run shows every key
$ train --out run --config option.toml
2 error: option.toml: line 2, column 1: unknown config key `model.options.rhoo`, did you mean `model.options.rho`?
hint: the config.toml of any run shows every key
$ train --out run --config section.toml
2 error: section.toml: line 1, column 2: unknown config section `modle`, did you mean `model`? (known: data, model, train)
hint: the config.toml of any run shows every key
$ train --out run --config type.toml
1 error: type.toml: line 2, column 11: invalid type: string "many", expected a whole number not below 0
$ train --out run --config word.toml
1 error: word.toml: line 2, column 13: unknown variant `adm`, expected one of `lbfgs`, `adam`, `sgd`, `schedule-free`, `signum`
$ train --out run --config value.toml
2 error: `model.options.rho` must be a number in (0, 1), got 2
hint: set `model.options.rho` with --rho
$ train --out run --config bytes.toml
1 error: bytes.toml: stream did not contain valid UTF-8
$ train --out run --config missing.toml
1 error: missing.toml: No such file or directory (os error 2)
$ train --out run --config folder
1 error: folder: expected a configuration file, got a folder
$ train --out run --set latnets=3
2 error: unknown config key `latnets`, did you mean `latents`?
hint: the config.toml of any run shows every key
$ train --out run --set model.latnets=3
2 error: unknown config key `model.latnets`, did you mean `model.latents`?
hint: the config.toml of any run shows every key
$ train --out run --set rho
2 error: `--set` must be KEY=VALUE, got rho
$ train --out run --set latents=many
2 error: --set latents=many: invalid type: string "many", expected a whole number not below 0
$ train --out run --set clip=tight
2 error: --set clip=tight: invalid value: string "tight", expected a number or none
$ train --out run --set train.seed=-1
2 error: --set train.seed=-1: invalid value: integer `-1`, expected a whole number not below 0
$ train --out run --set rho=2
2 error: `model.options.rho` must be a number in (0, 1), got 2
hint: set `model.options.rho` with --rho
"#;

const PLACES: &str = "$ train --out file
1 error: file: expected a folder to write to, got a file
$ train --out file/deep/run
1 error: file: expected a folder to write to, got a file
$ train --out full
2 error: full holds other files and is not a run folder; give another --out
$ train --out run
2 error: run holds a run already; continue it with --resume, replace it with --force, or give another --out
$ encode run sample:digits --out file/codes.npy
1 error: file: expected a folder to write to, got a file
$ encode run sample:digits --out full/.npz
2 error: unknown extension of a codes file `` (known: npy, npz, safetensors, parquet)
$ encode run sample:digits --out codes.zip
2 error: unknown extension of a codes file `zip` (known: npy, npz, safetensors, parquet)
$ plot penalty --rho 0.2 --out p.png
2 error: `--out` must be a file that ends in .svg, got p.png
$ data shard sample:digits --shard-rows 900 --out file
1 error: file: expected a folder to write to, got a file
$ data shard sample:digits --shard-rows 900 --out full
2 error: full holds other files; give a new or empty folder
";

const RESUMED: &str = "$ train --resume --out none
1 error: none: expected a run folder, got no config.toml in it
$ train --resume --out empty
1 error: empty: expected a run folder, got no config.toml in it
$ report none
1 error: none: expected a run folder, got no config.toml in it
$ train --resume --out bare
2 error: bare has no checkpoint to resume from
$ train --resume --out run --latents 5
2 error: run is a run of kl with 4 latents; it cannot be resumed as kl with 5 latents
$ train --resume --out run --arch topk
2 error: run is a run of kl with 4 latents; it cannot be resumed as topk with 4 latents
$ train --resume --out run --optimizer adam
2 error: run/checkpoints/step-000000000001.safetensors: the checkpoint has optimizer Lbfgs, this run has Adam
$ train --resume --out run --tied
1 error: run/checkpoints/step-000000000001.safetensors: params: expected 324 f32, got 580 f32
$ train --resume --out run --rows 99
2 error: run/checkpoints/step-000000000001.safetensors: the checkpoint has data with 100 rows of 64 from 0 to 1, mean 3.041699e-1, this run has 99 rows of 64 from 0 to 1, mean 3.041943e-1
$ train --resume --out other
2 error: other/checkpoints/step-000000000001.safetensors: the checkpoint has architecture xx, this run has kl
$ train --resume --out damaged
1 error: damaged/checkpoints/step-000000000001.safetensors: damaged safetensors file: truncated, or longer than its header says
hint: no older checkpoint can be read; start again with --force
";

const DAMAGED: &str = "$ eval nothing sample:digits
1 error: nothing/cfg.json: No such file or directory (os error 2)
hint: a model is a run folder, or a folder with cfg.json and sae_weights.safetensors; it stands before the data
$ eval json sample:digits
1 error: json/cfg.json: EOF while parsing a value at line 1 column 17
$ eval key sample:digits
1 error: key/cfg.json: missing field `d_sae` at line 1 column 34
$ eval arch sample:digits
2 error: unknown architecture `xx` (known: kl, relu, topk, batch-topk, abs-topk, groupmax, jumprelu, gated, matryoshka, matching-pursuit)
$ eval size sample:digits
1 error: size/sae_weights.safetensors: W_enc: expected [64, 5], got [64, 4]
$ eval huge sample:digits
1 error: huge/cfg.json: expected d_in and d_sae of a real model, got 64 and 4000000000000000000
$ eval zero sample:digits
1 error: zero/cfg.json: expected d_in and d_sae of a real model, got 64 and 0
$ eval option sample:digits
2 error: `rho` must be a number in (0, 1), got 1.1
$ eval short sample:digits --json
1 error: short/sae_weights.safetensors: damaged safetensors file: truncated, or longer than its header says
$ eval tensor sample:digits
1 error: tensor/sae_weights.safetensors: expected a tensor `W_dec`, got none
$ eval nan sample:digits
1 error: nan/sae_weights.safetensors: b_enc: expected finite weights, got NaN at index 3
$ eval half sample:digits
1 error: half/sae_weights.safetensors: No such file or directory (os error 2)
$ eval run narrow.npy
1 error: narrow.npy: values in a row: expected 64 as the model was trained on, got 3
$ eval run sample:digits --rows 1798
2 error: `data.rows` must be between 1 and the 1797 rows of sample:digits, got 1798
hint: set `data.rows` with --rows
$ encode short sample:digits --out new/codes.npy
1 error: short/sae_weights.safetensors: damaged safetensors file: truncated, or longer than its header says
$ encode run narrow.npy --out codes.parquet
1 error: narrow.npy: values in a row: expected 64 as the model was trained on, got 3
$ decode short codes.npz --out x.npy
1 error: short/sae_weights.safetensors: damaged safetensors file: truncated, or longer than its header says
$ decode run missing.npz --out x.npy
1 error: missing.npz: No such file or directory (os error 2)
$ decode run pickle.npz --out x.npy
1 error: pickle.npz: not an npz file: invalid Zip archive: Could not find EOCD
$ decode run narrow.npy --out x.npy
1 error: narrow.npy: latents: expected 4, got 3
$ decode run codes.npz --out x.csv
2 error: `--out` must be a file that ends in .npy, got x.csv
$ report run --data narrow.npy
1 error: narrow.npy: values in a row: expected 64 as the model was trained on, got 3
$ inspect nothing
1 error: nothing: No such file or directory (os error 2)
$ train --init short --latents 4 --out new
1 error: short/sae_weights.safetensors: damaged safetensors file: truncated, or longer than its header says
$ train --init run --latents 5 --out new
1 error: initial weights: expected w_enc 5x64, b_enc 1x5, w_dec 5x64, b_dec 1x64, got w_enc 4x64, b_enc 1x4, w_dec 4x64, b_dec 1x64
";

const LATE: &str = "$ encode run late.npy --out codes.npy
1 error: late.npy: row 39000, column 1: expected a finite number, got -inf
hint: leave such rows out with --skip-bad-rows, or replace the values
$ encode run late.npy --out codes.npz
1 error: late.npy: row 39000, column 1: expected a finite number, got -inf
hint: leave such rows out with --skip-bad-rows, or replace the values
$ eval run late.npy
1 error: late.npy: row 39000, column 1: expected a finite number, got -inf
hint: leave such rows out with --skip-bad-rows, or replace the values
$ train late.npy --out new
1 error: late.npy: row 39000, column 1: expected a finite number, got -inf
hint: leave such rows out with --skip-bad-rows, or replace the values
$ data shard late.npy --shard-rows 10000 --out shards
1 error: late.npy: row 39000, column 1: expected a finite number, got -inf
hint: leave such rows out with --skip-bad-rows, or replace the values
";
