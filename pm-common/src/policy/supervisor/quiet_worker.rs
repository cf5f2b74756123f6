//! Workers of which nothing tells yet whether they serve: how long each is waited for, and what settles it.
//!
//! One that is quiet is ready by being alive, which is a guess; one at work is looked at again. Of one that tells nothing of
//! itself the guess is settled once it has lived for a while and rests; whoever has not listened by the end of the ready
//! timeout serves nobody. Where the worker before it served nobody, none of this is asked.
//!
//! The times themselves are those of `policy::worker::ReadyRule`; whether one is at work, `supervise::at_work` looks.

use super::super::worker::{Loads, half};
use super::{Action, Due, Life, Machine, Mono, ReadyBy, Span, Worker, WorkerId};

/// A worker is looked at again after this part of its age: seldom, where it takes long.
const PART_OF_AGE: u64 = 32;
/// One that is ready because it lives is looked at less often, after this part of its age.
const PART_OF_LIFE: u64 = 4;
/// Who has done next to nothing for so long rests.
pub(super) const REST: Span = Span::secs(1);

impl Machine {
    /// The time that a program takes to load says nothing about what it is going to do. One that never says that it is
    /// loaded (it computes, or has taken the channel away) serves nobody after the ready timeout.
    pub(super) fn on_boots(&mut self, _: Mono, id: WorkerId) {
        let rule = self.shape.ready;
        if let Some(worker) = self.worker(id) {
            worker.boots = true;
            worker.idle_at = rule.idle_at(worker.started, false);
            let until = worker.idle_at;
            put_off(worker, until);
        }
    }

    pub(super) fn on_booted(&mut self, now: Mono, id: WorkerId, loads: Loads, out: &mut Vec<Action>) {
        if let Some(worker) = self.worker(id) {
            worker.boots = false;
            worker.up = worker.up.map(|_| now);
        }
        self.expect(now, id, loads);
        self.settle_by_loads(now, id, loads, out);
        self.hold(now, id, out);
    }

    /// Takes note of what a worker can do, which it may say again as it loads more: where that is what the one before it
    /// could which served nobody, no more is expected. What can serve now, and was taken for one that serves nobody, has
    /// until the end of the ready timeout to listen.
    fn expect(&mut self, now: Mono, id: WorkerId, loads: Loads) {
        let rule = self.shape.ready;
        let (Some(_), Some((slot, role))) = (rule.alive_after, self.find(id)) else { return };
        let expected = slot.expects_nothing_of(loads);
        let Some(worker) = slot.worker_mut(role) else { return };
        worker.loads = loads;
        let idle_at = rule.idle_at(worker.started, expected);
        worker.idle_at = if expected { idle_at.max(now) } else { idle_at };
        if loads != Loads::Server || expected || worker.idle_at <= now {
            return;
        }
        match &mut worker.life {
            Life::Ready { by: by @ ReadyBy::Idle, .. } => *by = ReadyBy::Alive,
            life @ Life::Soaking { by: ReadyBy::Idle, .. } => *life = Life::Starting(Due::Alive(now)),
            _ => {}
        }
    }

    fn settle_by_loads(&mut self, now: Mono, id: WorkerId, loads: Loads, out: &mut Vec<Action>) {
        let rule = self.shape.ready;
        let (Some(alive_after), Some(worker)) = (rule.alive_after, self.worker(id)) else { return };
        let waits = matches!(worker.life, Life::Starting(Due::Alive(_))) && !worker.is_refused();
        match loads {
            Loads::Nothing if waits && worker.listening.is_empty() => self.became_ready(now, id, ReadyBy::Idle, out),
            Loads::Nothing => {
                if let Life::Ready { by: ReadyBy::Alive, .. } = worker.life {
                    self.serves_nobody(id);
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
        self.expect(now, id, Loads::Server);
        let Some(worker) = self.worker(id) else { return };
        let latest = worker.idle_at;
        if let Life::Starting(Due::Alive(at)) = &mut worker.life {
            *at = (*at).max(latest.min(now + alive_after));
        }
    }

    /// The time of a worker that may yet listen has come: it is looked at, and looked at again, to the end of that time. A
    /// roll waits for it no longer than a start does: the one before it does not listen either.
    pub(super) fn look_or_settle(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let (rule, awaited) = (self.shape.ready, self.awaits(id));
        let alive_after = rule.alive_after.unwrap_or_default();
        let Some(worker) = self.worker(id) else { return };
        let age = now.since(worker.started);
        match worker.idle_at <= now {
            true if worker.is_refused() => return self.not_ready_in_time(now, id, age, out),
            true => return self.became_ready(now, id, ReadyBy::Idle, out),
            false if awaited && age >= rule.start_waits() && !worker.is_refused() => {
                return self.became_ready(now, id, ReadyBy::Alive, out);
            }
            false => {}
        }
        let pause = half(alive_after).max(Span(age.0 / PART_OF_AGE));
        let next = now + pause;
        put_off(worker, next);
        out.push(Action::Look(id));
    }

    pub(super) fn on_looked(&mut self, now: Mono, id: WorkerId, busy: bool, out: &mut Vec<Action>) {
        let rest_after = self.shape.ready.rest_after;
        let Some(worker) = self.worker(id).filter(|_| !busy) else { return };
        let after = now.since(worker.started);
        match worker.life {
            Life::Starting(Due::Alive(_)) if worker.is_refused() => self.not_ready_in_time(now, id, after, out),
            Life::Starting(Due::Alive(_)) => self.became_ready(now, id, ReadyBy::Alive, out),
            Life::Ready { by: ReadyBy::Alive, .. } if after >= rest_after => self.serves_nobody(id),
            _ => {}
        }
    }

    /// The time of a worker has come that is ready because it lives: it serves nobody if it was up for the whole ready
    /// timeout and listened on nothing, or if it tells nothing of itself and is found to rest.
    pub(super) fn settle_if_due(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let Some(worker) = self.worker(id).filter(|worker| !worker.supervises) else { return };
        if worker.idle_at <= now {
            self.serves_nobody(id);
        } else if worker.settles_at() <= now {
            worker.rest_at = now + REST.max(Span(now.since(worker.started).0 / PART_OF_LIFE));
            out.push(Action::Look(id));
        }
    }

    /// What a new slot is expected to serve: nobody, where every other one is known to serve nobody.
    pub(super) fn shared_quiet(&self) -> Option<Loads> {
        let known = self.slots.iter().filter(|slot| !slot.leaving).map(|slot| slot.quiet);
        known
            .reduce(|one, other| one.zip(other).map(|(one, other)| if other == Loads::Server { other } else { one }))?
    }

    fn serves_nobody(&mut self, id: WorkerId) {
        if let Some((slot, role)) = self.find(id) {
            let Some(worker) = slot.worker_mut(role) else { return };
            if let Life::Ready { by, .. } = &mut worker.life {
                *by = ReadyBy::Idle;
                let loads = worker.loads;
                slot.is_quiet(loads);
            }
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
