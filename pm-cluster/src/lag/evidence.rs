//! What can be seen of a lane and its worker: who waits, and what the worker holds.

use std::collections::{BTreeMap, BTreeSet};

use pm_common::connections::{self, Connection};
use pm_common::policy::lag::Seen;
use pm_common::procfs::Proc;
use pm_common::sys::socket;

use crate::bind::visible_sockets_of;
use crate::listeners::stuck::Held;

/// What one look has found.
#[derive(Debug)]
pub(super) struct Evidence {
    /// The connections of the port that wait to be accepted.
    pub(super) waiting: BTreeSet<u64>,
    /// Those that the worker's processes have; `None`: one of the processes cannot be seen.
    pub(super) held: Option<BTreeSet<u64>>,
    /// Some process has the listener open.
    open: Option<bool>,
    /// Connections that were reset while they waited: they take a place in a queue, and are not shown.
    reset: u32,
}

impl Evidence {
    /// Compares with what waited at the beginning, and what the worker held at the look before.
    pub(super) fn since(&self, waited: &BTreeSet<u64>, held: Option<&BTreeSet<u64>>, queue: u32) -> Seen {
        let still = count(waited.intersection(&self.waiting).count()).saturating_add(self.reset);
        let took = self.held.as_ref().zip(held).map(|(now, before)| !now.is_subset(before));
        Seen { queue, waited: Some(still), took, open: self.open }
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// Looks at lanes; those of one turn see the same connections.
#[derive(Debug, Default)]
pub(super) struct Looks {
    ports: BTreeMap<u16, Option<Vec<Connection>>>,
    proc: Proc,
}

impl Looks {
    /// A new turn: what was seen before is old.
    pub(super) fn begin(&mut self) {
        self.ports.clear();
    }

    /// A look at a lane; `queued` is what waits in all lanes of its port, counted before. `None`: the kernel does not show
    /// the connections.
    pub(super) fn at(&mut self, lane: &Held<'_>, pid: i32, queued: u32) -> Option<Evidence> {
        let all = self.ports.entry(lane.port).or_insert_with(|| connections::of_port(lane.port).ok()).as_ref()?;
        let waiting: BTreeSet<u64> = all.iter().filter(|one| one.inode == 0).map(|one| one.cookie).collect();
        let reset = queued.saturating_sub(count(waiting.len()));
        let sockets = sockets_below(&mut self.proc, pid);
        let listener = socket::inode(lane.fd).ok()?;
        let open = self.is_open(listener, sockets.as_ref());
        let all = self.ports.get(&lane.port).and_then(Option::as_ref)?;
        let of = |sockets: BTreeSet<u64>| all.iter().map(|one| one.inode).filter(|n| sockets.contains(n)).collect();
        Some(Evidence { waiting, held: sockets.map(of), open, reset })
    }

    /// A process that has left the worker's tree may have it: all below us are looked at before it is said to be closed.
    fn is_open(&mut self, listener: u64, sockets: Option<&BTreeSet<u64>>) -> Option<bool> {
        if sockets?.contains(&listener) {
            return Some(true);
        }
        let us = rustix::process::getpid().as_raw_nonzero().get();
        let below: Vec<i32> =
            self.proc.tree(us, |_| true).iter().map(|stat| stat.pid).filter(|pid| *pid != us).collect();
        visible_sockets_of(below.into_iter()).map(|all| all.contains(&listener))
    }
}

/// The sockets of a process and all below it; `None`: one of them cannot be seen.
fn sockets_below(proc: &mut Proc, pid: i32) -> Option<BTreeSet<u64>> {
    let tree: Vec<i32> = proc.tree(pid, |_| true).iter().map(|stat| stat.pid).collect();
    visible_sockets_of(tree.into_iter())
}
