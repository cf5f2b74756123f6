//! The descriptors of a process, and the sockets among them: the links in /proc/PID/fd (proc_pid_fd(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;

use rustix::fs::{Mode, OFlags, RawDir, readlinkat_raw};
use rustix::io::{Errno, Result};

use super::parse;

/// A descriptor of a process, with its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number in the process.
    pub number: i32,
    /// O_CLOEXEC is set.
    pub close_on_exec: bool,
    /// O_NONBLOCK is set.
    pub nonblocking: bool,
}

/// How a process uses a socket.
#[derive(Debug)]
pub struct Uses {
    /// All its descriptors of it.
    pub all: Vec<Descriptor>,
    /// An epoll of the process waits for one of them: it would go on to wait for the socket that was there, whatever is
    /// put in its place.
    pub waited_for: bool,
}

/// Calls `with` for each descriptor of the process, with its number and what it is a link to (at most 32 bytes), until it
/// says false. One that is gone has none.
///
/// # Errors
/// `ACCESS`: it runs as another user.
fn each_descriptor(pid: i32, mut with: impl FnMut(i32, &[u8]) -> bool) -> Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let directory = match rustix::fs::open(format!("/proc/{pid}/fd"), flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::SRCH) => return Ok(()),
        other => other?,
    };
    let mut room = [MaybeUninit::<u8>::uninit(); 4096];
    let mut entries = RawDir::new(&directory, &mut room);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // The process ended meanwhile.
            Err(Errno::NOENT | Errno::SRCH) => return Ok(()),
            other => other?,
        };
        let mut link = [MaybeUninit::<u8>::uninit(); 32];
        // `.` and `..` are no numbers, and what was closed meanwhile is no link.
        let Some(number) = parse::number(entry.file_name().to_bytes()) else { continue };
        let target = match readlinkat_raw(&directory, entry.file_name(), &mut link) {
            Ok((target, _)) => target,
            // Root without CAP_SYS_PTRACE sees that there are descriptors of another user's process, and not what they are.
            Err(error @ Errno::ACCESS) => return Err(error),
            Err(_) => continue,
        };
        if !with(number, target) {
            return Ok(());
        }
    }
    Ok(())
}

/// Calls `with` for the number of each socket that the process has open, until it says false. One that is gone has none.
///
/// # Errors
/// `ACCESS`: it runs as another user.
pub fn each_socket(pid: i32, mut with: impl FnMut(u64) -> bool) -> Result<()> {
    each_descriptor(pid, |_, target| inode(target).is_none_or(&mut with))
}

/// The numbers of the descriptors of the process that are sockets, as far as it may be looked at.
#[must_use]
pub fn socket_descriptors(pid: i32) -> Vec<i32> {
    let mut all = Vec::new();
    let _ = each_descriptor(pid, |number, target| {
        all.extend(inode(target).map(|_| number));
        true
    });
    all
}

/// The number of the socket behind a descriptor of the process; `None` if it is none.
#[must_use]
pub fn socket_behind(pid: i32, number: i32) -> Option<u64> {
    inode(rustix::fs::readlink(format!("/proc/{pid}/fd/{number}"), Vec::new()).ok()?.as_bytes())
}

/// What there is to know of a socket before another takes its place in the process.
#[must_use]
pub fn uses_of(pid: i32, socket: u64) -> Uses {
    let (mut all, mut polls) = (Vec::new(), Vec::new());
    let info = |number: i32| super::text(&format!("{pid}/fdinfo/{number}"));
    // What is not read of a process that has just ended is not missed.
    let _ = each_descriptor(pid, |number, target| {
        if inode(target) == Some(socket) {
            let flags = info(number).and_then(|info| flags(&info));
            all.extend(flags.map(|(nonblocking, close_on_exec)| Descriptor { number, close_on_exec, nonblocking }));
        } else if target == b"anon_inode:[eventpoll]" {
            polls.push(number);
        }
        true
    });
    let waits = |info: String| polled(&info).any(|target| all.iter().any(|one: &Descriptor| one.number == target));
    let waited_for = polls.into_iter().filter_map(info).any(waits);
    Uses { all, waited_for }
}

/// Whether the event loop that waits for this socket waits for the other one, too: which of a process's threads has it.
/// `None`: no epoll of the process waits for it yet, or the process has not the other one.
#[must_use]
pub fn waits_together(pid: i32, socket: u64, other: u64) -> Option<bool> {
    let (mut sockets, mut polls) = (BTreeMap::new(), Vec::new());
    let _ = each_descriptor(pid, |number, target| {
        match inode(target) {
            Some(inode) => drop(sockets.insert(number, inode)),
            None if target == b"anon_inode:[eventpoll]" => polls.push(number),
            None => {}
        }
        true
    });
    sockets.values().find(|inode| **inode == other)?;
    let awaited = |number: i32| -> Option<BTreeSet<u64>> {
        let info = super::text(&format!("{pid}/fdinfo/{number}"))?;
        Some(polled(&info).filter_map(|number| sockets.get(&number).copied()).collect())
    };
    let all = polls.into_iter().filter_map(awaited).find(|all| all.contains(&socket))?;
    Some(all.contains(&other))
}

