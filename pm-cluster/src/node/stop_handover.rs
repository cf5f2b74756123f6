//! The stop: what waits in the queues goes to whoever still serves, and only then are the workers asked to leave.
//!
//! A worker closes its listener as soon as it is asked, and the kernel then resets what waits there: all of it, where the
//! event loop was busy. So we accept it first and pass it on, as what comes to lanes without a worker.

use std::collections::BTreeSet;
use std::rc::Rc;

use pm_common::cli::report;
use pm_common::node::message::{Leave, Outgoing};
use pm_common::policy::WorkerId;
use pm_common::policy::exit::{signal_name, signal_number};
use pm_common::policy::rules::Rules;

use super::{Primary, Worker};
use crate::sockets::Sockets;

/// How workers are told to end, once they have finished.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// With Node's message 'shutdown'.
    by_message: bool,
    /// What an app listens for: the message, or the signal as Node names it.
    word: Option<String>,
    /// The signal reaches whoever started the server, and not the server itself, if that is another process.
    leader_only: bool,
    /// The milliseconds that a drain may take, where the app has something to do after it.
    within: u64,
}

impl Ending {
    /// As the policy has it.
    pub(crate) fn of(rules: &Rules) -> Self {
        let signal = || signal_name(rules.stop_signal).map(|name| format!("SIG{name}"));
        let by_message = rules.stop_message;
        // What a leader leaves behind gets TERM.
        let reaches_all = by_message || rules.stop_group || signal_number("TERM") == Some(rules.stop_signal);
        Self {
            by_message,
            word: if by_message { Some("shutdown".to_owned()) } else { signal() },
            leader_only: !reaches_all,
            within: rules.drain_time().as_millis(),
        }
    }
}

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
        if self.ending.by_message && !worker.progress.loaded {
            // Before Node closes the channel: the app hears it, and finishes while its connections do.
            worker.said_stop = say_stop(worker);
        }
        let leader = self.ending.leader_only.then_some(worker.pid);
        let leave = Leave { linger, stop: self.ending.word.as_deref(), leader, within: self.ending.within };
        let Some(channel) = worker.channel.as_mut().filter(|_| asks) else { return false };
        channel.send(&Outgoing::Disconnect(leave)).is_some()
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
