//! Names of options in other libraries, answered with ours. The nearest spelling of ours often means something else:
//! `--lambda` is no `--label`.

use clap::error::{ContextKind, ContextValue};

/// Names, without the two dashes, and the answer.
const NAMES: &[(&[&str], &str)] = &[
    (
        &[
            "hidden",
            "hidden-size",
            "hidden-dim",
            "hidden-units",
            "d-hidden",
            "d-sae",
            "dict-size",
            "dictionary-size",
            "n-latents",
            "num-latents",
            "latent-dim",
            "n-features",
            "n-hidden",
            "num-hidden",
            "features",
            "n-components",
            "width",
            "neurons",
            "units",
            "encoding-dim",
        ],
        "the number of latents is set with --latents N",
    ),
    (
        &[
            "expansion",
            "expansion-factor",
            "exp-factor",
            "expansion-ratio",
        ],
        "the number of latents is set with --latents N: the expansion times the number of values in a row",
    ),
    (
        &[
            "lambda",
            "l1-coefficient",
            "l1-coeff",
            "l1-penalty",
            "l1-lambda",
            "l1-weight",
            "alpha",
            "sparsity-coefficient",
            "sparsity-penalty",
            "sparsity-weight",
            "sparsityregularization",
        ],
        "the weight of the sparsity penalty is set with --beta X (kl), --l1 X (relu, gated) or --l0 X (jumprelu); topk and \
         its kin have --k N in its place. The lecture's lambda, the weight decay of kl, is set with --weight-decay X. \
         `rarefy explain DATA --arch relu --from saelens:l1=5` converts another library's coefficient",
    ),
    (
        &["sparsity", "sparseness"],
        "how sparse the codes are is set with --rho X (kl: the target mean activation), --k N (topk, batch-topk and others: \
         active latents of a row), --l1 X (relu, gated: weight of the penalty) or --l0 X (jumprelu)",
    ),
    (
        &["kl-weight", "kl-coefficient", "kl-coeff", "kl-penalty"],
        "the weight of the KL penalty is set with --beta X",
    ),
    (
        &["k-aux", "auxk", "aux-topk", "top-k-aux"],
        "the number of dead latents of a row in the auxiliary loss is set with --aux-k N",
    ),
    (
        &[
            "auxk-alpha",
            "aux-alpha",
            "auxk-coef",
            "aux-coef",
            "aux-loss-coefficient",
        ],
        "the weight of the auxiliary loss is set with --aux-coefficient X",
    ),
    (
        &[
            "activation-dim",
            "d-in",
            "d-model",
            "input-dim",
            "input-size",
            "n-inputs",
            "act-size",
        ],
        "there is none: the width is that of the data",
    ),
    (
        &["texts", "labels"],
        "training has no use for them; give the file to `rarefy latents RUN --texts FILE` and `rarefy report RUN --texts FILE`",
    ),
    (
        &["l0-coefficient", "l0-lambda", "l0-penalty", "l0-coeff"],
        "the weight of the L0 penalty of jumprelu is set with --l0 X",
    ),
    (
        &[
            "sparsity-target",
            "target-sparsity",
            "sparsity-param",
            "rho-target",
            "sparsityproportion",
        ],
        "the target activation of kl is set with --rho X, the number of active latents of topk with --k N",
    ),
    (
        &[
            "top-k",
            "topk",
            "n-active",
            "num-active",
            "active",
            "n-nonzero",
        ],
        "the number of active latents is set with --arch topk --k N",
    ),
    (
        &["learning-rate", "lr-rate", "eta"],
        "the learning rate is set with --lr X",
    ),
    (
        &[
            "batch-size",
            "minibatch",
            "train-batch-size",
            "train-batch-size-tokens",
            "bs",
        ],
        "the number of rows in a batch is set with --batch N",
    ),
    (
        &["n-epochs", "num-epochs", "max-epochs", "passes"],
        "the number of passes over the rows is set with --epochs N",
    ),
    (
        &[
            "n-steps",
            "num-steps",
            "max-steps",
            "iterations",
            "n-iter",
            "max-iter",
            "training-tokens",
            "n-tokens",
            "num-tokens",
        ],
        "the length of training is set with --steps N, in batches, or with --epochs N",
    ),
    (
        &[
            "activation",
            "activation-fn",
            "architecture",
            "model",
            "variant",
            "sae-type",
            "type",
            "kl",
        ],
        "the architecture is set with --arch NAME; `rarefy list architectures` shows all",
    ),
    (
        &[
            "device", "cuda", "gpu", "mps", "dtype", "bf16", "fp16", "compile",
        ],
        "there is none: training runs on the processor, in f32; --threads N sets the number of threads",
    ),
    (
        &["random-state", "random-seed", "manual-seed"],
        "the seed is set with --seed N",
    ),
    (
        &[
            "output",
            "output-dir",
            "out-dir",
            "output-path",
            "save-dir",
            "save-path",
            "save",
            "checkpoint-path",
            "logdir",
        ],
        "the folder of the run is set with --out FOLDER",
    ),
    (
        &[
            "normalize",
            "normalise",
            "normalize-activations",
            "normalisation",
            "standardize",
            "scaling",
            "whiten",
            "whitening",
        ],
        "preprocessing is set with --preprocess STEP,...: standardise, norm-average (SAELens's expected_average_only_in), \
         norm-row, pca and others; `rarefy list preprocessing` shows all",
    ),
    (
        &[
            "val-split",
            "validation-split",
            "validation",
            "test-size",
            "eval-split",
            "heldout",
            "hold-out",
        ],
        "the number of held-out rows is set with --holdout N [default: a twentieth]",
    ),
    (
        &[
            "warmup",
            "warmup-steps",
            "lr-warm-up-steps",
            "lr-warmup-steps",
        ],
        "the warm-up of the learning rate is set with --lr-warmup N",
    ),
    (
        &[
            "resume-from",
            "resume-from-checkpoint",
            "load",
            "checkpoint",
        ],
        "a run is continued with --out FOLDER --resume; weights of another model are the start with --init MODEL",
    ),
    (
        &[
            "l2",
            "l2-penalty",
            "l2-coefficient",
            "wd",
            "l2weightregularization",
        ],
        "the weight decay of kl is set with --weight-decay X",
    ),
    (
        &[
            "wandb",
            "log-to-wandb",
            "use-wandb",
            "wandb-project",
            "log-wandb",
        ],
        "there is none: --tensorboard writes event files, which wandb can import, and a run folder has metrics.jsonl",
    ),
    (
        &[
            "matryoshka-widths",
            "widths",
            "prefixes",
            "group-fractions",
            "group-sizes",
        ],
        "the levels of matryoshka are set with --levels X,... as shares of the latents: 0.125,0.5 for 128 and 512 of 1024",
    ),
    (
        &["jumprelu-bandwidth"],
        "the width of jumprelu's window is set with --bandwidth X",
    ),
    (
        &[
            "l1-warm-up-steps",
            "l1-warmup-steps",
            "sparsity-warmup-steps",
            "l0-warm-up-steps",
        ],
        "the warm-up of the sparsity penalty is set with --sparsity-warmup N",
    ),
    (
        &["decay-start", "lr-decay-steps", "lr-decay-start"],
        "the decay of the learning rate at the end is set with --lr-decay N, in steps",
    ),
    (
        &[
            "feature-sampling-window",
            "dead-feature-window",
            "dead-feature-threshold",
            "dead-steps-threshold",
        ],
        "the number of silent rows after which a latent is dead is set with --dead-after N",
    ),
    (
        &["l0-target", "active-latents"],
        "the wanted number of active latents is set with --k N (topk and others) or --target-l0 N (jumprelu)",
    ),
    (
        &["data", "input", "dataset", "dataset-path", "data-path"],
        "the data is given without an option: `rarefy train DATA`, `rarefy encode RUN DATA --out FILE`",
    ),
    (
        &["verbose"],
        "there is none: a terminal shows progress, --log-every N prints lines of it, --timings the time of each part, and a run folder has metrics.jsonl",
    ),
    (
        &["num-workers", "workers", "n-jobs", "jobs"],
        "the number of threads is set with --threads N [default: all]",
    ),
];

