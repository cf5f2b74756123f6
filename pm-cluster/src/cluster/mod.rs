//! The Node adapter: each worker finds itself a cluster worker, and we are its primary on the wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use pm_common::cli::report;
use pm_common::policy::WorkerId;
use pm_common::policy::exit::Exit;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::{Mono, Span};
use pm_common::policy::worker::{Loads, ReadyBy};
use pm_common::sys::clock;

use crate::bind::Binds;
use crate::care::drain::Drains;
use crate::care::health::Health;
use crate::care::lag::Lag;
use crate::cluster::settings::Drain;
use crate::node::handoff::Handoff;
use crate::node::inspector;
use crate::node::key;
use crate::node::preload::blame::{Progress, Trust, Verdict};
use crate::sockets::{How, LaneRef, Listeners};
use pm_common::node::channel::{Channel, Received};
use pm_common::node::message::{Message, Outgoing};
use pm_common::node::query::Query;

mod adapter;
pub(crate) mod settings;
mod stop;

/// Connections accepted in one turn from one listener: more wait for the next turn, others come in between.
const ACCEPTS_PER_TURN: usize = 64;
/// Reads from the channel of a worker that has ended: what it said last matters, but is not endless.
const LAST_READS: usize = 64;
/// The pause after accept4(2) failed: what it lacks (descriptors, memory) may come free anywhere in the system, and
/// nobody tells us.
const ACCEPT_PAUSE: Span = Span::millis(250);

/// The sockets, the channels, and the connections on their way.
#[derive(Debug)]
pub(crate) struct Cluster {
    listeners: Listeners,
    binds: Binds,
    /// The drains of workers that bind by themselves.
    drains: Drains,
    health: Option<Health>,
    /// Whether workers take what comes.
    lag: Lag,
    workers: BTreeMap<WorkerId, Worker>,
    /// Of workers that are Node itself.
    inspectors: inspector::Ports,
    handoff: Handoff,
    /// The next NODE_UNIQUE_ID.
    next_id: u64,
    drain: Drain,
    trust: Trust,
    /// There is no next worker: nothing listens any more.
    finished: bool,
    /// accept4(2) failed: when to try again.
    accept_again: Option<Mono>,
    /// What was said once already.
    said: BTreeSet<String>,
}

/// A worker as its primary sees it.
#[derive(Debug, Default)]
struct Worker {
    channel: Option<Channel>,
    /// The keys that it listens on.
    open: BTreeSet<String>,
    /// How it was started. Once it is online it is Node (or speaks as Node does).
    start: Progress,
    /// It has said that its program has been loaded, or can no longer say so.
    booted: bool,
    /// Ready, and not on its way out.
    in_service: bool,
    /// It was told to end with a message, and no signal is sent.
    said_stop: bool,
    /// It was told to disconnect, or will be.
    draining: bool,
    /// It is told to disconnect, with or without a linger, once it has what waited for it at the stop.
    leaves: Option<bool>,
    pid: i32,
}

impl Cluster {
    pub(crate) fn new(listeners: Listeners, binds: Binds, drain: Drain, max_lag: Option<Span>) -> Self {
        let (workers, said) = (BTreeMap::new(), BTreeSet::new());
        let (handoff, trust) = (Handoff::default(), Trust::default());
        let (drains, health) = (Drains::new(drain.grace), drain.health.clone().map(Health::new));
        let (finished, accept_again) = (false, None);
        Self {
            listeners,
            binds,
            drains,
            health,
            lag: Lag::new(max_lag),
            workers,
            inspectors: inspector::Ports::default(),
            handoff,
            next_id: 1,
            drain,
            trust,
            finished,
            accept_again,
            said,
        }
    }

