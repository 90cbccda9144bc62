//! `rarefy bench step`: the time of a training step of the sparse engine, stage by stage.

use rarefy::binding::Binding;
use rarefy::variants::BiasStart;
use std::time::Instant;

use indicatif::ProgressBar;
use rand::SeedableRng;
use rarefy::Rng;
use rarefy::data::Memory;
use rarefy::optim::descent::{Descent, Rule};
use rarefy::params::Params;
use rarefy::train::sparse::step::{Settings, Stage, Step};
use rarefy::variants::{self, Architecture, Hyper, Now};
use rarefy_kernels::int8::{self, Engine};
use serde_json::json;

use super::machine::{Machine, peak_f32};
use super::shape::Shape;
use super::table;
use crate::cli::BenchStepArgs;
use crate::commands::train::set_threads;
use crate::output;
use crate::reading::style;

/// Steps before the measured ones: pages fill, clocks rise, and the search for the largest latents
/// learns where they are.
pub const WARM_UP: usize = 2;
/// What the encoder rows of latents that start dead are multiplied by. Their pre-activations are still
/// positive on every other row, as the auxiliary loss wants them, but never among the largest.
const FAINT: f32 = 1.0 / 64.0;

/// Median seconds of a step and of its stages.
pub struct Timed {
    shape: Shape,
    step: f64,
    stages: Vec<(Stage, f64)>,
    reconstruction: f64,
    /// Dead latents at the last step.
    dead: usize,
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
    set_threads(args.threads)?;
    let before = peak_f32();
    let bar = bar(WARM_UP + args.steps);
    let timed = time(shape, args.steps, &bar)?;
    bar.finish_and_clear();
    let mut machine = Machine::measure();
    if args.json {
        // Of the two the lower: a machine that was busy at one end was busy in between.
        machine.peak_f32_gflops = machine.peak_f32_gflops.min(before);
        let mut answer = timed.json(&machine);
        answer["machine"] = json!(machine);
        answer["peak_f32_gflops"] = json!(machine.peak_f32_gflops);
        return output::json(&answer);
    }
    output::print(&machine.table())?;
    let (rows, screen) = (shape.rows, screen(shape.d_in));
    output::print(&format!(
        "\n{rows} rows, times in ms; the encoder searches in {screen}:\n"
    ))?;
    output::print(&table::header(&HEADER))?;
    output::print(&table::line(&HEADER, &timed.row(&machine)))
}

/// A bar on stderr for so many steps; where that is no terminal, nothing is shown.
pub fn bar(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    bar.set_style(style("{bar:24} step {pos}/{len}  {msg}"));
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

/// How pre-activations are found roughly: what the encoder decides for rows of this width.
pub fn screen(d_in: usize) -> String {
    match int8::engine() {
        Engine::Portable => "f32 products (this machine has no instructions for bytes)".into(),
        _ if d_in > int8::MOST_INPUTS => "f32 products (rows are too long for bytes)".into(),
        engine => format!("products of bytes ({engine:?})"),
    }
}

/// Times steps of a fresh `topk` model on made-up activations; `bar` goes on with each.
pub fn time(shape: Shape, steps: usize, bar: &ProgressBar) -> anyhow::Result<Timed> {
    bar.set_message(shape.words());
    let info = variants::find("topk")?;
    let hyper = Hyper::check(info.options, [("k", shape.k.to_string())])?;
    let architecture = (info.build)(&hyper)?;
    let mut rng = Rng::seed_from_u64(0);
    let batches = shape.made_up(&mut rng);
    let rows = Memory::new("bench", shape.d_in, batches[0].clone());
    let binding = Binding::autoencoder(shape.d_in);
    let mut params = architecture.init(
        (&binding, BiasStart::Median),
        shape.latents,
        &rows,
        &mut rng,
    )?;
    let mut since_fired = kill(&shape, &mut params);
    let Architecture::Sparse(sparse) = &architecture else {
        unreachable!("topk is an architecture of the sparse engine")
    };
    let mut step = Step::new(sparse.as_ref(), &binding, &params);
    let mut descent = Descent::new(Rule::ADAM, params.values());
    let settings = Settings {
        lr: (info.defaults.lr)(shape.latents),
        clip: info.defaults.clip,
        unit_norm: info.defaults.unit_norm,
        now: Now::default(),
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
        last = Some(step.run_watched(p, d, since, x, &settings, &mut done));
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
        shape,
        step: median(of_steps),
        stages: (0..of_stages[0].len()).map(stage).collect(),
        reconstruction: last.map_or(0.0, |report| report.reconstruction),
        dead: last.map_or(0, |report| report.dead),
    })
}

/// Makes the first latents so faint that no row selects them, and says for how many rows each latent
/// has not fired: these for longer than any limit.
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

    /// What the encoder's dense product comes to, in f32 operations a second.
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
            "rows": rows, "d_in": d_in, "latents": latents, "k": k, "dead": self.dead,
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
