//! The processes of workers: their ends, and what they leave behind.

mod kill_scope;
mod leftovers;
mod signal_worker;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::sys::signal::Signal;

use super::{Adapter, Driver, LogRotation, Token};
use crate::kernel::cgroup;
use crate::kernel::procfs::{Proc, Stat};
use crate::policy::WorkerId;
use crate::policy::exit::Exit;
use crate::policy::oom::OomKills;
use crate::policy::states::SupervisorState;
use crate::policy::supervisor::{Event, StopKind};
use crate::supervise::at_work::AtWork;
use crate::supervise::err_log::ErrLog;
use crate::supervise::notify::NotifySocket;
use crate::sys::clock;
use crate::sys::pidfd;
use crate::sys::process::{self, Child};

/// What belongs to a worker and must have ended before the worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Its process group, and what it left in others (pm-cluster).
    Group,
    /// Everything below this supervisor but other apps (pm-restart: it has one child at a time).
    Tree,
}

/// A worker's process, from its start until all of it has ended.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    /// Field 22 of /proc/PID/stat: with the pid it names the process for ever.
    pub(super) start: Option<u64>,
    pub(super) notify: NotifySocket,
    /// The value of its NOTIFY_SOCKET, which what it starts has too.
    pub(super) notify_name: String,
    /// What was seen below it while it lived, each as pid and start time.
    pub(super) seen: Vec<(i32, u64)>,
    /// The process that announced itself as a supervisor, the child or one below it, and its pid.
    pub(super) supervisor: Option<(OwnedFd, i32)>,
    /// The supervisor is the child itself, and no shell or `env` that waits for it.
    pub(super) leader_supervises: bool,
    /// The leader has ended and is kept as a zombie, so that the number of its group stays its own.
    ended: bool,
    /// The leader has ended, but a debugger keeps its end to itself: its pidfd stays readable and tells nothing.
    hidden: bool,
    /// What is left of it: readable once they end.
    leftovers: Vec<OwnedFd>,
    /// Something is left of it, and no descriptor to wait for it could be had.
    unwatched: bool,
    /// Its whole group was sent the stop signal: what is left of it is on its way, and a TERM would cut it short.
    group_told: bool,
    /// Adopted processes that were sent TERM.
    pub(super) told: Vec<i32>,
    /// What it left was told to end: so is whatever of it appears later.
    pub(super) is_told: bool,
    /// The process was sent the stop signal.
    pub(super) asked: bool,
    /// Its leader has ended well, and nobody had asked it to.
    pub(super) has_left: bool,
    /// What it writes to stderr, where that is read.
    pub(super) errors: Option<ErrLog>,
    /// What it was at when it was looked at last.
    pub(super) at_work: Option<AtWork>,
    /// Supervisors below it that are no link of this chain.
    others: Vec<i32>,
    /// Whom it was seen to run as.
    pub(super) users: Vec<u32>,
    /// The process was sent KILL: so is whatever of it appears later.
    killed: bool,
    /// A signal to it was refused, and that was said.
    refused: bool,
}

/// More supervisors below one worker than this are not told apart.
const MOST_OTHERS: usize = 64;
/// Datagrams of a worker that has ended: what it said last matters, but is not endless.
const LAST_DATAGRAMS: usize = 64;

