//! What happens at a set time (`Rules::cron`): all workers are replaced as by a reload, and those started that have ended.

use super::{Aim, Mono, Seat, Slot, Supervisor};

impl Supervisor {
    /// Notes that a set time has come. A supervisor below has the same policy, and does it itself.
    pub(super) fn on_set_time(&mut self, now: Mono) {
        let below = self.slots.first().and_then(Slot::incumbent).is_some_and(|worker| worker.supervises);
        if self.goal != Aim::Run || self.delays_stop() || below {
            return;
        }
        let mut runs = false;
        for slot in self.slots.iter_mut().filter(|slot| !slot.leaving) {
            if matches!(slot.seat, Seat::Down { .. }) {
                slot.restarts += 1;
                slot.failures = 0;
                slot.seat = Seat::Backoff { since: now, until: now };
            } else {
                runs = true;
            }
        }
        if runs {
            self.request_roll();
        }
    }

    /// Whether a supervisor without workers lives on: its workers have ended by themselves, and a set time starts them.
    pub(super) fn waits_for_set_time(&self) -> bool {
        let rests = |slot: &Slot| matches!(slot.seat, Seat::Down { .. });
        !self.rules.cron.is_empty() && self.goal == Aim::Run && !self.delays_stop() && self.slots.iter().all(rests)
    }
}
