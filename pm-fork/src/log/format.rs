//! How a line is written: as it came, with the time in front, or as a JSON object.
//!
//! Times are in UTC with a `Z`: one rule on every machine, no jump at the change to summer time, and files of several
//! machines sort together. (RFC 3339, section 5.6; milliseconds, always the same width.)

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::lines::Piece;

/// A moment: milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wall(pub(super) u64);

impl Wall {
    /// The moment as RFC 3339 writes it: `2026-11-22T09:05:07.031Z`.
    pub(super) fn rfc3339(self) -> String {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.0)).to_string()
    }
}

/// How lines are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// As they came.
    Raw,
    /// With the time in front.
    Time,
    /// An object for each line; the app's name, if it has one.
    Json(Option<String>),
    /// With a text in front, and perhaps the time behind that.
    Labelled {
        /// The text.
        label: Vec<u8>,
        /// The time follows.
        time: bool,
    },
}

impl Format {
    /// What begins each line of a stream (`out`, `err`) that was read at this moment.
    pub(super) fn head(&self, stream: &str, now: Wall) -> Vec<u8> {
        match self {
            Self::Raw => Vec::new(),
            Self::Time => format!("{} ", now.rfc3339()).into_bytes(),
            Self::Labelled { label, time: false } => label.clone(),
            Self::Labelled { label, time: true } => [label, now.rfc3339().as_bytes(), b" "].concat(),
            Self::Json(app) => {
                let mut head =
                    format!("{{\"timestamp\":\"{}\",\"type\":\"{stream}\",\"app\":", now.rfc3339()).into_bytes();
                match app {
                    Some(app) => json_string(app.as_bytes(), &mut head),
                    None => head.extend_from_slice(b"null"),
                }
                head.extend_from_slice(b",\"message\":");
                head
            }
        }
    }

    /// This format with a text in front of each line; objects stay objects.
    pub(super) fn labelled(&self, label: &[u8]) -> Self {
        match self {
            Self::Json(_) => self.clone(),
            Self::Raw if label.is_empty() => Self::Raw,
            other => Self::Labelled { label: label.to_vec(), time: *other == Self::Time },
        }
    }

    /// Writes a piece behind `out`. In JSON each piece is an object of its own, and all but the last of a line have
    /// `"partial":true`.
    pub(super) fn append(&self, head: &[u8], piece: Piece<'_>, out: &mut Vec<u8>) {
        if let Self::Json(_) = self {
            out.extend_from_slice(head);
            json_string(piece.text, out);
            out.extend_from_slice(if piece.ends { b"}\n" } else { b",\"partial\":true}\n" });
            return;
        }
        if piece.begins {
            out.extend_from_slice(head);
        }
        out.extend_from_slice(piece.text);
        out.extend(piece.ends.then_some(b'\n'));
    }
}

/// A JSON string of any bytes: what is no UTF-8 becomes U+FFFD, and control characters (those of terminals from 7F to
/// 9F too) are escaped.
pub(crate) fn json_string(bytes: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    // A Vec takes whatever is written.
    let _ = serde_json::to_writer(&mut *out, &*String::from_utf8_lossy(bytes));
    let written = out.get(from..).unwrap_or_default();
    // By the first byte, which is quick; those of U+0080 to U+009F share theirs with letters.
    if written.iter().any(|byte| matches!(byte, 0x7f | 0xc2)) {
        let text = String::from_utf8_lossy(&out.split_off(from)).into_owned();
        for c in text.chars() {
            let _ = if c.is_control() { write!(out, "\\u{:04x}", u32::from(c)) } else { write!(out, "{c}") };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Wall = Wall(1_795_338_307_031);

    fn formatted(format: &Format, pieces: &[Piece<'_>]) -> String {
        let (head, mut out) = (format.head("err", NOW), Vec::new());
        pieces.iter().for_each(|piece| format.append(&head, *piece, &mut out));
        String::from_utf8(out).expect("UTF-8")
    }

    fn whole(text: &[u8]) -> Piece<'_> {
        Piece { text, begins: true, ends: true }
    }

    #[test]
    fn moments() {
        let written = |s: u64| Wall(s * 1000).rfc3339();
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_399), "2000-02-28T23:59:59.000Z");
        assert_eq!(written(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(written(951_868_800), "2000-03-01T00:00:00.000Z");
        assert_eq!(written(4_107_542_400), "2100-03-01T00:00:00.000Z", "1900 and 2100 have no leap day");
        assert_eq!(NOW.rfc3339(), "2026-11-22T09:05:07.031Z");
    }

    #[test]
    fn the_time_is_in_front_of_a_line_and_not_of_its_pieces() {
        let half = |text, begins| Piece { text, begins, ends: !begins };
        let pieces = [whole(b"a"), half(b"b", true), half(b"c", false)];
        assert_eq!(formatted(&Format::Raw, &pieces), "a\nbc\n");
        assert_eq!(formatted(&Format::Time, &pieces), "2026-11-22T09:05:07.031Z a\n2026-11-22T09:05:07.031Z bc\n");
    }

    #[test]
    fn an_object_for_each_line() {
        let json = Format::Json(Some("a\"b".to_owned()));
        let head = r#"{"timestamp":"2026-11-22T09:05:07.031Z","type":"err","app":"a\"b","message":"#;
        let piece = Piece { text: b"x", begins: true, ends: false };
        assert_eq!(
            formatted(&json, &[whole(b"t\tq\"b\\e\x1b[1m\xff\x7f\xc2\x85\0"), piece]),
            format!(
                "{head}\"t\\tq\\\"b\\\\e\\u001b[1m\u{fffd}\\u007f\\u0085\\u0000\"}}\n{head}\"x\",\"partial\":true}}\n"
            )
        );
        assert!(formatted(&Format::Json(None), &[whole(b"")]).contains(r#""app":null,"message":"""#));
    }

    proptest! {
        /// Whatever an app writes, a reader of JSON lines gets it back, one object a line, with nothing that a
        /// terminal would obey.
        #[test]
        fn any_bytes_are_one_line_of_json(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = formatted(&Format::Json(None), &[whole(&bytes)]);
            prop_assert_eq!(text.lines().count(), 1);
            prop_assert!(!text.trim_end().contains(char::is_control));
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(value["message"].as_str().expect("text"), String::from_utf8_lossy(&bytes));
        }
    }
}
