//! Where workers listen, and what follows from it: ready, turned away, or taken as it is.

use super::super::opened::{OpenedAddress, Others, counting};
use super::super::record::Record;
use super::super::worker::Due;
use super::{Action, BTreeSet, Life, Listening, Machine, Mono, ReadyBy, Role, Seat, Slot, Worker, WorkerId};

/// More addresses than this are not remembered as opened on demand: a program may choose new ones without end.
const MOST_WAIVED: usize = 1024;

impl Machine {
    pub(super) fn on_listening(
        &mut self,
        now: Mono,
        id: WorkerId,
        address: Listening,
        fixed: bool,
        out: &mut Vec<Action>,
    ) {
        let (stable, soak) = (self.rules.stable, self.shape.roll.soak);
        let Some(worker) = self.worker(id) else { return };
        let served = match worker.life {
            Life::Ready { since, by } if !by.serves_nobody() => Some(now.since(since)),
            _ => None,
        };
        let up = *worker.up.get_or_insert(now);
        // A port that is opened on demand, long after the start, is none that a successor will open by itself.
        let counts = fixed && served.is_none_or(|served| served <= stable);
        let opened = OpenedAddress { after: now.since(up), late: served.is_some_and(|served| served > soak), counts };
        worker.listening.entry(address).or_insert(opened);
        if let Life::Ready { by, .. } = &mut worker.life {
            if by.serves_nobody() {
                *by = ReadyBy::Listen;
            }
            out.push(Action::SteerIn(id));
            if let Some(slot) = self.slot_mut(id.slot) {
                slot.quiet = None;
            }
        }
        self.hold(now, id, out);
        self.hold_to_incumbent(now, id, out);
        // One that is held to nothing goes on with its soak, and has shown more than that it lives.
        let asks = self.asks_listen();
        if let Some(Worker { life: Life::Soaking { by, .. }, .. }) = self.worker(id).filter(|_| asks)
            && by.serves_nobody()
        {
            *by = ReadyBy::Listen;
        }
    }

    pub(super) fn on_closed(&mut self, now: Mono, id: WorkerId, address: &Listening, out: &mut Vec<Action>) {
        // A worker that drains closes everything: that is no change of its mind.
        let Some(worker) = self.worker(id).filter(|w| w.is_wanted()) else { return };
        worker.listening.remove(address);
        if worker.listening.is_empty() {
            worker.up = None;
        }
        self.hold(now, id, out);
    }

    pub(super) fn asks_listen(&self) -> bool {
        self.shape.ready.evidence == ReadyBy::Listen
    }

    /// What the worker does not listen on and must.
    pub(super) fn missing(&self, id: WorkerId) -> Vec<Listening> {
        self.known(id).map_or_else(Vec::new, |(slot, worker)| slot.missing(worker))
    }

    /// Decides about a worker that starts by what it listens on now: it is ready, or has some time for the rest.
    pub(super) fn hold(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let (timeout, asks, awaited) = (self.shape.ready.timeout, self.asks_listen(), self.awaits(id));
        let Some((slot, role)) = self.find(id) else { return };
        let must = !slot.baseline.is_empty();
        let Some(worker) = slot.worker_mut(role) else { return };
        // That it lived was all that it had shown.
        if must && matches!(worker.life, Life::Soaking { by, .. } if by.serves_nobody()) {
            worker.life = Life::Starting(Due::Alive(now));
        }
        let (Life::Starting(due), true) = (worker.life, asks) else { return };
        let Some((slot, worker)) = self.known(id) else { return };
        if slot.lacks_nothing(worker) {
            if worker.up.is_some() {
                self.became_ready(now, id, ReadyBy::Listen, out);
            }
            return;
        }
        if due == Due::Said {
            return;
        }
        let latest = worker.started + timeout;
        let settled = slot.settled_at(worker).filter(|_| awaited || slot.opened_late(worker));
        if let Some(worker) = self.worker(id) {
            worker.life = Life::Starting(Due::Proof(settled.map_or(latest, |at| at.min(latest))));
        }
    }

    /// What the worker in the seat listened on last may differ from what its successor was held to so far.
    pub(super) fn hold_successor(&mut self, now: Mono, number: u32, out: &mut Vec<Action>) {
        let successor = self.slot(number).and_then(|slot| Some(slot.successor.as_ref()?.generation));
        if let Some(generation) = successor {
            self.hold(now, WorkerId { slot: number, generation }, out);
        }
    }

    /// The worker in the seat listens for the first time: so must the one that is to replace it.
    fn hold_to_incumbent(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let Some((slot, Role::Seat)) = self.find(id) else { return };
        let serves = slot.incumbent().is_some_and(Worker::is_ready);
        if serves && slot.successor.is_some() && slot.baseline.is_empty() {
            self.learn(id.slot);
            self.hold_successor(now, id.slot, out);
        }
    }

