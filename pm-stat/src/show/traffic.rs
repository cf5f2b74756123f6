//! What waits for workers and what they serve, as the kernel knows it at the time of asking: one look for all apps.
//!
//! A connection belongs to the worker whose tree of processes has its socket open; a queue to the listening socket. Where
//! that cannot be told (another user's process, another network) there is no figure: 0 would be a lie.

use std::collections::{BTreeMap, BTreeSet};

use pm_common::kernel::procfs;
use pm_common::kernel::sock_diag::{self, Socket};
use pm_common::policy::listening::Listening;

use crate::show::row::{Row, Traffic};

/// Adds the figures to the rows; where nothing listens at a TCP port, nothing is asked.
pub(crate) fn add(rows: &mut [Row<'_>]) {
    let ports: BTreeSet<u16> = rows.iter().flat_map(ports_of).collect();
    if ports.is_empty() {
        return;
    }
    let Ok(sockets) = sock_diag::at_ports(&ports) else { return };
    let queues = Queues::of(&sockets);
    let shared = shared(rows);
    let mut open = Open::of(&sockets);
    for row in rows.iter_mut().filter(|row| row.usage.is_some()) {
        let (waiting, both) = queues.queues(row, &shared);
        let ours = ports_of(row);
        let here = waiting.is_some() || both.is_some() || row.pid.and_then(procfs::shares_network) == Some(true);
        let connections = if ours.is_empty() || !here { None } else { open.of_worker(row, &ours) };
        row.traffic = Traffic { queue: waiting, queue_shared: both, connections };
    }
}

/// The TCP ports of the workers that this one belongs to (`tcp:HOST:PORT`): one that drains has closed its own listener,
/// and what it has left is of interest above all.
fn ports_of(row: &Row<'_>) -> Vec<u16> {
    let addresses = row.supervisor.filter(|_| row.worker.is_some()).into_iter().flat_map(|told| &told.addresses);
    addresses.filter_map(|address| Some(Listening::parse(address)?.tcp()?.port())).collect()
}

/// What waits for these workers of one app in all, a queue that they share counted once.
pub(crate) fn waiting(rows: &[Row<'_>]) -> Option<u64> {
    let own = rows.iter().filter_map(|row| row.traffic.queue);
    let shared = rows.iter().filter_map(|row| row.traffic.queue_shared).max();
    own.chain(shared).reduce(|a, b| a + b)
}

/// The sockets that more than one worker accepts from.
fn shared(rows: &[Row<'_>]) -> BTreeSet<u64> {
    let mut once = BTreeSet::new();
    let all = rows.iter().filter_map(|row| row.worker).flat_map(|worker| &worker.sockets);
    all.copied().filter(|socket| !once.insert(*socket)).collect()
}

/// The listeners that the kernel told of.
struct Queues(BTreeMap<u64, u64>);

impl Queues {
    fn of(sockets: &[Socket]) -> Self {
        Self(sockets.iter().filter_map(|one| Some((one.inode, one.waiting?.into()))).collect())
    }

    /// What waits in the worker's own sockets, and in those that it shares.
    fn queues(&self, row: &Row<'_>, shared: &BTreeSet<u64>) -> (Option<u64>, Option<u64>) {
        let (mut own, mut both) = (None, None);
        for socket in row.worker.into_iter().flat_map(|worker| &worker.sockets) {
            if let Some(waiting) = self.0.get(socket) {
                *if shared.contains(socket) { &mut both } else { &mut own }.get_or_insert(0) += waiting;
            }
        }
        (own, both)
    }
}

/// The accepted connections, until somebody is found to have them open.
struct Open {
    /// By the number of the socket: its port.
    left: BTreeMap<u64, u16>,
    /// How many are left at each port.
    at: BTreeMap<u16, u64>,
}

impl Open {
    fn of(sockets: &[Socket]) -> Self {
        let accepted = sockets.iter().filter(|one| one.waiting.is_none() && one.inode != 0);
        let left: BTreeMap<_, _> = accepted.map(|one| (one.inode, one.port)).collect();
        let mut at = BTreeMap::new();
        left.values().for_each(|port| *at.entry(*port).or_default() += 1);
        Self { left, at }
    }

    /// How many the processes of this worker have open. They are looked at only as long as there is something to find.
    fn of_worker(&mut self, row: &Row<'_>, ports: &[u16]) -> Option<u64> {
        let mut found = 0;
        for pid in row.usage.iter().flat_map(|usage| &usage.pids) {
            if !self.any_at(ports) {
                break;
            }
            let taken = procfs::each_socket(*pid, |inode| {
                found += u64::from(self.take(inode, ports));
                self.any_at(ports)
            });
            // What another user's process has open may be its own or not: nobody can tell.
            taken.ok()?;
        }
        Some(found)
    }

    fn any_at(&self, ports: &[u16]) -> bool {
        ports.iter().any(|port| self.at.get(port).is_some_and(|left| *left > 0))
    }

    fn take(&mut self, inode: u64, ports: &[u16]) -> bool {
        let Some(port) = self.left.get(&inode).copied().filter(|port| ports.contains(port)) else { return false };
        self.left.remove(&inode);
        if let Some(left) = self.at.get_mut(&port) {
            *left -= 1;
        }
        true
    }
}
