//! Whether a worker that has not shown yet that it serves is at work: computing, or waiting for a CPU or a disk, it or one
//! that it started. One that is loading is; one that waits for something to happen is not, nor is a loop of a shell that
//! starts something small every now and then.

use super::{Adapter, Driver};
use crate::kernel::procfs::{Proc, Stat, ticks_per_second};
use crate::policy::WorkerId;
use crate::policy::supervisor::Event;
use crate::policy::time::Mono;
use crate::sys::clock;

/// More of the time than this in the CPU is work: what only waits, with a timer or two, takes less.
const QUIET_SHARE: f64 = 0.05;

/// What a worker's tree was at, at some moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AtWork {
    at: Mono,
    ticks: u64,
    /// A thread of it runs, or waits for a CPU or a disk.
    runs: bool,
}

impl AtWork {
    fn of(at: Mono, tree: &[Stat], proc: &mut Proc) -> Self {
        Self { at, ticks: tree.iter().map(Stat::cpu_ticks).sum(), runs: tree.iter().any(|stat| proc.runs(stat)) }
    }

    /// Whether it has worked since it was looked at `before`.
    fn since(&self, before: &Self) -> bool {
        let share = self.ticks.saturating_sub(before.ticks) as f64 / ticks_per_second();
        self.runs || share > QUIET_SHARE * self.at.since(before.at).as_secs_f64()
    }
}

impl<A: Adapter> Driver<A> {
    /// At the first look it is at work, as far as anybody can tell.
    pub(super) fn look_at_work(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.is_running()) else { return };
        let tree = self.proc.tree_of_app(process.child.pid, self.publisher.directory(), |_| true);
        let now = AtWork::of(clock::now(), &tree, &mut self.proc);
        let busy = process.at_work.as_ref().is_none_or(|before| now.since(before));
        process.at_work = Some(now);
        self.adapter.look_where_it_listens(id, &mut self.events);
        self.events.push_back(Event::Looked { id, busy });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::time::Span;

    #[test]
    fn who_computes_is_at_work_and_who_waits_is_not() {
        let before = AtWork { at: Mono(0), ticks: 50, runs: false };
        let later = AtWork { at: Mono(0) + Span::secs(1), ..before.clone() };
        assert!(!later.since(&before));
        assert!(!AtWork { ticks: 53, ..later.clone() }.since(&before), "a timer now and then");
        assert!(AtWork { ticks: 60, ..later.clone() }.since(&before));
        assert!(AtWork { runs: true, ..later.clone() }.since(&before), "it waits for a CPU");
        assert!(!AtWork { ticks: 0, ..later }.since(&before), "fewer is no work");
    }
}
