//! Roles of the columns of a table, by option, type and name: the same rules for every format.

use std::path::Path;

use super::named::{check_apart, chosen, matching, only, with_usual};
use super::note::{self, listed};
use super::{Field, Kind};
use crate::data::{Column, OpenOptions, Role};
use crate::{Error, Result};

/// Names of columns that hold labels.
const LABELS: [&str; 7] = [
    "label", "labels", "class", "target", "word", "name", "category",
];
/// Names of columns that hold texts.
const TEXTS: [&str; 8] = [
    "text", "sentence", "prompt", "token", "content", "document", "review", "title",
];
/// Names of columns that hold lists of tokens, and of masks of tokens.
const TOKENS: [&str; 3] = ["token_ids", "input_ids", "tokens"];
const TOKEN_MASKS: [&str; 4] = [
    "attention_mask",
    "special_tokens_mask",
    "token_type_ids",
    "position_ids",
];
/// Names of columns that number or name the rows.
const IDS: [&str; 8] = ["id", "idx", "index", "row", "row_id", "uuid", "guid", "key"];

/// True if a column of this name may hold labels, texts or ids, whose cells are kept as they are written.
pub(super) fn is_named_text(name: &str, options: &OpenOptions) -> bool {
    let name = Some(name);
    is_one_of(&LABELS, name)
        || is_one_of(&TEXTS, name)
        || [&options.label, &options.usual.label]
            .iter()
            .any(|label| label.as_deref() == name)
        || [&options.text, &options.usual.text]
            .iter()
            .any(|text| text.as_deref() == name)
}

/// True if a column of this name may hold lists of tokens.
pub(super) fn is_of_tokens(name: &str) -> bool {
    is_one_of(&TOKENS, Some(name))
}

