//! How many addresses there may be: each costs us descriptors, whatever the workers ask for.

use std::io;

use pm_common::cli::report;
use pm_common::policy::WorkerId;
use pm_common::sys::fd_limit;
use pm_common::sys::socket::EMFILE;

use super::Sockets;
use super::address::Address;
use super::wanted::BindAddress;

/// The addresses of one slot, so that a worker that runs wild leaves descriptors for the others.
pub const MOST_OF_A_SLOT: usize = 2048;
/// All addresses.
const MOST_ADDRESSES: usize = 8 * MOST_OF_A_SLOT;
/// The sockets of one worker at one address: a server may have one for each of its threads.
const MOST_AT_AN_ADDRESS: usize = 64;

/// Who asks for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A worker that speaks Node's protocol with us: it is told.
    Node,
    /// A program that binds: what we do not keep is its own.
    Program,
}

impl Asker {
    const fn what(self) -> &'static str {
        match self {
            Self::Node => "a worker gets EMFILE for one more address",
            Self::Program => {
                "an address is a worker's own, it is not shared with other workers and a reload cannot bind it"
            }
        }
    }
}

/// The limit that is in the way of one more address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    OfASlot,
    OfAll,
    /// On descriptors: so many we may have.
    Descriptors(usize),
}

impl Limit {
    /// What is in the way, of `slot` addresses of a slot, `all` addresses, `sockets` of ours, and `descriptors` that we
    /// may have.
    const fn of(slot: usize, all: usize, sockets: usize, descriptors: usize) -> Option<Self> {
        if slot >= MOST_OF_A_SLOT {
            Some(Self::OfASlot)
        } else if all >= MOST_ADDRESSES {
            Some(Self::OfAll)
        } else if sockets >= descriptors / 4 * 3 {
            // The rest is for workers to come, and for what they listen on already.
            Some(Self::Descriptors(descriptors))
        } else {
            None
        }
    }

    fn said(self, asker: Asker, slot: u32, sockets: usize) -> String {
        let what = asker.what();
        match self {
            Self::OfASlot => format!(
                "{what}: it has as many as one can have slot={slot} most={MOST_OF_A_SLOT}; have it listen on fewer, or \
                 run it as several apps"
            ),
            Self::OfAll => format!(
                "{what}: the workers have as many as there can be most={MOST_ADDRESSES}; have them listen on fewer, or \
                 run them as several apps"
            ),
            Self::Descriptors(limit) => format!(
                "{what}: too few descriptors may be open sockets={sockets} limit={limit}; raise the hard limit (ulimit \
                 -Hn, LimitNOFILE= of a unit)"
            ),
        }
    }
}

impl Sockets {
    /// Whether a worker of this slot may have one more address; says so where it may not.
    pub(super) fn has_room_for(&mut self, slot: u32, asker: Asker) -> bool {
        if self.limit(slot).is_some() {
            // An app that goes through many ports, one after the other, has closed most of them.
            self.addresses.drop_where(|address| address.idle() && address.is_known_to(slot));
        }
        if matches!(self.limit(slot), Some(Limit::OfAll | Limit::Descriptors(_))) {
            self.addresses.drop_where(Address::idle);
        }
        let limit = self.limit(slot);
        if let Some(limit) = limit {
            self.warn_of(limit, asker, slot);
        }
        limit.is_none()
    }

    fn limit(&self, slot: u32) -> Option<Limit> {
        let of_slot = self.addresses.values().filter(|address| address.is_known_to(slot)).count();
        Limit::of(of_slot, self.addresses.len(), self.addresses.sockets(), fd_limit::most_descriptors())
    }

    /// Says which limit is in the way, once for each slot: the numbers change from call to call.
    fn warn_of(&mut self, limit: Limit, asker: Asker, slot: u32) {
        if self.told_full.insert((slot, asker == Asker::Node)) {
            let sockets = self.addresses.sockets();
            self.manner.warnings.push(limit.said(asker, slot, sockets));
        }
    }

    /// Whether the worker may have one more address, or one more socket at this one.
    pub fn has_room(&mut self, who: WorkerId, at: BindAddress) -> bool {
        let Some(address) = self.addresses.at(at).and_then(|id| self.addresses.get(&id)) else {
            return self.has_room_for(who.slot, Asker::Program);
        };
        let room = address.sockets(who).len() < MOST_AT_AN_ADDRESS;
        if !room {
            let address = &address.at;
            self.manner.warnings.push(format!(
                "a worker binds more sockets to an address than are shared, the others are its own address={address} \
                 most={MOST_AT_AN_ADDRESS}"
            ));
        }
        room
    }

    /// How many addresses a worker listens on.
    #[must_use]
    pub fn count_of(&self, who: WorkerId) -> usize {
        self.addresses.values().filter(|address| address.is_accepted_by(who)).count()
    }

    /// Whether a socket for a worker of this slot could not be had for want of a descriptor, which is said here: those on
    /// their way to workers are not counted beforehand.
    pub(super) fn is_full(&mut self, slot: u32, error: &io::Error) -> bool {
        let full = error.raw_os_error() == Some(EMFILE);
        if full {
            self.warn_of(Limit::Descriptors(fd_limit::most_descriptors()), Asker::Node, slot);
        }
        full
    }

    /// Says that there is no socket for a worker where something is lacking: it is told the errno alone.
    pub(super) fn note_want(&mut self, slot: u32, id: u64, error: &io::Error) {
        if self.is_full(slot, error) {
            return;
        }
        let Some(address) = self.addresses.get(&id).filter(|_| fd_limit::is_want(error)) else { return };
        let (address, reason) = (&address.at, report::reason(error));
        self.manner.warnings.push(format!("a worker cannot listen address={address} reason={reason}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slot_leaves_room_for_others_and_all_leave_descriptors() {
        let many = 1 << 20;
        assert_eq!(Limit::of(MOST_OF_A_SLOT - 1, MOST_ADDRESSES - 1, 4 * MOST_ADDRESSES, many), None);
        assert_eq!(Limit::of(MOST_OF_A_SLOT, MOST_OF_A_SLOT, 0, many), Some(Limit::OfASlot));
        assert_eq!(Limit::of(0, MOST_ADDRESSES, 0, many), Some(Limit::OfAll));
        assert_eq!(Limit::of(10, 10, 767, 1024), None);
        assert_eq!(Limit::of(10, 10, 768, 1024), Some(Limit::Descriptors(1024)));
    }

    #[test]
    fn each_says_what_comes_of_it_how_much_there_is_and_what_to_do() {
        for asker in [Asker::Node, Asker::Program] {
            let said = [Limit::OfASlot, Limit::OfAll, Limit::Descriptors(1024)].map(|limit| limit.said(asker, 3, 768));
            assert!(said.iter().all(|said| said.starts_with(asker.what()) && said.contains("; ")), "{said:?}");
            assert!(said[0].contains("slot=3 most=2048"), "{said:?}");
            assert!(said[1].contains("most=16384"), "{said:?}");
            assert!(said[2].contains("sockets=768 limit=1024"), "{said:?}");
        }
    }
}
