//! Workers of which nothing tells yet whether they serve: how long each is waited for, and what settles it.
//!
//! One that is quiet is ready by being alive, which is a guess; one at work is looked at again. Whoever has not listened by
//! the end of the ready timeout serves nobody.

use super::super::worker::{Loads, half};
use super::{Action, Due, Life, Mono, ReadyBy, Span, Supervisor, Worker, WorkerId};

/// A worker is looked at again after this part of its age: seldom, where it takes long.
const PART_OF_AGE: u64 = 32;

impl Supervisor {
    /// The time that a program takes to load says nothing about what it is going to do. One that never says that it is
    /// loaded (it computes, or has taken the channel away) serves nobody after the ready timeout.
    pub(super) fn on_boots(&mut self, _: Mono, id: WorkerId) {
        if let Some(worker) = self.worker(id) {
            worker.boots = true;
            let until = worker.idle_at;
            put_off(worker, until);
        }
    }

    pub(super) fn on_booted(&mut self, now: Mono, id: WorkerId, loads: Loads, out: &mut Vec<Action>) {
        if let Some(worker) = self.worker(id) {
            worker.boots = false;
            worker.up = worker.up.map(|_| now);
        }
        self.settle_by_loads(now, id, loads, out);
        self.hold(now, id, out);
    }

    fn settle_by_loads(&mut self, now: Mono, id: WorkerId, loads: Loads, out: &mut Vec<Action>) {
        let rule = self.shape.ready;
        let (Some(alive_after), Some(worker)) = (rule.alive_after, self.worker(id)) else { return };
        let waits = matches!(worker.life, Life::Starting(Due::Alive(_))) && !worker.is_refused();
        match loads {
            Loads::Nothing if waits && worker.listening.is_empty() => self.became_ready(now, id, ReadyBy::Idle, out),
            Loads::Nothing => {
                if let Life::Ready { by: by @ ReadyBy::Alive, .. } = &mut worker.life {
                    *by = ReadyBy::Idle;
                }
            }
            // The last of two looks is at the end of the time.
            Loads::Server => {
                let until = now + Span(rule.listen_time.0.saturating_sub(half(alive_after).0)).max(half(alive_after));
                put_off(worker, until);
            }
            Loads::Unknown => put_off(worker, now + half(alive_after)),
        }
    }

    /// Gives a worker that binds a port time to listen; one that binds for ever serves nobody after the ready timeout.
    pub(super) fn on_binds(&mut self, now: Mono, id: WorkerId) {
        let Some(alive_after) = self.shape.ready.alive_after else { return };
        let Some(worker) = self.worker(id) else { return };
        let latest = worker.idle_at;
        if let Life::Starting(Due::Alive(at)) = &mut worker.life {
            *at = (*at).max(latest.min(now + alive_after));
        }
    }

    /// The time of a worker that may yet listen has come: it is looked at, and looked at again, to the end of that time.
    pub(super) fn look_or_settle(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let (alive_after, longest) = (self.shape.ready.alive_after.unwrap_or_default(), self.shape.ready.longest());
        let Some(worker) = self.worker(id) else { return };
        match worker.idle_at <= now {
            true if worker.is_refused() => return self.not_ready_in_time(now, id, longest, out),
            true => return self.became_ready(now, id, ReadyBy::Idle, out),
            false => {}
        }
        let pause = half(alive_after).max(Span(now.since(worker.started).0 / PART_OF_AGE));
        let next = now + pause;
        put_off(worker, next);
        out.push(Action::Look(id));
    }

    pub(super) fn on_looked(&mut self, now: Mono, id: WorkerId, busy: bool, out: &mut Vec<Action>) {
        let Some(worker) = self.worker(id) else { return };
        if busy || !matches!(worker.life, Life::Starting(Due::Alive(_))) {
            return;
        }
        if worker.is_refused() {
            let after = now.since(worker.started);
            self.not_ready_in_time(now, id, after, out);
        } else {
            self.became_ready(now, id, ReadyBy::Alive, out);
        }
    }

    /// Settles that a worker serves nobody which was up for the whole ready timeout, and listened on nothing.
    pub(super) fn settle_if_due(&mut self, now: Mono, id: WorkerId) {
        let Some(worker) = self.worker(id).filter(|worker| worker.idle_at <= now && !worker.supervises) else { return };
        if let Life::Ready { by, .. } = &mut worker.life {
            *by = ReadyBy::Idle;
        }
    }
}

/// Puts off the decision about a worker, but not beyond the ready timeout.
fn put_off(worker: &mut Worker, until: Mono) {
    let latest = worker.idle_at;
    if let Life::Starting(Due::Alive(at)) = &mut worker.life {
        *at = until.min(latest);
    }
}
