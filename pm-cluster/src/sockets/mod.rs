//! The listening sockets of a cluster, by the keys of Node's protocol: made, given to workers, steered, kept, closed.
//!
//! An address stays open while a worker has it or the next worker of a slot that had it may want it: from a worker's
//! first `open` until its slot is released. Two exceptions: an address on a port of the kernel's choice ends when the last
//! worker closes it of its own accord, and one that nobody has open gives way to a query that it is in the way of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pm_common::cli::report;
use pm_common::policy::WorkerId;
use pm_common::policy::steering::Spread;
use pm_common::sys::socket::{self, EADDRINUSE, EMFILE};
use serde_json::Value;

use crate::node::key::{self, Wanted};
use crate::sockets::address::{Entry, Source};
use crate::sockets::lanes::Standing;
use addresses::Entries;
use pm_common::app::status;
use pm_common::kernel::listeners;
use pm_common::node::query::Query;
use room::Asker;

pub mod address;
mod addresses;
pub mod bound;
mod declared;
pub mod lanes;
mod passed;
pub(crate) mod room;
mod shut;
pub mod unix;
pub mod view;

/// How connections reach the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The kernel spreads them over one socket for each worker.
    #[default]
    Lanes,
    /// All workers accept from one socket.
    Shared,
    /// We accept, and pass each connection to a worker in turn.
    RoundRobin,
}

/// The answer to a worker's query.
#[derive(Debug)]
pub struct Grant {
    /// Names the listener in later messages of and to the worker.
    pub key: String,
    /// What the first worker said to all that ask for this listener (TLS ticket keys).
    pub data: Value,
    /// How the worker gets its connections.
    pub how: How,
}

/// How a worker gets its connections.
#[derive(Debug)]
pub enum How {
    /// From this socket, ours to close once it is sent.
    Handle(OwnedFd),
    /// From us, one by one. The address that the worker is to show; unix sockets have none.
    RoundRobin(Option<SocketAddr>),
}

/// One of our listening sockets. It stays valid as a name when the socket is gone (nothing is accepted then).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneRef {
    entry: u64,
    lane: usize,
}

/// A lane that no worker holds: what waits there is to be accepted and handed on.
#[derive(Debug)]
pub struct Unattended<'a> {
    /// Its name, for [`Listeners::accept`].
    pub lane: LaneRef,
    /// To be polled.
    pub fd: BorrowedFd<'a>,
    /// The listener it belongs to: workers that have this key can take the connections.
    pub key: &'a str,
    /// The slot whose next worker gets this lane: one that is about to start serves the queue itself.
    pub slot: Option<u32>,
}

/// A listener whose connections we pass on in turn.
#[derive(Debug)]
pub struct RoundRobin<'a> {
    /// Its name, for [`Listeners::accept`].
    pub lane: LaneRef,
    /// To be polled while `workers` is not empty.
    pub fd: BorrowedFd<'a>,
    /// The key of the workers' listeners.
    pub key: &'a str,
    /// Who may take a connection: ready, and accepting on this key.
    pub workers: Vec<WorkerId>,
}

/// All listening sockets of a cluster.
#[derive(Debug, Default)]
pub struct Listeners {
    mode: Mode,
    spread: Spread,
    entries: Entries,
    next: u64,
    /// The workers that are in service or drain; all others wait.
    standings: BTreeMap<WorkerId, Standing>,
    /// The sockets that we were started with.
    outside: Vec<passed::Outside>,
    /// The slots whose workers were told that there is no room, by Node's protocol or not.
    told_full: BTreeSet<(u32, bool)>,
    warnings: Vec<String>,
}

impl Listeners {
    /// No listeners yet.
    #[must_use]
    pub fn new(mode: Mode, spread: Spread) -> Self {
        Self { mode, spread, ..Self::default() }
    }

    /// Answers a worker's query for a listener.
    ///
    /// # Errors
    /// A negative errno for the worker, as Node's own primary would send it: EADDRINUSE (also for a key that this worker
    /// has open already), EACCES, EADDRNOTAVAIL, EINVAL for a query that makes no sense, EMFILE.
    pub fn open(&mut self, who: WorkerId, query: &Query) -> Result<Grant, i32> {
        let key = key::key(query);
        let id = match self.entries.with_key(&key) {
            Some(id) => id,
            None => self.make(who.slot, &key, query)?,
        };
        let standing = self.standing(who);
        let Some(entry) = self.entries.get_mut(id) else { return Err(-EMFILE) };
        let how = entry.give(who, standing, &mut self.warnings);
        if how.is_ok() && entry.data.is_null() {
            entry.data = query.data.clone();
        }
        let data = entry.data.clone();
        self.entries.note_sockets(id);
        if let Err(error) = &how {
            self.note_want(who.slot, id, error);
            self.sweep();
        }
        Ok(Grant { key, data, how: how.map_err(|error| negative(&error))? })
    }

