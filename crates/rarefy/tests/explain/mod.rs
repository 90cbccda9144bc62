//! Tests of `explain`: printed objectives equal those of a training step, converted ones those of other libraries.
//!
//! The oracle is plain f64: `batch.rs` computes every term of the printed objective from rows, weights and the
//! selected latents of a training step. `theirs.rs` writes the objectives of other libraries as their sources do.

mod batch;
mod theirs;

use self::batch::Made;
use rarefy::Trainer;
use rarefy::config::{self, DecoderNorm};
use rarefy::data::{Memory, survey};
use rarefy::explain::{Frame, LossPart, Setting, Unit, terms, unit_of};
use rarefy::io_spec::IoSpec;
use rarefy::plan::Plan;
use rarefy::train::{Observer, Progress, State};
use rarefy::variants::{Info, Options, Parts, VARIANTS};

const D_SAE: usize = batch::D_SAE;

/// Every architecture of the sparse engine in each of its checked settings, with few and with many dead latents.
fn settings() -> Vec<(String, Setting)> {
    let mut all = Vec::new();
    for info in VARIANTS {
        for own in info.checked_settings() {
            for dead in [
                [
                    ("aux_k", "3"),
                    ("aux_coefficient", "0.03125"),
                    ("dead_after", "100000"),
                ],
                [
                    ("aux_k", "2"),
                    ("aux_coefficient", "0.5"),
                    ("dead_after", "1000"),
                ],
                [
                    ("aux_k", "9"),
                    ("aux_coefficient", "0.5"),
                    ("dead_after", "1000"),
                ],
            ] {
                let given = own.iter().chain(&dead).map(|(k, v)| (*k, (*v).to_owned()));
                let options = Options::check(info.options(), given).unwrap();
                all.push((
                    format!("{}: {own:?}, {dead:?}", info.name),
                    setting(info, options),
                ));
            }
        }
    }
    all.retain(|(_, setting)| setting.sparse().is_some());
    all
}

fn setting(info: &'static Info, options: Options) -> Setting {
    Setting {
        io: IoSpec::autoencoder(batch::D_IN),
        info,
        architecture: info.build(&options).unwrap(),
        options,
        d_in: Some(batch::D_IN),
        d_sae: Some(D_SAE),
        batch: Some(batch::ROWS),
        decoder_norm: DecoderNorm::Free,
        p_end: None,
        k_start: None,
        mask: 0.0,
        warmup: Some(0),
    }
}

/// The terms, worked out one by one, add up to each part of what a training step says.
#[test]
fn printed_terms_equal_the_loss_of_a_training_step() {
    let (mut penalties, mut rests) = (0, 0);
    for (name, setting) in settings() {
        let made = Made::up(&setting.architecture);
        let (report, batch) = made.step(&setting);
        for (part, expected) in [
            (LossPart::Reconstruction, report.reconstruction),
            (LossPart::Penalty, report.penalty),
            (LossPart::Auxiliary, report.auxiliary),
        ] {
            let all = terms(&setting);
            let of_part = all.iter().filter(|term| term.part == part);
            let value: f64 = of_part.map(|term| batch.value(term, &setting)).sum();
            if value.is_nan() {
                continue;
            }
            let apart = (value - expected).abs() / expected.abs().max(1e-3);
            assert!(
                apart < 1e-4,
                "{name}, {part:?}: {value} printed, {expected} trained"
            );
        }
        penalties += usize::from(report.penalty > 0.0);
        rests += usize::from(report.dead > 0 && report.auxiliary > 0.0);
    }
    assert!(
        penalties > 20 && rests > 40,
        "{penalties} penalties, {rests} with dead latents"
    );
}

/// Remembers the objective of the first step.
#[derive(Default)]
struct First(Option<Parts>);

impl Observer for First {
    fn step(&mut self, progress: &Progress) -> rarefy::Result<()> {
        self.0.get_or_insert_with(|| progress.parts.clone());
        Ok(())
    }
}

