//! Descriptors that stand for a process: its number may become another's, the descriptor may not.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A pidfd of a process that cannot be reaped meanwhile (a child of ours, or one whose identity is checked after).
///
/// # Errors
/// pidfd_open(2): no such process, out of descriptors.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Whether processes can be watched here at all, which nothing else can stand in for.
///
/// # Errors
/// pidfd_open(2) is missing or forbidden, with the remedy. Want of descriptors, which passes, is none.
pub fn can_watch() -> io::Result<()> {
    match open(std::process::id() as i32).map_err(|error| error.raw_os_error().map(Errno::from_raw)) {
        Err(Some(errno @ (Errno::ENOSYS | Errno::EPERM | Errno::EACCES))) => Err(io::Error::other(format!(
            "pidfd_open: {}; it needs Linux 5.3 or later, and a sandbox (seccomp, gVisor) that allows this call",
            errno.desc()
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}
