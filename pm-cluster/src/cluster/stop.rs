//! The stop: what waits in the queues goes to whoever still serves, and only then are the workers asked to leave.
//!
//! A worker closes its listener as soon as it is asked, and the kernel then resets what waits there: all of it, where the
//! event loop was busy. So we accept it first and pass it on, as what comes to lanes without a worker.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use pm_common::cli::report;
use pm_common::policy::WorkerId;
use pm_common::policy::supervisor::Event;

use super::{Cluster, Worker};
use pm_common::node::message::Outgoing;

impl Cluster {
    /// Takes what waits where a living worker of ours could have accepted it.
    pub(super) fn take_queues(&mut self) {
        let served: BTreeSet<&str> = self
            .workers
            .values()
            .flat_map(|worker| worker.open.iter().filter(|key| worker.takes(key)).map(String::as_str))
            .collect();
        let (waiting, error) = self.listeners.take_queues(|key| served.contains(key));
        for (key, connection) in waiting {
            self.handoff.waiting(key, Rc::new(connection));
        }
        if let Some(error) = error {
            let reason = report::reason(&error);
            self.say_once(format!("cannot accept all that waits at the stop, the rest is reset reason={reason}"));
        }
    }

    /// Asks a worker to leave, once it has what it is to get; false: it cannot be asked.
    pub(super) fn ask_to_leave(&mut self, id: WorkerId, linger: bool) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        // Without the script, Node would wait for the clients.
        let asks = worker.start.online && (linger || worker.start.loaded);
        if asks && worker.channel.is_some() && self.finished && self.handoff.owes(id, &worker.open) {
            worker.leaves = Some(linger);
            return true;
        }
        if self.drain.stop_message {
            // Before Node closes the channel: the app hears it, and finishes while its connections do.
            worker.said_stop = say_stop(worker);
        }
        let Some(channel) = worker.channel.as_mut().filter(|_| asks) else { return false };
        channel.send(&Outgoing::Disconnect { linger }).is_some()
    }

    /// Asks those that have got what they were to get.
    pub(super) fn let_go(&mut self, events: &mut VecDeque<Event>) {
        if !self.finished {
            return;
        }
        // Nobody will ever take it.
        self.handoff.drop_refused();
        let leave = self.workers.iter().filter_map(|(id, worker)| Some((*id, worker.leaves?)));
        for (id, linger) in leave.collect::<Vec<_>>() {
            let Some(worker) = self.workers.get_mut(&id).filter(|worker| !self.handoff.owes(id, &worker.open)) else {
                continue;
            };
            worker.leaves = None;
            if !self.ask_to_leave(id, linger) && !self.drains.has(id) {
                events.push_back(Event::Drained(id));
            }
        }
    }
}

/// Says 'shutdown' to the app; false: it cannot hear it.
pub(super) fn say_stop(worker: &mut Worker) -> bool {
    worker.channel.as_mut().is_some_and(|channel| channel.send(&Outgoing::Shutdown).is_some())
}
