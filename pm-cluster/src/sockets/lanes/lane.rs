//! One lane: whose it is, whose it was, and how it ranks among the lanes of its address.

use std::os::fd::OwnedFd;

use pm_common::policy::WorkerId;
use pm_common::policy::time::Mono;

/// What the worker that holds a lane does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not yet to be given connections: it starts, or does not accept.
    Waiting,
    /// Ready and accepting.
    InService,
    /// On its way out.
    Draining,
}

/// The rank of a lane whose worker drains.
pub(super) const DRAINS: u8 = 4;

/// A listening socket of the address.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) fd: OwnedFd,
    /// The number of the socket.
    pub(super) inode: u64,
    /// Its index in the group; `None`: it was shut down, and has left.
    pub(super) place: Option<usize>,
    /// The lane was shut down, and nobody was told of it yet.
    pub(super) untold: bool,
    /// Whose next worker gets this lane; `None`: anybody's.
    pub(crate) slot: Option<u32>,
    pub(super) holder: Option<WorkerId>,
    pub(super) standing: Standing,
    /// Its holder takes nothing from it.
    pub(super) stuck: bool,
    /// Its holder hangs: its slot's next worker gets it while the holder still has it.
    pub(super) hung: bool,
    /// Workers that it was given up for and that have it open all the same, the newest last.
    pub(super) also: Vec<(WorkerId, Standing)>,
    /// Since when clients may wait in it that no worker has it for.
    pub(super) left: Option<Mono>,
}

impl Lane {
    /// A lane that nobody has yet.
    pub(super) const fn new(fd: OwnedFd, inode: u64) -> Self {
        let (slot, holder, standing) = (None, None, Standing::Waiting);
        Self {
            fd,
            inode,
            place: None,
            untold: false,
            slot,
            holder,
            standing,
            stuck: false,
            hung: false,
            also: Vec::new(),
            left: None,
        }
    }

    /// The lanes of the lowest rank that occurs get the new connections.
    pub(super) fn rank(&self) -> u8 {
        match (self.holder, self.standing, self.slot) {
            (Some(_), Standing::InService, _) if !self.stuck => 0,
            // A stuck holder may move again before any other is ready.
            (Some(_), Standing::InService, _) => 1,
            (Some(_), Standing::Waiting, _) => 2,
            // Its slot's next worker will accept what waits here.
            (None, _, Some(_)) => 3,
            (Some(_), Standing::Draining, _) => DRAINS,
            (None, _, None) => 5,
        }
    }

    /// Whose it is, and what for.
    pub(crate) fn held_for(&self) -> Option<(WorkerId, Standing)> {
        self.holder.map(|who| (who, self.standing))
    }

    /// Whether its worker is in service.
    pub(crate) fn serves(&self) -> bool {
        self.holder.is_some() && self.standing == Standing::InService
    }

    /// Whether its worker is on its way out.
    pub(super) fn drains(&self) -> bool {
        self.holder.is_some() && self.standing == Standing::Draining
    }

    /// Makes the lane this worker's.
    pub(super) fn pass_to(&mut self, who: WorkerId, standing: Standing) {
        if let Some(old) = self.holder.filter(|old| *old != who) {
            self.also.push((old, self.standing));
        }
        (self.slot, self.holder, self.standing) = (Some(who.slot), Some(who), standing);
        (self.stuck, self.hung) = (false, false);
    }

    /// Notes that a worker has the lane open no more; gives whether the lane was for that worker.
    pub(super) fn is_let_go_by(&mut self, who: WorkerId) -> bool {
        self.also.retain(|(other, _)| *other != who);
        self.holder == Some(who)
    }

    /// Its holder has gone: it is again that of the worker before, if that one lives. Else nobody has it.
    pub(super) fn falls_back(&mut self) -> bool {
        let before = self.also.pop();
        self.holder = before.map(|(who, _)| who);
        self.standing = before.map_or(Standing::Waiting, |(_, standing)| standing);
        (self.stuck, self.hung) = (before.is_some(), before.is_some());
        before.is_some()
    }
}