    /// A new entry for the query; one that nobody has open must not be in its way.
    fn make(&mut self, slot: u32, key: &str, query: &Query) -> Result<u64, i32> {
        let wanted = key::wanted(query)?;
        if let Some(id) = self.declared_for(key, &wanted) {
            return Ok(id);
        }
        if !self.has_room_for(slot, Asker::Node) {
            return Err(-EMFILE);
        }
        let opened = self.take_outside(&wanted, self.mode).unwrap_or_else(|| self.source(&wanted, query));
        let source = match opened {
            Err(error) if error.raw_os_error() == Some(EADDRINUSE) && self.give_way(query.port) => {
                self.source(&wanted, query)
            }
            result => result,
        };
        let source = source.map_err(|error| {
            if let Wanted::Tcp { address, .. } = wanted {
                self.note_elsewhere(address);
            }
            if !self.is_full(slot, &error) {
                self.warnings.push(refusal(&wanted, &error));
            }
            negative(&error)
        })?;
        let entry = Entry::new(key, source, key::any_port(query));
        self.next += 1;
        self.entries.insert(self.next, entry);
        Ok(self.next)
    }

    fn source(&mut self, wanted: &Wanted, query: &Query) -> io::Result<Source> {
        Source::open(wanted, query, self.mode, self.spread, &mut self.warnings)
    }

