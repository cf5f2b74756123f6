//! What follows the end of a worker.

use super::super::record::{GoesOn, Next};
use super::super::rules::Restart;
use super::stopping::begin_drain;
use super::{
    Action, Aim, Excuse, Exit, LastEnd, Life, Machine, Mono, Proof, Record, Role, Seat, Slot, StopSent, Why, Worker,
    WorkerId,
};

impl Machine {
    pub(super) fn on_ended(
        &mut self,
        now: Mono,
        id: WorkerId,
        exit: Exit,
        leftovers: bool,
        spawn_failed: bool,
        out: &mut Vec<Action>,
    ) {
        let grace = self.rules.grace;
        let Some((slot, role)) = self.find(id) else { return };
        let Some(worker) = take(slot, role, now) else { return };
        let why = if spawn_failed { Why::Spawn } else { worker.why(exit) };
        if leftovers {
            out.push(Action::StopLeftovers(id));
        }
        // A successor that failed is no news of the worker that it did not replace.
        if worker.seated {
            slot.last = Some(LastEnd { exit: Some(exit), why, at: now });
        }
        let again = self.starts_again(now, id, role, (&worker, leftovers), out);
        match role {
            _ if again => {}
            Role::Seat => self.seat_vacated(now, id, &worker, exit, why, out),
            Role::Successor => self.successor_failed(now, id, &worker, exit, why, out),
            // What it had is free now.
            Role::Retiring(_) => self.look_again_for_room(),
        }
        if let Some(slot) = self.slot_mut(id.slot).filter(|_| leftovers) {
            slot.retiring.push(left_over(worker, exit, why, now, now + grace));
        }
    }

    pub(super) fn on_excused(&mut self, id: WorkerId) {
        if let Some(worker) = self.worker(id) {
            worker.excuse = match worker.excuse {
                known @ (Excuse::Substitute | Excuse::Misled) => known,
                _ if worker.is_excusable() => Excuse::Excused,
                Excuse::None | Excuse::Excused => Excuse::None,
            };
        }
    }

    pub(super) fn on_misled(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let end = self.ending(now, Why::Unshared);
        if let Some(worker) = self.worker(id).filter(|worker| worker.is_excusable()) {
            worker.excuse = Excuse::Misled;
            begin_drain(id.slot, worker, end, out);
        }
    }

    pub(super) fn on_out_of_memory(&mut self, id: WorkerId) {
        if let Some(worker) = self.worker(id) {
            worker.oom = true;
        }
    }

    /// Puts another in the place of a worker that was excused, from the same release and for the same purpose.
    fn starts_again(
        &mut self,
        now: Mono,
        id: WorkerId,
        role: Role,
        (old, leftovers): (&Worker, bool),
        out: &mut Vec<Action>,
    ) -> bool {
        let (rule, overlap) = (self.shape.ready, self.shape.overlap);
        let (goal, release) = (self.goal, self.rolls.which(old.release));
        let Some(slot) = self.slot_mut(id.slot).filter(|slot| !slot.leaving) else { return false };
        let excused = old.excuse == Excuse::Misled || old.excuse == Excuse::Excused && old.is_wanted();
        let Some(release) = release.filter(|_| excused && goal == Aim::Run) else { return false };
        if !overlap && role == Role::Seat && (leftovers || !slot.retiring.is_empty()) {
            // Not beside what the old one has left.
            slot.restarts += 1;
            slot.seat = Seat::Backoff { since: now, until: now };
            return true;
        }
        let proof = if old.on_trial() { Proof::OnTrial } else { Proof::None };
        let worker = Worker { proof, excuse: Excuse::Substitute, ..slot.next_worker(now, rule, old.release) };
        let generation = worker.generation;
        match role {
            Role::Seat => slot.seat = Seat::of(worker),
            Role::Successor => slot.successor = Some(worker),
            Role::Retiring(_) => return false,
        }
        slot.restarts += u64::from(role == Role::Seat);
        out.push(Action::Spawn { id: WorkerId { slot: id.slot, generation }, release });
        true
    }

    pub(super) fn on_gone(&mut self, id: WorkerId) {
        // Before its leader has ended, a worker is not gone.
        if let Some((slot, Role::Retiring(index))) = self.find(id)
            && slot.retiring.get(index).is_some_and(|w| w.exit.is_some())
        {
            slot.retiring.remove(index);
        }
    }

