//! Lanes that their workers may shut down.

use std::os::fd::BorrowedFd;

use super::{LaneRef, Listeners};
use crate::entry::Source;
use crate::lanes::Lanes;

impl Listeners {
    /// The lanes that workers have, to be polled for nothing but their end.
    pub fn given(&self) -> impl Iterator<Item = (LaneRef, BorrowedFd<'_>)> {
        self.entries.iter().flat_map(|(&entry, of)| {
            let lanes = if let Source::Lanes(lanes) = &of.source { Some(lanes) } else { None };
            lanes.into_iter().flat_map(Lanes::given).map(move |(lane, fd)| (LaneRef { entry, lane }, fd))
        })
    }

    /// Takes note of a lane that may have been shut down; says whether it was.
    pub fn look_if_shut(&mut self, lane: LaneRef) -> bool {
        match self.entries.get_mut(&lane.entry).map(|entry| &mut entry.source) {
            Some(Source::Lanes(lanes)) => lanes.look_if_shut(lane.lane, &mut self.warnings),
            _ => false,
        }
    }
}
