//! What workers that have ended have left behind.

use super::{Adapter, Driver, own_pid};
use crate::kernel::procfs::Proc;
use crate::policy::WorkerId;
use crate::sys::process;

/// How often one look scans again when what it found has ended or forked before it could be watched.
const SCANS: usize = 10;

impl<A: Adapter> Driver<A> {
    /// Finds what of the worker still lives, kills it if the worker was killed, and watches it.
    ///
    /// What forks and ends all the time may slip through a scan. It leaves a zombie of ours then: only a scan that
    /// finds nothing, and after which there is none, has shown that nothing is left.
    pub(super) fn find_leftovers(&mut self, id: WorkerId) -> bool {
        for _ in 0..SCANS {
            self.kill_again(id);
            if self.nothing_is_left() {
                return false;
            }
            let left = self.left_of(id);
            let Some(process) = self.processes.get_mut(&id) else { return false };
            if process.killed {
                process.kill_all(&left);
            }
            process.unwatched = !process.watch(&left);
            if !process.unwatched {
                return true;
            }
            if !self.reap_zombies() && left.is_empty() {
                return false;
            }
        }
        true
    }

    /// True if there were any.
    pub(super) fn reap_zombies(&mut self) -> bool {
        let mut zombies = self.strangers();
        zombies.retain(|pid| self.proc.stat(*pid).is_some_and(|stat| stat.is_zombie()));
        // One that a debugger holds cannot be reaped yet, and is no news.
        zombies.retain(|pid| process::reap(*pid).is_some());
        zombies.iter().for_each(|pid| self.orphans.reaped(*pid));
        !zombies.is_empty()
    }

    /// Our children that are nobody's first process, zombies too: what workers have left behind, and what we inherited.
    pub(in crate::supervise) fn strangers(&mut self) -> Vec<i32> {
        let mut leaders = self.leaders();
        leaders.sort_unstable();
        let all = |proc: &mut Proc| proc.children(own_pid()).iter().map(|stat| stat.pid).collect();
        let mut children = self.proc.own_children().unwrap_or_else(|| all(&mut self.proc));
        children.retain(|pid| leaders.binary_search(pid).is_err());
        children
    }

    /// Whether no worker that had ended before this turn has left anything: it would be below a child of ours that is
    /// nobody's first process. Most leave nothing, and then a look at each of many processes is spared.
    fn nothing_is_left(&mut self) -> bool {
        if !self.all_gone {
            let mut left = self.strangers();
            left.retain(|pid| !self.proc.stat(*pid).is_some_and(|stat| self.inherited.has(&stat)));
            self.all_gone = left.is_empty();
        }
        self.all_gone
    }
}
