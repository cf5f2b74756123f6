//! Stopping: one worker (the ladder of signals), one slot, or everything. The grace of a worker begins with its drain, and
//! anew where its app has something to do at the stop signal (`on_awaits_stop`); when it ends is `kill_deadline`'s.

use super::kill_deadline::{PARENT_WAITS_LONGER, escalate};
use super::{
    Action, Aim, Asker, Life, Machine, Mono, Seat, Slot, Span, StopKind, StopSent, Why, Worker, WorkerId, as_slot,
};

/// A process that asks again this soon means the stop that is under way: service managers, `pkill` and containers
/// signal each process of a chain, and the one above passes on what it was sent itself.
const SAME_STOP: Span = Span::secs(1);

/// A stop that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopping {
    pub(super) kind: StopKind,
    since: Mono,
    /// The supervisor above has asked.
    pub(super) by_above: bool,
}

impl Stopping {
    pub(super) const fn new(now: Mono, kind: StopKind, asker: Asker) -> Self {
        Self { kind, since: now, by_above: matches!(asker, Asker::Above) }
    }

    /// This stop, also asked for by `asker`.
    pub(super) fn asked_by(self, asker: Asker) -> Self {
        Self { by_above: self.by_above || asker == Asker::Above, ..self }
    }

    /// Whether who asks now wants the end at once, and not the stop that is under way.
    pub(super) fn is_insisted_on(self, now: Mono, asker: Asker) -> bool {
        match asker {
            Asker::Terminal => true,
            Asker::Above => self.by_above,
            Asker::Other => now.since(self.since) >= SAME_STOP,
        }
    }
}

/// How workers are asked to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) now: Mono,
    pub(super) why: Why,
    pub(super) grace: Span,
    /// Clients that ask nothing may be waited for.
    pub(super) linger: bool,
}

impl Machine {
    pub(super) fn on_stop(&mut self, now: Mono, kind: StopKind, asker: Asker, out: &mut Vec<Action>) {
        if let Some(delayed) = self.delayed_stop {
            self.asked_in_delay(now, delayed, kind, asker, out);
            return;
        }
        let first = Stopping::new(now, kind, asker);
        match self.goal {
            Aim::Run if self.puts_off(kind) => self.put_off(now, first, out),
            // What is giving up already ends everything: the first request changes the exit code and hurries nobody.
            Aim::Run | Aim::GiveUp(_) => self.begin_stop(now, first, out),
            Aim::Stop(stopping) if stopping.is_insisted_on(now, asker) => {
                self.goal = Aim::Stop(Stopping { kind, ..stopping });
                self.hurry_all(now, out);
            }
            Aim::Stop(stopping) => self.goal = Aim::Stop(stopping.asked_by(asker)),
            Aim::Finished => {}
        }
    }

    pub(super) fn begin_stop(&mut self, now: Mono, stopping: Stopping, out: &mut Vec<Action>) {
        self.delayed_stop = None;
        self.goal = Aim::Stop(stopping);
        let end = Ending { linger: stopping.kind == StopKind::Term, ..self.ending(now, Why::Stop) };
        self.drain_all(end, out);
        out.push(Action::AnnounceStop(self.stop_takes(now)));
    }

    /// The usual way to end a worker.
    pub(super) const fn ending(&self, now: Mono, why: Why) -> Ending {
        Ending { now, why, grace: self.rules.grace, linger: true }
    }

    /// Empties every seat that waits, asks every worker to end, and gives up the roll under way.
    pub(super) fn drain_all(&mut self, end: Ending, out: &mut Vec<Action>) {
        self.queue.clear();
        self.replacing.clear();
        self.stop_rolling(end.why, out);
        for (number, slot) in self.slots.iter_mut().enumerate() {
            drain_slot(as_slot(number), slot, end, out);
        }
    }

    /// Sends the stop signal to a worker whose work is done, if it has not had it yet.
    pub(super) fn on_drained(&mut self, id: WorkerId, out: &mut Vec<Action>) {
        if let Some(worker) = self.worker(id) {
            tell(id, worker, out);
        }
    }

