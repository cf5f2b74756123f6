//! When a worker is ready: what it says, what it listens on, that it lives; and what it gets then.
//!
//! What its listens come to is in `listens` (`hold`), who listens on nothing (yet) in `quiet_worker`; the times are those of `ReadyRule`
//! (`policy::worker`). A health check (`care::health` of pm-cluster) is one more question before it.
//! Which of it a list calls `online`, pm-stat's `state_words` says.

use super::quiet_worker::REST;
use super::roll::AbortReason;
use super::stopping::begin_drain;
use super::{Action, Due, Life, Machine, Mono, Proof, ReadyBy, Record, Role, Slot, Span, Why, WorkerId, as_slot};

impl Machine {
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
        let soaks = self.soaks_until(now, id, by);
        match (soaks, self.worker(id)) {
            (Some(until), Some(worker)) => worker.life = Life::Soaking { since: now, until, by },
            _ => self.serves(now, id, by, out),
        }
    }

    /// Ends the soak of a worker: it serves, if it still listens where it must.
    fn has_soaked(&mut self, now: Mono, id: WorkerId, by: ReadyBy, out: &mut Vec<Action>) {
        let Some((slot, worker)) = self.known(id) else { return };
        let (closed, no_more) = (slot.missing(worker), worker.accepted && worker.up.is_none());
        if by == ReadyBy::Listen && (!closed.is_empty() || no_more) {
            let end = self.ending(now, Why::NotReady);
            if let Some(worker) =
                self.slot_mut(id.slot).and_then(Slot::incumbent_mut).filter(|w| w.generation == id.generation)
            {
                begin_drain(id.slot, worker, end, out);
            }
            self.abort_roll(now, id.slot, AbortReason::ClosedInSoak(closed), out);
        } else {
            self.serves(now, id, by, out);
        }
    }

    /// Lets a worker serve: it gets its connections, and the seat.
    pub(super) fn serves(&mut self, now: Mono, id: WorkerId, by: ReadyBy, out: &mut Vec<Action>) {
        let (awaited, rest_after) = (self.awaits(id), self.shape.ready.rest_after);
        let Some((slot, role)) = self.find(id) else { return };
        (slot.was_ready, slot.refused) = (true, None);
        let Some(worker) = slot.worker_mut(role) else { return };
        let by = if by == ReadyBy::Alive && worker.idle_at <= now { ReadyBy::Idle } else { by };
        worker.life = Life::Ready { since: now, by };
        worker.proof = Proof::WasReady;
        worker.rest_at = (worker.started + Span(rest_after.0.saturating_sub(REST.0))).max(now + REST);
        let loads = worker.loads;
        match by {
            ReadyBy::Idle => slot.is_quiet(loads),
            ReadyBy::Listen => slot.quiet = None,
            ReadyBy::Alive | ReadyBy::Message | ReadyBy::Notify | ReadyBy::Health => {}
        }
        self.ever_ready = true;
        if by == ReadyBy::Listen {
            self.compare(id);
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
        self.hooks_are_below();
        if let Some(worker) = self.worker(id) {
            worker.supervises = true;
            if let Life::Starting(due) = &mut worker.life {
                *due = Due::Said;
            }
        }
        self.hand_delay_down(now, id, out);
    }

    pub(super) fn on_supervises_no_more(&mut self, now: Mono, id: WorkerId) {
        let rule = self.shape.ready;
        if let Some(worker) = self.worker(id) {
            worker.supervises = false;
            worker.idle_at = rule.idle_at(now, false);
            if let Life::Starting(due @ Due::Said) = &mut worker.life {
                *due = rule.due(now, false);
            }
        }
    }

    /// Notes that a worker could not listen, where listening is asked for, or a check: one that sends a sign of its own
    /// knows what it can do without.
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
        // Where another sign was asked for, no address was waited for.
        let missing = if self.asks_listen() { self.missing(id) } else { Vec::new() };
        if self.takes_as_it_is(id, &missing) {
            self.accept(now, id, missing, out);
            return;
        }
        let (awaited, why) = (self.awaits(id), self.goes_on(id));
        let Some(worker) = self.worker(id) else { return };
        // One that is up may have had less time.
        let after = after.min(now.since(worker.started));
        if why.is_some() {
            (worker.life, worker.proof) = (Life::Starting(Due::Said), Proof::None);
        } else {
            begin_drain(id.slot, worker, end, out);
        }
        if awaited {
            let reason = AbortReason::not_ready(asked, worker, after, missing);
            self.abort_roll(now, id.slot, reason, out);
        } else {
            let refused = worker.refused.clone();
            out.push(Action::Say(Record::NotReady { id, after, asked, missing, refused, goes_on: why }));
        }
    }

    /// Workers whose time has come: looked at, ready, or failed for want of proof.
    pub(super) fn look_at_starting(&mut self, now: Mono, number: usize, out: &mut Vec<Action>) {
        let Some(slot) = self.slots.get(number) else { return };
        let starting: Vec<(u64, Life)> = slot.workers().map(|w| (w.generation, w.life)).collect();
        let timeout = self.shape.ready.timeout;
        for (generation, life) in starting {
            let id = WorkerId { slot: as_slot(number), generation };
            match life {
                Life::Starting(Due::Alive(at)) if at <= now => self.look_or_settle(now, id, out),
                Life::Starting(Due::Proof(at)) if at <= now => self.not_ready_in_time(now, id, timeout, out),
                Life::Soaking { until, by, .. } if until <= now => self.has_soaked(now, id, by, out),
                Life::Ready { by: ReadyBy::Alive, .. } => self.settle_if_due(now, id, out),
                _ => {}
            }
        }
    }
}
