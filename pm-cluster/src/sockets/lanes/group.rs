//! The group of an address as the kernel has it, and who of it gets new connections.

use std::collections::BTreeSet;

use pm_common::cli::report;
use pm_common::policy::steering;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::{clock, socket};

use super::{Lane, Lanes};
use pm_common::app::status;
use pm_common::kernel::foreign_listeners;

/// A socket of the group, in the kernel's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Lane(usize),
    Foreign(u64),
}

/// What is known of the sockets of other programs in the group.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// Those that were warned of.
    told: BTreeSet<u64>,
    /// When it was looked for them last.
    looked: Option<Mono>,
}

/// A group of fewer sockets than this is looked at whenever its steering changes.
const FEW: usize = 64;
/// Of a larger one that look takes a microsecond for two sockets: it rests a hundred times as long.
const REST_FOR_EACH: Span = Span(50_000);

impl Lanes {
    /// Adds a lane that has begun to listen: the kernel puts it behind all that are there.
    pub(super) fn join_group(&mut self, index: usize) {
        let place = self.group.len();
        self.group.push(Member::Lane(index));
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.place = Some(place);
        }
    }

    /// Removes a socket that listens no more: the kernel puts the last one into its place.
    pub(super) fn leave_group(&mut self, place: usize) {
        if let Member::Lane(index) = self.group.swap_remove(place)
            && let Some(lane) = self.lanes.get_mut(index)
        {
            lane.place = None;
        }
        if let Some(&Member::Lane(moved)) = self.group.get(place)
            && let Some(lane) = self.lanes.get_mut(moved)
        {
            lane.place = Some(place);
        }
        if self.group.is_empty() {
            // The kernel's group ends with its last socket, and its program with it.
            self.attached.clear();
        }
    }

    pub(super) fn best_rank(&self) -> Option<u8> {
        self.listening().map(|(_, lane)| lane.rank()).min()
    }

    /// Has new connections go to the lanes of the best rank, if they do not yet.
    pub(super) fn steer(&mut self) {
        self.note_left_behind();
        if self.is_time_to_look() {
            self.look_for_foreign();
        }
        let best = self.best_rank();
        let rank = |member: &Member| match member {
            Member::Lane(index) => self.lanes.get(*index).map(Lane::rank),
            Member::Foreign(_) => None,
        };
        let chosen = (0..).zip(&self.group).filter(|(_, member)| rank(member) == best);
        let indexes: Vec<u32> = chosen.map(|(index, _)| index).collect();
        let Err(reason) = self.attach(&indexes) else { return };
        self.attached.clear();
        // A lone socket needs no steering, and some cannot have it.
        if !self.told_unsteered && self.group.len() > 1 {
            self.told_unsteered = true;
            self.warnings
                .push(format!("new connections cannot be steered address=tcp:{} reason={reason}", self.at.address));
        }
    }

    fn attach(&mut self, indexes: &[u32]) -> Result<(), String> {
        let sources = self.source_indexes();
        let spread = || steering::program_with(indexes, &sources);
        let program = self.sticky_program(&sources).unwrap_or_else(spread).ok_or("too many separate lanes")?;
        if program == self.attached {
            return Ok(());
        }
        let (_, lane) = self.listening().next().ok_or("no lane")?;
        socket::steer(&lane.fd, &program).map_err(|error| report::reason(&error))?;
        self.attached = program;
        Ok(())
    }

    /// Looking costs time for each socket of the group, and nobody tells when others join or leave: of many sockets
    /// it is not done at each change, one after the other.
    fn is_time_to_look(&self) -> bool {
        let rest = Span(REST_FOR_EACH.0.saturating_mul(u64::try_from(self.group.len()).unwrap_or(u64::MAX)));
        self.group.len() < FEW || self.foreign.looked.is_none_or(|at| clock::now().since(at) >= rest)
    }

    /// Brings the mirror of the group up to date with the sockets of other programs in it.
    pub(super) fn look_for_foreign(&mut self) {
        self.foreign.looked = Some(clock::now());
        // Unreadable: as good as none seen.
        let Ok(seen) = foreign_listeners::listeners_on(self.at.address) else { return };
        let seen: BTreeSet<u64> = seen.into_iter().filter(|inode| !self.ours.contains_key(inode)).collect();
        if seen.is_empty() && self.foreign.told.is_empty() {
            return;
        }
        let gone = |member: &Member| matches!(member, Member::Foreign(inode) if !seen.contains(inode));
        while let Some(hole) = self.group.iter().position(gone) {
            self.leave_group(hole);
        }
        for inode in seen {
            if !self.group.contains(&Member::Foreign(inode)) {
                self.group.push(Member::Foreign(inode));
            }
            if self.foreign.told.insert(inode) {
                let (address, by) = (self.at.address, status::socket_holder(inode));
                self.warnings
                    .push(format!("another program listens on an address of ours address=tcp:{address} by={by}"));
            }
        }
        // Numbers of sockets that are gone are not kept: the kernel may use them again.
        let group = &self.group;
        self.foreign.told.retain(|inode| group.contains(&Member::Foreign(*inode)));
    }
}
