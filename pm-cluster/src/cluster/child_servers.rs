//! Servers below a worker that is Node: in processes that it starts, and in its threads. These bind by themselves.
//!
//! Most workers of Node have none, and to be watched costs them a part of each system call and, without privileges, their
//! sudo. So they start unwatched, and are looked at from outside for a while. Where one is found to listen on a port
//! that we did not give it, its socket becomes a lane of its slot, workers are watched from there on, and those that were
//! started before are replaced.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use pm_common::cli::report;
use pm_common::kernel::procfs::{self, Proc};
use pm_common::kernel::{all_listeners, foreign_listeners};
use pm_common::node::inspector::{Debugger, Whose};
use pm_common::node::message::Outgoing;
use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::clock;

use super::Cluster;
use crate::bind::Fanout;
use crate::bind::probe::{self, Choice, FanoutChoice};
use crate::sockets::Sockets;

/// The first look, and the shortest time between two.
const FIRST: Span = Span::millis(50);
/// Looks come the later the longer they go on: after this part of the time that has passed.
const PART: u64 = 3;
/// A worker is looked at for so long after its start, and again after it was ready.
const LONGEST: Span = Span::secs(10);

/// The workers that are not watched, and what their servers come to.
#[derive(Debug, Default)]
pub(crate) struct Below {
    /// Workers start unwatched until one is found to need it.
    learns: bool,
    workers: BTreeMap<WorkerId, Unwatched>,
    proc: Proc,
    /// What has come of looks.
    events: VecDeque<Event>,
}

/// A worker that is not watched.
#[derive(Debug)]
struct Unwatched {
    pid: i32,
    debugger: Debugger,
    since: Mono,
    /// When to look; `None`: no more.
    next: Option<Mono>,
}

impl Unwatched {
    fn begin(&mut self) {
        let now = clock::now();
        (self.since, self.next) = (now, Some(now + FIRST));
    }
}

/// A listener that a process of a worker has, and nobody gave it.
type Found = (i32, u64, SocketAddr);

impl Below {
    pub(super) fn new(learns: bool) -> Self {
        Self { learns, ..Self::default() }
    }

    /// A worker is about to start.
    pub(super) fn prepare(&mut self, id: WorkerId, debugger: Debugger) {
        if self.learns {
            self.workers.insert(id, Unwatched { pid: 0, debugger, since: Mono(0), next: None });
        }
    }

    /// A worker has said where its debugger is; `None`: its channel has closed.
    pub(super) fn inspects(&mut self, id: WorkerId, port: Option<u16>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match port {
            Some(port) => worker.debugger.is_at(port),
            None => worker.debugger.silent(),
        }
        worker.next = Some(clock::now());
    }

