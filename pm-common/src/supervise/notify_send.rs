//! What we say to the one above us over its NOTIFY_SOCKET (sd_notify(3)).
//!
//! An abstract name is anybody's once the socket that had it is gone, and stands in /proc/net/unix. So it is looked up
//! once, at our start: a connected socket is bound to the other socket and not to its name, and after the death of the
//! one above nobody hears what we say. A path is guarded by its directory, and systemd may bind it anew: that one is
//! looked up each time.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, connect, send, sendmsg, sendmsg_addr, sendto,
    sockopt,
};

use super::notify::{Assignment, datagram_socket};
use crate::kernel::{peer, procfs};
use crate::policy::trusted_sender;

/// The way to whoever started us with a NOTIFY_SOCKET: systemd, podman, a pm supervisor.
#[derive(Debug)]
pub struct Upward {
    fd: OwnedFd,
    /// Where to send to; `None`: the socket is connected.
    path: Option<SocketAddrUnix>,
}

/// The abstract name in NOTIFY_SOCKET is that of a socket of this other user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    uid: u32,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the socket that NOTIFY_SOCKET names is another user's, nothing is said to it uid={}", self.uid)
    }
}

impl Upward {
    /// From our NOTIFY_SOCKET, which stays in the environment; `None` without one, with one that is no unix socket, and
    /// with an abstract one that nobody has.
    ///
    /// # Errors
    /// Another user has an abstract one.
    pub fn from_env() -> Result<Option<Self>, Taken> {
        let Some(way) = std::env::var_os("NOTIFY_SOCKET").and_then(|name| Self::to(&name)) else { return Ok(None) };
        // Who bound the name after the death of the one that we were given it by is no one above us.
        let owner = if way.path.is_none() { peer::owner(way.fd.as_fd()).ok().flatten() } else { None };
        match owner.filter(|uid| !trusted_sender::is_above(*uid, own_uids(), above())) {
            Some(uid) => Err(Taken { uid }),
            None => Ok(Some(way)),
        }
    }

    /// To a NOTIFY_SOCKET of this value: `/path` or `@abstract`; `None` for others (`vsock:...`), and for an abstract one
    /// that nobody has.
    #[must_use]
    pub fn to(name: &OsStr) -> Option<Self> {
        let fd = datagram_socket().ok()?;
        match name.as_bytes() {
            [b'@', rest @ ..] if !rest.is_empty() => {
                connect(&fd, &SocketAddrUnix::new_abstract_name(rest).ok()?).ok()?;
                Some(Self { fd, path: None })
            }
            path @ [b'/', ..] => Some(Self { fd, path: Some(SocketAddrUnix::new(path).ok()?) }),
            _ => None,
        }
    }

    /// Says all of `lines` in one datagram. Never blocks; false: nobody took it, which is no failure of ours.
    pub fn send(&self, lines: &[Assignment]) -> bool {
        self.try_send(lines).is_ok()
    }

    /// The last words of one that ends: waits up to this long for room for each, and says no more once there was none.
    pub fn send_last(&self, words: &[Assignment], patience: Duration) {
        let waits = rustix::io::ioctl_fionbio(&self.fd, false).is_ok()
            && sockopt::set_socket_timeout(&self.fd, sockopt::Timeout::Send, Some(patience)).is_ok();
        let _ =
            waits && words.iter().all(|word| self.transmit(std::slice::from_ref(word), SendFlags::NOSIGNAL).is_ok());
    }

    /// Sends lines as [`Self::send`] does, for who wants to know why that failed.
    ///
    /// # Errors
    /// Those of sendto(2): `WouldBlock` if its queue is full.
    pub fn try_send(&self, lines: &[Assignment]) -> io::Result<()> {
        self.transmit(lines, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn transmit(&self, lines: &[Assignment], flags: SendFlags) -> io::Result<()> {
        let text = text_of(lines);
        match &self.path {
            None => send(&self.fd, text.as_bytes(), flags)?,
            Some(path) => sendto(&self.fd, text.as_bytes(), flags, path)?,
        };
        Ok(())
    }

    /// Sends lines with a duplicate of a descriptor.
    pub fn send_with(&self, lines: &[Assignment], fd: BorrowedFd<'_>) -> bool {
        let text = text_of(lines);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let (one, bytes) = ([fd], [IoSlice::new(text.as_bytes())]);
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        control.push(SendAncillaryMessage::ScmRights(&one))
            && match &self.path {
                None => sendmsg(&self.fd, &bytes, &mut control, flags).is_ok(),
                Some(path) => sendmsg_addr(&self.fd, path, &bytes, &mut control, flags).is_ok(),
            }
    }
}

fn text_of(lines: &[Assignment]) -> String {
    let mut text = String::new();
    lines.iter().for_each(|line| line.write(&mut text));
    text
}

fn own_uids() -> [u32; 2] {
    [rustix::process::getuid().as_raw(), rustix::process::geteuid().as_raw()]
}

/// The users of the pm supervisor next above us, which may be others than ours (`pm-restart sudo pm-cluster`).
fn above() -> Option<[u32; 3]> {
    let supervises = |pid: &i32| procfs::stat(*pid).is_some_and(|stat| procfs::is_supervisor(&stat));
    procfs::with_ancestors(nix::unistd::getppid().as_raw()).find(supervises).and_then(procfs::uids)
}
