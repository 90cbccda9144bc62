//! Command `rarefy plot`: the KL penalty as SVG.

use rarefy::{Error, atomic};
use rarefy_run::output_path;

use crate::cli::PlotCommand;
use crate::output;

pub fn run(command: &PlotCommand) -> anyhow::Result<()> {
    let PlotCommand::Penalty { rho, out } = command;
    if !(*rho > 0.0 && *rho < 1.0) {
        return Err(Error::hyper("--rho", "a number in (0, 1)", rho).into());
    }
    if !out
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("svg"))
    {
        return Err(Error::hyper("--out", "a file that ends in .svg", out.display()).into());
    }
    output_path::check_file(out)?;
    let svg = rarefy_report::penalty_plot(*rho, &[]);
    atomic::write(out, |file| file.write_all(svg.as_bytes()))?;
    output::print(&format!("{} (minimum 0 at rho_hat = {rho})", out.display()))
}
