//! A file that lines are appended to: found again by its path, rotated, and never waited for longer than the disk takes.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;

use super::format::Wall;
use super::rotation::Rotation;

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
        let file = append(path, private)?;
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
        let numbered = |n: u32| {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        let there = |n: u32| fs::symlink_metadata(numbered(n)).is_ok();
        if self.rotation.keep == 0 {
            fs::remove_file(&path)?;
        } else {
            for (from, to) in self.rotation.shifts(there) {
                fs::rename(numbered(from), numbered(to))?;
            }
            fs::rename(&path, numbered(1))?;
        }
        self.rotation.surplus(there).try_for_each(|n| fs::remove_file(numbered(n)))?;
        let old = self.file.metadata()?;
        self.reopen(now)?;
        self.take_after(&old);
        Ok(())
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
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            // Only root may; for others the file is theirs.
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

fn append(path: &Path, private: bool) -> io::Result<File> {
    let (mode, flags) = if private { (0o600, libc::O_NOFOLLOW) } else { (0o666, 0) };
    let regular = fs::metadata(path).map_or(true, |found| found.is_file());
    // To be read, too, for its last byte; where only writing is allowed, that has to do.
    match open_to_append(OpenOptions::new().read(regular), path, mode, flags) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_to_append(&mut OpenOptions::new(), path, mode, flags)
        }
        other => other,
    }
}

/// Opens a file to append to. A FIFO without a reader is an error, where it would else hold us up; and a terminal does
/// not become that of our session.
pub(crate) fn open_to_append(options: &mut OpenOptions, path: &Path, mode: u32, flags: i32) -> io::Result<File> {
    options.append(true).create(true).mode(mode).custom_flags(flags | libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
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
