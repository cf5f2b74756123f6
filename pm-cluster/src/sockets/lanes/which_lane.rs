//! Which lane a worker gets: the one that the dead worker of its slot held, else that of one which it replaces because that
//! hangs, else one that nobody needs, else a new one; and which lanes are kept for the slot's next worker.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use pm_common::policy::WorkerId;
use pm_common::sys::{clock, socket};

use super::lane::DRAINS;
use super::{Lane, Lanes, Standing};

impl Lanes {
    /// A duplicate of a lane for this worker: the one that its slot's dead worker held, else one that its slot's worker is
    /// given up for, else one that nobody needs, else a new one.
    ///
    /// # Errors
    /// That of making or duplicating a socket (EMFILE ...).
    pub(crate) fn give(&mut self, who: WorkerId, standing: Standing) -> io::Result<OwnedFd> {
        let index = match self.free_for(who) {
            Some(index) => index,
            None => self.add()?,
        };
        let lane = self.lanes.get_mut(index).ok_or(io::ErrorKind::NotFound)?;
        let given = lane.fd.try_clone()?;
        lane.pass_to(who, standing);
        self.steer();
        Ok(given)
    }

    /// The lane that is free for this worker.
    fn free_for(&self, who: WorkerId) -> Option<usize> {
        let free = |wanted: Option<u32>| {
            let free = self.listening().find(|(_, lane)| lane.holder.is_none() && lane.slot == wanted);
            free.map(|(index, _)| index)
        };
        free(Some(who.slot)).or_else(|| self.hung_for(who)).or_else(|| free(None))
    }

    /// Whether a lane is free for this worker.
    #[must_use]
    pub(crate) fn has_free(&self, who: WorkerId) -> bool {
        self.free_for(who).is_some()
    }

    /// A duplicate of a lane that is free for this worker, if there is one: that of its slot's dead worker, or of the one
    /// that it replaces because that hangs, or one that nobody needs. It is the worker's from here on.
    pub(crate) fn give_free(&mut self, who: WorkerId, standing: Standing) -> Option<OwnedFd> {
        self.free_for(who)?;
        self.give(who, standing).ok()
    }

    /// The lane of a worker of the same slot that is given up.
    fn hung_for(&self, who: WorkerId) -> Option<usize> {
        let replaces = |old: WorkerId| old.slot == who.slot && old != who;
        self.listening().find(|(_, l)| l.hung && l.holder.is_some_and(replaces)).map(|(index, _)| index)
    }

    /// The worker is dead, or has closed its copy. The slot's next worker gets the lane, unless another one of the slot
    /// has a lane of its own.
    pub(crate) fn vacate(&mut self, who: WorkerId) {
        let others = |lane: &Lane| lane.holder.is_some_and(|h| h.slot == who.slot && h != who);
        let slot_served = self.clients_wait_for_next(who) || self.lanes.iter().any(others);
        self.keep_for_clients_of(who);
        self.let_go(slot_served, |lane| lane.is_let_go_by(who));
    }

    /// Has the lanes that go wait for a worker; `slot_served`: for anybody's.
    fn let_go(&mut self, slot_served: bool, goes: impl Fn(&mut Lane) -> bool) {
        let mut let_go = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if !goes(lane) {
                continue;
            }
            let_go.push(index);
            if lane.falls_back() {
                continue;
            }
            if slot_served {
                lane.slot = None;
            }
            // Whose handshake is under way may come into its queue yet.
            lane.left = Some(clock::now());
            // From now on we may accept; a worker may have cleared it.
            let _ = socket::set_nonblocking(&lane.fd, true);
        }
        if !let_go.is_empty() {
            self.revive(&let_go);
            self.steer();
        }
    }

    /// Has what comes wait for the next worker of a slot whose worker drains, if nobody else serves: that one would cut short
    /// what came to it until its end.
    pub(super) fn wait_for_next(&mut self, who: WorkerId) {
        if self.listening().any(|(_, lane)| lane.rank() < DRAINS) {
            return;
        }
        let free = |lane: &Lane| lane.holder.is_none() && lane.slot.is_none_or(|slot| slot == who.slot);
        let found = self.listening().find(|(_, lane)| free(lane)).map(|(index, _)| index);
        // Without a descriptor for one more it goes on as it is.
        let next = found.or_else(|| self.add().ok());
        next.and_then(|index| self.lanes.get_mut(index)).into_iter().for_each(|lane| lane.slot = Some(who.slot));
    }

    /// Whether there is a lane already in which clients wait for the next worker of the slot ([`Self::wait_for_next`]).
    fn clients_wait_for_next(&self, who: WorkerId) -> bool {
        let waits = |lane: &Lane| lane.holder.is_none() && lane.slot == Some(who.slot);
        self.ends_first && self.lanes.iter().any(waits)
    }

    /// Expects no next worker of this slot any more: its lanes are anybody's.
    pub(crate) fn release_slot(&mut self, slot: u32) {
        let mut found = false;
        for lane in self.lanes.iter_mut().filter(|lane| lane.slot == Some(slot)) {
            (lane.slot, found) = (None, true);
        }
        self.keep_no_longer(slot);
        if found {
            self.steer();
        }
    }

    /// Lanes of the worker that are not among the sockets that it has are kept for its slot.
    pub(crate) fn leave_closed(&mut self, who: WorkerId, held: &BTreeSet<u64>) {
        let slot_served = self.clients_wait_for_next(who);
        self.let_go(slot_served, |lane| lane.holder == Some(who) && !held.contains(&lane.inode));
    }
}
