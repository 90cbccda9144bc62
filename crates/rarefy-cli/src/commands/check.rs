//! Command `rarefy check`: gradients against central differences, f32 against f64.

use std::process::ExitCode;

use rarefy::check;
use serde_json::json;

use crate::cli::CheckCommand;
use crate::output;

pub fn run(command: &CheckCommand) -> anyhow::Result<ExitCode> {
    let CheckCommand::Gradients { arch, json } = command;
    let checks = check::gradients(arch)?;
    let passed = checks.iter().all(|check| check.passed);
    if *json {
        output::json(&json!({"architecture": arch, "passed": passed, "checks": checks}))?;
    } else {
        let rows: Vec<Vec<String>> = checks
            .iter()
            .map(|c| {
                let verdict = if c.passed { "ok" } else { "FAILED" };
                vec![
                    format!("{:.1e}", c.twin_error),
                    format!("{:.1e}", c.fast_error),
                    format!("{verdict}  {}", c.name),
                ]
            })
            .collect();
        output::print(&output::table_but_last(
            &["f64 and central differences", "f32 and f64", ""],
            &rows,
        ))?;
        let (twin, fast) = (check::TWIN_TOLERANCE, check::FAST_TOLERANCE);
        output::print(&format!(
            "\nlargest relative errors allowed: {twin:.0e} and {fast:.0e}"
        ))?;
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
