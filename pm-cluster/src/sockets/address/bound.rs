//! What an address is to workers that bind it themselves.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use pm_common::policy::WorkerId;
use pm_common::sys::socket;

use super::{Entry, Source, Standing, not_yet};
use crate::sockets::bound::Spot;

/// A socket that listens, for a worker that wants to bind its address.
#[derive(Debug)]
pub struct Lent {
    /// A duplicate of ours.
    pub socket: OwnedFd,
    /// Others accept from it, too: its O_NONBLOCK is theirs.
    pub shared: bool,
}

impl Entry {
    /// Whether the address is bound like this.
    #[must_use]
    pub fn is_at(&self, spot: Spot) -> bool {
        match &self.source {
            Source::Lanes(lanes) => lanes.is_at(spot.address, spot.only_v6),
            Source::Shared { .. } => self.source.inet() == Some(spot.address),
            Source::RoundRobin { .. } => false,
        }
    }

    /// Whether both could not be bound at a time.
    #[must_use]
    pub fn is_in_the_way_of(&self, spot: Spot) -> bool {
        match &self.source {
            Source::Lanes(lanes) => lanes.is_in_the_way_of(spot.address, spot.only_v6),
            Source::Shared { .. } | Source::RoundRobin { .. } => self.port() == Some(spot.address.port()),
        }
    }

    /// The numbers of all its sockets.
    #[must_use]
    pub fn inodes(&self) -> Vec<u64> {
        match &self.source {
            Source::Lanes(lanes) => lanes.inodes().collect(),
            Source::Shared { fd, .. } | Source::RoundRobin { fd, .. } => socket::inode(fd).into_iter().collect(),
        }
    }

    /// Connections that wait in the lanes of this worker.
    #[must_use]
    pub fn waiting(&self, who: WorkerId) -> u32 {
        if let Source::Lanes(lanes) = &self.source { lanes.waiting(who) } else { 0 }
    }

    /// The numbers of the sockets that are for this worker.
    #[must_use]
    pub fn sockets(&self, who: WorkerId) -> Vec<u64> {
        match &self.source {
            Source::Lanes(lanes) => lanes.sockets(who),
            Source::Shared { fd, .. } => socket::inode(fd).into_iter().collect(),
            Source::RoundRobin { .. } => Vec::new(),
        }
    }

    /// The numbers of the sockets that are for each worker that has it open.
    #[must_use]
    pub fn sockets_by_worker(&self) -> BTreeMap<WorkerId, Vec<u64>> {
        match &self.source {
            Source::Lanes(lanes) => lanes.sockets_by_worker(),
            Source::Shared { fd, .. } => {
                let sockets: Vec<u64> = socket::inode(fd).into_iter().collect();
                self.workers.keys().map(|who| (*who, sockets.clone())).collect()
            }
            Source::RoundRobin { .. } => BTreeMap::new(),
        }
    }

    /// The numbers of the lanes that this worker has asked for.
    #[must_use]
    pub fn lanes_of(&self, who: WorkerId) -> Vec<u64> {
        match &self.source {
            Source::Lanes(lanes) if !self.reserved.contains(&who) => lanes.sockets(who),
            _ => Vec::new(),
        }
    }

    /// Whether [`Self::lend`] would give something.
    #[must_use]
    pub fn lends(&self, who: WorkerId) -> bool {
        match &self.source {
            Source::Lanes(lanes) => self.reserved.contains(&who) || lanes.lends(who),
            Source::Shared { .. } => true,
            Source::RoundRobin { .. } => false,
        }
    }

    /// What there is for a worker without a new socket: a free lane, or the shared one.
    pub fn lend(&mut self, who: WorkerId, standing: Standing, warnings: &mut Vec<String>) -> Option<Lent> {
        let others = !self.workers.is_empty();
        let reserved = self.reserved.remove(&who);
        let lent = match &mut self.source {
            Source::Lanes(lanes) if reserved => Lent { socket: lanes.held(who)?, shared: false },
            Source::Lanes(lanes) => {
                let socket = lanes.lend(who, not_yet(standing), warnings)?;
                Lent { socket, shared: false }
            }
            Source::Shared { fd, .. } => Lent { socket: fd.try_clone().ok()?, shared: others },
            Source::RoundRobin { .. } => return None,
        };
        self.admit(who);
        Some(lent)
    }

    /// The same, with a new lane where none is free.
    ///
    /// # Errors
    /// That of making a socket.
    pub fn make_for(&mut self, who: WorkerId, standing: Standing, warnings: &mut Vec<String>) -> io::Result<Lent> {
        if let Some(lent) = self.lend(who, standing, warnings) {
            return Ok(lent);
        }
        let Source::Lanes(lanes) = &mut self.source else { return Err(io::ErrorKind::NotFound.into()) };
        let socket = lanes.give(who, not_yet(standing), warnings)?;
        self.admit(who);
        Ok(Lent { socket, shared: false })
    }

    /// Takes the worker's own socket as a lane; gives the one to use instead, if all share one.
    ///
    /// # Errors
    /// That of listen(2).
    pub fn adopt(
        &mut self,
        who: WorkerId,
        standing: Standing,
        socket: OwnedFd,
        warnings: &mut Vec<String>,
    ) -> io::Result<Option<Lent>> {
        if let Source::Lanes(lanes) = &mut self.source {
            lanes.adopt(who, not_yet(standing), socket, warnings)?;
            return Ok(None);
        }
        Ok(self.lend(who, standing, warnings))
    }

    /// The worker has it open; whether it accepts is said later.
    pub fn admit(&mut self, who: WorkerId) {
        self.workers.entry(who).or_insert(false);
        self.slots.insert(who.slot);
    }
}
