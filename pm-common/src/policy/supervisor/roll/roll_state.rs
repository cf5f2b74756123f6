//! The rolls as values: their numbers, and how far the one under way has come, also for people (`roll`).

use std::collections::VecDeque;

use super::super::super::record::{Then, some_of};
use super::super::{Awaiting, Life, Machine, Mono, ReadyBy, RollView, Running, WhichRelease};
use super::Room;

/// The numbers of the rolls, and the one under way.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Rolls {
    pub(in super::super) requested: u64,
    pub(in super::super) started: u64,
    pub(in super::super) ended: u64,
    pub(in super::super) last: Option<Outcome>,
    pub(in super::super) now: Option<Roll>,
    /// Workers more (or fewer) that were asked for during the roll.
    pub(in super::super) scale: i32,
    /// The roll that the current release came with; 0 is the start.
    pub(in super::super) current: u64,
}

/// How a roll ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Outcome {
    pub(in super::super) ok: bool,
    pub(in super::super) reason: String,
    pub(in super::super) slot: Option<u32>,
    /// What followed, where the roll was given up; `None`: its supervisor ends, or there is nothing to go on.
    pub(in super::super) then: Option<Then>,
}

/// How far the release of a roll has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Stage {
    /// The release is being looked up.
    Resolving,
    /// Its first worker has yet to pass the soak.
    Trial,
    /// The release is the current one.
    Committed,
}

/// A roll under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Roll {
    pub(in super::super) since: Mono,
    pub(in super::super) stage: Stage,
    /// Its release may listen elsewhere.
    pub(in super::super) moved: bool,
    /// Where the current release came from before the roll.
    pub(in super::super) before: u64,
    pub(in super::super) of: u32,
    pub(in super::super) done: u32,
    /// Slots still to begin with, in order.
    pub(in super::super) rest: VecDeque<u32>,
    /// Slots that wait for their new worker.
    pub(in super::super) under_way: Vec<u32>,
    pub(in super::super) room: Room,
}

impl Rolls {
    /// Whether the new release has proven itself (or there is no roll).
    pub(in super::super) fn is_settled(&self) -> bool {
        self.now.as_ref().is_none_or(|roll| roll.stage == Stage::Committed)
    }

    /// Where a release that workers were started from is now; `None`: it was dropped.
    pub(in super::super) fn which(&self, number: u64) -> Option<WhichRelease> {
        let on_trial = self.now.as_ref().is_some_and(|roll| roll.stage == Stage::Trial);
        match number {
            _ if number == self.current => Some(WhichRelease::Current),
            _ if on_trial && number == self.started => Some(WhichRelease::Next),
            _ => None,
        }
    }

    /// The release to start from for a roll, as an action and as a number.
    pub(super) const fn release_of(&self, stage: Stage) -> (WhichRelease, u64) {
        match stage {
            Stage::Committed => (WhichRelease::Current, self.current),
            Stage::Resolving | Stage::Trial => (WhichRelease::Next, self.started),
        }
    }
}

impl Machine {
    /// What the rolls are at.
    #[must_use]
    pub fn roll(&self) -> RollView {
        let Rolls { requested, started, ended, last, now, .. } = &self.rolls;
        RollView {
            requested: *requested,
            started: *started,
            ended: *ended,
            ok: last.as_ref().map(|last| last.ok),
            reason: last.as_ref().map(|last| last.reason.clone()).unwrap_or_default(),
            slot: last.as_ref().and_then(|last| last.slot),
            then: last.as_ref().and_then(|last| last.then),
            running: now.as_ref().map(|roll| Running {
                done: roll.done,
                of: roll.of,
                since: roll.since,
                slot: self.running_slot().unwrap_or_default(),
                awaiting: self.awaiting(roll),
            }),
        }
    }

    fn awaiting(&self, roll: &Roll) -> Awaiting {
        let Some(number) = roll.under_way.iter().min() else {
            let resolving = roll.stage == Stage::Resolving;
            let what = match roll.room {
                _ if resolving => "the new release",
                _ if self.next_in_line(roll).is_none() => "replacement of a worker that hangs",
                Room::Lacking => "memory: drain of an older worker",
                Room::Unknown | Room::Asked | Room::Enough => "drain of an older worker",
            };
            return Awaiting::Other(what.to_owned());
        };
        let slot = self.slot(*number);
        let Some((slot, worker)) =
            slot.and_then(|slot| Some((slot, slot.workers().find(|w| self.is_awaited(*number, w))?)))
        else {
            return Awaiting::Other("end of the old worker".to_owned());
        };
        let missing = slot.missing(worker);
        match worker.life {
            Life::Soaking { .. } => Awaiting::Soak,
            _ if self.shape.ready.evidence == ReadyBy::Listen && !missing.is_empty() => {
                Awaiting::ReadyTo(format!("listen on {}", some_of(&missing)))
            }
            _ => Awaiting::Ready,
        }
    }

    /// The lowest slot under way, else the next one.
    pub(in super::super) fn running_slot(&self) -> Option<u32> {
        let roll = self.rolls.now.as_ref()?;
        roll.under_way.iter().min().or_else(|| roll.rest.front()).copied()
    }
}
