//! Golden runs of another library: 200 steps of `TopK` and of `BatchTopK` by the released `dictionary_learning`.
//!
//! `golden/dictionary_learning_topk.py` generates the runs and describes the package. Our training step starts with
//! the same weights, rows and learning rates.
//!
//! Differences between the package and this crate, with the reason why the tests do not see them:
//! * In its `TopK` a latent that is selected with value 0 counts as fired, ours does not. In the golden
//!   data no zero is ever selected.
//! * It clips by `1 / (norm + 1e-6)` and divides decoder rows by `|w| + 1.2e-7`, we by the norms
//!   themselves: a millionth.
//! * Its learning rate rises from 0, ours from one step's share. Here the steps take the package's.
//! * Its moving threshold begins with the first value, ours is corrected for its start. Its rule is
//!   written out below.

use rarefy::config::DecoderNorm;
use rarefy::io_spec::IoSpec;
use std::path::Path;

use rarefy::config;
use rarefy::data::{Memory, survey};
use rarefy::optim::descent::{Descent, Rule};
use rarefy::params::{Layout, Params};
use rarefy::plan::Plan;
use rarefy::train::State;
use rarefy::train::sparse::step::{Report, Step, StepSettings};
use rarefy::variants::{self, Architecture, Options, StepSchedule};
use safetensors::SafeTensors;

const STEPS: usize = 200;
const BATCH: usize = 64;
const AUX_COEFFICIENT: f64 = 1.0 / 32.0;
/// Steps whose gradients the package kept, and numbers of steps after which it kept the weights.
const GRADIENTS: [usize; 2] = [0, 6];
const SNAPSHOTS: [usize; 7] = [1, 2, 5, 20, 50, 100, 150];
/// Our blocks and the package's.
const BLOCKS: [(&str, &str); 4] = [
    ("w_enc", "W_enc"),
    ("b_enc", "b_enc"),
    ("w_dec", "W_dec"),
    ("b_dec", "b_dec"),
];

/// One golden file.
struct Golden {
    bytes: Vec<u8>,
    arch: &'static str,
}

impl Golden {
    fn load(name: &str, arch: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let path = folder.join(format!("dictionary_learning_{name}.safetensors"));
        Self {
            bytes: std::fs::read(path).unwrap(),
            arch,
        }
    }

    fn topk() -> Self {
        Self::load("topk", "topk")
    }

    fn batch_topk() -> Self {
        Self::load("batch_topk", "batch-topk")
    }

    fn raw<const N: usize>(&self, name: &str) -> Vec<[u8; N]> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.as_chunks().0.to_vec()
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        let raw = self.raw(name).into_iter();
        raw.map(f32::from_le_bytes).collect()
    }

    fn f64(&self, name: &str) -> Vec<f64> {
        let raw = self.raw(name).into_iter();
        raw.map(f64::from_le_bytes).collect()
    }

    fn whole(&self, name: &str) -> Vec<u64> {
        let raw = self.raw(name).into_iter();
        raw.map(u64::from_le_bytes).collect()
    }

    fn params(&self, prefix: &str) -> Params {
        let size = |name: &str| self.f32(&format!("{prefix}.{name}")).len();
        let (d_sae, d_in) = (size("b_enc"), size("b_dec"));
        let mut params = Params::zeros(&Layout::new(&[
            ("w_enc", d_sae, d_in),
            ("b_enc", 1, d_sae),
            ("w_dec", d_sae, d_in),
            ("b_dec", 1, d_in),
        ]));
        for (ours, theirs) in BLOCKS {
            let values = self.f32(&format!("{prefix}.{theirs}"));
            params.get_mut(ours).copy_from_slice(&values);
        }
        params
    }

    fn batch(&self, step: usize) -> Vec<f32> {
        let data = self.f32("data");
        let d_in = self.f32("initial.b_dec").len();
        let at = step * BATCH * d_in % data.len();
        data[at..at + BATCH * d_in].to_vec()
    }
}

