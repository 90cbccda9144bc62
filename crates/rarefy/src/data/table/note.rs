//! Sentences on the columns of a table.

use crate::data::{Column, Role};

/// Fewest columns that are named alike, such as `x0` to `x7`, for another name to stand out.
const FEWEST_ALIKE: usize = 8;

/// Gives columns of data a reason if their names are unlike those of the rest.
///
/// A score or a class under a name that no rule knows would be an input without a word. Where the columns of data are named
/// by a word and a number (`e0` to `e383`) and few are not, those few are probably no inputs.
pub(super) fn mark_unlike(columns: &mut [Column]) {
    let is_data = |column: &&Column| column.role == Role::Data;
    let mut counts: Vec<(String, usize)> = Vec::new();
    for word in columns.iter().filter(is_data).filter_map(numbered) {
        match counts.iter_mut().find(|(known, _)| known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word.to_owned(), 1)),
        }
    }
    let Some((word, alike)) = counts.into_iter().max_by_key(|(_, count)| *count) else {
        return;
    };
    let data = columns.iter().filter(is_data).count();
    if alike < FEWEST_ALIKE || FEWEST_ALIKE * (data - alike) > alike {
        return;
    }
    let unlike =
        |column: &&mut Column| column.role == Role::Data && numbered(column) != Some(word.as_str());
    for column in columns.iter_mut().filter(unlike) {
        column.reason = "name unlike the rest".into();
    }
}

/// The word of a name that consists of a word and a number.
fn numbered(column: &Column) -> Option<&str> {
    let word = column.name.trim_end_matches(|c: char| c.is_ascii_digit());
    (word.len() < column.name.len()).then_some(word)
}

/// Sentence on the columns that are not data, or data that may be meant as a label; `None` if there are none.
pub(super) fn note(columns: &[Column]) -> Option<String> {
    let of = |role: Role| columns.iter().filter(move |column| column.role == role);
    let names = |role: Role| {
        listed(
            &of(role)
                .map(|column| column.name.clone())
                .collect::<Vec<_>>(),
        )
    };
    let data = of(Role::Data).count();
    let unlike = of(Role::Data).filter(|column| !column.reason.is_empty());
    let unlike: Vec<String> = unlike.map(|column| format!("`{}`", column.name)).collect();
    if data == columns.len() && unlike.is_empty() {
        return None;
    }
    let verb = if data == 1 { "is" } else { "are" };
    let count = columns.len();
    let mut parts = vec![format!(
        "{data} of {count} columns {verb} data: {}",
        names(Role::Data)
    )];
    for (role, title) in [(Role::Label, "label"), (Role::Text, "text")] {
        if of(role).next().is_some() {
            parts.push(format!("{title}: {}", names(role)));
        }
    }
    let rest = of(Role::Id).chain(of(Role::LeftOut));
    let rest: Vec<String> = rest
        .map(|column| match column.name.as_str() {
            "" => column.reason.clone(),
            name => format!("{name} ({})", column.reason),
        })
        .collect();
    if !rest.is_empty() {
        parts.push(format!("left out: {}", listed(&rest)));
    }
    if !unlike.is_empty() {
        let (verb, it) = match unlike.len() {
            1 => (
                "is an input",
                "its name is unlike the rest; a label or score is named",
            ),
            _ => (
                "are inputs",
                "their names are unlike the rest; a label or score is named",
            ),
        };
        parts.push(format!(
            "{} {verb} too, though {it} with `data.label`, and `data.exclude` leaves a column out",
            listed(&unlike)
        ));
    }
    Some(parts.join("; "))
}

/// Names with commas; of a long list the first and the last.
pub(super) fn listed(names: &[String]) -> String {
    const MOST: usize = 8;
    match names {
        [first @ .., last] if names.len() > MOST => {
            format!(
                "{}, ... {last} ({} columns)",
                first[..MOST - 2].join(", "),
                names.len()
            )
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[String]) -> Vec<Column> {
        let of = |name: &String| Column {
            name: name.clone(),
            kind: "f32".into(),
            role: Role::Data,
            reason: String::new(),
        };
        names.iter().map(of).collect()
    }

    fn unlike(names: &[String]) -> Vec<String> {
        let mut columns = columns(names);
        mark_unlike(&mut columns);
        let marked = columns
            .into_iter()
            .filter(|column| !column.reason.is_empty());
        marked.map(|column| column.name).collect()
    }

    fn numbered_and(word: &str, count: usize, others: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = (0..count).map(|at| format!("{word}{at}")).collect();
        names.extend(others.iter().map(ToString::to_string));
        names
    }

    #[test]
    fn few_names_beside_many_that_are_numbered_stand_out() {
        let table = numbered_and("p", 64, &["digit"]);
        assert_eq!(unlike(&table), ["digit"]);
        let note = note(&{
            let mut columns = columns(&table);
            mark_unlike(&mut columns);
            columns
        });
        assert!(note.unwrap().contains("`digit` is an input too"));
        assert_eq!(
            unlike(&numbered_and("e", 16, &["score", "age"])),
            ["score", "age"]
        );
        assert_eq!(unlike(&numbered_and("", 64, &["y"])), ["y"]);
    }

    #[test]
    fn names_without_a_common_word_do_not_stand_out() {
        let none: [String; 0] = [];
        assert_eq!(unlike(&numbered_and("x", 64, &[])), none);
        assert_eq!(unlike(&numbered_and("x", 8, &["age", "height"])), none);
        assert_eq!(unlike(&numbered_and("x", 4, &["y"])), none);
        let measures = ["width", "height", "depth"].map(String::from);
        assert_eq!(unlike(&measures), none);
        assert_eq!(note(&columns(&measures)), None);
    }
}
