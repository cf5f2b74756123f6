//! What is to be done about a call of bind or listen: decided from what is known of it, without the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use pm_common::sys::socket::Protocol;

use crate::sockets::MOST_OF_A_SLOT;

/// AF_UNIX, AF_INET and AF_INET6 (socket(7)); the others are left alone.
const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;

/// The TCP or UDP address in the bytes that a program gives to bind(2); `None` for any other family, and for one that
/// is cut short (the kernel refuses that one).
pub(super) fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(array(bytes, 0)?);
    let port = u16::from_be_bytes(array(bytes, 2)?);
    match family {
        INET => Some((IpAddr::V4(Ipv4Addr::from(array::<4>(bytes, 4)?)), port).into()),
        INET6 => {
            let ip = Ipv6Addr::from(array::<16>(bytes, 8)?);
            let scope = array(bytes, 24).map_or(0, u32::from_ne_bytes);
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

/// The path in such bytes, or the name behind a 0 (unix(7)); `None` for any other family, and for one that is unnamed.
pub(super) fn unix_name(bytes: &[u8]) -> Option<&[u8]> {
    let name = bytes.get(2..).filter(|_| array(bytes, 0).map(u16::from_ne_bytes) == Some(UNIX))?;
    match name.iter().position(|byte| *byte == 0) {
        Some(0) => Some(name).filter(|name| name.len() > 1),
        end => name.get(..end.unwrap_or(name.len())).filter(|name| !name.is_empty()),
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// A bind, as far as it matters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bind {
    /// Where.
    pub(super) address: SocketAddr,
    /// Of the socket.
    pub(super) protocol: Protocol,
    /// The socket is one of ours: the call was interrupted after we had put it in place.
    pub(super) ours: bool,
    /// The thread speaks Node's protocol with us: it asks there for what it wants to share.
    pub(super) asks: bool,
    /// The port is that of the process's own inspector.
    pub(super) inspector: bool,
}

/// What to do about a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The kernel binds, as if nobody had looked.
    LeaveAlone,
    /// The socket is bound already.
    Done,
    /// Each worker gets a lane.
    Lanes,
    /// All workers share one socket.
    Shared,
    /// Each worker's own is bound beside those of the others.
    Beside,
    /// A debugger's port: the next one that is free, and no service.
    Inspector,
}

/// What to do about a bind.
pub(super) fn bind(bind: &Bind) -> Verdict {
    match bind.protocol {
        _ if bind.ours => Verdict::Done,
        Protocol::Tcp if bind.inspector => Verdict::Inspector,
        // A port of the kernel's choice is each worker's own.
        _ if bind.asks || bind.address.port() == 0 => Verdict::LeaveAlone,
        Protocol::Tcp => Verdict::Lanes,
        Protocol::Mptcp => Verdict::Shared,
        Protocol::Udp => Verdict::Beside,
        Protocol::Other => Verdict::LeaveAlone,
    }
}

/// A socket that was bound and does not listen yet, or that processes beside the first may listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    /// Its inode.
    pub(super) inode: u64,
    /// Where it was to be bound.
    pub(super) address: SocketAddr,
    /// The socket becomes a lane, not the one socket of all.
    pub(super) lane: bool,
    /// The number of the lane that took its place in the first process that listened on it: each other one gets it, too.
    pub(super) given: Option<u64>,
}

/// Sockets that one worker has bound and not listened on; more than these are not kept in mind.
const MOST_PENDING: usize = MOST_OF_A_SLOT;

/// The pending sockets of a worker, the oldest first.
#[derive(Debug, Default)]
pub(super) struct AllPending(Vec<Pending>);

impl AllPending {
    /// Keeps one in mind, instead of an older one of the same number; false: instead of the oldest.
    pub(super) fn add(&mut self, pending: Pending) -> bool {
        self.0.retain(|other| other.inode != pending.inode);
        let room = !self.is_full();
        if !room {
            self.0.remove(0);
        }
        self.0.push(pending);
        room
    }

    /// Whether the next one takes the place of another.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST_PENDING
    }

    /// Most were closed again, and are none that listen: keeps those that the worker still has.
    pub(super) fn keep(&mut self, held: &BTreeSet<u64>) {
        self.0.retain(|one| held.contains(&one.inode));
    }

    /// Takes the one with this number, if it is bound where it was to be.
    pub(super) fn take(&mut self, inode: u64, bound: SocketAddr) -> Option<Pending> {
        let at = self.0.iter().position(|one| one.inode == inode)?;
        let one = self.0.remove(at);
        (one.address == bound).then_some(one)
    }

    /// Whether this one is in mind.
    pub(super) fn has(&self, pending: &Pending) -> bool {
        self.0.iter().any(|one| (one.inode, one.address, one.lane) == (pending.inode, pending.address, pending.lane))
    }

    /// Whether one is to be bound there.
    pub(super) fn any_at(&self, address: SocketAddr) -> bool {
        self.0.iter().any(|one| one.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_bind(protocol: Protocol, port: u16) -> Bind {
        Bind { address: ([127, 0, 0, 1], port).into(), protocol, ours: false, asks: false, inspector: false }
    }

    #[test]
    fn tcp_gets_lanes_and_what_cannot_is_shared_in_its_way_or_left_alone() {
        assert_eq!(bind(&a_bind(Protocol::Tcp, 80)), Verdict::Lanes);
        assert_eq!(bind(&a_bind(Protocol::Mptcp, 80)), Verdict::Shared);
        assert_eq!(bind(&a_bind(Protocol::Udp, 53)), Verdict::Beside);
        assert_eq!(bind(&a_bind(Protocol::Udp, 0)), Verdict::LeaveAlone, "a client");
        assert_eq!(bind(&a_bind(Protocol::Other, 80)), Verdict::LeaveAlone, "SCTP");
        assert_eq!(bind(&a_bind(Protocol::Tcp, 0)), Verdict::LeaveAlone, "each its own");
    }

    #[test]
    fn a_call_that_begins_again_is_done() {
        assert_eq!(bind(&Bind { ours: true, ..a_bind(Protocol::Tcp, 80) }), Verdict::Done);
        assert_eq!(bind(&Bind { ours: true, ..a_bind(Protocol::Tcp, 0) }), Verdict::Done);
    }

    #[test]
    fn what_could_ask_for_a_lane_and_binds_wants_a_port_of_its_own() {
        assert_eq!(bind(&Bind { asks: true, ..a_bind(Protocol::Tcp, 9229) }), Verdict::LeaveAlone);
    }

    #[test]
    fn a_debugger_s_port_is_no_service() {
        assert_eq!(bind(&Bind { inspector: true, ..a_bind(Protocol::Tcp, 9229) }), Verdict::Inspector);
        assert_eq!(bind(&Bind { inspector: true, asks: true, ..a_bind(Protocol::Tcp, 9229) }), Verdict::Inspector);
    }

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        let v4 = [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9];
        assert_eq!(socket_address(&v4), Some(([127, 0, 0, 1], 8080).into()));
        let mut v6 = [0; 28];
        (v6[0], v6[2], v6[3], v6[23], v6[24]) = (10, 0x1f, 0x90, 1, 3);
        let read = socket_address(&v6).expect("an address");
        assert_eq!(read.to_string(), "[::1%3]:8080");
        assert!(socket_address(&v6[..24]).is_some(), "the zone may be missing (SIN6_LEN_RFC2133)");
        for short in [&v4[..7], &v6[..23], &[1, 0, b'/', b't'], &[16, 0], &[]] {
            assert_eq!(socket_address(short), None, "{short:?}");
        }
    }

    #[test]
    fn names_of_unix_sockets_are_read() {
        assert_eq!(unix_name(b"\x01\0/run/a\0rest"), Some(&b"/run/a"[..]));
        assert_eq!(unix_name(b"\x01\0a"), Some(&b"a"[..]));
        assert_eq!(unix_name(b"\x01\0\0name"), Some(&b"\0name"[..]));
        for none in [&b"\x01\0"[..], b"\x01\0\0", b"\x02\0/run/a", b"\x01"] {
            assert_eq!(unix_name(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_number_used_again_elsewhere_is_another_socket() {
        let at = |port: u16| SocketAddr::from(([0, 0, 0, 0], port));
        let mut all = AllPending::default();
        let one = Pending { inode: 5, address: at(80), lane: true, given: None };
        all.add(one);
        assert!(all.any_at(at(80)) && !all.any_at(at(81)));
        assert_eq!(all.take(5, at(9000)), None);
        all.add(one);
        assert_eq!(all.take(5, at(80)), Some(one));
        assert_eq!(all.take(5, at(80)), None);
    }

    #[test]
    fn what_never_listens_is_forgotten() {
        let address = SocketAddr::from(([0, 0, 0, 0], 80));
        let mut all = AllPending::default();
        let last = 2 * MOST_PENDING as u64;
        let fits = (0..=last).filter(|inode| all.add(Pending { inode: *inode, address, lane: true, given: None }));
        assert_eq!(fits.count(), MOST_PENDING);
        assert!(all.0.len() == MOST_PENDING && all.is_full());
        assert!(all.take(last, address).is_some() && all.take(0, address).is_none());
        all.keep(&BTreeSet::from([last - 2, 0]));
        assert!(all.0.len() == 1 && all.add(Pending { inode: 7, address, lane: true, given: None }));
    }
}
