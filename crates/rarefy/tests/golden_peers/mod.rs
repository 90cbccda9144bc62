//! Golden steps of other libraries: five training steps of each architecture by the released `SAELens` and
//! `dictionary_learning`.
//!
//! `golden/peers/make_*.py` generate the fixtures; the README in that folder describes their content. Our step starts
//! with the same weights, rows and learning rates. Codes, all parts of the loss, the gradient of each parameter,
//! the gradient norm and the weights after five steps must match the package to 1e-5.
//!
//! Differences between the packages and this crate:
//! * A latent is dead here if it is after the step's rows, in `SAELens` if it was before: in what is
//!   compared no dead latent fires. (`saelens_topk_revived` shows their rule and is not compared.)
//! * `dictionary_learning`'s jumprelu counts latents by their values, so the half of the window below a
//!   threshold does not reach the penalty; in what is compared nothing lies there. It does not take `b_dec` off.
//! * Both clip by `1 / (norm + 1e-6)`, we by the norm: a millionth.
//! * `dl_gated_anneal` has no counterpart here: the power of our gated penalty is 1.

mod cases;

use std::path::Path;

use rarefy::codes::Codes;
use rarefy::config::Recipe;
use rarefy::io_spec::IoSpec;
use rarefy::optim::descent::{Descent, Rule};
use rarefy::params::Params;
use rarefy::train::sparse::anneal::{Annealing, Updates};
use rarefy::train::sparse::resample::revive;
use rarefy::train::sparse::step::{Report, Step, StepSettings};
use rarefy::variants::{self, Architecture, Options, StepSchedule};
use safetensors::SafeTensors;

use self::cases::{CASES, Case};

const STEPS: usize = 5;
const ROOM: f64 = 1e-5;

/// A fixture as it lies on disk.
struct Golden(Vec<u8>);

