//! The processes of workers: their ends, and what they leave behind.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sys::signal::Signal;

use super::{Adapter, Supervise, Token, borrowed};
use crate::notify::NotifySocket;
use crate::policy::WorkerId;
use crate::policy::supervisor::Event;
use crate::procfs::{Proc, Stat};
use crate::sys::process::{self, Child};

/// What belongs to a worker and must have ended before the worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Its process group (pm-cluster).
    Group,
    /// Everything below this supervisor (pm-restart: it has one child at a time).
    Tree,
}

/// A worker's process, from its start until all of it has ended.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    /// Field 22 of /proc/PID/stat: with the pid it names the process for ever.
    pub(super) start: Option<u64>,
    pub(super) notify: NotifySocket,
    /// The process that announced itself as a supervisor: the child, or below it.
    pub(super) supervisor: Option<OwnedFd>,
    /// The leader has ended and is kept as a zombie, so that the number of its group stays its own.
    ended: bool,
    /// What is left of it: readable once they end.
    leftovers: Vec<OwnedFd>,
    /// Adopted processes that were sent TERM.
    told: Vec<i32>,
    /// Supervisors below it that are no link of this chain.
    others: Vec<i32>,
}

/// More supervisors below one worker than this are not told apart.
const MOST_OTHERS: usize = 64;
/// Datagrams of a worker that has ended: what it said last matters, but is not endless.
const LAST_DATAGRAMS: usize = 64;

impl Process {
    pub(super) fn new(child: Child, notify: NotifySocket) -> Self {
        let start = crate::procfs::start_time(child.pid);
        Self {
            child,
            start,
            notify,
            supervisor: None,
            ended: false,
            leftovers: Vec::new(),
            told: Vec::new(),
            others: Vec::new(),
        }
    }

    /// This process below it speaks for workers of its own.
    pub(super) fn not_heard(&mut self, pid: Option<i32>) {
        if self.others.len() < MOST_OTHERS {
            self.others.extend(pid);
        }
    }

    /// Whether what this process says is said of the worker.
    pub(super) fn hears(&self, pid: Option<i32>) -> bool {
        pid.is_none_or(|pid| !self.others.contains(&pid))
    }

    /// Its leader still runs.
    pub(super) fn is_running(&self) -> bool {
        !self.ended
    }

    pub(super) fn sources(&self, id: WorkerId) -> Vec<(Token, BorrowedFd<'_>)> {
        let mut sources = vec![(Token::Notify(id), borrowed(&self.notify))];
        if self.ended {
            sources.extend(self.leftovers.iter().map(|fd| (Token::Leftovers(id), borrowed(fd))));
        } else {
            sources.push((Token::Exit(id), borrowed(&self.child.pidfd)));
            sources.extend(self.supervisor.iter().map(|fd| (Token::Below(id), borrowed(fd))));
        }
        sources
    }
}

impl<A: Adapter> Supervise<A> {
    /// The pidfd says that a leader has ended: look how, and what it left behind.
    pub(super) fn leader_ended(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(exit) = process::peek_exit(process.child.pid) else { return };
        process.ended = true;
        // What it said last must be known before its end is judged.
        for _ in 0..LAST_DATAGRAMS {
            if !self.read_notification(id) {
                break;
            }
        }
        let leftovers = self.find_leftovers(id);
        if !leftovers {
            self.forget(id);
        }
        self.adapter.ended(id);
        self.events.push_back(Event::Ended { id, exit, leftovers });
    }

    /// One of the leftovers has ended: look what remains.
    pub(super) fn look_at_leftovers(&mut self, id: WorkerId) {
        self.reap_orphans();
        if self.processes.get(&id).is_some_and(|p| p.ended) && !self.find_leftovers(id) {
            self.forget(id);
            self.events.push_back(Event::Gone(id));
        }
    }

    /// Reaps the leader; from here on its pid may be another's.
    fn forget(&mut self, id: WorkerId) {
        if let Some(process) = self.processes.remove(&id) {
            process::reap(process.child.pid);
        }
    }

    /// Finds what of the worker still lives, and watches it.
    fn find_leftovers(&mut self, id: WorkerId) -> bool {
        let Some(process) = self.processes.get_mut(&id) else { return false };
        let left = left_of(&mut self.proc, self.scope, process.child.pid);
        // Opened, then looked at again: a pid that ended in between could already be another's.
        process.leftovers = left
            .iter()
            .filter_map(|stat| {
                let fd = process::open_pidfd(stat.pid).ok()?;
                (crate::procfs::start_time(stat.pid) == Some(stat.start_time)).then_some(fd)
            })
            .collect();
        !process.leftovers.is_empty()
    }

    pub(super) fn stop_leftovers(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        match self.scope {
            Scope::Group => process::signal_group(process.child.pid, Signal::SIGTERM),
            // Their own children are their own business: a pm-cluster among them stops its workers in order.
            Scope::Tree => {
                for stat in self.proc.children(own_pid()) {
                    if stat.pid != process.child.pid && !stat.is_zombie() && !process.told.contains(&stat.pid) {
                        process.told.push(stat.pid);
                        process::signal_pid(stat.pid, Signal::SIGTERM);
                    }
                }
            }
        }
    }

    pub(super) fn kill(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get(&id) else { return };
        process::signal_group(process.child.pid, Signal::SIGKILL);
        if self.scope == Scope::Tree {
            for stat in left_of(&mut self.proc, self.scope, process.child.pid) {
                process::signal_pid(stat.pid, Signal::SIGKILL);
            }
        }
    }

    /// Reaps what was orphaned to us and has ended; leaders are reaped where their end is handled.
    pub(super) fn reap_orphans(&mut self) {
        let leaders: Vec<i32> = self.processes.values().map(|p| p.child.pid).collect();
        for stat in self.proc.children(own_pid()) {
            if stat.is_zombie() && !leaders.contains(&stat.pid) {
                process::reap(stat.pid);
            }
        }
        if self.scope == Scope::Tree {
            self.tell_new_orphans();
        }
    }

    /// Orphans that came while a child is being cleared away were not told yet.
    fn tell_new_orphans(&mut self) {
        let clearing: Vec<WorkerId> =
            self.processes.iter().filter(|(_, p)| p.ended && !p.told.is_empty()).map(|(id, _)| *id).collect();
        clearing.into_iter().for_each(|id| self.stop_leftovers(id));
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The living processes that belong to a worker whose leader has ended.
fn left_of(proc: &mut Proc, scope: Scope, leader: i32) -> Vec<Stat> {
    let own = own_pid();
    let tree = proc.tree(own, |_| true);
    let belongs = |stat: &&Stat| match scope {
        Scope::Group => stat.pgrp == leader,
        Scope::Tree => true,
    };
    tree.iter().filter(|s| s.pid != own && s.pid != leader).filter(belongs).cloned().collect()
}