/// The lecture's model, whose training is another: from its first weights.
#[test]
fn printed_terms_of_kl_equal_the_lectures_loss() {
    for options in [
        "loss = 'squared', decoder = 'linear', weight_decay = 0.1",
        "loss = 'squared', decoder = 'sigmoid', tied = true, weight_decay = 0.2",
        "loss = 'cross-entropy', decoder = 'sigmoid', beta = 3",
    ] {
        let text = format!(
            "[model]\nlatents = 5\noptions = {{ rho = 0.2, {options} }}\n[train]\noptimizer = 'adam'\nbatch = 40\nsteps = 1"
        );
        let x = batch::unit_rows();
        let rows = Memory::new("made up", batch::D_IN, x.clone());
        let config = config::merge(&[text.parse().unwrap()]).unwrap();
        let plan = Plan::new(&config, &survey(&rows).unwrap()).unwrap();
        let start = State::new(&plan, &rows, None).unwrap();
        let setting = Setting::of(&plan).unwrap();
        let lecture = batch::Lecture::new(&x, &start.params, &setting);
        let mut first = First::default();
        let trainer = Trainer::with_params(plan, start.params).unwrap();
        trainer.run(&rows, None, &mut first).unwrap();
        let parts = first.0.unwrap();
        for (part, expected) in [
            (LossPart::Reconstruction, parts.reconstruction),
            (LossPart::Penalty, parts.penalty),
            (LossPart::WeightDecay, parts.weight_decay),
        ] {
            let all = terms(&setting);
            let of_part = all.iter().filter(|term| term.part == part);
            let value: f64 = of_part.map(|term| lecture.value(term)).sum();
            let apart = (value - expected).abs() / expected.abs().max(1e-3);
            assert!(
                apart < 1e-4,
                "{options}, {part:?}: {value} printed, {expected} trained"
            );
        }
    }
}

/// The options of the scaled problem, brought to rows that are not.
fn converted(info: &Info, options: &Options, frame: &Frame) -> Options {
    let mut here = options.clone();
    for (name, value) in options.iter() {
        let unit = unit_of(info, name, options);
        if unit != Unit::Number && value != "auto" {
            here.set(name, frame.here(unit, value.parse().unwrap()));
        }
    }
    here
}

/// The gradient of the converted objective on rows x equals that of the original on rows s x, divided by `s^2` for
/// matrices and by s for blocks that scale with the rows. The same holds for the values.
#[test]
fn converted_objective_has_the_same_gradient() {
    // Conversions exist for the squared error only.
    let squared = |setting: &Setting| setting.sparse().unwrap().error().is_squared();
    let settings = settings().into_iter().filter(|(_, s)| squared(s));
    for (name, theirs) in settings {
        for (scale, room) in [(4.0, 1e-5), (0.25, 1e-5), (3.0, 3e-4)] {
            let frame = Frame { scale, factor: 1.0 };
            let ours = setting(theirs.info, converted(theirs.info, &theirs.options, &frame));
            let made = Made::up(&ours.architecture);
            let (here, _) = made.step(&ours);
            let (there, _) = made.scaled(scale as f32).step(&theirs);
            let parts = [
                (here.reconstruction, there.reconstruction),
                (here.penalty, there.penalty),
                (here.auxiliary, there.auxiliary),
            ];
            for (here, there) in parts {
                let apart = (here * scale * scale - there).abs() / there.abs().max(1e-6);
                assert!(
                    apart < room,
                    "{name}, times {scale}: {here} here, {there} there"
                );
            }
            assert_eq!(
                (here.l0, here.dead),
                (there.l0, there.dead),
                "{name}, times {scale}"
            );
            same_gradient(&name, &made, &ours, &theirs, scale, room);
        }
    }
}

fn same_gradient(name: &str, made: &Made, ours: &Setting, theirs: &Setting, scale: f64, room: f64) {
    let here = made.gradient(ours);
    let there = made.scaled(scale as f32).gradient(theirs);
    for block in here.layout().blocks() {
        let grown = if batch::grows(block.name) {
            scale
        } else {
            scale * scale
        };
        let pairs = here.get(block.name).iter().zip(there.get(block.name));
        let largest = there
            .get(block.name)
            .iter()
            .map(|g| g.abs())
            .fold(0.0, f32::max);
        for (here, there) in pairs {
            let apart = (f64::from(*here) * grown - f64::from(*there)).abs();
            let most = room * f64::from(largest).max(1e-6);
            assert!(
                apart <= most,
                "{name}, times {scale}, {}: {here} here, {there} there",
                block.name
            );
        }
    }
}

/// The objective of each library, written as in its source, equals ours times one constant.
#[test]
fn objectives_of_other_libraries_equal_ours_after_conversion() {
    theirs::all();
}
