//! Descent without a schedule, against the package that its authors released and against sparsify's signum.

use std::sync::Arc;

use crate::kept::Kept;
use rarefy::Trainer;
use rarefy::config;
use rarefy::data::{Memory, survey};
use rarefy::optim::Descent;
use rarefy::optim::descent::Rule;
use rarefy::plan::Plan;
use rarefy::train::State;

/// `golden/schedule_free.py` made it.
const GOLDEN: &str = include_str!("golden/schedule_free.json");

#[derive(serde::Deserialize)]
struct Golden {
    start: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    adam: Schedules,
    signum: Schedules,
}

/// Points of the gradient (`y`) and averages (`x`) after each step.
#[derive(serde::Deserialize)]
struct Schedules {
    y: Vec<Vec<f32>>,
    x: Vec<Vec<f32>>,
}

#[test]
fn steps_and_averages_match_the_package() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    let adam = Rule::FreeAdam {
        beta1: 0.9,
        beta2: 0.999,
    };
    let signum = Rule::FreeSign { beta1: 0.95 };
    for (rule, course) in [(adam, &golden.adam), (signum, &golden.signum)] {
        let mut params = golden.start.clone();
        let mut descent = Descent::new(rule, &params);
        assert_eq!(golden.gradients.len(), 6);
        for (step, gradient) in golden.gradients.iter().enumerate() {
            descent.step(&mut params, gradient, 0.01, None);
            near(&params, &course.y[step], &format!("{rule:?} y {step}"));
            let average = descent.average(&params).unwrap();
            near(&average, &course.x[step], &format!("{rule:?} x {step}"));
        }
    }
}

#[track_caller]
fn near(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len());
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() < 2e-6, "{what}: {got:?} {expected:?}");
    }
}

/// A checkpoint holds the complete state of the average.
#[test]
fn schedule_free_state_is_restored_from_a_checkpoint() {
    let values = (0..800).map(|i| (i as f32 * 0.7391).sin()).collect();
    let rows = Memory::new("rows", 4, values);
    for optimizer in ["schedule-free", "signum"] {
        let text = format!(
            "[model]\narch = 'topk'\nlatents = 16\n[model.options]\nk = 2\n[train]\noptimizer = '{optimizer}'\nsteps = 7\nbatch = 50"
        );
        let config = config::merge(&[text.parse().unwrap()]).unwrap();
        let plan = Arc::new(Plan::new(&config, &survey(&rows).unwrap()).unwrap());
        let trainer = Trainer::with_rows(Arc::clone(&plan), &rows).unwrap();
        let mut last = Kept::default();
        trainer.run(&rows, None, &mut last).unwrap();
        let state = last.0.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        state.save(&path, &plan).unwrap();
        assert!(State::load(&path, &plan).unwrap() == state, "{optimizer}");
    }
}
