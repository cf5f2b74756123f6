//! One look at any lane, for those who poll it, accept from it, and judge its worker.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::policy::time::Mono;
use pm_common::sys::socket;

use super::Sockets;
use super::address::Address;
use super::lanes::{Lanes, Standing};
use super::source::Source;
use super::unix::Claim;
use super::wanted::LEAST_BACKLOG;

/// Names one of our listening sockets. The name stays valid when the socket is gone (nothing is accepted then).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneRef {
    address: u64,
    lane: usize,
}

/// A socket that is one worker's, or ours to accept from.
#[derive(Debug, Clone, Copy)]
pub struct LaneView<'a> {
    /// Its name.
    pub at: LaneRef,
    /// The socket, to be polled.
    pub fd: BorrowedFd<'a>,
    /// The name of its address in Node's protocol: workers that have this key can take the connections.
    pub key: Option<&'a str>,
    /// Its address.
    pub address: &'a Listening,
    /// The port; 0: none.
    pub port: u16,
    /// The slot whose next worker gets it: one that is about to start serves the queue itself.
    pub slot: Option<u32>,
    /// Whose it is, and what for; `None`: nobody but us accepts here.
    pub holder: Option<(WorkerId, Standing)>,
    /// Its clients wait there for that worker, and go to no other.
    pub awaited: bool,
    /// Another worker is in service at its address.
    pub has_others: bool,
}

impl LaneView<'_> {
    /// The worker whose it is, if that is in service.
    #[must_use]
    pub fn server(&self) -> Option<WorkerId> {
        self.holder.filter(|(_, standing)| *standing == Standing::InService).map(|(who, _)| who)
    }
}

impl Sockets {
    /// All lanes that listen, those that were shut down unseen, and the sockets whose connections we pass on in turn.
    pub fn lanes(&self) -> impl Iterator<Item = LaneView<'_>> {
        self.addresses.iter().flat_map(|(&id, address)| address.lanes(id))
    }

    /// The next connection of a lane that no worker holds, or that we pass on in turn; `None` if none waits. Non-blocking
    /// and close-on-exec.
    ///
    /// # Errors
    /// That of accept4(2): after EMFILE and its kin the connection still waits, and polling would spin.
    pub fn accept(&self, at: LaneRef) -> io::Result<Option<OwnedFd>> {
        match self.addresses.get(&at.address).map(|address| &address.source) {
            Some(Source::Lanes(lanes)) => lanes.accept(at.lane),
            Some(Source::RoundRobin { fd, .. }) => socket::accept(fd),
            Some(Source::Shared { .. }) | None => Ok(None),
        }
    }

    /// When [`Self::lose_patience`] has something to do.
    #[must_use]
    pub fn patience_ends(&self) -> Option<Mono> {
        let addresses = self.sticks().then(|| self.addresses.values());
        addresses.into_iter().flatten().filter_map(|address| address.source.lanes()?.patience_ends()).min()
    }

    /// Gives the clients to other slots that have waited long enough for their own slot's next worker.
    pub fn lose_patience(&mut self, now: Mono) {
        if self.patience_ends().is_some_and(|at| at <= now) {
            self.addresses.all_lanes().for_each(|lanes| lanes.lose_patience(now));
        }
    }

    /// What tells that the path of a unix socket may have been removed, with the number of its address.
    pub fn paths(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.addresses.iter().filter_map(|(&id, address)| Some((id, address.source.claim()?.watch()?)))
    }

    /// Puts the path of an address back, if it was removed.
    pub fn look_at_path(&self, id: u64) {
        self.addresses.get(&id).and_then(|address| address.source.claim()).into_iter().for_each(Claim::look);
    }

    fn lanes_at(&mut self, at: LaneRef) -> Option<&mut Lanes> {
        self.addresses.get_mut(at.address)?.source.lanes_mut()
    }

    /// Steers a lane away whose worker takes nothing from it, as long as there are others; or in again. Says whether new
    /// connections go elsewhere now.
    pub fn set_stuck(&mut self, at: LaneRef, stuck: bool) -> bool {
        self.lanes_at(at).is_some_and(|lanes| lanes.set_stuck(at.lane, stuck))
    }

    /// Checks whether a worker has shut its lane down; if so, it is steered around: gives the worker, and the address.
    pub fn look_if_shut(&mut self, at: LaneRef) -> Option<(WorkerId, Listening)> {
        let lanes = self.lanes_at(at)?;
        let holder = lanes.holder(at.lane)?;
        lanes.look_if_shut(at.lane).then_some(())?;
        Some((holder, self.addresses.get(&at.address)?.at.clone()))
    }

    /// Has a socket of ours listen again, if it was shut down.
    ///
    /// # Errors
    /// That of listen(2).
    pub fn listen_again(&mut self, inode: u64) -> io::Result<()> {
        let found = self.addresses.of_socket(inode);
        match found.and_then(|id| self.addresses.get_mut(id)).map(|address| &mut address.source) {
            Some(Source::Lanes(lanes)) => lanes.listen_again(inode),
            Some(Source::Shared { fd, .. }) if !socket::is_listening(&*fd).unwrap_or(true) => {
                socket::listen(fd, LEAST_BACKLOG)
            }
            Some(Source::Shared { .. } | Source::RoundRobin { .. }) | None => Ok(()),
        }
    }

    /// Whether this worker has a lane that it has shut down.
    #[must_use]
    pub fn has_shut(&self, who: WorkerId) -> bool {
        self.addresses.values().filter_map(|address| address.source.lanes()).any(|lanes| lanes.has_shut(who))
    }

    /// The ports that a worker takes connections on.
    #[must_use]
    pub fn ports(&self, who: WorkerId) -> BTreeSet<u16> {
        let accepted = self.addresses.values().filter(|address| address.is_accepted_by(who));
        accepted.filter_map(Address::port).collect()
    }

    /// How many connections wait in all lanes of this port.
    #[must_use]
    pub fn queued(&self, port: u16) -> u32 {
        let there = self.addresses.values().filter(|address| address.port() == Some(port));
        there.filter_map(|address| address.source.lanes()).map(Lanes::queued).sum()
    }

    /// Gives the lanes of a worker that hangs to the one that replaces it, or takes that back: it does not hang any
    /// more.
    pub fn set_hung(&mut self, who: WorkerId, hangs: bool) {
        self.addresses.all_lanes().for_each(|lanes| lanes.set_hung(who, hangs));
    }
}

impl Address {
    fn lanes(&self, id: u64) -> impl Iterator<Item = LaneView<'_>> {
        let lanes = self.source.lanes();
        let members = move || lanes.into_iter().flat_map(|lanes| lanes.listening().chain(lanes.untold()));
        let port = lanes.map_or(0, |lanes| lanes.address().port());
        let has_others = members().filter(|(_, lane)| lane.serves()).nth(1).is_some();
        let (key, address) = (self.key.as_deref(), &self.at);
        let view = move |lane, fd, slot: Option<u32>, holder| {
            let at = LaneRef { address: id, lane };
            let awaited = slot.is_some_and(|slot| lanes.is_some_and(|lanes| lanes.keeps(slot)));
            LaneView { at, fd, key, address, port, slot, holder, awaited, has_others }
        };
        let turn = if let Source::RoundRobin { fd, .. } = &self.source { Some(fd.as_fd()) } else { None };
        let each = members().map(move |(index, lane)| view(index, lane.fd.as_fd(), lane.slot, lane.held_for()));
        each.chain(turn.map(move |fd| view(0, fd, None, None)))
    }
}
