//! Lanes that are the programs' own sockets: made, set up and bound by a worker, kept by us like any other lane.
//!
//! Which lane a worker gets is in `which_lane`; what becomes of those who wait on one that has no worker, in
//! `node::lane_without_worker` and `sockets::unserved`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pm_common::policy::WorkerId;
use pm_common::policy::steering;
use pm_common::sys::socket::{self, Join};

use super::{Lanes, Standing};
use crate::sockets::wanted::BindAddress;

/// Makes a socket that a worker is about to bind fit to be a lane: the first of its address, or beside others.
///
/// The first is bound alone, so that the port of another program is EADDRINUSE.
///
/// # Errors
/// That of setsockopt(2).
pub fn prepare(socket: BorrowedFd<'_>, first: bool) -> io::Result<()> {
    socket::reuse_address(socket)?;
    if first { Ok(()) } else { socket::let_others_join(socket) }
}

/// Makes a bound socket fit to be the only one that listens at its address.
///
/// A steering program that is attached while SO_REUSEPORT is set for a moment stays when it is cleared: that is how a lone
/// socket can be steered before a second one has joined, so that none of its connections goes to a newcomer. It is done
/// this late because it gives the socket a group of its own, which could not join that of another that listens first.
fn steer_alone(socket: &OwnedFd) -> io::Result<()> {
    // A program that shares its port on purpose goes on to do so.
    if socket::joins(socket)? {
        return Ok(());
    }
    socket::let_others_join(socket)?;
    // An older kernel may refuse: then the first newcomer may get a connection before it is steered.
    let _ = socket::steer(socket, &steering::program(&[0]).unwrap_or_default());
    socket::join_no_more(socket)
}

