//! When a roll is aborted: every reason for it, in words, and what becomes of the workers.

use std::fmt;

use super::super::super::record::{Then, lacking, listens_elsewhere, not_listening, remedy};
use super::super::super::rules::Restart;
use super::super::stopping::begin_drain;
use super::super::{Action, Exit, Life, Listening, Machine, Mono, ReadyBy, Record, Span, Why, Worker};
use super::{Outcome, Rolls};

/// Why a roll did not replace every worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum AbortReason {
    /// The new release could not be looked up; whoever did says why.
    Unresolved(String),
    /// No slot has a worker, or is to have one.
    NoWorker,
    /// A new worker could not be started.
    NotStarted(Exit),
    /// A new worker ended before it was ready.
    EndedEarly(Exit, Why),
    /// A new worker ended within the soak.
    EndedInSoak(Exit, Why),
    /// A new worker did not show within `after` that it is ready, by the evidence that was asked for.
    NotReady { asked: ReadyBy, after: Span, missing: Vec<Listening>, refused: Option<String> },
    /// A new worker listens `there` and not on what is `missing`, where the one before it did.
    Elsewhere { there: Vec<Listening>, missing: Vec<Listening> },
    /// A new worker closed these addresses (or all) again within the soak.
    ClosedInSoak(Vec<Listening>),
    /// A new worker is over the memory limit; both in bytes.
    OverMemory { bytes: u64, limit: u64 },
    /// A stop was asked for.
    Stopped,
    /// The supervisor gives up on its workers.
    GaveUp,
    /// The supervisor did not survive the roll; every worker is started again ([`Then::AllStartedAgain`]).
    SupervisorKilled,
}

impl AbortReason {
    /// The end of a worker that the roll waited for.
    pub(in super::super) const fn ended(worker: &Worker, exit: Exit, why: Why) -> Self {
        match (why, &worker.life) {
            (Why::Spawn, _) => Self::NotStarted(exit),
            (_, Life::Soaking { .. }) => Self::EndedInSoak(exit, why),
            _ => Self::EndedEarly(exit, why),
        }
    }

    /// A worker that the roll waited for has had `after`, and is turned away for what it lacks.
    pub(in super::super) fn not_ready(asked: ReadyBy, worker: &Worker, after: Span, missing: Vec<Listening>) -> Self {
        let by_listening = !matches!(asked, ReadyBy::Message | ReadyBy::Notify);
        if by_listening && worker.refused.is_none() && worker.up.is_some() && !missing.is_empty() {
            return Self::Elsewhere { there: worker.listening.keys().cloned().collect(), missing };
        }
        Self::NotReady { asked, after, missing, refused: worker.refused.clone() }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(reason) => f.write_str(reason),
            Self::NoWorker => f.write_str("there is no worker to replace"),
            Self::NotStarted(exit) => write!(f, "the new worker could not be started {exit}"),
            Self::EndedEarly(exit, why) => {
                write!(f, "the new worker ended before it was ready {exit}{}", remedy(*why))
            }
            Self::EndedInSoak(exit, why) => write!(f, "the new worker ended within the soak {exit}{}", remedy(*why)),
            Self::NotReady { asked: ReadyBy::Message, after, .. } => {
                write!(f, "no process.send('ready') within {after}")
            }
            Self::NotReady { asked: ReadyBy::Notify, after, .. } => write!(f, "no READY=1 within {after}"),
            Self::NotReady { asked, after, missing, refused } => {
                let lacks = lacking(*asked, missing, refused.as_deref());
                write!(f, "not ready after {}ms{lacks}", after.as_millis())
            }
            Self::Elsewhere { there, missing } => f.write_str(&listens_elsewhere(there, missing)),
            Self::ClosedInSoak(closed) => {
                write!(f, "the new worker did not stay ready within the soak{}", not_listening(closed))
            }
            Self::OverMemory { bytes, limit } => {
                write!(f, "the new worker is over the memory limit bytes={bytes} limit={limit}")
            }
            Self::Stopped => f.write_str("the supervisor was stopped"),
            Self::GaveUp => f.write_str("the supervisor gave up"),
            Self::SupervisorKilled => f.write_str("its supervisor was killed before it had ended"),
        }
    }
}

