//! Clients that stay with their slot (`--sticky`): which lanes get new connections then, and when a slot without a worker
//! is kept for its clients.
//!
//! Each slot has one lane in the list: that of its newest worker in service. When that worker dies its clients wait in its
//! lane for the slot's next worker, as a session that has to begin anew had better do so where it stays. That has an end:
//! a successor that fails before it serves, or none that has come after [`PATIENCE`]. Then others get them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pm_common::policy::WorkerId;
use pm_common::policy::steering::{self, Instruction};
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::clock;

use super::{Lane, Lanes, Standing};

/// How long clients wait for the next worker of their slot to be started: longer than the first delays between
/// restarts, and shorter than clients wait for an answer.
const PATIENCE: Span = Span::secs(2);

/// Of which slots clients wait for the next worker.
#[derive(Debug, Default)]
pub(super) struct Sticky {
    /// The slots whose worker died in service, and until when the next one must have listened.
    kept: BTreeMap<u32, Mono>,
}

impl Lanes {
    /// Has the clients of each address stay with one slot, or not.
    #[must_use]
    pub(crate) fn sticking(mut self, on: bool) -> Self {
        self.sticky = on.then(Box::default);
        self
    }

    /// The lanes that get new connections, each with its slot, in their order. A lane that is nobody's counts as a slot of
    /// its own.
    fn seats(&self) -> BTreeMap<u32, usize> {
        let mut seats: BTreeMap<u32, (_, usize)> = BTreeMap::new();
        for (index, lane) in self.listening() {
            let Some(slot) = lane.slot.filter(|slot| lane.rank() == 0 || self.keeps(*slot) && is_awaited(lane)) else {
                continue;
            };
            // The newest worker of the slot; the lane of a dead one comes last.
            let order = (lane.rank(), Reverse(lane.holder.map(|who| who.generation)), index);
            let seat = seats.entry(slot).or_insert((order, index));
            *seat = (*seat).min((order, index));
        }
        if !seats.is_empty() {
            return seats.into_iter().map(|(slot, (_, index))| (slot, index)).collect();
        }
        let best = self.best_rank();
        let number = |index: usize| u32::MAX - u32::try_from(index).unwrap_or(0);
        let lanes = self.listening().filter(|(_, lane)| Some(lane.rank()) == best);
        lanes.map(|(index, lane)| (lane.slot.unwrap_or_else(|| number(index)), index)).collect()
    }

    /// The numbers of those lanes, where clients have a slot of their own.
    pub(super) fn seated(&self) -> Option<Vec<usize>> {
        self.sticky.as_ref().map(|_| self.seats().into_values().collect())
    }

    /// The steering program that has them stay there.
    pub(super) fn sticky_program(&self, sources: &[(u16, u32)]) -> Option<Option<Vec<Instruction>>> {
        let place = |index: usize| u32::try_from(self.lanes.get(index)?.place?).ok();
        let seats = || self.seats().into_iter().filter_map(|(slot, index)| Some((slot, place(index)?)));
        self.sticky.as_ref().map(|_| steering::rendezvous::program(&seats().collect::<Vec<_>>(), sources))
    }

    /// Notes that a worker is about to lose its lanes: clients of one that served wait for the next worker of its slot,
    /// and no longer for one that has failed.
    pub(super) fn keep_for_clients_of(&mut self, who: WorkerId) {
        if self.sticky.is_none() {
            return;
        }
        let serves = |lane: &&Lane| lane.serves() && !lane.stuck;
        let of_slot = || self.listening().map(|(_, lane)| lane).filter(|lane| lane.slot == Some(who.slot));
        let served = of_slot().filter(serves).any(|lane| lane.holder == Some(who));
        if of_slot().filter(serves).any(|lane| lane.holder != Some(who)) {
            return;
        }
        let failed = of_slot().any(|lane| lane.holder == Some(who));
        let Some(sticky) = &mut self.sticky else { return };
        if served {
            sticky.kept.insert(who.slot, clock::now() + PATIENCE);
        } else if failed {
            sticky.kept.remove(&who.slot);
        }
    }

    /// Notes that a worker serves or drains, or that its slot is gone: nobody waits for the slot's next worker.
    pub(super) fn keep_no_longer(&mut self, slot: u32) {
        if let Some(sticky) = &mut self.sticky {
            sticky.kept.remove(&slot);
        }
    }

    /// Whether the clients of this slot wait for its next worker.
    #[must_use]
    pub(crate) fn keeps(&self, slot: u32) -> bool {
        self.sticky.as_ref().is_some_and(|sticky| sticky.kept.contains_key(&slot))
    }

    /// The slots whose clients wait and that have no worker yet, and until when they do.
    fn without_worker(&self) -> impl Iterator<Item = (u32, Mono)> {
        let has_worker = |slot: u32| self.lanes.iter().any(|lane| lane.holder.is_some_and(|who| who.slot == slot));
        self.sticky
            .iter()
            .flat_map(|sticky| &sticky.kept)
            .map(|(slot, until)| (*slot, *until))
            .filter(move |(slot, _)| !has_worker(*slot))
    }

    /// When [`Self::lose_patience`] has something to do.
    pub(crate) fn patience_ends(&self) -> Option<Mono> {
        self.without_worker().map(|(_, until)| until).min()
    }

    /// Gives the clients to other slots that have waited long enough for a worker to be started.
    pub(crate) fn lose_patience(&mut self, now: Mono) {
        let late: Vec<u32> = self.without_worker().filter(|(_, until)| *until <= now).map(|(slot, _)| slot).collect();
        if !late.is_empty() {
            late.into_iter().for_each(|slot| self.keep_no_longer(slot));
            self.steer();
        }
    }
}

/// Whether the slot's next worker has the lane and starts, or will get it.
fn is_awaited(lane: &Lane) -> bool {
    lane.holder.is_none() || lane.standing == Standing::Waiting
}

#[cfg(test)]
mod tests;