/// Commands that people try, and ours.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["export", "save"],
        "a model is written in another library's format with `rarefy convert RUN --out FOLDER`",
    ),
    (
        &["search", "find"],
        "latents are searched by the texts of their rows with `rarefy latents RUN --search WORDS`",
    ),
    (
        &[
            "explorer",
            "explore",
            "view",
            "show",
            "serve",
            "dashboard",
            "html",
        ],
        "the explorer is the page report.html of a run; `rarefy report RUN` writes it again, also on other data",
    ),
    (
        &["features", "neurons", "latent"],
        "latents are shown with `rarefy latents RUN`",
    ),
    (
        &["fit", "run"],
        "a model is trained with `rarefy train DATA`",
    ),
    (
        &["transform", "predict", "embed"],
        "rows are encoded with `rarefy encode RUN DATA --out codes.npz`",
    ),
    (
        &["evaluate", "test", "metrics", "score"],
        "a model is evaluated with `rarefy eval RUN`",
    ),
    (
        &["sweep", "grid"],
        "several sparsities are compared with `rarefy frontier DATA --k 8,16,32`",
    ),
    (
        &["info", "describe", "head"],
        "data is summarised with `rarefy data info DATA`, a model with `rarefy inspect RUN`",
    ),
    (
        &["generate", "simulate", "toy"],
        "rows of a known dictionary are drawn with `rarefy synth`",
    ),
];