/// O_NONBLOCK and O_CLOEXEC in the `flags:` of /proc/PID/fdinfo/FD, which are octal (proc_pid_fdinfo(5)).
fn flags(info: &str) -> Option<(bool, bool)> {
    let flags = u32::from_str_radix(parse::field(info.as_bytes(), "flags:")?, 8).ok()?;
    let has = |flag: OFlags| flags & flag.bits() != 0;
    Some((has(OFlags::NONBLOCK), has(OFlags::CLOEXEC)))
}

/// The descriptors that an epoll waits for: its `tfd:` lines.
fn polled(info: &str) -> impl Iterator<Item = i32> {
    info.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next()?.parse().ok())
}

/// The sockets of all these processes; `None`: one of them may not be looked at.
#[must_use]
pub fn visible_sockets_of(mut processes: impl Iterator<Item = i32>) -> Option<BTreeSet<u64>> {
    processes.try_fold(BTreeSet::new(), |mut all, pid| match each_socket(pid, |socket| add(&mut all, socket)) {
        Err(Errno::ACCESS | Errno::PERM) => None,
        _ => Some(all),
    })
}

/// The sockets of those of these processes that may be looked at.
#[must_use]
pub fn sockets_of(processes: impl Iterator<Item = i32>) -> BTreeSet<u64> {
    processes.fold(BTreeSet::new(), |mut all, pid| {
        let _ = each_socket(pid, |socket| add(&mut all, socket));
        all
    })
}

fn add(all: &mut BTreeSet<u64>, socket: u64) -> bool {
    all.insert(socket);
    true
}

/// The number in `socket:[4711]`.
fn inode(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether the process sees the same network as we do; `None`: it is another user's, or gone.
#[must_use]
pub fn shares_network(pid: i32) -> Option<bool> {
    let of = |who: &str| rustix::fs::readlink(format!("/proc/{who}/ns/net"), Vec::new()).ok();
    Some(of(&pid.to_string())? == of("self")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn ours_are_seen_among_other_descriptors() {
        let me = std::process::id() as i32;
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let ours = crate::sys::socket::inode(&socket).expect("open");
        let mut all = Vec::new();
        each_socket(me, |inode| {
            all.push(inode);
            true
        })
        .expect("our own");
        assert_eq!(all.iter().filter(|inode| **inode == ours).count(), 1);
        let mut first = 0;
        each_socket(me, |_| {
            first += 1;
            false
        })
        .expect("our own");
        assert_eq!(first, 1, "it stops when told");
        assert_eq!(shares_network(me), Some(true));
        assert_eq!(each_socket(i32::MAX, |_| true), Ok(()), "one that is gone has none");
    }

    #[test]
    fn only_sockets_are_sockets() {
        assert_eq!(inode(b"socket:[4711]"), Some(4711));
        for other in [&b"pipe:[4711]"[..], b"/srv/socket:[1]", b"socket:[", b"socket:[+1]", b"socket:[x]", b""] {
            assert_eq!(inode(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_descriptors_of_a_process_are_seen() {
        let us = std::process::id() as i32;
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let inode = crate::sys::socket::inode(&socket).expect("open");
        let second = socket.try_clone().expect("a duplicate");
        crate::sys::socket::set_nonblocking(&second, true).expect("open");
        let Uses { all, waited_for } = uses_of(us, inode);
        assert_eq!((all.len(), waited_for), (2, false));
        assert!(all.iter().all(|one| one.nonblocking && one.close_on_exec), "{all:?}");
        assert!(sockets_of([us].into_iter()).contains(&inode));
        assert_eq!(socket_behind(us, all[0].number), Some(inode));
    }

    #[test]
    fn an_epoll_that_waits_is_seen() {
        let us = std::process::id() as i32;
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let inode = crate::sys::socket::inode(&socket).expect("open");
        let poll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let data = rustix::event::epoll::EventData::new_u64(0);
        rustix::event::epoll::add(&poll, &socket, data, rustix::event::epoll::EventFlags::IN).expect("added");
        assert!(uses_of(us, inode).waited_for);
        let (other, _peer) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .expect("a pair");
        let number = crate::sys::socket::inode(&other).expect("open");
        assert_eq!([waits_together(us, inode, number), waits_together(us, number, inode)], [Some(false), None]);
        rustix::event::epoll::add(&poll, &other, data, rustix::event::epoll::EventFlags::IN).expect("added");
        assert_eq!([waits_together(us, inode, number), waits_together(us, inode, u64::MAX)], [Some(true), None]);
    }

    #[test]
    fn flags_are_octal() {
        assert_eq!(flags("pos:\t0\nflags:\t02004002\nmnt_id:\t9\n"), Some((true, true)));
        assert_eq!(flags("flags:\t02\n"), Some((false, false)));
        assert_eq!(flags("nothing"), None);
    }
}
