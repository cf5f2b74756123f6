//! Addresses that the programs bind themselves: what is given to a bind, and what becomes of a socket that listens.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::sys::socket::{self, Join};

use super::Sockets;
use super::address::{Address, Duplicate};
use super::source::{Manner, Mode, Source};
use super::wanted::{BindAddress, LEAST_BACKLOG};

/// The answer to a bind.
#[derive(Debug)]
pub enum BindGrant {
    /// None of ours has the address.
    Nothing,
    /// The socket can be bound beside the lanes that are there.
    Beside,
    /// A socket that listens already, for the place of the program's own.
    Socket(Duplicate),
}

impl Sockets {
    /// Whether [`Self::give_for_bind`] would give a socket.
    pub fn has_free(&mut self, who: WorkerId, at: BindAddress) -> bool {
        self.look_outside(at);
        self.open_again(at);
        self.bound_at(at).is_some_and(|address| address.has_free(who))
    }

    /// Whether the worker may bind beside the lanes of this address, and get one as it listens.
    #[must_use]
    pub fn gives_at_listen(&self, who: WorkerId, at: BindAddress) -> bool {
        let beside = |address: &Address| address.source.lanes().is_some() && !address.reserved.contains(&who);
        self.bound_at(at).is_some_and(beside)
    }

    /// Gives a worker that binds this address the socket that is free for it there, if there is one.
    pub fn give_for_bind(&mut self, who: WorkerId, at: BindAddress) -> BindGrant {
        self.look_outside(at);
        self.open_again(at);
        let standing = self.standing(who);
        let found = self.addresses.at(at);
        let Some(address) = found.and_then(|id| self.addresses.get_mut(id)) else {
            return if self.join(at) == Join::Beside { BindGrant::Beside } else { BindGrant::Nothing };
        };
        let given = address.give_free(who, standing);
        // It may be one that was made for whoever comes next.
        found.into_iter().for_each(|id| self.addresses.note_sockets(id));
        given.map_or(BindGrant::Beside, BindGrant::Socket)
    }

    fn bound_at(&self, at: BindAddress) -> Option<&Address> {
        self.addresses.at(at).and_then(|id| self.addresses.get(&id))
    }

    /// How a socket is bound here that is the first of its address: beside lanes of other addresses of ours that would be
    /// in its way (a program that looks on 0.0.0.0 whether its port is free, and serves on 127.0.0.1).
    pub(super) fn join(&mut self, at: BindAddress) -> Join {
        // Nobody has it open any more, and the kernel would refuse the bind for its sake.
        let other = |address: &Address| address.source.lanes().is_none() && address.is_in_the_way_of(at);
        self.addresses.drop_where(|address| address.idle() && other(address));
        let crowded = self
            .addresses
            .on_port(at.address.port())
            .any(|address| address.source.lanes().is_some() && address.is_in_the_way_of(at));
        if crowded { Join::Beside } else { Join::Alone }
    }

    /// Closes what nobody has open and is in the way of a bind; whether there was any.
    pub fn clear_the_way(&mut self, at: BindAddress) -> bool {
        self.addresses.drop_where(|address| address.idle() && address.is_in_the_way_of(at))
    }

    /// Whether the worker has a socket of its own at this address, or at one that is in its way.
    #[must_use]
    pub fn has_bound(&self, who: WorkerId, at: BindAddress) -> bool {
        self.addresses
            .on_port(at.address.port())
            .any(|address| address.excludes(at) && !address.sockets(who).is_empty())
    }

    /// Whether the worker took a lane there by a bind, and has it open (`held`: what its processes have).
    #[must_use]
    pub fn has_open(&self, who: WorkerId, at: BindAddress, held: &BTreeSet<u64>) -> bool {
        let asked = |address: &&Address| address.excludes(at) && !address.reserved.contains(&who);
        let mut lanes = self.addresses.on_port(at.address.port()).filter(asked).filter_map(|a| a.source.lanes());
        lanes.any(|lanes| lanes.sockets(who).iter().any(|inode| held.contains(inode)))
    }

    /// Lanes of the worker at this address that none of its processes has open any more (`held`: those that they have)
    /// are kept for its slot, and it may be given them again. Another address of this port that it has closed is as if it
    /// had never been: gives these.
    pub fn leave_closed(&mut self, who: WorkerId, at: BindAddress, held: &BTreeSet<u64>) -> Vec<Listening> {
        let here = self.addresses.at(at);
        let port = at.address.port();
        let mut left = Vec::new();
        let of_lanes = |address: &Address| !address.declared && address.source.lanes().is_some();
        for (id, address) in self.addresses.on_port_mut(port).filter(|(_, address)| of_lanes(address)) {
            let sockets = address.sockets(who);
            if Some(id) == here {
                address.source.lanes_mut().into_iter().for_each(|lanes| lanes.leave_closed(who, held));
            } else if !sockets.is_empty() && sockets.iter().all(|inode| !held.contains(inode)) {
                address.leave(who);
                address.forget_slot_of(who);
                left.push(address.at.clone());
            }
        }
        self.sweep();
        left
    }

