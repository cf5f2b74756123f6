//! What a failing worker wrote last, where stderr goes to the app's own err.log, by itself or through pm-log.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::app::home::Site;
use crate::app::log_file;

/// The lines that are kept.
const LINES: usize = 20;

/// The app's err.log, where our stderr and so the workers' ends up, or a file for the errors of one slot's workers.
#[derive(Debug)]
pub struct ErrLog {
    path: PathBuf,
    from: u64,
}

impl ErrLog {
    /// A file in which counts what is written behind `from`, in bytes.
    #[must_use]
    pub const fn at(path: PathBuf, from: u64) -> Self {
        Self { path, from }
    }

    /// The err.log of the app's directory; `None` where stderr goes elsewhere. A pipe may be that of pm-log; if it is
    /// another, nothing is written to the file, and nothing is taken from it.
    #[must_use]
    pub fn of(directory: Option<&Path>) -> Option<Self> {
        let path = directory?.join("err.log");
        let (there, ours) = (path.metadata().ok()?, rustix::fs::fstat(rustix::stdio::stderr()).ok()?);
        let is_pipe = rustix::fs::FileType::from_raw_mode(ours.st_mode) == rustix::fs::FileType::Fifo;
        let direct = there.dev() == ours.st_dev && there.ino() == ours.st_ino;
        (direct || is_pipe).then_some(Self { from: there.len(), path })
    }

    /// The file that a worker which starts now writes its errors to.
    pub(super) fn from_now(path: PathBuf) -> Self {
        let mut log = Self { path, from: 0 };
        log.mark();
        log
    }

    /// This file again, in which only what is written from now on counts.
    pub(super) fn again_from_now(&self) -> Self {
        Self::from_now(self.path.clone())
    }

    /// What is written from now on counts.
    pub fn mark(&mut self) {
        self.from = self.path.metadata().map_or(0, |m| m.len());
    }

    /// The last lines written since the mark.
    #[must_use]
    pub fn last_lines(&self) -> Vec<String> {
        self.last(LINES)
    }

    /// The last lines written since the mark, so many at most.
    #[must_use]
    pub fn last(&self, most: usize) -> Vec<String> {
        self.read().map_or_else(|_| Vec::new(), |bytes| last_lines(&bytes, most))
    }

    fn read(&self) -> std::io::Result<Vec<u8>> {
        let file = Site::find(&self.path)?.open(OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
        Ok(log_file::end(file, self.from)?.0)
    }
}

fn last_lines(bytes: &[u8], most: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(most)).map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_since_the_mark_and_of_that_the_last_lines() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("err.log");
        std::fs::write(&path, "old\n").expect("written");
        let mut log = ErrLog { path: path.clone(), from: 0 };
        log.mark();
        assert_eq!(log.last_lines(), [""; 0]);
        let new: String = (0..30).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, format!("old\n{new}")).expect("written");
        let lines = log.last_lines();
        assert_eq!((lines.len(), lines.first().map(String::as_str)), (20, Some("line 10")));
        std::fs::write(&path, "x\n").expect("truncated");
        assert_eq!(log.last_lines(), ["x"], "after a rotation by truncation");
    }
}
