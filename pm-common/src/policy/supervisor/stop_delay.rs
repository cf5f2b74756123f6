//! The delay of a stop: a load balancer that is told late still finds somebody who answers.

use super::stopping::Stopping;
use super::{Action, Aim, Asker, Machine, Mono, Slot, Span, StopKind, Worker, WorkerId};

/// A stop that was asked for, while the workers go on serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DelayedStop {
    pub(super) stopping: Stopping,
    pub(super) until: Mono,
}

impl Machine {
    /// Whether a stop was asked for and the workers still serve, as they did before.
    #[must_use]
    pub const fn delays_stop(&self) -> bool {
        self.delayed_stop.is_some()
    }

    /// Whether a first request is put off: by whoever has the workers, so that it is done once, and not for INT, where a
    /// person waits.
    pub(super) fn puts_off(&self, kind: StopKind) -> bool {
        let below = self.slots.iter().flat_map(Slot::workers).any(|w| self.leaves_delay_to(w));
        kind == StopKind::Term && self.goal == Aim::Run && self.rules.stop_delay > Span::ZERO && !below
    }

    /// Whether the delay is the worker's own: a cluster has listeners of its own to keep open, whatever its workers are.
    fn leaves_delay_to(&self, worker: &Worker) -> bool {
        !self.shape.shares && worker.supervises && worker.is_wanted()
    }

    pub(super) fn put_off(&mut self, now: Mono, stopping: Stopping, out: &mut Vec<Action>) {
        let delay = self.rules.stop_delay;
        self.delayed_stop = Some(DelayedStop { stopping, until: now + delay });
        out.push(Action::AnnounceStop(self.rules.stop_time()));
    }

    /// Takes a request during the delay. Who insists ends the delay, and that is a new first request: what one more
    /// process means by it is the same stop.
    pub(super) fn asked_in_delay(
        &mut self,
        now: Mono,
        delayed: DelayedStop,
        kind: StopKind,
        asker: Asker,
        out: &mut Vec<Action>,
    ) {
        if delayed.stopping.is_insisted_on(now, asker) {
            self.begin_stop(now, Stopping::new(now, kind, asker), out);
        } else {
            self.delayed_stop = Some(DelayedStop { stopping: delayed.stopping.asked_by(asker), ..delayed });
        }
    }

    pub(super) fn delay_due(&mut self, now: Mono, out: &mut Vec<Action>) {
        if let Some(delayed) = self.delayed_stop.filter(|delayed| delayed.until <= now) {
            self.begin_stop(now, delayed.stopping, out);
        }
    }

    /// Hands the delay to a program that turns out to be a supervisor: it is told of the stop, and puts it off itself.
    pub(super) fn hand_delay_down(&mut self, now: Mono, id: WorkerId, out: &mut Vec<Action>) {
        let below = self.known(id).is_some_and(|(_, worker)| self.leaves_delay_to(worker));
        if let Some(delayed) = self.delayed_stop.filter(|_| below) {
            self.begin_stop(now, delayed.stopping, out);
        }
    }
}
