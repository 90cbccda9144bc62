//! Names of classes, which the Hugging Face `datasets` library stores beside columns of their numbers.

use std::collections::HashMap;

use arrow_schema::Schema;
use serde_json::Value;

/// Names of the classes of each column of type `ClassLabel`, by the name of the column.
///
/// The library writes its types as JSON into the schema, under the key `huggingface`:
/// `{"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}`.
pub(super) fn of(schema: &Schema) -> HashMap<String, Vec<String>> {
    let text = schema.metadata().get("huggingface");
    let value: Value = text
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let features = value["info"]["features"].as_object();
    let features = features
        .into_iter()
        .flatten()
        .filter_map(|(name, feature)| {
            let is_class = feature["_type"] == "ClassLabel";
            let integers = |name: &String| {
                let field = schema.field_with_name(name).ok();
                field.is_some_and(|field| field.data_type().is_integer())
            };
            let names = feature["names"].as_array().filter(|_| is_class)?;
            let names = names.iter().map(|name| name.as_str().map(str::to_owned));
            let names: Vec<String> = names.collect::<Option<_>>()?;
            integers(name).then(|| (name.clone(), names))
        });
    features.collect()
}

/// Names in place of the numbers of classes. The library writes -1 for a missing label; a number without a name stays.
pub(super) fn named(numbers: Vec<Option<String>>, names: &[String]) -> Vec<Option<String>> {
    let name = |number: String| match number.parse() {
        Ok(-1i64) => None,
        Ok(class) => {
            let name = usize::try_from(class).ok().and_then(|at| names.get(at));
            Some(name.cloned().unwrap_or(number))
        }
        Err(_) => Some(number),
    };
    numbers.into_iter().map(|number| name(number?)).collect()
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field};

    use super::*;

    #[test]
    fn classes_of_integer_columns_are_read_from_the_schema() {
        let features = r#"{"info": {"features": {
            "kind": {"names": ["no", "yes"], "_type": "ClassLabel"},
            "text": {"names": ["no", "yes"], "_type": "ClassLabel"},
            "gone": {"names": ["no", "yes"], "_type": "ClassLabel"},
            "odd": {"names": ["no", 1], "_type": "ClassLabel"},
            "plain": {"dtype": "int64", "_type": "Value"}}}}"#;
        let column = |name: &str, of: DataType| Field::new(name, of, true);
        let fields = vec![
            column("kind", DataType::Int64),
            column("text", DataType::Utf8),
            column("odd", DataType::Int64),
            column("plain", DataType::Int64),
        ];
        let schema = |text: &str| {
            let metadata = HashMap::from([("huggingface".to_owned(), text.to_owned())]);
            of(&Schema::new_with_metadata(fields.clone(), metadata))
        };
        let expected = [("kind".to_owned(), vec!["no".to_owned(), "yes".to_owned()])];
        assert_eq!(schema(features), expected.into());
        assert_eq!(schema("{\"info\": 3}"), HashMap::new());
        assert_eq!(schema("no JSON"), HashMap::new());
    }

    #[test]
    fn numbers_become_names_and_minus_one_a_gap() {
        let text = |text: &str| Some(text.to_owned());
        let numbers = vec![
            text("1"),
            None,
            text("0"),
            text("-1"),
            text("2"),
            text("-2"),
        ];
        let names = ["no".to_owned(), "yes".to_owned()];
        let expected = [text("yes"), None, text("no"), None, text("2"), text("-2")];
        assert_eq!(named(numbers, &names), expected);
    }
}