    fn hear(&mut self, id: WorkerId, message: Message, events: &mut VecDeque<Event>) {
        match message {
            Message::Online => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.start.online = true;
                }
            }
            Message::Loaded => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.start.loaded = true;
                }
                // It will say when its program is, too: until then, that it lives shows nothing.
                events.push_back(Event::Boots(id));
            }
            Message::Booted { server } => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.booted = true;
                }
                events.push_back(Event::Booted(id, Loads::of(server)));
            }
            Message::Pong => self.lag.answered(id, clock::now(), &mut self.listeners),
            Message::Query { seq, query } => self.answer(id, seq, &query, events),
            Message::Listening(query) => self.listens(id, &query, events),
            Message::Close { key } => self.closes(id, &key, events),
            Message::ExitedAfterDisconnect { seq } => self.send(id, &Outgoing::Ack { ack: seq }),
            Message::Accepted { ack, accepted } => self.handoff.answered(id, ack, accepted),
            Message::Undelivered { seq } => self.handoff.answered(id, seq, false),
            Message::Ready => events.push_back(Event::SaidReady(id, ReadyBy::Message)),
        }
    }

    fn send(&mut self, id: WorkerId, outgoing: &Outgoing<'_>) {
        if let Some(channel) = self.workers.get_mut(&id).and_then(|w| w.channel.as_mut()) {
            channel.send(outgoing);
        }
    }

    /// Answers a worker's `listen()`: with a socket, with the promise of connections, or with the error.
    ///
    /// A worker that drains gets no answer, as from Node's own primary: a new listener would keep it alive.
    fn answer(&mut self, id: WorkerId, ack: u64, query: &Query, events: &mut VecDeque<Event>) {
        if self.finished || self.workers.get(&id).is_some_and(|worker| worker.draining) {
            return;
        }
        let opened = self.listeners.open(id, query);
        let warnings = self.listeners.take_warnings();
        match opened {
            Ok(grant) => {
                let (key, data) = (grant.key.as_str(), &grant.data);
                match grant.how {
                    How::Handle(handle) => {
                        let handle = &Rc::new(handle);
                        self.send(id, &Outgoing::Shared { ack, key, data, handle });
                    }
                    How::RoundRobin(sockname) => self.send(id, &Outgoing::RoundRobin { ack, key, data, sockname }),
                }
            }
            Err(errno) => {
                self.send(id, &Outgoing::Refused { ack, key: "", data: &query.data, errno });
                let reason =
                    || format!("cannot listen reason={}", report::reason(&std::io::Error::from_raw_os_error(-errno)));
                events.push_back(Event::Refused { id, what: warnings.last().cloned().unwrap_or_else(reason) });
            }
        }
        warnings.into_iter().for_each(|warning| self.say_once(warning));
    }

    fn listens(&mut self, id: WorkerId, query: &Query, events: &mut VecDeque<Event>) {
        let Some((key, fixed)) = self.key_of(query) else { return };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.open.insert(key.clone());
        worker.start.listened = true;
        self.trust.listened(&worker.start);
        self.listeners.accepting(id, &key);
        let address = self.describe(&key);
        events.push_back(Event::Listening { id, address, fixed });
    }

    fn closes(&mut self, id: WorkerId, key: &str, events: &mut VecDeque<Event>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.open.remove(key);
        }
        let address = self.describe(key);
        self.listeners.closed(id, key);
        events.push_back(Event::Closed { id, address });
    }

    /// The key of what a worker says it listens on, and whether its successors must listen there too: a port of the
    /// kernel's choice was asked for as port 0, and is told as what it became.
    fn key_of(&self, query: &Query) -> Option<(String, bool)> {
        let known = |key: &String| self.listeners.description(key).is_some();
        let asked = Query { port: 0, ..query.clone() };
        let exact = Some(key::key(query)).filter(known).map(|key| (key, true));
        exact.or_else(|| Some(key::key(&asked)).filter(known).map(|key| (key, false)))
    }

    fn describe(&self, key: &str) -> String {
        self.listeners.description(key).unwrap_or_default().to_owned()
    }

    /// Reads what the worker says; a channel that ends is closed here too.
    fn read(&mut self, id: WorkerId, events: &mut VecDeque<Event>) -> Received {
        let mut messages = Vec::new();
        let Some(worker) = self.workers.get_mut(&id) else { return Received::Closed };
        let Some(channel) = worker.channel.as_mut() else { return Received::Closed };
        if channel.wants_write() {
            channel.flush(&mut messages);
        }
        let received = channel.receive(&mut messages);
        if let Some(complaint) = channel.take_complaint() {
            let (slot, generation) = (id.slot, id.generation);
            report::warning(format_args!(
                "bad message on a worker's channel slot={slot} generation={generation} {complaint}"
            ));
        }
        messages.into_iter().for_each(|message| self.hear(id, message, events));
        received
    }

    fn can_take(&self, key: &str) -> bool {
        self.handoff.wants(key) && self.workers.iter().any(|(id, w)| w.takes(key) && self.handoff.has_room(*id))
    }

    /// A worker has shut a listener down: as it stops, which is its own business, or it goes on without.
    fn has_shut(&mut self, id: WorkerId, address: String, events: &mut VecDeque<Event>) {
        let Some(worker) = self.workers.get(&id).filter(|worker| worker.in_service) else { return };
        self.lag.has_shut(id, worker.pid, &address, &self.listeners);
        events.push_back(Event::Closed { id, address });
    }

    /// The listeners that nobody but us accepts from: lanes without a worker, and those whose connections go round.
    fn ours_to_accept(&self) -> impl Iterator<Item = (LaneRef, BorrowedFd<'_>, &str)> {
        let unattended = self.listeners.unattended().map(|lane| (lane.lane, lane.fd, lane.key));
        unattended.chain(self.listeners.round_robin().map(|rr| (rr.lane, rr.fd, rr.key)))
    }

    /// Accepts what waits in a listener and passes it on, while somebody takes it.
    fn accept(&mut self, listener: LaneRef) {
        let found = self.ours_to_accept().find(|(lane, _, _)| *lane == listener);
        let Some(key) = found.map(|(_, _, key)| key.to_owned()) else {
            // It is a worker's.
            return self.lag.somebody_waits(clock::now(), &self.listeners);
        };
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.can_take(&key) {
                return;
            }
            match self.listeners.accept(listener) {
                Ok(Some(connection)) => self.handoff.waiting(key.clone(), Rc::new(connection)),
                Ok(None) => break,
                Err(error) => {
                    // The connection still waits: asking again at once would spin.
                    self.accept_again = Some(clock::now() + ACCEPT_PAUSE);
                    self.say_once(format!("cannot accept connections: {}", report::reason(&error)));
                    break;
                }
            }
            self.pass_on();
        }
    }

    /// Passes on the connections that wait, each to the worker of its key that has the fewest unanswered.
    fn pass_on(&mut self) {
        loop {
            let workers = &self.workers;
            let takes = |id: WorkerId, key: &str| workers.get(&id).is_some_and(|w| w.takes(key));
            let Some((id, pending)) = self.handoff.next(clock::now(), takes, workers.keys()) else { return };
            let channel = self.workers.get_mut(&id).and_then(|w| w.channel.as_mut());
            let message = Outgoing::NewConn { key: &pending.key, connection: &pending.connection };
            let seq = channel.and_then(|channel| channel.send(&message));
            self.handoff.passed(id, seq, pending);
        }
    }

    /// Whether the worker ended over the drain script rather than over itself.
    fn is_excused(&mut self, id: WorkerId, start: &Progress, exit: Exit) -> bool {
        let verdict = self.trust.ended(start, exit);
        if verdict == Verdict::First {
            let (slot, generation) = (id.slot, id.generation);
            report::warning(format_args!(
                "worker ended and had not loaded the drain script, started again without it slot={slot} \
                 generation={generation} {exit}; keep-alive clients may notice its end (--no-preload: never try)"
            ));
        }
        verdict != Verdict::Own
    }

    /// Looks whether workers take what comes to them, and asks those that answer.
    fn look_for_lag(&mut self, events: &mut VecDeque<Event>) {
        let now = clock::now();
        if self.lag.deadline().is_none_or(|at| at > now) && !self.lag.asks() {
            return;
        }
        let workers = &self.workers;
        let pid_of = |id: WorkerId| workers.get(&id).map(|worker| worker.pid);
        self.lag.look(now, &mut self.listeners, pid_of, events);
        let asked = self.workers.iter().filter(|(_, worker)| worker.can_be_asked());
        let can_be_asked = asked.map(|(id, worker)| (*id, worker.pid));
        let asked = self.lag.ask(now, can_be_asked, &mut self.listeners, events);
        asked.into_iter().for_each(|id| self.send(id, &Outgoing::Ping));
    }

    fn say_warnings(&mut self) {
        for warning in [self.listeners.take_warnings(), self.binds.take_warnings()].concat() {
            self.say_once(warning);
        }
    }

    fn say_once(&mut self, warning: String) {
        if !self.said.contains(&warning) {
            report::warning(&warning);
            self.said.insert(warning);
        }
    }
}

impl Worker {
    /// It serves by itself, and its drain script answers. (One that starts a server may wait for that, deaf, all its life.)
    fn can_be_asked(&self) -> bool {
        self.in_service && self.start.loaded && self.channel.is_some() && !self.open.is_empty()
    }

    fn takes(&self, key: &str) -> bool {
        (self.in_service || self.leaves.is_some()) && self.channel.is_some() && self.open.contains(key)
    }
}
