//! Replacing workers: memory, readiness in time, reloads, scaling.

use super::super::record::{Next, Record};
use super::super::rules::Intensity;
use super::super::worker::{Due, ReadyBy};
use super::stops::{begin_drain, drain_slot};
use super::{
    Action, BTreeSet, Exit, Goal, Life, MOST_WORKERS, Mono, Place, Replacement, Request, Seat, Slot, Supervisor, Why,
    Worker, WorkerId, as_slot,
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
        let (overlap, grace) = (self.shape.overlap, self.rules.grace);
        self.note_fat(now, id, bytes, limit, out);
        let Some((slot, place)) = self.find(id) else { return };
        let not_before = slot.not_before;
        let Some(worker) = slot.worker_mut(place) else { return };
        match worker.life {
            Life::Ready { .. } if overlap => {
                if now >= not_before {
                    self.enqueue(id.slot, Why::Memory);
                }
            }
            // It serves nobody that another would miss: end it, then start anew.
            Life::Ready { .. } | Life::Starting(_) => begin_drain(id.slot, worker, now, Why::Memory, grace, out),
            Life::Draining { .. } | Life::Killing { .. } => {}
        }
    }

    /// Counts a worker that is found fat for the first time: within the stable time that is a failed start.
    fn note_fat(&mut self, now: Mono, id: WorkerId, bytes: u64, limit: u64, out: &mut Vec<Action>) {
        let random = self.next_random();
        let rules = self.rules.clone();
        let Some((slot, place)) = self.find(id) else { return };
        let Some(worker) = slot.worker_mut(place).filter(|w| !w.fat && w.is_wanted()) else { return };
        worker.fat = true;
        let (quick, was_ready) = (now.since(worker.started) < rules.stable, worker.was_ready);
        out.push(Action::Say(Record::OverMemory { id, bytes, limit }));
        if place == Place::Seat {
            slot.failures = if quick { slot.failures.saturating_add(1) } else { 0 };
            slot.not_before = now + rules.delay(slot.failures, was_ready, random);
        }
    }

    fn enqueue(&mut self, number: u32, why: Why) {
        let Some((slot, _)) = self.slot(number) else { return };
        let upto = slot.generation;
        if let Some(known) = self.queue.iter_mut().find(|r| r.slot == number) {
            if why == Why::Reload {
                *known = Replacement { slot: number, upto, why };
            }
        // A reload wants more than a replacement that began before it was asked for.
        } else if why == Why::Reload || self.replacing.is_none_or(|(slot, _)| slot != number) {
            self.queue.push_back(Replacement { slot: number, upto, why });
        }
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

    /// Starts the next replacement beside the worker that it replaces, one at a time.
    pub(super) fn next_replacement(&mut self, now: Mono, out: &mut Vec<Action>) {
        while self.goal == Goal::Run && self.replacing.is_none() {
            let Some(index) = self.queue.iter().position(|r| self.is_decidable(r)) else { return };
            let Some(Replacement { slot: number, upto, why }) = self.queue.remove(index) else { return };
            let rule = self.shape.ready.clone();
            let slot = self.slot(number).map(|(slot, _)| slot);
            // A slot whose worker has ended meanwhile has a new one anyway.
            let Some((slot, incumbent)) = slot.and_then(|slot| {
                let incumbent = slot.incumbent().filter(|w| w.generation <= upto).cloned()?;
                Some((slot, incumbent))
            }) else {
                self.end_of_roll(why, out);
                continue;
            };
            slot.learn_baseline(&incumbent);
            let worker = slot.next_worker(now, &rule);
            out.push(Action::Spawn(WorkerId { slot: number, generation: worker.generation }));
            slot.successor = Some(worker);
            self.replacing = Some((number, why));
        }
    }

    /// The successor is ready: it takes the seat, the old worker goes.
    pub(super) fn promote(&mut self, now: Mono, number: u32, out: &mut Vec<Action>) {
        let grace = self.rules.grace;
        let why = self.replacing.take().map_or(Why::Reload, |(_, why)| why);
        let Some((slot, _)) = self.slot(number) else { return };
        let Some(successor) = slot.successor.take() else { return };
        slot.restarts += 1;
        if let Seat::Taken(mut old) = std::mem::replace(&mut slot.seat, Seat::Taken(successor)) {
            begin_drain(number, &mut old, now, why, grace, out);
            slot.retiring.push(old);
        }
        self.end_of_roll(why, out);
    }

    /// A replacement ended before it was ready: the old worker stays.
    pub(super) fn successor_failed(
        &mut self,
        now: Mono,
        id: WorkerId,
        worker: &Worker,
        exit: Exit,
        why: Why,
        out: &mut Vec<Action>,
    ) {
        let cause = self.replacing.take().map(|(_, why)| why);
        if self.goal != Goal::Run {
            return;
        }
        // A broken new release never spends the budget of the old one.
        if cause == Some(Why::Reload) {
            out.push(Action::Say(Record::Ended { id, exit, why, next: Next::Nothing }));
            self.abort_roll(id.slot, out);
            return;
        }
        let random = self.next_random();
        let rules = self.rules.clone();
        let Some((slot, _)) = self.slot(id.slot) else { return };
        slot.failures = slot.failures.saturating_add(1);
        let delay = rules.delay(slot.failures, worker.was_ready, random);
        slot.not_before = now + delay;
        out.push(Action::Say(Record::Ended { id, exit, why, next: Next::Restart(delay) }));
    }

    /// A replacement that has the seat already, or whose incumbent ended too, has failed: the seat starts anew.
    pub(super) fn replacement_failed(&mut self, number: u32, out: &mut Vec<Action>) {
        if let Some((_, Why::Reload)) = self.replacing.take_if(|(slot, _)| *slot == number) {
            self.abort_roll(number, out);
        }
    }

    fn abort_roll(&mut self, slot: u32, out: &mut Vec<Action>) {
        self.queue.retain(|r| r.why != Why::Reload);
        out.push(Action::Say(Record::RollAborted { slot }));
    }

    pub(super) fn end_of_roll(&self, why: Why, out: &mut Vec<Action>) {
        let rest = self.queue.iter().map(|r| r.why).chain(self.replacing.map(|(_, why)| why));
        if why == Why::Reload && !rest.into_iter().any(|why| why == Why::Reload) {
            let workers = usize::try_from(self.wanted).unwrap_or(usize::MAX);
            out.push(Action::Say(Record::Rolled { workers }));
        }
    }

    /// Starting workers whose time has come: ready because alive, or failed for want of proof.
    pub(super) fn starts_due(&mut self, now: Mono, number: usize, out: &mut Vec<Action>) {
        let Some(slot) = self.slots.get(number) else { return };
        let due: Vec<(u64, Due)> = slot.workers().filter_map(|w| Some((w.generation, starting(w)?))).collect();
        for (generation, due) in due {
            let id = WorkerId { slot: as_slot(number), generation };
            match due {
                Due::Alive(at) if at <= now => self.became_ready(now, id, ReadyBy::Alive, out),
                Due::Proof(at) if at <= now => self.not_ready_in_time(now, id, out),
                Due::Alive(_) | Due::Proof(_) | Due::Said => {}
            }
        }
    }

    fn not_ready_in_time(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let (after, grace) = (self.shape.ready.timeout, self.rules.grace);
        let asks_listen = self.shape.ready.evidence == ReadyBy::Listen;
        let Some((slot, place)) = self.find(id) else { return };
        let baseline = slot.baseline.clone();
        let Some(worker) = slot.worker_mut(place) else { return };
        // Where another sign was asked for, no address was waited for.
        let missing = if asks_listen { baseline.difference(&worker.listening).cloned().collect() } else { Vec::new() };
        out.push(Action::Say(Record::NotReady { id, after, missing }));
        begin_drain(id.slot, worker, now, Why::NotReady, grace, out);
    }

    pub(super) fn on_asked(&mut self, now: Mono, request: Request, out: &mut Vec<Action>) {
        if self.goal != Goal::Run {
            return;
        }
        let below = self.slots.first().and_then(Slot::incumbent).filter(|w| w.supervises && w.is_wanted());
        if let Some(worker) = below {
            out.push(Action::Forward(WorkerId { slot: 0, generation: worker.generation }, request));
            return;
        }
        match request {
            Request::Reload => self.reload(now, out),
            Request::More | Request::Fewer if !self.shape.overlap => {
                out.push(Action::Say(Record::ScaleLimit { workers: self.wanted }));
            }
            Request::More => self.scale_up(now, out),
            Request::Fewer => self.scale_down(now, out),
        }
    }

    fn reload(&mut self, now: Mono, out: &mut Vec<Action>) {
        for number in 0..self.slots.len() {
            let (overlap, grace) = (self.shape.overlap, self.rules.grace);
            let Some(slot) = self.slots.get_mut(number).filter(|slot| !slot.leaving) else { break };
            slot.failures = 0;
            match &mut slot.seat {
                // Somebody has mended it: try again at once.
                Seat::Failed { .. } | Seat::Backoff { .. } => {
                    slot.intensity = Intensity::default();
                    slot.seat = Seat::Backoff { since: now, until: now };
                }
                Seat::Taken(worker) if !overlap => {
                    begin_drain(as_slot(number), worker, now, Why::Reload, grace, out);
                }
                Seat::Taken(_) => {}
                Seat::Down { .. } => continue,
            }
            if overlap {
                self.enqueue(as_slot(number), Why::Reload);
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
                    slot.learn_baseline(&worker);
                    slot.retiring.push(worker);
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
        let (number, grace) = (self.wanted, self.rules.grace);
        let queued = self.queue.iter().find(|r| r.slot == number).map(|r| r.why);
        self.queue.retain(|r| r.slot != number);
        let under_way = self.replacing.take_if(|(slot, _)| *slot == number).map(|(_, why)| why);
        if let Some((slot, _)) = self.slot(number) {
            slot.leaving = true;
            drain_slot(number, slot, now, Why::Scale, grace, out);
            // It succeeds nobody any more: its end must not be taken for that of a replacement.
            slot.retiring.extend(slot.successor.take());
        }
        if queued == Some(Why::Reload) || under_way == Some(Why::Reload) {
            self.end_of_roll(Why::Reload, out);
        }
    }

    /// What all slots listen on: a new slot must too.
    fn shared_baseline(&self) -> BTreeSet<String> {
        let ready = self.slots.iter().filter(|s| !s.leaving).filter_map(Slot::incumbent).filter(|w| w.is_ready());
        let ports = ready.map(|w| w.listening.iter().filter(|a| !a.starts_with("unix:")).cloned().collect());
        ports.reduce(|a: BTreeSet<String>, b| &a & &b).unwrap_or_default()
    }
}

fn starting(worker: &Worker) -> Option<Due> {
    match worker.life {
        Life::Starting(due) => Some(due),
        Life::Ready { .. } | Life::Draining { .. } | Life::Killing { .. } => None,
    }
}
