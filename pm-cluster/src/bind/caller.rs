//! What /proc says about a process that calls: its descriptors and what they are.
//!
//! All of it is read by number while the process waits for our answer; who asks checks afterwards that it still does.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use pm_common::kernel::procfs;
use pm_common::sys::reach;
use pm_common::sys::socket::Protocol;
use rustix::fs::{Mode, OFlags};

use pm_common::node::inspector::Inspector;

/// The process that a thread belongs to: bind often comes from a thread that is not the leader.
pub(super) fn process_of(thread: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}

/// A process that waits for our answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(pub(super) i32);

/// A descriptor of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) number: i32,
    pub(super) close_on_exec: bool,
    pub(super) nonblocking: bool,
}

/// How a process uses a socket.
#[derive(Debug)]
pub(super) struct Uses {
    /// All its descriptors of it.
    pub(super) all: Vec<Descriptor>,
    /// An epoll of the process waits for one of them: it would go on to wait for the socket that was there, whatever is
    /// put in its place.
    pub(super) waited_for: bool,
}

impl Caller {
    fn link(self, number: i32) -> Option<Vec<u8>> {
        let target = fs::read_link(format!("/proc/{}/fd/{number}", self.0)).ok()?;
        Some(target.as_os_str().as_bytes().to_vec())
    }

    /// The socket behind a descriptor.
    pub(super) fn inode(self, number: i32) -> Option<u64> {
        inode(&self.link(number)?)
    }

    /// The flags of a descriptor.
    pub(super) fn descriptor(self, number: i32) -> Option<Descriptor> {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", self.0)).ok()?;
        let (nonblocking, close_on_exec) = flags(&info)?;
        Some(Descriptor { number, close_on_exec, nonblocking })
    }

    /// All its descriptors with what they are, from one look: there may be thousands.
    fn links(self) -> Vec<(i32, Vec<u8>)> {
        let directory = format!("/proc/{}/fd", self.0);
        let Ok(directory) = rustix::fs::open(directory, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else {
            return Vec::new();
        };
        let entries = rustix::fs::Dir::read_from(&directory).into_iter().flatten().flatten();
        let links = entries.filter_map(|entry| {
            let number = entry.file_name().to_str().ok()?.parse().ok()?;
            let link = rustix::fs::readlinkat(&directory, entry.file_name(), Vec::new()).ok()?;
            Some((number, link.into_bytes()))
        });
        links.collect()
    }

    /// What there is to know before another socket takes the place of this one.
    pub(super) fn uses(self, socket: u64) -> Uses {
        let links = self.links();
        let ours = links.iter().filter(|(_, link)| inode(link) == Some(socket));
        let all: Vec<Descriptor> = ours.filter_map(|(number, _)| self.descriptor(*number)).collect();
        let polls = links.iter().filter(|(_, link)| link == b"anon_inode:[eventpoll]");
        let mut infos =
            polls.filter_map(|(number, _)| fs::read_to_string(format!("/proc/{}/fdinfo/{number}", self.0)).ok());
        let waited_for = infos.any(|info| targets(&info).any(|target| all.iter().any(|one| one.number == target)));
        Uses { all, waited_for }
    }

    /// The protocol of a socket that we cannot have a duplicate of.
    pub(super) fn protocol(self, number: i32) -> Protocol {
        let path = format!("/proc/{}/fd/{number}", self.0);
        let name = reach::attribute(&path, "system.sockprotoname").unwrap_or_default();
        match name.split(|b| *b == 0).next() {
            Some(b"TCP" | b"TCPv6") => Protocol::Tcp,
            Some(b"MPTCP" | b"MPTCPv6") => Protocol::Mptcp,
            _ => Protocol::Other,
        }
    }

    /// Whether the process was started with Node's channel. One that merely inherited the descriptor was not: Node takes
    /// the variable out of the environment, and not all its versions close the descriptor in children.
    pub(super) fn was_given(self, channel: u64) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.0)).unwrap_or_default();
        let number = environment.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(b"NODE_CHANNEL_FD="));
        let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        number.and_then(|number| self.inode(number)) == Some(channel)
    }

    /// Whether a `thread` of Node that binds this port is its inspector: that has a thread of its own, with a name from
    /// Node 24 on, and the port that Node's options give it.
    pub(super) fn inspects_at(self, thread: i32, port: u16) -> bool {
        if thread == self.0 || !procfs::is_node(self.0) {
            return false;
        }
        let name = fs::read_to_string(format!("/proc/{}/task/{thread}/comm", self.0)).unwrap_or_default();
        if name.trim_end() == "InspectorIo" {
            return true;
        }
        Inspector::of_process(self.0).port == port
    }
}

/// The number in `socket:[4711]`.
fn inode(link: &[u8]) -> Option<u64> {
    std::str::from_utf8(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?).ok()?.parse().ok()
}

/// O_NONBLOCK and O_CLOEXEC in the `flags:` of /proc/PID/fdinfo/FD, which are octal (proc_pid_fdinfo(5)).
fn flags(info: &str) -> Option<(bool, bool)> {
    let text = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = u32::from_str_radix(text.trim(), 8).ok()?;
    let has = |flag: OFlags| flags & flag.bits() != 0;
    Some((has(OFlags::NONBLOCK), has(OFlags::CLOEXEC)))
}

/// What an epoll waits for: its `tfd:` lines.
fn targets(info: &str) -> impl Iterator<Item = i32> {
    info.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_of_a_process_are_seen() {
        let us = Caller(i32::try_from(std::process::id()).expect("a pid"));
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let inode = pm_common::sys::socket::inode(&socket).expect("open");
        let second = socket.try_clone().expect("a duplicate");
        pm_common::sys::socket::set_nonblocking(&second, true).expect("open");
        let Uses { all, waited_for } = us.uses(inode);
        assert_eq!((all.len(), waited_for), (2, false));
        assert!(all.iter().all(|one| one.nonblocking && one.close_on_exec), "{all:?}");
        assert!(procfs::sockets_of([us.0].into_iter()).contains(&inode));
        assert_eq!(us.protocol(all[0].number), Protocol::Tcp);
        assert_eq!(process_of(us.0), Some(us.0));
        let thread = std::thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get());
        drop(thread.join());
    }

    #[test]
    fn an_epoll_that_waits_is_seen() {
        let us = Caller(i32::try_from(std::process::id()).expect("a pid"));
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let inode = pm_common::sys::socket::inode(&socket).expect("open");
        let poll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let data = rustix::event::epoll::EventData::new_u64(0);
        rustix::event::epoll::add(&poll, &socket, data, rustix::event::epoll::EventFlags::IN).expect("added");
        assert!(us.uses(inode).waited_for);
    }

    #[test]
    fn flags_are_octal() {
        assert_eq!(flags("pos:\t0\nflags:\t02004002\nmnt_id:\t9\n"), Some((true, true)));
        assert_eq!(flags("flags:\t02\n"), Some((false, false)));
        assert_eq!(flags("nothing"), None);
    }
}
