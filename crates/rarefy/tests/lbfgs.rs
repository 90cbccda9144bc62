//! L-BFGS through the public interface: a resumed optimiser takes bit-equal steps.

use rarefy::optim::Lbfgs;
use rarefy::optim::lbfgs::CurvaturePair;

/// Objective `sum_i (i + 1) (x_i - 1)^2 + x_i^4`. Its curvature differs by coordinate and by point, so that the
/// order of the curvature pairs matters.
fn bowl(x: &[f32], gradient: &mut [f32]) -> f64 {
    let mut value = 0.0;
    for (i, (&x, gradient)) in x.iter().zip(gradient).enumerate() {
        let (weight, x) = ((i + 1) as f64, f64::from(x));
        value += weight * (x - 1.0).powi(2) + x.powi(4);
        *gradient = (2.0 * weight * (x - 1.0) + 4.0 * x.powi(3)) as f32;
    }
    value
}

#[test]
fn resumed_lbfgs_takes_bit_equal_step() {
    let mut function = |x: &[f32], g: &mut [f32]| Ok(bowl(x, g));
    let (mut x, mut gradient) = (vec![-2.0f32, 3.0, 0.5, -1.0, 2.0], vec![0.0; 5]);
    let mut value = bowl(&x, &mut gradient);
    let mut first = Lbfgs::new(4);
    for _ in 0..4 {
        first
            .step(&mut x, &mut value, &mut gradient, &mut function)
            .unwrap();
    }
    let pairs: Vec<CurvaturePair> = first.pairs().cloned().collect();
    assert!(
        pairs.len() > 2,
        "expected at least 3 pairs to test their order, got {}",
        pairs.len()
    );
    let mut second = Lbfgs::resume(4, pairs);
    let mut next = |lbfgs: &mut Lbfgs| {
        let (mut x, mut value, mut gradient) = (x.clone(), value, gradient.clone());
        lbfgs
            .step(&mut x, &mut value, &mut gradient, &mut function)
            .unwrap();
        (x, value, gradient)
    };
    assert_eq!(next(&mut first), next(&mut second));
}
