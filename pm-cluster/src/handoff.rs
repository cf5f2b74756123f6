//! Connections that we accepted and pass on to workers (`newconn`): each is ours until a worker says that it has it.

use std::collections::{BTreeMap, VecDeque};

use pm_common::policy::WorkerId;
use pm_common::sys::socket;

use crate::node::Connection;

/// Unanswered connections of one worker: beyond, it has enough to do and others, or the kernel's queue, take more.
const MOST_UNANSWERED: usize = 16;

/// A connection for the workers that listen on this key.
#[derive(Debug)]
struct Pending {
    key: String,
    connection: Connection,
}

/// The connections on their way.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    waiting: VecDeque<Pending>,
    /// By worker and the number of the message that carried it.
    unanswered: BTreeMap<(WorkerId, u64), Pending>,
    /// The worker that got the last one: the next goes to another, if it has no fewer.
    last: Option<WorkerId>,
}

impl Handoff {
    /// A connection that somebody shall get.
    pub(crate) fn waiting(&mut self, key: String, connection: Connection) {
        self.waiting.push_back(Pending { key, connection });
    }

    fn unanswered_of(&self, id: WorkerId) -> usize {
        self.unanswered.range((id, 0)..=(id, u64::MAX)).count()
    }

    /// Whether this worker may get one more.
    pub(crate) fn has_room(&self, id: WorkerId) -> bool {
        self.unanswered_of(id) < MOST_UNANSWERED
    }

    /// The next connection that a worker can take, and that worker: the one with the fewest unanswered, in turn.
    pub(crate) fn next<'a>(
        &mut self,
        takes: impl Fn(WorkerId, &str) -> bool,
        workers: impl Iterator<Item = &'a WorkerId>,
    ) -> Option<(WorkerId, String, Connection)> {
        if self.waiting.is_empty() {
            return None;
        }
        let workers: Vec<WorkerId> = workers.copied().filter(|id| self.has_room(*id)).collect();
        for index in 0..self.waiting.len() {
            let key = &self.waiting.get(index)?.key;
            let candidates = workers.iter().copied().filter(|id| takes(*id, key));
            let chosen =
                candidates.min_by_key(|id| (self.unanswered_of(*id), self.last.is_some_and(|last| *id <= last), *id));
            if let Some(id) = chosen {
                let pending = self.waiting.remove(index)?;
                self.last = Some(id);
                return Some((id, pending.key, pending.connection));
            }
        }
        None
    }

    /// It was sent, under this number; without one the channel refused it: it waits again, and false says so.
    pub(crate) fn passed(&mut self, id: WorkerId, seq: Option<u64>, key: String, connection: Connection) -> bool {
        let pending = Pending { key, connection };
        match seq {
            Some(seq) => self.unanswered.insert((id, seq), pending).is_none(),
            None => {
                self.waiting.push_front(pending);
                false
            }
        }
    }

    /// The worker took it, or wants it not: then another gets it.
    pub(crate) fn answered(&mut self, id: WorkerId, seq: u64, accepted: bool) {
        if let Some(pending) = self.unanswered.remove(&(id, seq)).filter(|_| !accepted) {
            self.waiting.push_back(pending);
        }
    }

    /// The worker is gone: what it did not answer goes to others, unless it has read from it already.
    pub(crate) fn gone(&mut self, id: WorkerId) {
        let keys: Vec<(WorkerId, u64)> = self.unanswered.range((id, 0)..=(id, u64::MAX)).map(|(k, _)| *k).collect();
        for key in keys {
            let pending =
                self.unanswered.remove(&key).filter(|p| socket::nothing_read(&*p.connection).unwrap_or(false));
            self.waiting.extend(pending);
        }
    }
}