    pub(super) fn started(&mut self, id: WorkerId, pid: i32) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.pid = pid;
            worker.begin();
        }
    }

    /// The worker is ready: what it starts by itself may come now.
    pub(super) fn serves(&mut self, id: WorkerId) {
        self.workers.get_mut(&id).into_iter().for_each(Unwatched::begin);
    }

    /// The worker is to go: what it has open goes, too, and it has no channel to be asked on.
    pub(super) fn leaves(&mut self, id: WorkerId) {
        self.workers.remove(&id);
    }

    /// Forgets a worker that has ended; whether it was one that is not watched.
    pub(super) fn ended(&mut self, id: WorkerId) -> bool {
        self.workers.remove(&id).is_some()
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let due = self.workers.values().filter_map(|worker| worker.next).min();
        if self.events.is_empty() { due } else { Some(clock::now()) }
    }

    pub(super) fn take_events(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.events)
    }

    /// The workers whose time has come; of each the next look is put off.
    fn due(&mut self, now: Mono) -> Vec<WorkerId> {
        let mut due = Vec::new();
        for (id, worker) in self.workers.iter_mut().filter(|(_, worker)| worker.next.is_some_and(|at| at <= now)) {
            let age = now.since(worker.since);
            worker.next = (age < LONGEST).then(|| now + Span(age.0 / PART).max(FIRST));
            due.push(*id);
        }
        due
    }

    /// What these workers listen on by themselves, in processes and threads that do not ask us. `refused`: somebody was
    /// refused a port; else one from the kernel's range is taken for one of the kernel's choice, which nobody shares.
    fn look(&mut self, ids: &[WorkerId], refused: bool, sockets: &Sockets) -> Vec<(WorkerId, Found)> {
        let (now, chosen) = (clock::now(), foreign_listeners::chosen_ports());
        let all = all_listeners::tcp_listeners().unwrap_or_default().into_iter();
        let others: BTreeMap<u64, SocketAddr> =
            all.filter(|(inode, at)| !sockets.knows(*inode) && (refused || !chosen.contains(&at.port()))).collect();
        if others.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for id in ids {
            let Some(Unwatched { pid, debugger, .. }) = self.workers.get_mut(id) else { continue };
            let tree: Vec<i32> =
                self.proc.tree(*pid, |stat| !procfs::is_supervisor(stat)).iter().map(|stat| stat.pid).collect();
            let mut held = BTreeMap::new();
            for pid in tree {
                let _ = procfs::each_socket(pid, |inode| {
                    others.get(&inode).map(|at| held.entry(inode).or_insert((pid, inode, *at)));
                    true
                });
            }
            // To be shared is what a process or a thread serves; not what the main thread of Node has opened beside the
            // channel (`exclusive`), nor a debugger.
            let mut whose = |(pid, inode, at): Found| debugger.whose(pid, inode, &Listening::Tcp(at), now);
            let shared = held.into_values().filter(|one| whose(*one) == Whose::Other);
            found.extend(shared.map(|one| (*id, one)));
        }
        found
    }
}

impl Cluster {
    /// Looks for servers below workers whose time has come.
    pub(super) fn look_below(&mut self) {
        let due = self.below.due(clock::now());
        if !due.is_empty() {
            self.look_below_of(&due, false);
        }
    }

    /// A worker has ended, perhaps because a process or thread of it was refused a port that one of another has. Whether
    /// the next one need not fear that: it is watched, and this one was not.
    pub(super) fn learns_from_end(&mut self, id: WorkerId) -> bool {
        if !self.below.ended(id) {
            return false;
        }
        if self.below.learns {
            let all: Vec<WorkerId> = self.below.workers.keys().copied().collect();
            self.look_below_of(&all, true);
        }
        !self.below.learns && self.binds.watches()
    }

    fn look_below_of(&mut self, ids: &[WorkerId], refused: bool) {
        let found = self.below.look(ids, refused, &self.sockets);
        let asked = self.below.workers.iter_mut().filter_map(|(id, worker)| worker.debugger.asks().then_some(*id));
        asked.for_each(|id| self.primary.send(id, &Outgoing::Inspector));
        for (id, found) in found {
            if self.below.learns && !self.learn_to_watch(found.2) {
                return;
            }
            if let Some(address) = self.binds.take(id, found, &mut self.sockets) {
                // Its successors are held to what they are seen to bind.
                self.below.events.push_back(Event::Listening { id, address, fixed: false });
            }
        }
    }

    /// Has workers watched from here on, and those that are not replaced; false: that cannot be, or not yet.
    fn learn_to_watch(&mut self, at: SocketAddr) -> bool {
        let Ok(Choice { fanout, why }) = probe::choose(FanoutChoice::Auto, &self.settings.argv) else { return false };
        self.below.learns = false;
        if fanout != Fanout::Own {
            let remedy = match fanout {
                Fanout::Made => "--fanout lanes shares it",
                _ => "run one worker, or have it listen in the main process (see pm-cluster --probe)",
            };
            report::warning(format_args!(
                "a process or thread of a worker listens by itself, and others of its port get EADDRINUSE address={at} \
                 reason={}; {remedy}",
                why.unwrap_or_default()
            ));
            self.below.workers.clear();
            return false;
        }
        report::info(format_args!(
            "a process or thread of a worker listens by itself: workers are started again, one after the other, so that \
             they share its port address={at}"
        ));
        self.binds.watch(fanout);
        self.below.events.extend(self.below.workers.keys().map(|id| Event::Outmoded(*id)));
        true
    }
}
