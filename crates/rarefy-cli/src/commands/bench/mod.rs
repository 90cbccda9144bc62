//! `rarefy bench`: what this machine does.

mod machine;
mod objective;
mod step;

use serde_json::json;

use crate::cli::{BenchArgs, BenchCommand};
use crate::commands::train::set_threads;
use crate::output;
use machine::Machine;
use step::Shape;

/// Shapes that `rarefy bench` alone goes through: rows, inputs, latents, active latents.
const GRID: [(usize, usize, usize); 7] = [
    (256, 4096, 32),
    (768, 4096, 32),
    (768, 16_384, 8),
    (768, 16_384, 32),
    (768, 16_384, 128),
    (768, 65_536, 32),
    (2048, 16_384, 32),
];
const GRID_ROWS: usize = 4096;
const GRID_STEPS: usize = 5;

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    match &args.what {
        Some(BenchCommand::Objective(args)) => objective::run(args),
        Some(BenchCommand::Step(args)) => step::run(args),
        None => grid(args),
    }
}

/// The machine's limits, and a training step at several shapes.
fn grid(args: &BenchArgs) -> anyhow::Result<()> {
    set_threads(args.threads)?;
    let machine = Machine::measure();
    if !args.json {
        output::print(&machine.table())?;
    }
    let mut timed = Vec::new();
    for (d_in, latents, k) in GRID {
        let shape = Shape {
            rows: GRID_ROWS,
            d_in,
            latents,
            k,
        };
        timed.push(step::time(shape, GRID_STEPS)?);
    }
    if args.json {
        let steps: Vec<_> = timed.iter().map(|timed| timed.json(&machine)).collect();
        return output::json(&json!({"machine": machine, "steps": steps}));
    }
    output::print(&format!(
        "\nA TopK training step on {GRID_ROWS} rows, medians of {GRID_STEPS}, in ms:\n"
    ))?;
    let rows: Vec<_> = timed.iter().map(|timed| timed.row(&machine)).collect();
    output::print(&output::table(&step::HEADER, &rows, false))
}
