//! Command `rarefy bench objective`: time of the kl objective's value and gradient.

use std::time::Instant;

use rarefy::data::{Memory, Source};
use rarefy::train::pass::Pass;
use rarefy::variants::{self, Options};
use rarefy_kernels::vector::dot;
use serde_json::json;

use super::machine::{peak_f32, refuse_beyond_memory};
use crate::cli::BenchObjectiveArgs;
use crate::output;
use crate::threads;

/// Seconds of evaluations before the timed ones: threads start, clock rates rise, pages fill.
const WARM_UP_SECONDS: f64 = 0.3;

pub fn run(args: &BenchObjectiveArgs) -> anyhow::Result<()> {
    let BenchObjectiveArgs {
        rows,
        d_in,
        latents,
        decoder,
        loss,
        repeats,
        threads,
        json,
    } = args;
    refuse_beyond_memory(
        &format!("the objective on {rows} rows of {d_in} with {latents} latents"),
        bytes(*rows, *d_in, *latents),
    )?;
    threads::set(*threads)?;
    let info = variants::find("kl")?;
    let given = [
        ("decoder", decoder.clone()),
        ("loss", loss.clone()),
        ("rho", "0.1".into()),
        ("beta", "3".into()),
        ("weight_decay", "0.003".into()),
    ];
    let options = Options::check(info.options(), given)?;
    let architecture = info.build(&options)?;
    let variant = architecture.dense().expect("kl is a dense architecture");
    // Fixed numbers: the time does not depend on the values. benches/peers makes the same ones.
    let x = (0..rows * d_in)
        .map(|i| 0.5 + 0.5 * (i as f32 * 0.37).sin())
        .collect();
    let source = Memory::new("bench", *d_in, x);
    let layout = variant.layout(*d_in, *latents);
    let mut params = rarefy::params::Params::zeros(&layout);
    params
        .values_mut()
        .iter_mut()
        .enumerate()
        .for_each(|(i, w)| *w = 0.05 * (i as f32 * 0.73).sin());

    let mut pass = Pass::new(variant, *d_in, *latents);
    let form = pass.form(&source);
    let mut seconds = Vec::new();
    let mut cost = 0.0;
    let begun = Instant::now();
    while seconds.len() < *repeats {
        let start = Instant::now();
        let parts = pass.evaluate(&params, &source, form, &mut |batch| batch)?;
        cost = std::hint::black_box(parts).total();
        if (start - begun).as_secs_f64() >= WARM_UP_SECONDS {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let peak = peak_f32();
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    // Five products of n x d_in x latents, two operations each.
    let gflops = 10.0 * (source.rows() * d_in * latents) as f64 / median / 1e9;
    if *json {
        let gradient = pass.gradient().values();
        return output::json(&json!({
            "cost": cost, "gradient_norm": dot(gradient, gradient).sqrt(),
            "rows": rows, "d_in": d_in, "latents": latents, "decoder": decoder, "loss": loss,
            "threads": rayon::current_num_threads(), "path": format!("{:?}", rarefy_kernels::path()),
            "seconds": seconds, "median": median, "gflops": gflops, "peak_gflops": peak, "fraction_of_peak": gflops / peak,
        }));
    }
    let table = vec![
        vec!["median of".into(), format!("{repeats} evaluations")],
        vec!["time".into(), format!("{:.3} ms", median * 1e3)],
        vec!["rows/s".into(), format!("{:.0}", *rows as f64 / median)],
        vec!["GFLOP/s".into(), format!("{gflops:.0}")],
        vec![
            "f32 peak".into(),
            format!(
                "{peak:.0} GFLOP/s on {} threads ({:?})",
                rayon::current_num_threads(),
                rarefy_kernels::path()
            ),
        ],
        vec![
            "share of peak".into(),
            format!("{:.0} %", 100.0 * gflops / peak),
        ],
    ];
    output::print(&output::table(&["", ""], &table, true))
}

/// Least memory of a measurement in bytes, as a float so that it cannot overflow.
///
/// Memory beyond rows, weights and gradients is bounded by the library.
fn bytes(rows: usize, d_in: usize, latents: usize) -> f64 {
    /// Parts of the rows with separate gradients.
    const LANES: f64 = 16.0;
    let [rows, d_in, latents] = [rows, d_in, latents].map(|size| size as f64);
    4.0 * (rows * d_in + (2.0 + 3.0 * LANES) * d_in * latents)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_match_a_count_by_hand() {
        // Six values of rows, and fifty times two weights.
        assert_eq!(bytes(3, 2, 1), 4.0 * (6.0 + 100.0));
    }
}