    fn seat_vacated(&mut self, now: Mono, id: WorkerId, worker: &Worker, exit: Exit, why: Why, out: &mut Vec<Action>) {
        let stays = self.slot(id.slot).is_some_and(|slot| !slot.leaving);
        if worker.on_trial() && self.goal == Aim::Run && stays {
            self.trial_in_seat_ended(now, id, worker, (exit, why), out);
            return;
        }
        let ours = why.is_for_another();
        let hopeless = !self.ever_ready
            && !ours
            && id.generation == 1
            && (exit == Exit::Code(126) || exit == Exit::Code(127) || (exit.cannot_run() && why != Why::Spawn));
        if self.goal == Aim::Run && (worker.gave_up || hopeless) {
            self.verdict = exit;
            out.push(Action::Say(Record::Ended { id, exit, why, next: Next::Nothing }));
            self.give_up(now, exit, out);
        }
        let (goal, settled) = (self.goal, self.rolls.is_settled());
        self.learn_from(id.slot, worker);
        let Some(slot) = self.slot_mut(id.slot) else { return };
        if goal != Aim::Run || slot.leaving {
            slot.seat = Seat::Down { since: now };
            return;
        }
        match slot.successor.take() {
            // Its release has yet to prove itself: it waits beside the next worker of the current release.
            Some(successor) if successor.on_trial() && !settled => slot.successor = Some(successor),
            Some(successor) if successor.is_wanted() => {
                out.push(Action::Say(Record::Ended { id, exit, why, next: Next::Replaced }));
                self.takes_over(now, id.slot, successor, out);
                return;
            }
            // It is on its way out itself: the seat needs another.
            ending => slot.retiring.extend(ending),
        }
        self.replacing.remove(&id.slot);
        let next = self.plan_restart(now, id.slot, worker, exit, why);
        if why != Why::Reload || next == Next::Failed {
            out.push(Action::Say(Record::Ended { id, exit, why, next }));
        }
        self.hold_successor(now, id.slot, out);
    }

    /// Gives the seat to the successor, which is on its way already as the worker in the seat ends.
    fn takes_over(&mut self, now: Mono, number: u32, successor: Worker, out: &mut Vec<Action>) {
        self.queue.retain(|r| r.slot != number);
        let Some(slot) = self.slot_mut(number) else { return };
        slot.restarts += 1;
        let id = WorkerId { slot: number, generation: successor.generation };
        slot.seat = Seat::of(successor);
        self.hold(now, id, out);
    }

    /// Why a worker that is not ready in time is left as it is, if it is. One that is never started a second time: what it has
    /// begun is not to be cut short because a sign of it is late. And in fork mode one that could not listen and goes on
    /// living, as in PM2: it knows what it does; but where it must listen, or a roll waits for it, or those before it
    /// served: it would be deaf for good because another program had the port for a moment.
    pub(super) fn goes_on(&self, id: WorkerId) -> Option<GoesOn> {
        let (slot, worker) = self.known(id).filter(|(slot, _)| slot.find(id.generation) == Some(Role::Seat))?;
        let may_lack = !self.shape.shares && slot.baseline.is_empty() && self.shape.ready.listen_time().is_some();
        match self.rules.restart {
            Restart::Never => Some(GoesOn::RunsOnce),
            _ if may_lack && worker.is_refused() && !self.is_awaited(id.slot, worker) => Some(GoesOn::Lives),
            Restart::Always | Restart::OnFailure => None,
        }
    }

    /// Decides whether and when the slot gets its next worker.
    fn plan_restart(&mut self, now: Mono, number: u32, worker: &Worker, exit: Exit, why: Why) -> Next {
        let ours = why.is_for_another();
        if !ours && !self.rules.restarts_after(exit) {
            if exit != Exit::Code(0) {
                self.verdict = exit;
            }
            if let Some(slot) = self.slot_mut(number) {
                slot.seat = Seat::Down { since: now };
            }
            return Next::Nothing;
        }
        let quick = why != Why::Reload && (why == Why::NotReady || now.since(worker.started) < self.rules.stable);
        let random = self.next_random();
        let rules = self.rules.clone();
        let Some(slot) = self.slot_mut(number) else { return Next::Nothing };
        // A worker over a limit was counted when that was found.
        if worker.unfit.is_none() {
            slot.failures = if quick { slot.failures.saturating_add(1) } else { 0 };
        }
        // What we ended ourselves, and was no failed start, is followed at once.
        let delay = match rules.restart_delay.filter(|_| !ours || quick) {
            Some(pause) => {
                slot.paused = pause.next(slot.paused, now.since(worker.started));
                slot.paused
            }
            None => rules.delay(slot.failures, worker.was_ready(), random),
        };
        if !slot.intensity.allows(now, why, now.since(worker.started), &rules) {
            slot.seat = Seat::Failed { since: now };
            self.verdict = exit;
            return Next::Failed;
        }
        slot.restarts += 1;
        slot.seat = Seat::Backoff { since: now, until: now + delay };
        Next::Restart(delay)
    }
}

/// Takes the worker out of its place.
fn take(slot: &mut Slot, role: Role, now: Mono) -> Option<Worker> {
    match role {
        Role::Seat => match std::mem::replace(&mut slot.seat, Seat::Down { since: now }) {
            Seat::Taken(worker) => Some(worker),
            Seat::Down { .. } | Seat::Backoff { .. } | Seat::Failed { .. } => None,
        },
        Role::Successor => slot.successor.take(),
        Role::Retiring(index) => (index < slot.retiring.len()).then(|| slot.retiring.remove(index)),
    }
}

/// What remains of a worker whose leader has ended: it gets the rest of its grace.
fn left_over(worker: Worker, exit: Exit, why: Why, now: Mono, full: Mono) -> Worker {
    let kill_at = match worker.life {
        Life::Draining { kill_at, .. } => kill_at,
        Life::Killing { .. } => now,
        Life::Starting(_) | Life::Soaking { .. } | Life::Ready { .. } => full,
    };
    let life = Life::Draining { since: now, kill_at, why, told: StopSent::Twice };
    Worker { life, exit: Some(exit), ..worker }
}
