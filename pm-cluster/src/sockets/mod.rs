//! The listening sockets of a cluster, by the keys of Node's protocol: made, given to workers, steered, kept, closed.
//!
//! An address stays open while a worker has it or the next worker of a slot that had it may want it: from a worker's
//! first `open` until its slot is released. Two exceptions: an address on a port of the kernel's choice ends when the last
//! worker closes it of its own accord, and one that nobody has open gives way to a query that it is in the way of.
//!
//! `address` is one address, found by `address_index`, counted by `address_limit`; its connections come from a `source`: `lanes`, or
//! one socket for all. What is asked for is `wanted`: by Node, by a program's bind (`bound`), beforehand (`declared`), from
//! outside (`activated`). `lane_view` is one look at any lane; `unserved` says what becomes of what nobody serves, and `strays` who serves elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;

use pm_common::app::status;
use pm_common::cli::report;
use pm_common::kernel::foreign_listeners;
use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::sys::socket::{self, EADDRINUSE, EMFILE, Join};

mod activated;
mod address;
mod address_index;
mod address_limit;
mod bound;
mod declared;
mod destination;
mod lane_view;
mod lanes;
mod source;
mod strays;
pub mod unix;
mod unserved;
pub mod wanted;
mod warnings;

use address::Address;
pub use address::{Duplicate, How};
use address_index::Addresses;
use address_limit::Asker;
pub use address_limit::MOST_OF_A_SLOT;
pub use bound::BindGrant;
pub use lane_view::{LaneRef, LaneView};
pub use lanes::{Standing, prepare};
pub use source::Mode;
use source::{Manner, Source};
use wanted::{BindAddress, Request, Wanted};

/// The answer to a worker's query.
#[derive(Debug)]
pub struct Grant {
    /// The number of the address: another one when it was closed and is opened again.
    pub address: u64,
    /// How the worker gets its connections.
    pub how: How,
}

/// All listening sockets of a cluster.
#[derive(Debug, Default)]
pub struct Sockets {
    manner: Manner,
    addresses: Addresses,
    next: u64,
    /// The workers that are in service or drain; all others wait.
    standings: BTreeMap<WorkerId, Standing>,
    /// The sockets that we were started with.
    outside: Vec<activated::Outside>,
    /// The slots whose workers were told that there is no room, by Node's protocol or not.
    told_full: BTreeSet<(u32, bool)>,
}

