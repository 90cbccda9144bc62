//! Flags of the architectures' options, generated from the library's table.
//!
//! Two architectures may have an option of the same name with another meaning, default or range. Such an option is one
//! flag. Its help text lists every meaning, and the library checks the value for the architecture that is trained.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};
use rarefy::variants::{Info, Kind, OptionInfo, VARIANTS};

/// Architectures' options that the short help shows; the long help shows all.
const COMMON: [&str; 7] = ["k", "l1", "l0", "target_l0", "rho", "beta", "weight_decay"];

/// Architecture and its entry for an option.
type Meaning = (&'static str, &'static OptionInfo);

/// Adds the options of all architectures to a command.
pub(super) fn with_architectures(mut command: Command) -> Command {
    for (name, meanings) in by_name() {
        let shown = COMMON.contains(&name);
        command = command.arg(argument(name, &meanings).hide_short_help(!shown));
    }
    command
}

/// Shows only the options of one architecture, with the meanings that they have there, in the long and the short help.
pub(super) fn only_of(mut command: Command, arch: &Info) -> Command {
    for (name, meanings) in by_name() {
        let own: Vec<Meaning> = meanings
            .into_iter()
            .filter(|(of, _)| *of == arch.name)
            .collect();
        command = command.mut_arg(name, |argument| match own.first() {
            Some((_, option)) => {
                let (help, default) = (option.help, option.default);
                argument
                    .long_help(format!("{help} [default: {default}]"))
                    .help(format!("{} [default: {default}]", first_clause(help)))
                    .hide_short_help(false)
            }
            None => argument.hide(true),
        });
    }
    command.about(format!("{}: {}.", arch.name, arch.summary))
}

/// Architectures' options on the command line, as (key, text).
pub fn given_options(train: &ArgMatches) -> Vec<(&'static str, String)> {
    let given = |name: &'static str| Some((name, train.get_one::<String>(name)?.clone()));
    by_name().into_keys().filter_map(given).collect()
}

/// Options by name, each with the entries of all architectures that have it.
fn by_name() -> BTreeMap<&'static str, Vec<Meaning>> {
    let mut options: BTreeMap<_, Vec<Meaning>> = BTreeMap::new();
    for info in VARIANTS {
        for option in info.options() {
            options
                .entry(option.name)
                .or_default()
                .push((info.name, option));
        }
    }
    options
}

fn argument(name: &'static str, meanings: &[Meaning]) -> Arg {
    let argument = Arg::new(name)
        .long(name.replace('_', "-"))
        .help(short_help(meanings))
        .long_help(help(meanings))
        .help_heading("Architecture options");
    let kinds = || meanings.iter().map(|(_, option)| option.kind);
    if kinds().all(|kind| kind == Kind::Flag) {
        return argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
            .value_parser(["true", "false"]);
    }
    if let Some(words) = kinds().map(words).collect::<Option<Vec<_>>>() {
        let mut once: Vec<&str> = Vec::new();
        for word in words.concat() {
            if !once.contains(&word) {
                once.push(word);
            }
        }
        return argument.value_name("WORD").value_parser(once);
    }
    if kinds().any(|kind| kind == Kind::Numbers) {
        return argument.value_name("X,X,...");
    }
    if kinds().all(|kind| matches!(kind, Kind::Count(_) | Kind::AutoCount(_))) {
        return argument.value_name("N");
    }
    argument.value_name("X").allow_negative_numbers(true)
}

/// Words of a choice, or `None` for other kinds.
fn words(kind: Kind) -> Option<&'static [&'static str]> {
    match kind {
        Kind::Choice(words) => Some(words),
        _ => None,
    }
}

/// Help text of an option: each distinct meaning once, with its architectures and default.
fn help(meanings: &[Meaning]) -> String {
    let mut told: Vec<(&OptionInfo, Vec<&str>)> = Vec::new();
    for &(arch, option) in meanings {
        let same = told
            .iter_mut()
            .find(|(other, _)| (other.help, other.default) == (option.help, option.default));
        match same {
            Some((_, archs)) => archs.push(arch),
            None => told.push((option, vec![arch])),
        }
    }
    let texts: Vec<String> = told
        .iter()
        .map(|(option, archs)| {
            let (help, default) = (option.help, option.default);
            format!("{help} [{}; default: {default}]", archs.join(", "))
        })
        .collect();
    texts.join("\n")
}

/// First clause of the first meaning, with all architectures that have the option.
fn short_help(meanings: &[Meaning]) -> String {
    let archs: Vec<&str> = meanings.iter().map(|(arch, _)| *arch).collect();
    let clause = meanings
        .first()
        .map(|(_, option)| first_clause(option.help));
    format!("{} [{}]", clause.unwrap_or_default(), archs.join(", "))
}

fn first_clause(help: &str) -> &str {
    let sentence = help.split(';').next().unwrap_or(help);
    sentence.split(". ").next().unwrap_or(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rarefy::variants::Unit;

    const fn option(help: &'static str, default: &'static str, kind: Kind) -> OptionInfo {
        OptionInfo {
            name: "k",
            help,
            kind,
            default,
            unit: Unit::number,
        }
    }

    const EACH: OptionInfo = option("Latents of a row", "32", Kind::Count(1));
    const MEAN: OptionInfo = option("Latents of a row on average", "32", Kind::AtLeast(0.0));
    const MORE: OptionInfo = option("Latents of a row", "64", Kind::Count(1));

    const ONE: OptionInfo = option("", "one", Kind::Choice(&["one", "two"]));
    const THREE: OptionInfo = option("", "three", Kind::Choice(&["three", "two"]));

    #[test]
    fn help_lists_equal_meanings_once() {
        let all = [("a", &EACH), ("b", &MEAN), ("c", &EACH), ("d", &MORE)];
        assert_eq!(
            help(&all),
            "Latents of a row [a, c; default: 32]\nLatents of a row on average [b; default: 32]\n\
             Latents of a row [d; default: 64]"
        );
        assert_eq!(short_help(&all), "Latents of a row [a, b, c, d]");
    }

    fn parse(meanings: &[Meaning], words: &[&str]) -> Option<String> {
        let command = Command::new("x").arg(argument("k", meanings));
        let matches = command.try_get_matches_from([&["x"], words].concat());
        matches.ok()?.get_one::<String>("k").cloned()
    }

    #[test]
    fn flag_accepts_values_of_all_its_architectures() {
        let both = [("a", &ONE), ("b", &THREE)];
        for word in ["one", "two", "three"] {
            assert_eq!(parse(&both, &["--k", word]).as_deref(), Some(word));
        }
        assert_eq!(parse(&both, &["--k", "four"]), None);
        // Count and number together accept a sign; a count alone does not.
        let mixed = [("a", &EACH), ("b", &MEAN)];
        assert_eq!(parse(&mixed, &["--k", "-1"]).as_deref(), Some("-1"));
        assert_eq!(parse(&mixed[..1], &["--k", "-1"]), None);
    }

    /// `list` has one text per architecture and `--help` one per flag, so the flag's text must contain all of them.
    #[test]
    fn help_names_every_architecture_with_the_option() {
        for (name, meanings) in by_name() {
            let told = help(&meanings);
            for (arch, option) in meanings {
                assert!(told.contains(option.help), "{name} of {arch}: {told}");
                assert!(told.contains(arch), "{name} of {arch}: {told}");
            }
        }
    }
}
