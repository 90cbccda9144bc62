//! The flags of `explain`: those of `train`, so that a command can be explained by changing one word of it.

use clap::{Args, Command};

use super::TrainArgs;

#[derive(Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub train: TrainArgs,
    /// What coefficients of another library or of a paper become here: `saelens:l1=5`, or a paper's name for what it
    /// published; may be given again.
    #[arg(
        long,
        value_name = "NAME:KEY=X,...",
        allow_negative_numbers = true,
        help_heading = "Explain"
    )]
    pub from: Vec<String>,
    /// Print the objective in LaTeX, and nothing else.
    #[arg(long, conflicts_with = "json", help_heading = "Explain")]
    pub latex: bool,
}

/// The command in its own words; flags that only a run has are taken and not shown.
pub fn worded(explain: Command) -> Command {
    let names: Vec<&str> = rarefy::explain::CONVENTIONS
        .iter()
        .map(|c| c.name)
        .collect();
    let after = format!("Libraries and papers: {}.", names.join(", "));
    let hidden = ["out", "force", "resume", "quiet"];
    let explain = hidden
        .into_iter()
        .fold(explain, |c, name| c.mut_arg(name, |arg| arg.hide(true)));
    explain
        .mut_arg("data", |arg| {
            arg.value_name("CONFIG|RUN|DATA")
                .help("Configuration (.toml), run folder, or data as for `train` [default: sample:digits]")
        })
        .mut_arg("json", |arg| arg.help("Print one JSON object instead of text"))
        .after_help(after)
}
