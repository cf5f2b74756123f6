//! Workers over a limit: of memory, of the time that a lane may stand still. What counts to a worker's memory is
//! measured in `supervise::worker_memory`, for `Action::Measure`.

use super::super::lag::Stall;
use super::roll::AbortReason;
use super::stopping::begin_drain;
use super::{Action, Aim, Life, Machine, Mono, Record, Role, Slot, Span, Why, Worker, WorkerId};

impl Machine {
    /// Whether a worker's memory is ours to watch: a supervisor below watches its own.
    pub(super) fn is_measured(worker: &Worker) -> bool {
        worker.is_wanted() && !worker.supervises
    }

    pub(super) fn memory_deadline(&self) -> Option<Mono> {
        let any = self.slots.iter().flat_map(Slot::workers).any(Self::is_measured);
        self.memory_at.filter(|_| any && self.goal == Aim::Run)
    }

    pub(super) fn measure_if_due(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.memory_at.is_none_or(|at| at > now) {
            return;
        }
        self.memory_at = Some(now + self.rules.mem_interval);
        for (number, slot) in (0..).zip(&self.slots) {
            let ids = slot.workers().filter(|w| Self::is_measured(w)).map(|w| w.generation);
            out.extend(ids.map(|generation| Action::Measure(WorkerId { slot: number, generation })));
        }
    }

    pub(super) fn on_memory(&mut self, now: Mono, id: WorkerId, bytes: u64, out: &mut Vec<Action>) {
        let Some(limit) = self.rules.max_mem.filter(|limit| bytes > *limit) else { return };
        // The answer may come after the worker said that it watches its own.
        if self.worker(id).is_none_or(|w| w.supervises) {
            return;
        }
        let (shares, end) = (self.shape.shares, self.ending(now, Why::Memory));
        self.note_unfit(now, id, Why::Memory, Record::OverMemory { id, bytes, limit }, out);
        let awaited = self.awaits(id);
        let Some((slot, role)) = self.find(id) else { return };
        let not_before = slot.not_before;
        let Some(worker) = slot.worker_mut(role) else { return };
        match worker.life {
            Life::Ready { .. } if shares => {
                if now >= not_before {
                    self.enqueue(id, false);
                }
            }
            // It serves nobody that another would miss: end it, then start anew.
            Life::Ready { .. } | Life::Starting(_) | Life::Soaking { .. } => {
                begin_drain(id.slot, worker, end, out);
                if awaited {
                    self.abort_roll(now, id.slot, AbortReason::OverMemory { bytes, limit }, out);
                }
            }
            Life::Draining { .. } | Life::Killing { .. } => {}
        }
    }

    /// Replaces a worker that hangs. Only one that serves beside others can be replaced meanwhile, so only those are
    /// judged; one that starts has its time to be ready, and one on its way out its grace.
    pub(super) fn on_lag(&mut self, now: Mono, id: WorkerId, how: Stall, after: Span, out: &mut Vec<Action>) {
        let Some(limit) = self.rules.max_lag.filter(|limit| after >= *limit && self.shape.shares) else { return };
        if !self.worker(id).is_some_and(|worker| worker.is_ready()) {
            return;
        }
        self.note_unfit(now, id, Why::Lag, Record::OverLag { id, how, after, limit }, out);
        if self.find(id).is_some_and(|(slot, _)| now >= slot.not_before) {
            self.enqueue(id, true);
        }
    }

    /// Counts a worker that is found over a limit for the first time: within the stable time that is a failed start.
    pub(super) fn note_unfit(&mut self, now: Mono, id: WorkerId, why: Why, record: Record, out: &mut Vec<Action>) {
        let random = self.next_random();
        let rules = self.rules.clone();
        let Some((slot, role)) = self.find(id) else { return };
        let Some(worker) = slot.worker_mut(role).filter(|w| w.unfit.is_none() && w.is_wanted()) else { return };
        worker.unfit = Some(why);
        let (quick, was_ready) = (now.since(worker.started) < rules.stable, worker.was_ready());
        let trial = worker.on_trial();
        out.push(Action::Say(record));
        if role == Role::Seat && !trial {
            slot.failures = if quick { slot.failures.saturating_add(1) } else { 0 };
            slot.not_before = now + rules.delay(slot.failures, was_ready, random);
        }
    }
}
