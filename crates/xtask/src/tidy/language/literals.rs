//! String literals of a Rust source, without those in comments.

/// Line and content of each string literal; escapes stay as they are written.
pub(super) fn strings(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(c) = rest.chars().next() {
        let token = token(rest, c);
        if let Some(content) = token.literal {
            found.push((line, content.to_owned()));
        }
        line += rest[..token.length].matches('\n').count();
        rest = &rest[token.length..];
    }
    found
}

/// A piece of source: its length in bytes and, for a string, its content.
struct Token<'a> {
    length: usize,
    literal: Option<&'a str>,
}

fn token(rest: &str, first: char) -> Token<'_> {
    let plain = |length| Token {
        length,
        literal: None,
    };
    match first {
        '/' if rest.starts_with("//") => plain(rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => plain(rest.find("*/").map_or(rest.len(), |at| at + 2)),
        '"' => quoted(rest),
        'r' if rest[1..].starts_with(['"', '#']) => raw(rest).unwrap_or(plain(1)),
        '\'' => plain(character(rest)),
        c if c.is_alphanumeric() || c == '_' => plain(word(rest)),
        c => plain(c.len_utf8()),
    }
}

fn quoted(rest: &str) -> Token<'_> {
    let mut is_escaped = false;
    let end = rest[1..].find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    let end = end.map_or(rest.len(), |at| at + 1);
    Token {
        length: (end + 1).min(rest.len()),
        literal: Some(&rest[1..end]),
    }
}

fn raw(rest: &str) -> Option<Token<'_>> {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let start = hashes + 2;
    let content = rest[1 + hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = content.find(&close)?;
    Some(Token {
        length: start + end + close.len(),
        literal: Some(&content[..end]),
    })
}

/// Length of a character literal, or 1 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            let end = chars.skip(1).find(|(_, c)| *c == '\'');
            end.map_or(1, |(at, _)| at + 1)
        }
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// Length of an identifier or number; a prefix such as `b` before a quote stays alone.
fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len())
}
