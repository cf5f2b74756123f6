//! Addresses that nobody serves: what comes waits there for the next worker, but not for ever.
//!
//! A worker that starts may take its time. One that ends again and again, or listens elsewhere, comes to nobody: after
//! [`PATIENCE`] the sockets are shut down, which refuses who comes and resets who waits. The next
//! worker that wants the address finds them listening again.

use std::collections::BTreeSet;

use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::{clock, socket};

use super::Sockets;
use super::address::Address;
use super::lanes::Standing;
use super::source::Source;
use super::wanted::{BindAddress, LEAST_BACKLOG};

/// How long an address waits for a worker: longer than any delay between restarts by default, and about as long as
/// clients wait.
const PATIENCE: Span = Span::secs(30);

impl Sockets {
    /// When the next address has waited long enough for a worker.
    #[must_use]
    pub fn refuses_at(&self) -> Option<Mono> {
        self.addresses.values().filter_map(|address| Some(self.unserved_since(address)? + PATIENCE)).min()
    }

    /// Whether the worker has not been ready yet: it may come to serve any address.
    #[must_use]
    pub fn may_come(&self, who: WorkerId) -> bool {
        self.standing(who) == Standing::Waiting
    }

    /// Refuses connections at addresses that have waited long enough; gives these.
    pub fn refuse_unserved(&mut self, now: Mono) -> Vec<Listening> {
        let late = |address: &Address| self.unserved_since(address).is_some_and(|since| since + PATIENCE <= now);
        let late: Vec<u64> = self.addresses.iter().filter(|(_, address)| late(address)).map(|(id, _)| *id).collect();
        let refuse = |id| {
            let address = self.addresses.get_mut(id)?;
            address.refuse();
            Some(address.at.clone())
        };
        late.into_iter().filter_map(refuse).collect()
    }

    /// When clients have waited long enough in a lane without a worker while others serve; `starting`: the slots whose
    /// workers start, and may take what waits there. Those of Node are passed on sooner, or once somebody has room.
    pub fn lets_left_behind_go_at(&self, starting: &BTreeSet<u32>) -> Option<Mono> {
        let own = self.addresses.values().filter(|address| address.key.is_none());
        own.filter_map(|address| address.source.lanes()?.lets_left_behind_go_at(|slot| comes(starting, slot))).min()
    }

    /// Closes the connections of those that have waited long enough there; gives the addresses, and how many.
    pub fn let_left_behind_go(&mut self, now: Mono, starting: &BTreeSet<u32>) -> Vec<(Listening, usize)> {
        let own = self.addresses.values_mut().filter(|address| address.key.is_none());
        let let_go = own.filter_map(|address| {
            let lanes = address.source.lanes_mut()?;
            Some((address.at.clone(), lanes.let_left_behind_go(now, |slot| comes(starting, slot))))
        });
        let_go.filter(|(_, count)| *count > 0).collect()
    }

    /// What we were started with is not ours to shut down, and a unix socket that was cannot listen again.
    fn unserved_since(&self, address: &Address) -> Option<Mono> {
        let outside = || self.outside.iter().any(|outside| outside.is_at(&address.at));
        let tcp = matches!(address.at, Listening::Tcp(_)) && !address.refuses;
        address.left.filter(|_| tcp && !outside())
    }

    /// Has the address listen again, if it was refused: a worker wants it.
    pub(super) fn open_again(&mut self, at: BindAddress) {
        if let Some(address) = self.addresses.at(at).and_then(|id| self.addresses.get_mut(id)) {
            address.open_again();
        }
    }
}

/// Whether a worker of these slots may take a lane of this slot, or one of none.
fn comes(starting: &BTreeSet<u32>, slot: Option<u32>) -> bool {
    slot.map_or(!starting.is_empty(), |slot| starting.contains(&slot))
}

impl Address {
    fn refuse(&mut self) {
        self.refuses = true;
        match &mut self.source {
            Source::Lanes(lanes) => lanes.shut_all(),
            Source::Shared { fd, .. } | Source::RoundRobin { fd, .. } => {
                _ = rustix::net::shutdown(&*fd, rustix::net::Shutdown::Both)
            }
        }
    }

    /// Has it listen again, if it was refused.
    pub(super) fn open_again(&mut self) {
        if !std::mem::take(&mut self.refuses) {
            return;
        }
        // The worker may end before it listens.
        self.left = Some(clock::now());
        match &mut self.source {
            Source::Lanes(lanes) => lanes.revive_all(),
            Source::Shared { fd, .. } | Source::RoundRobin { fd, .. } => _ = socket::listen(fd, LEAST_BACKLOG),
        }
    }
}