    /// Lanes of the worker at this address that none of its processes has open (`held`: those that they have) are free.
    pub fn free_closed(&mut self, who: WorkerId, at: BindAddress, held: &BTreeSet<u64>) {
        let address = self.addresses.at(at).and_then(|id| self.addresses.get_mut(id));
        if let Some(lanes) = address.and_then(|address| address.source.lanes_mut()) {
            lanes.leave_closed(who, held);
        }
    }

    /// A duplicate of the lane of this number.
    #[must_use]
    pub fn duplicate(&self, inode: u64) -> Option<Duplicate> {
        let lanes = self.addresses.get(&self.addresses.of_socket(inode)?)?.source.lanes()?;
        Some(Duplicate { socket: lanes.numbered(inode)?, shared: false })
    }

    /// A socket that we make for an address that a worker binds, where its own cannot be had.
    ///
    /// # Errors
    /// As from bind(2) and listen(2), with our rights instead of the program's.
    pub fn give_made(&mut self, who: WorkerId, at: BindAddress) -> io::Result<Duplicate> {
        self.look_outside(at);
        self.open_again(at);
        let standing = self.standing(who);
        let id = match self.addresses.at(at) {
            Some(id) => id,
            None => {
                let manner = Manner { join: self.join(at), ..self.manner.of_binds() };
                self.insert(None, manner.tcp(at, LEAST_BACKLOG)?, false)
            }
        };
        let address = self.addresses.get_mut(id).ok_or(io::ErrorKind::NotFound)?;
        let made = address.give_made(who, standing);
        self.addresses.note_sockets(id);
        made
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
        at: BindAddress,
        socket: OwnedFd,
        lanes: bool,
        backlog: i32,
    ) -> io::Result<Option<Duplicate>> {
        let standing = self.standing(who);
        let id = match self.addresses.at(at) {
            Some(id) => id,
            None if lanes && self.manner.mode != Mode::Shared => {
                let backlog = backlog.max(LEAST_BACKLOG);
                let mut all = self.manner.lanes(at, backlog);
                all.adopt(who, standing, socket, self.join(at))?;
                let id = self.insert(None, Source::Lanes(all), false);
                return self.listening_on(id, who).map(|()| None);
            }
            None => {
                socket::listen(&socket, backlog.max(LEAST_BACKLOG))?;
                let id = self.insert(None, Source::shared(socket), false);
                return self.listening_on(id, who).map(|()| None);
            }
        };
        let address = self.addresses.get_mut(id).ok_or(io::ErrorKind::NotFound)?;
        let given = address.adopt(who, standing, socket, Join::Beside)?;
        self.addresses.note_sockets(id);
        self.listening_on(id, who).map(|()| given)
    }

    fn listening_on(&mut self, id: u64, who: WorkerId) -> io::Result<()> {
        let standing = self.standing(who);
        let address = self.addresses.get_mut(id).ok_or(io::ErrorKind::NotFound)?;
        address.admit(who);
        address.accepting(who);
        address.stand(who, standing);
        Ok(())
    }

    /// Where a socket of ours listens, if the worker listens on one: it takes connections as soon as it is ready.
    pub fn listens_on(&mut self, who: WorkerId, inode: u64) -> Option<Listening> {
        let id = self.addresses.of_socket(inode)?;
        let at = self.addresses.get(&id)?.at.clone();
        self.listening_on(id, who).ok()?;
        Some(at)
    }

    /// Whether this is one of our sockets.
    #[must_use]
    pub fn knows(&self, inode: u64) -> bool {
        self.addresses.of_socket(inode).is_some()
    }

    /// The address as [`Self::all`] shows it, if it is one of ours.
    #[must_use]
    pub fn at(&self, at: BindAddress) -> Option<&Listening> {
        self.bound_at(at).map(|address| &address.at)
    }

    /// Connections that wait in the lanes of this worker.
    #[must_use]
    pub fn waiting(&self, who: WorkerId) -> u32 {
        self.addresses.values().map(|address| address.waiting(who)).sum()
    }

    /// Sends what comes from this port to the worker's lanes, or goes back to treating it as any other.
    pub fn steer_source(&mut self, who: WorkerId, source: Option<u16>) {
        self.addresses.all_lanes().for_each(|lanes| lanes.steer_source(who, source));
    }

    /// Whether all workers share one socket, by choice.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.manner.mode == Mode::Shared
    }
}
