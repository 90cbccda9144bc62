//! The flags that come from the library's table: architectures' own options.
//!
//! Architectures may share an option's name and mean something a little different by it: other words,
//! another default, other values. There is one flag all the same; its help says what each means, and
//! the library checks the value for the one that is trained.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};
use rarefy::variants::{Kind, OptionInfo, VARIANTS};

/// What one architecture means by an option.
type Meaning = (&'static str, &'static OptionInfo);

/// A command that takes all of `train`'s flags, with every architecture's own.
pub(super) fn of_architectures(mut command: Command) -> Command {
    for (name, meanings) in by_name() {
        command = command.arg(argument(name, &meanings));
    }
    // So that `--seed -1` is told what is wrong with -1, not that there is no flag called -1.
    command.mut_args(|arg| {
        let number = arg
            .get_value_names()
            .is_some_and(|names| names.iter().any(|n| n == "N" || n == "X"));
        arg.allow_negative_numbers(number)
    })
}

/// The architectures' options that were given, as (key, text).
pub fn given_options(train: &ArgMatches) -> Vec<(&'static str, String)> {
    let given = |name: &'static str| Some((name, train.get_one::<String>(name)?.clone()));
    by_name().into_keys().filter_map(given).collect()
}

/// Each option's name once, with what each architecture that has it means.
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
        .help(help(meanings))
        .help_heading("Options of architectures");
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

/// The words of a choice.
fn words(kind: Kind) -> Option<&'static [&'static str]> {
    match kind {
        Kind::Choice(words) => Some(words),
        _ => None,
    }
}

/// Every meaning once, with the architectures that share it and the default.
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
    texts.join("; ")
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
    fn what_is_meant_alike_is_said_once() {
        let all = [("a", &EACH), ("b", &MEAN), ("c", &EACH), ("d", &MORE)];
        assert_eq!(
            help(&all),
            "Latents of a row [a, c; default: 32]; Latents of a row on average [b; default: 32]; \
             Latents of a row [d; default: 64]"
        );
    }

    fn parse(meanings: &[Meaning], words: &[&str]) -> Option<String> {
        let command = Command::new("x").arg(argument("k", meanings));
        let matches = command.try_get_matches_from([&["x"], words].concat());
        matches.ok()?.get_one::<String>("k").cloned()
    }

    /// A flag takes what any of its architectures takes.
    #[test]
    fn kinds_that_differ_are_put_together() {
        let both = [("a", &ONE), ("b", &THREE)];
        for word in ["one", "two", "three"] {
            assert_eq!(parse(&both, &["--k", word]).as_deref(), Some(word));
        }
        assert_eq!(parse(&both, &["--k", "four"]), None);
        // A count beside a number is a number; a count alone takes no sign.
        let mixed = [("a", &EACH), ("b", &MEAN)];
        assert_eq!(parse(&mixed, &["--k", "-1"]).as_deref(), Some("-1"));
        assert_eq!(parse(&mixed[..1], &["--k", "-1"]), None);
    }

    /// Meanings that differ must be told: `list` has a text for each architecture, `--help` has one flag.
    #[test]
    fn every_meaning_of_the_table_is_told() {
        for (name, meanings) in by_name() {
            let told = help(&meanings);
            for (arch, option) in meanings {
                assert!(told.contains(option.help), "{name} of {arch}: {told}");
                assert!(told.contains(arch), "{name} of {arch}: {told}");
            }
        }
    }
}
