//! YAML as the value that JSON would be. `<<` merges maps, as in the YAML that people write for PM2.

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Number, Value};

/// The column where the last line may begin. Each level of a block takes a column at least, and the parser its stack for
/// each (it counts those of `[` and `{` itself).
const DEEPEST: usize = 500;

fn is_too_deep(line: &str) -> bool {
    line.bytes().take_while(|byte| b" \t-?:".contains(byte)).nth(DEEPEST).is_some()
}

/// The value of the first document.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    if text.lines().any(is_too_deep) {
        return Err(format!("nested too deeply: a line begins behind column {DEEPEST}"));
    }
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    documents.first().map_or(Ok(Value::Null), value)
}

fn value(yaml: &Yaml<'_>) -> Result<Value, String> {
    match yaml {
        Yaml::Value(scalar) => Ok(self::scalar(scalar)),
        Yaml::Representation(text, ..) => Ok(Value::from(text.as_ref())),
        Yaml::Sequence(list) => list.iter().map(value).collect(),
        Yaml::Mapping(map) => mapping(map.iter()),
        Yaml::Tagged(_, inner) => value(inner),
        Yaml::Alias(_) | Yaml::BadValue => Err("an alias of nothing".to_owned()),
    }
}

fn scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(on) => Value::Bool(*on),
        Scalar::Integer(number) => Value::from(*number),
        Scalar::FloatingPoint(number) => Number::from_f64(number.0).map_or(Value::Null, Value::Number),
        Scalar::String(text) => Value::from(text.as_ref()),
    }
}

fn mapping<'a>(entries: impl Iterator<Item = (&'a Yaml<'a>, &'a Yaml<'a>)>) -> Result<Value, String> {
    let (mut own, mut merged) = (Map::new(), Map::new());
    for (key, value) in entries {
        let value = self::value(value)?;
        match key_of(key)?.as_str() {
            "<<" => merge(&mut merged, value)?,
            key => drop(own.insert(key.to_owned(), value)),
        }
    }
    merged.extend(own);
    Ok(Value::Object(merged))
}

fn key_of(key: &Yaml<'_>) -> Result<String, String> {
    match value(key)? {
        Value::String(text) => Ok(text),
        key @ (Value::Number(_) | Value::Bool(_)) => Ok(key.to_string()),
        other => Err(format!("a name is meant, not {other}")),
    }
}

/// Of several maps the first that has a key counts.
fn merge(merged: &mut Map<String, Value>, value: Value) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                merged.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(maps) => maps.into_iter().try_for_each(|map| merge(merged, map)),
        other => Err(format!("<<: a map is meant, not {other}")),
    }
}