/// Our run with the golden initial weights.
struct Run {
    reports: Vec<Report>,
    since_fired: Vec<u64>,
    gradients: Vec<Params>,
    /// Parameters after each step.
    params: Vec<Params>,
}

fn run(golden: &Golden, threads: usize) -> Run {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(|| {
        let mut params = golden.params("initial");
        let info = variants::find(golden.arch).unwrap();
        let given = [("k", "6"), ("aux_k", "12"), ("dead_after", "256")];
        let given = given.map(|(key, value)| (key, value.to_owned()));
        let options = Options::check(info.options(), given).unwrap();
        let Architecture::Sparse(sparse) = info.build(&options).unwrap() else {
            panic!("both are sparse")
        };
        let mut step = Step::new(
            &sparse,
            &IoSpec::autoencoder(params.get("b_dec").len()),
            DecoderNorm::Unit,
            &params,
        );
        let mut descent = Descent::new(Rule::ADAM, params.values());
        let mut since_fired = vec![0; params.get("b_enc").len()];
        let mut run = Run {
            reports: Vec::new(),
            since_fired: Vec::new(),
            gradients: Vec::new(),
            params: Vec::new(),
        };
        for (t, lr) in golden.f64("steps.lr").into_iter().enumerate() {
            let settings = StepSettings {
                lr,
                clip: Some(1.0),
                schedule: StepSchedule::default(),
            };
            let x = golden.batch(t);
            let report = step.run(
                &mut params,
                &mut descent,
                &mut since_fired,
                x.as_slice().into(),
                &settings,
            );
            run.reports.push(report);
            run.params.push(params.clone());
            if GRADIENTS.contains(&t) {
                run.gradients.push(step.gradient(&params));
            }
        }
        run.since_fired = since_fired;
        run
    })
}

/// The largest distance of a figure over the steps, as a share of the package's figure.
fn farthest(what: &str, ours: impl Iterator<Item = f64>, theirs: &[f64]) -> f64 {
    let mut most = 0.0f64;
    let mut steps = 0;
    for (step, (ours, &theirs)) in ours.zip(theirs).enumerate() {
        let off = if ours == theirs {
            0.0
        } else {
            (ours / theirs - 1.0).abs()
        };
        assert!(off < 2e-5, "{what} of step {step}: {ours} not {theirs}");
        most = most.max(off);
        steps += 1;
    }
    assert_eq!((steps, theirs.len()), (STEPS, STEPS), "{what}");
    most
}

/// Norm of the difference over the norm, of each block; the largest.
fn apart(what: &str, ours: &Params, theirs: &Params, room: f64) -> f64 {
    let mut most = 0.0f64;
    for (block, _) in BLOCKS {
        let (ours, theirs) = (ours.get(block), theirs.get(block));
        let pairs = ours.iter().zip(theirs);
        let off: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let all: f64 = theirs.iter().map(|b| f64::from(*b).powi(2)).sum();
        let off = (off / all).sqrt();
        assert!(off < room, "{what}, {block}: {off:.1e} apart");
        most = most.max(off);
    }
    most
}

