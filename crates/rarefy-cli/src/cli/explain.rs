//! Flags of `explain`: the flags of `train`, so that any `train` call can be explained by changing one word.

use clap::{Args, Command};

use super::TrainArgs;

#[derive(Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub train: TrainArgs,
    /// Convert coefficients of another library or paper to ours: `saelens:l1=5`, or a paper's name (may be repeated).
    ///
    /// A paper's name alone converts the coefficients that it published.
    #[arg(
        long,
        value_name = "NAME:KEY=X,...",
        allow_negative_numbers = true,
        help_heading = "Explain"
    )]
    pub from: Vec<String>,
    /// Print only the objective, in LaTeX.
    #[arg(long, conflicts_with = "json", help_heading = "Explain")]
    pub latex: bool,
}

/// Command with its own help texts; accepts the flags of a run folder without showing them.
pub fn described(explain: Command) -> Command {
    let names: Vec<&str> = rarefy::explain::CONVENTIONS
        .iter()
        .map(|c| c.name)
        .collect();
    let after = format!("Libraries and papers for --from: {}.", names.join(", "));
    let hidden = ["out", "force", "resume", "quiet"];
    let explain = hidden
        .into_iter()
        .fold(explain, |c, name| c.mut_arg(name, |arg| arg.hide(true)));
    explain
        .mut_arg("data", |arg| {
            arg.value_name("CONFIG|RUN|DATA")
                .help("Configuration file (.toml), run folder, or data as for `train` [default: sample:digits]")
                .long_help(None)
        })
        .mut_arg("json", |arg| arg.help("Print one JSON object instead of text"))
        .after_help(after)
}