impl Lanes {
    /// The address with its real port.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.at.address
    }

    /// Listens on a worker's own bound socket (it may listen already), which is a lane of that worker from here on; `join`: whether lanes of
    /// another address of ours may be in its way.
    ///
    /// # Errors
    /// That of listen(2): EADDRINUSE if another program listened first.
    pub(crate) fn adopt(&mut self, who: WorkerId, standing: Standing, socket: OwnedFd, join: Join) -> io::Result<()> {
        // Its index is the number of sockets in the group now, foreign ones included.
        self.leave_all_shut();
        // One that listens already is alone at its address, and no foreign one.
        if !socket::is_listening(&socket)? {
            self.look_for_foreign();
        }
        match self.lanes.is_empty() && join == Join::Alone {
            true => steer_alone(&socket)?,
            // The socket may have been bound as the first one, and another has listened before it.
            false => socket::let_others_join(&socket)?,
        }
        socket::listen(&socket, self.backlog)?;
        socket::let_others_join(&socket)?;
        let index = self.push(socket)?;
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.pass_to(who, standing);
        }
        self.steer();
        Ok(())
    }

    /// A duplicate of the lane that this worker holds already.
    #[must_use]
    pub(crate) fn held(&self, who: WorkerId) -> Option<OwnedFd> {
        self.lanes.iter().find(|lane| lane.holder == Some(who))?.fd.try_clone().ok()
    }

    /// A duplicate of the lane with this number.
    #[must_use]
    pub(crate) fn numbered(&self, inode: u64) -> Option<OwnedFd> {
        self.lanes.iter().find(|lane| lane.inode == inode)?.fd.try_clone().ok()
    }

    /// How the address is bound.
    #[must_use]
    pub(crate) fn bound(&self) -> BindAddress {
        self.at
    }

    /// The numbers of all sockets.
    pub(crate) fn inodes(&self) -> impl Iterator<Item = u64> {
        self.ours.keys().copied()
    }

    /// Whether it is bound like this.
    #[must_use]
    pub(crate) fn is_at(&self, at: BindAddress) -> bool {
        self.at.address == at.address && (at.address.is_ipv4() || self.at.only_v6 == at.only_v6)
    }

    /// Whether both could not be bound at a time, other than as lanes of one address.
    #[must_use]
    pub(crate) fn is_in_the_way_of(&self, at: BindAddress) -> bool {
        let (ours, theirs) = (self.at.address, at.address);
        let all = ours.ip().is_unspecified() || theirs.ip().is_unspecified();
        let dual = |of: BindAddress| of.address.is_ipv6() && of.address.ip().is_unspecified() && !of.only_v6;
        let meet = ours.is_ipv6() == theirs.is_ipv6() || dual(self.at) || dual(at);
        ours.port() == theirs.port() && ours != theirs && all && meet
    }

    /// Connections that wait in the lanes of this worker.
    #[must_use]
    pub(crate) fn waiting(&self, who: WorkerId) -> u32 {
        let lanes = self.lanes.iter().filter(|lane| lane.holder == Some(who));
        lanes.filter_map(|lane| socket::accept_queue(lane.fd.as_fd()).ok()).sum()
    }

    /// Sends what comes from this port to the worker's lane, or goes back to treating it as any other.
    pub(crate) fn steer_source(&mut self, who: WorkerId, source: Option<u16>) {
        let before = match source {
            Some(port) => self.sources.insert(who, port),
            None => self.sources.remove(&who),
        };
        if before != source {
            self.steer();
        }
    }

    /// Those ports, each with the index of the lane in the kernel's group.
    pub(super) fn source_indexes(&self) -> Vec<(u16, u32)> {
        let held_by = |who: WorkerId| self.listening().find(|(_, lane)| lane.holder == Some(who));
        let index = |who: WorkerId| u32::try_from(held_by(who)?.1.place?).ok();
        self.sources.iter().filter_map(|(who, port)| Some((*port, index(*who)?))).collect()
    }

    /// All lanes, whoever has them.
    pub(crate) fn sockets_of_all(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.lanes.iter().map(|lane| lane.fd.as_fd())
    }

    /// The numbers of the lanes of each worker.
    #[must_use]
    pub(crate) fn sockets_by_worker(&self) -> BTreeMap<WorkerId, Vec<u64>> {
        let mut sockets: BTreeMap<WorkerId, Vec<u64>> = BTreeMap::new();
        for lane in &self.lanes {
            lane.holder.into_iter().for_each(|who| sockets.entry(who).or_default().push(lane.inode));
        }
        sockets
    }

    /// The numbers of the lanes of this worker.
    #[must_use]
    pub(crate) fn sockets(&self, who: WorkerId) -> Vec<u64> {
        let lanes = self.lanes.iter().filter(|lane| lane.holder == Some(who));
        lanes.map(|lane| lane.inode).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::sockets::warnings::Warnings;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn worker(slot: u32, generation: u64) -> WorkerId {
        WorkerId { slot, generation }
    }

    /// What a worker does, and what is done to it: prepared and bound, not listening.
    fn bound(address: SocketAddr, first: bool) -> OwnedFd {
        let socket = socket::tcp_unbound(address).expect("a socket");
        prepare(socket.as_fd(), first).expect("prepared");
        socket::bind(&socket, address).expect("bound");
        socket
    }

    fn of_workers(address: SocketAddr, only_v6: bool) -> Lanes {
        Lanes::of_workers(BindAddress { address, only_v6 }, 100, &Warnings::default())
    }

    fn adopted() -> (Lanes, SocketAddr) {
        let first = bound(LOOPBACK, true);
        let address = socket::local_inet(&first).expect("bound");
        let mut lanes = of_workers(address, false);
        lanes.adopt(worker(0, 1), Standing::InService, first, Join::Alone).expect("adopted");
        (lanes, address)
    }

    #[test]
    fn a_port_that_another_has_is_refused_and_ours_is_not_shared() {
        let other = TcpListener::bind(LOOPBACK).expect("a port");
        let taken = other.local_addr().expect("bound");
        let socket = socket::tcp_unbound(taken).expect("a socket");
        prepare(socket.as_fd(), true).expect("prepared");
        let error = socket::bind(&socket, taken).expect_err("taken");
        assert_eq!(error.raw_os_error(), Some(socket::EADDRINUSE));
        let first = bound(LOOPBACK, true);
        let address = socket::local_inet(&first).expect("bound");
        socket::listen(&first, 5).expect("listens");
        let error = socket::tcp_bound(address, false, Join::Beside).expect_err("not shared yet");
        assert_eq!(error.raw_os_error(), Some(socket::EADDRINUSE));
    }

    #[test]
    fn the_one_that_bound_first_may_listen_last() {
        let first = bound(LOOPBACK, true);
        let address = socket::local_inet(&first).expect("bound");
        let second = bound(address, false);
        let mut lanes = of_workers(address, false);
        lanes.adopt(worker(1, 1), Standing::InService, second, Join::Alone).expect("adopted");
        lanes.adopt(worker(0, 1), Standing::InService, first, Join::Alone).expect("adopted");
        assert_eq!(lanes.lanes.len(), 2);
    }

    #[test]
    fn a_newcomer_that_waits_gets_no_connection_and_the_first_keeps_them() {
        let (mut lanes, address) = adopted();
        let second = bound(address, false);
        lanes.adopt(worker(0, 2), Standing::Waiting, second, Join::Alone).expect("adopted");
        let clients: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).expect("connects")).collect();
        assert_eq!((lanes.waiting(worker(0, 1)), lanes.waiting(worker(0, 2))), (20, 0));
        lanes.set(worker(0, 2), Standing::InService);
        lanes.set(worker(0, 1), Standing::Draining);
        let more: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).expect("connects")).collect();
        assert_eq!((lanes.waiting(worker(0, 1)), lanes.waiting(worker(0, 2))), (20, 20));
        drop((clients, more));
    }

    #[test]
    fn the_slots_next_worker_gets_the_lane_of_the_dead_one_with_what_waits_in_it() {
        let (mut lanes, address) = adopted();
        let _waits = TcpStream::connect(address).expect("connects");
        assert!(lanes.give_free(worker(1, 1), Standing::Waiting).is_none(), "it is held");
        lanes.vacate(worker(0, 1));
        assert!(lanes.give_free(worker(1, 1), Standing::Waiting).is_none(), "it is kept for its slot");
        let given = lanes.give_free(worker(0, 2), Standing::Waiting).expect("its slot's");
        assert!(socket::accept(&given).expect("accepts").is_some());
        assert_eq!(lanes.lanes.len(), 1);
    }

    #[test]
    fn what_a_worker_has_closed_is_given_to_it_again() {
        let (mut lanes, _) = adopted();
        let ours = lanes.sockets(worker(0, 1));
        lanes.leave_closed(worker(0, 1), &ours.iter().copied().collect());
        assert!(lanes.give_free(worker(0, 1), Standing::Waiting).is_none(), "it has it open");
        lanes.leave_closed(worker(0, 1), &BTreeSet::new());
        assert!(lanes.give_free(worker(0, 1), Standing::Waiting).is_some());
        assert_eq!((lanes.lanes.len(), lanes.sockets(worker(0, 1))), (1, ours));
    }

    #[test]
    fn addresses_that_meet_are_in_each_others_way() {
        let at = |text: &str, only_v6| BindAddress { address: text.parse().expect("an address"), only_v6 };
        let lanes = |text: &str, only_v6| of_workers(at(text, only_v6).address, only_v6);
        let meets = |a: &str, b: &str| lanes(a, false).is_in_the_way_of(at(b, false));
        assert!(
            meets("0.0.0.0:80", "127.0.0.1:80") && meets("[::]:80", "0.0.0.0:80") && meets("127.0.0.1:80", "[::]:80")
        );
        assert!(
            !meets("127.0.0.1:80", "127.0.0.2:80")
                && !meets("0.0.0.0:80", "0.0.0.0:81")
                && !meets("[::1]:80", "0.0.0.0:80")
        );
        assert!(!lanes("[::]:80", true).is_in_the_way_of(at("0.0.0.0:80", false)));
    }
}
