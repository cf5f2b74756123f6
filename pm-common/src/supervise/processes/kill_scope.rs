//! Which processes are killed with a worker: its leader, its group, and what it left; under pm-restart every child of
//! ours, but for other apps and what was there before us. When is the business of `policy::supervisor::kill_deadline`.

use nix::sys::signal::Signal;

use super::{Adapter, Driver, Process, Scope};
use crate::kernel::procfs::Stat;
use crate::policy::WorkerId;
use crate::sys::process;

/// How often one look strikes at children that fork faster than a scan of the tree: some milliseconds in all.
const STRIKES: usize = 100;

impl Process {
    /// Sends KILL to what a worker left.
    pub(super) fn kill_all(&mut self, left: &[Stat]) {
        left.iter().for_each(|stat| self.signal_pid(stat.pid, Signal::SIGKILL));
    }
}

impl<A: Adapter> Driver<A> {
    /// Kills a worker with its group, and whatever of it is found elsewhere.
    pub(in crate::supervise) fn kill(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.killed = true;
        if process.is_running() {
            process.signal_leader(Signal::SIGKILL as u8);
        }
        process.signal_group(Signal::SIGKILL);
        let left = self.left_of(id);
        if let Some(process) = self.processes.get_mut(&id) {
            process.kill_all(&left);
        }
        // What was left may have become another app: no end of it would tell.
        self.look_at_leftovers(id);
    }

    /// Kills again, before each look at what a killed worker left.
    ///
    /// A group dies at once, forks and all. Of a tree only those that have not forked yet: so this strikes at our own
    /// children (what forks and ends hands its child to us) with no more than a look at whose each is, and until no new ones come.
    pub(super) fn kill_again(&mut self, id: WorkerId) {
        let leaders = self.leaders();
        let Some(process) = self.processes.get_mut(&id).filter(|p| p.killed) else { return };
        if self.scope == Scope::Group {
            return process.signal_group(Signal::SIGKILL);
        }
        for _ in 0..STRIKES {
            let mut children = self.proc.own_children().unwrap_or_default();
            children.retain(|pid| !leaders.contains(pid) && !self.inherited.has_pid(*pid));
            self.spare_other_apps(&mut children);
            if children.is_empty() {
                return;
            }
            let Some(process) = self.processes.get_mut(&id) else { return };
            // Not reaped yet: each number is still its own.
            children.iter().for_each(|pid| process.signal_pid(*pid, Signal::SIGKILL));
            for pid in &children {
                if process::reap(*pid).is_some() {
                    self.orphans.reaped(*pid);
                }
            }
        }
    }
}
