//! What the tests with real sockets share.
#![allow(dead_code)]

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use pm_cluster::sockets::wanted::Request;
use pm_cluster::sockets::{How, LaneView, Mode, Sockets};
use pm_common::node::query::{Family, Query};
use pm_common::policy::WorkerId;
use pm_common::sys::socket;
use serde_json::Value;

/// The worker of a slot in its generation.
pub(crate) fn worker(slot: u32, generation: u64) -> WorkerId {
    WorkerId { slot, generation }
}

/// Lanes, and none opened yet.
pub(crate) fn lanes() -> Sockets {
    Sockets::new(Mode::Lanes)
}

/// `listen(port, address)`
pub(crate) fn query(family: Family, address: Option<&str>, port: u16) -> Query {
    let (data, address) = (Value::Null, address.map(str::to_owned));
    let (readable_all, writable_all) = (false, false);
    Query { address, port, family, fd: None, flags: 0, backlog: 511, index: 0, data, readable_all, writable_all }
}

/// A port of the kernel's choice on loopback.
pub(crate) fn loopback() -> Query {
    query(Family::Tcp4, Some("127.0.0.1"), 0)
}

/// What a worker gets for its query, and the key.
pub(crate) fn open(sockets: &mut Sockets, who: WorkerId, query: &Query) -> Result<(How, String), i32> {
    let request = Request::of(query)?;
    Ok((sockets.open(who, &request)?.how, request.key))
}

/// The socket that a worker was given, and its key.
pub(crate) fn handle((how, key): (How, String)) -> (OwnedFd, String) {
    match how {
        How::Handle(fd) => (fd, key),
        How::RoundRobin(address) => panic!("a socket expected, not connections in turn: {address:?}"),
    }
}

/// The lanes that no worker holds.
pub(crate) fn unattended(sockets: &Sockets) -> impl Iterator<Item = LaneView<'_>> {
    sockets.lanes().filter(|lane| lane.holder.is_none())
}

/// A worker that is ready and accepts: its socket and key.
pub(crate) fn serving(sockets: &mut Sockets, who: WorkerId, query: &Query) -> (OwnedFd, String) {
    let (fd, key) = handle(open(sockets, who, query).expect("granted"));
    sockets.accepting(who, &key);
    sockets.steer_in(who);
    (fd, key)
}

/// Where a socket is bound.
pub(crate) fn address(fd: &OwnedFd) -> SocketAddr {
    socket::local_inet(fd).expect("an IP socket")
}

/// Identifies a socket through its duplicates.
pub(crate) fn inode(fd: impl AsFd) -> u64 {
    socket::inode(fd).expect("fstat")
}

/// Connects that often.
pub(crate) fn connect(address: SocketAddr, times: usize) -> Vec<TcpStream> {
    (0..times).map(|_| TcpStream::connect(address).expect("somebody listens")).collect()
}

/// Accepts from all sockets until `total` connections have come out; the count of each.
pub(crate) fn take(sockets: &[&OwnedFd], total: usize) -> Vec<usize> {
    let mut counts = vec![0; sockets.len()];
    let limit = Instant::now() + Duration::from_secs(20);
    while counts.iter().sum::<usize>() < total {
        assert!(Instant::now() < limit, "connections are missing: {counts:?} of {total}");
        for (count, socket) in counts.iter_mut().zip(sockets) {
            while socket::accept(socket).expect("accept").is_some() {
                *count += 1;
            }
        }
        // The last handshake may still be under way.
        std::thread::yield_now();
    }
    counts
}

/// What we accept ourselves from the lanes that no worker holds, until `total` have come out.
pub(crate) fn hand_on(sockets: &Sockets, total: usize) -> usize {
    let limit = Instant::now() + Duration::from_secs(20);
    let mut count = 0;
    while count < total {
        assert!(Instant::now() < limit, "connections are missing: {count} of {total}");
        for lane in unattended(sockets) {
            while sockets.accept(lane.at).expect("accept").is_some() {
                count += 1;
            }
        }
        std::thread::yield_now();
    }
    count
}
