//! Examples at the end of help texts.

use clap::Command;

/// Purpose and call of one example.
type Example = (&'static str, &'static str);

/// Examples by command; the empty name is the program itself.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            (
                "Train on the embedded handwritten digits; the report explains the result:",
                "rarefy train",
            ),
            (
                "Train a TopK autoencoder on activations, then encode them:",
                "rarefy train acts.npy --arch topk --k 32 --out runs/topk\n      rarefy encode runs/topk acts.npy --out codes.npz",
            ),
        ],
    ),
    (
        "train",
        &[
            (
                "Train the lecture's network on the embedded handwritten digits:",
                "rarefy train",
            ),
            (
                "Train a TopK autoencoder, and print its metrics on 10,000 held-out rows:",
                "rarefy train acts.npy --arch topk --k 32 --latents 16384 --holdout 10000 --out runs/topk",
            ),
            (
                "Continue an interrupted run:",
                "rarefy train --out runs/topk --resume",
            ),
            (
                "Train a transcoder from one layer to another:",
                "rarefy train mlp_in.npy --target mlp_out.npy --arch jumprelu",
            ),
        ],
    ),
    (
        "frontier",
        &[
            (
                "Compare two architectures on embedded word vectors:",
                "rarefy frontier sample:words --arch topk,relu --latents 1024 --out runs/words",
            ),
            (
                "Add an architecture to the same frontier:",
                "rarefy frontier --out runs/words --resume --arch gated",
            ),
        ],
    ),
    (
        "explain",
        &[
            ("Print the objective of a run:", "rarefy explain runs/topk"),
            (
                "Convert the L1 coefficient 5 of SAELens to ours, on this data:",
                "rarefy explain acts.npy --arch relu --from saelens:l1=5",
            ),
            (
                "Print the objective of an architecture in LaTeX:",
                "rarefy explain --arch gated --latex",
            ),
        ],
    ),
    (
        "watch",
        &[
            (
                "Follow a run from another terminal:",
                "rarefy watch runs/topk",
            ),
            (
                "Print the step of a run, in a script:",
                "rarefy watch runs/topk --json",
            ),
        ],
    ),
    (
        "eval",
        &[
            (
                "Evaluate a run on new rows:",
                "rarefy eval runs/topk test.npy",
            ),
            (
                "Print the metrics of a transcoder as JSON:",
                "rarefy eval runs/transcoder mlp_in.npy --target mlp_out.npy --json",
            ),
        ],
    ),
    (
        "latents",
        &[
            (
                "Show the latents of a run, with names from its texts or labels:",
                "rarefy latents runs/topk",
            ),
            (
                "Find latents that respond to words of the texts, or predict a column:",
                "rarefy latents runs/topk reviews.parquet --search refund\n      rarefy latents runs/topk reviews.parquet --target stars",
            ),
        ],
    ),
    (
        "encode",
        &[
            (
                "Write sparse codes for scipy.sparse.load_npz:",
                "rarefy encode runs/topk acts.npy --out codes.npz",
            ),
            (
                "Write dense latents for numpy.load:",
                "rarefy encode runs/topk acts.npy --out latents.npy",
            ),
        ],
    ),
];

/// Adds the examples to the help of the commands.
pub(super) fn add(mut command: Command) -> Command {
    for &(name, examples) in EXAMPLES {
        let text = text(examples);
        command = match name {
            "" => command.after_help(format!(
                "{text}\n\nFor the options of a command: rarefy COMMAND --help"
            )),
            _ => command.mut_subcommand(name, |inner| {
                let before = inner.get_after_help().map(ToString::to_string);
                let after = before.map_or(text.clone(), |before| format!("{before}\n\n{text}"));
                inner.after_help(after)
            }),
        };
    }
    command
}

/// Block of examples as the help shows it.
fn text(examples: &[Example]) -> String {
    let line = |(purpose, call): &Example| format!("  {purpose}\n      {call}");
    let lines: Vec<String> = examples.iter().map(line).collect();
    format!("Examples:\n{}", lines.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_valid_call() {
        let calls = EXAMPLES.iter().flat_map(|(_, examples)| *examples);
        for call in calls.flat_map(|(_, call)| call.lines()) {
            let words = call.split_whitespace();
            let parsed = super::super::command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{call}: {}", parsed.unwrap_err());
        }
    }
}
