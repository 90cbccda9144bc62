//! Command `rarefy bench`: speed of this machine and of training steps.

mod machine;
mod objective;
mod shape;
mod step;
mod table;

use serde_json::json;

use crate::cli::{BenchArgs, BenchCommand};
use crate::output;
use crate::threads;
use machine::Machine;
use shape::Shape;

/// Shapes of `rarefy bench` without a subcommand: inputs, latents, active latents, dead latents.
const GRID: [(usize, usize, usize, usize); 13] = [
    (256, 4096, 32, 0),
    (256, 16_384, 32, 0),
    (256, 65_536, 32, 0),
    (256, 131_072, 32, 0),
    (768, 4096, 32, 0),
    (768, 16_384, 8, 0),
    (768, 16_384, 32, 0),
    (768, 16_384, 32, 1024),
    (768, 16_384, 128, 0),
    (768, 65_536, 32, 0),
    (768, 131_072, 32, 0),
    (2048, 4096, 32, 0),
    (2048, 16_384, 32, 0),
];
const GRID_ROWS: usize = 4096;
const GRID_STEPS: usize = 5;

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    match &args.measurement {
        Some(BenchCommand::Objective(args)) => objective::run(args),
        Some(BenchCommand::Step(args)) => step::run(args),
        None => grid(args),
    }
}

/// Measures the machine's peaks, then training steps at all shapes; prints each result when it is done.
fn grid(args: &BenchArgs) -> anyhow::Result<()> {
    threads::set(args.threads)?;
    let bar = step::bar(GRID.len() * (step::WARM_UP + GRID_STEPS));
    bar.set_message("peaks of the machine");
    let machine = Machine::measure();
    let say = |text: &str| bar.suspend(|| output::print(text));
    if !args.json {
        say(&machine.table())?;
        say(&format!(
            "\nA TopK training step on {GRID_ROWS} rows, medians of {GRID_STEPS}, in ms:\n"
        ))?;
        say(&table::header(&step::HEADER))?;
    }
    let mut steps = Vec::new();
    for (d_in, latents, k, dead) in GRID {
        let shape = Shape {
            rows: GRID_ROWS,
            d_in,
            latents,
            k,
            dead,
        };
        if let Err(why) = shape.check() {
            bar.suspend(|| output::note(&format!("left out: {why}")));
            bar.inc((step::WARM_UP + GRID_STEPS) as u64);
            continue;
        }
        let timed = step::time("topk", shape, GRID_STEPS, &bar)?;
        if args.json {
            steps.push(timed.json(&machine));
        } else {
            say(&table::line(&step::HEADER, &timed.row(&machine)))?;
        }
    }
    bar.finish_and_clear();
    if args.json {
        return output::json(&json!({"machine": machine, "steps": steps}));
    }
    Ok(())
}