impl Golden {
    fn load(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/peers");
        Self(std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap())
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    fn has(&self, name: &str) -> bool {
        self.file().names().contains(&name)
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        let data = self.file().tensor(name).unwrap().data().to_vec();
        data.as_chunks()
            .0
            .iter()
            .map(|raw| f32::from_le_bytes(*raw))
            .collect()
    }

    fn f64(&self, name: &str) -> Vec<f64> {
        let data = self.file().tensor(name).unwrap().data().to_vec();
        data.as_chunks()
            .0
            .iter()
            .map(|raw| f64::from_le_bytes(*raw))
            .collect()
    }

    fn text(&self, key: &str) -> String {
        let metadata = SafeTensors::read_metadata(&self.0).unwrap().1;
        metadata.metadata().clone().unwrap()[key].clone()
    }

    /// Whole numbers, none if they are absent.
    fn count(&self, name: &str) -> Vec<usize> {
        if !self.has(name) {
            return Vec::new();
        }
        let data = self.file().tensor(name).unwrap().data().to_vec();
        let numbers = data.as_chunks().0.iter();
        numbers
            .map(|raw| i64::from_le_bytes(*raw) as usize)
            .collect()
    }

    /// Steps' figures that may be absent.
    fn steps(&self, name: &str) -> Option<Vec<f64>> {
        self.has(name).then(|| self.f64(name))
    }

    /// The package's tensors in our blocks.
    fn params(&self, prefix: &str, like: &Params) -> Params {
        let mut params = like.clone();
        let blocks = like.layout().blocks().to_vec();
        for block in blocks {
            let name = match block.name {
                "w_enc" => "W_enc",
                "w_dec" => "W_dec",
                "b_enc" if self.has("before.b_gate") => "b_gate",
                other => other,
            };
            // A threshold that is found after training; an encoder that is the decoder.
            if !self.has(&format!("{prefix}.{name}")) {
                continue;
            }
            let mut values = self.f32(&format!("{prefix}.{name}"));
            let by_columns = match name {
                "W_enc" => self.text("layout_W_enc") == "d_in d_sae",
                "W_dec" => self.text("layout_W_dec") == "d_in d_sae",
                _ => false,
            };
            if by_columns {
                values = (0..block.rows * block.cols)
                    .map(|at| values[at % block.cols * block.rows + at / block.cols])
                    .collect();
            }
            if (name, prefix) == ("threshold", "after") {
                // The package brings them back to 0 before the next step, we after this one.
                values.iter_mut().for_each(|theta| *theta = theta.max(0.0));
            }
            params.get_mut(block.name).copy_from_slice(&values);
        }
        params
    }
}

fn architecture(case: &Case, golden: &Golden) -> Architecture {
    let info = variants::find(case.arch).unwrap();
    let mut given: Vec<(&str, String)> = case
        .options
        .iter()
        .map(|(k, v)| (*k, (*v).to_owned()))
        .collect();
    given.push(("dead_after", "1000".into()));
    // Annealing moves them from here.
    if golden.has("p") {
        given.push(("p", golden.text("p_start")));
        given.push(("l1", golden.text("initial_sparsity_penalty")));
    }
    let options = Options::check(info.options(), given).unwrap();
    info.build(&options).unwrap()
}

#[track_caller]
fn near(what: &str, got: f64, want: f64) {
    let off = (got - want).abs() / want.abs().max(1e-6);
    assert!(off < ROOM, "{what}: {got} not {want}, {off:.1e} off");
}

/// Norm of the difference over the norm, of each block that the package has.
#[track_caller]
fn blocks_near(what: &str, got: &Params, golden: &Golden, prefix: &str) {
    let want = golden.params(prefix, &Params::zeros(got.layout()));
    for block in want.layout().blocks() {
        let (got, want) = (got.get(block.name), want.get(block.name));
        let wide = |v: &f32| f64::from(*v);
        let off: f64 = got
            .iter()
            .zip(want)
            .map(|(a, b)| (wide(a) - wide(b)).powi(2))
            .sum();
        let all: f64 = want.iter().map(|b| wide(b).powi(2)).sum();
        if all == 0.0 && !golden.has(&format!("{prefix}.{}", block.name)) {
            continue;
        }
        let off = (off / all.max(1e-12)).sqrt();
        assert!(off < ROOM, "{what}, {}: {off:.1e} apart", block.name);
    }
}

fn parts_near(what: &str, report: &Report, golden: &Golden, case: &Case, step: usize) {
    let sum = |names: &[&str]| -> f64 {
        names
            .iter()
            .map(|name| golden.f64(&format!("loss.{name}"))[step])
            .sum()
    };
    near(
        &format!("{what}, reconstruction"),
        report.reconstruction,
        sum(case.reconstruction),
    );
    near(
        &format!("{what}, penalty"),
        report.penalty,
        sum(case.penalty),
    );
    near(
        &format!("{what}, auxiliary"),
        report.auxiliary,
        sum(case.auxiliary),
    );
    let total = report.reconstruction + report.penalty + report.auxiliary;
    near(
        &format!("{what}, total"),
        total,
        golden.f64("loss.total")[step],
    );
    near(
        &format!("{what}, norm"),
        report.gradient_norm,
        golden.f64("grad_norm")[step],
    );
    near(&format!("{what}, L0"), report.l0, golden.f64("l0")[step]);
}

fn five_steps(case: &Case) {
    let golden = Golden::load(case.file);
    let size = |key: &str| golden.text(key).parse::<usize>().unwrap();
    let (d_in, d_sae) = (size("d_in"), size("d_sae"));
    let io = IoSpec::autoencoder(d_in).with_centre(case.centred);
    let like = Params::zeros(&architecture(case, &golden).layout(&io, d_sae));
    let mut params = golden.params("before", &like);
    if !golden.has("before.W_enc") {
        let w_dec = params.get("w_dec").to_vec();
        params.get_mut("w_enc").copy_from_slice(&w_dec);
    }
    let rule = Rule::Adam {
        beta1: case.beta1,
        beta2: 0.999,
    };
    let mut descent = Descent::new(rule, params.values());
    let mut since_fired = vec![0; d_sae];
    if golden.has("dead") {
        let dead = golden.file().tensor("dead").unwrap().data()[..d_sae].to_vec();
        let of = since_fired.iter_mut().zip(dead);
        of.for_each(|(since, dead)| *since = 1000 * u64::from(dead));
    }
    let scale = golden
        .steps("sparsity_scale")
        .unwrap_or_else(|| vec![1.0; STEPS]);
    let mut annealing = annealing(&golden);
    for (step, lr) in golden.f64("lr").into_iter().enumerate() {
        let architecture = architecture(case, &golden);
        let Architecture::Sparse(sparse) = &architecture else {
            panic!("all of them are sparse")
        };
        let mut one = Step::new(sparse, &io, case.norm, &params);
        let settings = StepSettings {
            lr,
            clip: case.clip,
            schedule: StepSchedule {
                sparsity: scale[step] * annealing.as_ref().map_or(1.0, |(a, _)| a.factor()),
                p: annealing
                    .as_ref()
                    .map(|(a, _)| [a.p(), a.next().unwrap_or(a.p())]),
                ..StepSchedule::default()
            },
        };
        let x = golden.f32(&format!("x.{step}"));
        let before = params.clone();
        let report = one.run(
            &mut params,
            &mut descent,
            &mut since_fired,
            x.as_slice().into(),
            &settings,
        );
        let what = format!("{} step {}", case.file, step + 1);
        parts_near(&what, &report, &golden, case, step);
        if let Some((annealing, updates)) = &mut annealing {
            let told = golden
                .text("initial_sparsity_penalty")
                .parse::<f64>()
                .unwrap();
            near(&format!("{what}, p"), annealing.p(), golden.f64("p")[step]);
            let coefficient = told * annealing.factor();
            let want = golden.f64("sparsity_coeff")[step];
            near(&format!("{what}, coefficient"), coefficient, want);
            annealing.after(updates, size("first_step") + step, report.norms);
        }
        if step == 0 {
            codes_near(&what, one.codes(), &golden.f32("step1.acts"));
            let what = format!("{what}, gradient");
            blocks_near(&what, &one.gradient(&before), &golden, "grad");
        }
        if golden.count("resampled.after_updates") == [step + 1] {
            resampled(&golden, &io, &mut params, &mut descent, &x);
        }
    }
    let what = format!("{}, weights after five steps", case.file);
    blocks_near(&what, &params, &golden, "after");
}

/// Annealing of p in the package, if the fixture has it.
fn annealing(golden: &Golden) -> Option<(Annealing, Updates)> {
    let number = |key: &str| golden.text(key).parse::<f64>().unwrap();
    golden.has("p").then(|| {
        let steps = (
            number("anneal_start") as usize,
            number("anneal_end") as usize,
        );
        let p = (number("p_start"), number("p_end"));
        let updates = Updates::new(number("n_sparsity_updates") as usize, steps, p);
        (Annealing::new(p.0), updates)
    })
}

/// The latents and rows that the package drew, and that it drew by our chances.
fn resampled(golden: &Golden, io: &IoSpec, params: &mut Params, descent: &mut Descent, x: &[f32]) {
    let (latents, rows) = (
        golden.count("resampled.latents"),
        golden.count("resampled.rows"),
    );
    assert!(latents.len() > 3 && latents.len() == rows.len());
    let d_sae = params.get("b_enc").len();
    let dead: Vec<bool> = (0..d_sae).map(|j| latents.contains(&j)).collect();
    let width = io.row_width();
    let drawn: Vec<f32> = rows
        .iter()
        .flat_map(|&i| &x[i * width..(i + 1) * width])
        .copied()
        .collect();
    let recipe = Recipe::DictionaryLearning;
    let revived = revive(params, descent, (io, &[]), &dead, &drawn, recipe);
    assert_eq!(revived, latents.len());
}

/// Values of all rows and latents; a pursuit may take a latent twice.
#[track_caller]
fn codes_near(what: &str, codes: &Codes, want: &[f32]) {
    let mut got = vec![0.0; want.len()];
    for (row, ends) in codes.offsets.windows(2).enumerate() {
        for at in ends[0]..ends[1] {
            got[row * codes.d_sae + codes.indices[at] as usize] += codes.values[at];
        }
    }
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs();
        assert!(off < 1e-5, "{what}, code {at}: {got} not {want}");
    }
}

#[test]
fn five_training_steps_match_the_packages() {
    let failed: Vec<&str> = CASES
        .iter()
        .filter(|case| std::panic::catch_unwind(|| five_steps(case)).is_err())
        .map(|case| case.file)
        .collect();
    assert!(failed.is_empty(), "not the package's: {failed:?}");
}
