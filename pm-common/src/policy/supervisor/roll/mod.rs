//! Rolls: every worker replaced by one of a new release, slot by slot, and given up at the first that fails.
//!
//! In order: the release is resolved; the first slot's new worker is on trial until it is ready and has soaked, which
//! commits the release; then the other slots, as `heed_memory` allows. A slot is done when its new worker serves, and the roll when
//! every slot is; the last old workers may still drain. Why one is given up, and what follows, is in `abort`.

mod abort;
mod heed_memory;
mod roll_state;

use std::collections::VecDeque;

pub(super) use self::abort::AbortReason;
pub(super) use self::heed_memory::Room;
pub(super) use self::roll_state::{Outcome, Roll, Rolls, Stage};
use super::super::intensity::Intensity;
use super::super::record::Record;
use super::stopping::begin_drain;
use super::{
    Action, Aim, Exit, Life, Machine, Mono, Proof, ReadyBy, Role, Seat, Slot, WhichRelease, Why, Worker, WorkerId,
};

impl Machine {
    /// Takes the release for resolved: what was not refused until the tick after the question is.
    pub(super) fn resolved(&mut self) {
        if let Some(roll) = self.rolls.now.as_mut().filter(|roll| roll.stage == Stage::Resolving) {
            roll.stage = Stage::Trial;
        }
    }

    pub(super) fn on_resolve_failed(&mut self, reason: String, out: &mut Vec<Action>) {
        if self.rolls.now.as_ref().is_some_and(|roll| roll.stage == Stage::Resolving) {
            self.refuse_roll(AbortReason::Unresolved(reason), out);
        }
    }

    pub(super) fn on_moves(&mut self) {
        if let Some(roll) = self.rolls.now.as_mut().filter(|roll| roll.stage == Stage::Resolving) {
            roll.moved = true;
        }
    }

    /// When the roll goes on whose release is looked up: at the next tick.
    pub(super) fn roll_deadline(&self) -> Option<Mono> {
        self.rolls.now.as_ref().filter(|roll| roll.stage == Stage::Resolving).map(|roll| roll.since)
    }

    /// Takes the roll as far as it can go now, then what was put off until its end.
    pub(super) fn roll_on(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.goal != Aim::Run {
            return;
        }
        self.begin_slots(now, out);
        if self.rolls.now.is_none() && self.delays_stop() {
            self.rolls.refuse_waiting();
        } else if self.rolls.now.is_none() {
            self.scale_put_off(now, out);
            self.changes_if_due(now, out);
            if self.rolls.requested > self.rolls.started {
                self.begin_roll(now, out);
            }
        }
    }

    fn begin_roll(&mut self, now: Mono, out: &mut Vec<Action>) {
        self.rolls.started = self.rolls.requested;
        self.cancel_replacements(now, out);
        self.learn_all();
        let mut rest = VecDeque::new();
        for (number, slot) in (0..).zip(&mut self.slots) {
            if slot.leaving || matches!(slot.seat, Seat::Down { .. }) {
                continue;
            }
            // Somebody has mended it.
            if matches!(slot.seat, Seat::Failed { .. } | Seat::Backoff { .. }) {
                slot.failures = 0;
                slot.intensity = Intensity::default();
            }
            rest.push_back(number);
        }
        let of = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let (stage, before) = (Stage::Resolving, self.rolls.current);
        self.rolls.now = Some(Roll {
            since: now,
            stage,
            moved: false,
            before,
            of,
            done: 0,
            rest,
            under_way: Vec::new(),
            room: Room::Unknown,
        });
        out.push(Action::ResolveRelease);
    }

    fn begin_slots(&mut self, now: Mono, out: &mut Vec<Action>) {
        while let Some(roll) = self.rolls.now.as_ref().filter(|roll| roll.stage != Stage::Resolving) {
            match self.next_in_line(roll) {
                None if roll.under_way.is_empty() && roll.rest.is_empty() => return self.end_roll(out),
                None => return,
                Some(number) if self.needs_nothing(number) => self.end_slot(number),
                Some(_) if !self.has_room(roll) || !self.has_memory(out) => return,
                Some(number) if self.shape.overlap => self.begin_slot(now, number, out),
                Some(number) => self.begin_in_place(now, number, out),
            }
        }
    }

