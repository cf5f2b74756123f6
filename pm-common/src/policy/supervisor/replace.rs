//! Replacing workers: memory, lag, readiness in time, reloads, scaling.

use super::super::lag::Stall;
use super::super::record::{Next, Record};
use super::super::rules::Intensity;
use super::super::worker::{Due, ReadyBy};
use super::listens::not_ready;
use super::roll::trial_ended;
use super::stops::{begin_drain, drain_slot};
use super::{
    Action, Exit, Goal, Last, Life, MOST_WORKERS, Mono, Place, Release, Replacement, Request, Seat, Slot, Span,
    Supervisor, Why, Worker, WorkerId, as_slot,
};

impl Supervisor {
    /// Whether a worker's memory is ours to watch: a supervisor below watches its own.
    fn is_measured(worker: &Worker) -> bool {
        worker.is_wanted() && !worker.supervises
    }

    pub(super) fn memory_deadline(&self) -> Option<Mono> {
        let any = self.slots.iter().flat_map(Slot::workers).any(Self::is_measured);
        self.memory_at.filter(|_| any && self.goal == Goal::Run)
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
        let (overlap, end) = (self.shape.overlap, self.ending(now, Why::Memory));
        self.note_unfit(now, id, Why::Memory, Record::OverMemory { id, bytes, limit }, out);
        let Some((slot, place)) = self.find(id) else { return };
        let not_before = slot.not_before;
        let Some(worker) = slot.worker_mut(place) else { return };
        match worker.life {
            Life::Ready { .. } if overlap => {
                if now >= not_before {
                    self.enqueue(id, false);
                }
            }
            // It serves nobody that another would miss: end it, then start anew.
            Life::Ready { .. } | Life::Starting(_) | Life::Soaking { .. } => {
                let failed = worker.clone();
                begin_drain(id.slot, worker, end, out);
                if self.is_awaited(id.slot, &failed) {
                    let reason = format!("the new worker is over the memory limit bytes={bytes} limit={limit}");
                    self.abort_roll(now, id.slot, reason, out);
                }
            }
            Life::Draining { .. } | Life::Killing { .. } => {}
        }
    }

    /// Only a worker that serves beside others can be replaced while it hangs, so only those are judged; one that starts
    /// has its time to be ready, and one on its way out its grace.
    pub(super) fn on_lag(&mut self, now: Mono, id: WorkerId, how: Stall, after: Span, out: &mut Vec<Action>) {
        let Some(limit) = self.rules.max_lag.filter(|limit| after >= *limit && self.shape.overlap) else { return };
        if !self.worker(id).is_some_and(|worker| worker.is_ready()) {
            return;
        }
        self.note_unfit(now, id, Why::Lag, Record::OverLag { id, how, after, limit }, out);
        if self.find(id).is_some_and(|(slot, _)| now >= slot.not_before) {
            self.enqueue(id, true);
        }
    }

    /// Counts a worker that is found over a limit for the first time: within the stable time that is a failed start.
    fn note_unfit(&mut self, now: Mono, id: WorkerId, why: Why, record: Record, out: &mut Vec<Action>) {
        let random = self.next_random();
        let rules = self.rules.clone();
        let Some((slot, place)) = self.find(id) else { return };
        let Some(worker) = slot.worker_mut(place).filter(|w| w.unfit.is_none() && w.is_wanted()) else { return };
        worker.unfit = Some(why);
        let (quick, was_ready) = (now.since(worker.started) < rules.stable, worker.was_ready);
        let trial = worker.trial;
        out.push(Action::Say(record));
        if place == Place::Seat && !trial {
            slot.failures = if quick { slot.failures.saturating_add(1) } else { 0 };
            slot.not_before = now + rules.delay(slot.failures, was_ready, random);
        }
    }

    fn enqueue(&mut self, id: WorkerId, hangs: bool) {
        let WorkerId { slot, generation: upto } = id;
        if let Some(known) = self.queue.iter_mut().find(|r| r.slot == slot) {
            known.upto = known.upto.max(upto);
            known.hangs |= hangs;
        } else if !self.replacing.contains_key(&slot) {
            self.queue.push_back(Replacement { slot, upto, hangs });
        }
    }

    /// Those that serve are replaced one at a time, and not during a roll, which replaces them too. One that hangs waits
    /// for neither, but where the roll's new worker starts in its slot already.
    fn may_replace(&self, replacement: &Replacement) -> bool {
        let Replacement { slot, hangs, .. } = replacement;
        let its_turn = match &self.rolls.now {
            Some(roll) => *hangs && !roll.under_way.contains(slot),
            None => *hangs || self.replacing.is_empty(),
        };
        its_turn && !self.replacing.contains_key(slot) && self.is_decidable(replacement)
    }

