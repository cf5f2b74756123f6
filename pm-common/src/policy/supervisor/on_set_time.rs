//! What happens at a set time (`Rules::cron`): all workers are replaced as by a reload, and those started that have ended.
//! When it comes, also one that was missed, `policy::cron_schedule` decides; patterns, and summer time, are `cli::cron_pattern`'s.

use super::{Aim, Machine, Mono, Seat, Slot};

impl Machine {
    /// Notes that a set time has come.
    pub(super) fn on_set_time(&mut self, now: Mono) {
        if self.starts_anew() {
            self.start_anew(now);
        }
    }

    /// Whether it is for us to start all anew: a supervisor below has the same policy, and does it itself.
    pub(super) fn starts_anew(&self) -> bool {
        let below = self.slots.first().and_then(Slot::incumbent).is_some_and(|worker| worker.supervises);
        self.goal == Aim::Run && !self.delays_stop() && !below
    }

    /// Asks for a roll, and starts who has ended.
    pub(super) fn start_anew(&mut self, now: Mono) {
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
            self.rolls.requested += 1;
        }
    }

    /// Whether a supervisor without workers lives on: its workers have ended by themselves, and a set time starts them, or
    /// a file that changes; that one starts those, too, that have failed too often.
    pub(super) fn waits_to_start_anew(&self) -> bool {
        let watches = !self.rules.watch.is_empty();
        let rests = |slot: &Slot| match slot.seat {
            Seat::Down { .. } => true,
            Seat::Failed { .. } => watches,
            Seat::Backoff { .. } | Seat::Taken(_) => false,
        };
        let asked = watches || !self.rules.cron.is_empty();
        asked && self.goal == Aim::Run && !self.delays_stop() && self.slots.iter().all(rests)
    }
}
