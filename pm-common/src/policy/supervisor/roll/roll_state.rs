//! The rolls as values: their numbers, and how far the one under way has come.

use std::collections::VecDeque;

use super::super::super::record::Then;
use super::super::{Mono, WhichRelease};
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
