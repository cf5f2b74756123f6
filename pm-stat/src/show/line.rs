//! A JSON object in one line, its fields in the order given: people read them too.

use serde_json::Value;

/// The line, with its newline.
pub(crate) fn line(fields: &[(&str, Value)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{}:{value}", Value::from(*key))).collect();
    format!("{{{}}}\n", fields.join(","))
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
}
