//! Who may signal whom for an app: root any process of the app's owner, everybody else what the kernel lets him; and the
//! remedy where one may not. Where users share a PM_HOME, each can name any process in the files of his own apps, and root
//! would end it: root's right to signal any process is not lent to who can write an app's files.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::process::geteuid;

use super::home;
use crate::cli::report::{self, Failure};
use crate::kernel::procfs;
use crate::sys::process;

/// Which processes may be signalled for an app: of one of ours any, of another user's only that user's.
#[derive(Debug, Clone, Copy)]
pub struct MaySignal {
    /// The user who owns the app, if that is not us.
    other: Option<u32>,
}

impl MaySignal {
    /// Reads whose the app in `dir` is.
    ///
    /// # Errors
    /// 125: a link of another user's leads here, or the directory is not of who owns the place of all apps.
    pub fn of(dir: &Path) -> Result<Self, Failure> {
        let owner = home::owner_of(dir)?;
        Ok(Self { other: Some(owner).filter(|owner| *owner != geteuid().as_raw()) })
    }

    /// Whether the app is another user's.
    #[must_use]
    pub const fn is_anothers(self) -> bool {
        self.other.is_some()
    }

    /// Whether the process is one that the app's owner could signal, too (kill(2)); of our own apps, any.
    #[must_use]
    pub fn allows(self, pid: i32) -> bool {
        self.other.is_none_or(|owner| may(owner, procfs::uids(pid)))
    }

    /// Sends a signal, `word` in the user's words, to a process of app `name`; one that has ended is no error.
    ///
    /// # Errors
    /// 125: it is another user's; whose, and who may.
    pub fn send(self, name: &str, (pid, pidfd): (i32, &OwnedFd), number: u8, word: &str) -> Result<(), Failure> {
        if let Some(owner) = self.other.filter(|_| !self.allows(pid)) {
            let whose = procfs::uids(pid).map_or_else(|| "gone".to_owned(), |[_, user, _]| format!("user {user}'s"));
            return Err(Failure::own(format!(
                "app '{name}' is user {owner}'s, and process {pid} is {whose}: it is not signalled"
            )));
        }
        process::signal(pidfd.as_fd(), number).map_err(|error| {
            let (why, remedy) = (report::reason(&error), remedy(pid, &error));
            Failure::own(format!("app '{name}': cannot send {word} to process {pid}: {why}{remedy}"))
        })
    }
}

/// Whether this user may signal a process with these uids, real, effective and saved (kill(2)).
fn may(user: u32, uids: Option<[u32; 3]>) -> bool {
    uids.is_some_and(|[real, _, saved]| user == 0 || real == user || saved == user)
}

/// What to do where the kernel does not let us signal a process, as the rest of a sentence.
fn remedy(pid: i32, error: &io::Error) -> String {
    match procfs::uids(pid) {
        Some([_, user, _]) if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("; it is user {user}'s, we are {}: do it as that user, or as root", geteuid().as_raw())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_what_kill_lets_him() {
        assert!(may(1000, Some([1000, 0, 0])) && may(1000, Some([0, 0, 1000])), "real or saved");
        assert!(!may(1000, Some([0, 1000, 0])), "the effective one does not count");
        assert!(!may(1000, None), "gone");
        assert!(may(0, Some([1000; 3])));
    }
}