fn every_step_is_the_packages(name: &str, golden: &Golden) {
    let ours = run(golden, 1);
    let figure = |of: fn(&Report) -> f64| ours.reports.iter().map(of);
    let steps = |name: &str| golden.f64(&format!("steps.{name}"));

    let total = farthest(
        "total loss",
        figure(|r| r.reconstruction + r.auxiliary),
        &steps("loss"),
    );
    let reconstruction = farthest(
        "reconstruction",
        figure(|r| r.reconstruction),
        &steps("l2_loss"),
    );
    let auxiliary = farthest(
        "auxiliary loss",
        figure(|r| r.auxiliary / AUX_COEFFICIENT),
        &steps("auxk_loss"),
    );
    let norm = farthest(
        "norm of the gradient",
        figure(|r| r.gradient_norm),
        &steps("grad_norm"),
    );

    let l0: Vec<f64> = figure(|r| r.l0).collect();
    assert_eq!(l0, steps("l0"), "active latents a row");
    let dead: Vec<u64> = ours.reports.iter().map(|r| r.dead as u64).collect();
    assert_eq!(dead, golden.whole("steps.dead"), "dead latents");
    assert!(dead.iter().filter(|&&dead| dead > 0).count() > STEPS / 2);
    let since = golden.whole("final.num_tokens_since_fired");
    assert_eq!(ours.since_fired, since, "rows since each fired");

    let mut gradient = 0.0f64;
    for (got, step) in ours.gradients.iter().zip(GRADIENTS) {
        let what = format!("gradient of step {step}");
        let want = golden.params(&format!("gradient.{step}"));
        gradient = gradient.max(apart(&what, got, &want, 1e-5));
    }
    let mut weights = 0.0f64;
    for after in SNAPSHOTS {
        let want = golden.params(&format!("after.{after}"));
        let what = format!("weights after {after} steps");
        weights = weights.max(apart(&what, &ours.params[after - 1], &want, 2e-5));
    }
    let want = golden.params("final");
    let last = apart("weights at the end", &ours.params[STEPS - 1], &want, 2e-5);
    eprintln!(
        "{name}, farthest from the package: total {total:.1e}, reconstruction {reconstruction:.1e}, \
         auxiliary {auxiliary:.1e}, norm {norm:.1e}, gradients {gradient:.1e}, weights {weights:.1e} \
         on the way and {last:.1e} at the end"
    );
}

#[test]
fn topk_matches_dictionary_learning_in_every_step() {
    every_step_is_the_packages("topk", &Golden::topk());
}

#[test]
fn batch_topk_matches_dictionary_learning_in_every_step() {
    every_step_is_the_packages("batch-topk", &Golden::batch_topk());
}

/// From step 121 on; the first value as it is, then a tenth of each.
#[test]
fn moving_threshold_matches_dictionary_learning() {
    let golden = Golden::batch_topk();
    let reports = run(&golden, 1).reports;
    let mut threshold = -1.0;
    for (step, want) in golden.f64("steps.threshold").into_iter().enumerate() {
        if step > 120 {
            let smallest = f64::from(reports[step].smallest.unwrap());
            threshold = if threshold < 0.0 {
                smallest
            } else {
                0.9 * threshold + 0.1 * smallest
            };
        }
        let off = (threshold / want - 1.0).abs();
        assert!(off < 1e-4, "step {step}: {threshold} not {want}");
    }
}

#[test]
fn runs_with_other_thread_counts_are_bit_equal() {
    for golden in [Golden::topk(), Golden::batch_topk()] {
        let (one, two) = (run(&golden, 1), run(&golden, 2));
        assert_eq!(one.reports, two.reports);
        assert_eq!(one.since_fired, two.since_fired);
        for (a, b) in one.params.iter().zip(&two.params) {
            let bits = |p: &Params| p.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(a), bits(b));
        }
    }
}

/// The package iterates until a round moves its guess by less than 1e-5, we until one is short beside the
/// rows' distances: they agree to what the package leaves.
#[test]
fn initial_b_dec_matches_the_packages_geometric_median() {
    for golden in [Golden::topk(), Golden::batch_topk()] {
        let want = golden.f32("initial.b_dec");
        let rows = Memory::new("first batch", want.len(), golden.batch(0));
        let text = "[model]\narch = 'topk'\n[model.options]\nk = 6";
        let config = config::merge(&[text.parse().unwrap()]).unwrap();
        let plan = Plan::new(&config, &survey(&rows).unwrap()).unwrap();
        let params = State::new(&plan, &rows, None).unwrap().params;
        let pairs = params.get("b_dec").iter().zip(&want);
        let off = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        let off = off.sqrt();
        eprintln!("geometric median: {off:.1e} apart");
        assert!(off < 1e-5, "{off:.1e}");
    }
}
