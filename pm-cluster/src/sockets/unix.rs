//! Unix sockets with a path: bound over a dead predecessor, kept reachable, removed at the clean end.
//!
//! Many apps remove the path themselves before they listen. For the second worker that is the socket of the first; so a
//! hidden hard link (`.NAME.pm` beside it) is kept, and a path that went missing is linked again: at once, as inotify(7)
//! tells when a name of the socket goes, or when a worker asks.

use std::cell::Cell;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pm_common::sys::inotify;
use pm_common::sys::socket::{self, EACCES, EADDRINUSE, ENOENT, UnixName};

/// Who may use a unix socket beyond what the umask leaves, as `readableAll` and `writableAll` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Readable by all.
    pub readable_all: bool,
    /// Writable by all.
    pub writable_all: bool,
}

impl Access {
    fn bits(self) -> u32 {
        (u32::from(self.readable_all) * 0o444) | (u32::from(self.writable_all) * 0o222)
    }
}

/// A listening unix socket, and the claim on its path (an abstract name has none).
///
/// # Errors
/// EADDRINUSE if somebody listens there, EACCES if the directory does not exist (as Node says), else that of bind(2),
/// chmod(2) or listen(2).
pub fn listen(name: &UnixName, backlog: i32, access: Access) -> io::Result<(OwnedFd, Option<Claim>)> {
    let fd = bound(name).map_err(as_node_says)?;
    let claim = match name {
        UnixName::Path(path) => Some(Claim::new(path.clone())?),
        UnixName::Abstract(_) => None,
    };
    if let Some(claim) = &claim {
        claim.widen(access)?;
    }
    socket::listen(&fd, backlog)?;
    Ok((fd, claim))
}

fn as_node_says(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(ENOENT) => io::Error::from_raw_os_error(EACCES),
        _ => error,
    }
}

fn bound(name: &UnixName) -> io::Result<OwnedFd> {
    match (socket::unix_bound(name), name) {
        (Err(error), UnixName::Path(path)) if error.raw_os_error() == Some(EADDRINUSE) && clear_dead(path) => {
            socket::unix_bound(name)
        }
        (result, _) => result,
    }
}

/// Removes a socket file on which nobody listens. (One that another program has bound this moment and not yet listened
/// on looks the same; nothing tells them apart.)
fn clear_dead(path: &Path) -> bool {
    let Some(before) = socket_file(path) else { return false };
    let refused = socket::unix_knock(&UnixName::Path(path.to_owned()))
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    // Somebody else may have cleared it meanwhile, and bound anew.
    refused && socket_file(path) == Some(before) && fs::remove_file(path).is_ok()
}

/// Device and inode of a socket file; `None` for anything else (what a symbolic link points to does not count).
fn socket_file(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    found.file_type().is_socket().then(|| identity(&found))
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// A path that we have bound: removed with this value, if it is still ours.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    identity: (u64, u64),
    spare: Option<PathBuf>,
    /// Tells when a name of the socket goes; `None`: nothing does.
    watch: Option<OwnedFd>,
    /// How often it is put back before a worker asks again: somebody may remove it whenever it is there.
    left: Cell<u32>,
}

/// More than workers that come up remove it.
const MOST_PUT_BACK: u32 = 1000;

impl Claim {
    fn new(path: PathBuf) -> io::Result<Self> {
        let identity = identity(&fs::symlink_metadata(&path)?);
        let spare = spare_path(&path).filter(|spare| link_anew(&path, spare));
        let watch = spare.as_deref().and_then(watched);
        Ok(Self { path, identity, spare, watch, left: Cell::new(MOST_PUT_BACK) })
    }

    fn widen(&self, access: Access) -> io::Result<()> {
        let mode = fs::symlink_metadata(&self.path)?.mode() & 0o7777;
        if mode | access.bits() == mode {
            return Ok(());
        }
        fs::set_permissions(&self.path, Permissions::from_mode(mode | access.bits()))
    }

    /// Puts the path back if somebody removed it. A path that is now another's is left alone.
    pub fn keep_reachable(&self) {
        self.left.set(MOST_PUT_BACK);
        self.put_back();
    }

