//! Node's own protocol, as the primary of its cluster speaks it: messages in, sockets, connections and answers out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;

use pm_common::cli::report;
use pm_common::node::app_messages::AppMessages;
use pm_common::node::channel::{Channel, Received};
use pm_common::node::message::{Message, Outgoing};
use pm_common::node::query::Query;
use pm_common::policy::WorkerId;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::Mono;
use pm_common::policy::worker::{Loads, ReadyBy};
use pm_common::supervise::WorkerSetup;
use pm_common::sys::{fdpass, socket};
use serde_json::Value;

use crate::sockets::Sockets;
use handoff::Handoff;
use pm_common::node::preload::blame::{Blame, Progress};
use stop_handover::Ending;

mod answer;
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
    /// What the apps have said to whoever started them.
    pub(crate) messages: AppMessages,
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
    /// Its Node pads abstract names.
    pads_names: bool,
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
            messages: AppMessages::default(),
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
    pub(crate) fn connect(&mut self, number: RawFd, setup: &mut WorkerSetup) -> io::Result<(Channel, Option<u64>)> {
        let (ours, theirs) = fdpass::pair()?;
        setup.env.push(("NODE_CHANNEL_FD".into(), number.to_string().into()));
        setup.env.push(("NODE_CHANNEL_SERIALIZATION_MODE".into(), "json".into()));
        setup.env.push(("NODE_UNIQUE_ID".into(), self.next_id.to_string().into()));
        let inode = socket::inode(&theirs).ok();
        setup.place = Some((theirs, number));
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
        channel.keep_messages(self.messages.keep);
        let received = channel.receive(&mut messages);
        self.messages.take_in(id, &mut messages);
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
            Message::PadsNames => worker.pads_names = true,
            Message::Query { seq, query } => {
                let query = worker.as_named(query);
                self.answer(id, seq, &query, sockets, events);
            }
            Message::Listening(query) => {
                let query = worker.as_named(query);
                self.listens(id, &query, sockets, events);
            }
            Message::Close { key } => self.closes(id, &key, sockets, events),
            Message::ExitedAfterDisconnect { seq } => self.send(id, &Outgoing::Ack { ack: seq }),
            Message::Accepted { ack, accepted } => self.handoff.answered(id, ack, accepted),
            Message::Undelivered { seq } => self.handoff.answered(id, seq, false),
            Message::Ready => events.push_back(Event::SaidReady(id, ReadyBy::Message)),
            // Taken out before.
            Message::App(_) => {}
        }
    }

    /// Sends a message to the app of a slot, or to all that are not on their way out; gives to how many.
    pub(crate) fn send_message(&mut self, slot: Option<u32>, message: &str) -> usize {
        let meant = self.workers.iter_mut().filter(|(id, _)| slot.is_none_or(|slot| slot == id.slot));
        let channels = meant.filter(|(_, worker)| !worker.draining).filter_map(|(_, worker)| worker.channel.as_mut());
        channels.filter_map(|channel| channel.send(&Outgoing::App(message))).count()
    }

    pub(crate) fn send(&mut self, id: WorkerId, outgoing: &Outgoing<'_>) {
        if let Some(channel) = self.workers.get_mut(&id).and_then(|w| w.channel.as_mut()) {
            channel.send(outgoing);
        }
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

    /// What it asks for, with the name that it means.
    fn as_named(&self, query: Query) -> Query {
        if self.pads_names { query.padded() } else { query }
    }
}
