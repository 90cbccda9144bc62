//! Input that cannot be trained on is refused with the reason, and the trainer stays usable.

use super::*;
use crate::builder::architecture;

fn text_of<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}

/// A trainer of batch-topk, which calibrates a threshold, after 20 steps on prepared rows.
fn begun() -> Trainer {
    let data = rows();
    let builder = batch_topk(2).latents(12).steps(20).batch(90);
    let mut trainer = builder.preprocess(["standardise"]).stream(&data).unwrap();
    let batches = data.as_slice().unwrap().chunks_exact(90 * WIDTH);
    for batch in batches.cycle().take(20) {
        trainer.step(batch).unwrap();
    }
    trainer
}

#[test]
fn held_out_rows_that_do_not_fit_leave_the_trainer_as_it_was() {
    let mut trainer = begun();
    let text = text_of(trainer.finish_with((&[0.5; 7][..], 7)));
    assert!(
        text.contains("6 as in the plan") && text.ends_with('7'),
        "{text}"
    );
    let text = text_of(trainer.finish_with((&[][..], WIDTH)));
    assert!(text.contains("got 0 values"), "{text}");
    assert!(trainer.finish_with(&rows()).is_ok());
    // k = 0.5 keeps no latent of one row.
    let data = rows();
    let builder = architecture("batch-topk").option("k", 0.5).latents(12);
    let mut trainer = builder.steps(20).batch(90).stream(&data).unwrap();
    trainer
        .step(&data.as_slice().unwrap()[..90 * WIDTH])
        .unwrap();
    let text = text_of(trainer.finish_with((&[0.5; WIDTH][..], WIDTH)));
    assert!(
        text.contains("keeps no latent in 1 held-out rows"),
        "{text}"
    );
    assert!(trainer.finish().is_ok());
}

#[test]
fn finished_trainer_and_one_without_a_step_give_no_model() {
    let mut trainer = begun();
    trainer.finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for text in [
        text_of(trainer.finish()),
        text_of(trainer.step(&[0.5; WIDTH])),
        text_of(trainer.checkpoint(&folder.path().join("state"))),
    ] {
        assert!(text.contains("`finish` was called"), "{text}");
    }
    let builder = || topk(2).latents(12).steps(20).batch(90);
    let mut trainer = builder().stream(&rows()).unwrap();
    let text = text_of(trainer.finish());
    assert!(text.contains("no batch was pushed"), "{text}");
}

#[test]
fn run_that_diverged_can_neither_go_on_nor_be_saved() {
    let data = rows();
    let builder = relu().latents(12).steps(20).batch(90).lr(1e30);
    let mut trainer = builder
        .set("model.decoder_norm", "free")
        .stream(&data)
        .unwrap();
    let batch = &data.as_slice().unwrap()[..90 * WIDTH];
    let error = (0..20).find_map(|_| trainer.step(batch).err());
    assert!(matches!(error, Some(Error::Diverged { .. })), "{error:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    for text in [
        text_of(trainer.step(batch)),
        text_of(trainer.checkpoint(&file)),
        text_of(trainer.finish()),
    ] {
        assert!(text.contains("the last step failed"), "{text}");
    }
    assert!(!file.exists());
}

#[test]
fn values_that_are_not_finite_and_no_rows_are_refused_everywhere() {
    let model = topk(2).latents(12).steps(5).batch(90).fit(&rows()).unwrap();
    let mut values = rows().as_slice().unwrap().to_vec();
    for bad in [f32::NAN, f32::INFINITY] {
        values[3 * WIDTH + 1] = bad;
        let x = (&values, WIDTH);
        let memory = Memory::new("rows", WIDTH, values.clone());
        for text in [
            text_of(relu().latents(9).steps(5).batch(90).fit(x)),
            text_of(kl().latents(9).fit(&memory)),
            text_of(topk(2).latents(9).steps(5).batch(90).stream(x)),
            text_of(model.encode(x)),
            text_of(model.encode_dense(&memory)),
            text_of(model.reconstruct(x)),
            text_of(model.evaluate(&memory)),
            text_of(begun().finish_with(x)),
        ] {
            assert!(text.contains("row 3, column 1"), "{text}");
        }
    }
    let none = Memory::new("nothing", WIDTH, Vec::new());
    for text in [
        text_of(topk(2).latents(9).fit(&none)),
        text_of(topk(2).latents(9).steps(5).batch(90).stream(&none)),
        text_of(model.encode(&none)),
        text_of(model.evaluate(&none)),
        text_of(begun().finish_with(&none)),
    ] {
        assert!(text.contains("got 0 rows of 6 values"), "{text}");
    }
}

#[test]
fn settings_that_would_be_ignored_are_refused() {
    let data = rows();
    let builder = || topk(2).latents(12).steps(20).batch(90);
    for (key, value) in [
        ("data.target", "other.npy"),
        ("data.with", "[\"other.npy\"]"),
        ("data.rows", "100"),
        ("data.member", "x"),
        ("data.header", "true"),
    ] {
        let text = text_of(builder().set(key, value).fit(&data));
        assert!(text.contains(key), "{text}");
        let text = text_of(builder().set(key, value).stream(&data));
        assert!(text.contains(key), "{text}");
    }
    let mut silent = Silent;
    let text = text_of(builder().observer(&mut silent).stream(&data));
    assert!(text.contains("`Trainer::step_with`"), "{text}");
    let text = text_of(builder().set("data.image_shape", "[2, 2]").fit(&data));
    assert!(text.contains("2 x 2"), "{text}");
    let text = text_of(builder().seed(u64::MAX).set("train.ema", 0.9).fit(&data));
    assert!(text.contains("`train.ema` cannot be added"), "{text}");
    let exact = kl()
        .latents(9)
        .steps(5)
        .batch(90)
        .optimizer(OptimizerKind::Adam);
    let text = text_of(exact.option("rho_estimate", "exact").stream(&data));
    assert!(text.contains("`model.options.rho_estimate`"), "{text}");
}

#[test]
fn run_over_other_rows_than_the_plans_is_refused() {
    let data = rows();
    let trainer = || Trainer::with_rows(plan(RUNS[0].1, 50), &data).unwrap();
    let fewer = Memory::new("fewer", WIDTH, vec![0.5; 70 * WIDTH]);
    let text = text_of(trainer().run(&fewer, None, &mut Silent));
    assert!(text.contains("900 as in the plan, got 70"), "{text}");
    let wide = Memory::new("wide", 7, vec![0.5; 900 * 7]);
    let text = text_of(trainer().run(&wide, None, &mut Silent));
    assert!(text.contains("6 as in the plan, got 7"), "{text}");
}