    /// Worker `id` is done with its work, and its app has something to do at the stop signal: the grace runs from there, as
    /// of a program that has nothing to finish first.
    pub(super) fn on_awaits_stop(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let (grace, announced) = (self.rules.grace, self.stop_takes(now));
        let Some(worker) = self.worker(id) else { return };
        if let Life::Draining { told: StopSent::Never, kill_at, .. } = &mut worker.life {
            *kill_at = now + grace;
        }
        tell(id, worker, out);
        self.announce_if_longer(now, announced, out);
    }

    /// Ends all at once, as somebody insists: those that supervise are told again (they hurry), the others are killed.
    fn hurry_all(&mut self, now: Mono, out: &mut Vec<Action>) {
        for (number, slot) in self.slots.iter_mut().enumerate() {
            for worker in slot.workers_mut() {
                escalate(as_slot(number), worker, now, out);
            }
        }
    }

    /// How long the stop may still take: what is announced upward, so that graces shrink inward.
    fn stop_takes(&self, now: Mono) -> Span {
        let ends = self.slots.iter().flat_map(Slot::workers).filter_map(|w| {
            // A supervisor is told a second time before it is killed.
            let again = w.supervises && !matches!(w.life, Life::Draining { told: StopSent::Twice, .. });
            w.deadline().map(|at| at.since(now) + if again { PARENT_WAITS_LONGER } else { Span::ZERO })
        });
        ends.max().unwrap_or_default()
    }

    /// Gives a supervisor below the time that its stop takes; an app could put off its end for ever.
    pub(super) fn on_stop_takes(&mut self, now: Mono, id: WorkerId, span: Span, out: &mut Vec<Action>) {
        let announced = self.stop_takes(now);
        let Some(worker) = self.worker(id).filter(|w| w.supervises) else { return };
        if let Life::Draining { kill_at, told, .. } = &mut worker.life {
            // One that hurries announces nothing: what it was asked again has ended its delay, and begun its stop.
            *told = StopSent::Once.min(*told);
            *kill_at = now + span + PARENT_WAITS_LONGER;
        }
        self.announce_if_longer(now, announced, out);
    }

    /// `announced`: how long the stop was to take before what has just happened.
    fn announce_if_longer(&self, now: Mono, announced: Span, out: &mut Vec<Action>) {
        let takes = self.stop_takes(now);
        if matches!(self.goal, Aim::Stop(_)) && takes > announced {
            out.push(Action::AnnounceStop(takes));
        }
    }
}

/// Asks every worker of the slot to end, and wants no new one.
pub(super) fn drain_slot(number: u32, slot: &mut Slot, end: Ending, out: &mut Vec<Action>) {
    if matches!(slot.seat, Seat::Backoff { .. }) {
        slot.seat = Seat::Down { since: end.now };
    }
    for worker in slot.workers_mut() {
        begin_drain(number, worker, end, out);
    }
}

/// Takes the first step of the ladder: the worker finishes its work, then gets the stop signal, all within the grace.
///
/// One that serves nobody has nothing to finish, and a supervisor knows itself how its workers finish.
pub(super) fn begin_drain(number: u32, worker: &mut Worker, end: Ending, out: &mut Vec<Action>) {
    let Ending { now, why, grace, linger } = end;
    let id = WorkerId { slot: number, generation: worker.generation };
    if worker.is_wanted() {
        let longer = if worker.supervises { PARENT_WAITS_LONGER } else { Span::ZERO };
        let kill_at = now + grace + longer;
        worker.life = Life::Draining { since: now, kill_at, why, told: StopSent::Never };
        out.push(Action::SteerOff(id));
        if worker.was_ready() && !worker.supervises {
            out.push(if linger { Action::Drain(id) } else { Action::DrainNow(id) });
            return;
        }
    } else if linger {
        return;
    }
    tell(id, worker, out);
}

/// Sends the stop signal to a worker that finishes its work, once.
fn tell(id: WorkerId, worker: &mut Worker, out: &mut Vec<Action>) {
    if let Life::Draining { told, .. } = &mut worker.life
        && *told == StopSent::Never
        && worker.exit.is_none()
    {
        *told = StopSent::Once;
        out.push(Action::Stop(id));
    }
}
