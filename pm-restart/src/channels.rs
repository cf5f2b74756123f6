//! Node's channel of a child that is Node: `process.send` and `process.on('message')` work, and it is no cluster worker.
//!
//! Of what it sends only `ready` is heard, and nothing is kept.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, RawFd};

use pm_common::node::channel::{Channel, Received};
use pm_common::node::message::{Message, Outgoing};
use pm_common::policy::WorkerId;
use pm_common::policy::supervisor::Event;
use pm_common::policy::worker::ReadyBy;
use pm_common::supervise::{Plan, Source};
use pm_common::sys::{fdpass, passed};

/// The channels of the children; more than one only while what an earlier one left behind ends.
#[derive(Debug)]
pub(crate) struct Channels {
    /// The number under which a child finds its channel; `None`: it gets none.
    number: Option<RawFd>,
    open: BTreeMap<WorkerId, Channel>,
}

impl Channels {
    /// Reserves the number of the channel, behind those of the sockets that are passed.
    pub(crate) fn new(wanted: bool, sockets: usize) -> io::Result<Self> {
        let number = wanted.then(|| passed::place(sockets)).transpose()?;
        Ok(Self { number, open: BTreeMap::new() })
    }

    pub(crate) fn prepare(&mut self, id: WorkerId, plan: &mut Plan) -> io::Result<()> {
        let Some(number) = self.number else { return Ok(()) };
        let (ours, theirs) = fdpass::pair()?;
        plan.place = Some((theirs, number));
        plan.env.push(("NODE_CHANNEL_FD".into(), number.to_string().into()));
        plan.env.push(("NODE_CHANNEL_SERIALIZATION_MODE".into(), "json".into()));
        self.open.insert(id, Channel::new(ours));
        Ok(())
    }

    pub(crate) fn sources<'a>(&'a self, out: &mut Vec<Source<'a, WorkerId>>) {
        out.extend(self.open.iter().map(|(id, channel)| Source {
            token: *id,
            fd: channel.as_fd(),
            read: channel.wants_read(),
            write: channel.wants_write(),
        }));
    }

    /// Reads once what the child says; a channel that it has closed is closed here, too.
    pub(crate) fn read(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        let Some(channel) = self.open.get_mut(&id) else { return };
        let mut messages = Vec::new();
        if channel.wants_write() {
            channel.flush(&mut messages);
        }
        let received = channel.receive(&mut messages);
        // What it does against the protocol harms nobody: nothing of ours depends on it.
        channel.take_complaint();
        let ready = messages.contains(&Message::Ready);
        events.extend(ready.then_some(Event::SaidReady(id, ReadyBy::Message)));
        if received == Received::Closed {
            self.open.remove(&id);
        }
    }

    /// Says `shutdown`; false: nobody can hear it.
    pub(crate) fn say_stop(&mut self, id: WorkerId) -> bool {
        self.open.get_mut(&id).is_some_and(|channel| channel.send(&Outgoing::Shutdown).is_some())
    }

    /// Its leader has ended: whoever inherited its end of the channel holds nothing up.
    pub(crate) fn ended(&mut self, id: WorkerId) {
        self.open.remove(&id);
    }
}
