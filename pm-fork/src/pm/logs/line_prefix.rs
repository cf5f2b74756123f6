//! How a line is shown: what stands in front of it and behind.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use pm_common::cli::report::{Level, level_of};
use unicode_width::UnicodeWidthStr as _;

use crate::log::format::json_string;
use crate::log::lines::Piece;

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;
const CYAN: u8 = 36;

/// The form of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// For people: `ID|NAME | TEXT`; with colours, this text in it is marked.
    Text { colours: bool, marked: Option<Vec<u8>> },
    /// An object for each line.
    Json,
    /// `KEY=VALUE`.
    Fields,
    /// The lines alone.
    Raw,
}

impl Form {
    /// Marks a text.
    pub(super) fn mark(&mut self, text: &OsStr) {
        if let Self::Text { colours: true, marked } = self {
            *marked = Some(text.as_bytes().to_vec()).filter(|text| !text.is_empty());
        }
    }
}

/// Whose lines they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Speaker {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) slot: Option<String>,
    pub(super) is_err: bool,
    /// pm-log has written them as objects.
    pub(super) json: bool,
}

impl Speaker {
    /// The columns that the app's name takes in front of its lines.
    pub(super) fn width(&self) -> usize {
        self.label(None).width()
    }

    /// `ID|NAME`, or `pm|NAME` for what a supervisor says.
    fn label(&self, level: Option<Level>) -> String {
        let id = if level.is_some() { "pm" } else { self.id.as_deref().unwrap_or("-") };
        let (mark, slot) = self.slot.as_deref().map_or(("", ""), |slot| ("#", slot));
        format!("{id}|{}{mark}{slot}", self.name)
    }

    /// What stands in front of a line, for people; the widest label takes so many columns.
    fn head(&self, level: Option<Level>, widest: usize, colours: bool) -> String {
        let label = self.label(level);
        // `pm` is wider than most ids: the blank in front of the bar makes room for it.
        let blanks = " ".repeat((widest + 1).saturating_sub(label.width()));
        let colour = match level {
            None if !self.is_err => GREEN,
            None | Some(Level::Fatal) => RED,
            Some(Level::Warning) => YELLOW,
            Some(Level::Info) => CYAN,
        };
        if colours { format!("\x1b[{colour}m{label}{blanks}|\x1b[0m ") } else { format!("{label}{blanks}| ") }
    }

    /// What stands in front of a line as `KEY=VALUE`.
    fn fields(&self, level: Option<Level>) -> String {
        let (key, slot) = self.slot.as_deref().map_or(("", ""), |slot| (" slot=", slot));
        let (id, kind) = (self.id.as_deref().unwrap_or(""), self.kind(level, "error"));
        format!("app={} id={id}{key}{slot} type={kind} message=", self.name)
    }

    /// Writes a piece of a line as an object.
    fn object(&self, level: Option<Level>, piece: Piece<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"message\":");
        json_string(piece.text, out);
        let (key, slot) = self.slot.as_deref().map_or(("", ""), |slot| (",\"slot\":", slot));
        let (id, kind) = (self.id.as_deref().unwrap_or("null"), self.kind(level, "err"));
        let partial = if piece.ends { "" } else { ",\"partial\":true" };
        let rest = format!("{partial},\"type\":\"{kind}\",\"process_id\":{id}{key}{slot},\"app_name\":");
        out.extend_from_slice(rest.as_bytes());
        json_string(self.name.as_bytes(), out);
        out.extend_from_slice(b"}\n");
    }

    fn kind<'a>(&self, level: Option<Level>, err: &'a str) -> &'a str {
        match level {
            Some(_) => "pm",
            None if self.is_err => err,
            None => "out",
        }
    }
}

/// Writes a piece of a line behind `out`; `level` is that of the line, if a supervisor said it.
pub(super) fn append(
    form: &Form,
    of: &Speaker,
    widest: usize,
    level: &mut Option<Level>,
    piece: Piece<'_>,
    out: &mut Vec<u8>,
) {
    if piece.begins {
        *level = if of.is_err { level_of(piece.text) } else { None };
    }
    let head = match form {
        // What pm-log has written as an object stays as it is.
        Form::Json if of.json && (!piece.begins || piece.text.starts_with(b"{")) => String::new(),
        Form::Json => return of.object(*level, piece, out),
        Form::Text { colours, .. } if piece.begins => of.head(*level, widest, *colours),
        Form::Fields if piece.begins => of.fields(*level),
        _ => String::new(),
    };
    out.extend_from_slice(head.as_bytes());
    match form {
        Form::Text { marked: Some(marked), .. } => mark(piece.text, marked, out),
        _ => out.extend_from_slice(piece.text),
    }
    out.extend(piece.ends.then_some(b'\n'));
}

/// Shows this text inverted, wherever it stands.
fn mark(text: &[u8], marked: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.windows(marked.len()).position(|window| window == marked) {
        let (before, behind) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(b"\x1b[7m");
        out.extend_from_slice(marked);
        out.extend_from_slice(b"\x1b[27m");
        rest = behind.get(marked.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(form: &Form, speaker: &Speaker, text: &str) -> String {
        let mut out = Vec::new();
        let piece = Piece { text: text.as_bytes(), begins: true, ends: true };
        append(form, speaker, 6, &mut None, piece, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    fn web() -> Speaker {
        Speaker { id: Some("3".to_owned()), name: "web".to_owned(), is_err: true, ..Speaker::default() }
    }

    const OURS: &str = "pm-restart: info: x";

    #[test]
    fn what_a_supervisor_says_is_told_from_the_apps_errors() {
        let text = Form::Text { colours: false, marked: None };
        assert_eq!(shown(&text, &web(), "x"), "3|web  | x\n");
        assert_eq!(shown(&text, &web(), OURS), format!("pm|web | {OURS}\n"));
        let colours = Form::Text { colours: true, marked: Some(b"x".to_vec()) };
        assert_eq!(shown(&colours, &web(), "-x-"), "\x1b[31m3|web  |\x1b[0m -\x1b[7mx\x1b[27m-\n");
        assert!(shown(&colours, &web(), OURS).starts_with("\x1b[36mpm|web |"));
        assert!(shown(&Form::Json, &web(), OURS).contains("\"type\":\"pm\""));
        assert!(shown(&Form::Fields, &web(), OURS).contains(" type=pm message=pm-restart: "));
        assert_eq!(shown(&text, &Speaker { is_err: false, ..web() }, OURS), format!("3|web  | {OURS}\n"));
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let wide = Speaker { id: Some("0".to_owned()), name: "日本".to_owned(), slot: Some("1".to_owned()), ..web() };
        assert_eq!(wide.width(), 8);
        let text = Form::Text { colours: false, marked: None };
        assert_eq!(shown(&text, &wide, "x"), "0|日本#1| x\n");
    }

    #[test]
    fn what_is_json_already_stays_as_it_is() {
        let json = Speaker { json: true, ..web() };
        assert_eq!(shown(&Form::Json, &json, "{\"message\":1}"), "{\"message\":1}\n");
        assert_eq!(
            shown(&Form::Json, &json, "torn"),
            "{\"message\":\"torn\",\"type\":\"err\",\"process_id\":3,\"app_name\":\"web\"}\n"
        );
    }
}