    /// Whether a replacement can be made, or has become needless; else its slot must first have a ready worker.
    fn is_decidable(&self, replacement: &Replacement) -> bool {
        let slot = usize::try_from(replacement.slot).ok().and_then(|n| self.slots.get(n));
        slot.is_none_or(|slot| match &slot.seat {
            Seat::Taken(worker) => worker.is_ready(),
            Seat::Backoff { .. } => false,
            Seat::Down { .. } | Seat::Failed { .. } => true,
        })
    }

    /// Starts the replacements whose turn it is, each beside the worker that it replaces.
    pub(super) fn next_replacement(&mut self, now: Mono, out: &mut Vec<Action>) {
        while self.goal == Goal::Run {
            let Some(index) = self.queue.iter().position(|r| self.may_replace(r)) else { return };
            let Some(Replacement { slot: number, upto, hangs }) = self.queue.remove(index) else { return };
            let rule = self.shape.ready.clone();
            let came_with = self.rolls.current;
            let Some((slot, _)) = self.slot(number) else { continue };
            // A slot whose worker has ended meanwhile has a new one anyway.
            let Some(incumbent) = slot.incumbent().filter(|w| w.generation <= upto).cloned() else { continue };
            self.learn(number, &incumbent);
            let Some((slot, _)) = self.slot(number) else { continue };
            let worker = slot.next_worker(now, &rule, came_with);
            let id = WorkerId { slot: number, generation: worker.generation };
            out.push(Action::Spawn { id, release: Release::Current });
            slot.successor = Some(worker);
            self.replacing.insert(number, hangs);
        }
    }

    /// A roll begins: it replaces those workers too. One that hangs is not left to a release that may be no good.
    pub(super) fn cancel_replacements(&mut self, now: Mono, out: &mut Vec<Action>) {
        let serve: Vec<u32> = self.replacing.iter().filter(|(_, hangs)| !**hangs).map(|(slot, _)| *slot).collect();
        for number in serve {
            self.cancel_replacement(now, number, out);
        }
    }

    /// The roll's new worker takes the place of the one that was to replace the slot's.
    pub(super) fn cancel_replacement(&mut self, now: Mono, number: u32, out: &mut Vec<Action>) {
        let end = self.ending(now, Why::Reload);
        self.replacing.remove(&number);
        let Some((slot, _)) = self.slot(number) else { return };
        if let Some(mut worker) = slot.successor.take() {
            begin_drain(number, &mut worker, end, out);
            slot.retiring.push(worker);
        }
    }

    /// The successor is ready: it takes the seat, the old worker goes.
    pub(super) fn promote(&mut self, now: Mono, number: u32, rolled: bool, out: &mut Vec<Action>) {
        let mut end = self.ending(now, Why::Reload);
        // What was asked for is done, also by one that began before the worker that it replaces.
        self.queue.retain(|r| r.slot != number);
        let Some((slot, _)) = self.slot(number) else { return };
        if !rolled {
            end.why = slot.incumbent().and_then(|old| old.unfit).unwrap_or(Why::Memory);
        }
        let Some(successor) = slot.successor.take() else { return };
        slot.restarts += 1;
        if rolled {
            // A new release has not failed yet.
            slot.failures = 0;
            slot.intensity = Intensity::default();
            slot.not_before = now;
        } else {
            let id = WorkerId { slot: number, generation: successor.generation };
            out.push(Action::Say(Record::Replaced { id, why: end.why }));
        }
        if let Seat::Taken(mut old) = std::mem::replace(&mut slot.seat, Seat::of(successor)) {
            // Why there is another in the seat is known now; how the old one ends, when it has.
            slot.last = Some(Last { exit: None, why: end.why, at: now });
            begin_drain(number, &mut old, end, out);
            slot.retiring.push(old);
        }
    }

