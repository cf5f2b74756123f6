//! The stop: what waits in the queues goes to whoever still serves, and only then are the workers asked to leave.
//!
//! A worker closes its listener as soon as it is asked, and the kernel then resets what waits there: all of it, where the
//! event loop was busy. So we accept it first and pass it on, as what comes to lanes without a worker.

use std::collections::BTreeSet;
use std::rc::Rc;

use pm_common::cli::report;
use pm_common::node::message::Outgoing;
use pm_common::policy::WorkerId;

use super::{Primary, Worker};
use crate::sockets::Sockets;

impl Primary {
    /// There is no next worker: takes, once, what waits where a living worker of ours could have accepted it.
    pub(crate) fn finish(&mut self, sockets: &Sockets) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let open = self.workers.values().flat_map(|worker| worker.open.iter().filter(|key| worker.takes(key)));
        let served: BTreeSet<&str> = open.map(String::as_str).collect();
        let (waiting, error) = sockets.take_queues(|key| served.contains(key));
        for (key, connection) in waiting {
            self.handoff.waiting(key, Rc::new(connection));
        }
        if let Some(error) = error {
            let reason = report::reason(&error);
            self.warnings.push(format!("cannot accept all that waits at the stop, the rest is reset reason={reason}"));
        }
    }

    /// Asks a worker to leave, once it has what it is to get; false: it cannot be asked.
    pub(crate) fn ask_to_leave(&mut self, id: WorkerId, linger: bool) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        // Without the script, Node would wait for the clients.
        let asks = worker.progress.online && (linger || worker.progress.loaded);
        if asks && worker.channel.is_some() && self.finished && self.handoff.owes(id, &worker.open) {
            worker.leaves = Some(linger);
            return true;
        }
        if self.stop_message {
            // Before Node closes the channel: the app hears it, and finishes while its connections do.
            worker.said_stop = say_stop(worker);
        }
        let Some(channel) = worker.channel.as_mut().filter(|_| asks) else { return false };
        channel.send(&Outgoing::Disconnect { linger }).is_some()
    }

    /// Asks those that have got what they were to get; gives those that cannot be asked any more.
    pub(crate) fn let_go(&mut self) -> Vec<WorkerId> {
        if !self.finished {
            return Vec::new();
        }
        // Nobody will ever take it.
        self.handoff.drop_refused();
        let leave = self.workers.iter().filter_map(|(id, worker)| Some((*id, worker.leaves?, &worker.open)));
        let leave = leave.filter(|(id, _, open)| !self.handoff.owes(*id, open)).map(|(id, linger, _)| (id, linger));
        let mut gone = Vec::new();
        for (id, linger) in leave.collect::<Vec<_>>() {
            self.workers.entry(id).and_modify(|worker| worker.leaves = None);
            if !self.ask_to_leave(id, linger) {
                gone.push(id);
            }
        }
        gone
    }

    /// Says 'shutdown' to the app, unless it was said; false: it cannot hear it.
    pub(crate) fn say_stop(&mut self, id: WorkerId) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        worker.said_stop = worker.said_stop || say_stop(worker);
        worker.said_stop
    }

    /// There is no next worker.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }
}

fn say_stop(worker: &mut Worker) -> bool {
    worker.channel.as_mut().is_some_and(|channel| channel.send(&Outgoing::Shutdown).is_some())
}
