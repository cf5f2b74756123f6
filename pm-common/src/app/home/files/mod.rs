//! Files in the directories of apps, below a directory that is held open: whoever can write there, no link, FIFO, huge
//! file or exchanged directory leads a reader or a writer elsewhere (openat(2), "Rationale for openat()").

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, mknodat, openat, renameat, unlinkat};
use rustix::process::geteuid;

use super::not_owner::as_owner;
use crate::sys::random;

mod named_path;

use named_path::walk;
pub use named_path::{Site, make_dirs};

/// How often a random name may be taken before we believe that it is not chance.
const TRIES: u32 = 16;

/// A directory, held open.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    owner: u32,
}

impl Folder {
    /// Opens a directory to read in it, whoever owns it. A symbolic link is refused.
    ///
    /// # Errors
    /// It is none, or may not be opened.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty())?;
        let owner = rustix::fs::fstat(&fd)?.st_uid;
        Ok(Self { fd, owner })
    }

    /// Opens a directory to write in it: our own, or root's where users share it.
    ///
    /// # Errors
    /// It is another user's, none, or may not be opened.
    pub fn open_to_write(dir: &Path) -> io::Result<Self> {
        let (above, name) = (dir.parent().unwrap_or(dir), dir.file_name().unwrap_or_default());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::to_write(openat(
            walk(above)?,
            if name.is_empty() { OsStr::new(".") } else { name },
            flags,
            Mode::empty(),
        )?)
    }

    /// Opens a directory in this one to write in it, as [`Folder::open_to_write`].
    ///
    /// # Errors
    /// As [`Folder::open_to_write`].
    pub fn below_to_write(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::to_write(openat(&self.fd, name, flags, Mode::empty())?)
    }

    /// Opens the directory of all apps to write in it. It may be a link: as with those that lead there, one of ours or root's.
    ///
    /// # Errors
    /// As [`Folder::open_to_write`].
    pub fn open_place(place: &Path) -> io::Result<Self> {
        Self::to_write(walk(place)?)
    }

    fn to_write(fd: OwnedFd) -> io::Result<Self> {
        let owner = rustix::fs::fstat(&fd)?.st_uid;
        let folder = Self { fd, owner };
        if owner == 0 { Ok(folder) } else { folder.only_ours() }
    }

    /// This one, if it is our own.
    pub(super) fn only_ours(self) -> io::Result<Self> {
        let (owner, us) = (self.owner, geteuid().as_raw());
        if owner != us {
            return Err(io::Error::other(format!("it belongs to user {owner}, we are {us}{}", as_owner(owner))));
        }
        Ok(self)
    }

    /// Reads a file of at most so many bytes.
    ///
    /// # Errors
    /// It cannot be read, is larger, no regular file, or a file of somebody who has no business here.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        read_all(self.open_file(name)?, most)
    }

    /// Opens a file to read it: a regular one, of the directory's owner, of root or of ours.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        self.check(&file)?;
        Ok(file)
    }

    /// Opens a file whose locks are of interest, and makes it, mode 0600, if it is not there. Where another user has it, who
    /// could keep its locks for ever, one of our own.
    ///
    /// # Errors
    /// It cannot be made or written, is no regular file, or a file of somebody who has no business here.
    pub(super) fn open_lock(&self, name: &str) -> io::Result<File> {
        self.open_lock_called(name).or_else(|_| self.open_lock_called(&format!("{name}.{}", geteuid().as_raw())))
    }

    fn open_lock_called(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(openat(&self.fd, name, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?);
        self.check(&file)?;
        Ok(file)
    }

    /// Replaces a file, mode 0600: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// It cannot be written; the old one is as it was.
    pub fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let (new, mut file) = self.create_new(name)?;
        let written = file.write_all(contents).and_then(|()| Ok(renameat(&self.fd, &new, &self.fd, name)?));
        // On a full disk, half a file would be in the way of what comes next.
        written.inspect_err(|_| _ = self.remove(&new))
    }

    /// Replaces a file as [`Folder::replace`] does, and waits until the disk has it.
    ///
    /// # Errors
    /// As [`Folder::replace`].
    pub fn replace_for_good(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let (new, mut file) = self.create_new(name)?;
        let written = file.write_all(contents).and_then(|()| file.sync_all());
        let written = written.and_then(|()| Ok(renameat(&self.fd, &new, &self.fd, name)?));
        written.inspect_err(|_| _ = self.remove(&new))
    }

    /// Empties a file of ours. False: there is none.
    ///
    /// # Errors
    /// It is another user's, no regular file, or cannot be written.
    pub fn truncate(&self, name: &str) -> io::Result<bool> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            other => File::from(other?),
        };
        self.check(&file)?;
        file.set_len(0).map(|()| true)
    }

    /// Makes a FIFO in the place of whatever has the name, mode 0600, and opens both its ends as one: it never ends.
    ///
    /// # Errors
    /// It cannot be made: the filesystem may know none.
    pub fn make_fifo(&self, name: &str) -> io::Result<File> {
        for _ in 0..TRIES {
            let new = hidden(name);
            match mknodat(&self.fd, &new, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
                Err(rustix::io::Errno::EXIST) => continue,
                other => other?,
            }
            let made = self.open_fifo(&new, OFlags::RDWR).and_then(|fifo| {
                renameat(&self.fd, &new, &self.fd, name)?;
                Ok(fifo)
            });
            return made.inspect_err(|_| _ = self.remove(&new));
        }
        Err(io::Error::from_raw_os_error(nix::libc::EEXIST))
    }

    /// Opens a FIFO to write to it without waiting (O_NONBLOCK): one of the directory's owner, of root or of ours.
    ///
    /// # Errors
    /// ENXIO: nobody has it open to read; it is none, or one of somebody who has no business here.
    pub fn fifo_to_write(&self, name: &str) -> io::Result<File> {
        self.open_fifo(name, OFlags::WRONLY | OFlags::NONBLOCK)
    }

    fn open_fifo(&self, name: &str, how: OFlags) -> io::Result<File> {
        let flags = how | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fifo = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        self.check_kind(&fifo, FileType::Fifo)?;
        Ok(fifo)
    }

    /// Removes a file; that there is none is no error.
    ///
    /// # Errors
    /// That of unlinkat(2).
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Gives a file or a directory another name here.
    ///
    /// # Errors
    /// That of renameat(2).
    pub fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, name, &self.fd, new)?)
    }

    /// Removes a file, or a directory with all that is in it; links are removed, and not followed.
    ///
    /// # Errors
    /// One of them cannot be removed.
    pub fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(rustix::io::Errno::ISDIR) => {}
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            other => return Ok(other?),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = Self { fd: openat(&self.fd, name, flags, Mode::empty())?, owner: self.owner };
        let entries = rustix::fs::Dir::read_from(&below.fd)?.collect::<Result<Vec<_>, _>>()?;
        for entry in &entries {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                below.remove_tree(name)?;
            }
        }
        Ok(unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    fn create_new(&self, name: &str) -> io::Result<(String, File)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let new = hidden(name);
            match openat(&self.fd, &new, flags, Mode::RUSR | Mode::WUSR) {
                Err(rustix::io::Errno::EXIST) => {}
                other => return Ok((new, File::from(other?))),
            }
        }
        Err(io::Error::from_raw_os_error(nix::libc::EEXIST))
    }

    fn check(&self, file: &File) -> io::Result<()> {
        self.check_kind(file, FileType::RegularFile)
    }

    fn check_kind(&self, file: &File, kind: FileType) -> io::Result<()> {
        let found = rustix::fs::fstat(file)?;
        if FileType::from_raw_mode(found.st_mode) != kind {
            return Err(io::Error::other(if kind == FileType::Fifo { "not a FIFO" } else { "not a regular file" }));
        }
        // Where hard links to others' files may be made (fs.protected_hardlinks=0), a second name may be such a link.
        let trusted = found.st_nlink == 1 && (found.st_uid == 0 || found.st_uid == geteuid().as_raw());
        if found.st_uid != self.owner && !trusted {
            return Err(io::Error::other(format!("it is a file of user {}", found.st_uid)));
        }
        Ok(())
    }
}

/// A name in passing, which nobody can know beforehand.
fn hidden(name: &str) -> String {
    format!(".{name}.{:016x}", random::seed())
}

/// Reads a file in the directory `dir` ([`Folder::read`]).
///
/// # Errors
/// As [`Folder::read`].
pub fn read_file(dir: &Path, name: &str, most: u64) -> io::Result<Vec<u8>> {
    Folder::open(dir)?.read(name, most)
}

/// Replaces a file in a directory of ours, mode 0600: a reader sees the old one or the new one.
///
/// # Errors
/// It cannot be written; the old one is as it was.
pub fn replace_file(dir: &Path, name: &str, contents: &[u8]) -> io::Result<()> {
    Folder::open_to_write(dir)?.replace(name, contents)
}

/// Removes a file in a directory of ours; that there is none is no error.
///
/// # Errors
/// It cannot be removed.
pub fn remove_file(dir: &Path, name: &str) -> io::Result<()> {
    Folder::open_to_write(dir)?.remove(name)
}

/// Reads all of an open file, which may be at most so large.
pub(super) fn read_all(file: File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    // With a little more room than it needs, the end is found without another allocation.
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(most)).unwrap_or(0).saturating_add(64));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        return Err(io::Error::other(format!("larger than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
