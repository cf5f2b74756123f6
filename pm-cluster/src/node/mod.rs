//! Node's own protocol, as the primary of its cluster speaks it: messages in, sockets, connections and answers out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;

use pm_common::app::status;
use pm_common::cli::report;
use pm_common::node::channel::{Channel, Received};
use pm_common::node::message::{Message, Outgoing};
use pm_common::node::query::{Family, Query};
use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::Mono;
use pm_common::policy::worker::{Loads, ReadyBy};
use pm_common::supervise::Plan;
use pm_common::sys::{fdpass, socket};
use serde_json::Value;

use crate::sockets::wanted::Request;
use crate::sockets::{How, Sockets};
use handoff::Handoff;
use pm_common::node::preload::blame::{Blame, Progress};
use stop_handover::Ending;

mod handoff;
mod key;
mod lane_without_worker;
pub(crate) mod stop_handover;

/// Connections are kept by us until their worker says that it has them.
type Connection = Rc<OwnedFd>;

/// The primary of Node's cluster: the channels of its workers, and the connections on their way to them.
#[derive(Debug)]
pub(crate) struct Primary {
    workers: BTreeMap<WorkerId, Worker>,
    handoff: Handoff,
    /// What the first worker that asked for an address said to all (TLS ticket keys): by its key, with its number.
    said_to_all: BTreeMap<String, (u64, Value)>,
    /// Whether it was the drain script that a worker died of.
    pub(crate) blame: Blame,
    /// The next NODE_UNIQUE_ID.
    next_id: u64,
    ending: Ending,
    /// There is no next worker: nothing listens any more.
    finished: bool,
    /// accept4(2) failed: when to try again.
    accept_again: Option<Mono>,
    warnings: Vec<String>,
}

/// A worker as its primary sees it.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    pub(crate) channel: Option<Channel>,
    /// The keys that it listens on.
    pub(crate) open: BTreeSet<String>,
    /// How it was started, and how far it came. Once it is online it is Node (or speaks as Node does).
    pub(crate) progress: Progress,
    /// The worker has said that its program has been loaded, or can no longer say so.
    booted: bool,
    /// The worker is ready, and not on its way out.
    pub(crate) in_service: bool,
    /// The worker was told to end with a message, and no signal is sent.
    said_stop: bool,
    /// The worker was told to disconnect, or will be.
    pub(crate) draining: bool,
    /// The worker is told to disconnect when its clients have gone.
    pub(crate) leaves_last: bool,
    /// The worker has finished, and waits for the stop signal.
    pub(crate) drained: bool,
    /// The worker is told to disconnect, with or without a linger, once it has what waited for it at the stop.
    leaves: Option<bool>,
    pub(crate) pid: i32,
}

/// What came of reading a channel.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The worker has answered a ping.
    pub(crate) pong: bool,
    /// Where its debugger is; 0: it has none.
    pub(crate) inspects: Option<u16>,
    /// The worker has finished, and waits for the stop signal.
    pub(crate) drained: bool,
    /// The channel has ended: nothing more will come.
    pub(crate) closed: bool,
}

impl Primary {
    pub(crate) fn new(ending: Ending, sticky: bool) -> Self {
        Self {
            workers: BTreeMap::new(),
            handoff: Handoff::new(sticky),
            said_to_all: BTreeMap::new(),
            blame: Blame::default(),
            next_id: 1,
            ending,
            finished: false,
            accept_again: None,
            warnings: Vec::new(),
        }
    }

    /// Adds a worker that is about to start.
    pub(crate) fn insert(&mut self, id: WorkerId, worker: Worker) {
        self.workers.insert(id, worker);
    }

    pub(crate) fn workers(&self) -> &BTreeMap<WorkerId, Worker> {
        &self.workers
    }

