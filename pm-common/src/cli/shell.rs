//! Words as a shell has them: a line that is split into them, and a word that is to be pasted into a line.

use std::borrow::Cow;

/// Splits a line into words at blanks; quotes keep blanks together, a backslash before a quote or backslash is taken away.
///
/// # Errors
/// A quote is not closed.
pub fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (_, '\\') if quote != Some('\'') && matches!(chars.peek(), Some('"' | '\'' | '\\' | ' ')) => {
                word.get_or_insert_default().extend(chars.next());
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is not closed") } else { Ok(words) }
}

/// A word as it is to be typed: in quotes, unless it means itself without.
#[must_use]
pub fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_words_keeps_what_is_quoted() {
        for (line, expected) in [
            ("", &[][..]),
            ("a  b ", &["a", "b"]),
            ("--x='a b' \"c d\"e ''", &["--x=a b", "c de", ""]),
            (r#"a\"b "c\"d" 'e\'"#, &["a\"b", "c\"d", "e\\"]),
            (r"a\ b C:\x", &["a b", r"C:\x"]),
        ] {
            assert_eq!(words(line).expect("closed"), expected, "{line}");
        }
        assert!(words("'a").is_err());
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        for (word, typed) in [
            ("web", "web"),
            ("@acme/api", "@acme/api"),
            ("ls -la", "'ls -la'"),
            ("it's", r"'it'\''s'"),
            ("a;b", "'a;b'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), typed);
            assert_eq!(words(&format!("pm stop {typed}")).map(|words| words.len()), Ok(3), "{word}");
        }
    }
}