    /// Readable once somebody may have removed the path; `None`: nothing tells, or somebody does it again and again.
    #[must_use]
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().filter(|_| self.left.get() > 0).map(|fd| fd.as_fd())
    }

    /// Puts the path back if that is why the watch was readable.
    pub fn look(&self) {
        let Some(watch) = &self.watch else { return };
        let _ = inotify::take_events(watch, |_| ());
        if self.put_back() {
            self.left.set(self.left.get().saturating_sub(1));
        }
    }

    fn put_back(&self) -> bool {
        let missing = fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        // In a directory that others may write to, the spare may be theirs by now.
        let spare = self.spare.as_ref().filter(|spare| missing && socket_file(spare) == Some(self.identity));
        spare.is_some_and(|spare| fs::hard_link(spare, &self.path).is_ok())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        for path in [Some(&self.path), self.spare.as_ref()].into_iter().flatten() {
            if socket_file(path) == Some(self.identity) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn spare_path(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(".pm");
    Some(path.with_file_name(name))
}

/// An instance that tells when a name of the socket at `path` goes.
fn watched(path: &Path) -> Option<OwnedFd> {
    let instance = inotify::instance().ok()?;
    inotify::add_file(&instance, path).ok()?;
    Some(instance)
}

/// A spare of a predecessor that was killed gives way. No spare is no disaster: only the relinking is off then.
fn link_anew(path: &Path, spare: &Path) -> bool {
    match fs::hard_link(path, spare) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && clear_dead(spare) => {
            fs::hard_link(path, spare).is_ok()
        }
        result => result.is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};
    use tempfile::TempDir;

    fn place() -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.sock");
        (dir, path)
    }

    fn open(path: &Path) -> io::Result<(OwnedFd, Option<Claim>)> {
        listen(&UnixName::Path(path.to_owned()), 5, Access::default())
    }

    fn errno(result: io::Result<(OwnedFd, Option<Claim>)>) -> Option<i32> {
        result.expect_err("refused").raw_os_error()
    }

    #[test]
    fn a_dead_socket_file_is_replaced() {
        let (_dir, path) = place();
        drop(UnixListener::bind(&path).expect("bound"));
        let (_fd, _claim) = open(&path).expect("bound anew");
        UnixStream::connect(&path).expect("somebody listens");
    }

    #[test]
    fn a_living_socket_and_a_plain_file_are_not() {
        let (_dir, path) = place();
        let living = UnixListener::bind(&path).expect("bound");
        assert_eq!(errno(open(&path)), Some(EADDRINUSE));
        drop(living);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        assert_eq!(errno(open(&path)), Some(EADDRINUSE));
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }

    #[test]
    fn a_missing_directory_is_eacces_as_in_node() {
        let (dir, _) = place();
        assert_eq!(errno(open(&dir.path().join("none/app.sock"))), Some(EACCES));
    }

    #[test]
    fn a_removed_path_comes_back_and_the_end_leaves_nothing() {
        let (dir, path) = place();
        let (_fd, claim) = open(&path).expect("bound");
        fs::remove_file(&path).expect("removed");
        claim.as_ref().expect("a path").keep_reachable();
        UnixStream::connect(&path).expect("reachable again");
        drop(claim);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_removed_path_is_told_of_and_comes_back_as_often_as_workers_may_remove_it() {
        let (_dir, path) = place();
        let (_fd, claim) = open(&path).expect("bound");
        let claim = claim.expect("a path");
        let told = || {
            let mut fds =
                [rustix::event::PollFd::new(claim.watch.as_ref().expect("a watch"), rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())).expect("polls") > 0
        };
        claim.look();
        assert!(!told(), "nothing has happened");
        for _ in 0..MOST_PUT_BACK {
            fs::remove_file(&path).expect("it is there");
            assert!(told() && claim.watch().is_some());
            claim.look();
        }
        UnixStream::connect(&path).expect("reachable again");
        assert!(claim.watch().is_none(), "it is left to whoever removes it");
        claim.keep_reachable();
        assert!(claim.watch().is_some());
    }

    #[test]
    fn what_others_have_put_in_the_place_of_the_spare_is_not_linked() {
        let (dir, path) = place();
        let (_fd, claim) = open(&path).expect("bound");
        fs::remove_file(dir.path().join(".app.sock.pm")).expect("the spare");
        std::os::unix::fs::symlink("/dev/null", dir.path().join(".app.sock.pm")).expect("a link");
        fs::remove_file(&path).expect("removed");
        claim.as_ref().expect("a path").look();
        assert!(fs::symlink_metadata(&path).is_err());
        drop(claim);
        assert!(fs::symlink_metadata(dir.path().join(".app.sock.pm")).is_ok(), "it is not ours");
    }

    #[test]
    fn a_path_that_is_now_anothers_is_left_alone() {
        let (_dir, path) = place();
        let (_fd, claim) = open(&path).expect("bound");
        fs::remove_file(&path).expect("removed");
        let _other = UnixListener::bind(&path).expect("bound by another");
        claim.as_ref().expect("a path").keep_reachable();
        drop(claim);
        UnixStream::connect(&path).expect("the other still listens");
    }

    #[test]
    fn the_spare_of_a_killed_predecessor_gives_way() {
        let (dir, path) = place();
        let (fd, claim) = open(&path).expect("bound");
        std::mem::forget(claim);
        drop(fd);
        let (_fd, claim) = open(&path).expect("bound anew");
        drop(claim);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
    }

    #[test]
    fn access_is_widened_and_nothing_is_taken_away() {
        let (_dir, path) = place();
        let name = UnixName::Path(path.clone());
        let access = Access { readable_all: true, writable_all: true };
        let (_fd, _claim) = listen(&name, 5, access).expect("bound");
        let mode = fs::metadata(&path).expect("there").mode();
        assert_eq!(mode & 0o666, 0o666);
    }

    #[test]
    fn an_abstract_name_needs_no_file() {
        let name = UnixName::Abstract(format!("pm-cluster-test-{}", std::process::id()).into_bytes());
        let (fd, claim) = listen(&name, 5, Access::default()).expect("bound");
        assert!(claim.is_none());
        socket::unix_knock(&name).expect("somebody listens");
        assert_eq!(listen(&name, 5, Access::default()).expect_err("taken").raw_os_error(), Some(EADDRINUSE));
        drop(fd);
    }
}