    /// The first slot still to begin with, but those where a worker starts in the place of one that hangs: that takes no
    /// longer than the ready timeout and the grace.
    fn next_in_line(&self, roll: &Roll) -> Option<u32> {
        let replaced = |number: u32| {
            self.slot(number).and_then(|slot| slot.successor.as_ref()).is_some_and(|worker| !worker.supervises)
        };
        let rest = roll.rest.iter().copied();
        let done = rest.clone().find(|number| self.needs_nothing(*number));
        // Where the old one ends first, those come first that serve nobody.
        let idle = || rest.clone().find(|number| !self.shape.overlap && self.shape.shares && !self.serves_in(*number));
        done.or_else(idle).or_else(|| rest.clone().find(|number| !replaced(*number)))
    }

    /// Whether nobody is wanted in a slot, or the new release serves there already.
    fn needs_nothing(&self, number: u32) -> bool {
        self.slot(number).is_none_or(|slot| match &slot.seat {
            Seat::Down { .. } => true,
            Seat::Taken(worker) => worker.is_ready() && worker.release == self.rolls.started,
            Seat::Backoff { .. } | Seat::Failed { .. } => false,
        })
    }

    /// Whether one more new worker may start beside those that start and those that still drain.
    fn has_room(&self, roll: &Roll) -> bool {
        let rule = self.shape.roll;
        let most = if roll.stage == Stage::Committed { rule.parallel.max(1) } else { 1 };
        let starting = u32::try_from(roll.under_way.len()).unwrap_or(u32::MAX);
        starting < most && self.draining() < rule.overlap.max(1)
    }

    /// Replaced workers that still live; what a crashed one left behind is not counted.
    pub(super) fn draining(&self) -> u32 {
        let leaders = self.slots.iter().flat_map(|slot| &slot.retiring).filter(|w| w.exit.is_none());
        u32::try_from(leaders.count()).unwrap_or(u32::MAX)
    }

    /// Starts the slot's new worker beside the one that it replaces.
    fn begin_slot(&mut self, now: Mono, number: u32, out: &mut Vec<Action>) {
        let rule = self.shape.ready;
        self.cancel_replacement(now, number, out);
        let Some(roll) = &mut self.rolls.now else { return };
        let stage = roll.stage;
        roll.rest.retain(|slot| *slot != number);
        roll.under_way.push(number);
        let (release, came_with) = self.rolls.release_of(stage);
        let Some(slot) = self.slot_mut(number) else { return };
        if let Some(incumbent) = slot.incumbent_mut().filter(|w| w.is_wanted() && w.release == came_with) {
            // It crashed after the new release was committed: its next worker is a new one already.
            incumbent.proof = Proof::OnTrial;
            return;
        }
        self.learn_again(number);
        let Some(slot) = self.slot_mut(number) else { return };
        let worker = Worker { proof: Proof::OnTrial, ..slot.next_worker(now, rule, came_with) };
        out.push(Action::Spawn { id: WorkerId { slot: number, generation: worker.generation }, release });
        let vacant = matches!(slot.seat, Seat::Backoff { .. } | Seat::Failed { .. });
        if vacant && stage == Stage::Committed {
            slot.seat = Seat::of(worker);
        } else {
            slot.successor = Some(worker);
        }
    }

    /// Ends the old worker first: the seat's next start is the roll's.
    fn begin_in_place(&mut self, now: Mono, number: u32, out: &mut Vec<Action>) {
        let (end, started) = (self.ending(now, Why::Reload), self.rolls.started);
        let Some(roll) = &mut self.rolls.now else { return };
        roll.rest.retain(|slot| *slot != number);
        roll.under_way.push(number);
        let Some(slot) = self.slot_mut(number) else { return };
        match &mut slot.seat {
            // It crashed after the new release was committed: its next worker is a new one already.
            Seat::Taken(worker) if worker.is_wanted() && worker.release == started => worker.proof = Proof::OnTrial,
            Seat::Taken(worker) => {
                begin_drain(number, worker, end, out);
                // One that was on its way out for another reason now ends for this one: the new worker is due at once.
                if let Life::Draining { why, .. } | Life::Killing { why, .. } = &mut worker.life {
                    *why = Why::Reload;
                }
            }
            Seat::Backoff { .. } | Seat::Failed { .. } => slot.seat = Seat::Backoff { since: now, until: now },
            Seat::Down { .. } => {}
        }
    }

