//! What of a response's head is written over, so that its client hears `Connection: close`: pure.
//!
//! The length stays: the server has counted its bytes already, and goes on after them where the socket takes only some.

/// As much of what a program writes is looked at; a longer head is left alone.
pub(super) const LONGEST_HEAD: usize = 16 << 10;

/// What is put in the place of a line that says nothing of the connection (RFC 9110, 5.5: spaces around a value are none of
/// its own).
const CLOSE_LINE: &[u8] = b"Connection: close";
const CLOSE: &[u8] = b" close";
/// Lines that may go, if there is none about the connection; the first that is there. A client reads nothing from the
/// lifetime of a connection that closes, and has a clock of its own (RFC 9110, 6.6.1).
const SPARE: [&[u8]; 3] = [b"keep-alive", b"date", b"server"];

/// Bytes to be written over, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overwrite {
    /// From the beginning of what is written.
    pub(super) at: usize,
    pub(super) bytes: Vec<u8>,
    /// Where its line begins, which `bytes` go to the end of.
    pub(super) line: usize,
}

impl Overwrite {
    /// The first byte that stays, from the beginning of what is written.
    pub(super) fn end(&self) -> usize {
        self.at + self.bytes.len()
    }

    /// Where its bytes go in the memory of the program: where the pieces that are written lie, with their lengths. `None`:
    /// its line is put together of several, and one of them may be text that others of the program's threads use too.
    pub(super) fn in_memory(&self, pieces: &[(usize, usize)]) -> Option<usize> {
        let mut begin = 0_usize;
        for (address, length) in pieces {
            let end = begin.saturating_add(*length);
            if begin <= self.line && self.end() <= end {
                return address.checked_add(self.at - begin);
            }
            begin = end;
        }
        None
    }
}

/// Why a client is not told with these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untold {
    /// No response of HTTP/1 begins the bytes.
    NoHead,
    /// The head goes on elsewhere: what follows may say anything.
    Unfinished,
    /// 100 to 199: the response is still to come, or the connection is no longer HTTP's.
    Interim,
    /// Close is said already.
    Closes,
    /// Other words are said of the connection, an upgrade above all.
    Otherwise,
    /// No line may go.
    NoRoom,
}

/// Whether what is written may be the beginning of a head: the first bytes suffice.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"HTTP/1.";
    bytes.starts_with(BEGIN)
}

/// What to write over, so that the response at the beginning of `bytes` closes its connection. What follows its head, be
/// it another one, is not looked at.
pub(super) fn closing(bytes: &[u8]) -> Result<Overwrite, Untold> {
    check_status(bytes)?;
    let mut spare: [Option<(usize, usize)>; SPARE.len()] = [None; SPARE.len()];
    let mut connection = None;
    let mut at = line_end(bytes, 0).ok_or(Untold::Unfinished)? + 2;
    loop {
        let end = line_end(bytes, at).ok_or(Untold::Unfinished)?;
        if end == at {
            break;
        }
        let line = bytes.get(at..end).unwrap_or_default();
        // A line that goes on (obs-fold), or one of no name: not for us to say what it means.
        let colon = line.iter().position(|b| *b == b':').filter(|n| *n > 0).ok_or(Untold::Otherwise)?;
        let (name, value) = line.split_at(colon);
        if name.iter().any(|b| b.is_ascii_whitespace() || !b.is_ascii_graphic()) {
            return Err(Untold::Otherwise);
        }
        if name.eq_ignore_ascii_case(b"upgrade") || (connection.is_some() && name.eq_ignore_ascii_case(b"connection")) {
            return Err(Untold::Otherwise);
        }
        if name.eq_ignore_ascii_case(b"connection") {
            connection = Some((at, at + colon + 1, end, value.get(1..).unwrap_or_default().trim_ascii()));
        }
        for (place, word) in spare.iter_mut().zip(SPARE) {
            if place.is_none() && name.eq_ignore_ascii_case(word) {
                *place = Some((at, end));
            }
        }
        at = end + 2;
    }
    match connection {
        Some((_, _, _, value)) if value.eq_ignore_ascii_case(b"close") => Err(Untold::Closes),
        Some((line, from, to, value)) if value.eq_ignore_ascii_case(b"keep-alive") => Ok(padded(line, from, to, CLOSE)),
        Some(_) => Err(Untold::Otherwise),
        None => {
            let fits = |(from, to): &(usize, usize)| to - from >= CLOSE_LINE.len();
            let (from, to) = spare.into_iter().flatten().find(fits).ok_or(Untold::NoRoom)?;
            Ok(padded(from, from, to, CLOSE_LINE))
        }
    }
}

/// `HTTP/1.x NNN`, and no 1xx.
fn check_status(bytes: &[u8]) -> Result<(), Untold> {
    let Some((begin, rest)) = bytes.split_at_checked(12) else { return Err(Untold::NoHead) };
    let version = may_begin(begin) && matches!(begin.get(7..9), Some(b"0 " | b"1 "));
    let status = begin.get(9..12).unwrap_or_default();
    if !version || !status.iter().all(u8::is_ascii_digit) || !matches!(rest.first(), None | Some(b' ' | b'\r')) {
        return Err(Untold::NoHead);
    }
    if status.first() == Some(&b'1') { Err(Untold::Interim) } else { Ok(()) }
}

/// Where the line that begins at `from` ends: its CR LF; none if one of the two stands alone.
fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n'))?;
    rest.get(end..)?.starts_with(b"\r\n").then_some(from + end)
}

fn padded(line: usize, from: usize, to: usize, text: &[u8]) -> Overwrite {
    let mut bytes = text.to_vec();
    // `Connection:keep-alive` has room for more than the word.
    bytes.resize(to - from, b' ');
    Overwrite { at: from, bytes, line }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
