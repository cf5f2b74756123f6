//! What workers have started and left: orphans come to us, and each is of the worker that it was started by.
//!
//! A process says in its environment by which worker it was started (NOTIFY_SOCKET has another name for each). One that
//! was started without is known by its parent, if it was seen below a worker while that lived. What is made an app of its
//! own (pm-fork gives it a session, then a PM_DIR that is not ours) is no worker's, wherever it is found: below us, or
//! still below the pm-fork that waits for it and is a worker's.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use super::processes::own_pid;
use super::processes::signal_of;
use super::{Adapter, Driver, Scope};
use crate::cli::report;
use crate::kernel::procfs::{self, Stat};
use crate::policy::WorkerId;

/// Whose an orphan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Worker(WorkerId),
    /// This process, with all below it, is not ours to end.
    OtherApp,
    /// Nobody knows: it stays until all ends.
    Unknown,
}

/// The children that we did not start, but those that have ended.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// By pid, which is its own until we reap it.
    owners: BTreeMap<i32, Owner>,
    /// Whose new ones were found since they were last told to end.
    news: Vec<WorkerId>,
    /// The orphans were looked for in this turn of the loop.
    pub(super) fresh: bool,
    /// A person was told that a program makes itself a daemon.
    daemon_said: bool,
}

impl Orphans {
    /// In a new turn of the loop there may be new ones.
    pub(super) fn turn(&mut self) {
        self.fresh = false;
    }

    /// This one was reaped: its number may be another's.
    pub(super) fn reaped(&mut self, pid: i32) {
        self.owners.remove(&pid);
    }

    /// Notes a child of ours that is no worker's, nor is what is below it.
    pub(super) fn spare(&mut self, pid: i32) {
        self.owners.insert(pid, Owner::OtherApp);
    }

    /// This one, with all below it, belongs to another app.
    pub(super) fn is_other_app(&self, pid: i32) -> bool {
        self.owners.get(&pid) == Some(&Owner::OtherApp)
    }

    fn of(&self, owner: Owner) -> Vec<i32> {
        self.owners.iter().filter(|(_, its)| **its == owner).map(|(pid, _)| *pid).collect()
    }
}

/// Which part of a worker's offspring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// Nothing below a supervisor, which ends its own workers in order.
    ToTell,
}

impl<A: Adapter> Driver<A> {
    /// Looks for new orphans. Those that are known stay known: one look for many workers costs no more than for one.
    pub(super) fn look_for_orphans(&mut self) {
        for pid in self.strangers() {
            if self.orphans.owners.contains_key(&pid) {
                continue;
            }
            if let Some(stat) = self.proc.stat(pid).filter(|stat| !stat.is_zombie()) {
                let owner = self.owner(&stat);
                self.orphans.owners.insert(pid, owner);
                if let Owner::Worker(id) = owner {
                    self.orphans.news.push(id);
                }
            }
        }
        self.orphans.fresh = true;
    }

    fn owner(&mut self, stat: &Stat) -> Owner {
        if self.inherited.has(stat) {
            return Owner::Unknown;
        }
        if self.is_of_other_app(stat) {
            return Owner::OtherApp;
        }
        let names = ["NOTIFY_SOCKET", "PM_SLOT", "PM_GENERATION"];
        let [socket, slot, generation] = self.proc.variables(stat.pid, names);
        let number = |value: Option<Vec<u8>>| String::from_utf8(value?).ok()?.parse::<u64>().ok();
        let named = number(slot).and_then(|slot| u32::try_from(slot).ok()).zip(number(generation));
        let named = named.map(|(slot, generation)| WorkerId { slot, generation });
        if let Some((id, socket)) = named.zip(socket)
            && self.processes.get(&id).is_some_and(|process| process.notify_name.as_bytes() == socket)
        {
            return Owner::Worker(id);
        }
        let seen = (stat.pid, stat.start_time);
        let below = self.processes.iter().find(|(_, process)| process.seen.contains(&seen));
        below.map_or(Owner::Unknown, |(id, _)| Owner::Worker(*id))
    }

    /// The orphans of this worker; what has become an app of its own since is none.
    pub(super) fn orphans_of(&mut self, id: WorkerId) -> Vec<i32> {
        for pid in self.orphans.of(Owner::Worker(id)) {
            if let Some(stat) = self.proc.stat(pid)
                && self.owner(&stat) == Owner::OtherApp
            {
                self.orphans.owners.insert(pid, Owner::OtherApp);
            }
        }
        self.orphans.of(Owner::Worker(id))
    }

    /// Our children that are neither inherited nor another app's, each looked at now: one that came, or became an app, since
    /// the last look is a stranger all the same.
    pub(super) fn own_orphans(&mut self) -> Vec<Stat> {
        let mut children = self.proc.children(own_pid());
        children.retain(|stat| !stat.is_zombie() && !self.inherited.has(stat) && !self.is_other_app(stat));
        children
    }

