//! Starting the workers that are due.

use super::super::WorkerId;
use super::super::slot::{Seat, Slot};
use super::super::time::Mono;
use super::super::worker::Worker;
use super::{Action, Goal, Supervisor, as_slot};

/// Workers started in one go: some 20 ms.
const MOST_AT_A_TIME: usize = 16;

impl Supervisor {
    /// pm-restart ends everything of the last child before it starts the next; a cluster's leftovers only end.
    pub(super) fn may_start(&self, slot: &Slot) -> bool {
        self.shape.overlap || slot.retiring.is_empty()
    }

    /// Starts the workers that are due. Of many only some at a time, and the others at the next tick: what those that were
    /// started say meanwhile must not wait, nor may the time of the last ones run before they are started.
    pub(super) fn start_due(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.starts_put_off || self.goal != Goal::Run {
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
                let rule = self.shape.ready.clone();
                let (release, came_with, trial) = self.release_in_seat();
                let Some(slot) = self.slots.get_mut(number) else { break };
                let worker = Worker { trial, ..slot.next_worker(now, &rule, came_with) };
                let id = WorkerId { slot: as_slot(number), generation: worker.generation };
                slot.seat = Seat::of(worker);
                out.push(Action::Spawn { id, release });
            }
        }
    }
}
