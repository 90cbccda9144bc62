//! Descent without a schedule, against the package that its authors released and against sparsify's signum.

use rarefy::optim::Descent;
use rarefy::optim::descent::Rule;

/// `golden/schedule_free.py` made it.
const GOLDEN: &str = include_str!("golden/schedule_free.json");

#[derive(serde::Deserialize)]
struct Golden {
    start: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    adam: Course,
    signum: Course,
}

/// Where the gradient is taken, and the average, after each step.
#[derive(serde::Deserialize)]
struct Course {
    y: Vec<Vec<f32>>,
    x: Vec<Vec<f32>>,
}

#[test]
fn steps_and_averages_are_the_packages() {
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
