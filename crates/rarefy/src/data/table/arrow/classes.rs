//! Names of classes, which the Hugging Face `datasets` library stores beside columns of their numbers.
//!
//! The library writes its types as JSON into the schema, under the key `huggingface`:
//! `{"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}`.

use std::collections::HashMap;

use arrow_schema::Schema;
use serde_json::{Map, Value};

/// Names of the classes of each column of integers of type `ClassLabel`, by the name of the column.
pub(super) fn of(schema: &Schema) -> HashMap<String, Vec<String>> {
    let integers = |name: &str| {
        let field = schema.field_with_name(name).ok();
        field.is_some_and(|field| field.data_type().is_integer())
    };
    let all = features(schema).into_iter();
    let classes = all.filter(|(name, feature)| is_class(feature) && integers(name));
    let named = classes.filter_map(|(name, feature)| {
        let names = feature["names"].as_array()?.iter();
        let names = names.map(|name| name.as_str().map(str::to_owned));
        Some((name, names.collect::<Option<_>>()?))
    });
    named.collect()
}

/// Names of the columns of lists of classes, such as several tags of a row.
pub(super) fn lists(schema: &Schema) -> Vec<String> {
    let of_classes = |feature: &Value| is_class(&feature["feature"]) || is_class(&feature[0]);
    let all = features(schema).into_iter();
    all.filter(|(_, feature)| of_classes(feature))
        .map(|(name, _)| name)
        .collect()
}

/// Names in place of the numbers of classes. The library writes -1 for a missing label.
///
/// The error is the row of a number without a name, and what was expected there.
pub(super) fn named(
    numbers: Vec<Option<String>>,
    names: &[String],
) -> Result<Vec<Option<String>>, (usize, String)> {
    let name = |(row, number): (usize, Option<String>)| match number.as_deref() {
        None | Some("-1") => Ok(None),
        Some(number) => {
            let class = number.parse().ok();
            let name = class.and_then(|class: usize| names.get(class));
            let why = || {
                let count = names.len();
                let why = format!(
                    "expected the number of one of {count} classes, or -1 for none, got {number}"
                );
                (row, why)
            };
            name.cloned().map(Some).ok_or_else(why)
        }
    };
    numbers.into_iter().enumerate().map(name).collect()
}

fn is_class(feature: &Value) -> bool {
    feature["_type"] == "ClassLabel"
}

/// Types of the columns as the library states them; none if it has not written the file.
fn features(schema: &Schema) -> Map<String, Value> {
    let text = schema.metadata().get("huggingface");
    let value = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let features = value.and_then(|mut value| Some(value.pointer_mut("/info/features")?.take()));
    match features {
        Some(Value::Object(features)) => features,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field};

    use super::*;

    /// Schema of four columns, with a text of the library.
    fn schema(text: &str) -> Schema {
        let column = |name: &str, of: DataType| Field::new(name, of, true);
        let fields = vec![
            column("kind", DataType::Int64),
            column("text", DataType::Utf8),
            column("odd", DataType::Int64),
            column("plain", DataType::Int64),
        ];
        let metadata = HashMap::from([("huggingface".to_owned(), text.to_owned())]);
        Schema::new_with_metadata(fields, metadata)
    }

    #[test]
    fn classes_of_integer_columns_are_read_from_the_schema() {
        let features = r#"{"info": {"features": {
            "kind": {"names": ["no", "yes"], "_type": "ClassLabel"},
            "text": {"names": ["no", "yes"], "_type": "ClassLabel"},
            "gone": {"names": ["no", "yes"], "_type": "ClassLabel"},
            "odd": {"names": ["no", 1], "_type": "ClassLabel"},
            "plain": {"dtype": "int64", "_type": "Value"}}}}"#;
        let expected = [("kind".to_owned(), vec!["no".to_owned(), "yes".to_owned()])];
        assert_eq!(of(&schema(features)), expected.into());
        for text in ["{\"info\": 3}", "[]", "no JSON"] {
            assert_eq!(of(&schema(text)), HashMap::new());
        }
        let tags = r#"{"info": {"features": {
            "new": {"feature": {"_type": "ClassLabel"}, "_type": "List"},
            "old": [{"_type": "ClassLabel"}],
            "x": {"feature": {"_type": "Value"}, "_type": "List"}}}}"#;
        assert_eq!(lists(&schema(tags)), ["new", "old"]);
    }

    #[test]
    fn numbers_become_names_and_minus_one_a_gap() {
        let text = |text: &str| Some(text.to_owned());
        let names = ["no".to_owned(), "yes".to_owned()];
        let numbers = vec![text("1"), None, text("0"), text("-1")];
        let expected = vec![text("yes"), None, text("no"), None];
        assert_eq!(named(numbers, &names), Ok(expected));
        for odd in ["2", "-2"] {
            let why = format!("expected the number of one of 2 classes, or -1 for none, got {odd}");
            assert_eq!(named(vec![text("0"), text(odd)], &names), Err((1, why)));
        }
    }
}
