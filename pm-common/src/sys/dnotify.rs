//! One SIGIO as soon as a file in a directory is written (F_NOTIFY, fcntl(2)). Unlike inotify(7) it takes no instance, of which a
//! user has 128 for all that runs.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::libc;

/// From linux/fcntl.h.
const F_NOTIFY: libc::c_int = 1026;
/// See [`F_NOTIFY`].
const DN_MODIFY: libc::c_int = 2;

/// Has the kernel send this process SIGIO, once, when a file in the directory is written next.
///
/// # Errors
/// The kernel was built without it, or the descriptor is not that of a directory which may be read.
pub fn once_written(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes two numbers, and touches no memory of ours.
    let done = unsafe { libc::fcntl(directory.as_raw_fd(), F_NOTIFY, DN_MODIFY) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
