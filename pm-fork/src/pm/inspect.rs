//! JSON as Node's `util.inspect` shows it, which is how PM2 prints its list for people.

use pm_common::cli::escape::is_harmful;
use serde_json::Value;

/// A line that is longer than this is broken.
const LINE: usize = 80;
/// So many levels may stand in one line.
const LEVELS: usize = 3;

/// The text of the value, with no newline behind it.
pub(crate) fn text(value: &Value) -> String {
    Inspected::of(value, 0).text
}

/// A value, `depth` of them around it.
struct Inspected {
    text: String,
    /// How many levels its last part has, itself included.
    levels: usize,
}

impl Inspected {
    fn of(value: &Value, depth: usize) -> Self {
        match value {
            Value::Object(map) => {
                let fields = map.iter().map(|(key, value)| {
                    let Self { text, levels } = Self::of(value, depth + 1);
                    Self { text: format!("{}: {text}", name(key)), levels }
                });
                Self::joined(["{", "}"], fields.collect(), depth)
            }
            Value::Array(list) => {
                let items = list.iter().map(|item| Self::of(item, depth + 1));
                Self::joined(["[", "]"], items.collect(), depth)
            }
            Value::String(text) => Self { text: quoted(text), levels: 0 },
            // A number of JavaScript's has no point where nothing stands behind it.
            other => Self { text: other.to_string().trim_end_matches(".0").to_owned(), levels: 0 },
        }
    }

    /// The parts in one line, if it is short and they are not deep; else each in its own.
    fn joined([open, close]: [&str; 2], parts: Vec<Self>, depth: usize) -> Self {
        if parts.is_empty() {
            return Self { text: format!("{open}{close}"), levels: 0 };
        }
        let levels = 1 + parts.iter().rev().find(|part| part.levels > 0).map_or(0, |part| part.levels);
        let texts: Vec<_> = parts.iter().map(|part| part.text.as_str()).collect();
        let length = |text: &&str| text.chars().count();
        // As Node counts: each part with what stands behind it, the indentation, and ten to spare.
        let width = texts.iter().map(length).sum::<usize>() + 2 * texts.len() + 2 * depth + 11;
        let line = levels <= LEVELS && width <= LINE && texts.iter().all(|text| !text.contains('\n'));
        if line {
            return Self { text: format!("{open} {} {close}", texts.join(", ")), levels };
        }
        let indent = "  ".repeat(depth);
        let text = format!("{open}\n{indent}  {}\n{indent}{close}", texts.join(&format!(",\n{indent}  ")));
        Self { text, levels }
    }
}

/// A key, in quotes where it is no name of JavaScript's.
fn name(key: &str) -> String {
    let plain = key.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    let is_name = plain && !key.is_empty() && !key.starts_with(|c: char| c.is_ascii_digit());
    if is_name { key.to_owned() } else { quoted(key) }
}

/// In the quotes that it does not hold itself.
fn quoted(text: &str) -> String {
    let quote = ['\'', '"', '`'].into_iter().find(|quote| !text.contains(*quote)).unwrap_or('\'');
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if u32::from(c) > 0xff && is_harmful(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn short_objects_stand_in_a_line_and_deep_ones_do_not() {
        for (value, wanted) in [
            (json!([]), "[]"),
            (json!({"a": 1, "b-c": "it's", "d": 0.5, "e": 2.0}), "{ a: 1, 'b-c': \"it's\", d: 0.5, e: 2 }"),
            (json!([{"a": {"b": {"c": {}}}}]), "[\n  { a: { b: { c: {} } } }\n]"),
            (json!([{"a": {"b": {"c": [1]}}}]), "[\n  {\n    a: { b: { c: [ 1 ] } }\n  }\n]"),
            (
                json!({"a": "x".repeat(70), "b": [null, true]}),
                &format!("{{\n  a: '{}',\n  b: [ null, true ]\n}}", "x".repeat(70)),
            ),
            (json!("\n\u{1b}'\"\\"), "`\\n\\x1B'\"\\\\`"),
        ] {
            assert_eq!(text(&value), wanted);
        }
    }
}