impl Rolls {
    /// Drops what was put off until the end of a roll: a stop was asked for.
    pub(super) fn refuse_waiting(&mut self) {
        self.scale = 0;
        if self.requested > self.started {
            (self.started, self.ended) = (self.requested, self.requested);
            self.last = Some(Outcome { ok: false, reason: AbortReason::Stopped.to_string(), slot: None, then: None });
        }
    }
}

impl Machine {
    /// Ends the roll as failed; false if there is none.
    fn drop_roll(&mut self, outcome: Outcome, out: &mut Vec<Action>) -> bool {
        let Some(roll) = self.rolls.now.take() else { return false };
        self.rolls.current = roll.before;
        self.rolls.ended = self.rolls.started;
        self.rolls.last = Some(outcome);
        out.push(Action::DropRelease);
        true
    }

    /// Ends a roll that has started nothing.
    pub(super) fn refuse_roll(&mut self, reason: AbortReason, out: &mut Vec<Action>) {
        let then = (reason != AbortReason::NoWorker).then_some(Then::OthersGoOn);
        let reason = reason.to_string();
        if self.drop_roll(Outcome { ok: false, reason: reason.clone(), slot: None, then }, out) {
            out.push(Action::Say(Record::RollRefused { reason }));
        }
    }

    /// Ends the roll whose new worker of this slot is no good: the old ones stay, the new ones under way go. What follows
    /// comes of the reason.
    pub(in super::super) fn abort_roll(&mut self, now: Mono, number: u32, reason: AbortReason, out: &mut Vec<Action>) {
        let then = self.follows(&reason);
        let reason = reason.to_string();
        let end = self.ending(now, Why::Reload);
        let Some(roll) = &self.rolls.now else { return };
        for number in roll.under_way.clone() {
            let Some(slot) = self.slot_mut(number) else { continue };
            if let Some(mut worker) = slot.successor.take() {
                begin_drain(number, &mut worker, end, out);
                slot.retiring.push(worker);
            }
        }
        self.drop_roll(Outcome { ok: false, reason: reason.clone(), slot: Some(number), then: Some(then) }, out);
        out.push(Action::Say(Record::RollAborted { slot: number, then, reason }));
    }

    /// What becomes of the slot whose new worker is no good, for this reason.
    fn follows(&self, reason: &AbortReason) -> Then {
        let never = self.rules.restart == Restart::Never;
        match reason {
            _ if self.shape.overlap => Then::OthersGoOn,
            AbortReason::NotReady { .. } | AbortReason::Elsewhere { .. } if never => Then::NewGoesOn,
            AbortReason::EndedEarly(exit, why) | AbortReason::EndedInSoak(exit, why)
                if !self.another_follows(*exit, *why) =>
            {
                Then::Nothing
            }
            // One that is ended for what it does, and not for how it ended, is followed by another.
            _ => Then::StartedAgain,
        }
    }

    /// Whether another follows the roll's worker in the seat that has ended so.
    pub(super) fn another_follows(&self, exit: Exit, why: Why) -> bool {
        // What could not be started has not run.
        why.is_for_another() || why == Why::Spawn || self.rules.restarts_after(exit)
    }

    /// Ends the roll, and what was put off until its end, as everything ends: every request has its answer.
    pub(in super::super) fn stop_rolling(&mut self, why: Why, out: &mut Vec<Action>) {
        let reason = if why == Why::GiveUp { AbortReason::GaveUp } else { AbortReason::Stopped };
        self.rolls.scale = 0;
        let slot = self.running_slot();
        self.rolls.started = self.rolls.requested;
        self.drop_roll(Outcome { ok: false, reason: reason.to_string(), slot, then: None }, out);
    }
}
