//! What can be seen of a lane and its worker: who waits, and what the worker holds.

use std::collections::{BTreeMap, BTreeSet};

use pm_common::kernel::procfs::{self, Proc};
use pm_common::kernel::sock_diag::{Connection, SeenPorts};
use pm_common::policy::lag::Seen;
use pm_common::sys::socket;

use crate::sockets::LaneView;

/// What a worker has read of each of its connections, in bytes.
pub(super) type Reads = BTreeMap<u64, u64>;

/// What one look has found.
#[derive(Debug)]
pub(super) struct Evidence {
    /// The connections of the port that wait to be accepted.
    pub(super) waiting: BTreeSet<u64>,
    /// Those that the worker's processes have; `None`: one of the processes cannot be seen.
    pub(super) held: Option<Reads>,
    /// Some process has the listener open.
    open: Option<bool>,
    /// Connections that were reset while they waited: they take a place in a queue, and are not shown.
    reset: u32,
}

impl Evidence {
    /// Compares with what waited at the beginning, and what the worker held at the look before.
    pub(super) fn since(&self, waited: &BTreeSet<u64>, held: Option<&Reads>, queue: u32) -> Seen {
        let still = count(waited.intersection(&self.waiting).count()).saturating_add(self.reset);
        let both = held.zip(self.held.as_ref());
        let (took, read) = (both.map(|(before, now)| has_more(before, now)), both.map(|(b, now)| has_read(b, now)));
        Seen { queue, waited: Some(still), took, read, open: self.open }
    }
}

/// Whether a worker has accepted somebody, or read something, since an earlier look. Not known: it has not.
pub(super) fn moves(before: Option<&Reads>, now: Option<&Reads>) -> bool {
    before.zip(now).is_some_and(|(before, now)| has_more(before, now) || has_read(before, now))
}

fn has_more(before: &Reads, now: &Reads) -> bool {
    now.keys().any(|inode| !before.contains_key(inode))
}