fn is_one_of(names: &[&str], name: Option<&str>) -> bool {
    name.is_some_and(|name| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// True if a column of this name numbers or names the rows.
fn is_id_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    is_one_of(&IDS, Some(name))
        || lower.ends_with("_id")
        || lower.starts_with("__index_level_")
        || lower.starts_with("unnamed: ")
}

/// Columns with their roles.
pub(super) struct Roles {
    /// In the order of the file, but columns of data in the order of their values in a row.
    pub(super) columns: Vec<Column>,
    /// Numbers of the data columns, in the order of their values in a row.
    pub(super) data: Vec<usize>,
}

/// Gives each column its role.
///
/// 1. Options come first: `label`, `text`, `exclude`, `columns` (or `member`, the only column); after them the usual columns.
/// 2. Indexes that the file names, and columns with the name of an id, are ids.
/// 3. The first column with the name of a label is the label, without one the first column of classes; the first text
///    column with the name of a text is the text. Lists of labels are no data.
/// 4. A column of lists is the data, and flat columns beside it are left out; several are refused.
/// 5. Without lists, all numbers and booleans are the data.
/// 6. All else is left out.
///
/// # Errors
/// [`Error::Unknown`] for an option that names no column; [`Error::Format`] if no column or several can be the data, or
/// if a chosen column holds no numbers.
pub(super) fn assign(path: &Path, fields: &[Field], options: &OpenOptions) -> Result<Roles> {
    check_apart(options)?;
    let options = &with_usual(options, fields);
    let excluded = matching(path, fields, &options.exclude)?;
    let labels = only(path, fields, ("data.label", &options.label))?;
    let texts = only(path, fields, ("data.text", &options.text))?;
    let mut chosen = chosen(path, fields, options)?;
    if let Some(chosen) = &mut chosen {
        chosen.retain(|at| {
            ![&excluded, &labels, &texts]
                .iter()
                .any(|others| others.contains(at))
        });
    }
    let by_name = |field: &Field| is_one_of(&LABELS, Some(&field.name));
    let has_named = fields
        .iter()
        .any(|field| by_name(field) && field.kind != Kind::List);
    let (mut has_label, mut has_text) = (!labels.is_empty(), !texts.is_empty());
    // Several labels of a row are no data.
    let is_of_labels = |field: &Field| field.declared_role == Some(Role::LeftOut) || by_name(field);
    let has_tokens =
        |field: &Field| is_of_tokens(&field.name) || is_one_of(&TOKEN_MASKS, Some(&field.name));
    let is_list =
        |field: &Field| field.kind == Kind::List && !is_of_labels(field) && !has_tokens(field);
    let lists: Vec<usize> = (0..fields.len())
        .filter(|at| is_list(&fields[*at]) && !excluded.contains(at))
        .collect();
    let mut columns = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let is_declared = field.declared_role == Some(Role::Label);
        let is_label = match field.kind {
            Kind::List => false,
            _ => by_name(field) || (is_declared && !has_named),
        };
        let is_text = is_one_of(&TEXTS, Some(&field.name)) && field.kind == Kind::Text;
        let (role, reason) = match field.kind {
            _ if labels.contains(&at) => (Role::Label, ""),
            _ if texts.contains(&at) => (Role::Text, ""),
            _ if excluded.contains(&at) => (Role::LeftOut, "excluded"),
            _ if chosen.as_ref().is_some_and(|chosen| chosen.contains(&at)) => (Role::Data, ""),
            _ if field.declared_role == Some(Role::Id) => (Role::Id, "index of the rows"),
            _ if field.name.is_empty() && field.kind != Kind::List => {
                (Role::Id, "column without a name")
            }
            Kind::Integer | Kind::Text | Kind::Empty if !is_declared && is_id_name(&field.name) => {
                (Role::Id, "name of an id")
            }
            _ if is_label && has_label => (Role::LeftOut, "another label"),
            _ if is_declared && !is_label => (Role::LeftOut, "another label"),
            Kind::List if is_of_labels(field) => (Role::LeftOut, "lists of labels"),
            Kind::List if chosen.is_none() && !lists.is_empty() && has_tokens(field) => {
                (Role::LeftOut, "lists of tokens")
            }
            _ if is_label => {
                has_label = true;
                (Role::Label, "")
            }
            _ if is_text && !has_text => {
                has_text = true;
                (Role::Text, "")
            }
            _ if chosen.is_some() => (Role::LeftOut, "not chosen"),
            Kind::List => (Role::Data, ""),
            Kind::Integer | Kind::Number | Kind::Boolean | Kind::NumberLike if lists.is_empty() => {
                (Role::Data, "")
            }
            Kind::Integer | Kind::Number | Kind::Boolean => (
                Role::LeftOut,
                "beside lists; `data.label` takes it as the label",
            ),
            _ => (Role::LeftOut, &*field.type_name),
        };
        columns.push(Column {
            name: field.name.clone(),
            kind: field.type_name.clone(),
            role,
            reason: reason.into(),
        });
    }
    let in_file: Vec<usize> = (0..fields.len())
        .filter(|at| columns[*at].role == Role::Data)
        .collect();
    let chosen_by_rule = chosen.is_none();
    let data = chosen.unwrap_or_else(|| in_file.clone());
    let in_row: Vec<Column> = data.iter().map(|at| columns[*at].clone()).collect();
    check(path, fields, &columns, &data)?;
    for (place, column) in in_file.into_iter().zip(in_row) {
        columns[place] = column;
    }
    if chosen_by_rule {
        note::mark_unlike(&mut columns);
    }
    Ok(Roles { columns, data })
}

