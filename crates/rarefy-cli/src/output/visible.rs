//! Text for a terminal: names, labels and paths come from files, and may hold control characters.

use std::borrow::Cow;
use std::fmt::Write;

/// Longest message in characters; the middle of a longer one is cut.
const LONGEST: usize = 4000;

/// True for characters that move the cursor, change colours or reorder the text around them.
fn is_hidden(c: char) -> bool {
    let reorders = matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    c.is_control() || reorders
}

/// Text of several lines without control and bidi characters, which are written as `\u001b`.
///
/// This form is also an escape of JSON, so that an object keeps its values.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_hidden(c) && c != '\n' && c != '\t')
}

/// Text of one line: as [`lines`], and a line break is written as `\n`.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// Message of one line, cut in the middle if it is very long.
pub fn message(text: &str) -> String {
    let count = text.chars().count();
    if count <= LONGEST {
        return line(text).into_owned();
    }
    let half = LONGEST / 2;
    let start: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(count - half).collect();
    let cut = count - 2 * half;
    format!(
        "{} ... ({cut} characters cut) ... {}",
        line(&start),
        line(&end)
    )
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if hidden(c) => out.push_str("\\n"),
            '\t' if hidden(c) => out.push_str("\\t"),
            c if hidden(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        let text = "a\u{1b}[31mb\u{202e}c\r\n\u{9b}\u{7f}é日\t";
        assert_eq!(
            lines(text),
            "a\\u001b[31mb\\u202ec\\u000d\n\\u009b\\u007fé日\t"
        );
        assert_eq!(line("a\nb\tc"), "a\\nb\\tc");
        assert!(matches!(lines("plain text, é\n"), Cow::Borrowed(_)));
        let json = format!("\"{}\"", lines("x\u{202e}\u{85}"));
        assert_eq!(
            serde_json::from_str::<String>(&json).unwrap(),
            "x\u{202e}\u{85}"
        );
    }

    #[test]
    fn long_message_is_cut_in_the_middle() {
        let names: Vec<String> = (0..60_000).map(|i| format!("name-{i}")).collect();
        let cut = message(&names.join(", "));
        assert!(cut.chars().count() < LONGEST + 60);
        assert!(
            cut.starts_with("name-0, ") && cut.ends_with("name-59999"),
            "{cut}"
        );
        assert!(cut.contains("characters cut"));
    }
}
