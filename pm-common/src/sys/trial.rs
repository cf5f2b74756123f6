//! Tries out, in a child of its own, what watching a program's binds needs ([`super::seccomp`]).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::daemon::{Fork, fork};
use super::seccomp::{self, Call, Listener, Next, Notice};
use super::{fdpass, socket};

/// How long the child may take for one step: it is never reached but on a machine that stands still.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// What this machine allows; what was not reached has the reason of what went before.
#[derive(Debug)]
pub struct Trial {
    /// seccomp(2) with a listener.
    pub watch: io::Result<()>,
    /// process_vm_readv(2) of the caller.
    pub read: io::Result<()>,
    /// pidfd_getfd(2) from the caller.
    pub take: io::Result<()>,
    /// SECCOMP_IOCTL_NOTIF_ADDFD into the caller.
    pub put: io::Result<()>,
}

/// Tries it with a child that binds, listens and ends. Only before this process has another thread.
#[must_use]
pub fn run() -> Trial {
    attempt().unwrap_or_else(|error| {
        let again = || Err(copy(&error));
        Trial { watch: again(), read: again(), take: again(), put: again() }
    })
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}

fn attempt() -> io::Result<Trial> {
    let (ours, theirs) = fdpass::pair()?;
    match fork()? {
        Fork::Child => {
            seccomp::install(theirs.as_raw_fd());
            let done = bind_and_listen().is_ok();
            // SAFETY: _exit(2) only ends this process, without cleaning up what is the parent's.
            unsafe { libc::_exit(i32::from(!done)) }
        }
        Fork::Parent(child) => {
            drop(theirs);
            let trial = watch(ours.as_fd(), child.as_raw());
            // A child that still waits for an answer ends as its listener is closed by now.
            let _ = nix::sys::wait::waitpid(child, None);
            trial
        }
    }
}

fn bind_and_listen() -> io::Result<()> {
    let loopback = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    let listener = socket::tcp_bound(loopback, false, socket::Join::Alone)?;
    socket::listen(&listener, 1)
}

fn wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&PATIENCE))?;
    if ready == 0 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}

fn watch(from: BorrowedFd<'_>, child: i32) -> io::Result<Trial> {
    wait(from)?;
    let listener = seccomp::receive(from)?;
    let mut trial = None;
    loop {
        wait(listener.as_fd())?;
        match listener.next() {
            Next::Notice(notice) => {
                if trial.is_none() {
                    trial = look(&listener, notice, child);
                }
                listener.proceed(notice.id);
            }
            Next::Nothing => {}
            Next::Gone => break,
        }
    }
    trial.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSYS))
}

fn look(listener: &Listener, notice: Notice, child: i32) -> Option<Trial> {
    let Call::Bind { fd, address, length } = notice.call else { return None };
    let read = seccomp::read_memory(notice.thread, address, length.min(16)).map(drop);
    let take = seccomp::take_descriptor(child, fd).map(drop);
    let made = socket::tcp_unbound(std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0)));
    let put = made.and_then(|made| listener.put(notice.id, made.as_fd(), fd, true));
    Some(Trial { watch: Ok(()), read, take, put })
}
