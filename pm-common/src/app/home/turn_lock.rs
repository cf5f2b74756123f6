//! Whose turn it is to stop and start an app, or to replace its workers: a lock for each name, so that two who do it, do it
//! one after the other.
//!
//! Each name has a byte of its own in one file, far behind its end (fcntl(2), "Advisory record locking"): a thousand apps
//! take one descriptor.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::Home;
use super::files::Folder;
use crate::cli::report;

/// The file whose bytes are locked; it stays empty.
const FILE: &str = ".turns";

/// The turns that this process has; they pass on when it is dropped.
#[derive(Debug)]
pub struct Turns {
    file: File,
}

impl Turns {
    /// None yet.
    ///
    /// # Errors
    /// The file cannot be made or opened.
    pub fn new(home: &Home) -> io::Result<Self> {
        Folder::open_place(home.path())?.open_lock(FILE).map(|file| Self { file })
    }

    /// Our turn with each of these apps, which are sorted. `None`: no file can be made for that, which is no reason not to
    /// go on.
    #[must_use]
    pub fn of(home: &Home, apps: &[String]) -> Option<Self> {
        let turns = Self::new(home).ok()?;
        apps.iter().for_each(|app| drop(turns.take(app)));
        Some(turns)
    }

    /// Who has the turn with this app now, if that can be seen from here.
    #[must_use]
    pub fn whose(&self, app: &str) -> Option<i32> {
        let mut lock = lock_of(app);
        let asked = fcntl(&self.file, FcntlArg::F_GETLK(&mut lock));
        asked.ok().filter(|_| lock.l_type != libc::F_UNLCK as i16 && lock.l_pid > 0).map(|_| lock.l_pid)
    }

    /// Waits until it is our turn with this app, and says whom for. Who needs several takes them in the order of their
    /// names.
    ///
    /// # Errors
    /// The lock cannot be had.
    pub fn take(&self, app: &str) -> io::Result<()> {
        let lock = lock_of(app);
        if fcntl(&self.file, FcntlArg::F_SETLK(&lock)).is_ok() {
            return Ok(());
        }
        if let Some(pid) = self.whose(app) {
            report::info(format_args!(
                "waiting for another restart, reload, scale or delete of app '{app}' to end: pid={pid}"
            ));
        }
        loop {
            match fcntl(&self.file, FcntlArg::F_SETLKW(&lock)) {
                Err(Errno::EINTR) => {}
                other => return other.map(|_| ()).map_err(io::Error::from),
            }
        }
    }
}

/// The lock on a name's byte.
fn lock_of(app: &str) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: byte_of(app),
        l_len: 1,
        l_pid: 0,
    }
}

/// The byte of a name (FNV-1a). Two names with the same one would wait for each other, and nothing else.
fn byte_of(app: &str) -> i64 {
    let hash = app
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 2).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_bytes_of_their_own_that_a_lock_can_have() {
        let bytes: std::collections::BTreeSet<_> = (0..10_000).map(|n| byte_of(&format!("app-{n}"))).collect();
        assert_eq!(bytes.len(), 10_000);
        assert!(bytes.iter().all(|byte| (0..i64::MAX).contains(byte)));
    }
}
