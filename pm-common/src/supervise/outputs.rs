//! Where the output of workers goes: to ours, or to files that each start opens anew (so that they may be moved away).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::app::home::Site;
use crate::cli::{globs, report};

/// Files for the output of workers; `%s` in a name is the slot. None: our own stdout and stderr.
#[derive(Debug, Default)]
pub struct Outputs {
    out: Option<PathBuf>,
    err: Option<PathBuf>,
}

/// What one worker writes to.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) out: Option<OwnedFd>,
    pub(super) err: Option<OwnedFd>,
}

impl Outputs {
    /// Files for stdout and stderr; relative ones are in `base`.
    #[must_use]
    pub fn new(out: Option<&Path>, err: Option<&Path>, base: &Path) -> Self {
        let place = |file: &Path| base.join(file);
        Self { out: out.map(place), err: err.map(place) }
    }

    /// The patterns of all files that there may be.
    pub(super) fn globs(&self) -> impl Iterator<Item = String> {
        [&self.out, &self.err]
            .into_iter()
            .flatten()
            .map(|file| globs::literal(&file.to_string_lossy()).replace("%s", "*"))
    }

    /// The file for the errors of this slot's workers.
    pub(super) fn err_of(&self, slot: u32) -> Option<PathBuf> {
        self.err.as_deref().map(|file| named(file, slot))
    }

    /// Opens what a worker of this slot is to write to.
    ///
    /// # Errors
    /// That of open(2), with the file's name.
    pub(super) fn open(&self, slot: u32) -> io::Result<Opened> {
        let one = |file: &Option<PathBuf>| file.as_deref().map(|file| open(&named(file, slot))).transpose();
        Ok(Opened { out: one(&self.out)?, err: one(&self.err)? })
    }
}

fn named(file: &Path, slot: u32) -> PathBuf {
    let (mut name, mut rest) = (Vec::new(), file.as_os_str().as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        match rest.strip_prefix(b"%s") {
            Some(after) => {
                name.extend(slot.to_string().bytes());
                rest = after;
            }
            None => {
                name.push(*byte);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(name).into()
}

fn open(file: &Path) -> io::Result<OwnedFd> {
    let complete = |error: io::Error| {
        let why = report::reason(&error);
        io::Error::new(error.kind(), format!("cannot open {} for a worker's output: {why}", file.display()))
    };
    // A FIFO that nobody reads would hold us up: it is refused, and one that is read is written to as any other.
    let opened = Site::find(file).and_then(|site| site.append(OFlags::WRONLY, 0o600));
    opened.map(OwnedFd::from).map_err(complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_put_into_the_name_wherever_it_is_asked_for() {
        let cases = [("out.log", "out.log"), ("%s.log", "7.log"), ("d%s/%s-%d%", "d7/7-%d%"), ("%%s", "%7"), ("", "")];
        for (given, name) in cases {
            assert_eq!(named(Path::new(given), 7), Path::new(name), "{given}");
        }
    }

    #[test]
    fn a_relative_file_is_in_the_base_and_the_descriptor_blocks() {
        let base = tempfile::tempdir().expect("a directory");
        let outputs = Outputs::new(Some(Path::new("%s.out")), None, base.path());
        let opened = outputs.open(3).expect("opened");
        assert!(base.path().join("3.out").is_file() && opened.err.is_none());
        let flags = rustix::fs::fcntl_getfl(opened.out.expect("opened")).expect("flags");
        assert!(flags.contains(OFlags::APPEND) && !flags.contains(OFlags::NONBLOCK), "{flags:?}");
    }
}
