//! When the supervisor ends, and with which code: it was stopped, nothing is left to run, or it gives up.
//!
//! When a slot has failed too often is the rule of `policy::intensity`, which `worker_end` asks at each end of a worker. At
//! once it is where the very first worker cannot be run at all (exit code 126 or 127): `seat_vacated` in `worker_end`.

use super::{Action, Aim, Exit, Machine, Mono, Record, Seat, Slot, Why, WorkerId};

/// Our exit code when we give up on a program whose own was 0: that of our own failures.
const GAVE_UP_ON_SUCCESS: u8 = 125;

impl Machine {
    /// Notes that a supervisor below gives up: it is not started again, and its end is ours.
    pub(super) fn on_gave_up(&mut self, id: WorkerId) {
        if let Some(worker) = self.worker(id) {
            worker.gave_up = true;
        }
    }

    /// Ends every worker, and the supervisor after them, with this end's code.
    pub(super) fn give_up(&mut self, now: Mono, exit: Exit, out: &mut Vec<Action>) {
        if let Some(delayed) = self.delayed_stop {
            self.begin_stop(now, delayed.stopping, out);
            return;
        }
        self.goal = Aim::GiveUp(exit);
        self.drain_all(self.ending(now, Why::GiveUp), out);
    }

    /// Finishes once no worker lives and none is to be started: the last step of a stop, and where every slot has failed.
    pub(super) fn finish_if_done(&mut self, out: &mut Vec<Action>) {
        let waits = |slot: &Slot| matches!(slot.seat, Seat::Backoff { .. });
        // A roll goes on where everything has failed: its release may be the cure.
        let busy = self.rolls.now.is_some() || self.slots.iter().any(|slot| !slot.is_empty() || waits(slot));
        if busy || self.waits_to_start_anew() {
            return;
        }
        if let Some(delayed) = self.delayed_stop {
            self.tell_stopped(Some(delayed.stopping.kind), out);
            self.finish(delayed.stopping.kind.code(), out);
            return;
        }
        match self.goal {
            Aim::Run if self.slots.iter().any(|s| matches!(s.seat, Seat::Failed { .. })) => {
                out.push(Action::Say(Record::GaveUp { exit: self.verdict }));
                out.push(Action::AnnounceGaveUp);
                // A program that only ever ends well has failed to stay up all the same: 0 would be a lie.
                let code = self.verdict.code();
                self.finish(if code == 0 { GAVE_UP_ON_SUCCESS } else { code }, out);
            }
            Aim::Run => {
                self.tell_stopped(None, out);
                self.finish(self.verdict.code(), out);
            }
            Aim::Stop(stopping) => {
                self.tell_stopped(Some(stopping.kind), out);
                self.finish(stopping.kind.code(), out);
            }
            Aim::GiveUp(exit) => {
                self.tell_hopeless(exit, out);
                out.push(Action::AnnounceGaveUp);
                self.finish(exit.code(), out);
            }
            Aim::Finished => {}
        }
    }

    fn finish(&mut self, code: u8, out: &mut Vec<Action>) {
        self.goal = Aim::Finished;
        out.push(Action::Finish(code));
    }
}
