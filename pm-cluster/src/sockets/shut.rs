//! Lanes that their workers may shut down.

use std::io;
use std::os::fd::BorrowedFd;

use pm_common::policy::WorkerId;
use pm_common::sys::socket;

use super::bound::LEAST_BACKLOG;
use super::{LaneRef, Listeners};
use crate::sockets::address::Source;
use crate::sockets::lanes::Lanes;

impl Listeners {
    /// The lanes that workers have, to be polled for nothing but their end.
    pub fn given(&self) -> impl Iterator<Item = (LaneRef, BorrowedFd<'_>)> {
        self.entries.iter().flat_map(|(&entry, of)| {
            let lanes = if let Source::Lanes(lanes) = &of.source { Some(lanes) } else { None };
            lanes.into_iter().flat_map(Lanes::given).map(move |(lane, fd)| (LaneRef { entry, lane }, fd))
        })
    }

    /// Takes note of a lane that may have been shut down; if it was, gives whose it is, and its address.
    pub fn look_if_shut(&mut self, lane: LaneRef) -> Option<(WorkerId, String)> {
        let entry = self.entries.get_mut(lane.entry)?;
        let Source::Lanes(lanes) = &mut entry.source else { return None };
        let holder = lanes.holder(lane.lane)?;
        lanes.look_if_shut(lane.lane, &mut self.warnings).then(|| (holder, entry.description.clone()))
    }

    /// Has a socket of ours listen again, if it was shut down.
    ///
    /// # Errors
    /// That of listen(2).
    pub fn listen_again(&mut self, inode: u64) -> io::Result<()> {
        let found = self.entries.of_socket(inode);
        let Some(entry) = found.and_then(|id| self.entries.get_mut(id)) else { return Ok(()) };
        match &mut entry.source {
            Source::Lanes(lanes) => lanes.listen_again(inode, &mut self.warnings),
            Source::Shared { fd, .. } if !socket::is_listening(&*fd).unwrap_or(true) => {
                socket::listen(fd, LEAST_BACKLOG)
            }
            Source::Shared { .. } | Source::RoundRobin { .. } => Ok(()),
        }
    }

    /// Whether this worker has a lane that it has shut down.
    #[must_use]
    pub fn has_shut(&self, who: WorkerId) -> bool {
        self.entries.values().any(|entry| matches!(&entry.source, Source::Lanes(lanes) if lanes.has_shut(who)))
    }
}
