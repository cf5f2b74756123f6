//! The log of an app, which may be another user's: opened to be read, and the end of it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// The most that is read of the end of a log, in bytes.
const END: u64 = 64 << 10;

/// The bytes of a log as they count: without what is a hole, or is kept behind its end.
#[must_use]
pub fn held(found: &Metadata) -> u64 {
    found.len().min(found.blocks() * 512)
}

/// Opens a log to read it, and says what it is. `None`: it is not there yet.
///
/// `only_of`: a user, of whom alone it may be. No link is followed then, and what is no regular file is not even
/// opened, so that its owner cannot exchange it for anything between two looks.
///
/// # Errors
/// It is no regular file or not that user's, or may not be read.
pub fn open(path: &Path, only_of: Option<u32>) -> io::Result<Option<(File, Metadata)>> {
    let with = |path: &Path, flags: OFlags| {
        OpenOptions::new().read(true).custom_flags((flags | OFlags::NOCTTY).bits() as i32).open(path)
    };
    let follow = if only_of.is_some() { OFlags::NOFOLLOW } else { OFlags::empty() };
    let pinned = match with(path, OFlags::PATH | follow) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        other => other?,
    };
    let found = pinned.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if only_of.is_some_and(|uid| uid != found.uid()) {
        return Err(io::Error::other("no file of its user's"));
    }
    let file = with(Path::new(&format!("/proc/self/fd/{}", pinned.as_raw_fd())), OFlags::NONBLOCK)?;
    Ok(Some((file, found)))
}

/// The end of what stands in a log behind `from`, and where that begins, in bytes.
///
/// # Errors
/// It cannot be read.
pub fn end(mut file: File, from: u64) -> io::Result<(Vec<u8>, u64)> {
    let length = file.metadata()?.len();
    // Rotated by truncation meanwhile: then all of it is new.
    let from = if from > length { 0 } else { from };
    let begins = file.seek(SeekFrom::Start(from.max(length.saturating_sub(END))))?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes)?;
    Ok((bytes, begins))
}
