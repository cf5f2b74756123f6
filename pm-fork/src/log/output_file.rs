//! A file that lines are appended to: found again by its path, rotated, and never waited for longer than the disk takes.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use pm_common::app::home::Site;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags};
use rustix::process::geteuid;

use super::format::Wall;
use super::predecessors;
use super::rotation_rule::Rotation;

/// A write that failed: so many bytes had been written before.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(super) written: usize,
    pub(super) error: io::Error,
}

/// What lines are written to: a file of ours, under its path, or what we were started with.
#[derive(Debug)]
pub(super) struct LogFile {
    /// `None`: a terminal, a pipe, somebody's file.
    path: Option<PathBuf>,
    /// In the app's own directory: for its user alone, and no symbolic link.
    private: bool,
    file: File,
    /// A regular file; a device or a FIFO is neither rotated nor looked for again.
    regular: bool,
    rotation: Rotation,
    size: u64,
    /// The period that the lines in it are from.
    period: u64,
    /// Its last line has no end: whoever wrote it was killed.
    pub(super) torn: bool,
}

impl LogFile {
    /// Opens the file to append to it, and makes it where it is missing.
    pub(super) fn open(path: &Path, private: bool, rotation: Rotation, now: Wall) -> io::Result<Self> {
        let site = if private { Site::of_name(path) } else { Site::find(path) };
        let file = append(&site?, private)?;
        Self::with(file, path, private, rotation, now)
    }

    fn with(file: File, path: &Path, private: bool, rotation: Rotation, now: Wall) -> io::Result<Self> {
        let found = file.metadata()?;
        let mut opened = Self {
            path: Some(path.to_owned()),
            private,
            file,
            regular: found.is_file(),
            rotation,
            size: 0,
            period: 0,
            torn: false,
        };
        opened.take_stock(&found, now);
        Ok(opened)
    }

    /// What we were started with.
    pub(super) fn inherited(fd: OwnedFd, rotation: Rotation) -> Self {
        let file = File::from(fd);
        Self { path: None, private: false, file, regular: false, rotation, size: 0, period: 0, torn: false }
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "the output".to_owned(), |path| path.display().to_string())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// How much of these lines goes into it as it is; 0: it has to be rotated first.
    pub(super) fn fit(&self, batch: &[u8], in_line: bool) -> usize {
        if self.regular { self.rotation.fit(self.size, batch, in_line) } else { batch.len() }
    }

    /// When its period is over.
    pub(super) fn deadline(&self, now: Wall) -> Option<Wall> {
        self.rotation.next(now).filter(|_| self.regular)
    }

    /// Whether its lines are from an earlier period. (A clock that was set back begins none.)
    pub(super) fn is_over(&mut self, now: Wall) -> bool {
        let period = self.rotation.period(now);
        let over = self.regular && period > self.period && self.size > 0;
        self.period = self.period.max(period);
        over
    }

    /// Makes sure that what follows goes to where the path leads now: logrotate or a person may have moved the file,
    /// removed it, or emptied it. Where nothing can be opened there, the old file it is.
    pub(super) fn follow(&mut self, now: Wall) {
        if !self.regular {
            return;
        }
        let Ok(ours) = self.file.metadata() else { return };
        match self.path.as_ref().map(fs::metadata) {
            Some(Ok(there)) if same(&there, &ours) => self.size = there.len(),
            _ => _ = self.reopen(now),
        }
    }

    /// Opens the path anew, if it has one.
    pub(super) fn reopen(&mut self, now: Wall) -> io::Result<()> {
        if let Some(path) = &self.path {
            *self = Self::open(path, self.private, self.rotation, now)?;
        }
        Ok(())
    }

    /// Moves the file out of the way, those before it too, and begins a new one like it.
    pub(super) fn rotate(&mut self, now: Wall) -> io::Result<()> {
        let path = self.path.clone().unwrap_or_default();
        let site = Site::of_name(&path)?;
        let name = path.file_name().unwrap_or_default();
        if self.rotation.keep == 0 {
            site.remove(name)?;
        } else {
            predecessors::move_up(&site, name, name, &self.rotation)?;
        }
        predecessors::remove_surplus(&site, name, &self.rotation)?;
        let old = self.file.metadata()?;
        // What somebody else has put there meanwhile is not ours to give away.
        match site.open(OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL, 0o600) {
            Ok(file) => {
                *self = Self::with(file, &path, self.private, self.rotation, now)?;
                self.take_after(&old);
                Ok(())
            }
            Err(_) => self.reopen(now),
        }
    }

    /// Appends. An error that is no error is not one: a signal, or an output that takes no more just now.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let result = write_all(&self.file, bytes);
        self.size += result.as_ref().map_or_else(|failed| failed.written, |()| bytes.len()) as u64;
        result
    }

    fn take_stock(&mut self, found: &Metadata, now: Wall) {
        self.size = found.len();
        let modified = u64::try_from(found.mtime()).unwrap_or(0).saturating_mul(1000);
        self.period = self.rotation.period(if self.size > 0 { Wall(modified) } else { now });
        let mut last = [0];
        // A file that we may not read is taken for a good one.
        let read = self.regular && self.size > 0 && self.file.read_at(&mut last, self.size - 1).is_ok_and(|n| n == 1);
        self.torn = read && last != *b"\n";
    }

    /// The new file is for whom the old one was for.
    fn take_after(&self, old: &Metadata) {
        let Ok(new) = self.file.metadata() else { return };
        // Only root may; for others the file is theirs. One that root has made in another user's directory is that user's.
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) && new.uid() == geteuid().as_raw() {
            let _ = std::os::unix::fs::fchown(&self.file, Some(old.uid()), Some(old.gid()));
        }
        if new.mode() != old.mode() {
            let _ = self.file.set_permissions(old.permissions());
        }
    }
}

fn same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Opens the file of this site to append to it; a private one is for its user alone.
fn append(site: &Site, private: bool) -> io::Result<File> {
    let mode = if private { 0o600 } else { 0o666 };
    // To be read, too, for its last byte; where only writing is allowed, that has to do. (A FIFO that we read ourselves
    // would seem to have a reader.)
    let regular = site.metadata().is_none_or(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile);
    match site.append(if regular { OFlags::RDWR } else { OFlags::WRONLY }, mode) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => site.append(OFlags::WRONLY, mode),
        other => other,
    }
}

/// Writes it all, or says how far it came.
pub(crate) fn write_all(to: &impl AsFd, bytes: &[u8]) -> Result<(), Failed> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match rustix::io::write(to, rest) {
            Ok(n) => written += n,
            Err(rustix::io::Errno::INTR) => {}
            // An output that was handed to us may be one that does not block; its reader has the say.
            Err(rustix::io::Errno::AGAIN) => _ = poll(&mut [PollFd::new(to, PollFlags::OUT)], None),
            Err(error) => return Err(Failed { written, error: error.into() }),
        }
    }
    Ok(())
}

/// A descriptor that others have, too.
pub(super) fn duplicate(fd: &impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}
