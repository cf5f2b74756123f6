//! A JSON object in one line, its fields in the order given: people read them too.

use serde_json::Value;

/// The line, with its newline.
pub(crate) fn line(fields: &[(&str, Value)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{}:{value}", Value::from(*key))).collect();
    escaped(&format!("{{{}}}\n", fields.join(",")))
}

/// JSON text without the control characters that JSON lets stand (DEL, and C1: U+009B begins a sequence of a terminal).
pub(crate) fn escaped(json: &str) -> String {
    let is_raw = |c: &char| ('\u{7f}'..='\u{9f}').contains(c);
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if is_raw(&c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)))
        } else {
            text.push(c)
        }
        text
    })
}

/// A number rounded to one decimal.
pub(crate) fn tenths(number: f64) -> Value {
    Value::from((number * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_json_in_the_order_given() {
        let text = line(&[("z", Value::from("a\"\n")), ("a", Value::Null), ("m", tenths(12.3456))]);
        assert_eq!(text, "{\"z\":\"a\\\"\\n\",\"a\":null,\"m\":12.3}\n");
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        let text = line(&[("cwd", Value::from("/\u{9b}31m\u{7f}ä\u{1b}"))]);
        assert_eq!(text, "{\"cwd\":\"/\\u009b31m\\u007fä\\u001b\"}\n");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON")["cwd"], "/\u{9b}31m\u{7f}ä\u{1b}");
    }
}
