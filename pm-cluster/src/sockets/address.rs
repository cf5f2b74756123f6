//! One address of a cluster: where its connections come from, which workers have it, and what it is to each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::policy::time::Mono;
use pm_common::sys::clock;
use pm_common::sys::socket::{self, EADDRINUSE, Join};

use super::lanes::Standing;
use super::source::Source;
use super::unix::Claim;
use super::wanted::BindAddress;

/// How a worker gets its connections.
#[derive(Debug)]
pub enum How {
    /// From this socket, ours to close once it is sent.
    Handle(OwnedFd),
    /// From us, one by one. The address that the worker is to show; unix sockets have none.
    RoundRobin(Option<SocketAddr>),
}

/// A socket that listens, for a worker that wants to bind its address.
#[derive(Debug)]
pub struct Duplicate {
    /// A duplicate of ours.
    pub socket: OwnedFd,
    /// Others accept from it, too: its O_NONBLOCK is theirs.
    pub shared: bool,
}

/// One address and its workers.
#[derive(Debug)]
pub(super) struct Address {
    /// Its name in Node's protocol; `None`: no query has asked for it.
    pub key: Option<String>,
    /// Where it listens.
    pub at: Listening,
    /// Its connections.
    pub source: Source,
    /// The port was the kernel's choice.
    pub any_port: bool,
    /// The address was opened beforehand, and stays until the stop.
    pub declared: bool,
    /// Workers that were given their socket at the start, and have not asked for it.
    pub reserved: BTreeSet<WorkerId>,
    /// The worker that closed it last of its own accord, and has not opened it since.
    pub closed_by: Option<WorkerId>,
    /// Who has it open, and whether it accepts by now.
    workers: BTreeMap<WorkerId, bool>,
    /// The slots whose workers had it, as long as a next one is expected.
    slots: BTreeSet<u32>,
    /// The slots among them whose workers served here.
    served: BTreeSet<u32>,
    /// Since when nobody has it open any more.
    pub left: Option<Mono>,
    /// Its sockets were shut down, as nobody has come to serve it.
    pub refuses: bool,
}

impl Address {
    /// An address that no worker has yet.
    #[must_use]
    pub(super) fn new(key: Option<&str>, source: Source, any_port: bool) -> Self {
        let at = source.at();
        let (workers, slots, served) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self {
            key: key.map(str::to_owned),
            at,
            source,
            any_port,
            declared: false,
            reserved: BTreeSet::new(),
            closed_by: None,
            workers,
            slots,
            served,
            left: None,
            refuses: false,
        }
    }

    /// Gives a worker its means to accept: once, as the kernel lets nobody bind twice what it has open.
    ///
    /// # Errors
    /// EADDRINUSE if it has this address open; that of making or duplicating a socket.
    pub(super) fn give(&mut self, who: WorkerId, standing: Standing) -> io::Result<How> {
        let reserved = self.reserved.remove(&who);
        if self.workers.contains_key(&who) && !reserved {
            return Err(io::Error::from_raw_os_error(EADDRINUSE));
        }
        let how = match &mut self.source {
            // The worker does not accept yet, even if it is ready.
            Source::Lanes(lanes) if reserved => How::Handle(lanes.held(who).ok_or(io::ErrorKind::NotFound)?),
            Source::Lanes(lanes) => How::Handle(lanes.give(who, not_yet(standing))?),
            Source::Shared { fd, .. } => How::Handle(fd.try_clone()?),
            Source::RoundRobin { fd, .. } => How::RoundRobin(socket::local_inet(fd).ok()),
        };
        if let How::Handle(handle) = &how {
            // Node (libuv) takes a handle that was sent as it is, and counts on EAGAIN: in a socket that blocks, as those of
            // systemd do, the worker that comes second for a connection would wait for the next one, and do nothing else.
            socket::set_nonblocking(handle, true)?;
        }
        self.source.claim().into_iter().for_each(Claim::keep_reachable);
        self.admit(who);
        Ok(how)
    }

    /// Notes that a worker listens now.
    pub(super) fn accepting(&mut self, who: WorkerId) {
        if let Some(accepts) = self.workers.get_mut(&who) {
            *accepts = true;
        }
    }

    /// The workers that listen.
    pub(super) fn accepting_workers(&self) -> impl Iterator<Item = WorkerId> {
        self.workers.iter().filter(|(_, accepts)| **accepts).map(|(&who, _)| who)
    }

