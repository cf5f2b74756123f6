//! Which sockets a process has open: the links in /proc/PID/fd (proc_pid_fd(5)).

use std::collections::BTreeSet;
use std::mem::MaybeUninit;

use rustix::fs::{Mode, OFlags, RawDir, readlinkat_raw};
use rustix::io::{Errno, Result};

/// Calls `with` for the number of each socket that the process has open, until it says false. One that is gone has none.
///
/// # Errors
/// `ACCESS`: it runs as another user.
pub fn each_socket(pid: i32, mut with: impl FnMut(u64) -> bool) -> Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let directory = match rustix::fs::open(format!("/proc/{pid}/fd"), flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::SRCH) => return Ok(()),
        other => other?,
    };
    let mut room = [MaybeUninit::<u8>::uninit(); 4096];
    let mut entries = RawDir::new(&directory, &mut room);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // It ended meanwhile.
            Err(Errno::NOENT | Errno::SRCH) => return Ok(()),
            other => other?,
        };
        let mut link = [MaybeUninit::<u8>::uninit(); 32];
        // Not a link: `.` and `..`; or closed meanwhile.
        let Ok((target, _)) = readlinkat_raw(&directory, entry.file_name(), &mut link) else { continue };
        if let Some(inode) = inode(target)
            && !with(inode)
        {
            return Ok(());
        }
    }
    Ok(())
}

/// The sockets of all these processes; `None`: one of them may not be looked at.
#[must_use]
pub fn visible_sockets_of(mut processes: impl Iterator<Item = i32>) -> Option<BTreeSet<u64>> {
    processes.try_fold(BTreeSet::new(), |mut all, pid| match each_socket(pid, |socket| add(&mut all, socket)) {
        Err(Errno::ACCESS | Errno::PERM) => None,
        _ => Some(all),
    })
}

/// The sockets of those of these processes that may be looked at.
#[must_use]
pub fn sockets_of(processes: impl Iterator<Item = i32>) -> BTreeSet<u64> {
    processes.fold(BTreeSet::new(), |mut all, pid| {
        let _ = each_socket(pid, |socket| add(&mut all, socket));
        all
    })
}

fn add(all: &mut BTreeSet<u64>, socket: u64) -> bool {
    all.insert(socket);
    true
}

/// The number in `socket:[4711]`.
fn inode(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether the process sees the same network as we do; `None`: it is another user's, or gone.
#[must_use]
pub fn shares_network(pid: i32) -> Option<bool> {
    let of = |who: &str| rustix::fs::readlink(format!("/proc/{who}/ns/net"), Vec::new()).ok();
    Some(of(&pid.to_string())? == of("self")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn ours_are_seen_among_other_descriptors() {
        let me = std::process::id() as i32;
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let ours = crate::sys::socket::inode(&socket).expect("open");
        let mut all = Vec::new();
        each_socket(me, |inode| {
            all.push(inode);
            true
        })
        .expect("our own");
        assert_eq!(all.iter().filter(|inode| **inode == ours).count(), 1);
        let mut first = 0;
        each_socket(me, |_| {
            first += 1;
            false
        })
        .expect("our own");
        assert_eq!(first, 1, "it stops when told");
        assert_eq!(shares_network(me), Some(true));
        assert_eq!(each_socket(i32::MAX, |_| true), Ok(()), "one that is gone has none");
    }

    #[test]
    fn only_sockets_are_sockets() {
        assert_eq!(inode(b"socket:[4711]"), Some(4711));
        for other in [&b"pipe:[4711]"[..], b"/srv/socket:[1]", b"socket:[", b"socket:[+1]", b"socket:[x]", b""] {
            assert_eq!(inode(other), None, "{other:?}");
        }
    }
}
