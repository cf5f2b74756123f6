//! What workers say over their notification sockets, and who says it.

use std::os::fd::{AsFd as _, OwnedFd};

use super::processes::own_pid;
use super::{Adapter, Driver, Scope};
use crate::cli::report;
use crate::kernel::procfs::{self, Proc, Stat};
use crate::policy::WorkerId;
use crate::policy::supervisor::Event;
use crate::policy::time::{Mono, Span};
use crate::policy::trusted_sender::{Refusal, Speaker, Standpoint, Users, Word, hear};
use crate::policy::worker::ReadyBy;
use crate::supervise::notify::{Assignment, Datagram};
use crate::sys::credentials::Sender;
use crate::sys::{clock, pidfd, process};

/// Looks at the ancestors of a sender again when one of them ended meanwhile.
const CLIMBS: usize = 4;
/// The longest row of processes that only wait for the next one (`sudo`, `su`, a shell), below a leader.
const LONGEST_ROW: usize = 16;
/// Between two messages about words that are not heard.
const PAUSE: Span = Span::secs(60);

/// What is known of users, and what was not heard.
#[derive(Debug)]
pub(super) struct Hearing {
    ours: [u32; 2],
    nameless: Option<u32>,
    /// /proc shows the pids that the kernel tells us; else nobody's place can be seen.
    sees: bool,
    /// When it was said that somebody is not heard, and how many were not since.
    said: Option<Mono>,
    unheard: u64,
}

impl Hearing {
    pub(super) fn new() -> Self {
        let ours = [rustix::process::getuid().as_raw(), rustix::process::geteuid().as_raw()];
        Self { ours, nameless: procfs::nameless_uid(), sees: procfs::is_ours(), said: None, unheard: 0 }
    }

    fn refuse(&mut self, id: WorkerId, sender: &Sender, why: Refusal) {
        self.unheard += 1;
        let now = clock::now();
        if self.said.is_some_and(|at| now < at + PAUSE) {
            return;
        }
        self.said = Some(now);
        let number = |n: Option<i64>| n.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
        report::warning(format_args!(
            "message over NOTIFY_SOCKET not heard slot={} pid={} uid={} reason={why} unheard={}",
            id.slot,
            number(sender.pid.map(i64::from)),
            number(sender.uid.map(i64::from)),
            std::mem::take(&mut self.unheard),
        ));
    }
}

impl Assignment {
    const fn word(&self) -> Word {
        match self {
            Self::PmSupervisor(_) => Word::Announcement,
            Self::PmGaveUp(_) | Self::FdStore | Self::FdStoreRemove | Self::FdName(_) | Self::FdPoll => {
                Word::OfSupervisor
            }
            Self::Ready
            | Self::Status(_)
            | Self::Reloading
            | Self::Stopping
            | Self::MainPid(_)
            | Self::Watchdog
            | Self::ExtendTimeout(_)
            | Self::Barrier => Word::Ordinary,
        }
    }
}

impl<A: Adapter> Driver<A> {
    /// Takes one datagram of a worker; false: there was none.
    pub(super) fn read_notification(&mut self, id: WorkerId) -> bool {
        let Some(process) = self.processes.get_mut(&id) else { return false };
        let Ok(Some(sender)) = process.notify.peek() else { return false };
        let trusted = self.trusted(id, sender.uid);
        let Some(process) = self.processes.get_mut(&id) else { return false };
        // What others send along is not even taken.
        if sender.uid.is_none_or(|uid| !trusted.contains(&uid)) {
            let _ = process.notify.discard();
            self.hearing.refuse(id, &sender, Refusal::User);
            return true;
        }
        let Ok(Some(datagram)) = process.notify.receive() else { return false };
        if datagram.assignments.is_empty() {
            return true;
        }
        let speaker = self.speaker(id, &datagram.sender);
        let root = self.hearing.ours.contains(&0) || (datagram.sender.uid == Some(0) && self.users_of(id).contains(&0));
        let users = Users { trusted: &trusted, nameless: self.hearing.nameless, root };
        // The supervisor of this chain alone has a successor that is given what is stored.
        let keeps = self.scope == Scope::Tree && hear(Word::OfSupervisor, speaker, users).is_ok();
        let Datagram { sender, assignments, fds } = datagram;
        for assignment in &assignments {
            match hear(assignment.word(), speaker, users) {
                Ok(()) => self.heard(id, &sender, speaker, assignment),
                Err(why) => self.hearing.refuse(id, &sender, why),
            }
        }
        if keeps {
            self.store.heed(&assignments, fds.into_inner());
        }
        true
    }

    /// Whose word counts, for a sender of this uid.
    fn trusted(&mut self, id: WorkerId, sender: Option<u32>) -> Vec<u32> {
        let mut trusted = vec![0];
        trusted.extend(self.hearing.ours);
        // Seldom another user's: only then are the worker's looked up.
        if sender.is_some_and(|uid| !trusted.contains(&uid)) {
            trusted.extend_from_slice(self.users_of(id));
        }
        trusted
    }

