//! What of a response's head is written over, so that its client hears `Connection: close`: pure.
//!
//! The length stays: the server has counted its bytes already, and goes on after them where the socket takes only some.

use std::ops::Range;

/// As much of what a program writes is looked at; a longer head is left alone.
pub(super) const LONGEST_HEAD: usize = 16 << 10;

/// What is put in the place of a line that says nothing of the connection (RFC 9110, 5.5: spaces around a value are none of
/// its own).
const CLOSE_LINE: &[u8] = b"Connection: close";
const CLOSE: &[u8] = b" close";
/// Lines that may go, if there is none about the connection; the first that is there. A client reads nothing from the
/// lifetime of a connection that closes, and has a clock of its own (RFC 9110, 6.6.1).
const SPARE: [&[u8]; 3] = [b"keep-alive", b"date", b"server"];
/// Where the status line has the minor version, and the one whose connections close unless it is said that they stay
/// (RFC 9112, 9.3).
const MINOR_AT: usize = 7;
const OLDER: &[u8] = b"0";

/// Bytes to be written over, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overwrite {
    /// From the beginning of what is written.
    pub(super) at: usize,
    pub(super) bytes: Vec<u8>,
    /// What has to lie in one piece of memory with it: its line, or the whole head.
    pub(super) within: Range<usize>,
}

impl Overwrite {
    /// The first byte that stays, from the beginning of what is written.
    pub(super) fn end(&self) -> usize {
        self.at + self.bytes.len()
    }

    /// Where its bytes go in the memory of the program: where the pieces that are written lie, with their lengths. `None`:
    /// what it is within is put together of several, and one of them may be text that others of the program's threads use
    /// too.
    pub(super) fn in_memory(&self, pieces: &[(usize, usize)]) -> Option<usize> {
        let mut begin = 0_usize;
        for (address, length) in pieces {
            let end = begin.saturating_add(*length);
            if begin <= self.within.start && self.within.end <= end {
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
    /// No line may go, and it is no response of HTTP/1.0 either.
    NoRoom,
}

/// Whether what is written may be the beginning of a head: the first bytes suffice.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"HTTP/1.";
    bytes.starts_with(BEGIN)
}

/// What the lines of a head say, as far as it matters here; lines as from where to where they go.
#[derive(Debug, Default)]
struct Lines {
    /// The line about the connection, and where its value begins.
    connection: Option<(Range<usize>, usize)>,
    /// Those of [`SPARE`].
    spare: [Option<Range<usize>>; SPARE.len()],
    /// The length of the body is told.
    has_length: bool,
    /// There is a line that an older version has not, or reads in another way.
    is_newer: bool,
}

impl Lines {
    /// Takes note of a line, if it does not forbid all.
    fn add(&mut self, bytes: &[u8], line: Range<usize>) -> Result<(), Untold> {
        let text = bytes.get(line.clone()).unwrap_or_default();
        // A line that goes on (obs-fold), or one of no name: not for us to say what it means.
        let colon = text.iter().position(|b| *b == b':').filter(|n| *n > 0).ok_or(Untold::Otherwise)?;
        let name = text.get(..colon).unwrap_or_default();
        if name.iter().any(|b| !b.is_ascii_graphic()) {
            return Err(Untold::Otherwise);
        }
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("upgrade") || (self.connection.is_some() && is("connection")) {
            return Err(Untold::Otherwise);
        }
        if is("connection") {
            self.connection = Some((line.clone(), line.start + colon + 1));
        }
        self.has_length |= is("content-length");
        // With the lifetime of a connection some clients keep one of HTTP/1.0.
        self.is_newer |= is("transfer-encoding") || is("keep-alive") || is("proxy-connection");
        for (place, word) in self.spare.iter_mut().zip(SPARE) {
            if place.is_none() && name.eq_ignore_ascii_case(word) {
                *place = Some(line.clone());
            }
        }
        Ok(())
    }
}

/// What to write over, so that the response at the beginning of `bytes` closes its connection. What follows its head, be
/// it another one, is not looked at.
pub(super) fn closing(bytes: &[u8]) -> Result<Overwrite, Untold> {
    check_status(bytes)?;
    let mut lines = Lines::default();
    let mut at = line_end(bytes, 0).ok_or(Untold::Unfinished)? + 2;
    loop {
        let end = line_end(bytes, at).ok_or(Untold::Unfinished)?;
        if end == at {
            break;
        }
        lines.add(bytes, at..end)?;
        at = end + 2;
    }
    let Some((line, from)) = lines.connection else {
        let fits = |line: &Range<usize>| line.len() >= CLOSE_LINE.len();
        let spare = lines.spare.iter().flatten().find(|line| fits(line));
        return spare.map_or_else(|| older(bytes, &lines, at + 2), |line| Ok(padded(line, line.start, CLOSE_LINE)));
    };
    let value = bytes.get(from..line.end).unwrap_or_default().trim_ascii();
    if value.eq_ignore_ascii_case(b"close") {
        return Err(Untold::Closes);
    }
    if value.eq_ignore_ascii_case(b"keep-alive") { Ok(padded(&line, from, CLOSE)) } else { Err(Untold::Otherwise) }
}

/// Makes the response one of HTTP/1.0, after which a client closes. Only where the end of the body is known all the same:
/// chunks are not of that version. The head ends before `end`.
fn older(bytes: &[u8], lines: &Lines, end: usize) -> Result<Overwrite, Untold> {
    if bytes.get(MINOR_AT) == Some(&b'0') {
        return if lines.is_newer { Err(Untold::NoRoom) } else { Err(Untold::Closes) };
    }
    let has_end = lines.has_length || matches!(bytes.get(9..12), Some(b"204" | b"304"));
    if lines.is_newer || !has_end {
        return Err(Untold::NoRoom);
    }
    // A status line of its own may be text that all threads share, and others of them answer with chunks.
    Ok(Overwrite { at: MINOR_AT, bytes: OLDER.to_vec(), within: 0..end })
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

fn padded(line: &Range<usize>, from: usize, text: &[u8]) -> Overwrite {
    let mut bytes = text.to_vec();
    // `Connection:keep-alive` has room for more than the word.
    bytes.resize(line.end - from, b' ');
    Overwrite { at: from, bytes, within: line.clone() }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
