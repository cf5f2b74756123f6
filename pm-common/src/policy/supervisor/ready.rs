//! When a worker is ready: what it says, what it listens on, that it lives; and what it gets then.

use super::listens::not_ready;
use super::stops::begin_drain;
use super::{Action, Due, Life, Mono, ReadyBy, Record, Role, Span, Supervisor, Why, Worker, WorkerId, as_slot};

impl Supervisor {
    pub(super) fn on_said_ready(&mut self, now: Mono, id: WorkerId, by: ReadyBy, out: &mut Vec<Action>) {
        let asked = self.shape.ready.evidence;
        let Some(worker) = self.worker(id) else { return };
        let counts = by == ReadyBy::Notify || by == asked;
        match &mut worker.life {
            Life::Starting(_) if counts => self.became_ready(now, id, by, out),
            Life::Ready { by: shown, .. } | Life::Soaking { by: shown, .. } if counts => *shown = by,
            _ => {}
        }
    }

    pub(super) fn became_ready(&mut self, now: Mono, id: WorkerId, by: ReadyBy, out: &mut Vec<Action>) {
        let until = now + self.shape.roll.soak;
        let Some((slot, role)) = self.find(id) else { return };
        let Some(worker) = slot.worker_mut(role).cloned() else { return };
        if !self.must_soak(role, &worker) {
            self.serves(now, id, by, out);
        } else if let Some(worker) = self.worker(id) {
            worker.life = Life::Soaking { since: now, until, by };
        }
    }

    /// It gets its connections, and the seat.
    pub(super) fn serves(&mut self, now: Mono, id: WorkerId, by: ReadyBy, out: &mut Vec<Action>) {
        self.ever_ready = true;
        let Some((slot, role)) = self.find(id) else { return };
        (slot.was_ready, slot.refused) = (true, None);
        let Some(worker) = slot.worker_mut(role) else { return };
        let before = worker.clone();
        let by = if by == ReadyBy::Alive && before.idle_at <= now { ReadyBy::Idle } else { by };
        *worker = Worker { life: Life::Ready { since: now, by }, was_ready: true, trial: false, ..before.clone() };
        let awaited = self.is_awaited(id.slot, &before);
        if by == ReadyBy::Listen {
            self.compare(id.slot, &before);
        }
        if awaited {
            self.trial_passed(out);
        }
        out.push(Action::SteerIn(id));
        if role == Role::Successor {
            self.promote(now, id.slot, awaited, out);
        }
        if awaited {
            self.end_slot(id.slot);
        } else {
            // It may have had the seat already, because the one that it replaces ended first.
            self.replacing.remove(&id.slot);
        }
    }

    pub(super) fn on_supervises(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        if let Some(worker) = self.worker(id) {
            worker.supervises = true;
            if let Life::Starting(due) = &mut worker.life {
                *due = Due::Said;
            }
        }
        self.hand_delay_down(now, id, out);
    }

    pub(super) fn on_supervises_no_more(&mut self, now: Mono, id: WorkerId) {
        let rule = self.shape.ready.clone();
        if let Some(worker) = self.worker(id) {
            worker.supervises = false;
            worker.idle_at = now + rule.longest();
            if let Life::Starting(due @ Due::Said) = &mut worker.life {
                *due = rule.due(now, false);
            }
        }
    }

    /// Only where listening is asked for, or a check: one that sends a sign of its own knows what it can do without.
    pub(super) fn on_refused(&mut self, id: WorkerId, what: String) {
        let listens = self.asks_listen();
        let asks = listens || self.shape.ready.evidence == ReadyBy::Health;
        let Some(worker) = self.worker(id).filter(|w| asks && matches!(w.life, Life::Starting(_))) else { return };
        worker.refused = Some(what.clone());
        if let Some(slot) = self.slot_mut(id.slot).filter(|_| listens) {
            slot.refused = Some(what);
        }
    }

    pub(super) fn not_ready_in_time(&mut self, now: Mono, id: WorkerId, after: Span, out: &mut Vec<Action>) {
        let (end, asked) = (self.ending(now, Why::NotReady), self.shape.ready.evidence);
        let Some((slot, role)) = self.find(id) else { return };
        let Some(worker) = slot.worker_mut(role).cloned() else { return };
        // Where another sign was asked for, no address was waited for.
        let missing = if self.asks_listen() { self.missing(id.slot, &worker) } else { Vec::new() };
        if self.takes_as_it_is(id.slot, role, &worker, &missing) {
            self.accept(now, id, missing, out);
            return;
        }
        let Some(worker) = self.worker(id) else { return };
        begin_drain(id.slot, worker, end, out);
        let worker = worker.clone();
        // One that is up may have had less time.
        let after = after.min(now.since(worker.started));
        if self.is_awaited(id.slot, &worker) {
            self.abort_roll(now, id.slot, not_ready(asked, &worker, after, &missing), out);
        } else {
            let refused = worker.refused;
            out.push(Action::Say(Record::NotReady { id, after, asked, missing, refused }));
        }
    }

    /// Workers whose time has come: looked at, ready, or failed for want of proof.
    pub(super) fn starts_due(&mut self, now: Mono, number: usize, out: &mut Vec<Action>) {
        let Some(slot) = self.slots.get(number) else { return };
        let starting: Vec<(u64, Life)> = slot.workers().map(|w| (w.generation, w.life.clone())).collect();
        let timeout = self.shape.ready.timeout;
        for (generation, life) in starting {
            let id = WorkerId { slot: as_slot(number), generation };
            match life {
                Life::Starting(Due::Alive(at)) if at <= now => self.look_or_settle(now, id, out),
                Life::Starting(Due::Proof(at)) if at <= now => self.not_ready_in_time(now, id, timeout, out),
                Life::Soaking { until, by, .. } if until <= now => self.has_soaked(now, id, by, out),
                Life::Ready { by: ReadyBy::Alive, .. } => self.settle_if_due(now, id),
                _ => {}
            }
        }
    }
}
