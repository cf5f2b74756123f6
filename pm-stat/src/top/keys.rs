//! What the keys of a terminal send.

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Quit,
    /// So many rows down; up, if less than 0.
    Move(isize),
    First,
    Last,
    Sort(Sort),
}

/// By what the rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    Cpu,
    Memory,
    /// The youngest first: what has just been started again.
    Uptime,
    Restarts,
}

/// The rows that a page is taken for.
const PAGE: isize = 10;

/// The escape sequences of terminals like xterm, without the escape.
const SEQUENCES: [(&[u8], Key); 12] = [
    (b"[A", Key::Move(-1)),
    (b"OA", Key::Move(-1)),
    (b"[B", Key::Move(1)),
    (b"OB", Key::Move(1)),
    (b"[5~", Key::Move(-PAGE)),
    (b"[6~", Key::Move(PAGE)),
    (b"[H", Key::First),
    (b"OH", Key::First),
    (b"[1~", Key::First),
    (b"[F", Key::Last),
    (b"OF", Key::Last),
    (b"[4~", Key::Last),
];

/// Takes the keys out of what was read; the beginning of a sequence stays for the next time.
pub(crate) fn take(bytes: &mut Vec<u8>) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\x1b' {
            keys.extend(of_byte(first));
            rest = after;
            continue;
        }
        match SEQUENCES.iter().find(|(sequence, _)| after.starts_with(sequence)) {
            Some((sequence, key)) => {
                keys.push(*key);
                rest = after.get(sequence.len()..).unwrap_or_default();
            }
            None => match end_of_unknown(after) {
                Some(end) => rest = after.get(end..).unwrap_or_default(),
                None => break,
            },
        }
    }
    *bytes = rest.to_vec();
    keys
}

/// Where a sequence that means nothing to us ends (ECMA-48: a CSI ends with a byte from `@` to `~`); `None`: not yet.
fn end_of_unknown(after: &[u8]) -> Option<usize> {
    match after.first()? {
        b'[' => after.iter().skip(1).position(|b| (b'@'..=b'~').contains(b)).map(|at| at + 2),
        b'O' => (after.len() > 1).then_some(2),
        // The escape key alone, and then another one.
        _ => Some(0),
    }
}

const fn of_byte(byte: u8) -> Option<Key> {
    Some(match byte {
        b'q' | b'Q' => Key::Quit,
        b'k' => Key::Move(-1),
        b'j' => Key::Move(1),
        b'g' => Key::First,
        b'G' => Key::Last,
        b'c' => Key::Sort(Sort::Cpu),
        b'm' => Key::Sort(Sort::Memory),
        b'n' => Key::Sort(Sort::Name),
        b'u' => Key::Sort(Sort::Uptime),
        b'r' => Key::Sort(Sort::Restarts),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(parts: &[&[u8]]) -> Vec<Key> {
        let mut pending = Vec::new();
        let mut all = Vec::new();
        for part in parts {
            pending.extend_from_slice(part);
            all.extend(take(&mut pending));
            assert!(pending.len() < 64);
        }
        all
    }

    #[test]
    fn letters_and_arrows() {
        let wanted = [Key::Sort(Sort::Cpu), Key::Move(-1), Key::Move(1), Key::Quit];
        assert_eq!(keys(&[b"c\x1b[A\x1bOBxq"]), wanted);
        assert_eq!(keys(&[b"\x1b[5~\x1b[F"]), [Key::Move(-PAGE), Key::Last]);
    }

    #[test]
    fn a_sequence_may_come_in_pieces_and_an_unknown_one_is_skipped() {
        assert_eq!(keys(&[b"\x1b", b"[", b"Aq"]), [Key::Move(-1), Key::Quit]);
        assert_eq!(keys(&[b"\x1b[1;5Cq\x1b[200~m\x1bOPq"]), [Key::Quit, Key::Sort(Sort::Memory), Key::Quit]);
        assert_eq!(keys(&[b"\x1bq", b"\x1b\x1bq"]), [Key::Quit, Key::Quit], "the escape key alone means nothing");
    }
}
