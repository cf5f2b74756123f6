//! Which characters of others' text reach a terminal as they are.

/// Whether a character would move the cursor, change colours, or turn the direction of the text behind it (Unicode TR 9),
/// so that one name could stand for another.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

/// The text with each such character as Rust writes it in a literal: `\u{202e}`.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if is_harmful(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_or_turns_the_text_is_written_out() {
        assert_eq!(escaped("a\x1b[2J\u{9b}b\u{202e}c\u{2066}\n"), "a\\u{1b}[2J\\u{9b}b\\u{202e}c\\u{2066}\\n");
        assert_eq!(escaped("日本 é 👩\u{200d}💻"), "日本 é 👩\u{200d}💻", "a joiner only joins");
    }
}