/// Roles of the columns of a data frame, by the rules of files; each column is given by its name and type.
///
/// Types are `integer`, `number`, `boolean`, `text`, `list`, `empty` and others, which are left out.
///
/// # Errors
/// [`Error::Format`] if no column or several can be the data.
pub fn frame_roles(name: &str, columns: &[(String, String)]) -> Result<Vec<Column>> {
    let field = |(name, kind): &(String, String)| Field {
        name: name.clone(),
        kind: match kind.as_str() {
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            "text" => Kind::Text,
            "list" => Kind::List,
            "empty" => Kind::Empty,
            _ => Kind::Other,
        },
        type_name: kind.clone(),
        declared_role: None,
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    Ok(assign(Path::new(name), &fields, &OpenOptions::default())?.columns)
}

/// Refuses tables without data, with several columns of lists, and chosen columns that hold no numbers.
fn check(path: &Path, fields: &[Field], columns: &[Column], data: &[usize]) -> Result<()> {
    let bad = |why: String| Err(Error::format(path, why));
    if data.is_empty() {
        let found: Vec<String> = columns
            .iter()
            .map(|column| format!("`{}` ({})", column.name, column.kind))
            .collect();
        return bad(format!(
            "expected a column of numbers or of lists of numbers, got {}; choose columns with `data.columns`",
            listed(&found)
        ));
    }
    let lists = data.iter().filter(|at| fields[**at].kind == Kind::List);
    let lists: Vec<String> = lists.map(|at| format!("`{}`", fields[*at].name)).collect();
    if lists.len() > 1
        && data.len() == lists.len()
        && columns.iter().all(|c| c.reason != "not chosen")
    {
        return bad(format!(
            "expected one column of lists of numbers, got {}; choose with `data.columns`",
            listed(&lists)
        ));
    }
    for at in data {
        let field = &fields[*at];
        if matches!(field.kind, Kind::Text | Kind::Other) {
            return bad(format!(
                "column `{}`: expected numbers, but the column holds {}; leave it out with `data.exclude`",
                field.name, field.type_name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::UsualColumns;

    fn field(name: &str, kind: Kind) -> Field {
        Field {
            name: name.into(),
            kind,
            type_name: format!("{kind:?}").to_lowercase(),
            declared_role: None,
        }
    }

    fn roles(fields: &[(&str, Kind)], options: &OpenOptions) -> Result<Vec<Role>> {
        let fields: Vec<Field> = fields
            .iter()
            .map(|(name, kind)| field(name, *kind))
            .collect();
        let roles = assign(Path::new("t"), &fields, options)?;
        Ok(roles.columns.iter().map(|column| column.role).collect())
    }

    #[test]
    fn roles_follow_from_name_and_type() {
        use Role::{Data, Id, Label, LeftOut, Text};
        let fields = [
            ("doc_id", Kind::Integer),
            ("a", Kind::Number),
            ("Class", Kind::Integer),
            ("text", Kind::Text),
            ("note", Kind::Text),
            ("when", Kind::Other),
            ("b", Kind::Boolean),
            ("word", Kind::Text),
        ];
        let expected = [Id, Data, Label, Text, LeftOut, LeftOut, Data, LeftOut];
        assert_eq!(roles(&fields, &OpenOptions::default()).unwrap(), expected);
        // A float column may have the name of an id and be data.
        let floats = [("index", Kind::Number), ("b", Kind::Number)];
        assert_eq!(
            roles(&floats, &OpenOptions::default()).unwrap(),
            [Data, Data]
        );
        let lists = [
            ("x", Kind::Number),
            ("e", Kind::List),
            ("label", Kind::Boolean),
        ];
        let expected = [LeftOut, Data, Label];
        assert_eq!(roles(&lists, &OpenOptions::default()).unwrap(), expected);
    }

    #[test]
    fn options_come_before_names_and_types() {
        use Role::{Data, Id, Label, LeftOut};
        let fields = [
            ("id", Kind::Integer),
            ("x_0", Kind::Number),
            ("x_1", Kind::Number),
            ("label", Kind::Integer),
        ];
        let some = |columns: &[&str], exclude: &[&str], label: Option<&str>| OpenOptions {
            columns: columns.iter().map(|name| (*name).into()).collect(),
            exclude: exclude.iter().map(|name| (*name).into()).collect(),
            label: label.map(str::to_owned),
            ..OpenOptions::default()
        };
        let of = |options: &OpenOptions| roles(&fields, options).unwrap();
        assert_eq!(
            of(&some(&["id"], &[], None)),
            [Data, LeftOut, LeftOut, Label]
        );
        assert_eq!(
            of(&some(&["x_*"], &["x_1"], None)),
            [Id, Data, LeftOut, Label]
        );
        assert_eq!(
            of(&some(&[], &[], Some("id"))),
            [Label, Data, Data, LeftOut]
        );
        assert_eq!(
            of(&some(&["*"], &["label"], None)),
            [Data, Data, Data, LeftOut]
        );
        assert_eq!(
            of(&some(&["x_1"], &["*d*"], Some("id"))),
            [Label, LeftOut, Data, LeftOut]
        );
        let error = roles(&fields, &some(&[], &["id"], Some("id"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column `id` is named by `data.label` and by `data.exclude`; name it in one of them"
        );
        let error = roles(&fields, &some(&["y_*"], &[], None))
            .unwrap_err()
            .to_string();
        assert!(error.contains("y_*"), "{error}");
    }

    #[test]
    fn stated_roles_give_way_to_names_of_labels() {
        let declared = |name: &str, kind: Kind, role: Option<Role>| Field {
            declared_role: role,
            ..field(name, kind)
        };
        let of = |fields: &[Field]| {
            let roles = assign(Path::new("t"), fields, &OpenOptions::default()).unwrap();
            let columns = roles.columns.into_iter();
            columns.map(|c| c.role).collect::<Vec<_>>()
        };
        let classes = |name: &str| declared(name, Kind::Integer, Some(Role::Label));
        let a = || field("a", Kind::Number);
        assert_eq!(
            of(&[classes("kind_id"), classes("sex"), a()]),
            [Role::Label, Role::LeftOut, Role::Data]
        );
        assert_eq!(
            of(&[classes("sex"), field("label", Kind::Text), a()]),
            [Role::LeftOut, Role::Label, Role::Data]
        );
        let tags = declared("tags", Kind::List, Some(Role::LeftOut));
        assert_eq!(of(&[tags, a()]), [Role::LeftOut, Role::Data]);
        assert_eq!(
            of(&[field("labels", Kind::List), a()]),
            [Role::LeftOut, Role::Data]
        );
    }

    #[test]
    fn usual_columns_keep_their_roles_where_a_table_has_them() {
        use Role::{Data, Label, LeftOut};
        let usual = OpenOptions {
            usual: UsualColumns {
                columns: vec!["p*".into()],
                exclude: vec!["note".into()],
                label: Some("digit".into()),
                text: None,
            },
            ..OpenOptions::default()
        };
        let of = |names: &[&str], options: &OpenOptions| {
            let fields: Vec<_> = names.iter().map(|name| (*name, Kind::Integer)).collect();
            roles(&fields, options).unwrap()
        };
        let names = ["digit", "p0", "note", "p1", "q"];
        assert_eq!(of(&names, &usual), [Label, Data, LeftOut, Data, LeftOut]);
        // A table without them is read by its own names.
        assert_eq!(of(&["a", "b"], &usual), [Data, Data]);
        // Options come first.
        let digit = OpenOptions {
            columns: vec!["digit".into(), "q".into()],
            ..usual
        };
        assert_eq!(of(&names, &digit), [Data, LeftOut, LeftOut, LeftOut, Data]);
    }

    #[test]
    fn values_have_the_order_of_the_chosen_columns() {
        let fields: Vec<Field> = ["a", "b", "c"]
            .iter()
            .map(|name| field(name, Kind::Number))
            .collect();
        let options = OpenOptions {
            columns: vec!["c".into(), "a".into()],
            ..OpenOptions::default()
        };
        let roles = assign(Path::new("t"), &fields, &options).unwrap();
        assert_eq!(roles.data, [2, 0]);
        let names: Vec<_> = roles.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
    }

    #[test]
    fn tables_without_one_choice_of_data_are_refused_with_the_names_of_the_columns() {
        for (fields, words) in [
            (
                &[("a", Kind::Text), ("b", Kind::Other)][..],
                "`a` (text), `b` (other)",
            ),
            (
                &[("a", Kind::List), ("b", Kind::List)],
                "`a`, `b`; choose with `data.columns`",
            ),
        ] {
            let error = roles(fields, &OpenOptions::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
