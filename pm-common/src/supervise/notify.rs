//! systemd's notification protocol (sd_notify(3)): its words, and the sockets over which our children say them. `notify_send`
//! says them to the one above us.
//!
//! One abstract socket per worker generation. Its random name tells whose word it is; anybody can read that name in
//! /proc/net/unix, so who is heard is decided by the kernel's word about the sender (`policy::trusted_sender`).

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::policy::time::Span;
use crate::sys::clock;
use crate::sys::close_at_once::{Hurried, hurried};
use crate::sys::credentials::{self, Sender};

/// The longest datagram listened to, in bytes; systemd's own limit.
const LONGEST: usize = 4096;

/// One line of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// `READY=1`
    Ready,
    /// `STATUS=`, one line for people.
    Status(String),
    /// `RELOADING=1`; upward it carries MONOTONIC_USEC.
    Reloading,
    /// `STOPPING=1`
    Stopping,
    /// `MAINPID=`, over 0.
    MainPid(i32),
    /// `WATCHDOG=1`: alive.
    Watchdog,
    /// `EXTEND_TIMEOUT_USEC=`: how much longer what goes on may take, from now; at most a year.
    ExtendTimeout(Span),
    /// `BARRIER=1`; its descriptor is closed, which is the answer.
    Barrier,
    /// `FDSTORE=1`: keep the descriptors of this datagram, and give them back to the sender's successor.
    FdStore,
    /// `FDSTOREREMOVE=1`: keep those of this datagram's name no longer.
    FdStoreRemove,
    /// `FDNAME=`: the name of the descriptors; as systemd has it, at most 255 printable characters without a colon.
    FdName(String),
    /// `FDPOLL=0`: they are kept whatever poll(2) says of them. Ours are never polled.
    FdPoll,
    /// `X_PM_SUPERVISOR=`: the sender is a pm supervisor of this kind and owns its workers.
    PmSupervisor(String),
    /// `X_PM_GAVE_UP=`: the sender ends with this exit code, and no retry is to follow.
    PmGaveUp(u8),
}

impl Assignment {
    /// What a line says; `None` for what we do not know, and for values that make no sense.
    fn parse(line: &str) -> Option<Self> {
        let (name, value) = line.split_once('=')?;
        match (name, value) {
            ("READY", "1") => Some(Self::Ready),
            ("RELOADING", "1") => Some(Self::Reloading),
            ("STOPPING", "1") => Some(Self::Stopping),
            ("WATCHDOG", "1") => Some(Self::Watchdog),
            ("BARRIER", "1") => Some(Self::Barrier),
            ("STATUS", text) => Some(Self::Status(text.to_owned())),
            ("MAINPID", pid) => pid.parse().ok().filter(|pid| *pid > 0).map(Self::MainPid),
            ("EXTEND_TIMEOUT_USEC", span) => micros(span).map(Self::ExtendTimeout),
            ("FDSTORE", "1") => Some(Self::FdStore),
            ("FDSTOREREMOVE", "1") => Some(Self::FdStoreRemove),
            ("FDPOLL", "0") => Some(Self::FdPoll),
            ("FDNAME", name) => Some(name).filter(|name| is_fd_name(name)).map(|name| Self::FdName(name.to_owned())),
            ("X_PM_SUPERVISOR", kind) => Some(Self::PmSupervisor(kind.to_owned())),
            ("X_PM_GAVE_UP", code) => code.parse().ok().map(Self::PmGaveUp),
            _ => None,
        }
    }

