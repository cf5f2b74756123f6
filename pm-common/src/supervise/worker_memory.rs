//! What counts as the memory of a worker: its whole process tree, and what it has left (orphans), but no app of
//! its own with a supervisor. The sum of RSS counts; of several processes that are over the limit by it, the sum of PSS, which has
//! the pages that they share once (`Proc::effective_memory`).

use super::{Adapter, Driver};
use crate::policy::WorkerId;
use crate::policy::supervisor::Event;
use crate::sys::clock;

impl<A: Adapter> Driver<A> {
    pub(super) fn measure(&mut self, id: WorkerId) {
        let limit = self.machine.rules().max_mem.unwrap_or(u64::MAX);
        self.remember_offspring(id);
        if let Some(bytes) = self.memory_of(id, limit) {
            self.events.push_back(Event::Memory(id, bytes));
        }
    }

    pub(super) fn look_for_room(&mut self) {
        let left = self.adapter.memory_left();
        if left.is_some() && self.largest_pace.is_over() {
            let begun = clock::now();
            let workers: Vec<WorkerId> = self.processes.keys().copied().collect();
            let bytes = workers.into_iter().filter_map(|id| self.memory_of(id, u64::MAX));
            self.largest = bytes.max().unwrap_or_default();
            self.largest_pace.done(begun);
        }
        self.events.push_back(Event::Room { left, needs: self.largest });
    }

    /// The memory of a worker's tree, and of what it left, in bytes; `None` if it is gone.
    fn memory_of(&mut self, id: WorkerId, limit: u64) -> Option<u64> {
        if !self.orphans.fresh {
            self.look_for_orphans();
        }
        let orphans = self.orphans_of(id);
        let leader = self.processes.get(&id).filter(|p| p.is_running())?.child.pid;
        self.proc.effective_memory(leader, &orphans, limit)
    }
}
