//! What a roll is at, for people.

use super::super::{Awaiting, Life, Machine, ReadyBy, RollView, Running};
use super::{Roll, Rolls, Room, Stage};
use crate::policy::record::some_of;

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