/// Answer to a command that is none; `None` for others.
pub(super) fn command(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let name = given.to_lowercase();
    let (_, answer) = COMMANDS.iter().find(|(names, _)| names.contains(&&*name))?;
    Some(format!("error: unknown command {given}\nhint: {answer}"))
}

/// Answer to an unknown option that another library has; `None` for others.
pub(super) fn answer(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let name = given.trim_start_matches('-').split('=').next()?;
    let name = name.to_lowercase().replace('_', "-");
    let (_, answer) = NAMES.iter().find(|(names, _)| names.contains(&&*name))?;
    Some(format!("error: unknown option {given}\nhint: {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn of(option: &str) -> Option<String> {
        let matches = command().try_get_matches_from(["rarefy", "train", option, "5"]);
        answer(&matches.unwrap_err())
    }

    #[test]
    fn options_of_other_libraries_are_answered_with_ours() {
        for (option, expected) in [
            ("--hidden", "--latents N"),
            ("--d_sae", "--latents N"),
            ("--expansion", "the expansion times"),
            ("--lambda", "--weight-decay X"),
            ("--sparsity", "--rho X"),
            ("--texts", "rarefy latents RUN"),
            ("--l1-coefficient", "--l1 X"),
            ("--device", "runs on the processor"),
            ("--learning_rate", "--lr X"),
        ] {
            let answer = of(option).unwrap_or_else(|| panic!("{option} is answered"));
            assert!(answer.contains(expected), "{option}: {answer}");
        }
        assert_eq!(of("--latentz"), None);
    }

    /// Every option that an answer names exists, and no name is an option of `train`.
    #[test]
    fn answers_name_options_that_exist() {
        let longs = |command: &clap::Command| -> Vec<String> {
            let names = command.get_arguments().filter_map(clap::Arg::get_long);
            names.map(|name| format!("--{name}")).collect()
        };
        let anywhere: Vec<String> = command().get_subcommands().flat_map(longs).collect();
        let of_train = longs(&crate::cli::named("train"));
        for (names, answer) in NAMES {
            let words = answer.split([' ', ',', ':', ';', '`', '.']);
            for option in words.filter(|word| word.starts_with("--")) {
                assert!(
                    anywhere.iter().any(|long| long == option),
                    "{option} in `{answer}`"
                );
            }
            for name in *names {
                assert!(!of_train.contains(&format!("--{name}")), "--{name} is ours");
            }
        }
    }

    #[test]
    fn unknown_commands_are_answered_with_ours() {
        let names: Vec<String> = command()
            .get_subcommands()
            .map(|c| c.get_name().into())
            .collect();
        for (unknown, answer) in COMMANDS {
            for name in *unknown {
                let error = command()
                    .try_get_matches_from(["rarefy", name])
                    .unwrap_err();
                assert!(
                    super::command(&error).is_some_and(|text| text.ends_with(answer)),
                    "{name}"
                );
            }
            for call in answer.split("`rarefy ").skip(1) {
                let ours = call.split([' ', '`']).next().unwrap();
                assert!(names.iter().any(|name| name == ours), "{ours}");
            }
        }
    }
}
