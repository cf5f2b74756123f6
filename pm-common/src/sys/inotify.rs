//! An inotify(7) instance, and what to do where none is to be had.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags};
use rustix::io::Errno;

/// A new instance that does not block.
///
/// # Errors
/// There are no more descriptors or inotify instances to be had; the kernel has one number for both, the text tells.
pub fn instance() -> io::Result<OwnedFd> {
    inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| match error {
        Errno::MFILE if descriptors_left() => io::Error::other(
            "this user has no inotify instance left; raise their number: sysctl fs.inotify.max_user_instances=1024",
        ),
        error => error.into(),
    })
}

fn descriptors_left() -> bool {
    rustix::io::fcntl_dupfd_cloexec(io::stderr().as_fd(), 0).is_ok()
}
