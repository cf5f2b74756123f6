//! Lanes in service, for the one who looks whether their workers take from them.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use pm_common::policy::WorkerId;

use super::{LaneRef, Listeners};
use crate::sockets::address::{Entry, Source};
use crate::sockets::lanes::Lanes;

/// A lane whose worker is in service.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// Its name.
    pub lane: LaneRef,
    /// To be polled for a connection that waits; nobody but the worker accepts here.
    pub fd: BorrowedFd<'a>,
    /// The worker.
    pub who: WorkerId,
    /// For people.
    pub address: &'a str,
    /// The port.
    pub port: u16,
    /// Another worker is in service at this address.
    pub has_others: bool,
}

impl Listeners {
    /// The lanes of workers in service.
    pub fn held(&self) -> impl Iterator<Item = Held<'_>> {
        self.entries.iter().flat_map(|(&entry, of)| {
            let lanes = if let Source::Lanes(lanes) = &of.source { Some(lanes) } else { None };
            let has_others = lanes.is_some_and(|lanes| lanes.in_service().nth(1).is_some());
            let port = lanes.map_or(0, |lanes| lanes.address().port());
            lanes.into_iter().flat_map(Lanes::in_service).map(move |(lane, fd, who)| Held {
                lane: LaneRef { entry, lane },
                fd,
                who,
                address: &of.description,
                port,
                has_others,
            })
        })
    }

    /// The ports that a worker takes connections on.
    #[must_use]
    pub fn ports(&self, who: WorkerId) -> BTreeSet<u16> {
        let entries = self.entries.values().filter(|entry| entry.is_accepted_by(who));
        entries.filter_map(Entry::port).collect()
    }

    /// All connections that wait in lanes of this port.
    #[must_use]
    pub fn queued(&self, port: u16) -> u32 {
        self.entries
            .values()
            .filter(|entry| entry.port() == Some(port))
            .map(|entry| match &entry.source {
                Source::Lanes(lanes) => lanes.queued(),
                Source::Shared { .. } | Source::RoundRobin { .. } => 0,
            })
            .sum()
    }

    /// Steers a lane away whose worker takes nothing from it, as long as there are others; or in again. Says whether new
    /// connections go elsewhere now.
    pub fn set_stuck(&mut self, lane: LaneRef, stuck: bool) -> bool {
        match self.entries.get_mut(lane.entry).map(|entry| &mut entry.source) {
            Some(Source::Lanes(lanes)) => lanes.set_stuck(lane.lane, stuck, &mut self.warnings),
            _ => false,
        }
    }

    /// The worker hangs, and is being replaced: its lanes are for the one that replaces it. Or it does not hang any more.
    pub fn give_up(&mut self, who: WorkerId, hangs: bool) {
        for entry in self.entries.values_mut() {
            if let Source::Lanes(lanes) = &mut entry.source {
                lanes.give_up(who, hangs);
            }
        }
    }
}