    pub(crate) fn worker_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    /// Makes a channel that the worker finds under this number; gives the number of its socket, too.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(crate) fn connect(&mut self, number: RawFd, plan: &mut Plan) -> io::Result<(Channel, Option<u64>)> {
        let (ours, theirs) = fdpass::pair()?;
        plan.env.push(("NODE_CHANNEL_FD".into(), number.to_string().into()));
        plan.env.push(("NODE_CHANNEL_SERIALIZATION_MODE".into(), "json".into()));
        plan.env.push(("NODE_UNIQUE_ID".into(), self.next_id.to_string().into()));
        let inode = socket::inode(&theirs).ok();
        plan.place = Some((theirs, number));
        self.next_id += 1;
        Ok((Channel::new(ours), inode))
    }

    /// Reads what the worker says.
    pub(crate) fn read(&mut self, id: WorkerId, sockets: &mut Sockets, events: &mut VecDeque<Event>) -> Heard {
        let (slot, generation, mut messages) = (id.slot, id.generation, Vec::new());
        let Some(channel) = self.workers.get_mut(&id).and_then(|worker| worker.channel.as_mut()) else {
            return Heard { closed: true, ..Heard::default() };
        };
        if channel.wants_write() {
            channel.flush(&mut messages);
        }
        let received = channel.receive(&mut messages);
        if let Some(complaint) = channel.take_complaint() {
            report::warning(format_args!(
                "bad message on a worker's channel slot={slot} generation={generation} {complaint}"
            ));
        }
        let [pong, drained] = [Message::Pong, Message::Drained].map(|message| messages.contains(&message));
        let inspects = messages.iter().find_map(Message::inspects);
        messages.into_iter().for_each(|message| self.hear(id, message, sockets, events));
        Heard { pong, inspects, drained, closed: received == Received::Closed }
    }

    fn hear(&mut self, id: WorkerId, message: Message, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match message {
            Message::Online => worker.progress.online = true,
            Message::Loaded => {
                worker.progress.loaded = true;
                // The worker will say when its program is loaded, too: until then, that it lives shows nothing.
                events.push_back(Event::Boots(id));
            }
            Message::Booted { server } => {
                worker.booted = true;
                events.push_back(Event::Booted(id, Loads::of(server)));
            }
            // What it is refused as a cluster worker we know ourselves.
            Message::Pong | Message::Refused { .. } | Message::Servers | Message::Inspects { .. } => {}
            Message::Drained => worker.drained = true,
            Message::Connects { number, to } => {
                let refused = sockets.may_come(id) && to.is_some_and(|to| sockets.is_anothers(id, to));
                self.send(id, &Outgoing::Connect { number, refused, over: !sockets.may_come(id) });
            }
            Message::Query { seq, query } => self.answer(id, seq, &query, sockets, events),
            Message::Listening(query) => self.listens(id, &query, sockets, events),
            Message::Close { key } => self.closes(id, &key, sockets, events),
            Message::ExitedAfterDisconnect { seq } => self.send(id, &Outgoing::Ack { ack: seq }),
            Message::Accepted { ack, accepted } => self.handoff.answered(id, ack, accepted),
            Message::Undelivered { seq } => self.handoff.answered(id, seq, false),
            Message::Ready => events.push_back(Event::SaidReady(id, ReadyBy::Message)),
        }
    }

    pub(crate) fn send(&mut self, id: WorkerId, outgoing: &Outgoing<'_>) {
        if let Some(channel) = self.workers.get_mut(&id).and_then(|w| w.channel.as_mut()) {
            channel.send(outgoing);
        }
    }

    /// Answers a worker's `listen()`: with a socket, with the promise of connections, or with the error.
    ///
    /// A worker that drains gets no answer, as from Node's own primary: a new listener would keep it alive.
    fn answer(&mut self, id: WorkerId, ack: u64, query: &Query, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        if self.finished || self.workers.get(&id).is_some_and(|worker| worker.draining) {
            return;
        }
        let opened = Request::of(query).and_then(|request| Ok((sockets.open(id, &request)?, request.key)));
        let warnings = sockets.take_warnings();
        match opened {
            Ok((grant, key)) => {
                let (key, data) = (key.as_str(), &self.data_for(&key, grant.address, query));
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
                let error = io::Error::from_raw_os_error(-errno);
                let tcp = matches!(query.family, Family::Tcp4 | Family::Tcp6) && query.port > 0;
                let taken = (tcp && errno == -socket::EADDRINUSE).then(|| status::port_taken(query.port));
                let other = || format!("cannot listen reason={}", report::reason(&error));
                let what = taken.or_else(|| warnings.last().cloned()).unwrap_or_else(other);
                events.push_back(Event::Refused { id, what });
            }
        }
        self.warnings.extend(warnings);
    }

    /// What the first worker that had something to say for this address said to all that ask for it.
    fn data_for(&mut self, key: &str, address: u64, query: &Query) -> Value {
        if let Some((_, data)) = self.said_to_all.get(key).filter(|(of, _)| *of == address) {
            return data.clone();
        }
        if !query.data.is_null() {
            self.said_to_all.insert(key.to_owned(), (address, query.data.clone()));
        }
        query.data.clone()
    }

    fn listens(&mut self, id: WorkerId, query: &Query, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let Some((key, fixed)) = key_of(query, sockets) else { return };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.open.insert(key.clone());
        worker.progress.listened = true;
        self.blame.listened(&worker.progress);
        sockets.accepting(id, &key);
        events.push_back(Event::Listening { id, address: address_of(&key, sockets), fixed });
    }

    fn closes(&mut self, id: WorkerId, key: &str, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.open.remove(key);
        }
        let address = address_of(key, sockets);
        sockets.closed(id, key);
        self.forget_closed(sockets);
        events.push_back(Event::Closed { id, address });
    }

    /// Forgets what was said of addresses that are closed.
    fn forget_closed(&mut self, sockets: &Sockets) {
        self.said_to_all.retain(|key, _| sockets.at_key(key).is_some());
    }

    /// The worker's channel has ended; whether it was the first to say so that its program can no longer say it is loaded.
    pub(crate) fn disconnected(&mut self, id: WorkerId) -> Option<bool> {
        let worker = self.workers.get_mut(&id)?;
        worker.channel = None;
        self.handoff.gone(id);
        Some(!std::mem::replace(&mut worker.booted, true))
    }

    /// The worker has ended; gives how far it came.
    pub(crate) fn gone(&mut self, id: WorkerId, sockets: &Sockets) -> Option<Progress> {
        self.handoff.gone(id);
        self.forget_closed(sockets);
        self.workers.remove(&id).map(|worker| worker.progress)
    }

    /// What a person should be told since the last call.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

