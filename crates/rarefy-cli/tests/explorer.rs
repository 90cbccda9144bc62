//! The explorer in the report page holds the numbers of the library.

use crate::common::{Page, TestDir, text};
use rarefy::data::{Dataset, OpenOptions};
use rarefy::model::Model;

/// Page of a run on digits, with its model and rows.
fn digits(arguments: &str) -> (Page, Model, Dataset<'static>) {
    let dir = TestDir::new();
    dir.ok(&format!("train sample:digits --out run -q {arguments}"));
    let model = Model::load(&dir.path("run")).unwrap();
    let digits = rarefy::data::open("sample:digits", &OpenOptions::default()).unwrap();
    (Page::of(&dir, "run"), model, digits)
}

/// Entries of a packed list of lists, list by list.
fn lists(page: &Page, name: &str) -> Vec<Vec<(usize, f32)>> {
    let numbers = page.counts(&format!("{name}_i"));
    let mut all = numbers.into_iter().zip(page.floats(&format!("{name}_v")));
    let lengths = page.counts(&format!("{name}_n"));
    lengths
        .iter()
        .map(|n| all.by_ref().take(*n).collect())
        .collect()
}

#[test]
fn examples_classes_and_neighbours_are_those_of_the_model() {
    let (page, model, digits) = digits("--arch topk --latents 32 --k 4 --steps 100 --batch 128");
    let measured = rarefy::latents::measure(&model, &digits, 11).unwrap();
    let nearest = rarefy::latents::nearest(&model, 6);
    let codes = model.encode_dense(&digits).unwrap();
    let labels = digits.labels.as_ref().unwrap();
    let (rows, shown) = (page.counts("row_number"), page.texts("row_label"));
    let (examples, near) = (lists(&page, "example"), lists(&page, "near"));
    let (classes, means) = (
        page.head["classes"].as_array().unwrap(),
        page.floats("class_mean"),
    );
    for (row, label) in rows.iter().zip(&shown) {
        assert_eq!(&labels[*row], label);
    }
    for latent in 0..32 {
        let top: Vec<(usize, f32)> = measured[latent]
            .top
            .iter()
            .map(|t| (t.row, t.activation))
            .collect();
        let found: Vec<(usize, f32)> = examples[latent]
            .iter()
            .map(|(row, value)| (rows[*row], *value))
            .collect();
        assert_eq!(found[..11], top, "latent {latent}");
        assert!(
            found.len() == 20 || found.len() > 11,
            "latent {latent} has {} examples",
            found.len()
        );
        let expected: Vec<(usize, f32)> = nearest[latent]
            .iter()
            .map(|n| (n.latent, n.similarity as f32))
            .collect();
        assert_eq!(near[latent], expected);
        for (c, class) in classes.iter().enumerate() {
            let of_class = (0..labels.len()).filter(|row| labels[*row] == class.as_str().unwrap());
            let values: Vec<f64> = of_class
                .map(|row| f64::from(codes[row * 32 + latent]))
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((f64::from(means[latent * 10 + c]) - mean).abs() < 1e-5 * mean.abs().max(1.0));
        }
    }
    let counts = page.counts("count");
    let active = |latent: usize| {
        (0..1797)
            .filter(|row| codes[row * 32 + latent] != 0.0)
            .count()
    };
    for latent in 0..32 {
        assert_eq!(
            counts[latent * 24..(latent + 1) * 24].iter().sum::<usize>(),
            active(latent)
        );
    }
}

#[test]
fn rows_taken_apart_are_the_codes_and_reconstructions_of_the_model() {
    for arguments in [
        "--latents 16 --steps 20",
        "--arch kl --tied --latents 16 --steps 20",
        "--arch jumprelu --latents 24 --steps 40 --batch 128",
    ] {
        let (page, model, digits) = digits(arguments);
        let rows: Vec<usize> = page
            .counts("apart_row")
            .iter()
            .map(|at| page.counts("row_number")[*at])
            .collect();
        assert_eq!((rows.len(), rows[0]), (60, 0));
        let (x, x_hat) = (page.floats("apart_x"), page.floats("apart_x_hat"));
        for (i, codes) in lists(&page, "apart").into_iter().enumerate() {
            let mut raw = vec![0.0; 64];
            digits.source.read(rows[i], &mut raw).unwrap();
            assert_eq!(x[i * 64..(i + 1) * 64], raw);
            // A row alone is summed in another order than among others.
            let own = model.reconstruct_raw(&raw).into_iter();
            for (shown, own) in x_hat[i * 64..(i + 1) * 64].iter().zip(own) {
                assert!((shown - own).abs() < 1e-4, "{shown} for {own}");
            }
            let own = model.codes(&raw, 0.0);
            let own: Vec<(usize, f32)> = own
                .indices
                .iter()
                .map(|l| *l as usize)
                .zip(own.values)
                .collect();
            for (shown, own) in codes.iter().zip(&own) {
                assert!(
                    shown.0 == own.0 && (shown.1 - own.1).abs() < 1e-4,
                    "{shown:?} for {own:?}"
                );
            }
            assert_eq!(codes.len(), own.len());
        }
    }
}

#[test]
fn verdict_and_advice_stand_at_the_top_of_the_page() {
    let dir = TestDir::new();
    dir.ok("train sample:digits --arch topk --k 1 --latents 8 --steps 20 --batch 128 --out run -q");
    let page = text(&dir.read("run/report.html"));
    let (_, verdict) = page
        .split_once("<p class=\"verdict\">8 latents, about 1.0 active per row, ")
        .unwrap();
    assert!(verdict.contains(" of variance on held-out rows ("));
    assert!(page.contains("The reconstruction is poor. Try a larger k"));
}

/// Scores have correlations in place of classes; labels that name each row have neither.
#[test]
fn scores_have_correlations_and_names_have_no_classes() {
    let dir = TestDir::new();
    let row = |i: usize| format!("{},{},{}.5\n", i % 7, (i * i) % 11, i % 7);
    let rows: String = (0..200).map(row).collect();
    dir.write("rows.csv", format!("a,b,score\n{rows}"));
    dir.ok("train rows.csv --label score --arch topk --latents 6 --k 2 --steps 30 --batch 50 --out run -q");
    let page = Page::of(&dir, "run");
    assert!(!page.has("class_mean"));
    let correlations = page.floats("correlation");
    assert!(
        correlations.len() == 6 && correlations.iter().any(|r| r.abs() > 0.5),
        "{correlations:?}"
    );
    dir.ok("train sample:words --rows 300 --arch topk --latents 6 --k 2 --steps 5 --batch 50 --out words -q");
    let page = Page::of(&dir, "words");
    assert!(!page.has("class_mean") && !page.has("correlation") && page.has("row_label"));
}