    fn heard(&mut self, id: WorkerId, sender: &Sender, speaker: Speaker, assignment: &Assignment) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        // A child that supervises says so of our workers; one of a cluster speaks of its own.
        if speaker.supervises && self.scope == Scope::Tree {
            self.manager.pass_on(assignment);
        }
        match assignment {
            // A worker of a cluster is an app: it must not end the whole with a word, nor escape its limits. If it
            // runs a supervisor of its own, that one speaks of its own workers.
            Assignment::PmSupervisor(_) if self.scope == Scope::Group => process.not_heard(sender.pid),
            Assignment::PmGaveUp(_) if self.scope == Scope::Group => {}
            Assignment::Ready if process.hears(sender.pid) => {
                self.events.push_back(Event::SaidReady(id, ReadyBy::Notify));
            }
            Assignment::ExtendTimeout(span) => self.events.push_back(Event::StopTakes(id, *span)),
            // Of one that has ended it would be asked for again for ever. A cluster's workers are watched by their health.
            Assignment::Watchdog if self.scope == Scope::Tree && process.is_running() => self.manager.lives_below(id),
            Assignment::PmGaveUp(_) => self.events.push_back(Event::GaveUp(id)),
            Assignment::PmSupervisor(_) => {
                // Without its pidfd we could neither reach it nor know its end: then it is a plain child.
                process.supervisor = pin(sender).zip(sender.pid);
                process.leader_supervises = sender.pid == Some(process.child.pid);
                if process.supervisor.is_some() {
                    self.events.push_back(Event::Supervises(id));
                }
            }
            Assignment::Ready
            | Assignment::Status(_)
            | Assignment::Reloading
            | Assignment::Stopping
            | Assignment::MainPid(_)
            | Assignment::Watchdog
            | Assignment::Barrier
            | Assignment::FdStore
            | Assignment::FdStoreRemove
            | Assignment::FdName(_)
            | Assignment::FdPoll => {}
        }
    }

    fn speaker(&mut self, id: WorkerId, sender: &Sender) -> Speaker {
        let Some(process) = self.processes.get(&id) else {
            return Speaker { uid: sender.uid, place: Standpoint::Outside, supervises: false };
        };
        let announced = process.supervisor.as_ref().map(|(_, pid)| *pid);
        let supervises = sender.pid.is_some() && sender.pid == announced;
        let place = match sender.pid {
            // Of another pid namespace, and not below ours.
            None => Standpoint::Outside,
            // Not reaped yet: the number is its own.
            Some(pid) if pid == process.child.pid => Standpoint::Inside,
            Some(_) if !self.hearing.sees => Standpoint::Unseen,
            Some(pid) => {
                let leader = process.child.pid;
                let mut others = self.leaders();
                others.retain(|other| *other != leader);
                let other = |stat: &Stat| others.contains(&stat.pid) || self.inherited.has(stat);
                place_of(&mut self.proc, pid, sender.pidfd.as_ref(), leader, other)
            }
        };
        Speaker { uid: sender.uid, place, supervises }
    }

    /// The users that this worker runs, or ran, as: its leader, and what that one only waits for (`sudo`, `su`). Whom a
    /// server lets run programs of their own (sshd, a scheduler) is none of them.
    fn users_of(&mut self, id: WorkerId) -> &[u32] {
        let Some(process) = self.processes.get_mut(&id) else { return &[] };
        let supervisor = process.supervisor.as_ref().map(|(_, pid)| *pid);
        let mut at = process.child.pid;
        for _ in 0..LONGEST_ROW {
            for uid in self.proc.uids(at).into_iter().flatten() {
                if !process.users.contains(&uid) {
                    process.users.push(uid);
                }
            }
            // Below a supervisor are workers of its own.
            let ends = supervisor == Some(at) || self.proc.stat(at).is_none_or(|stat| procfs::is_supervisor(&stat));
            let mut below = if ends { Vec::new() } else { self.proc.children(at) };
            below.retain(|stat| !stat.is_zombie());
            let [only] = below.as_slice() else { break };
            at = only.pid;
        }
        &process.users
    }

    /// The process that supervised in a worker's tree has ended: what is left is a plain child again.
    pub(super) fn supervisor_below_ended(&mut self, id: WorkerId) {
        if let Some(process) = self.processes.get_mut(&id) {
            process.supervisor = None;
            self.manager.ended_below(id);
            self.events.push_back(Event::SupervisesNoMore(id));
        }
    }
}

/// A pidfd of the sender of its own.
fn pin(sender: &Sender) -> Option<OwnedFd> {
    match &sender.pidfd {
        Some(pidfd) => pidfd.try_clone().ok(),
        None => pidfd::open(sender.pid?).ok(),
    }
}

/// Where this process stands. `other`: a child of ours that is, with all below it, no part of the worker.
fn place_of(
    proc: &mut Proc,
    pid: i32,
    pidfd: Option<&OwnedFd>,
    leader: i32,
    other: impl Fn(&Stat) -> bool,
) -> Standpoint {
    let opened = match pidfd {
        Some(_) => None,
        None => match pidfd::open(pid) {
            Ok(fd) => Some(fd),
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Standpoint::Unseen,
            // Out of descriptors: what /proc says has to do.
            Err(_) => None,
        },
    };
    let place = (0..CLIMBS).find_map(|_| climb(proc, pid, leader, &other)).unwrap_or(Standpoint::Unseen);
    // What was read may have been of a later process with its number.
    let held = pidfd.or(opened.as_ref()).is_none_or(|fd| process::exists(fd.as_fd()));
    if held { place } else { Standpoint::Unseen }
}

/// Goes up from this process; `None`: one of its ancestors ended meanwhile.
fn climb(proc: &mut Proc, pid: i32, leader: i32, other: impl Fn(&Stat) -> bool) -> Option<Standpoint> {
    let own = own_pid();
    let Some(mut at) = proc.stat(pid) else { return Some(Standpoint::Unseen) };
    for _ in 0..procfs::LARGEST_TREE {
        if at.pid == leader {
            return Some(Standpoint::Inside);
        }
        if at.ppid == own {
            return Some(if other(&at) { Standpoint::Outside } else { Standpoint::Inside });
        }
        if at.ppid <= 0 || at.pid == own {
            return Some(Standpoint::Outside);
        }
        // A parent is older than its child, be it the first one or a reaper.
        at = proc.stat(at.ppid).filter(|parent| parent.start_time <= at.start_time)?;
    }
    Some(Standpoint::Outside)
}
