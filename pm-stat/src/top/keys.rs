//! What the keys of a terminal send.

/// A key, or a character, as it was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    Char(char),
    Escape,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// The escape sequences of terminals like xterm, without the escape.
const SEQUENCES: [(&[u8], Stroke); 12] = [
    (b"[A", Stroke::Up),
    (b"OA", Stroke::Up),
    (b"[B", Stroke::Down),
    (b"OB", Stroke::Down),
    (b"[5~", Stroke::PageUp),
    (b"[6~", Stroke::PageDown),
    (b"[H", Stroke::Home),
    (b"OH", Stroke::Home),
    (b"[1~", Stroke::Home),
    (b"[F", Stroke::End),
    (b"OF", Stroke::End),
    (b"[4~", Stroke::End),
];

/// Takes the strokes out of what was read; the beginning of a sequence or of a character stays for the next time. An
/// escape alone may be such a beginning: with `timed_out` it is the key.
pub(super) fn take(bytes: &mut Vec<u8>, timed_out: bool) -> Vec<Stroke> {
    let mut strokes = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((stroke, length)) = first(rest, timed_out) {
        strokes.extend(stroke);
        rest = rest.get(length..).unwrap_or_default();
    }
    *bytes = rest.to_vec();
    strokes
}

/// The first stroke, if it means something, and its bytes; `None`: there is none, or not all of it.
fn first(bytes: &[u8], timed_out: bool) -> Option<(Option<Stroke>, usize)> {
    let (&first, after) = bytes.split_first()?;
    if first != b'\x1b' {
        return character(bytes);
    }
    if let Some((sequence, key)) = SEQUENCES.iter().find(|(sequence, _)| after.starts_with(sequence)) {
        return Some((Some(*key), 1 + sequence.len()));
    }
    match after.first() {
        None => timed_out.then_some((Some(Stroke::Escape), 1)),
        // A sequence that means nothing to us (ECMA-48: a CSI ends with a byte from `@` to `~`).
        Some(b'[') => after.iter().skip(1).position(|b| (b'@'..=b'~').contains(b)).map(|at| (None, at + 3)),
        Some(b'O') => (after.len() > 1).then_some((None, 3)),
        Some(_) => Some((Some(Stroke::Escape), 1)),
    }
}

/// A character of UTF-8; a byte that is none is skipped.
fn character(bytes: &[u8]) -> Option<(Option<Stroke>, usize)> {
    let head = bytes.get(..bytes.len().min(4))?;
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.valid_up_to() == 0 => return e.error_len().map(|length| (None, length)),
        Err(e) => std::str::from_utf8(head.get(..e.valid_up_to())?).ok()?,
    };
    let c = valid.chars().next()?;
    Some((Some(Stroke::Char(c)), c.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strokes(parts: &[&[u8]]) -> Vec<Stroke> {
        let mut pending = Vec::new();
        let mut all = Vec::new();
        for part in parts {
            pending.extend_from_slice(part);
            all.extend(take(&mut pending, false));
            assert!(pending.len() < 64);
        }
        all
    }

    #[test]
    fn letters_and_arrows() {
        let wanted = [Stroke::Char('c'), Stroke::Up, Stroke::Down, Stroke::Char('x')];
        assert_eq!(strokes(&[b"c\x1b[A\x1bOBx"]), wanted);
        assert_eq!(strokes(&[b"\x1b[5~\x1b[F"]), [Stroke::PageUp, Stroke::End]);
        assert_eq!(strokes(&[b"\xe6", b"\x97\xa5\xff!"]), [Stroke::Char('日'), Stroke::Char('!')]);
    }

    #[test]
    fn a_sequence_may_come_in_pieces_and_an_unknown_one_is_skipped() {
        let q = Stroke::Char('q');
        assert_eq!(strokes(&[b"\x1b", b"[", b"Aq"]), [Stroke::Up, q]);
        assert_eq!(strokes(&[b"\x1b[1;5Cq\x1b[200~m\x1bOPq"]), [q, Stroke::Char('m'), q]);
        assert_eq!(strokes(&[b"\x1bq", b"\x1b\x1bq"]), [Stroke::Escape, q, Stroke::Escape, Stroke::Escape, q]);
        let mut alone = b"\x1b".to_vec();
        assert_eq!((take(&mut alone, false), take(&mut alone, true)), (vec![], vec![Stroke::Escape]));
    }
}
