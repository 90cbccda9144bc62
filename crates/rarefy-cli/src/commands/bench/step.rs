//! Command `rarefy bench step`: time of a training step of the sparse engine, stage by stage.

use std::time::Instant;

use indicatif::ProgressBar;
use rand::SeedableRng;
use rarefy::config;
use rarefy::data::{Memory, Source, survey};
use rarefy::optim::descent::{Descent, Rule};
use rarefy::params::Params;
use rarefy::plan::Plan;
use rarefy::train::sparse::step::{Stage, Step, StepSettings};
use rarefy::variants::{self, Architecture, BiasStart, StartRows, StepSchedule};
use rarefy::{Error, Result, Rng};
use rarefy_kernels::int8::{self, Engine};
use rarefy_kernels::matmul::{Op, matmul};
use serde_json::json;

use super::machine::{Machine, peak_f32};
use super::shape::Shape;
use super::table;
use crate::cli::BenchStepArgs;
use crate::output;
use crate::reading::style;
use crate::threads;

/// Number of steps before the timed ones: pages fill, clock rates rise, and the selection adapts its thresholds.
pub const WARM_UP: usize = 2;
/// Factor on the encoder rows of latents that are dead from the start.
///
/// Their pre-activations stay positive on every other row, as the auxiliary loss needs, but are never among the largest.
const FAINT: f32 = 1.0 / 64.0;

/// Number of silent rows after which a latent is dead.
const DEAD_AFTER: usize = 10_000_000;
/// Width of the window around jumprelu's thresholds, over the rows' standard deviation along a direction.
///
/// This is `SAELens`'s default for rows with standard deviation 1. A wider window costs more, because every
/// pre-activation inside has a derivative.
const BANDWIDTH: f64 = 0.05;
/// Number of rows from which biases are set.
const LOOKED_AT: usize = 64;

/// Median seconds of a step and of its stages.
pub struct Timed {
    arch: &'static str,
    shape: Shape,
    step: f64,
    stages: Vec<(Stage, f64)>,
    reconstruction: f64,
    /// Number of dead latents at the last step.
    dead: usize,
    /// Active latents per row at the last step.
    l0: f64,
}

pub const HEADER: [&str; 13] = [
    "d_in",
    "latents",
    "k",
    "dead",
    "encode",
    "decode",
    "auxiliary",
    "gradients",
    "update",
    "step",
    "rows/s",
    "encode GFLOP/s",
    "of f32 peak",
];

pub fn run(args: &BenchStepArgs) -> anyhow::Result<()> {
    let shape = Shape {
        rows: args.rows,
        d_in: args.d_in,
        latents: args.latents,
        k: args.k,
        dead: args.dead,
    };
    shape.check()?;
    threads::set(args.threads)?;
    let before = peak_f32();
    let bar = bar(WARM_UP + args.steps);
    let timed = time(&args.arch, shape, args.steps, &bar)?;
    bar.finish_and_clear();
    let mut machine = Machine::measure();
    if args.json {
        // The lower of two measurements: a machine that was busy before or after was busy in between.
        machine.peak_f32_gflops = machine.peak_f32_gflops.min(before);
        let mut answer = timed.json(&machine);
        answer["machine"] = json!(machine);
        answer["peak_f32_gflops"] = json!(machine.peak_f32_gflops);
        return output::json(&answer);
    }
    output::print(&machine.table())?;
    let (rows, screen) = (shape.rows, screen(shape.d_in));
    output::print(&format!(
        "\n{} with {:.1} active latents per row; {rows} rows, times in ms; the encoder selects by {screen}:\n",
        timed.arch, timed.l0
    ))?;
    output::print(&table::header(&HEADER))?;
    output::print(&table::line(&HEADER, &timed.row(&machine)))
}