    /// Whether this worker listens.
    #[must_use]
    pub(super) fn is_accepted_by(&self, who: WorkerId) -> bool {
        self.workers.get(&who) == Some(&true)
    }

    /// Steers by what the worker is for now, and by whether it accepts here.
    pub(super) fn stand(&mut self, who: WorkerId, standing: Standing) {
        let Some(&accepts) = self.workers.get(&who) else { return };
        if accepts && standing == Standing::InService {
            self.served.insert(who.slot);
        }
        if let Some(lanes) = self.source.lanes_mut() {
            lanes.set(who, if accepts { standing } else { not_yet(standing) });
        }
    }

    /// Takes the address from a worker that has closed its copy, or is dead.
    pub(super) fn leave(&mut self, who: WorkerId) {
        self.reserved.remove(&who);
        if self.workers.remove(&who).is_none() {
            return;
        }
        self.left = self.workers.is_empty().then(clock::now);
        self.source.lanes_mut().into_iter().for_each(|lanes| lanes.vacate(who));
    }

    /// Expects no next worker of the slot here any more.
    pub(super) fn release_slot(&mut self, slot: u32) {
        self.served.remove(&slot);
        if !self.slots.remove(&slot) {
            return;
        }
        self.source.lanes_mut().into_iter().for_each(|lanes| lanes.release_slot(slot));
    }

    /// Expects no next worker of the slot here after a close, unless another worker of the slot has the address open.
    pub(super) fn forget_slot_of(&mut self, who: WorkerId) {
        if self.workers.keys().all(|other| other.slot != who.slot) {
            self.release_slot(who.slot);
        }
    }

    /// Notes that a worker has closed it of its own accord. `looked`: before it was ready, so that it may come again;
    /// `crowded`: another address is in the way, so that it came to see whether the port is free.
    pub(super) fn was_closed(&mut self, who: WorkerId, looked: bool, crowded: bool) {
        // What its predecessor served is kept for it.
        let kept = looked && self.served.contains(&who.slot);
        self.closed_by = (!kept).then_some(who);
        if !looked {
            self.served.remove(&who.slot);
        }
        if self.any_port || crowded && !kept {
            self.forget_slot_of(who);
        }
        // All who looked here have closed it again: what the first of them left goes, too.
        if crowded && self.idle() && self.served.is_empty() {
            self.forget_slots();
        }
    }

    /// Expects no next worker of any slot here any more.
    pub(super) fn forget_slots(&mut self) {
        for slot in self.slots.clone() {
            self.release_slot(slot);
        }
    }

    /// The port it is bound to.
    #[must_use]
    pub(super) fn port(&self) -> Option<u16> {
        self.source.inet().map(|address| address.port())
    }

    /// Whether a worker of this slot has had the address, so that its next one may want it.
    #[must_use]
    pub(super) fn is_known_to(&self, slot: u32) -> bool {
        self.slots.contains(&slot)
    }

    /// Whether nobody has the address open.
    #[must_use]
    pub(super) fn idle(&self) -> bool {
        self.workers.is_empty() && !self.declared
    }

    /// Whether nobody has the address open, and nobody is expected to.
    #[must_use]
    pub(super) fn unwanted(&self) -> bool {
        self.idle() && self.slots.is_empty()
    }

    /// Whether the address is bound like this.
    #[must_use]
    pub(super) fn is_at(&self, at: BindAddress) -> bool {
        match &self.source {
            Source::Lanes(lanes) => lanes.is_at(at),
            Source::Shared { .. } => self.source.inet() == Some(at.address),
            Source::RoundRobin { .. } => false,
        }
    }

    /// Whether both could not be bound at a time.
    #[must_use]
    pub(super) fn is_in_the_way_of(&self, at: BindAddress) -> bool {
        match &self.source {
            Source::Lanes(lanes) => lanes.is_in_the_way_of(at),
            Source::Shared { .. } | Source::RoundRobin { .. } => {
                matches!(self.at, Listening::Tcp(_)) && self.port() == Some(at.address.port())
            }
        }
    }

    /// Whether one process could not bind both, be it the same address or one in its way.
    #[must_use]
    pub(super) fn excludes(&self, at: BindAddress) -> bool {
        self.is_at(at) || self.is_in_the_way_of(at)
    }

