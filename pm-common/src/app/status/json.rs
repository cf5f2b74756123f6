//! Values of a line's JSON; `None`, or none: it has no such value of this type.

use serde_json::Value;

pub(super) fn text(line: &Value, key: &str) -> Option<String> {
    line.get(key)?.as_str().map(str::to_owned)
}

pub(super) fn texts(line: &Value, key: &str) -> Vec<String> {
    let all = line.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

pub(super) fn count(line: &Value, key: &str) -> Option<u64> {
    line.get(key)?.as_u64()
}

pub(super) fn small(line: &Value, key: &str) -> Option<u32> {
    u32::try_from(count(line, key)?).ok()
}