impl Worker {
    /// Whether the worker serves by itself, and its drain script answers. (One that starts a server may wait for that,
    /// deaf, all its life.)
    pub(crate) fn can_be_asked(&self) -> bool {
        self.in_service && self.progress.loaded && self.channel.is_some() && !self.open.is_empty()
    }
}

/// The key of what a worker says it listens on, and whether its successors must listen there too: a port of the kernel's
/// choice was asked for as port 0, and is told as what it became.
fn key_of(query: &Query, sockets: &Sockets) -> Option<(String, bool)> {
    let known = |key: &String| sockets.at_key(key).is_some();
    let asked = Query { port: 0, ..query.clone() };
    let exact = Some(key::key(query)).filter(known).map(|key| (key, true));
    exact.or_else(|| Some(key::key(&asked)).filter(known).map(|key| (key, false)))
}

fn address_of(key: &str, sockets: &Sockets) -> Listening {
    sockets.at_key(key).cloned().unwrap_or(Listening::Unknown)
}

#[cfg(test)]
mod tests {
    use pm_common::node::query::Family;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_first_worker_says_is_echoed_to_all_until_the_address_is_another() {
        let (address, family, fd, data) = (None, Family::Tcp4, None, Value::Null);
        let (port, flags, backlog, index) = (0, 0, 511, 0);
        let (readable_all, writable_all) = (false, false);
        let query = Query { address, port, family, fd, flags, backlog, index, data, readable_all, writable_all };
        let mut primary = Primary::new(Ending::default(), false);
        let mut said = |number, data| primary.data_for("k", number, &Query { data, ..query.clone() });
        assert_eq!(said(1, json!(null)), json!(null));
        assert_eq!(said(1, json!({"k": 1})), json!({"k": 1}));
        assert_eq!(said(1, json!({"k": 2})), json!({"k": 1}));
        assert_eq!(said(1, json!(null)), json!({"k": 1}));
        assert_eq!(said(2, json!({"k": 3})), json!({"k": 3}));
    }
}
