//! Addresses that the programs bind themselves: what a bind is offered, and what becomes of a socket that listens.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use pm_common::policy::WorkerId;
use pm_common::policy::steering::Spread;
use pm_common::sys::socket;

use super::{Listeners, Mode};
use crate::sockets::address::{Entry, Lent, Source};
use crate::sockets::lanes::Lanes;

/// The shortest queue of a lane: what comes while its worker is being replaced waits there.
pub(super) const LEAST_BACKLOG: i32 = 1024;

/// A TCP address as a program binds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// The address; its port is not 0.
    pub address: SocketAddr,
    /// Of an IPv6 address: no IPv4 connections.
    pub only_v6: bool,
}

/// What a bind is offered.
#[derive(Debug)]
pub enum Offer {
    /// None of ours has the address.
    Nothing,
    /// It can be bound beside the lanes that are there.
    Beside,
    /// A socket that listens already, for the place of the program's own.
    Socket(Lent),
}

impl Listeners {
    /// Whether [`Self::offer`] would give a socket.
    pub fn lends(&mut self, who: WorkerId, spot: Spot) -> bool {
        self.look_outside(spot);
        self.at_spot(spot).is_some_and(|entry| entry.lends(who))
    }

    /// What there is for a worker that binds this address.
    pub fn offer(&mut self, who: WorkerId, spot: Spot) -> Offer {
        self.look_outside(spot);
        let standing = self.standing(who);
        let found = self.entries.at(spot);
        let Some(entry) = found.and_then(|id| self.entries.get_mut(id)) else {
            // Nobody has it open any more, and the kernel would refuse the bind for its sake.
            self.entries.retain(|entry| !(entry.idle() && entry.is_in_the_way_of(spot)));
            return Offer::Nothing;
        };
        match entry.lend(who, standing, &mut self.warnings) {
            Some(lent) => Offer::Socket(lent),
            None => Offer::Beside,
        }
    }

    fn at_spot(&self, spot: Spot) -> Option<&Entry> {
        self.entries.at(spot).and_then(|id| self.entries.get(&id))
    }

    /// Whether the worker has a socket of its own at this address.
    #[must_use]
    pub fn has_own(&self, who: WorkerId, spot: Spot) -> bool {
        self.at_spot(spot).is_some_and(|entry| !entry.sockets(who).is_empty())
    }

    /// Whether the worker took a lane at this address by a bind, and has it open (`held`: what its processes have).
    #[must_use]
    pub fn has_open(&self, who: WorkerId, spot: Spot, held: &BTreeSet<u64>) -> bool {
        self.at_spot(spot).is_some_and(|entry| entry.lanes_of(who).iter().any(|inode| held.contains(inode)))
    }

    /// Lanes of the worker at this address that none of its processes has open any more (`held`: those that they have)
    /// are kept for its slot, and it may be given them again.
    pub fn leave_closed(&mut self, who: WorkerId, spot: Spot, held: &BTreeSet<u64>) {
        let found = self.entries.at(spot);
        if let Some(Source::Lanes(lanes)) = found.and_then(|id| self.entries.get_mut(id)).map(|entry| &mut entry.source)
        {
            lanes.leave_closed(who, held, &mut self.warnings);
        }
    }

    /// A socket that we make for an address that a worker binds, where its own cannot be had.
    ///
    /// # Errors
    /// As from bind(2) and listen(2), with our rights instead of the program's.
    pub fn make_for(&mut self, who: WorkerId, spot: Spot) -> io::Result<Lent> {
        self.look_outside(spot);
        let standing = self.standing(who);
        let id = match self.entries.at(spot) {
            Some(id) => id,
            None => {
                self.entries.retain(|entry| !(entry.idle() && entry.is_in_the_way_of(spot)));
                let source = self.made(spot)?;
                self.insert_own(source)
            }
        };
        let entry = self.entries.get_mut(id).ok_or(io::ErrorKind::NotFound)?;
        let made = entry.make_for(who, standing, &mut self.warnings);
        self.entries.note_sockets(id);
        made
    }