impl Sockets {
    /// Sockets of which none is open yet.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { manner: Manner { mode, ..Manner::default() }, ..Self::default() }
    }

    /// Has the clients of each address stay with one slot, or not.
    #[must_use]
    pub fn sticking(mut self, on: bool) -> Self {
        self.manner.sticky = on;
        self
    }

    /// Has what comes wait for the next worker of a slot as the last one drains, or not.
    #[must_use]
    pub fn ending_first(mut self, on: bool) -> Self {
        self.manner.ends_first = on;
        self
    }

    /// Whether the clients of each address stay with one slot.
    #[must_use]
    pub const fn sticks(&self) -> bool {
        self.manner.sticky
    }

    /// Opens what a worker asks for, and gives it its means to accept.
    ///
    /// # Errors
    /// A negative errno for the worker, as Node's own primary would send it: EADDRINUSE (also for a key that this worker
    /// has open already), EACCES, EADDRNOTAVAIL, EMFILE.
    pub fn open(&mut self, who: WorkerId, request: &Request) -> Result<Grant, i32> {
        let id = match self.addresses.with_key(&request.key) {
            Some(id) => id,
            None => self.make(who, request)?,
        };
        let standing = self.standing(who);
        let Some(address) = self.addresses.get_mut(id) else { return Err(-EMFILE) };
        address.open_again();
        let how = address.give(who, standing);
        self.addresses.note_sockets(id);
        if let Err(error) = &how {
            self.note_want(who.slot, id, error);
            self.sweep();
        }
        Ok(Grant { address: id, how: how.map_err(|error| negative(&error))? })
    }

    /// Makes a new address for the request; one that nobody has open must not be in its way.
    fn make(&mut self, who: WorkerId, request: &Request) -> Result<u64, i32> {
        let (Request { key, wanted, backlog, access, .. }, slot) = (request, who.slot);
        if let Some(id) = self.declared_for(key, wanted) {
            return Ok(id);
        }
        if !self.has_room_for(slot, Asker::Node) {
            return Err(-EMFILE);
        }
        let manner = Manner { join: self.join_of(who, wanted), ..self.manner.clone() };
        let source = || manner.open(wanted, *backlog, *access);
        let source = match self.take_outside(wanted, &manner).unwrap_or_else(source) {
            Err(error) if error.raw_os_error() == Some(EADDRINUSE) && self.give_way(wanted.port()) => source(),
            result => result,
        };
        let source = source.map_err(|error| {
            if let Wanted::Tcp { address, .. } = *wanted {
                self.note_elsewhere(address);
            }
            if !self.is_full(slot, &error) && !wanted.lacks_zone() {
                self.manner.warnings.push(refusal(wanted, &error));
            }
            negative(&error)
        })?;
        Ok(self.insert(Some(key), source, request.any_port))
    }

    fn insert(&mut self, key: Option<&str>, source: Source, any_port: bool) -> u64 {
        self.next += 1;
        let at = source.at();
        if self.manner.sticky && source.lanes().is_none() && !matches!(at, Listening::Udp(_)) {
            self.manner.warnings.push(format!("no client stays with a worker where they share a socket address={at}"));
        }
        self.addresses.insert(self.next, Address::new(key, source, any_port));
        self.next
    }

    /// What the worker itself has closed is as if it had never been, and what it has open excludes another; what others
    /// have open does not.
    fn join_of(&mut self, who: WorkerId, wanted: &Wanted) -> Join {
        let Wanted::Tcp { address, only_v6, .. } = *wanted else { return Join::Alone };
        let at = BindAddress { address, only_v6 };
        let closed = |address: &Address| address.idle() && address.closed_by == Some(who);
        self.addresses.drop_where(|address| closed(address) && address.port() == Some(at.address.port()));
        let open = |address: &Address| address.is_open_in(who) && address.is_in_the_way_of(at);
        if self.addresses.on_port(at.address.port()).any(open) { Join::Alone } else { self.join(at) }
    }

    fn give_way(&mut self, port: Option<u16>) -> bool {
        port.is_some() && self.addresses.drop_where(|address| address.idle() && address.port() == port)
    }

    /// Notes that a worker listens now: it takes connections of this key as soon as it is ready.
    pub fn accepting(&mut self, who: WorkerId, key: &str) {
        let standing = self.standing(who);
        if let Some(address) = self.addresses.with_key(key).and_then(|id| self.addresses.get_mut(id)) {
            address.accepting(who);
            address.stand(who, standing);
        }
    }

    /// Brings all that a worker accepts on into service, now and later: it is ready.
    pub fn steer_in(&mut self, who: WorkerId) {
        // A worker may be ready before it listens, and is said to be again at each address: that one stands already.
        if self.standings.insert(who, Standing::InService) != Some(Standing::InService) {
            self.restand(who, Standing::InService);
        }
    }

    /// Steers new connections away from a worker: it drains.
    pub fn steer_off(&mut self, who: WorkerId) {
        self.standings.insert(who, Standing::Draining);
        self.restand(who, Standing::Draining);
    }

    fn restand(&mut self, who: WorkerId, standing: Standing) {
        for address in self.addresses.values_mut() {
            address.stand(who, standing);
        }
    }

    /// Notes that a worker has closed a listener. Its lane is kept: what still arrives there is to be handed on.
    pub fn closed(&mut self, who: WorkerId, key: &str) {
        let standing = self.standing(who);
        let id = self.addresses.with_key(key);
        let crowded = id.is_some_and(|id| self.is_crowded(id));
        if let Some(address) = id.and_then(|id| self.addresses.get_mut(id)) {
            address.leave(who);
            if standing == Standing::Draining {
                address.closed_by = None;
            } else {
                address.was_closed(who, standing == Standing::Waiting, crowded);
            }
        }
        self.sweep();
    }

    /// Whether another address of ours is in the way of this one: this one was opened to see whether its port is free.
    fn is_crowded(&self, id: u64) -> bool {
        let bound = self.addresses.get(&id).and_then(|address| Some(address.source.lanes()?.bound()));
        let in_the_way =
            |at: BindAddress| self.addresses.on_port(at.address.port()).any(|other| other.is_in_the_way_of(at));
        bound.is_some_and(in_the_way)
    }

    /// Keeps the lanes of a worker that is dead for its slot's next one.
    pub fn gone(&mut self, who: WorkerId) {
        self.standings.remove(&who);
        for address in self.addresses.values_mut() {
            address.leave(who);
        }
        self.sweep();
    }

    /// Makes the lanes of a slot that was scaled away anybody's, and closes an address that nobody else wants.
    pub fn release_slot(&mut self, slot: u32) {
        for address in self.addresses.values_mut() {
            address.release_slot(slot);
        }
        self.sweep();
    }

    /// An address where no worker in service accepts is kept for none that follows: it ends with those that have it.
    pub fn close_unserved(&mut self) {
        let standings = &self.standings;
        let serves = |who: WorkerId| standings.get(&who) == Some(&Standing::InService);
        for address in self.addresses.values_mut().filter(|address| !address.accepting_workers().any(serves)) {
            address.forget_slots();
        }
        self.sweep();
    }

    /// Accepts all that waits at the stop where this says that somebody takes it; what could not be accepted is left.
    pub fn take_queues(&self, taken: impl Fn(&str) -> bool) -> (Vec<(String, OwnedFd)>, Option<io::Error>) {
        let mut waiting = Vec::new();
        for address in self.addresses.values() {
            let Some(key) = address.key.as_deref().filter(|key| taken(key)) else { continue };
            let open = address.source.streams().into_iter().filter(|one| socket::is_listening(*one).unwrap_or(true));
            for socket in open {
                loop {
                    match socket::set_nonblocking(socket, true).and_then(|()| socket::accept(socket)) {
                        Ok(Some(connection)) => waiting.push((key.to_owned(), connection)),
                        Ok(None) => break,
                        Err(error) => return (waiting, Some(error)),
                    }
                }
            }
        }
        (waiting, None)
    }

    /// Closes everything at the stop, and removes our socket files.
    pub fn close_all(&mut self) {
        self.addresses.clear();
        self.standings.clear();
    }

    /// Closes the addresses, with all their lanes, that nobody has open and no next worker is expected at: the only time
    /// that a lane is closed but at the stop (`close_all`).
    fn sweep(&mut self) {
        self.addresses.drop_where(Address::unwanted);
    }

    /// What workers accept on, for the status: addresses (`tcp:127.0.0.1:3000`, `tcp:[::]:3000`, `udp:...`, `unix:/path`),
    /// each once, and the numbers of the sockets. One look for all of them: there may be a thousand.
    #[must_use]
    pub fn all(&self) -> BTreeMap<WorkerId, (BTreeSet<String>, Vec<u64>)> {
        let mut all: BTreeMap<WorkerId, (BTreeSet<String>, Vec<u64>)> = BTreeMap::new();
        for address in self.addresses.values() {
            let mut sockets = address.sockets_by_worker();
            for who in address.accepting_workers() {
                let of_worker = all.entry(who).or_default();
                of_worker.0.insert(address.at.to_string());
                of_worker.1.append(&mut sockets.remove(&who).unwrap_or_default());
            }
        }
        all
    }

    /// The address of a key as [`Self::all`] shows it.
    #[must_use]
    pub fn at_key(&self, key: &str) -> Option<&Listening> {
        self.addresses.with_key(key).and_then(|id| self.addresses.get(&id)).map(|address| &address.at)
    }

    /// What a person should be told since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.manner.warnings.take()
    }

    fn standing(&self, who: WorkerId) -> Standing {
        self.standings.get(&who).copied().unwrap_or(Standing::Waiting)
    }
}

/// Why an address cannot be had, for a person; the application gets only the errno.
fn refusal(wanted: &Wanted, error: &io::Error) -> String {
    let reason = report::reason(error);
    let Wanted::Tcp { address, .. } = *wanted else { return format!("a worker cannot listen reason={reason}") };
    let said = format!("a worker cannot listen address=tcp:{address} reason={reason}");
    match foreign_listeners::first_listener(address).filter(|_| error.raw_os_error() == Some(EADDRINUSE)) {
        Some(inode) => format!("{said} by={}", status::socket_holder(inode)),
        None => said,
    }
}

fn negative(error: &io::Error) -> i32 {
    -error.raw_os_error().unwrap_or(socket::EINVAL)
}