    /// Whether this worker has it open.
    #[must_use]
    pub(super) fn is_open_in(&self, who: WorkerId) -> bool {
        self.workers.contains_key(&who)
    }

    /// The numbers of all its sockets.
    #[must_use]
    pub(super) fn inodes(&self) -> Vec<u64> {
        match &self.source {
            Source::Lanes(lanes) => lanes.inodes().collect(),
            Source::Shared { fd, .. } | Source::RoundRobin { fd, .. } => socket::inode(fd).into_iter().collect(),
        }
    }

    /// Connections that wait in the lanes of this worker.
    #[must_use]
    pub(super) fn waiting(&self, who: WorkerId) -> u32 {
        self.source.lanes().map_or(0, |lanes| lanes.waiting(who))
    }

    /// The numbers of the sockets that are for this worker.
    #[must_use]
    pub(super) fn sockets(&self, who: WorkerId) -> Vec<u64> {
        match &self.source {
            Source::Lanes(lanes) => lanes.sockets(who),
            Source::Shared { fd, .. } => socket::inode(fd).into_iter().collect(),
            Source::RoundRobin { .. } => Vec::new(),
        }
    }

    /// The numbers of the sockets that are for each worker that has it open.
    #[must_use]
    pub(super) fn sockets_by_worker(&self) -> BTreeMap<WorkerId, Vec<u64>> {
        match &self.source {
            Source::Lanes(lanes) => lanes.sockets_by_worker(),
            Source::Shared { fd, .. } => {
                let sockets: Vec<u64> = socket::inode(fd).into_iter().collect();
                self.workers.keys().map(|who| (*who, sockets.clone())).collect()
            }
            Source::RoundRobin { .. } => BTreeMap::new(),
        }
    }

    /// Whether [`Self::give_free`] would give something.
    #[must_use]
    pub(super) fn has_free(&self, who: WorkerId) -> bool {
        match &self.source {
            Source::Lanes(lanes) => self.reserved.contains(&who) || lanes.has_free(who),
            Source::Shared { .. } => true,
            Source::RoundRobin { .. } => false,
        }
    }

    /// What there is for a worker without a new socket: a free lane, or the shared one.
    pub(super) fn give_free(&mut self, who: WorkerId, standing: Standing) -> Option<Duplicate> {
        let others = !self.workers.is_empty();
        let reserved = self.reserved.remove(&who);
        let given = match &mut self.source {
            Source::Lanes(lanes) if reserved => Duplicate { socket: lanes.held(who)?, shared: false },
            Source::Lanes(lanes) => {
                let socket = lanes.give_free(who, not_yet(standing))?;
                Duplicate { socket, shared: false }
            }
            Source::Shared { fd, .. } => Duplicate { socket: fd.try_clone().ok()?, shared: others },
            Source::RoundRobin { .. } => return None,
        };
        self.admit(who);
        Some(given)
    }

    /// Gives what [`Self::give_free`] gives, or a new lane where none is free.
    ///
    /// # Errors
    /// That of making a socket.
    pub(super) fn give_made(&mut self, who: WorkerId, standing: Standing) -> io::Result<Duplicate> {
        if let Some(given) = self.give_free(who, standing) {
            return Ok(given);
        }
        let lanes = self.source.lanes_mut().ok_or(io::ErrorKind::NotFound)?;
        let socket = lanes.give(who, not_yet(standing))?;
        self.admit(who);
        Ok(Duplicate { socket, shared: false })
    }

    /// Takes the worker's own socket as a lane; gives the one to use instead, if all share one.
    ///
    /// # Errors
    /// That of listen(2).
    pub(super) fn adopt(
        &mut self,
        who: WorkerId,
        standing: Standing,
        socket: OwnedFd,
        join: Join,
    ) -> io::Result<Option<Duplicate>> {
        match self.source.lanes_mut() {
            Some(lanes) => lanes.adopt(who, not_yet(standing), socket, join).map(|()| None),
            None => Ok(self.give_free(who, standing)),
        }
    }

    /// Notes that a worker has the address open; whether it accepts is said later.
    pub(super) fn admit(&mut self, who: WorkerId) {
        (self.closed_by, self.left) = (None, None);
        self.workers.entry(who).or_insert(false);
        self.slots.insert(who.slot);
    }
}

/// A worker that does not accept here can drain here, but not serve.
fn not_yet(standing: Standing) -> Standing {
    if standing == Standing::InService { Standing::Waiting } else { standing }
}
