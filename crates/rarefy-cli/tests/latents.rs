//! `latents`: tables, one latent in full, search and targets.

use crate::common::TestDir;

const TRAIN: &str = "--arch topk --k 4 --steps 150 --batch 128 --seed 1";

#[test]
fn table_names_latents_by_the_labels_of_the_run() {
    let dir = TestDir::new();
    dir.ok(&format!(
        "train sample:digits {TRAIN} --latents 32 --out run"
    ));
    let table = dir.ok("latents run --limit 5 --csv all.csv");
    assert!(
        table.starts_with("32 latents on 1797 rows: 4.0 active per row; "),
        "{table}"
    );
    assert!(
        table.contains("27 more latents: --limit 32, --csv FILE or --json"),
        "{table}"
    );
    let csv = std::fs::read_to_string(dir.path("all.csv")).unwrap();
    assert!(
        csv.starts_with("latent,name,firing_rate,mean,max,nearest,top_rows\n0,"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 33);
    let all = dir.json("latents run --sort number --top 3 --json");
    let latents = all["latents"].as_array().unwrap();
    assert_eq!((all["rows"].as_u64(), latents.len()), (Some(1797), 32));
    let named = latents
        .iter()
        .filter(|l| l["name"].as_str().unwrap().ends_with(" %)"));
    assert!(named.count() > 25, "{all}");
    assert_eq!(latents[7]["latent"], 7);
    assert_eq!(latents[7]["top"].as_array().unwrap().len(), 3);
    let one = dir.json("latents run --latent 7 --json");
    assert_eq!(one["top"][0], latents[7]["top"][0]);
    assert_eq!(one["together"].as_array().unwrap().len(), 10);
    let text = dir.ok("latents run --latent 7");
    assert!(
        text.contains("Nearest decoder rows") && text.contains("####################"),
        "{text}"
    );
}

#[test]
fn target_ranks_latents_and_tells_how_well_they_predict() {
    let dir = TestDir::new();
    dir.ok(&format!(
        "train sample:digits {TRAIN} --latents 32 --out run"
    ));
    let found = dir.json("latents run --target labels --json --csv found.csv");
    assert_eq!(
        (&found["target"], &found["kind"]),
        (&"labels".into(), &"10 classes".into())
    );
    let best = &found["associations"][0];
    assert!(
        best["q"].as_f64().unwrap() < 1e-50 && best["odds_ratio"].as_f64().unwrap() > 10.0,
        "{best}"
    );
    assert_eq!(found["probe"]["probes"].as_array().unwrap().len(), 5);
    let table = dir.ok("latents run --target labels --limit 3");
    assert!(
        table.contains("odds ratio") && table.contains("all 64 inputs"),
        "{table}"
    );
    let csv = std::fs::read_to_string(dir.path("found.csv")).unwrap();
    assert_eq!(csv.lines().count(), 321);
    let p = |a: &serde_json::Value| a["p"].as_f64().unwrap();
    let all = found["associations"].as_array().unwrap();
    assert!(all.is_sorted_by(|a, b| p(a) <= p(b)), "by p-value");
    let three = dir.json("latents run --target labels --class 3 --json");
    let three = three["associations"].as_array().unwrap();
    assert!(three.len() == 32 && three.iter().all(|a| a["class"] == "3"));
    let failed = dir.run("latents run --target labels --class 11");
    let error = String::from_utf8(failed.stderr).unwrap();
    assert!(error.contains("unknown class `11`"), "{error}");
}

/// A latent that is active on no row has no counts, and its odds ratio would be that of the added halves.
#[test]
fn latents_that_are_never_active_are_associated_with_no_class() {
    let dir = TestDir::new();
    dir.ok("train sample:digits --rho 0.005 --steps 30 --out run -q");
    let found = dir.json("latents run --target labels --json");
    let latents = dir.json("latents run --json");
    let fires = |latent: usize| latents["latents"][latent]["firing_rate"].as_f64().unwrap() > 0.0;
    let active = (0..64).filter(|latent| fires(*latent)).count();
    assert!(active < 64, "{active}");
    let all = found["associations"].as_array().unwrap();
    assert_eq!(all.len(), 10 * active);
    let latent = |a: &serde_json::Value| a["latent"].as_u64().unwrap() as usize;
    assert!(all.iter().all(|a| fires(latent(a))));
}

#[test]
fn texts_and_scores_beside_an_array_are_searched_and_ranked() {
    let dir = TestDir::new();
    // Column 0 is large in every third row, whose text has a word of its own; the score is that column.
    let value = |row: usize, column: usize| {
        let noise = ((row * 13 + column * 7) as f32).sin();
        if column == 0 && row.is_multiple_of(3) {
            6.0 + noise
        } else {
            0.3 * noise
        }
    };
    let values: Vec<f32> = (0..240)
        .flat_map(|row| (0..6).map(move |column| value(row, column)))
        .collect();
    dir.write_npy("x.npy", 6, &values);
    let text = |row: usize| {
        if row.is_multiple_of(3) {
            "the late refund\n"
        } else {
            "a nice day\n"
        }
    };
    dir.write("texts.txt", (0..240).map(text).collect::<String>());
    let scores = (0..240).map(|row| format!("{}\n", value(row, 0)));
    dir.write("scores.txt", scores.collect::<Vec<_>>().concat());
    dir.ok(&format!(
        "train x.npy {TRAIN} --latents 8 --holdout 0 --out run"
    ));
    let found = dir.json("latents run --texts texts.txt --search REFUND --json");
    let best = &found["associations"][0];
    assert!(best["correlation"].as_f64().unwrap() > 0.9, "{found}");
    let begins = dir.ok("latents run --texts texts.txt --search ref*");
    assert!(
        begins.starts_with("texts with `ref*` (words; 80 of 240 rows have them)"),
        "{begins}"
    );
    assert!(best["name"].as_str().unwrap().contains("refund"), "{best}");
    let scored = dir.json("latents run x.npy --labels scores.txt --target labels --json");
    assert_eq!(scored["kind"], "score");
    assert!(
        scored["associations"][0]["correlation"].as_f64().unwrap() > 0.95,
        "{scored}"
    );
    assert!(
        scored["probe"]["probes"][0]["score"].as_f64().unwrap() > 0.9,
        "{scored}"
    );
    let class = dir.run("latents run --labels texts.txt --target labels --kind score");
    let error = String::from_utf8(class.stderr).unwrap();
    assert!(
        error.contains("got `the late refund` in row 0, counted from 0, and 239 more"),
        "{error}"
    );
}

#[test]
fn missing_scores_are_told_and_first_rows_take_first_lines() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 4, &crate::common::noise(400));
    dir.ok("train x.npy --arch topk --latents 6 --k 2 --steps 20 --batch 50 --out run -q");
    let score = |row: usize| match row {
        3 | 50 => "NA\n".to_owned(),
        row => format!("{row}.5\n"),
    };
    dir.write("scores.txt", (0..100).map(score).collect::<String>());
    let table = dir.ok("latents run --labels scores.txt --target labels");
    assert!(
        table.starts_with("labels (score; 2 of 100 rows have none and are left out)"),
        "{table}"
    );
    let some = dir.json("latents run x.npy --rows 40 --labels scores.txt --target labels --json");
    assert_eq!(some["missing"], 1);
}