    /// Whether a worker whose time is up is good enough: it lacks nothing any more, nobody else has the seat, a roll
    /// says that it is meant, or its code is that of the one before it, which had opened the rest later on demand.
    pub(super) fn takes_as_it_is(&self, id: WorkerId, missing: &[Listening]) -> bool {
        let Some((slot, worker)) = self.known(id).filter(|(_, w)| self.asks_listen() && w.up.is_some()) else {
            return false;
        };
        if missing.is_empty() {
            return true;
        }
        if self.is_awaited(id.slot, worker) {
            return self.rolls.now.as_ref().is_some_and(|roll| roll.moved);
        }
        let same = slot.incumbent().is_some_and(|old| old.release == worker.release);
        slot.find(id.generation) == Some(Role::Seat) || same && slot.opened_late(worker)
    }

    /// Takes it, and holds the next ones to no more.
    pub(super) fn accept(&mut self, now: Mono, id: WorkerId, missing: Vec<Listening>, out: &mut Vec<Action>) {
        let Some(worker) = self.worker(id) else { return };
        worker.accepted = true;
        let lacks = !missing.is_empty();
        out.extend(lacks.then_some(Action::Say(Record::ReadyWithout { id, missing })));
        self.became_ready(now, id, ReadyBy::Listen, out);
    }

    /// Compares a worker that is about to serve with the one before it: what it does without counts no more, and what
    /// it has counts again.
    pub(super) fn compare(&mut self, id: WorkerId) {
        let Some((slot, worker)) = self.known(id) else { return };
        let lacks = |address: &&Listening| !worker.listening.contains_key(*address);
        let without: Vec<Listening> = slot.had().filter(lacks).cloned().collect();
        let mut waived: BTreeSet<Listening> = self.waived.iter().filter(lacks).cloned().collect();
        if waived.len() + without.len() <= MOST_WAIVED {
            waived.extend(without);
        }
        for slot in &mut self.slots {
            slot.baseline.retain(|address| !waived.contains(address));
        }
        self.waived = waived;
    }

    /// Learns from the worker in the seat what its successor must listen on.
    pub(super) fn learn(&mut self, number: u32) {
        let lesson = self.slot(number).and_then(|slot| slot.lesson(slot.incumbent()?, &self.others()));
        if let Some(slot) = self.slot_mut(number) {
            slot.learn(lesson);
        }
    }

    /// Learns the same from a worker that has left the seat.
    pub(super) fn learn_from(&mut self, number: u32, worker: &Worker) {
        let lesson = self.slot(number).and_then(|slot| slot.lesson(worker, &self.others()));
        if let Some(slot) = self.slot_mut(number) {
            slot.learn(lesson);
        }
    }

    /// Learns from all that serve, before the first of them is replaced: later there is nobody to compare with.
    pub(super) fn learn_all(&mut self) {
        let others = self.others();
        let lessons: Vec<_> = self.slots.iter().map(|slot| slot.lesson(slot.incumbent()?, &others)).collect();
        for (slot, lesson) in self.slots.iter_mut().zip(lessons) {
            slot.learn(lesson);
        }
    }

    /// Learns from the worker in one seat, at its turn in a roll: what it has closed since the roll began is not needed.
    pub(super) fn learn_again(&mut self, number: u32) {
        let Some(slot) = self.slot_mut(number) else { return };
        let Seat::Taken(worker) = &slot.seat else { return };
        if slot.learned.from == worker.generation {
            slot.baseline.retain(|address| worker.listening.contains_key(address));
        } else {
            self.learn(number);
        }
    }

    /// What addresses are compared with.
    pub(super) fn others(&self) -> Others<'_> {
        let ready = || self.slots.iter().filter(|s| !s.leaving).filter_map(Slot::incumbent);
        let opened = ready().flat_map(|w| w.listening.values()).filter(|opened| opened.counts);
        // In this time each of them has opened what any other has, if it opens it by itself.
        let long = opened.map(|opened| opened.after).max().unwrap_or_default().doubled().max(self.shape.roll.soak);
        let served = |w: &&Worker| matches!(w.life, Life::Ready { since, .. } if self.now.since(since) > long);
        let all = ready().filter(served).map(|w| counting(&w.listening).collect::<BTreeSet<&Listening>>());
        Others { shared: all.reduce(|a, b| &a & &b), waived: &self.waived }
    }

    /// What all slots listen on: a new slot must too.
    pub(super) fn shared_baseline(&self) -> BTreeSet<Listening> {
        let ready = self.slots.iter().filter(|s| !s.leaving).filter_map(Slot::incumbent).filter(|w| w.is_ready());
        let wanted = |a: &&Listening| !a.is_unix() && !self.waived.contains(*a);
        let ports = ready.map(|w| counting(&w.listening).filter(wanted).cloned().collect());
        ports.reduce(|a: BTreeSet<Listening>, b| &a & &b).unwrap_or_default()
    }
}
