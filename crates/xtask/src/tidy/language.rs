//! Language check: doc comments name their item, messages name their nouns, and the library names no flags.

mod literals;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{Text, texts};
use crate::root;

/// First words of a doc line that leave out its noun.
const RIDDLES: &[&str] = &[
    "What", "Whether", "Which", "Who", "Whose", "How", "Where", "It", "They", "These", "Those",
    "Them",
];

/// First words of a summary that point at another text.
const POINTERS: &[&str] = &[
    "The same",
    "The other",
    "The others",
    "The rest",
    "As",
    "Of",
    "Itself",
    "Themselves",
    "Its",
    "Their",
    "This",
    "That",
    "Ditto",
    "Likewise",
    "Same",
];

/// First words of a summary that is a lone prepositional phrase unless a comma or colon follows.
const PREPOSITIONS: &[&str] = &[
    "In", "On", "At", "By", "To", "From", "For", "With", "Without", "Into", "Above", "Below",
    "Beside", "Between", "Under", "Over", "After", "Before",
];

/// Phrases of a summary that stand for a noun.
const PHRASES: &[&str] = &[
    "the others",
    "what it",
    "what is",
    "what they",
    "what there",
    "how it",
    "how they",
];

/// Prefixes of a test's name that leave out its subject.
const TEST_PREFIXES: &[&str] = &["what_", "whether_", "which_", "who_", "it_", "they_"];

/// Folders of the library. Its messages name fields and not flags.
const LIBRARY: &[&str] = &["crates/rarefy/src", "crates/rarefy-kernels/src"];

/// Folders of the program, with messages beside those of the library.
const PROGRAM: &[&str] = &["crates/rarefy-cli/src", "crates/rarefy-report/src"];

/// Phrases of a message that stand for a noun.
const VAGUE: &[&str] = &[
    "what it",
    "what is",
    "what they",
    "what there",
    "what the",
    "go on with",
    "going on",
    "is there",
    "are there",
    "left over",
    "taken off",
    "anew",
    "one of none",
];

/// One offence.
struct Offence {
    /// Line number, from 1.
    line: usize,
    /// Message for the writer.
    message: String,
}

/// Prints the offences below `paths`, or in all crates if there are none.
///
/// # Errors
/// Fails if there is an offence.
pub fn list(paths: &[PathBuf]) -> Result<()> {
    let inside: Vec<PathBuf> = paths.iter().map(|path| from_root(path)).collect();
    let meant = |file: &&Text| match inside.as_slice() {
        [] => file.path.starts_with("crates"),
        some => some.iter().any(|path| file.path.starts_with(path)),
    };
    let files = texts()?;
    let mut lines = Vec::new();
    for file in files.iter().filter(meant) {
        report(file, &mut lines);
    }
    lines.iter().for_each(|line| println!("{line}"));
    match lines.len() {
        0 => Ok(()),
        count => bail!("{count} offences against plain language"),
    }
}

/// Adds the offences in all crates to the faults of `tidy`.
pub(super) fn check(files: &[Text], faults: &mut Vec<String>) {
    for file in files.iter().filter(|file| file.path.starts_with("crates")) {
        report(file, faults);
    }
}

/// Path relative to the workspace's root, as `git ls-files` prints it.
fn from_root(path: &Path) -> PathBuf {
    let absolute = path.canonicalize().unwrap_or_else(|_| root().join(path));
    let root = root().canonicalize().unwrap_or_else(|_| root());
    absolute.strip_prefix(root).unwrap_or(path).into()
}

fn report(file: &Text, lines: &mut Vec<String>) {
    if !file.is("rs") {
        return;
    }
    let path = file.path.display();
    for Offence { line, message } in offences(&file.path, &file.text) {
        lines.push(format!("{path}:{line}: {message}"));
    }
}

/// All offences in one source file, by line.
fn offences(path: &Path, text: &str) -> Vec<Offence> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let length = lines[at..].iter().take_while(|line| is_doc(line)).count();
        if length > 0 {
            let block: Vec<&str> = lines[at..at + length]
                .iter()
                .filter_map(|line| doc(line))
                .collect();
            let item = item_after(&lines[at + length..]);
            riddles(&block, at + 1, &mut found);
            summary(&block, item, at + 1, &mut found);
        }
        at += length.max(1);
    }
    test_names(&lines, &mut found);
    messages(path, text, &mut found);
    found.sort_by_key(|offence| offence.line);
    found
}

/// Text of a doc comment's line, without the marker.
fn doc(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line
        .strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"))?;
    let text = text.strip_prefix(' ').unwrap_or(text);
    (!text.starts_with('/')).then_some(text)
}

fn is_doc(line: &str) -> bool {
    doc(line).is_some()
}

/// First line of code after a doc comment: the item, without its attributes.
fn item_after<'a>(lines: &[&'a str]) -> &'a str {
    let mut open = 0_i32;
    for line in lines.iter().map(|line| line.trim()) {
        let is_attribute = open > 0 || line.starts_with("#[");
        if is_attribute {
            open += bracket_balance(line);
        } else if !line.is_empty() && !line.starts_with("//") {
            return line;
        }
    }
    ""
}

/// Opening brackets less closing ones.
fn bracket_balance(line: &str) -> i32 {
    line.chars().fold(0, |sum, c| match c {
        '[' | '(' => sum + 1,
        ']' | ')' => sum - 1,
        _ => sum,
    })
}

