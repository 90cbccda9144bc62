//! Self-taught learning, the Stanford exercise: latents learnt from digits 5 to 9, without their
//! labels, make digits 0 to 4 easier to tell apart.
//!
//! ```text
//! cargo run --release --example self_taught -p rarefy -- data/fetched/mnist [SEED]
//! ```
//!
//! The settings are the exercise's: MNIST's 60,000 training images in [0, 1]; 784 -> 200 -> 784
//! with sigmoids and squared error, rho 0.1, beta 3, weight decay 0.003, biases that start at
//! zero, 400 iterations of L-BFGS. The images of 0 to 4 are split in half in order; a softmax
//! (weight decay 0.0001, no bias, 100 iterations) learns on the first half and is tested on the
//! second, once on the pixels and once on the latents. The exercise expects about 96 % and 98.3 %.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example may look at the clock; only the library may not"
)]

use std::path::Path;
use std::time::Instant;

use rarefy::data::{self, Dataset, Memory, Source};
use rarefy::model::Model;
use rarefy::optim::{Lbfgs, LbfgsStep};
use rarefy::train::{Observer, Progress};
use rarefy::{Error, Result, config};
use rarefy_kernels::vector::{add, add_scaled, dot};
use rayon::prelude::*;

const SETTINGS: &str = "
[data]
preprocess = ['scale']
image_shape = [28, 28]
[model]
latents = 200
[model.options]
rho = 0.1
beta = 3
weight_decay = 0.003
loss = 'squared'
decoder = 'sigmoid'
# Rarefy's own default starts latents on target (logit-rho); the exercise starts at zero.
bias_start = 'zero'
[train]
optimizer = 'lbfgs'
steps = 400
tolerance = 0.0
";
const CLASSES: usize = 5;
const SOFTMAX_DECAY: f64 = 1e-4;
const SOFTMAX_ITERATIONS: usize = 100;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .unwrap_or_else(|| "data/fetched/mnist".into());
    let seed = arguments.next().map_or(Ok(0), |seed| seed.parse())?;
    let images = Path::new(&folder).join("train-images-idx3-ubyte");
    if !images.exists() {
        let images = images.display();
        return Err(format!("{images} is not there; run `cargo xtask fetch mnist` first").into());
    }
    let mnist = data::open(&images.to_string_lossy(), &data::OpenOptions::default())?;
    let (unlabelled, _) = select(&mnist, |digit| digit >= 5)?;
    let (labelled, digits) = select(&mnist, |digit| digit < 5)?;
    let half = digits.len() / 2;
    println!(
        "{} images without labels; {half} with labels to learn on, {} to test on",
        unlabelled.rows(),
        digits.len() - half
    );

    let started = Instant::now();
    let model = learn_latents(&unlabelled, seed)?;
    let seconds_latents = started.elapsed().as_secs_f64();

    let labelled = labelled.as_slice().expect("rows in memory");
    let (pixels, _) = model.row_pipeline().apply(labelled);
    let latents = model.encode_dense((labelled, 784))?;
    println!("features       test accuracy   seconds");
    for (name, rows, before) in [
        ("784 pixels", &pixels, 0.0),
        ("200 latents", &latents, seconds_latents),
    ] {
        let started = Instant::now();
        let accuracy = learn_and_test(rows, &digits, half)?;
        let seconds = before + started.elapsed().as_secs_f64();
        println!("{name:<14} {:>12.2} % {seconds:>9.1}", 100.0 * accuracy);
    }
    Ok(())
}

/// The images whose digit is wanted, in the order of the data, and their digits.
fn select(mnist: &Dataset, wanted: impl Fn(usize) -> bool) -> Result<(Memory, Vec<usize>)> {
    let labels = mnist.labels.as_ref().ok_or_else(|| {
        Error::Conflict("train-labels-idx1-ubyte is missing beside the images".into())
    })?;
    let all = labels.iter().map(|label| label.parse().unwrap_or(0));
    let (rows, digits): (Vec<usize>, Vec<usize>) =
        all.enumerate().filter(|(_, digit)| wanted(*digit)).unzip();
    let mut values = vec![0.0; rows.len() * mnist.source.d_in()];
    mnist.source.gather(&rows, &mut values)?;
    Ok((Memory::new("mnist", mnist.source.d_in(), values), digits))
}

/// The sparse autoencoder of the exercise, trained on raw rows in [0, 255].
fn learn_latents(raw: &Memory, seed: u64) -> Result<Model> {
    let settings = config::merge(&[SETTINGS.parse().expect("it is TOML")])?;
    rarefy::kl()
        .config(settings)
        .seed(seed)
        .observer(&mut Printer)
        .fit(raw)
}

/// Shows a line now and then.
struct Printer;

impl Observer for Printer {
    fn step(&mut self, at: &Progress) -> Result<()> {
        if at.step.is_multiple_of(50) {
            let (loss, rho_hat) = (at.parts.total(), at.rho_hat_mean.unwrap_or(0.0));
            eprintln!(
                "iteration {:3}: loss {loss:.4}, mean rho_hat {rho_hat:.4}",
                at.step
            );
        }
        Ok(())
    }
    fn message(&mut self, text: &str) {
        eprintln!("{text}");
    }
}

