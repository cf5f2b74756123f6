//! Becoming a service in the background: fork, no stray descriptors.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::libc;
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};
use nix::unistd::{ForkResult, Pid};

use crate::kernel::procfs;

/// Where a process stands after `fork`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// In the parent, whose new child this is.
    Parent(Pid),
    /// In the child.
    Child,
}

/// Forks a process that has one thread.
///
/// # Errors
/// No more processes may be made; or the process has other threads, whose locks the child would find held for ever.
pub fn fork() -> io::Result<Fork> {
    let me = std::process::id() as i32;
    if procfs::stat(me).is_some_and(|s| s.threads > 1) {
        return Err(io::Error::other("a process with several threads cannot fork"));
    }
    // SAFETY: this is the only thread, so no lock is held by a thread that the child would not have.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child)),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Forks as [`fork`] does; TERM ends the child from its first moment on, whatever handles it here. Who stops a service that is
/// being started sends it to this child, and a handler would take it and have the program executed all the same.
///
/// # Errors
/// As [`fork`].
pub fn fork_ended_by_term() -> io::Result<Fork> {
    let term = SigSet::from(Signal::SIGTERM);
    // One that comes in between waits, so that it is not the parent's handler that gets it in the child.
    let before = term.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let forked = fork();
    let is_child = matches!(forked, Ok(Fork::Child));
    if is_child {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler is installed, only one taken away.
        if let Ok(old) = unsafe { signal::sigaction(Signal::SIGTERM, &default) }
            && matches!(old.handler(), SigHandler::SigIgn)
        {
            // SAFETY: nor is this one a handler: what was ignored stays so.
            let _ = unsafe { signal::sigaction(Signal::SIGTERM, &old) };
        }
    }
    before.thread_set_mask()?;
    if is_child {
        term.thread_unblock()?;
    }
    forked
}

/// Marks all descriptors but 0, 1 and 2 to be closed at exec: a service that keeps the `flock` or the pipe of whoever
/// started it would hold that up for its life.
pub fn close_on_exec_above_stderr() {
    // SAFETY: only the close-on-exec flags change; no descriptor is closed here. The call is Linux 5.9's, the flag 5.11's.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    for fd in open_descriptors().filter(|&fd| fd > 2) {
        // SAFETY: F_SETFD changes a flag; on a number that is no open descriptor it does nothing.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Closes what this program was executed with, but 0, 1 and 2: for a process that outlives the chain it came from, and
/// would else keep its ports and locks.
pub fn close_inherited() {
    let inherited: Vec<i32> = open_descriptors().filter(|&fd| fd > 2 && came_through_exec(fd)).collect();
    for fd in inherited {
        // SAFETY: nothing here owns it: all that this program opens is marked close-on-exec, and this was not.
        unsafe { libc::close(fd) };
    }
}

/// The descriptor of the file at `path` that was open when this program was executed, if there is one.
///
/// The file itself is not opened, as closing that again would drop a record lock on it. It comes back marked to be
/// closed at exec, and is found once only.
pub fn inherited_file(path: &Path) -> Option<OwnedFd> {
    let wanted = std::fs::symlink_metadata(path).ok()?;
    let is_it = |fd: &i32| {
        let found = std::fs::metadata(format!("/proc/self/fd/{fd}"));
        found.is_ok_and(|f| (f.dev(), f.ino()) == (wanted.dev(), wanted.ino()))
    };
    let fd = open_descriptors().filter(|&fd| fd > 2).filter(is_it).find(|&fd| came_through_exec(fd))?;
    // SAFETY: it is open, and nothing here owns it: all that this program opens is marked close-on-exec, and this was not.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the descriptor lacks the close-on-exec flag; it is set now.
fn came_through_exec(fd: i32) -> bool {
    // SAFETY: F_GETFD only reads the flag; on a number that is no open descriptor it fails.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    // SAFETY: F_SETFD only changes the flag.
    flags >= 0 && flags & libc::FD_CLOEXEC == 0 && unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == 0
}

fn open_descriptors() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok())
}
