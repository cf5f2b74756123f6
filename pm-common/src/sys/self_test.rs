//! Tries out, in children of its own, what watching a program's binds needs ([`super::seccomp`]), and tracing it.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use nix::sys::wait::WaitStatus;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::daemon::{Fork, fork};
use super::seccomp::{self, Arrival, Call, Notice, NotifyFd, ToldCalls};
use super::{fdpass, other_process, ptrace, socket};

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

/// Tries whether a child can be traced by another, as a worker is by the helper of a drain ([`super::ptrace`]).
///
/// # Errors
/// That of fork(2) and ptrace(2): EPERM, and EIO before Linux 5.3.
pub fn trace() -> io::Result<()> {
    if seccomp::ARCHITECTURE.is_none() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (mut said, say) = io::pipe()?;
    let worker = match fork()? {
        Fork::Parent(child) => child,
        Fork::Child => {
            ptrace::let_parent_trace();
            drop(say);
            loop {
                // SAFETY: waits for a signal, and touches no memory.
                unsafe { libc::pause() };
            }
        }
    };
    drop(say);
    // Its end of the pipe is closed once it has said that it may be traced.
    let heard = said.read(&mut [0]).map(drop);
    let traced = heard.and_then(|()| trace_by_child(worker.as_raw()));
    let _ = nix::sys::signal::kill(worker, nix::sys::signal::SIGKILL);
    let _ = nix::sys::wait::waitpid(worker, None);
    traced
}

fn trace_by_child(worker: i32) -> io::Result<()> {
    match fork()? {
        Fork::Child => {
            let traced = ptrace::seize(worker).and_then(|()| ptrace::interrupt(worker));
            let looked = traced.and_then(|()| ptrace::next()).and_then(|(thread, _)| ptrace::call(thread));
            let errno = looked.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
            // SAFETY: as in `attempt`.
            unsafe { libc::_exit(errno) }
        }
        Fork::Parent(child) => match nix::sys::wait::waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(_, errno) => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(io::Error::other("the process that tried it was killed")),
        },
    }
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}

fn attempt() -> io::Result<Trial> {
    let (ours, theirs) = fdpass::pair()?;
    match fork()? {
        Fork::Child => {
            seccomp::install(theirs.as_raw_fd(), ToldCalls::Binds);
            let errno = bind_and_listen().err().and_then(|error| error.raw_os_error()).unwrap_or(0);
            // SAFETY: _exit(2) only ends this process, without cleaning up what is the parent's.
            unsafe { libc::_exit(errno) }
        }
        Fork::Parent(child) => {
            drop(theirs);
            let trial = watch(ours.as_fd(), child.as_raw());
            // A child that still waits for an answer ends as its listener is closed by now.
            let ended = nix::sys::wait::waitpid(child, None);
            trial.map_err(|error| why_it_ended(ended, error))
        }
    }
}

/// What the child lacked says more than what we saw of its end.
fn why_it_ended(ended: nix::Result<WaitStatus>, seen: io::Error) -> io::Error {
    match ended {
        Ok(WaitStatus::Exited(_, errno)) if errno != 0 => io::Error::from_raw_os_error(errno),
        _ => seen,
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn bind_and_listen() -> io::Result<()> {
    let listener = socket::tcp_bound(any_port(), false, socket::Join::Alone)?;
    socket::listen(&listener, 1)
}

/// Answers the child's calls until it has ended, which the end of its socket `from` tells.
///
/// The listener itself tells that only once the child was reaped, before Linux 6.11, and we reap it after this.
fn watch(from: BorrowedFd<'_>, child: i32) -> io::Result<Trial> {
    wait(&mut [PollFd::new(&from, PollFlags::IN)])?;
    let listener = seccomp::receive(from)?;
    let mut trial = None;
    loop {
        let mut fds = [PollFd::new(&listener, PollFlags::IN), PollFd::new(&from, PollFlags::empty())];
        wait(&mut fds)?;
        let child_ended = !fds[1].revents().is_empty();
        match listener.next() {
            Arrival::Notice(notice) => {
                if trial.is_none() {
                    trial = look(&listener, notice, child);
                }
                listener.proceed(notice.id);
            }
            Arrival::Nothing if child_ended => break,
            Arrival::Nothing => {}
            Arrival::Gone => break,
        }
    }
    trial.ok_or_else(|| io::Error::other("the process that tried it ended before it had bound"))
}

fn wait(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    let ready = rustix::io::retry_on_intr(|| poll(fds, Some(&PATIENCE)))?;
    if ready == 0 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}

fn look(listener: &NotifyFd, notice: Notice, child: i32) -> Option<Trial> {
    let Call::Bind { fd, address, length } = notice.call else { return None };
    let read = other_process::read_memory(notice.thread, address, length.min(16)).map(drop);
    let take = other_process::take_descriptor(child, fd).map(drop);
    let made = socket::tcp_unbound(any_port());
    let put = made.and_then(|made| listener.put(notice.id, made.as_fd(), fd, true));
    Some(Trial { watch: Ok(()), read, take, put })
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Where the tests are threads of one process, the children of one would hold open what another waits to be closed.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Watches a child that does what `calls` says; a process that it leaves behind keeps the listener from telling of
    /// the child's end, as an older kernel does until the child is reaped. A watch that is held up times out, an error.
    fn watched(calls: fn()) -> io::Result<Trial> {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (ours, theirs) = fdpass::pair().expect("a pair");
        let (mut released, release) = io::pipe().expect("a pipe");
        // SAFETY: both children only make system calls on descriptors that were made before, and end with _exit(2).
        let child = unsafe { libc::fork() };
        if child == 0 {
            seccomp::install(theirs.as_raw_fd(), ToldCalls::Binds);
            // SAFETY: as above.
            if unsafe { libc::fork() } == 0 {
                drop((ours, theirs, release));
                let _ = released.read(&mut [0]);
            } else {
                calls();
            }
            // SAFETY: only ends this process.
            unsafe { libc::_exit(0) }
        }
        drop((theirs, released));
        let trial = watch(ours.as_fd(), child);
        drop(release);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None);
        trial
    }

    #[test]
    fn it_ends_with_the_child_though_the_listener_does_not_say_so() {
        let trial = watched(|| _ = bind_and_listen());
        assert!(trial.is_ok_and(|trial| trial.watch.is_ok()));
    }

    #[test]
    fn a_child_that_does_not_get_as_far_as_to_listen_holds_up_nothing() {
        let trial = watched(|| {});
        assert!(trial.expect_err("nothing was bound").to_string().contains("ended before"));
        let trial = watched(|| _ = socket::tcp_bound(any_port(), false, socket::Join::Alone));
        assert!(trial.is_ok_and(|trial| trial.watch.is_ok()));
    }
}
