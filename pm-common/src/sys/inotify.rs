//! An inotify(7) instance, and what to do where none is to be had.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
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

/// Watches what is at `path`, and gives the number that its events have.
///
/// # Errors
/// Those of inotify_add_watch(2); the text tells what to do where this user has too many watches.
pub fn add(instance: &OwnedFd, path: &Path, flags: WatchFlags) -> io::Result<i32> {
    inotify::add_watch(instance, path, flags).map_err(|error| match error {
        Errno::NOSPC => io::Error::other(
            "this user has no inotify watch left; raise their number: sysctl fs.inotify.max_user_watches=524288",
        ),
        error => error.into(),
    })
}

/// Watches what comes into and goes from a directory, and whether it goes itself; of the files in it, with `written`,
/// that one is closed by who could write: so a lock shows that nobody holds any more.
///
/// # Errors
/// As [`add`].
pub fn add_directory(instance: &OwnedFd, path: &Path, written: bool) -> io::Result<i32> {
    let mut flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::MOVED_FROM;
    flags |= WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
    flags.set(WatchFlags::CLOSE_WRITE, written);
    add(instance, path, flags)
}

fn descriptors_left() -> bool {
    rustix::io::fcntl_dupfd_cloexec(io::stderr().as_fd(), 0).is_ok()
}