impl Process {
    pub(super) fn new(child: Child, (notify, notify_name): (NotifySocket, String), errors: Option<ErrLog>) -> Self {
        let start = crate::kernel::procfs::start_time(child.pid);
        Self {
            child,
            start,
            notify,
            notify_name,
            seen: Vec::new(),
            supervisor: None,
            leader_supervises: false,
            ended: false,
            hidden: false,
            leftovers: Vec::new(),
            unwatched: false,
            group_told: false,
            told: Vec::new(),
            is_told: false,
            asked: false,
            has_left: false,
            errors,
            at_work: None,
            killed: false,
            refused: false,
            others: Vec::new(),
            users: Vec::new(),
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

    /// Whether its leader still runs.
    pub(super) fn is_running(&self) -> bool {
        !self.ended
    }

    pub(super) fn sources<T>(&self, id: WorkerId) -> Vec<(Token<T>, BorrowedFd<'_>)> {
        let mut sources = vec![(Token::Notify(id), self.notify.as_fd())];
        if self.ended {
            sources.extend(self.leftovers.iter().map(|fd| (Token::Leftovers(id), fd.as_fd())));
        } else if !self.hidden {
            sources.push((Token::Exit(id), self.child.pidfd.as_fd()));
            sources.extend(self.supervisor.iter().map(|(fd, _)| (Token::Below(id), fd.as_fd())));
        }
        sources
    }

    /// Waits for what is left; false if none of it can be waited for.
    fn watch(&mut self, left: &[Stat]) -> bool {
        // Opened, then looked at again: a pid that ended in between could already be another's.
        let open = |stat: &Stat| {
            let fd = pidfd::open(stat.pid).ok()?;
            (crate::kernel::procfs::start_time(stat.pid) == Some(stat.start_time)).then_some(fd)
        };
        self.leftovers.clear();
        self.leftovers.extend(left.iter().filter_map(open));
        !self.leftovers.is_empty()
    }
}

/// What ran below this process before it became a supervisor (`sidecar & exec pm-restart ...`): no worker left it, and
/// no worker's end concerns it. Each as pid and start time.
#[derive(Debug)]
pub(super) struct Inherited(Vec<(i32, u64)>);

impl Inherited {
    pub(super) fn look(proc: &mut Proc) -> Self {
        let own = own_pid();
        Self(proc.tree(own, |_| true).iter().filter(|s| s.pid != own).map(|s| (s.pid, s.start_time)).collect())
    }

    pub(super) fn has(&self, stat: &Stat) -> bool {
        self.0.contains(&(stat.pid, stat.start_time))
    }

    fn has_pid(&self, pid: i32) -> bool {
        self.0.iter().any(|(inherited, _)| *inherited == pid)
    }
}

impl<A: Adapter> Driver<A> {
    /// The pidfd says that a leader has ended: look how, and what it left behind.
    pub(super) fn leader_ended(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let exit = process::peek_exit(process.child.pid);
        process.hidden = exit.is_none();
        let Some(exit) = exit else { return };
        process.ended = true;
        process.has_left = exit == Exit::Code(0) && !process.asked;
        // What it said last must be known before its end is judged.
        for _ in 0..LAST_DATAGRAMS {
            if !self.read_notification(id) {
                break;
            }
        }
        if self.ends_on_purpose(id, exit) {
            self.store.clear();
        }
        self.manager.ended_below(id);
        self.say_if_second(id);
        let leftovers = self.find_leftovers(id);
        if !leftovers {
            self.forget(id);
        }
        if self.adapter.ended(id, Some(exit)) {
            self.events.push_back(Event::Excused(id));
        }
        if OomKills::concerns(exit) && self.oom_kills.explains(clock::now(), cgroup::oom_kills()) {
            self.events.push_back(Event::OutOfMemory(id));
        }
        self.events.push_back(Event::Ended { id, exit, leftovers });
    }

    /// Whether nothing is to be kept for the next child: this one was stopped, or has ended by itself. A shell in between
    /// tells by its exit code that the supervisor below it was killed.
    fn ends_on_purpose(&self, id: WorkerId, exit: Exit) -> bool {
        let leads = self.processes.get(&id).is_none_or(|process| process.leader_supervises);
        let killed = match exit {
            Exit::Signal(_) => true,
            Exit::Code(code) => code > 128 && !leads,
        };
        !killed || self.machine.state() == SupervisorState::Stopping
    }

    /// One of the leftovers has ended: look what remains.
    pub(super) fn look_at_leftovers(&mut self, id: WorkerId) {
        self.reap_orphans();
        if self.processes.get(&id).is_some_and(|p| p.ended) && !self.find_leftovers(id) {
            self.forget(id);
            self.events.push_back(Event::Gone(id));
        }
    }

    /// Looks, at each wake-up, at what no descriptor tells of, and at what forks while it is killed. The kernel sends SIGCHLD when a debugger lets go of a
    /// zombie or an orphan of ours ends, so that nothing is missed by waiting for the next wake-up.
    pub(super) fn look_again(&mut self) {
        let pick = |of: fn(&Process) -> bool| -> Vec<WorkerId> {
            self.processes.iter().filter(|(_, p)| of(p)).map(|(id, _)| *id).collect()
        };
        let (hidden, left) = (pick(|p| p.hidden), pick(|p| p.unwatched || p.ended && p.killed));
        // What is looked at here may have ended in this very turn.
        self.all_gone &= hidden.is_empty() && left.is_empty();
        hidden.into_iter().for_each(|id| self.leader_ended(id));
        left.into_iter().for_each(|id| self.look_at_leftovers(id));
    }

    /// Reaps the leader; from here on its pid may be another's.
    fn forget(&mut self, id: WorkerId) {
        if let Some(process) = self.processes.remove(&id) {
            process::reap(process.child.pid);
        }
    }

    /// The children whose end is handled where it is waited for.
    pub(super) fn leaders(&self) -> Vec<i32> {
        let workers = self.processes.values().map(|p| p.child.pid);
        workers
            .chain(self.adapter.children())
            .chain(self.hooks.child())
            .chain(self.logs.as_ref().and_then(LogRotation::child))
            .collect()
    }

    pub(super) fn stop_leftovers(&mut self, id: WorkerId) {
        self.look_for_orphans();
        let Some(process) = self.processes.get_mut(&id) else { return };
        let own_words = self.machine.stop_kind().map_or(Signal::SIGTERM, signal_of);
        match self.scope {
            Scope::Group => {
                if !process.group_told {
                    process.signal_group(Signal::SIGTERM);
                }
                self.tell_offspring(id);
            }
            // Their own children are their own business: a pm-cluster among them stops its workers in order.
            Scope::Tree => {
                for stat in self.own_orphans() {
                    let Some(process) = self.processes.get_mut(&id) else { return };
                    let had_it = stat.pgrp == process.child.pid && process.group_told;
                    if stat.pid != process.child.pid && !had_it && !process.told.contains(&stat.pid) {
                        process.told.push(stat.pid);
                        let supervises = crate::kernel::procfs::is_cluster(&stat);
                        process.signal_pid(stat.pid, if supervises { own_words } else { Signal::SIGTERM });
                    }
                }
            }
        }
    }

    /// Reaps what was orphaned to us and has ended; leaders are reaped where their end is handled.
    pub(super) fn reap_orphans(&mut self) {
        self.reap_zombies();
        match self.scope {
            Scope::Group => self.tell_new_offspring(),
            Scope::Tree => self.tell_new_orphans(),
        }
    }

    /// Orphans that came while a child is being cleared away were not told yet.
    fn tell_new_orphans(&mut self) {
        let clearing: Vec<WorkerId> =
            self.processes.iter().filter(|(_, p)| p.ended && !p.told.is_empty()).map(|(id, _)| *id).collect();
        clearing.into_iter().for_each(|id| self.stop_leftovers(id));
    }
}

pub(super) fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// What a supervisor is told, so that it stops as we do: only TERM lets idle clients linger.
pub(super) const fn signal_of(kind: StopKind) -> Signal {
    match kind {
        StopKind::Term => Signal::SIGTERM,
        StopKind::Int => Signal::SIGINT,
    }
}
