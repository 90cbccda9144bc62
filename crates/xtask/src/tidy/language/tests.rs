//! Each rule of the language check, on small texts.

use super::*;

fn found(text: &str) -> Vec<String> {
    found_in("crates/rarefy/src/a.rs", text)
}

fn found_in(path: &str, text: &str) -> Vec<String> {
    let offences = offences(Path::new(path), text);
    let show = |offence: &Offence| format!("{}: {}", offence.line, offence.message);
    offences.iter().map(show).collect()
}

#[test]
fn doc_line_starting_with_pronoun_is_an_offence() {
    let text =
        "//! What a step found.\n\n/// True if kept.\n///\n/// They are counted.\nfn f() {}\n";
    let expected = [
        "1: doc line starts with `What`; name the noun instead",
        "5: doc line starts with `They`; name the noun instead",
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn pronoun_in_field_variant_and_list_is_an_offence() {
    let text = "struct S {\n    /// How long.\n    a: u8,\n}\nenum E {\n    /// Where the row is.\n    A,\n}\n/// Kinds of rows:\n/// - what is read\nfn f() {}\n";
    let lines: Vec<_> = found(text)
        .iter()
        .map(|line| line[..2].to_owned())
        .collect();
    assert_eq!(lines, ["2:", "6:", "10"]);
}

#[test]
fn wrapped_sentence_and_code_block_may_use_pronouns() {
    let text = "/// Row of the file\n/// where it starts.\n/// ```text\n/// What = 1\n/// ```\nfn f() {}\n// What a comment says is free.\n";
    assert!(found(text).is_empty(), "{:?}", found(text));
}

#[test]
fn longer_words_with_the_same_start_are_free() {
    let text = "/// Iterates over all rows.\nfn f() {}\n/// Whitening of all columns.\nfn g() {}\n";
    assert!(found(text).is_empty(), "{:?}", found(text));
}

#[test]
fn single_word_summary_of_a_public_item_is_an_offence() {
    let text = "/// Rows.\npub a: u8,\n/// Rows.\na: u8,\n/// Rows.\n#[allow(\n    unused\n)]\npub b: u8,\n";
    let expected = [
        "1: summary `Rows` is a single word",
        "5: summary `Rows` is a single word",
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn summary_starting_with_pointer_or_preposition_is_an_offence() {
    for start in [
        "The same for columns.",
        "As above.",
        "Its length.",
        "Of all rows.",
        "In bytes.",
    ] {
        let text = format!("/// {start}\npub fn f() {{}}\n");
        assert_eq!(found(&text).len(), 1, "{start}");
    }
    let text =
        "/// For each latent, its mean.\npub fn f() {}\n/// Offset of a row.\npub fn g() {}\n";
    assert!(found(text).is_empty(), "{:?}", found(text));
}

#[test]
fn summary_with_a_phrase_for_a_noun_is_an_offence() {
    for phrase in [
        "Sum of the others.",
        "Row and what it holds.",
        "Latents, each with its own.",
    ] {
        let text = format!("/// {phrase}\npub fn f() {{}}\n");
        assert_eq!(found(&text).len(), 1, "{phrase}");
    }
    assert!(found("/// Latents, each with its own threshold.\npub fn f() {}\n").is_empty());
}

#[test]
fn flag_in_a_message_of_the_library_is_an_offence() {
    let text = "fn f() {\n    // --k is free here\n    fail(\"expected a --k-start above 0\");\n    fail(r#\"a\n \"b\" --lr\"#);\n    let dash = \"--- a--b -- \";\n}\nmod tests {\n    const A: &str = \"--k\";\n}\n";
    let expected = [
        "3: message names the flag `--k-start`; name the field in backticks instead",
        "4: message names the flag `--lr`; name the field in backticks instead",
    ];
    assert_eq!(found(text), expected);
    assert!(found_in("crates/rarefy-cli/src/a.rs", text).is_empty());
    assert!(found_in("crates/rarefy/src/a/tests.rs", text).is_empty());
}

#[test]
fn flag_with_a_placeholder_is_an_offence() {
    let text = "fn f() {\n    format!(\"--{} {value}\", name);\n    format!(\"--{name}\");\n}\n";
    let expected = [
        "2: message names the flag `--{}`; name the field in backticks instead",
        "3: message names the flag `--{name}`; name the field in backticks instead",
    ];
    assert_eq!(found(text), expected);
    assert!(found_in("crates/rarefy-cli/src/a.rs", text).is_empty());
}

#[test]
fn vague_phrase_in_a_message_is_an_offence() {
    let text = "fn f() {\n    say(\"stopped; go on \\\n         with --resume\");\n    say(\"What is left\");\n    say(\"{what} is known\");\n}\n";
    let expected = [
        "2: message says `go on with`; write the noun that it stands for",
        "4: message says `what is`; write the noun that it stands for",
    ];
    for path in [
        "crates/rarefy-cli/src/a.rs",
        "crates/rarefy-report/src/a.rs",
    ] {
        assert_eq!(found_in(path, text), expected);
    }
    assert!(found_in("crates/rarefy-cli/tests/a.rs", text).is_empty());
    assert!(found_in("crates/xtask/src/a.rs", text).is_empty());
}

#[test]
fn string_scanner_skips_characters_and_lifetimes() {
    let text = "fn f<'a>(c: char) -> &'a str {\n    if c == '\"' || c == '\\'' { \"one\\\"\" } else { b\"two\" }\n}\n";
    let strings = literals::strings(text);
    assert_eq!(strings, [(2, "one\\\"".into()), (2, "two".into())]);
}

#[test]
fn test_name_starting_with_pronoun_is_an_offence() {
    let text = "#[test]\n#[ignore]\nfn what_cannot_be_is_refused() {}\nfn what_else() {}\n#[test]\nfn items_are_kept() {}\n";
    let expected = ["3: test name starts with `what_`; name its subject"];
    assert_eq!(found(text), expected);
}