#[test]
fn column_of_a_table_is_a_target_and_not_data() {
    let dir = TestDir::new();
    let row = |row: usize| {
        let noise = |seed: usize| ((row * 31 + seed * 17) as f64).sin();
        let stars = if noise(0) > 0.0 { 5 } else { 1 };
        format!("{},{},{},{stars}\n", 3.0 * noise(0), noise(1), noise(2))
    };
    dir.write(
        "t.csv",
        format!("a,b,c,stars\n{}", (0..300).map(row).collect::<String>()),
    );
    dir.ok(&format!(
        "train t.csv --exclude stars {TRAIN} --latents 6 --holdout 0 --out run"
    ));
    let of_run = dir.json("latents run --target stars --json");
    let found = dir.json("latents run t.csv --target stars --json");
    assert_eq!(of_run, found);
    assert_eq!(found["kind"], "2 classes");
    assert!(
        found["associations"][0]["correlation"]
            .as_f64()
            .unwrap()
            .abs()
            > 0.6,
        "{found}"
    );
}

/// Another column as the target does not make the run's label an input.
#[test]
fn label_of_the_run_is_no_input_beside_another_target() {
    let dir = TestDir::new();
    let row = |row: usize| {
        let noise = |seed: usize| ((row * 31 + seed * 17) as f64).sin();
        format!(
            "{},{},{},{},{},{row}\n",
            noise(0),
            noise(1),
            noise(2),
            row % 2,
            row % 3
        )
    };
    dir.write(
        "t.csv",
        format!(
            "a,b,c,odd,third,id\n{}",
            (0..300).map(row).collect::<String>()
        ),
    );
    dir.ok(&format!(
        "train t.csv --label odd --exclude third,id {TRAIN} --latents 6 --holdout 0 --out run"
    ));
    let of_run = dir.json("latents run --target third --json");
    assert_eq!(of_run["kind"], "3 classes");
    assert_eq!(of_run, dir.json("latents run t.csv --target third --json"));
    let without = dir.json("latents run t.csv --target third --exclude id --json");
    assert_eq!(of_run, without);
}