fn has_read(before: &Reads, now: &Reads) -> bool {
    now.iter().any(|(inode, read)| before.get(inode).is_some_and(|then| read > then))
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// Looks at lanes; those of one turn see the same connections.
#[derive(Debug, Default)]
pub(super) struct Looks {
    seen: SeenPorts,
    proc: Proc,
}

impl Looks {
    /// A new turn: what was seen before is old.
    pub(super) fn begin(&mut self) {
        self.seen.clear();
    }

    /// A look at a lane; `queued` is what waits in all lanes of its port, counted before. `None`: the kernel does not show
    /// the connections.
    pub(super) fn at(&mut self, lane: &LaneView<'_>, pid: i32, queued: u32) -> Option<Evidence> {
        let all = self.seen.at(&BTreeSet::from([lane.port]))?;
        let waiting: BTreeSet<u64> = all.iter().filter(|one| one.inode == 0).map(|one| one.cookie).collect();
        let reset = queued.saturating_sub(count(waiting.len()));
        let sockets = sockets_below(&mut self.proc, pid);
        let listener = socket::inode(lane.fd).ok()?;
        let open = self.is_open(listener, sockets.as_ref());
        let held = sockets.map(|sockets| reads_of(&all, &sockets).collect());
        Some(Evidence { waiting, held, open, reset })
    }

    /// What a worker that listens on these ports has read of its connections; `None`: that cannot be seen.
    pub(super) fn reads(&mut self, ports: &BTreeSet<u16>, pid: i32) -> Option<Reads> {
        let sockets = sockets_below(&mut self.proc, pid)?;
        Some(reads_of(&self.seen.at(ports)?, &sockets).collect())
    }

    /// A process that has left the worker's tree may have it: all below us are looked at before it is said to be closed.
    fn is_open(&mut self, listener: u64, sockets: Option<&BTreeSet<u64>>) -> Option<bool> {
        if sockets?.contains(&listener) {
            return Some(true);
        }
        let us = rustix::process::getpid().as_raw_nonzero().get();
        let below: Vec<i32> =
            self.proc.tree(us, |_| true).iter().map(|stat| stat.pid).filter(|pid| *pid != us).collect();
        procfs::visible_sockets_of(below.into_iter()).map(|all| all.contains(&listener))
    }
}

/// Of those connections that are among these sockets: what has come and does not wait any more.
fn reads_of(all: &[Connection], sockets: &BTreeSet<u64>) -> impl Iterator<Item = (u64, u64)> {
    let held = all.iter().filter(|one| sockets.contains(&one.inode));
    held.map(|one| (one.inode, one.received.saturating_sub(one.unread.into())))
}

/// The sockets of a process and all below it; `None`: one of them cannot be seen.
fn sockets_below(proc: &mut Proc, pid: i32) -> Option<BTreeSet<u64>> {
    let tree: Vec<i32> = proc.tree(pid, |_| true).iter().map(|stat| stat.pid).collect();
    procfs::visible_sockets_of(tree.into_iter())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::sockets::LaneRef;

    fn us() -> i32 {
        rustix::process::getpid().as_raw_nonzero().get()
    }

    fn look(listener: &TcpListener) -> Evidence {
        let (at, fd, port) = (LaneRef::default(), listener.as_fd(), listener.local_addr().expect("bound").port());
        let held = LaneView {
            at,
            fd,
            key: None,
            address: &pm_common::policy::listening::Listening::Unknown,
            port,
            slot: None,
            holder: None,
            awaited: false,
            has_others: false,
        };
        Looks::default().at(&held, us(), socket::accept_queue(listener).expect("listens")).expect("a monitor")
    }

    #[test]
    fn who_waits_and_what_was_taken_since_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let connect = || TcpStream::connect(address).expect("connects");
        let clients = [connect(), connect()];
        let first = look(&listener);
        assert_eq!((first.waiting.len(), first.reset, first.open), (2, 0, Some(true)));
        let since = |now: &Evidence, queue| now.since(&first.waiting, first.held.as_ref(), queue);
        let still = Seen { queue: 2, waited: Some(2), took: Some(false), read: Some(false), open: Some(true) };
        assert_eq!(since(&look(&listener), 2), still);
        let (_taken, _) = listener.accept().expect("accepts");
        let _one_more = connect();
        assert_eq!(since(&look(&listener), 2), Seen { waited: Some(1), took: Some(true), ..still });
        drop(clients);
        assert_eq!(look(&listener).waiting.len(), 2, "a client that has closed its end still waits");
    }

    #[test]
    fn a_client_that_has_reset_its_connection_keeps_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let _waits = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let resets = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let first = look(&listener);
        rustix::net::sockopt::set_socket_linger(&resets, Some(std::time::Duration::ZERO)).expect("an option");
        drop(resets);
        let now = look(&listener);
        assert_eq!((now.waiting.len(), now.reset), (1, 1));
        assert_eq!(now.since(&first.waiting, first.held.as_ref(), 2).waited, Some(2));
    }

    #[test]
    fn what_a_worker_has_read_is_not_what_has_come() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let reads = || Looks::default().reads(&BTreeSet::from([address.port()]), us());
        let mut client = TcpStream::connect(address).expect("connects");
        let nobody = reads();
        let (mut server, _) = listener.accept().expect("accepts");
        let accepted = reads();
        assert!(moves(nobody.as_ref(), accepted.as_ref()));
        client.write_all(b"question").expect("sent");
        assert!(!moves(accepted.as_ref(), reads().as_ref()));
        server.read_exact(&mut [0; 3]).expect("read");
        let some = reads();
        assert!(moves(accepted.as_ref(), some.as_ref()));
        client.shutdown(std::net::Shutdown::Write).expect("open");
        assert!(!moves(some.as_ref(), reads().as_ref()), "nor the end");
        assert!(!moves(None, some.as_ref()) && !moves(some.as_ref(), None));
    }

    #[test]
    fn only_an_open_listener_is_open() {
        let mut looks = Looks::default();
        assert_eq!(looks.is_open(u64::MAX, Some(&BTreeSet::from([u64::MAX]))), Some(true));
        assert_eq!(looks.is_open(u64::MAX, Some(&BTreeSet::new())), Some(false));
        assert_eq!(looks.is_open(u64::MAX, None), None);
    }
}
