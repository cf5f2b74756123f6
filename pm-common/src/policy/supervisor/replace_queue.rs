//! Replacing workers one by one: the queue of those that are to go, and the promotion of their successors.

use super::super::intensity::Intensity;
use super::super::record::{Next, Record};
use super::roll::AbortReason;
use super::stopping::begin_drain;
use super::{Action, Aim, Exit, LastEnd, Machine, Mono, Replacement, Seat, Slot, WhichRelease, Why, Worker, WorkerId};

impl Machine {
    pub(super) fn enqueue(&mut self, id: WorkerId, hangs: bool) {
        let WorkerId { slot, generation: upto } = id;
        if let Some(known) = self.queue.iter_mut().find(|r| r.slot == slot) {
            known.upto = known.upto.max(upto);
            known.hangs |= hangs;
        } else if !self.replacing.contains_key(&slot) {
            self.queue.push_back(Replacement { slot, upto, hangs });
        }
    }

    /// Replaces a worker that is sound by one that is started in another way, in its turn.
    pub(super) fn on_outmoded(&mut self, id: WorkerId) {
        let Some(worker) = self.worker(id).filter(|worker| worker.is_wanted()) else { return };
        worker.unfit.get_or_insert(Why::Unshared);
        self.enqueue(id, false);
    }

    /// Whether it is this worker's turn. Those that serve are replaced one at a time, and not during a roll, which replaces
    /// them too. One that hangs waits for neither, but where the roll's new worker starts in its slot already.
    fn may_replace(&self, replacement: &Replacement) -> bool {
        let Replacement { slot, hangs, .. } = replacement;
        let its_turn = match &self.rolls.now {
            Some(roll) => *hangs && !roll.under_way.contains(slot),
            None => *hangs || self.replacing.is_empty() && (self.shape.overlap || self.others_serve(*slot)),
        };
        its_turn && !self.replacing.contains_key(slot) && self.is_decidable(replacement)
    }

    /// Whether a replacement can be made, or has become needless; else its slot must first have a ready worker.
    fn is_decidable(&self, replacement: &Replacement) -> bool {
        self.slot(replacement.slot).is_none_or(|slot| match &slot.seat {
            Seat::Taken(worker) => worker.is_ready(),
            Seat::Backoff { .. } => false,
            Seat::Down { .. } | Seat::Failed { .. } => true,
        })
    }

    /// Whether all serve that are to, but this one: the others take its clients, where it has to end first.
    fn others_serve(&self, number: u32) -> bool {
        let comes_or_goes = |slot: &Slot| slot.incumbent().is_some_and(|worker| !worker.is_ready()) && !slot.leaving;
        (0..).zip(&self.slots).all(|(other, slot)| other == number || !comes_or_goes(slot))
    }

    /// Starts the replacements whose turn it is, each beside the worker that it replaces, or ends that one first.
    pub(super) fn next_replacement(&mut self, now: Mono, out: &mut Vec<Action>) {
        while self.goal == Aim::Run {
            let Some(index) = self.queue.iter().position(|r| self.may_replace(r)) else { return };
            let Some(Replacement { slot: number, upto, hangs }) = self.queue.remove(index) else { return };
            let rule = self.shape.ready;
            let came_with = self.rolls.current;
            let Some(slot) = self.slot_mut(number) else { continue };
            // A slot whose worker has ended meanwhile has a new one anyway.
            if slot.incumbent().is_none_or(|w| w.generation > upto) {
                continue;
            }
            if !self.shape.overlap {
                self.replace_in_place(now, number, out);
                continue;
            }
            self.learn(number);
            let Some(slot) = self.slot_mut(number) else { continue };
            let worker = slot.next_worker(now, rule, came_with);
            let id = WorkerId { slot: number, generation: worker.generation };
            out.push(Action::Spawn { id, release: WhichRelease::Current });
            slot.successor = Some(worker);
            self.replacing.insert(number, hangs);
        }
    }

    /// Ends a worker over a limit, where another may only start after it: the slot's next start follows at once.
    fn replace_in_place(&mut self, now: Mono, number: u32, out: &mut Vec<Action>) {
        let mut end = self.ending(now, Why::Memory);
        let Some(worker) = self.slot_mut(number).and_then(|slot| slot.incumbent_mut()) else { return };
        end.why = worker.unfit.unwrap_or(end.why);
        begin_drain(number, worker, end, out);
    }

    /// Leaves the replacements to a roll that begins, but of workers that hang: its release may be no good.
    pub(super) fn cancel_replacements(&mut self, now: Mono, out: &mut Vec<Action>) {
        let serve: Vec<u32> = self.replacing.iter().filter(|(_, hangs)| !**hangs).map(|(slot, _)| *slot).collect();
        for number in serve {
            self.cancel_replacement(now, number, out);
        }
    }

    /// Ends the replacement under way in a slot, where the roll's new worker takes its place.
    pub(super) fn cancel_replacement(&mut self, now: Mono, number: u32, out: &mut Vec<Action>) {
        let end = self.ending(now, Why::Reload);
        self.replacing.remove(&number);
        let Some(slot) = self.slot_mut(number) else { return };
        if let Some(mut worker) = slot.successor.take() {
            begin_drain(number, &mut worker, end, out);
            slot.retiring.push(worker);
        }
    }

    /// Seats a successor that is ready; the old worker goes.
    pub(super) fn promote(&mut self, now: Mono, number: u32, rolled: bool, out: &mut Vec<Action>) {
        let mut end = self.ending(now, Why::Reload);
        // What was asked for is done, also by one that began before the worker that it replaces.
        self.queue.retain(|r| r.slot != number);
        let Some(slot) = self.slot_mut(number) else { return };
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
            slot.last = Some(LastEnd { exit: None, why: end.why, at: now });
            begin_drain(number, &mut old, end, out);
            slot.retiring.push(old);
        }
    }

    /// Notes that a successor ended before it was ready: the old worker stays.
    pub(super) fn successor_failed(
        &mut self,
        now: Mono,
        id: WorkerId,
        worker: &Worker,
        exit: Exit,
        why: Why,
        out: &mut Vec<Action>,
    ) {
        if self.goal != Aim::Run {
            return;
        }
        // A broken new release never spends the budget of the old one.
        if worker.on_trial() {
            self.abort_roll(now, id.slot, AbortReason::ended(worker, exit, why), out);
            return;
        }
        self.replacing.remove(&id.slot);
        let random = self.next_random();
        let rules = self.rules.clone();
        let Some(slot) = self.slot_mut(id.slot) else { return };
        slot.failures = slot.failures.saturating_add(1);
        let delay = rules.delay(slot.failures, worker.was_ready(), random);
        slot.not_before = now + delay;
        out.push(Action::Say(Record::Ended { id, exit, why, next: Next::Restart(delay) }));
    }
}
