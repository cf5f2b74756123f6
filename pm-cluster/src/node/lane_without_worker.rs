//! What waits on a lane without a worker (its worker has crashed, or is no more): accepted here, and passed on to workers
//! that live. So is all that comes to an address whose workers take turns.
//!
//! Of a program that is not Node it waits for the slot's next worker, and for how long `sockets::unserved` says.

use std::rc::Rc;

use pm_common::cli::report;
use pm_common::node::message::Outgoing;
use pm_common::policy::WorkerId;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::clock;

use super::{Primary, Worker};
use crate::sockets::{LaneRef, LaneView, Sockets};

/// Connections accepted in one turn from one listener: more wait for the next turn, others come in between.
const ACCEPTS_PER_TURN: usize = 64;
/// The pause after accept4(2) failed: what it lacks (descriptors, memory) may come free anywhere in the system, and
/// nobody tells us.
const ACCEPT_PAUSE: Span = Span::millis(250);

impl Primary {
    fn can_take(&self, key: &str) -> bool {
        self.handoff.wants(key) && self.workers.iter().any(|(id, w)| w.takes(key) && self.handoff.has_room(*id))
    }

    /// The lanes that nobody but us accepts from, and only those that somebody takes connections of: else these wait in
    /// the kernel's queue, and we are not woken.
    pub(crate) fn polled<'a>(&'a self, sockets: &'a Sockets) -> impl Iterator<Item = LaneView<'a>> {
        let lanes =
            self.accept_again.is_none().then(|| sockets.lanes().filter(|lane| lane.holder.is_none() && !lane.awaited));
        // Lanes of one key follow each other, and may be as many as there are workers to be asked.
        let mut last: Option<(&str, bool)> = None;
        lanes.into_iter().flatten().filter(move |lane| {
            let Some(key) = lane.key else { return false };
            let taken = last.filter(|(known, _)| *known == key).map_or_else(|| self.can_take(key), |(_, taken)| taken);
            last = Some((key, taken));
            taken
        })
    }

    /// Accepts what waits in a lane that nobody holds and passes it on, while somebody takes it; false: it is a worker's.
    pub(crate) fn accept(&mut self, at: LaneRef, sockets: &Sockets) -> bool {
        let Some(lane) = sockets.lanes().find(|lane| lane.at == at && lane.holder.is_none()) else { return false };
        let Some(key) = lane.key else { return true };
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.can_take(key) {
                break;
            }
            match sockets.accept(at) {
                Ok(Some(connection)) => self.handoff.waiting(key.to_owned(), Rc::new(connection)),
                Ok(None) => break,
                Err(error) => {
                    // The connection still waits: asking again at once would spin.
                    self.accept_again = Some(clock::now() + ACCEPT_PAUSE);
                    self.warnings.push(format!("cannot accept connections: {}", report::reason(&error)));
                    break;
                }
            }
            self.pass_on();
        }
        true
    }

    /// Passes on the connections that wait, each to the worker of its key that has the fewest unanswered.
    pub(super) fn pass_on(&mut self) {
        loop {
            let workers = &self.workers;
            let takes = |id: WorkerId, key: &str| workers.get(&id).is_some_and(|w| w.takes(key));
            let Some((id, next)) = self.handoff.next(clock::now(), takes, workers.keys()) else { return };
            let channel = self.workers.get_mut(&id).and_then(|w| w.channel.as_mut());
            let message = Outgoing::NewConn { key: &next.key, connection: &next.connection };
            let seq = channel.and_then(|channel| channel.send(&message));
            self.handoff.passed(id, seq, next);
        }
    }

    /// When `settle` is due.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.accept_again.into_iter().chain(self.handoff.deadline()).min()
    }

    /// Does what was put off and is due at `now`.
    pub(crate) fn settle(&mut self, now: Mono) {
        self.accept_again = self.accept_again.filter(|at| *at > now);
        self.pass_on();
    }
}

impl Worker {
    pub(super) fn takes(&self, key: &str) -> bool {
        (self.in_service || self.leaves.is_some()) && self.channel.is_some() && self.open.contains(key)
    }
}
