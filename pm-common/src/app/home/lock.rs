//! The lock of an app: a POSIX record lock on `lock` in its directory, held by the outermost supervisor for life.
//!
//! It belongs to the process: exec keeps it, a child does not have it, and closing ANY descriptor of the file in the
//! process drops it. So the holder never opens the file a second time (fcntl(2), "Advisory record locking").
//!
//! Who holds the lock of a file that was removed (by a cleaner of old files) has that file open still: that tells, and the
//! holder makes the file anew when it next has something to say (`lock_restore`).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::files::{Folder, read_file};
use crate::app::status;
use crate::kernel::procfs;
use crate::sys::daemon;

/// The descriptor is moved here or above: a program such as `sh -c 'exec 3<x'` would close a low one, and the lock with it.
const HIGH: i32 = 200;
/// How often the directory or the holder may change under our hands before we believe that it is not chance.
const TRIES: u32 = 20;

/// What the file `pid` holds, in bytes, and how many processes are looked at that may have the lock.
const LONGEST_PID: u64 = 32;
const MOST_NAMED: usize = 100;

/// The lock, held. Dropping it gives it up.
#[derive(Debug)]
pub struct Lock {
    file: OwnedFd,
}

/// Who has the lock after a try to take it.
#[derive(Debug)]
pub enum Claim {
    /// We have.
    Ours(Lock),
    /// Another process has: its pid, unless it is in another pid namespace.
    Theirs(Option<i32>),
}

impl Lock {
    /// Tries to take the lock of the app in `dir`. It never waits.
    ///
    /// A lock that was taken by this process before it exec'ed is found, not taken again.
    ///
    /// # Errors
    /// There is no such directory, or the file cannot be made or locked.
    pub fn claim(dir: &Path) -> io::Result<Claim> {
        let path = dir.join("lock");
        for _ in 0..TRIES {
            let file = daemon::inherited_file(&path).map_or_else(|| open(&path), Ok)?;
            if set(&file)? {
                // The directory may have been removed and made again since the file was opened.
                if is_at(&file, &path)? {
                    let other = holder_of_removed(dir);
                    return Ok(other.map_or(Claim::Ours(Self { file }), |pid| Claim::Theirs(Some(pid))));
                }
            } else if let Some(holder) = get(&file)? {
                return Ok(Claim::Theirs(holder));
            }
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// Whether the file that is locked is the one in `dir`, which others look at.
    pub(super) fn is_in(&self, dir: &Path) -> bool {
        is_at(&self.file, &dir.join("lock")).unwrap_or(true)
    }

    pub(super) fn keep_across_exec(&self) -> io::Result<()> {
        Ok(rustix::io::fcntl_setfd(&self.file, rustix::io::FdFlags::empty())?)
    }
}

/// Who holds the lock of the app in `dir`: nobody, or a process whose pid may not be to be seen from here.
///
/// Not for a process that may be the holder: the look would drop its lock.
///
/// # Errors
/// There is no lock file, or it cannot be read.
pub fn holder(dir: &Path) -> io::Result<Option<Option<i32>>> {
    // A read lock asks too: it is in the way of the holder's write lock, and needs no right to write.
    let look = || ask(&Folder::open(dir)?.open_file("lock")?, libc::F_RDLCK);
    match look() {
        Ok(Some(holder)) => Ok(Some(holder)),
        // Its app may have made it anew, and let the removed one go, between the two looks.
        _ => holder_of_removed(dir).map_or_else(look, |pid| Ok(Some(Some(pid)))),
    }
}

/// Another process that has locked a file which was this app's `lock` and is no more: one that is named in the directory,
/// and has that file open.
fn holder_of_removed(dir: &Path) -> Option<i32> {
    let number = |text: &str| text.trim().parse::<i32>().ok();
    let in_file = read_file(dir, "pid", LONGEST_PID).ok();
    let in_file = in_file.and_then(|text| number(std::str::from_utf8(&text).ok()?));
    let supervisors = std::fs::read_dir(dir.join(status::DIRECTORY)).into_iter().flatten().flatten();
    let supervisors = supervisors.filter_map(|entry| number(entry.file_name().to_str()?.rsplit_once('.')?.1));
    let named: Vec<i32> = in_file.into_iter().chain(supervisors).take(MOST_NAMED).collect();
    let removed = if named.is_empty() { None } else { dir.canonicalize().ok() }?.join("lock (deleted)");
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    named.into_iter().find(|pid| *pid > 0 && *pid != own && procfs::has_open_at(*pid, &removed))
}

/// Opens the lock file with a high descriptor; closing the low one is before the lock is taken, so it drops nothing.
fn open(path: &Path) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let low = options.open(path)?;
    let high = rustix::io::fcntl_dupfd_cloexec(&low, HIGH);
    Ok(high.unwrap_or_else(|_| low.into()))
}

/// Whether the write lock was got.
fn set(file: &impl AsFd) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&whole(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn get(file: &impl AsFd) -> io::Result<Option<Option<i32>>> {
    ask(file, libc::F_WRLCK)
}

/// Who is in the way of such a lock: nobody, or a process whose pid may not be known here.
fn ask(file: &impl AsFd, kind: i32) -> io::Result<Option<Option<i32>>> {
    let mut lock = whole(kind);
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    let free = i32::from(lock.l_type) == libc::F_UNLCK;
    Ok((!free).then(|| Some(lock.l_pid).filter(|&pid| pid > 0)))
}

fn whole(kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

/// Whether the path still leads to the file. (Not by way of a copy of the descriptor: its close would drop the lock.)
fn is_at(file: &OwnedFd, path: &Path) -> io::Result<bool> {
    let here = rustix::fs::fstat(file)?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((here.st_dev, here.st_ino) == (there.dev(), there.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