    /// A successor ended before it was ready: the old worker stays.
    pub(super) fn successor_failed(
        &mut self,
        now: Mono,
        id: WorkerId,
        worker: &Worker,
        exit: Exit,
        why: Why,
        out: &mut Vec<Action>,
    ) {
        if self.goal != Goal::Run {
            return;
        }
        // A broken new release never spends the budget of the old one.
        if worker.trial {
            self.abort_roll(now, id.slot, trial_ended(worker, exit, why), out);
            return;
        }
        self.replacing.remove(&id.slot);
        let random = self.next_random();
        let rules = self.rules.clone();
        let Some((slot, _)) = self.slot(id.slot) else { return };
        slot.failures = slot.failures.saturating_add(1);
        let delay = rules.delay(slot.failures, worker.was_ready, random);
        slot.not_before = now + delay;
        out.push(Action::Say(Record::Ended { id, exit, why, next: Next::Restart(delay) }));
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

    /// Only where listening is asked for, or a check: one that sends a sign of its own knows what it can do without.
    pub(super) fn on_refused(&mut self, id: WorkerId, what: String) {
        let asks = matches!(self.shape.ready.evidence, ReadyBy::Listen | ReadyBy::Health);
        if let Some(worker) = self.worker(id).filter(|w| asks && matches!(w.life, Life::Starting(_))) {
            worker.refused = Some(what);
        }
    }

    pub(super) fn not_ready_in_time(&mut self, now: Mono, id: WorkerId, after: Span, out: &mut Vec<Action>) {
        let end = self.ending(now, Why::NotReady);
        let Some((slot, place)) = self.find(id) else { return };
        let Some(worker) = slot.worker_mut(place).cloned() else { return };
        // Where another sign was asked for, no address was waited for.
        let missing = if self.asks_listen() { self.missing(id.slot, &worker) } else { Vec::new() };
        if self.takes_as_it_is(id.slot, place, &worker, &missing) {
            self.accept(now, id, missing, out);
            return;
        }
        let Some(worker) = self.worker(id) else { return };
        begin_drain(id.slot, worker, end, out);
        let worker = worker.clone();
        // One that is up may have had less time.
        let after = after.min(now.since(worker.started));
        if self.is_awaited(id.slot, &worker) {
            self.abort_roll(now, id.slot, not_ready(&worker, after, &missing), out);
        } else {
            let refused = worker.refused;
            out.push(Action::Say(Record::NotReady { id, after, missing, refused }));
        }
    }

    pub(super) fn on_asked(&mut self, now: Mono, request: Request, out: &mut Vec<Action>) {
        if self.goal != Goal::Run || self.delays_stop() {
            return;
        }
        let below = self.slots.first().and_then(Slot::incumbent).filter(|w| w.supervises && w.is_wanted());
        if let Some(worker) = below {
            out.push(Action::Forward(WorkerId { slot: 0, generation: worker.generation }, request));
            return;
        }
        match request {
            Request::Reload => self.request_roll(),
            Request::More | Request::Fewer if !self.shape.overlap => {
                out.push(Action::Say(Record::ScaleLimit { workers: self.wanted }));
            }
            // A roll counts its slots: they stay as they are until its end.
            Request::More if self.rolls.now.is_some() => self.put_off_scale(1),
            Request::Fewer if self.rolls.now.is_some() => self.put_off_scale(-1),
            Request::More => self.scale_up(now, out),
            Request::Fewer => self.scale_down(now, out),
        }
    }

    fn put_off_scale(&mut self, by: i32) {
        let most = i32::try_from(MOST_WORKERS).unwrap_or(i32::MAX);
        self.rolls.scale = (self.rolls.scale + by).clamp(-most, most);
    }

    /// Does what was asked for during a roll, up to the limits.
    pub(super) fn scale_put_off(&mut self, now: Mono, out: &mut Vec<Action>) {
        let scale = std::mem::take(&mut self.rolls.scale);
        for _ in 0..scale.unsigned_abs() {
            let before = self.wanted;
            match scale > 0 {
                true => self.scale_up(now, out),
                false => self.scale_down(now, out),
            }
            if self.wanted == before {
                return;
            }
        }
    }

    fn scale_up(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.wanted >= MOST_WORKERS {
            out.push(Action::Say(Record::ScaleLimit { workers: self.wanted }));
            return;
        }
        let shared = self.shared_baseline();
        let index = usize::try_from(self.wanted).unwrap_or(usize::MAX);
        self.wanted += 1;
        match self.slots.get_mut(index) {
            Some(slot) => {
                slot.leaving = false;
                // Its last worker may still be draining out of the seat: that one retires.
                let old = std::mem::replace(&mut slot.seat, Seat::Backoff { since: now, until: now });
                if let Seat::Taken(worker) = old {
                    slot.retiring.push(worker.clone());
                    self.learn(self.wanted - 1, &worker);
                }
            }
            None => {
                let generation = self.gone_generations.get(index).copied().unwrap_or_default();
                self.slots.push(Slot { generation, ..Slot::new(now, shared) });
            }
        }
    }

    fn scale_down(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.wanted <= 1 {
            out.push(Action::Say(Record::ScaleLimit { workers: self.wanted }));
            return;
        }
        self.wanted -= 1;
        let (number, end) = (self.wanted, self.ending(now, Why::Scale));
        self.queue.retain(|r| r.slot != number);
        self.replacing.remove(&number);
        if let Some((slot, _)) = self.slot(number) {
            slot.leaving = true;
            drain_slot(number, slot, end, out);
            // It succeeds nobody any more: its end must not be taken for that of a replacement.
            slot.retiring.extend(slot.successor.take());
        }
    }
}
