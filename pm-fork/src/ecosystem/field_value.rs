//! The values of fields: PM2 takes numbers and text alike, and so do we; but what means nothing is an error here.

use pm_common::cli::shell;
use serde_json::Value;

use super::Reader;

/// A duration of a description, in milliseconds.
pub(crate) type Millis = u64;

/// `true` or `false` as text.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Text or a number, as text.
pub(crate) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `5s`, `100ms`, `1.5h`, or milliseconds without a unit.
pub(crate) fn millis(text: &str) -> Option<Millis> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" | "ms" => 1.0,
        "s" => 1e3,
        "m" | "min" => 60e3,
        "h" => 3600e3,
        "d" => 86400e3,
        _ => return None,
    };
    let number: f64 = digits.trim_end().parse().ok()?;
    let millis = number * unit;
    // A year: what is longer is a mistake, and would be refused further down the chain.
    (number >= 0.0 && millis <= 366.0 * 86400e3).then_some(millis as Millis)
}

impl Reader<'_> {
    /// A field as text; a number is text too.
    pub(crate) fn text(&self, field: &str) -> Result<Option<String>, String> {
        self.app.get(field).map(|v| plain(v).ok_or_else(|| format!("{field}: {v} is not text"))).transpose()
    }

    /// A field that is on or off.
    pub(crate) fn bool(&self, field: &str) -> Result<Option<bool>, String> {
        let of = |value: &Value| match value {
            Value::Bool(on) => Some(*on),
            Value::String(text) => switch(text),
            Value::Number(number) => number.as_u64().filter(|n| *n < 2).map(|n| n == 1),
            _ => None,
        };
        self.app.get(field).map(|v| of(v).ok_or_else(|| format!("{field}: {v}: true or false?"))).transpose()
    }

    /// A field that is a time.
    pub(crate) fn millis(&self, field: &str) -> Result<Option<Millis>, String> {
        let wrong = |text: &str| format!("{field}: '{text}': milliseconds, or a time such as 5s");
        self.text(field)?.map(|text| millis(&text).ok_or_else(|| wrong(&text))).transpose()
    }

    /// A field that is a whole number.
    pub(crate) fn number(&self, field: &str) -> Result<Option<u32>, String> {
        self.text(field)?
            .map(|text| text.trim().parse().map_err(|_| format!("{field}: '{text}': a whole number?")))
            .transpose()
    }

    /// A field that is words: a list of them, or a line that is split at blanks.
    pub(crate) fn words(&self, field: &str) -> Result<Vec<String>, String> {
        match self.app.get(field) {
            None | Some(Value::Bool(false)) => Ok(Vec::new()),
            Some(Value::String(line)) => shell::words(line).map_err(|why| format!("{field}: {why}")),
            Some(Value::Array(list)) => {
                let word = |v: &Value| match v {
                    Value::Bool(on) => Ok(on.to_string()),
                    other => plain(other).ok_or_else(|| format!("{field}: {other} is not text")),
                };
                list.iter().map(word).collect()
            }
            Some(other) => plain(other).map(|word| vec![word]).ok_or_else(|| format!("{field}: {other} is not text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_or_are_milliseconds() {
        let cases = [
            ("0", 0),
            ("1600", 1600),
            ("5s", 5000),
            ("100ms", 100),
            ("1.5h", 5_400_000),
            ("2 m", 120_000),
            ("1d", 86_400_000),
        ];
        for (text, ms) in cases {
            assert_eq!(millis(text), Some(ms), "{text}");
        }
        for wrong in ["", "s", "-1", "5x", "1e99", "NaN", "inf", "5 5"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }
}
