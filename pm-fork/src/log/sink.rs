//! Where the lines of a stream go, and what happens when they cannot.
//!
//! A disk that is slow makes the app wait: its pipe is not read meanwhile, and nothing is lost. A disk that is full
//! would make it wait for ever: then lines are dropped and counted, and the count is the first thing written once there
//! is room.

use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use pm_common::cli::report;

use super::format::{Format, Wall};
use super::lines::Piece;
use super::output_file::{Failed, LogFile};

/// Which stream of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Stream {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// What could not be written.
#[derive(Debug)]
struct Dropped {
    lines: u64,
    bytes: u64,
    since: Wall,
    why: String,
}

/// The one writer of a target.
#[derive(Debug)]
pub(super) struct Sink {
    file: LogFile,
    format: Format,
    /// The stream whose line has begun and not ended there.
    in_line: Option<Stream>,
    /// What has to be written before anything else: the rest of a line that was cut, or what is said of the drops.
    owed: Vec<u8>,
    dropped: Option<Dropped>,
    /// The last write failed, and that was said.
    failing: bool,
    /// The log could not be rotated, and that was said.
    stuck: bool,
    /// Nobody reads it any more.
    pub(super) gone: bool,
}

impl Sink {
    pub(super) fn new(file: LogFile, format: Format) -> Self {
        let in_line = file.torn.then_some(Stream::Out);
        let owed = if in_line.is_some() { b"\n".to_vec() } else { Vec::new() };
        Self { file, format, in_line, owed, dropped: None, failing: false, stuck: false, gone: false }
    }