#[test]
fn questions_without_an_answer_are_refused() {
    let dir = TestDir::new();
    let noise: Vec<f32> = (0..800).map(|at| (at as f32 * 0.7).sin()).collect();
    dir.write_npy("x.npy", 4, &noise);
    dir.ok(&format!(
        "train x.npy {TRAIN} --latents 6 --holdout 0 --out run"
    ));
    dir.write("two.txt", "a\nb\n");
    for (words, why) in [
        (
            "latents run --latent 6",
            "`--latent` must be a number below 6, the number of latents, got 6",
        ),
        (
            "latents run --search a",
            "has no texts: give a text file with one text for each row with --texts FILE",
        ),
        (
            "latents run --target y",
            "--target y: the data is an array, which has no columns with names; --target labels takes the data's own labels (--class NAME one of them), --labels FILE those of a file",
        ),
        ("latents run --target labels", "has no label"),
        (
            "latents run --texts two.txt",
            "two.txt: texts: expected 200, one for each row, got 2",
        ),
        (
            "latents run --texts two.csv",
            "two.csv: is a table, and texts are a text file with one line for each row and no header: write the column to a file such as texts.txt",
        ),
        ("latents run/model", "give the data behind the model"),
    ] {
        let output = dir.run(words);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && error.contains(why),
            "{words}: {error}"
        );
    }
}

/// Logit lens: tokens along the decoder rows, from a matrix of either layout and a vocabulary of either kind.
#[test]
fn tokens_that_a_latent_raises_come_from_an_unembedding() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 4, &crate::common::noise(400));
    dir.ok("train x.npy --arch topk --latents 6 --k 2 --steps 20 --batch 50 --out run -q");
    let model = rarefy::model::Model::load(&dir.path("run")).unwrap();
    let unembedding: Vec<f32> = (0..5 * 4).map(|v| ((v * v) as f32).sin()).collect();
    let turned: Vec<f32> = (0..4 * 5)
        .map(|at| unembedding[at % 5 * 4 + at / 5])
        .collect();
    dir.write_npy("u.npy", 4, &unembedding);
    dir.write_npy("turned.npy", 5, &turned);
    dir.write("words.txt", "a\nb\nc\nd\ne\n");
    dir.write("vocab.json", r#"{"e": 4, "d": 3, "c": 2, "b": 1, "a": 0}"#);
    let told =
        dir.json("latents run --unembedding u.npy --vocabulary words.txt --sort number --json");
    let mean: Vec<f64> = (0..4)
        .map(|i| {
            (0..5)
                .map(|t| f64::from(unembedding[t * 4 + i]))
                .sum::<f64>()
                / 5.0
        })
        .collect();
    let w_dec = model.params().get("w_dec");
    for (latent, value) in told["latents"].as_array().unwrap().iter().enumerate() {
        let logit = |t: usize| -> f64 {
            (0..4)
                .map(|i| {
                    (f64::from(unembedding[t * 4 + i]) - mean[i]) * f64::from(w_dec[latent * 4 + i])
                })
                .sum()
        };
        let mut order: Vec<usize> = (0..5).collect();
        order.sort_by(|a, b| logit(*b).total_cmp(&logit(*a)));
        for (found, token) in value["raised"].as_array().unwrap().iter().zip(&order) {
            assert_eq!(found["token"], ["a", "b", "c", "d", "e"][*token]);
            assert!((found["logit"].as_f64().unwrap() - logit(*token)).abs() < 1e-5);
        }
        assert_eq!(
            value["lowered"][0]["token"],
            ["a", "b", "c", "d", "e"][order[4]]
        );
    }
    let again = dir
        .json("latents run --unembedding turned.npy --vocabulary vocab.json --sort number --json");
    assert_eq!(again, told);
    assert!(
        dir.ok("latents run --latent 2 --unembedding u.npy --vocabulary words.txt")
            .contains("Tokens that it raises and lowers")
    );
    dir.ok("report run --unembedding u.npy --vocabulary vocab.json");
    let page = crate::common::Page::of(&dir, "run");
    assert_eq!(page.texts("token").len(), 5);
    assert_eq!(page.counts("raised_n"), [5; 6]);
    let failed = dir.run("latents run --unembedding x.npy --vocabulary words.txt");
    assert!(crate::common::text(&failed.stderr).contains("words.txt: tokens"));
}
