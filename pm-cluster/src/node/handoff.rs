//! Connections that we accepted and pass on to workers (`newconn`): each is ours until a worker says that it has it.
//!
//! A worker may refuse (`server.maxConnections`, a listener that it closes): then another is asked. Once all have
//! refused, they are asked again after a pause, or as soon as one of them takes a connection after all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use pm_common::policy::WorkerId;
use pm_common::policy::steering::rendezvous::slot_of;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::socket;

use super::Connection;

/// Unanswered connections of one worker: what a blocked worker was given hangs, while the others, or the kernel's queue,
/// could have had it. With only one, a worker would idle until we have read each answer (a sixth fewer connections).
const MOST_UNANSWERED: usize = 2;
/// Connections of one key that wait for a worker to change its mind: beyond, they wait in the kernel's queue.
const MOST_WAITING: usize = 16;
/// The pause once all workers have refused a connection; doubled each time they all do so again.
const FIRST_PAUSE: Span = Span::millis(50);
/// The longest pause.
const LONGEST_PAUSE: Span = Span::secs(1);

/// A connection for the workers that listen on this key.
#[derive(Debug)]
pub(crate) struct Undelivered {
    /// The key of the listener.
    pub(crate) key: String,
    /// The connection.
    pub(crate) connection: Connection,
    /// Who does not want it, until the next try.
    refused: BTreeSet<WorkerId>,
    /// All have refused it: when to ask them again.
    retry: Option<Mono>,
    /// How long to wait if all refuse it once more.
    pause: Span,
    /// Whose it is, where clients stay with their worker.
    client: Option<IpAddr>,
}

impl Undelivered {
    /// Begins anew once the pause is over.
    fn forgive(&mut self, now: Mono) {
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            self.refused.clear();
        }
    }

    /// Pauses if there is somebody to take it and all have refused.
    fn rest(&mut self, now: Mono, mut takers: impl Iterator<Item = WorkerId>) {
        let Some(first) = takers.next() else { return };
        if self.retry.is_none() && self.refused.contains(&first) && takers.all(|id| self.refused.contains(&id)) {
            self.retry = Some(now + self.pause);
            self.pause = self.pause.doubled().min(LONGEST_PAUSE);
        }
    }
}

/// The connections on their way.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    waiting: VecDeque<Undelivered>,
    /// By worker and the number of the message that carried it.
    unanswered: BTreeMap<(WorkerId, u64), Undelivered>,
    /// The worker that got the last one: the next goes to another, if it has no fewer.
    last: Option<WorkerId>,
    /// The clients of one address stay with one slot.
    sticky: bool,
}

impl Handoff {
    /// No connections yet; `sticky`: the clients of one address stay with one slot.
    pub(crate) fn new(sticky: bool) -> Self {
        Self { sticky, ..Self::default() }
    }

    /// A connection that somebody shall get.
    pub(crate) fn waiting(&mut self, key: String, connection: Connection) {
        let (refused, retry, pause) = (BTreeSet::new(), None, FIRST_PAUSE);
        let client = self.sticky.then(|| client_of(&*connection)).flatten();
        self.waiting.push_back(Undelivered { key, connection, refused, retry, pause, client });
    }

    fn unanswered_of(&self, id: WorkerId) -> usize {
        self.unanswered.range((id, 0)..=(id, u64::MAX)).count()
    }

    /// Whether this worker may get one more.
    pub(crate) fn has_room(&self, id: WorkerId) -> bool {
        self.unanswered_of(id) < MOST_UNANSWERED
    }

    /// Whether one more connection of this key may be accepted: few wait.
    pub(crate) fn wants(&self, key: &str) -> bool {
        self.waiting.iter().filter(|pending| pending.key == key).count() < MOST_WAITING
    }