    fn give_way(&mut self, port: u16) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| !(entry.idle() && entry.port() == Some(port)));
        self.entries.len() < before
    }

    /// The worker listens now: it takes connections of this key as soon as it is ready.
    pub fn accepting(&mut self, who: WorkerId, key: &str) {
        let standing = self.standing(who);
        if let Some(entry) = self.entries.with_key(key).and_then(|id| self.entries.get_mut(id)) {
            entry.accepting(who);
            entry.stand(who, standing, &mut self.warnings);
        }
    }

    /// The worker is ready: all that it accepts on comes into service, now and later.
    pub fn steer_in(&mut self, who: WorkerId) {
        // It may be ready before it listens, and is said to be again at each address: that one stands already.
        if self.standings.insert(who, Standing::InService) != Some(Standing::InService) {
            self.restand(who, Standing::InService);
        }
    }

    /// The worker drains: no new connection for it from now on.
    pub fn steer_off(&mut self, who: WorkerId) {
        self.standings.insert(who, Standing::Draining);
        self.restand(who, Standing::Draining);
    }

    fn restand(&mut self, who: WorkerId, standing: Standing) {
        for entry in self.entries.values_mut() {
            entry.stand(who, standing, &mut self.warnings);
        }
    }

    /// The worker has closed this listener. Its lane is kept: what still arrives there is to be handed on.
    pub fn closed(&mut self, who: WorkerId, key: &str) {
        let own_accord = self.standing(who) != Standing::Draining;
        let id = self.entries.with_key(key);
        if let Some(entry) = id.and_then(|id| self.entries.get_mut(id)) {
            entry.leave(who, &mut self.warnings);
            if own_accord && entry.any_port {
                entry.forget_slot_of(who, &mut self.warnings);
            }
        }
        self.sweep();
    }

    /// The worker is dead. Its lanes are kept for the slot's next worker.
    pub fn gone(&mut self, who: WorkerId) {
        self.standings.remove(&who);
        for entry in self.entries.values_mut() {
            entry.leave(who, &mut self.warnings);
        }
        self.sweep();
    }

    /// The slot gets no next worker (scaled down): its lanes are anybody's, and an address that nobody else wants ends.
    pub fn release_slot(&mut self, slot: u32) {
        for entry in self.entries.values_mut() {
            entry.release_slot(slot, &mut self.warnings);
        }
        self.sweep();
    }

    /// An address where no worker in service accepts is kept for none that follows: it ends with those that have it.
    pub fn close_unserved(&mut self) {
        let standings = &self.standings;
        let serves = |who: WorkerId| standings.get(&who) == Some(&Standing::InService);
        for entry in self.entries.values_mut().filter(|entry| !entry.accepting_workers().any(serves)) {
            entry.forget_slots(&mut self.warnings);
        }
        self.sweep();
    }

    /// Accepts all that waits at the stop where this says that somebody takes it; what could not be accepted is left.
    pub fn take_queues(&self, taken: impl Fn(&str) -> bool) -> (Vec<(String, OwnedFd)>, Option<io::Error>) {
        let mut waiting = Vec::new();
        for entry in self.entries.values().filter(|entry| taken(&entry.key)) {
            let open = entry.source.streams().into_iter().filter(|one| socket::is_listening(*one).unwrap_or(true));
            for socket in open {
                loop {
                    match socket::set_nonblocking(socket, true).and_then(|()| socket::accept(socket)) {
                        Ok(Some(connection)) => waiting.push((entry.key.clone(), connection)),
                        Ok(None) => break,
                        Err(error) => return (waiting, Some(error)),
                    }
                }
            }
        }
        (waiting, None)
    }

    /// The stop: everything is closed, our socket files are removed.
    pub fn close_all(&mut self) {
        self.entries.clear();
        self.standings.clear();
    }

    fn sweep(&mut self) {
        self.entries.retain(|entry| !entry.unwanted());
    }

    /// The lanes that no worker holds, to be polled when there is somebody to hand connections to ([`Self::serving`]).
    pub fn unattended(&self) -> impl Iterator<Item = Unattended<'_>> {
        self.entries.iter().flat_map(|(&id, entry)| {
            let lanes = entry.unattended();
            lanes.map(move |(lane, fd, slot)| Unattended {
                lane: LaneRef { entry: id, lane },
                fd,
                key: &entry.key,
                slot,
            })
        })
    }

    /// The listeners in round-robin mode.
    pub fn round_robin(&self) -> impl Iterator<Item = RoundRobin<'_>> {
        self.entries.iter().filter_map(|(&id, entry)| {
            let Source::RoundRobin { fd, .. } = &entry.source else { return None };
            let workers = self.serving(&entry.key).collect();
            Some(RoundRobin { lane: LaneRef { entry: id, lane: 0 }, fd: fd.as_fd(), key: &entry.key, workers })
        })
    }

    /// The workers that are ready and accept on this key.
    pub fn serving<'a>(&'a self, key: &str) -> impl Iterator<Item = WorkerId> + 'a {
        let entry = self.entries.with_key(key).and_then(|id| self.entries.get(&id));
        let workers = entry.into_iter().flat_map(Entry::accepting_workers);
        workers.filter(|&who| self.standing(who) == Standing::InService)
    }

    /// The next connection of an unattended lane or of a round-robin listener; `None` if none waits (or if a worker holds
    /// the lane by now). Non-blocking and close-on-exec.
    ///
    /// # Errors
    /// That of accept4(2): after EMFILE and its kin the connection still waits, and polling would spin.
    pub fn accept(&self, lane: LaneRef) -> io::Result<Option<OwnedFd>> {
        match self.entries.get(&lane.entry).map(|entry| &entry.source) {
            Some(Source::Lanes(lanes)) => lanes.accept(lane.lane),
            Some(Source::RoundRobin { fd, .. }) => socket::accept(fd),
            Some(Source::Shared { .. }) | None => Ok(None),
        }
    }

    /// What workers accept on, for the status: addresses (`tcp:127.0.0.1:3000`, `tcp:[::]:3000`, `udp:...`, `unix:/path`),
    /// each once, and the numbers of the sockets. One look for all of them: there may be a thousand.
    #[must_use]
    pub fn all(&self) -> BTreeMap<WorkerId, (BTreeSet<String>, Vec<u64>)> {
        let mut all: BTreeMap<WorkerId, (BTreeSet<String>, Vec<u64>)> = BTreeMap::new();
        for entry in self.entries.values() {
            let mut sockets = entry.sockets_by_worker();
            for who in entry.accepting_workers() {
                let of_worker = all.entry(who).or_default();
                of_worker.0.insert(entry.description.clone());
                of_worker.1.append(&mut sockets.remove(&who).unwrap_or_default());
            }
        }
        all
    }

    /// The address of a key as [`Self::all`] shows it.
    #[must_use]
    pub fn description(&self, key: &str) -> Option<&str> {
        self.entries.with_key(key).and_then(|id| self.entries.get(&id)).map(|entry| entry.description.as_str())
    }

    /// What a person should be told since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
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
    match listeners::first_listener(address).filter(|_| error.raw_os_error() == Some(EADDRINUSE)) {
        Some(inode) => format!("{said} by={}", status::socket_holder(inode)),
        None => said,
    }
}

fn negative(error: &io::Error) -> i32 {
    -error.raw_os_error().unwrap_or(socket::EINVAL)
}
