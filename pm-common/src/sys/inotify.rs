//! An inotify(7) instance, and what to do where none is to be had.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Event, Reader, WatchFlags};
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

/// What comes into and goes from a directory, and whether it goes itself.
pub const DIRECTORY: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Watches a directory ([`DIRECTORY`]); of the files in it, with `written`,
/// that one is closed by who could write: so a lock shows that nobody holds any more.
///
/// # Errors
/// As [`add`].
pub fn add_directory(instance: &OwnedFd, path: &Path, written: bool) -> io::Result<i32> {
    let mut flags = DIRECTORY;
    flags.set(WatchFlags::CLOSE_WRITE, written);
    add(instance, path, flags)
}

/// Watches a directory, and what is written to the files in it: one that is closed by who could write.
///
/// # Errors
/// As [`add`].
pub fn add_tree(instance: &OwnedFd, path: &Path) -> io::Result<i32> {
    // Added, since a directory that is watched already may be named by another path.
    add(instance, path, DIRECTORY | WatchFlags::CLOSE_WRITE | WatchFlags::MASK_ADD)
}

/// Watches the names and the rights of a file, whatever it is: it is linked, a name of it is removed or renamed. A symbolic
/// link is not followed.
///
/// # Errors
/// As [`add`].
pub fn add_file(instance: &OwnedFd, path: &Path) -> io::Result<i32> {
    add(instance, path, WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DONT_FOLLOW)
}

/// Takes the events out of the queue of an instance.
///
/// # Errors
/// read(2) failed.
pub fn take_events(instance: &OwnedFd, mut take: impl FnMut(&Event<'_>)) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = Reader::new(instance, &mut buffer);
    loop {
        match reader.next() {
            Ok(event) => take(&event),
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

fn descriptors_left() -> bool {
    rustix::io::fcntl_dupfd_cloexec(io::stderr().as_fd(), 0).is_ok()
}
