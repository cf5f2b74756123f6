//! The process that calls bind or listen, by what /proc says of it.
//!
//! All of it is read by number while the process waits for our answer; who asks checks afterwards that it still does.

use pm_common::kernel::procfs::{self, Proc, Uses};
use pm_common::node::inspector::Inspector;
use pm_common::sys::other_process;
use pm_common::sys::socket::Protocol;

/// A process that waits for our answer, by its pid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(pub(super) i32);

impl Caller {
    /// The inode of the socket behind a descriptor.
    pub(super) fn inode(self, number: i32) -> Option<u64> {
        procfs::socket_behind(self.0, number)
    }

    /// What there is to know before another socket takes the place of this one.
    pub(super) fn uses(self, socket: u64) -> Uses {
        procfs::uses_of(self.0, socket)
    }

    /// The protocol of a socket that we cannot have a duplicate of.
    pub(super) fn protocol(self, number: i32) -> Protocol {
        let path = format!("/proc/{}/fd/{number}", self.0);
        let name = other_process::attribute(&path, "system.sockprotoname").unwrap_or_default();
        match name.split(|b| *b == 0).next() {
            Some(b"TCP" | b"TCPv6") => Protocol::Tcp,
            Some(b"MPTCP" | b"MPTCPv6") => Protocol::Mptcp,
            _ => Protocol::Other,
        }
    }

    /// Whether the process was started with Node's channel. One that merely inherited the descriptor was not: Node takes
    /// the variable out of the environment, and not all its versions close the descriptor in children.
    pub(super) fn was_given(self, channel: u64) -> bool {
        let [number] = Proc::default().variables(self.0, ["NODE_CHANNEL_FD"]);
        let number = number.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        number.and_then(|number| self.inode(number)) == Some(channel)
    }

    /// Whether a `thread` of Node that binds this port is its inspector: that has a thread of its own, with a name from
    /// Node 24 on, and the port that Node's options give it.
    pub(super) fn inspects_at(self, thread: i32, port: u16) -> bool {
        if thread == self.0 || !procfs::is_node(self.0) {
            return false;
        }
        let name = procfs::text(&format!("{}/task/{thread}/comm", self.0)).unwrap_or_default();
        name.trim_end() == "InspectorIo" || Inspector::of_process(self.0).port == port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_of_a_socket_is_known_without_a_duplicate() {
        let us = Caller(i32::try_from(std::process::id()).expect("a pid"));
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        assert_eq!(us.protocol(std::os::fd::AsRawFd::as_raw_fd(&socket)), Protocol::Tcp);
        assert_eq!(us.protocol(i32::MAX), Protocol::Other);
    }
}