/// Doc lines, outside of code blocks, that start with a word without a noun.
fn riddles(block: &[&str], first: usize, found: &mut Vec<Offence>) {
    let mut is_code = false;
    let mut opens_paragraph = true;
    for (offset, line) in block.iter().enumerate() {
        let line = line.trim_start();
        if line.starts_with("```") {
            is_code = !is_code;
            opens_paragraph = true;
            continue;
        }
        let text = line.strip_prefix("- ").unwrap_or(line);
        let starts = opens_paragraph || text != line;
        let same = |word: &&&str| {
            if starts {
                starts_with_word(&capitalised(text), word)
            } else {
                starts_with_word(text, word)
            }
        };
        if let Some(word) = RIDDLES.iter().find(same).filter(|_| !is_code) {
            let message = format!("doc line starts with `{word}`; name the noun instead");
            let line = first + offset;
            found.push(Offence { line, message });
        }
        opens_paragraph = line.is_empty() || line.starts_with('#');
    }
}

/// Summaries of an item that lack a noun.
fn summary(block: &[&str], item: &str, first: usize, found: &mut Vec<Offence>) {
    let goes_on = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with("- ");
    let paragraph = block.iter().take_while(goes_on);
    let paragraph = paragraph.copied().collect::<Vec<_>>().join(" ");
    let sentence = paragraph.split_once(". ").map_or(&*paragraph, |(a, _)| a);
    let sentence = sentence.trim().trim_end_matches(['.', ':']);
    let mut offend = |message: String| {
        found.push(Offence {
            line: first,
            message,
        });
    };
    if sentence.is_empty() {
        return;
    }
    if is_public(item) && sentence.split_whitespace().count() < 2 {
        offend(format!("summary `{sentence}` is a single word"));
    }
    let starts = |words: &&&str| starts_with_word(sentence, words);
    if let Some(words) = POINTERS.iter().find(starts) {
        offend(format!("summary starts with `{words}`; name the noun"));
    }
    if let Some(word) = PREPOSITIONS.iter().find(starts)
        && !sentence.contains([',', ':'])
    {
        offend(format!(
            "summary starts with the preposition `{word}` and has no noun before it"
        ));
    }
    let lower = sentence.to_lowercase();
    if let Some(phrase) = PHRASES.iter().find(|phrase| has_words(&lower, phrase)) {
        offend(format!(
            "summary says `{phrase}`; write the noun that it stands for"
        ));
    }
    if ends_in_own(&lower) {
        offend("summary says `its own` without a noun".into());
    }
}

/// True for an item that other crates see: `pub`, or a variant of an enum.
fn is_public(item: &str) -> bool {
    item.starts_with("pub ") || item.starts_with(|c: char| c.is_uppercase())
}

/// True if "own" after a pronoun ends a phrase.
fn ends_in_own(text: &str) -> bool {
    ["its own", "their own"].iter().any(|own| {
        text.match_indices(own)
            .any(|(at, _)| !text[at + own.len()..].starts_with(' '))
    })
}

/// Names of tests that start with a pronoun.
fn test_names(lines: &[&str], found: &mut Vec<Offence>) {
    let mut is_test = false;
    for (at, line) in lines.iter().map(|line| line.trim()).enumerate() {
        if line == "#[test]" {
            is_test = true;
        }
        let Some((_, name)) = line.split_once("fn ").filter(|_| is_test) else {
            continue;
        };
        is_test = false;
        if let Some(prefix) = TEST_PREFIXES
            .iter()
            .find(|prefix| name.starts_with(**prefix))
        {
            let message = format!("test name starts with `{prefix}`; name its subject");
            let line = at + 1;
            found.push(Offence { line, message });
        }
    }
}

/// Vague phrases in messages, and names of flags in those of the library.
fn messages(path: &Path, text: &str, found: &mut Vec<Offence>) {
    let is_below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    let (is_library, is_program) = (is_below(LIBRARY), is_below(PROGRAM));
    let is_test = path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
    if !(is_library || is_program) || is_test {
        return;
    }
    let code = text.split("\nmod tests {").next().unwrap_or(text);
    for (line, literal) in literals::strings(code) {
        if let Some(flag) = flag_in(&literal).filter(|_| is_library) {
            let message =
                format!("message names the flag `{flag}`; name the field in backticks instead");
            found.push(Offence { line, message });
        }
        if let Some(phrase) = vague_in(&literal) {
            let message = format!("message says `{phrase}`; write the noun that it stands for");
            found.push(Offence { line, message });
        }
    }
}

/// First vague phrase of a literal, which may be continued on further lines.
fn vague_in(literal: &str) -> Option<&'static str> {
    let words = literal.split_whitespace().filter(|word| *word != "\\");
    let text = words.collect::<Vec<_>>().join(" ").to_lowercase();
    VAGUE
        .iter()
        .copied()
        .find(|phrase| has_words(&text, phrase))
}

/// First flag of a text: `--word`, or `--{}` with a placeholder for the word.
fn flag_in(text: &str) -> Option<&str> {
    text.match_indices("--").find_map(|(at, dashes)| {
        let before = text[..at].chars().next_back();
        let after = &text[at + dashes.len()..];
        let is_flag = before.is_none_or(|c| c != '-' && !c.is_alphanumeric())
            && after.starts_with(|c: char| c.is_ascii_lowercase() || c == '{');
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && !"-{}".contains(c));
        is_flag.then(|| &text[at..at + dashes.len() + end.unwrap_or(after.len())])
    })
}

/// True if the words stand in the text, not as part of longer words.
fn has_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + words.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// True if the text starts with these words and not with longer ones.
fn starts_with_word(text: &str, words: &str) -> bool {
    text.strip_prefix(words)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Text with a first letter in upper case.
fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(rest).collect()
}

#[cfg(test)]
mod tests;