    /// What a start in this empty seat is made from, and whether the roll waits for it: only where workers do not overlap
    /// can it be the roll's own.
    pub(super) fn release_in_seat(&self, number: u32) -> (WhichRelease, u64, Proof) {
        match self.rolls.now.as_ref().filter(|roll| !self.shape.overlap && roll.under_way.contains(&number)) {
            Some(roll) => {
                let (release, came_with) = self.rolls.release_of(roll.stage);
                (release, came_with, Proof::OnTrial)
            }
            None => (WhichRelease::Current, self.rolls.current, Proof::None),
        }
    }

    /// Whether a ready worker has the seat of this slot.
    fn serves_in(&self, number: u32) -> bool {
        self.slot(number).and_then(Slot::incumbent).is_some_and(Worker::is_ready)
    }

    /// Until when this worker, which has just become ready, must soak first; `None`: it serves at once. In the place of the
    /// one before it, where nobody else serves meanwhile, only what serves nobody is watched, until it has lived for so long.
    pub(super) fn soaks_until(&self, now: Mono, id: WorkerId, by: ReadyBy) -> Option<Mono> {
        let (slot, worker) = self.known(id).filter(|(_, worker)| worker.on_trial() && !self.rolls.is_settled())?;
        let from = match slot.find(id.generation)? {
            Role::Successor => now,
            Role::Seat if by.serves_nobody() => worker.started,
            Role::Seat if self.shape.shares && self.others_serve_beside(id.slot) => now,
            Role::Seat | Role::Retiring(_) => return None,
        };
        Some(from + self.shape.roll.soak).filter(|until| *until > now)
    }

    /// Whether clients have another worker than that of this slot.
    fn others_serve_beside(&self, number: u32) -> bool {
        (0..self.wanted).any(|other| other != number && self.serves_in(other))
    }

    /// Whether the roll under way waits for this worker (not one that failed before did).
    pub(super) fn is_awaited(&self, slot: u32, worker: &Worker) -> bool {
        let this = self.rolls.now.as_ref().is_some_and(|roll| roll.under_way.contains(&slot));
        this && worker.on_trial() && worker.release == self.rolls.started
    }

    /// Whether the roll under way waits for the worker of this name.
    pub(super) fn awaits(&self, id: WorkerId) -> bool {
        self.known(id).is_some_and(|(_, worker)| self.is_awaited(id.slot, worker))
    }

    /// Commits the release of a worker that the roll waited for, and that is good.
    pub(super) fn trial_passed(&mut self, out: &mut Vec<Action>) {
        let rolls = &mut self.rolls;
        if let Some(roll) = rolls.now.as_mut().filter(|roll| roll.stage == Stage::Trial) {
            roll.stage = Stage::Committed;
            rolls.current = rolls.started;
            out.push(Action::CommitRelease);
        }
    }

    /// Counts a slot that has its new worker.
    pub(super) fn end_slot(&mut self, number: u32) {
        if let Some(roll) = &mut self.rolls.now {
            roll.rest.retain(|slot| *slot != number);
            roll.under_way.retain(|slot| *slot != number);
            roll.done += 1;
        }
    }

    fn end_roll(&mut self, out: &mut Vec<Action>) {
        let Some(roll) = self.rolls.now.as_ref() else { return };
        if roll.stage != Stage::Committed {
            self.refuse_roll(AbortReason::NoWorker, out);
            return;
        }
        let (workers, moved) = (roll.done, roll.moved);
        out.extend(moved.then_some(Action::CloseUnserved));
        out.push(Action::Say(Record::Rolled { workers, number: self.rolls.started }));
        self.rolls.now = None;
        self.rolls.ended = self.rolls.started;
        self.rolls.last = Some(Outcome { ok: true, reason: String::new(), slot: None, then: None });
    }

    /// Starts a slot anew, at no cost to its budget, unless the policy wants nobody after such an end: the roll's worker in
    /// the seat has ended before it was ready.
    pub(super) fn trial_in_seat_ended(
        &mut self,
        now: Mono,
        id: WorkerId,
        worker: &Worker,
        (exit, why): (Exit, Why),
        out: &mut Vec<Action>,
    ) {
        let again = self.another_follows(exit, why);
        if self.is_awaited(id.slot, worker) {
            self.abort_roll(now, id.slot, AbortReason::ended(worker, exit, why), out);
        }
        if !again && exit != Exit::Code(0) {
            self.verdict = exit;
        }
        if let Some(slot) = self.slot_mut(id.slot) {
            slot.restarts += u64::from(again);
            slot.seat = if again { Seat::Backoff { since: now, until: now } } else { Seat::Down { since: now } };
        }
    }
}