    /// Whether this descriptor leads to the same file.
    pub(super) fn is(&self, fd: impl AsFd) -> bool {
        let stat = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).ok().map(|s| (s.st_dev, s.st_ino));
        stat(fd.as_fd()).is_some_and(|there| stat(self.as_fd()) == Some(there))
    }

    pub(super) const fn format(&self) -> &Format {
        &self.format
    }

    /// When it wants to be told the time.
    pub(super) fn deadline(&self, now: Wall) -> Option<Wall> {
        self.file.deadline(now)
    }

    /// The time: a period may have ended. (A line that goes on does not end with it.)
    pub(super) fn tick(&mut self, now: Wall) {
        if self.file.deadline(now).is_some() && self.in_line.is_none() {
            self.file.follow(now);
            if self.file.is_over(now) {
                let _ = self.rotate(now);
            }
        }
    }

    /// Opens the path anew.
    pub(super) fn reopen(&mut self, now: Wall) {
        if let Err(error) = self.file.reopen(now) {
            let why = report::reason(&error);
            report::warning(format_args!("cannot reopen {}: {why}; the old file is used", self.file.name()));
        }
    }

    /// Writes what a stream said; what cannot be written is dropped and counted.
    pub(super) fn write(&mut self, stream: Stream, batch: &[u8], now: Wall) {
        if batch.is_empty() {
            return;
        }
        self.tick(now);
        self.file.follow(now);
        let settled = self.settle(now).map_err(|failed| (0, Failed { written: 0, ..failed }));
        match settled.and_then(|()| self.put(stream, batch, now)) {
            Ok(()) => self.failing = false,
            Err((before, failed)) => self.failed(stream, batch.get(before..).unwrap_or_default(), &failed, now),
        }
    }

    /// Says something of our own among the lines.
    pub(super) fn say(&mut self, text: &str, now: Wall) {
        let line = self.line(text, now);
        self.write(Stream::Err, &line, now);
    }

    /// A warning as a line.
    fn line(&self, text: &str, now: Wall) -> Vec<u8> {
        let (text, head) = (
            format!("{}: warning: {text}", pm_common::cli::tables::PM_LOG.name),
            self.format.head(Stream::Err.name(), now),
        );
        let mut line = Vec::new();
        self.format.append(&head, Piece { text: text.as_bytes(), begins: true, ends: true }, &mut line);
        line
    }

    /// At the end: what is owed is written, or said elsewhere.
    pub(super) fn finish(&mut self, now: Wall) {
        let settled = self.settle(now);
        if let (Err(_), Some(dropped)) = (&settled, &self.dropped) {
            report::warning(format_args!("{}: {}", self.file.name(), dropped.text()));
        }
    }

    /// Writes what is owed.
    fn settle(&mut self, now: Wall) -> Result<(), Failed> {
        self.pay()?;
        let Some(dropped) = self.dropped.take() else { return Ok(()) };
        let in_line = self.in_line.take();
        self.owed.extend(in_line.map(|_| b'\n'));
        let note = self.line(&dropped.text(), now);
        self.owed.extend_from_slice(&note);
        let said = self.pay();
        // Not a byte of it was taken: the count goes on.
        if said.as_ref().is_err_and(|failed| failed.written == 0) {
            self.owed.clear();
            (self.dropped, self.in_line) = (Some(dropped), in_line);
        }
        said
    }

    fn pay(&mut self) -> Result<(), Failed> {
        if self.owed.is_empty() {
            return Ok(());
        }
        let paid = self.file.append(&self.owed);
        let written = paid.as_ref().map_or_else(|failed| failed.written, |()| self.owed.len());
        if let Some(last) = written.checked_sub(1).and_then(|at| self.owed.get(at)) {
            self.in_line = (*last != b'\n').then(|| self.in_line.unwrap_or(Stream::Err));
        }
        self.owed.drain(..written);
        paid
    }

    /// Writes the batch, rotating where that is due; an error comes with the place in the batch that it was writing to.
    fn put(&mut self, stream: Stream, batch: &[u8], now: Wall) -> Result<(), (usize, Failed)> {
        if self.in_line.is_some_and(|other| other != stream) {
            self.end_line().map_err(|failed| (0, failed))?;
        }
        let (mut at, mut stuck) = (0, false);
        while let Some(rest) = batch.get(at..).filter(|rest| !rest.is_empty()) {
            let n = if stuck { rest.len() } else { self.file.fit(rest, self.in_line.is_some()) };
            if n == 0 {
                self.end_line().map_err(|failed| (at, failed))?;
                stuck = !self.rotate(now);
                continue;
            }
            let part = rest.get(..n).unwrap_or_default();
            self.file.append(part).map_err(|failed| (at, failed))?;
            self.in_line = (part.last() != Some(&b'\n')).then_some(stream);
            at += n;
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Failed> {
        if self.in_line.is_some() {
            self.file.append(b"\n").map_err(|failed| Failed { written: 0, ..failed })?;
            self.in_line = None;
        }
        Ok(())
    }

    /// A file that cannot be rotated (false) grows: no line is lost for that.
    fn rotate(&mut self, now: Wall) -> bool {
        let rotated = self.file.rotate(now);
        if let (Err(error), false) = (&rotated, self.stuck) {
            report::warning(format_args!("cannot rotate {}: {}", self.file.name(), report::reason(error)));
        }
        self.stuck = rotated.is_err();
        !self.stuck
    }

    /// Writing failed so far into `rest`: the line that was cut is kept, what follows is dropped.
    fn failed(&mut self, stream: Stream, rest: &[u8], failed: &Failed, now: Wall) {
        self.gone = failed.error.raw_os_error() == Some(libc::EPIPE);
        let (written, mut lost) = rest.split_at(failed.written.min(rest.len()));
        if let Some(last) = written.last() {
            self.in_line = (*last != b'\n').then_some(stream);
            if self.in_line.is_some() {
                let end = lost.iter().position(|byte| *byte == b'\n').map_or(lost.len(), |at| at + 1);
                self.owed.extend_from_slice(lost.get(..end).unwrap_or_default());
                lost = lost.get(end..).unwrap_or_default();
            }
        }
        self.drop_lines(lost, &report::reason(&failed.error), now);
        if !std::mem::replace(&mut self.failing, true) {
            let (name, why) = (self.file.name(), report::reason(&failed.error));
            report::warning(format_args!("cannot write {name}: {why}; lines are dropped until it can be written"));
        }
    }

    fn drop_lines(&mut self, lost: &[u8], why: &str, now: Wall) {
        let dropped =
            self.dropped.get_or_insert_with(|| Dropped { lines: 0, bytes: 0, since: now, why: why.to_owned() });
        dropped.bytes += lost.len() as u64;
        dropped.lines += lost.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.file().as_fd()
    }
}

impl Dropped {
    fn text(&self) -> String {
        let Self { lines, bytes, since, why } = self;
        format!("dropped {lines} lines ({bytes} bytes) since {}: {why}", since.rfc3339())
    }
}