    /// Whether this worker, which has these keys open, may get another connection, or has not answered for one.
    pub(crate) fn owes(&self, id: WorkerId, keys: &BTreeSet<String>) -> bool {
        self.unanswered_of(id) > 0 || self.waiting.iter().any(|pending| keys.contains(&pending.key))
    }

    /// Lets go of what all have refused.
    pub(crate) fn drop_refused(&mut self) {
        self.waiting.retain(|pending| pending.retry.is_none());
    }

    /// When workers that have refused are to be asked again.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.waiting.iter().filter_map(|pending| pending.retry).min()
    }

    /// The next connection that a worker can take, and that worker: the one with the fewest unanswered, in turn.
    pub(crate) fn next<'a>(
        &mut self,
        now: Mono,
        takes: impl Fn(WorkerId, &str) -> bool,
        workers: impl Iterator<Item = &'a WorkerId>,
    ) -> Option<(WorkerId, Undelivered)> {
        if self.waiting.is_empty() {
            return None;
        }
        let workers: Vec<WorkerId> = workers.copied().collect();
        for index in 0..self.waiting.len() {
            let pending = self.waiting.get_mut(index)?;
            pending.forgive(now);
            let takers: Vec<WorkerId> = workers.iter().copied().filter(|id| takes(*id, &pending.key)).collect();
            pending.rest(now, takers.iter().copied());
            let pending = self.waiting.get(index)?;
            let willing = || takers.iter().copied().filter(|id| !pending.refused.contains(id));
            let home = pending.client.and_then(|client| slot_of(client, willing().map(|id| id.slot)));
            let candidates = willing().filter(|id| home.is_none_or(|slot| slot == id.slot) && self.has_room(*id));
            let chosen =
                candidates.min_by_key(|id| (self.unanswered_of(*id), self.last.is_some_and(|last| *id <= last), *id));
            if let Some(id) = chosen {
                self.last = Some(id);
                return Some((id, self.waiting.remove(index)?));
            }
        }
        None
    }

    /// Notes that a connection was sent under the number `seq`; `None`: the channel refused it, as good as a refusal by
    /// the worker.
    pub(crate) fn passed(&mut self, id: WorkerId, seq: Option<u64>, pending: Undelivered) {
        match seq {
            Some(seq) => drop(self.unanswered.insert((id, seq), pending)),
            None => self.refused(id, pending),
        }
    }

    /// The worker took it, or wants it not: then another gets it.
    pub(crate) fn answered(&mut self, id: WorkerId, seq: u64, accepted: bool) {
        let Some(pending) = self.unanswered.remove(&(id, seq)) else { return };
        if !accepted {
            return self.refused(id, pending);
        }
        // The worker has room again. One is enough to ask for: each that it takes brings the next.
        if let Some(other) = self.waiting.iter_mut().find(|p| p.key == pending.key && p.refused.contains(&id)) {
            other.refused.remove(&id);
            other.retry = None;
        }
    }

    fn refused(&mut self, id: WorkerId, mut pending: Undelivered) {
        pending.refused.insert(id);
        self.waiting.push_back(pending);
    }

    /// The worker is gone: what it did not answer goes to others, unless it has read from it already.
    pub(crate) fn gone(&mut self, id: WorkerId) {
        for pending in &mut self.waiting {
            pending.refused.remove(&id);
        }
        let keys: Vec<(WorkerId, u64)> = self.unanswered.range((id, 0)..=(id, u64::MAX)).map(|(k, _)| *k).collect();
        for key in keys {
            let pending =
                self.unanswered.remove(&key).filter(|p| socket::nothing_read(&*p.connection).unwrap_or(false));
            self.waiting.extend(pending);
        }
    }
}

/// The address of the other end; `None`: it is gone, or has none.
fn client_of(connection: impl AsFd) -> Option<IpAddr> {
    let any = rustix::net::getpeername(connection).ok()??;
    SocketAddr::try_from(any).ok().map(|address| address.ip())
}

#[cfg(test)]
#[path = "handoff_tests.rs"]
mod tests;