    /// Leaves out whoever leads another app by now.
    pub(super) fn spare_other_apps(&mut self, children: &mut Vec<i32>) {
        children.retain(|pid| {
            let stat = self.proc.stat(*pid);
            stat.is_some_and(|stat| stat.is_zombie() || !self.is_other_app(&stat))
        });
    }

    fn is_other_app(&mut self, stat: &Stat) -> bool {
        self.orphans.is_other_app(stat.pid) || self.is_of_other_app(stat)
    }

    fn is_of_other_app(&mut self, stat: &Stat) -> bool {
        let session = self.proc.stat(own_pid()).map_or(0, |own| own.session);
        self.proc.is_other_app(stat, self.publisher.directory(), session)
    }

    /// Notes what is below a worker, as long as it has a parent to be known by.
    pub(super) fn remember_offspring(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get_mut(&id).filter(|p| p.is_running() && p.supervisor.is_none()) else {
            return;
        };
        let leader = process.child.pid;
        let own = self.publisher.directory();
        let tree = self.proc.tree_of_app(leader, own, |stat| !procfs::is_supervisor(stat));
        process.seen = tree.iter().filter(|s| s.pid != leader).map(|s| (s.pid, s.start_time)).collect();
    }

    /// The living processes that belong to a worker whose leader has ended.
    pub(super) fn left_of(&mut self, id: WorkerId) -> Vec<Stat> {
        self.look_for_orphans();
        match self.scope {
            Scope::Group => self.offspring(id, Part::All),
            Scope::Tree => {
                let (inherited, orphans, own) = (&self.inherited, &self.orphans, own_pid());
                let leader = self.processes.get(&id).map(|process| process.child.pid);
                let ours = |stat: &Stat| !inherited.has(stat) && !orphans.is_other_app(stat.pid);
                let tree = self.proc.tree_of_app(own, self.publisher.directory(), ours);
                tree.iter().filter(|s| s.pid != own && Some(s.pid) != leader && ours(s)).copied().collect()
            }
        }
    }

    /// The leftovers of a worker of a cluster: its orphans, with all below them, and whoever is in its group.
    fn offspring(&mut self, id: WorkerId, part: Part) -> Vec<Stat> {
        let Some(leader) = self.processes.get(&id).map(|process| process.child.pid) else { return Vec::new() };
        let mut all: Vec<Stat> = Vec::new();
        let roots = self.orphans_of(id).into_iter().map(|pid| (pid, true));
        let unknown: Vec<_> = self.orphans.of(Owner::Unknown).into_iter().map(|pid| (pid, false)).collect();
        for (root, is_its) in roots.chain(unknown) {
            let inherited = &self.inherited;
            let descend = |stat: &Stat| !inherited.has(stat) && (part == Part::All || !procfs::is_supervisor(stat));
            let tree = self.proc.tree_of_app(root, self.publisher.directory(), descend);
            all.extend(tree.iter().filter(|s| !inherited.has(s) && (is_its || s.pgrp == leader)));
        }
        all
    }

    /// Sends TERM to what a worker left, outside its group, and has not had it.
    pub(super) fn tell_offspring(&mut self, id: WorkerId) {
        let own_words = self.machine.stop_kind().map_or(Signal::SIGTERM, signal_of);
        self.look_for_orphans();
        let all = self.offspring(id, Part::ToTell);
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.is_told = true;
        let leader = process.child.pid;
        let daemon = all.iter().find(|stat| process.has_left && stat.session == stat.pid);
        if let Some(daemon) = daemon.filter(|_| !std::mem::replace(&mut self.orphans.daemon_said, true)) {
            report::warning(format_args!(
                "a worker has ended and left a daemon, which ends with it slot={} pid={}; run the program in the \
                 foreground, not as a daemon",
                id.slot, daemon.pid
            ));
        }
        for stat in all.iter().filter(|stat| stat.pgrp != leader) {
            if !process.told.contains(&stat.pid) {
                process.told.push(stat.pid);
                process.signal_pid(stat.pid, if procfs::is_cluster(stat) { own_words } else { Signal::SIGTERM });
            }
        }
    }

    /// Orphans that came while what a worker left is being ended were not told yet.
    pub(super) fn tell_new_offspring(&mut self) {
        self.look_for_orphans();
        let mut news = std::mem::take(&mut self.orphans.news);
        news.sort_unstable();
        news.dedup();
        news.retain(|id| self.processes.get(id).is_some_and(|process| process.is_told));
        news.into_iter().for_each(|id| self.tell_offspring(id));
    }
}
