//! Node's channel of a child that is Node: `process.send` and `process.on('message')` work, and it is no cluster worker.
//!
//! Of what it sends `ready` is heard, what the bus wants, and what a script that Node loads first says of the app: that it has been loaded,
//! and whether it could serve.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, RawFd};

use crate::app::status;
use crate::node::app_messages::AppMessages;
use crate::node::channel::{Channel, Received};
use crate::node::inspector::Debugger;
use crate::node::message::{Message, Outgoing};
use crate::node::preload::Preload;
use crate::node::preload::blame::{Blame, Cause, Progress};
use crate::policy::WorkerId;
use crate::policy::exit::Exit;
use crate::policy::supervisor::Event;
use crate::policy::worker::{Loads, ReadyBy};
use crate::supervise::release::Release;
use crate::supervise::{Source, WorkerSetup};
use crate::sys::{fdpass, listen_fds, socket};

/// The channels of the children; more than one only while what an earlier one left behind ends.
#[derive(Debug)]
pub(super) struct Channels {
    /// The number under which a child finds its channel; `None`: it gets none.
    number: Option<RawFd>,
    open: BTreeMap<WorkerId, Open>,
    /// What the children have said to whoever started them.
    pub(super) messages: AppMessages,
    preload: Preload,
    /// Whether the releases can load the script.
    trust: Blame,
    /// The program and its arguments.
    argv: Vec<OsString>,
}

/// A child's channel, and how it was started.
#[derive(Debug)]
struct Open {
    /// `None`: it has closed its end.
    channel: Option<Channel>,
    start: Progress,
    debugger: Debugger,
}

impl Channels {
    /// Reserves the number of the channel, behind those of the sockets that are passed.
    ///
    /// `says`: the program shall say when it has been loaded.
    pub(super) fn new(wanted: bool, says: bool, sockets: usize, argv: &[OsString]) -> io::Result<Self> {
        let number = wanted.then(|| listen_fds::place(sockets)).transpose()?;
        let preload = if wanted && says { Preload::place() } else { Preload::off() };
        let (open, messages) = (BTreeMap::new(), AppMessages::default());
        Ok(Self { number, open, messages, preload, trust: Blame::default(), argv: argv.to_vec() })
    }

    pub(super) const fn are_given(&self) -> bool {
        self.number.is_some()
    }

    /// Sends a message to the child of a slot, or to all; gives to how many.
    pub(super) fn send_message(&mut self, slot: Option<u32>, message: &str) -> usize {
        let meant = self.open.iter_mut().filter(|(id, _)| slot.is_none_or(|slot| slot == id.slot));
        let channels = meant.filter_map(|(_, open)| open.channel.as_mut());
        channels.filter_map(|channel| channel.send(&Outgoing::App(message))).count()
    }

    pub(super) fn prepare(&mut self, id: WorkerId, release: &Release, setup: &mut WorkerSetup) -> io::Result<()> {
        let Some(number) = self.number else { return Ok(()) };
        let (ours, theirs) = fdpass::pair()?;
        setup.env.push(("NODE_CHANNEL_FD".into(), number.to_string().into()));
        setup.env.push(("NODE_CHANNEL_SERIALIZATION_MODE".into(), "json".into()));
        // One without a number in a cluster does not say that it has connected.
        let mut start = Progress { release: release.number, online: true, ..Progress::default() };
        let inode = socket::inode(&theirs).ok();
        setup.place = Some((theirs, number));
        if self.trust.wants_script(release.number) {
            let script = self.preload.env(release.node_options(), &self.argv, None, false);
            start.with_script = !script.is_empty();
            setup.env.extend(script);
        }
        let debugger = Debugger::new(inode, start.with_script);
        self.open.insert(id, Open { channel: Some(Channel::new(ours)), start, debugger });
        Ok(())
    }

    pub(super) fn sources<'a>(&'a self, out: &mut Vec<Source<'a, WorkerId>>) {
        let open = self.open.iter().filter_map(|(id, open)| Some((id, open.channel.as_ref()?)));
        out.extend(open.map(|(id, channel)| Source {
            token: *id,
            fd: channel.as_fd(),
            read: channel.wants_read(),
            write: channel.wants_write(),
        }));
    }

    /// Reads once what the child says; a channel that it has closed is closed here, too. True: its servers have changed.
    pub(super) fn read(&mut self, id: WorkerId, events: &mut VecDeque<Event>) -> bool {
        let Some(Open { channel: closes @ Some(_), start, debugger }) = self.open.get_mut(&id) else { return false };
        let Some(channel) = closes else { return false };
        let mut messages = Vec::new();
        if channel.wants_write() {
            channel.flush(&mut messages);
        }
        channel.keep_messages(self.messages.keep);
        let received = channel.receive(&mut messages);
        self.messages.take_in(id, &mut messages);
        // What it does against the protocol harms nobody: nothing of ours depends on it.
        channel.take_complaint();
        start.loaded |= messages.contains(&Message::Loaded);
        let at = messages.iter().find_map(Message::inspects);
        at.into_iter().for_each(|port| debugger.is_at(port));
        events.extend(messages.iter().filter_map(|message| match message {
            Message::Ready => Some(Event::SaidReady(id, ReadyBy::Message)),
            Message::Loaded => Some(Event::Boots(id)),
            Message::Booted { server } => Some(Event::Booted(id, Loads::of(*server))),
            Message::Refused { port, address, code } => {
                let taken = port.filter(|_| code == "EADDRINUSE").map(status::port_taken);
                let what = taken.unwrap_or_else(|| format!("it cannot listen on {address}: {code}"));
                Some(Event::Refused { id, what })
            }
            _ => None,
        }));
        if received == Received::Closed {
            *closes = None;
            debugger.silent();
            // Nobody is left to say that it has been loaded.
            events.push_back(Event::Booted(id, Loads::Unknown));
        }
        at.is_some() || messages.contains(&Message::Servers)
    }

    /// What is known of a child's debugger.
    pub(super) fn debugger(&mut self, id: WorkerId) -> Option<&mut Debugger> {
        self.open.get_mut(&id).map(|open| &mut open.debugger)
    }

    /// Asks a child for what could not be seen from outside.
    pub(super) fn ask(&mut self, id: WorkerId) {
        let Some(Open { channel: Some(channel), debugger, .. }) = self.open.get_mut(&id) else { return };
        if debugger.asks() {
            channel.send(&Outgoing::Inspector);
        }
    }

    /// Says `shutdown`; false: nobody can hear it.
    pub(super) fn say_stop(&mut self, id: WorkerId) -> bool {
        self.open
            .get_mut(&id)
            .and_then(|open| open.channel.as_mut())
            .is_some_and(|channel| channel.send(&Outgoing::Shutdown).is_some())
    }

    /// Its leader has ended: whoever inherited its end of the channel holds nothing up. True: it may have ended over the
    /// script.
    pub(super) fn ended(&mut self, id: WorkerId, exit: Option<Exit>) -> bool {
        // What it said last.
        self.read(id, &mut VecDeque::new());
        let start = self.open.remove(&id).map(|open| open.start);
        start.zip(exit).is_some_and(|(start, exit)| self.trust.ended(&start, exit) != Cause::Own)
    }
}