    /// Appends its line.
    pub(super) fn write(&self, out: &mut String) {
        let _ = match self {
            Self::Ready => writeln!(out, "READY=1"),
            Self::Status(text) => writeln!(out, "STATUS={}", one_line(text)),
            Self::Reloading => writeln!(out, "RELOADING=1\nMONOTONIC_USEC={}", clock::now().0 / 1000),
            Self::Stopping => writeln!(out, "STOPPING=1"),
            Self::MainPid(pid) => writeln!(out, "MAINPID={pid}"),
            Self::Watchdog => writeln!(out, "WATCHDOG=1"),
            Self::ExtendTimeout(span) => writeln!(out, "EXTEND_TIMEOUT_USEC={}", span.as_micros()),
            Self::Barrier => writeln!(out, "BARRIER=1"),
            Self::FdStore => writeln!(out, "FDSTORE=1"),
            Self::FdStoreRemove => writeln!(out, "FDSTOREREMOVE=1"),
            Self::FdName(name) => writeln!(out, "FDNAME={}", one_line(name)),
            Self::FdPoll => writeln!(out, "FDPOLL=0"),
            Self::PmSupervisor(kind) => writeln!(out, "X_PM_SUPERVISOR={}", one_line(kind)),
            Self::PmGaveUp(code) => writeln!(out, "X_PM_GAVE_UP={code}"),
        };
    }
}

/// sd_pid_notify_with_fds(3) on FDNAME=.
fn is_fd_name(name: &str) -> bool {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    (1..=255).contains(&name.len()) && name.bytes().all(printable)
}

fn micros(text: &str) -> Option<Span> {
    Span::from_duration(Duration::from_micros(text.parse().ok()?))
}

/// A line break would be taken for another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\0'], " ")
}

/// All that a datagram says. Nothing, if it is not what systemd would take: text without NUL, but for one at the end.
fn parse(bytes: &[u8]) -> Vec<Assignment> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Vec::new();
    }
    let lines = bytes.split(|b| *b == b'\n');
    lines.filter_map(|line| Assignment::parse(std::str::from_utf8(line).ok()?)).collect()
}

/// What came with one datagram.
#[derive(Debug)]
pub struct Datagram {
    /// The sender, by the kernel's word.
    pub sender: Sender,
    /// What it said that we know, in its order; empty for junk and for datagrams of over 4 KiB.
    pub assignments: Vec<Assignment>,
    /// The descriptors that came with it, closed where nobody takes them.
    pub fds: Hurried<Vec<OwnedFd>>,
}

/// The socket that one worker (generation) is given as its NOTIFY_SOCKET.
#[derive(Debug)]
pub struct NotifySocket {
    /// With what still waits in it.
    fd: Hurried<OwnedFd>,
}

impl NotifySocket {
    /// Makes the socket, close-on-exec and non-blocking; with it the value for NOTIFY_SOCKET: `@pm-` and 128 random bits.
    ///
    /// # Errors
    /// Those of getrandom(2), socket(2) and bind(2).
    pub fn new() -> io::Result<(Self, String)> {
        let name = random_name()?;
        let fd = datagram_socket()?;
        sockopt::set_socket_passcred(&fd, true)?;
        credentials::pin_senders(fd.as_fd());
        bind(&fd, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        Ok((Self { fd: Hurried::new(fd) }, format!("@{name}")))
    }

    /// The next datagram; `None` when none waits.
    ///
    /// # Errors
    /// Those of recvmsg(2), but that nothing waits.
    pub fn receive(&mut self) -> io::Result<Option<Datagram>> {
        let mut buf = [0; LONGEST];
        // What there is no room or no number for, the kernel closes meanwhile.
        let received = hurried(|| credentials::receive(self.fd.as_fd(), &mut buf));
        let Some(arrived) = unless_none_waits(received)? else { return Ok(None) };
        let text = if arrived.truncated { &[] } else { buf.get(..arrived.bytes).unwrap_or_default() };
        Ok(Some(Datagram { sender: arrived.sender, assignments: parse(text), fds: Hurried::new(arrived.fds) }))
    }

    /// The sender of the next datagram; `None` when none waits.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn peek(&self) -> io::Result<Option<Sender>> {
        unless_none_waits(credentials::peek(self.fd.as_fd()))
    }

    /// Throws the next datagram away.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn discard(&mut self) -> io::Result<()> {
        hurried(|| credentials::discard(self.fd.as_fd()))
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn unless_none_waits<T>(received: io::Result<T>) -> io::Result<Option<T>> {
    match received {
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        other => other.map(Some),
    }
}

fn random_name() -> io::Result<String> {
    let mut random = [0_u8; 16];
    // 16 bytes never come in parts (getrandom(2): up to 256 do not).
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(random.iter().fold("pm-".to_owned(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    }))
}

pub(super) fn datagram_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?)
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