/// Learns a softmax on the first `half` of the rows and tests it on the second half.
fn learn_and_test(rows: &[f32], digits: &[usize], half: usize) -> Result<f64> {
    let width = rows.len() / digits.len();
    let (learn, test) = rows.split_at(half * width);
    let softmax = Softmax {
        rows: learn,
        digits: &digits[..half],
        width,
    };
    let weights = softmax.fit()?;
    let right = test
        .par_chunks_exact(width)
        .zip(&digits[half..])
        .filter(|(x, digit)| {
            let scores = scores(&weights, x);
            (0..CLASSES).all(|class| scores[class] <= scores[**digit])
        });
    Ok(right.count() as f64 / (digits.len() - half) as f64)
}

/// Softmax regression: mean cross-entropy of the right class, plus half the decayed squares.
struct Softmax<'a> {
    rows: &'a [f32],
    digits: &'a [usize],
    width: usize,
}

impl Softmax<'_> {
    fn fit(&self) -> Result<Vec<f32>> {
        let mut weights = vec![0.0; CLASSES * self.width];
        let mut gradient = weights.clone();
        let mut value = self.value_and_gradient(&weights, &mut gradient);
        let mut lbfgs = Lbfgs::new(20);
        for _ in 0..SOFTMAX_ITERATIONS {
            let step = lbfgs.step(&mut weights, &mut value, &mut gradient, &mut |w, g| {
                Ok(self.value_and_gradient(w, g))
            })?;
            if let LbfgsStep::Stuck { .. } = step {
                break;
            }
        }
        Ok(weights)
    }

    /// ```text
    /// J = -1/m sum_i ln p_i(digit_i) + decay/2 |W|^2      p_i = softmax(W x_i)
    /// dJ/dW_c = 1/m sum_i (p_ic - [c = digit_i]) x_i + decay W_c
    /// ```
    fn value_and_gradient(&self, weights: &[f32], gradient: &mut [f32]) -> f64 {
        /// Rows that one task takes; fixed, so that the sums do not depend on threads.
        const ROWS: usize = 512;
        let tasks: Vec<(f64, Vec<f32>)> = self
            .rows
            .par_chunks(ROWS * self.width)
            .zip(self.digits.par_chunks(ROWS))
            .map(|(rows, digits)| self.sums(weights, rows, digits))
            .collect();
        let m = self.digits.len() as f64;
        gradient.fill(0.0);
        tasks.iter().for_each(|(_, sums)| add(gradient, sums));
        for (g, w) in gradient.iter_mut().zip(weights) {
            *g = (f64::from(*g) / m + SOFTMAX_DECAY * f64::from(*w)) as f32;
        }
        let loss: f64 = tasks.iter().map(|(loss, _)| loss).sum();
        loss / m + SOFTMAX_DECAY / 2.0 * dot(weights, weights)
    }

    /// Loss and gradient summed over some rows.
    fn sums(&self, weights: &[f32], rows: &[f32], digits: &[usize]) -> (f64, Vec<f32>) {
        let mut loss = 0.0;
        let mut gradient = vec![0.0; weights.len()];
        for (x, &digit) in rows.chunks_exact(self.width).zip(digits) {
            let scores = scores(weights, x);
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
            loss += total.ln() + largest - scores[digit];
            for (class, g) in gradient.chunks_exact_mut(self.width).enumerate() {
                let p = (scores[class] - largest).exp() / total;
                add_scaled(g, (p - f64::from(u8::from(class == digit))) as f32, x);
            }
        }
        (loss, gradient)
    }
}

fn scores(weights: &[f32], x: &[f32]) -> [f64; CLASSES] {
    std::array::from_fn(|class| dot(&weights[class * x.len()..][..x.len()], x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_softmax_gradient_matches_central_differences() {
        let wave = |i: usize| (1.3 * i as f32).sin();
        let rows: Vec<f32> = (0..700 * 3).map(wave).collect();
        let digits: Vec<usize> = (0..700).map(|i| i * i % CLASSES).collect();
        let softmax = Softmax {
            rows: &rows,
            digits: &digits,
            width: 3,
        };
        // Powers of two, so that a weight moved by a step is exact in f32.
        let step = 1.0f32 / 1024.0;
        let weights: Vec<f32> = (0..15).map(|i| (8.0 * wave(i + 1)).round() / 4.0).collect();
        let mut gradient = vec![0.0; 15];
        softmax.value_and_gradient(&weights, &mut gradient);
        for at in 0..15 {
            let value = |by: f32| {
                let mut moved = weights.clone();
                moved[at] += by;
                softmax.value_and_gradient(&moved, &mut [0.0; 15])
            };
            let numerical = (value(step) - value(-step)) / (2.0 * f64::from(step));
            let apart = (numerical - f64::from(gradient[at])).abs();
            assert!(apart < 1e-6, "weight {at}: {numerical} {}", gradient[at]);
        }
    }

    #[test]
    fn separable_rows_are_all_told_apart() {
        // Row i has a 1 at its digit: a softmax must get every one of them right.
        let digits: Vec<usize> = (0..60).map(|i| i % CLASSES).collect();
        let mut rows = vec![0.0; 60 * CLASSES];
        for (i, digit) in digits.iter().enumerate() {
            rows[i * CLASSES + digit] = 1.0;
        }
        assert_eq!(learn_and_test(&rows, &digits, 30).unwrap(), 1.0);
        let mut wrong = digits;
        wrong[30..].iter_mut().for_each(|d| *d = (*d + 1) % CLASSES);
        assert_eq!(learn_and_test(&rows, &wrong, 30).unwrap(), 0.0);
    }
}
