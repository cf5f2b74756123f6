//! One log: the file that its path leads to, read from where the last lines begin.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use pm_common::app::log_file;

use crate::log::lines::{Lines, Piece};

/// So much is read at once.
pub(super) const CHUNK: usize = 128 << 10;

/// What has no end of a line for so long is no text (a hole that a truncated log begins with): nothing before it is looked
/// at.
const LONGEST: u64 = 1 << 20;

/// So much of what was read last is known, to find the place again when the file was rotated.
const KNOWN: usize = 64;

/// An open log.
#[derive(Debug)]
pub(super) struct OpenLog {
    path: PathBuf,
    only_of: Option<u32>,
    /// What was read last: its end.
    known: Vec<u8>,
    pub(super) file: File,
    id: (u64, u64),
    /// How far it has been read.
    at: u64,
    lines: Lines,
    /// Number of its watch, where it is followed.
    pub(super) watch: Option<i32>,
    /// The file may hold more.
    pub(super) more: bool,
}

impl OpenLog {
    /// Opens a log, to be read from its beginning. `None`: it is not there yet.
    ///
    /// # Errors
    /// As [`log_file::open`].
    pub(super) fn open(path: &Path, only_of: Option<u32>) -> io::Result<Option<Self>> {
        let opened = log_file::open(path, only_of)?;
        let Some((file, found)) = opened else { return Ok(None) };
        let id = (found.dev(), found.ino());
        let path = path.to_owned();
        Ok(Some(Self {
            path,
            only_of,
            known: Vec::new(),
            file,
            id,
            at: 0,
            lines: Lines::default(),
            watch: None,
            more: true,
        }))
    }

    /// Goes to where the last lines begin.
    pub(super) fn seek_last(&mut self, lines: u64) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        self.at = start_of_last(&self.file, end, lines)?;
        Ok(())
    }

    /// Whether it is the same file, under whatever name.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Passes on what was written, up to so many bytes as `buffer` has.
    pub(super) fn read(&mut self, buffer: &mut [u8], take: impl FnMut(Piece<'_>)) -> io::Result<()> {
        let mut length = self.file.read_at(buffer, self.at)?;
        let mut take = take;
        if length == 0 && self.file.metadata()?.len() < self.at {
            // It was rotated or truncated. Only a shorter file can be told from one that grew.
            if let Some((missed, at)) = self.rotated() {
                self.lines.push(&missed, &mut take);
                self.at = at;
            } else {
                self.at = 0;
                self.lines.finish(&mut take);
            }
            length = self.file.read_at(buffer, self.at)?;
        }
        self.at += length as u64;
        self.known.extend(buffer.get(length.saturating_sub(KNOWN)..length).unwrap_or_default());
        self.known.drain(..self.known.len().saturating_sub(KNOWN));
        self.more = length == buffer.len();
        self.lines.push(buffer.get(..length).unwrap_or_default(), take);
        Ok(())
    }

    /// Where to go on, and what was not read before, if the beginning of the file was moved to FILE.1 (`pm-log --rotate`): what
    /// we know from before stands there or here.
    fn rotated(&self) -> Option<(Vec<u8>, u64)> {
        let mut name = self.path.file_name()?.to_owned();
        name.push(".1");
        let (before, found) = log_file::open(&self.path.with_file_name(name), self.only_of).ok()??;
        // The rest of a line that stands there as a whole is blank here.
        let mut head = vec![0; CHUNK];
        let length = self.file.read_at(&mut head, 0).ok()?;
        let head = head.get(..length).unwrap_or_default();
        let blanks = head.iter().take_while(|byte| **byte == b' ').count();
        let blank = if head.get(blanks) == Some(&b'\n') { blanks as u64 + 1 } else { 0 };
        let know = |file: &File, at: u64, from: u64| {
            let most = usize::try_from(at.checked_sub(from)?).ok()?.min(self.known.len());
            let mut there = vec![0; most];
            file.read_exact_at(&mut there, at - most as u64).ok()?;
            self.known.ends_with(&there).then_some(())
        };
        if let Some(rest) = found.len().checked_sub(self.at) {
            know(&before, self.at, 0)?;
            let mut missed = vec![0; usize::try_from(rest).ok()?];
            before.read_exact_at(&mut missed, self.at).ok()?;
            return Some((missed, blank));
        }
        let at = self.at - found.len().checked_sub(blank)?;
        know(&self.file, at, blank)?;
        Some((Vec::new(), at))
    }

    /// Passes on the line that has not ended: nothing follows it.
    pub(super) fn finish(&mut self, take: impl FnMut(Piece<'_>)) {
        self.lines.finish(take);
    }
}

/// Where the last so many lines begin; one that has not ended counts.
fn start_of_last(file: &File, length: u64, lines: u64) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let (mut end, mut left, mut begins) = (length, lines, length);
    while end > 0 && lines > 0 {
        if begins - end >= LONGEST {
            return Ok(if begins < length { begins } else { end });
        }
        let from = end.saturating_sub(CHUNK as u64);
        let block = buffer.get_mut(..(end - from) as usize).unwrap_or_default();
        file.read_exact_at(block, from)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let next = from + at as u64 + 1;
            if next == length {
                continue;
            }
            begins = next;
            left -= 1;
            if left == 0 {
                return Ok(next);
            }
        }
        end = from;
    }
    Ok(if lines == 0 { length } else { 0 })
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let path = tempfile::tempdir().expect("a directory");
        let path = path.path().join("log");
        let long = format!("{}\n", "x".repeat(CHUNK));
        for (text, lines, wanted) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\n", 9, "a\nb\n"),
            ("\n\n\n", 2, "\n\n"),
            ("a\n", 0, ""),
            ("", 3, ""),
            (&format!("a\n{long}b\n"), 2, &format!("{long}b\n")),
            (&long.repeat(3), 1, &long),
        ] {
            std::fs::create_dir_all(path.parent().expect("above")).expect("made");
            std::fs::write(&path, text).expect("written");
            let file = File::open(&path).expect("there");
            let start = start_of_last(&file, text.len() as u64, lines).expect("read");
            assert_eq!(text.get(start as usize..), Some(wanted));
        }
    }

    /// What is copied and truncated (logrotate) under a program that does not append begins with a hole.
    #[test]
    fn a_hole_is_not_looked_through() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("log");
        for (text, length, wanted) in [("a\nb\n", 1 << 32, (1 << 32) + 2), ("", 1 << 32, (1 << 32) - LONGEST)] {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(true).open(&path).expect("made");
            file.set_len(length).expect("sparse");
            file.write_all_at(text.as_bytes(), length).expect("written");
            assert_eq!(start_of_last(&file, length + text.len() as u64, 15).expect("read"), wanted);
        }
    }
}
