//! What is due: kills, starts, the next look.

use super::{Action, Aim, Machine, Mono, Seat, Slot, Worker, WorkerId, as_slot};

/// Workers started in one go: some 20 ms.
const MOST_AT_A_TIME: usize = 16;

impl Machine {
    pub(super) fn on_tick(&mut self, now: Mono, out: &mut Vec<Action>) {
        self.delay_due(now, out);
        self.measure_if_due(now, out);
        self.resolved();
        for number in 0..self.slots.len() {
            self.look_at_starting(now, number, out);
            self.kills_due(now, number, out);
        }
    }

    /// Where no two of a slot may live, everything of the last one ends before the next starts; else leftovers only end.
    pub(super) fn may_start(&self, slot: &Slot) -> bool {
        self.shape.overlap || slot.retiring.is_empty()
    }

    /// Starts the workers that are due. Of many only some at a time, and the others at the next tick: what those that were
    /// started say meanwhile must not wait, nor may the time of the last ones run before they are started.
    pub(super) fn spawn_due(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.starts_put_off || self.goal != Aim::Run {
            return;
        }
        let mut left = MOST_AT_A_TIME;
        for number in 0..self.slots.len() {
            let Some(slot) = self.slots.get(number) else { break };
            let due = matches!(slot.seat, Seat::Backoff { until, .. } if until <= now);
            if due && self.may_start(slot) {
                if left == 0 {
                    self.starts_put_off = true;
                    return;
                }
                left -= 1;
                let rule = self.shape.ready;
                let (release, came_with, proof) = self.release_in_seat(as_slot(number));
                let Some(slot) = self.slots.get_mut(number) else { break };
                let worker = Worker { proof, ..slot.next_worker(now, rule, came_with) };
                let id = WorkerId { slot: as_slot(number), generation: worker.generation };
                slot.seat = Seat::of(worker);
                out.push(Action::Spawn { id, release });
            }
        }
    }

    /// When to call `handle` with `Event::Tick`, if nothing else happens; `None`: never.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        if self.goal == Aim::Finished {
            return None;
        }
        let seats = self.slots.iter().filter_map(|slot| match slot.seat {
            Seat::Backoff { until, .. } if self.may_start(slot) => Some(until),
            Seat::Backoff { .. } | Seat::Down { .. } | Seat::Taken(_) | Seat::Failed { .. } => None,
        });
        let workers = self.slots.iter().flat_map(Slot::workers).filter_map(Worker::deadline);
        let waits = self.goal == Aim::Run && !self.delays_stop() && !self.announced && self.ever_ready;
        let announce = waits.then_some(self.announce_by);
        let stop = self.delayed_stop.map(|delayed| delayed.until);
        let others = announce.into_iter().chain(stop).chain(self.memory_deadline()).chain(self.roll_deadline());
        let others = others.chain(self.changes_deadline());
        seats.chain(workers).chain(others).min()
    }
}