    /// Who has the socket itself accepts from it: we do not.
    pub(super) fn own_mode(&self) -> Mode {
        if self.mode == Mode::Shared { Mode::Shared } else { Mode::Lanes }
    }

    fn made(&mut self, spot: Spot) -> io::Result<Source> {
        let made = Source::tcp(spot.address, spot.only_v6, LEAST_BACKLOG, self.own_mode(), self.spread)?;
        self.warnings.extend(made.1);
        Ok(made.0)
    }

    pub(super) fn insert_own(&mut self, source: Source) -> u64 {
        self.next += 1;
        // No query of Node's is spelled like this.
        let entry = Entry::new(&format!("own {}", self.next), source, false);
        self.entries.insert(self.next, entry);
        self.next
    }

    /// Listens on a worker's own bound socket and keeps a duplicate of it: as a lane, or as the one socket of all where
    /// that is asked for or there is no other way. Gives what to put in its place, if another worker was faster with a
    /// shared one.
    ///
    /// # Errors
    /// That of listen(2).
    pub fn adopt(
        &mut self,
        who: WorkerId,
        spot: Spot,
        socket: OwnedFd,
        lanes: bool,
        backlog: i32,
    ) -> io::Result<Option<Lent>> {
        let standing = self.standing(who);
        let id = match self.entries.at(spot) {
            Some(id) => id,
            None if lanes && self.mode != Mode::Shared => {
                let backlog = backlog.max(LEAST_BACKLOG);
                let mut all = Lanes::of_workers(spot.address, spot.only_v6, backlog, self.spread);
                all.adopt(who, standing, socket, &mut self.warnings)?;
                let id = self.insert_own(Source::Lanes(all));
                return self.listening_on(id, who).map(|()| None);
            }
            None => {
                socket::listen(&socket, backlog.max(LEAST_BACKLOG))?;
                let id = self.insert_own(Source::Shared { fd: socket, claim: None });
                return self.listening_on(id, who).map(|()| None);
            }
        };
        let entry = self.entries.get_mut(id).ok_or(io::ErrorKind::NotFound)?;
        let lent = entry.adopt(who, standing, socket, &mut self.warnings)?;
        self.entries.note_sockets(id);
        self.listening_on(id, who).map(|()| lent)
    }

    fn listening_on(&mut self, id: u64, who: WorkerId) -> io::Result<()> {
        let standing = self.standing(who);
        let entry = self.entries.get_mut(id).ok_or(io::ErrorKind::NotFound)?;
        entry.admit(who);
        entry.accepting(who);
        entry.stand(who, standing, &mut self.warnings);
        Ok(())
    }

    /// Where a socket of ours listens, if the worker listens on one: it takes connections as soon as it is ready.
    pub fn listens_on(&mut self, who: WorkerId, inode: u64) -> Option<String> {
        let id = self.entries.of_socket(inode)?;
        let description = self.entries.get(&id)?.description.clone();
        self.listening_on(id, who).ok()?;
        Some(description)
    }

    /// Whether this is one of our sockets.
    #[must_use]
    pub fn knows(&self, inode: u64) -> bool {
        self.entries.of_socket(inode).is_some()
    }

    /// The address as [`Self::all`] shows it, if it is one of ours.
    #[must_use]
    pub fn at(&self, spot: Spot) -> Option<&str> {
        self.at_spot(spot).map(|entry| entry.description.as_str())
    }

    /// Connections that wait in the lanes of this worker.
    #[must_use]
    pub fn waiting(&self, who: WorkerId) -> u32 {
        self.entries.values().map(|entry| entry.waiting(who)).sum()
    }

    /// Sends what comes from this port to the worker's lanes, or goes back to treating it as any other.
    pub fn steer_source(&mut self, who: WorkerId, source: Option<u16>) {
        for entry in self.entries.values_mut() {
            if let Source::Lanes(lanes) = &mut entry.source {
                lanes.steer_source(who, source, &mut self.warnings);
            }
        }
    }

    /// All workers share one socket, by choice.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.mode == Mode::Shared
    }

    /// How connections are spread.
    #[must_use]
    pub fn spread(&self) -> Spread {
        self.spread
    }
}
