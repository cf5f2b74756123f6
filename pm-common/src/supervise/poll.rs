//! What the loop of a supervisor waits for, and the wait. poll(2) refuses a list that is longer than the limit on descriptors, which anybody may lower below what we hold.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::message_bus::BusToken;
use super::{Adapter, Driver, LogRotation, Source, Turn};
use crate::cli::report::{Failure, OrFail as _};
use crate::policy::WorkerId;
use crate::policy::time::Span;
use crate::sys::fd_limit;

/// How long something may wait that the part of the list which fits does not tell of.
const PAUSE: Span = Span::millis(250);

/// What the loop waits for, in the order in which it is looked at within a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token<T> {
    Notify(WorkerId),
    /// One of the adapter's ([`Turn::Said`]).
    Said(T),
    Exit(WorkerId),
    Leftovers(WorkerId),
    Below(WorkerId),
    Above,
    SetTime,
    Files,
    Hook,
    LogRotated,
    Signals,
    Bus(BusToken),
    /// One of the adapter's ([`Turn::Rest`]).
    Rest(T),
}

impl<T> Token<T> {
    /// The name of one of the adapter's sources.
    pub(super) fn of<A: Adapter<Token = T>>(token: T) -> Self
    where
        T: Copy,
    {
        match A::turn(token) {
            Turn::Said => Self::Said(token),
            Turn::Rest => Self::Rest(token),
        }
    }
}

/// What is polled, each with its name.
pub(super) type PollSet<'a, T> = (Vec<Token<T>>, Vec<PollFd<'a>>);

/// Waits; gives whether all could be waited for at a time, and what is ready, in the order to look at it.
///
/// # Errors
/// As [`wait`].
pub(super) fn due<T: Ord>(
    tokens: Vec<Token<T>>,
    fds: &mut [PollFd<'_>],
    timeout: Option<&Timespec>,
) -> Result<(bool, Vec<Token<T>>), Failure> {
    let fits = wait(fds, timeout).or_fail(|| "cannot wait for events".to_owned())?;
    // Any of POLLIN, POLLOUT, POLLHUP, POLLERR is a reason to look: a pipe's end comes as POLLHUP alone.
    let ready = tokens.into_iter().zip(fds).filter(|(_, fd)| !fd.revents().is_empty());
    let mut due: Vec<Token<T>> = ready.map(|(token, _)| token).collect();
    due.sort_unstable();
    Ok((fits, due))
}

/// Adds what somebody waits for, under the names that it has in the loop.
fn add<'a, S, T>(
    sources: impl IntoIterator<Item = Source<'a, S>>,
    name: impl Fn(S) -> Token<T>,
    tokens: &mut Vec<Token<T>>,
    fds: &mut Vec<PollFd<'a>>,
) {
    for source in sources {
        tokens.push(name(source.token));
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, source.read);
        flags.set(PollFlags::OUT, source.write);
        fds.push(PollFd::from_borrowed_fd(source.fd, flags));
    }
}

impl<A: Adapter> Driver<A> {
    /// All that there are few of.
    pub(super) fn poll_set(&self) -> PollSet<'_, A::Token> {
        let mut tokens = vec![Token::Signals];
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some((pidfd, _)) = &self.lock_holder {
            tokens.push(Token::Above);
            fds.push(PollFd::new(pidfd, PollFlags::IN));
        }
        if let Some(times) = &self.set_times {
            tokens.push(Token::SetTime);
            fds.push(PollFd::new(times.timer(), PollFlags::IN));
        }
        if let Some(instance) = self.watching.instance() {
            tokens.push(Token::Files);
            fds.push(PollFd::new(instance, PollFlags::IN));
        }
        for (id, process) in &self.processes {
            for (token, fd) in process.sources(*id) {
                tokens.push(token);
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
        }
        if let Some(fd) = self.hooks.source() {
            tokens.push(Token::Hook);
            fds.push(fd);
        }
        if let Some(fd) = self.logs.as_ref().and_then(LogRotation::rotated) {
            tokens.push(Token::LogRotated);
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        add(self.bus.sources(), Token::Bus, &mut tokens, &mut fds);
        let mut sources = Vec::new();
        self.adapter.sources(&mut sources);
        add(sources, Token::of::<A>, &mut tokens, &mut fds);
        (tokens, fds)
    }

    pub(super) fn whole_poll_set(&self) -> PollSet<'_, A::Token> {
        let (mut tokens, mut fds) = self.poll_set();
        let mut sources = Vec::new();
        self.adapter.many_sources(&mut sources);
        add(sources, Token::of::<A>, &mut tokens, &mut fds);
        (tokens, fds)
    }
}

/// Waits as poll(2) does, and where the list is too long in parts. False: it was too long, and the limit cannot be raised.
///
/// # Errors
/// What poll(2) says otherwise; to be interrupted is none.
fn wait(fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> io::Result<bool> {
    match poll(fds, timeout) {
        Err(Errno::INVAL) => {}
        other => return unless_interrupted(other).map(|_| true),
    }
    fd_limit::raise_descriptors();
    match poll(fds, timeout) {
        Err(Errno::INVAL) => in_parts(fds, fd_limit::most_descriptors(), timeout).map(|()| false),
        other => unless_interrupted(other).map(|_| true),
    }
}

/// Looks at each part, then waits for the first, for a moment.
fn in_parts(fds: &mut [PollFd<'_>], most: usize, timeout: Option<&Timespec>) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut found = 0;
    // With a limit of 0 there is nothing to do but to wait for a better one.
    for part in fds.chunks_mut(most.max(1)).filter(|_| most > 0) {
        found += unless_interrupted(poll(part, Some(&now)))?;
    }
    if found > 0 {
        return Ok(());
    }
    let pause = Timespec { tv_sec: 0, tv_nsec: i64::try_from(PAUSE.0).unwrap_or(0) };
    let wait = timeout.filter(|t| (t.tv_sec, t.tv_nsec) < (pause.tv_sec, pause.tv_nsec)).unwrap_or(&pause);
    let first = most.min(fds.len());
    unless_interrupted(poll(fds.get_mut(..first).unwrap_or_default(), Some(wait))).map(|_| ())
}

fn unless_interrupted(polled: Result<usize, Errno>) -> io::Result<usize> {
    match polled {
        Err(Errno::INTR) => Ok(0),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn every_part_is_looked_at() {
        let pairs: Vec<_> = (0..7).map(|_| UnixStream::pair().expect("a pair")).collect();
        for most in [1, 2, 3, 7, 9] {
            for (at, (_, theirs)) in pairs.iter().enumerate() {
                let mut theirs = theirs;
                theirs.write_all(b"x").expect("written");
                let mut fds: Vec<_> = pairs.iter().map(|(ours, _)| PollFd::new(ours, PollFlags::IN)).collect();
                in_parts(&mut fds, most, None).expect("polled");
                let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
                assert_eq!(ready.iter().filter(|ready| **ready).count(), at + 1, "{most} at a time: {ready:?}");
            }
            for (ours, _) in &pairs {
                let mut ours = ours;
                io::Read::read_exact(&mut ours, &mut [0]).expect("read");
            }
        }
    }

    #[test]
    fn where_nothing_is_ready_the_wait_ends_at_the_timeout() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let soon = Timespec { tv_sec: 0, tv_nsec: 1 };
        for most in [0, 1] {
            let mut fds = [PollFd::new(&ours, PollFlags::IN), PollFd::new(&ours, PollFlags::IN)];
            in_parts(&mut fds, most, Some(&soon)).expect("polled");
            assert!(fds.iter().all(|fd| fd.revents().is_empty()));
        }
    }
}