/// Progress bar on stderr over a number of steps; hidden if stderr is no terminal.
pub fn bar(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    bar.set_style(style("{bar:24} step {pos}/{len}  {msg}"));
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

/// Arithmetic of the encoder's approximate selection for rows of this width.
pub fn screen(d_in: usize) -> String {
    match int8::engine() {
        Engine::Portable => "f32 products (this machine has no instructions for bytes)".into(),
        _ if d_in > int8::MOST_INPUTS => "f32 products (rows are too long for bytes)".into(),
        engine => format!("products of bytes ({engine:?})"),
    }
}

/// Times steps of a fresh model on synthetic rows; advances `bar` with each step.
pub fn time(arch: &str, shape: Shape, steps: usize, bar: &ProgressBar) -> anyhow::Result<Timed> {
    bar.set_message(shape.describe());
    let mut rng = Rng::seed_from_u64(0);
    let batches = shape.made_up(&mut rng);
    let rows = Memory::new("bench", shape.d_in, batches[0].clone());
    let plan = plan(arch, &shape, &rows)?;
    let Architecture::Sparse(sparse) = plan.architecture() else {
        let why = format!(
            "architecture {arch} has no step of the sparse engine; `rarefy bench objective` times kl"
        );
        return Err(Error::Conflict(why).into());
    };
    let mut params = fresh(&plan, &shape, &rows, &mut rng)?;
    let mut since_fired = kill(&shape, &mut params);
    let mut step = Step::new(sparse, plan.io(), plan.decoder_norm(), &params);
    let mut descent = Descent::new(Rule::ADAM, params.values());
    let settings = StepSettings {
        // Without a k, Adam's first steps would activate hundreds of latents per row.
        lr: if counts(&plan) { plan.lr() } else { 1e-9 },
        clip: plan.clip(),
        schedule: StepSchedule::default(),
    };
    let (mut of_steps, mut of_stages, mut last) = (Vec::new(), Vec::new(), None);
    for turn in 0..WARM_UP + steps {
        let (start, mut before, mut stages) = (Instant::now(), 0.0, Vec::new());
        let x = &batches[turn % batches.len()];
        let mut done = |stage| {
            let now = start.elapsed().as_secs_f64();
            stages.push((stage, now - before));
            before = now;
        };
        let (p, d, since) = (&mut params, &mut descent, &mut since_fired);
        last = Some(step.run_watched(p, d, since, x.as_slice().into(), &settings, &mut done));
        if turn >= WARM_UP {
            of_steps.push(start.elapsed().as_secs_f64());
            of_stages.push(stages);
        }
        bar.inc(1);
    }
    let stage = |i: usize| {
        let times = of_stages.iter().map(|stages| stages[i].1).collect();
        (of_stages[0][i].0, median(times))
    };
    Ok(Timed {
        arch: plan.info().name,
        shape,
        step: median(of_steps),
        stages: (0..of_stages[0].len()).map(stage).collect(),
        reconstruction: last.map_or(0.0, |report| report.reconstruction),
        dead: last.map_or(0, |report| report.dead),
        l0: last.map_or(0.0, |report| report.l0),
    })
}

/// Plan of a model with these sizes and the architecture's defaults; no latent dies during a measurement.
fn plan(arch: &str, shape: &Shape, rows: &Memory) -> Result<Plan> {
    let info = variants::find(arch)?;
    let survey = survey(rows)?;
    let mut layer = toml::Table::new();
    config::set(&mut layer, "model.arch", arch)?;
    let has = |name: &str| info.options().iter().any(|option| option.name == name);
    if has("bandwidth") {
        let variance = survey.variance.iter().sum::<f64>() / shape.d_in as f64;
        let value = toml::Value::Float(BANDWIDTH * variance.sqrt());
        config::insert(&mut layer, "model.options.bandwidth", value);
    }
    for (key, value) in [
        ("model.latents", shape.latents),
        ("train.steps", 1 << 20),
        ("train.batch", shape.rows),
        ("model.options.k", shape.k),
        ("model.options.dead_after", DEAD_AFTER),
    ] {
        let option = key.strip_prefix("model.options.");
        if option.is_none_or(has) {
            config::insert(&mut layer, key, toml::Value::Integer(value as i64));
        }
    }
    Plan::new(&config::merge(&[layer])?, &survey)
}

/// True if the architecture has an option k.
fn counts(plan: &Plan) -> bool {
    plan.options().find("k").is_some()
}

/// Initial parameters with about k active latents per row.
fn fresh(plan: &Plan, shape: &Shape, rows: &Memory, rng: &mut Rng) -> Result<Params> {
    let start = (plan.io(), BiasStart::Median);
    let mut params =
        plan.architecture()
            .init(start, shape.latents, &StartRows::new(Box::new(rows)), rng)?;
    if !counts(plan) {
        quieten(shape, &mut params, rows.as_slice().unwrap_or_default());
    }
    Ok(params)
}

/// Lowers the encoder biases until about k latents per row are active.
fn quieten(shape: &Shape, params: &mut Params, x: &[f32]) {
    let Shape { d_in, latents, .. } = *shape;
    let rows = LOOKED_AT.min(shape.rows);
    let b_dec = params.get("b_dec").iter().cycle();
    let centred = x[..rows * d_in].iter().zip(b_dec).map(|(x, b)| x - b);
    let centred: Vec<f32> = centred.collect();
    let mut pre = vec![0.0; rows * latents];
    let w_enc = (params.get("w_enc"), Op::T);
    matmul(
        &mut pre,
        false,
        (&centred, Op::N),
        w_enc,
        [rows, latents, d_in],
    );
    let wanted = (rows * shape.k).min(pre.len() - 1);
    let (_, edge, _) = pre.select_nth_unstable_by(wanted, |a, b| b.total_cmp(a));
    let threshold = params.find("threshold").map_or(0.0, |theta| theta[0]);
    let down = *edge - threshold;
    params.get_mut("b_enc").iter_mut().for_each(|b| *b -= down);
}

/// Scales the encoder rows of the first latents down so that no row selects them.
///
/// Returns the number of silent rows of each latent, which is beyond any limit for these latents.
fn kill(shape: &Shape, params: &mut Params) -> Vec<u64> {
    let faint = &mut params.get_mut("w_enc")[..shape.dead * shape.d_in];
    faint.iter_mut().for_each(|w| *w *= FAINT);
    let mut since_fired = vec![0; shape.latents];
    since_fired[..shape.dead].fill(u64::MAX / 2);
    since_fired
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Timed {
    fn of(&self, wanted: Stage) -> f64 {
        let found = self.stages.iter().find(|(stage, _)| *stage == wanted);
        found.map_or(0.0, |(_, seconds)| *seconds)
    }

    /// Speed of the encoder in 10^9 f32 operations per second, counted as one dense product.
    fn encode_gflops(&self) -> f64 {
        let Shape {
            rows,
            d_in,
            latents,
            ..
        } = self.shape;
        2.0 * (rows * d_in) as f64 * latents as f64 / self.of(Stage::Encode) / 1e9
    }

    pub fn row(&self, machine: &Machine) -> Vec<String> {
        let ms = |seconds: f64| format!("{:.1}", seconds * 1e3);
        let Shape {
            rows,
            d_in,
            latents,
            k,
            ..
        } = self.shape;
        let share = self.encode_gflops() / machine.peak_f32_gflops;
        vec![
            d_in.to_string(),
            latents.to_string(),
            k.to_string(),
            self.dead.to_string(),
            ms(self.of(Stage::Encode)),
            ms(self.of(Stage::Decode)),
            ms(self.of(Stage::Auxiliary)),
            ms(self.of(Stage::Backward)),
            ms(self.of(Stage::Update)),
            ms(self.step),
            format!("{:.0}", rows as f64 / self.step),
            format!("{:.0}", self.encode_gflops()),
            format!("{:.0} %", 100.0 * share),
        ]
    }

    pub fn json(&self, machine: &Machine) -> serde_json::Value {
        let Shape {
            rows,
            d_in,
            latents,
            k,
            ..
        } = self.shape;
        let stages: serde_json::Map<String, serde_json::Value> = self
            .stages
            .iter()
            .map(|(stage, seconds)| (format!("{stage:?}").to_lowercase(), json!(seconds)))
            .collect();
        json!({
            "arch": self.arch, "l0": self.l0, "rows": rows, "d_in": d_in, "latents": latents, "k": k, "dead": self.dead,
            "step_seconds": self.step, "samples_per_second": rows as f64 / self.step,
            "stage_seconds": stages,
            "screen": screen(d_in),
            "encode_gflops": self.encode_gflops(),
            "encode_fraction_of_f32_peak": self.encode_gflops() / machine.peak_f32_gflops,
            "encode_fraction_of_int8_peak": machine.peak_int8_gops.map(|peak| self.encode_gflops() / peak),
            "reconstruction": self.reconstruction,
        })
    }
}
