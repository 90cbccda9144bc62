//! `rarefy bench step`: the time of a training step of the sparse engine, stage by stage.

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rarefy::Rng;
use rarefy::data::Memory;
use rarefy::optim::descent::{Descent, Rule};
use rarefy::train::sparse::step::{Settings, Stage, Step};
use rarefy::variants::{self, Architecture, Hyper};
use serde_json::json;

use super::machine::{Machine, peak_f32};
use crate::cli::BenchStepArgs;
use crate::commands::train::set_threads;
use crate::output;

/// Steps before the measured ones: pages fill, clocks rise, and the search for the largest latents
/// learns where they are.
const WARM_UP: usize = 2;
/// Batches that are gone through in turn.
const BATCHES: usize = 4;

#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub rows: usize,
    pub d_in: usize,
    pub latents: usize,
    pub k: usize,
}

/// Median seconds of a step and of its stages.
pub struct Timed {
    shape: Shape,
    step: f64,
    stages: Vec<(Stage, f64)>,
    reconstruction: f64,
}

pub const HEADER: [&str; 11] = [
    "d_in",
    "latents",
    "k",
    "encode",
    "decode",
    "gradients",
    "update",
    "step",
    "rows/s",
    "encode GFLOP/s",
    "of f32 peak",
];

pub fn run(args: &BenchStepArgs) -> anyhow::Result<()> {
    set_threads(args.threads)?;
    let shape = Shape {
        rows: args.rows,
        d_in: args.d_in,
        latents: args.latents,
        k: args.k,
    };
    let before = peak_f32();
    let timed = time(shape, args.steps)?;
    if args.json {
        let mut machine = Machine::measure();
        // Of the two the lower: a machine that was busy at one end was busy in between.
        machine.peak_f32_gflops = machine.peak_f32_gflops.min(before);
        let mut answer = timed.json(&machine);
        answer["machine"] = json!(machine);
        answer["peak_f32_gflops"] = json!(machine.peak_f32_gflops);
        return output::json(&answer);
    }
    let machine = Machine::measure();
    output::print(&machine.table())?;
    output::print(&format!("\n{} rows, times in ms:\n", shape.rows))?;
    output::print(&output::table(&HEADER, &[timed.row(&machine)], false))
}

/// Times steps of a fresh `topk` model on made-up activations.
pub fn time(shape: Shape, steps: usize) -> anyhow::Result<Timed> {
    let info = variants::find("topk")?;
    let hyper = Hyper::check(info.options, [("k", shape.k.to_string())])?;
    let architecture = (info.build)(&hyper)?;
    let mut rng = Rng::seed_from_u64(0);
    let batches = made_up(&shape, &mut rng);
    let rows = Memory::new("bench", shape.d_in, batches[0].clone());
    let layout = architecture.layout(shape.d_in, shape.latents);
    let mut params = architecture.init(&layout, &rows, &mut rng)?;
    let Architecture::Sparse(sparse) = &architecture else {
        unreachable!("topk is an architecture of the sparse engine")
    };
    let mut step = Step::new(sparse.objective, &params);
    let mut descent = Descent::new(Rule::Adam, layout.len());
    let mut since_fired = vec![0; shape.latents];
    let settings = Settings {
        lr: (info.defaults.lr)(shape.latents),
        clip: info.defaults.clip,
        unit_norm: info.defaults.unit_norm,
    };
    let (mut of_steps, mut of_stages, mut reconstruction) = (Vec::new(), Vec::new(), 0.0);
    for turn in 0..WARM_UP + steps {
        let (start, mut last, mut stages) = (Instant::now(), 0.0, Vec::new());
        let x = &batches[turn % batches.len()];
        let mut done = |stage| {
            let now = start.elapsed().as_secs_f64();
            stages.push((stage, now - last));
            last = now;
        };
        let (p, d, since) = (&mut params, &mut descent, &mut since_fired);
        let report = step.run_watched(p, d, since, x, &settings, &mut done);
        reconstruction = report.reconstruction;
        if turn >= WARM_UP {
            of_steps.push(start.elapsed().as_secs_f64());
            of_stages.push(stages);
        }
    }
    let stage = |i: usize| {
        let times = of_stages.iter().map(|stages| stages[i].1).collect();
        (of_stages[0][i].0, median(times))
    };
    Ok(Timed {
        shape,
        step: median(of_steps),
        stages: (0..of_stages[0].len()).map(stage).collect(),
        reconstruction,
    })
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
        } = self.shape;
        vec![
            d_in.to_string(),
            latents.to_string(),
            k.to_string(),
            ms(self.of(Stage::Encode)),
            ms(self.of(Stage::Decode)),
            ms(self.of(Stage::Backward)),
            ms(self.of(Stage::Update)),
            ms(self.step),
            format!("{:.0}", rows as f64 / self.step),
            format!("{:.0}", self.encode_gflops()),
            format!(
                "{:.0} %",
                100.0 * self.encode_gflops() / machine.peak_f32_gflops
            ),
        ]
    }

    pub fn json(&self, machine: &Machine) -> serde_json::Value {
        let Shape {
            rows,
            d_in,
            latents,
            k,
        } = self.shape;
        let stages: serde_json::Map<String, serde_json::Value> = self
            .stages
            .iter()
            .map(|(stage, seconds)| (format!("{stage:?}").to_lowercase(), json!(seconds)))
            .collect();
        json!({
            "rows": rows, "d_in": d_in, "latents": latents, "k": k,
            "step_seconds": self.step, "samples_per_second": rows as f64 / self.step,
            "stage_seconds": stages,
            "encode_gflops": self.encode_gflops(),
            "encode_fraction_of_f32_peak": self.encode_gflops() / machine.peak_f32_gflops,
            "encode_fraction_of_int8_peak": machine.peak_int8_gops.map(|peak| self.encode_gflops() / peak),
            "reconstruction": self.reconstruction,
        })
    }
}

/// Rows as a language model's: sums of some of many directions, a few of them common, around a centre
/// far from 0. `benches/peers/topk.py` makes the same kind.
fn made_up(shape: &Shape, rng: &mut Rng) -> Vec<Vec<f32>> {
    let d_in = shape.d_in;
    let mut normals = |count: usize, scale: f32| -> Vec<f32> {
        // A sum of uniform numbers is near enough to a normal one.
        let mut normal = || (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 1.732;
        (0..count).map(|_| scale * normal()).collect()
    };
    let unit = 1.0 / (d_in as f32).sqrt();
    let directions = normals(4 * d_in * d_in, unit);
    let centre = normals(d_in, 2.0 * unit);
    let noise = normals(d_in * 64, 0.1 * unit);
    let mut batch = || {
        let mut x = Vec::with_capacity(shape.rows * d_in);
        for i in 0..shape.rows {
            let mut row = centre.clone();
            add(&mut row, 1.0, &noise[i % 64 * d_in..][..d_in]);
            for _ in 0..24 {
                // The logarithm of a uniform number's inverse is exponential; the power makes few
                // directions common.
                let much = -(1.0 - rng.random::<f32>()).ln();
                let which = rng.random::<f32>().powi(3) * (4 * d_in) as f32;
                add(&mut row, much, &directions[which as usize * d_in..][..d_in]);
            }
            x.extend(row);
        }
        x
    };
    (0..BATCHES).map(|_| batch()).collect()
}

fn add(row: &mut [f32], scale: f32, direction: &[f32]) {
    rarefy_kernels::vector::add_scaled(row, scale, direction);
}
