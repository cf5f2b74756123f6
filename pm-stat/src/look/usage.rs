//! What processes use, from /proc: memory and CPU time of a worker with all below it.

use pm_common::app::status::Id;
use pm_common::kernel::procfs::{self, Proc, Stat, Table};
use pm_common::sys::clock;

use crate::look::samples::{Sample, Samples};

/// How many files of /proc the walk of one worker's tree opens, about: one for each thread, and a program of Node has
/// a dozen. From where it costs more than a look at all processes of the machine, that is done instead, once.
const FILES_OF_A_WALK: usize = 8;

/// What a process and all below it use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Usage {
    pub(crate) key: Id,
    pub(crate) uptime_s: f64,
    pub(crate) rss_bytes: u64,
    /// Shared pages divided among those that share them; only where it was asked for.
    pub(crate) pss_bytes: Option<u64>,
    /// Seconds of CPU time since the process started.
    pub(crate) cpu_s: f64,
    /// Of one CPU, since the last sample, or where there is none, since the process started.
    pub(crate) cpu_pct: f64,
    /// The process and all below it.
    pub(crate) pids: Vec<i32>,
    /// The worker is suspended (SIGSTOP): whatever its supervisor says, it does nothing.
    pub(crate) suspended: bool,
}

/// Measures processes.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    proc: Proc,
    /// All processes, where there are many workers.
    all: Option<Table>,
    pss: bool,
    pub(crate) samples: Samples,
}

impl Meter {
    pub(crate) fn new(pss: bool, samples: Samples) -> Self {
        Self { pss, samples, ..Self::default() }
    }

    /// To be called before so many workers are measured: what was read of all processes is forgotten, or read anew.
    pub(crate) fn prepare(&mut self, workers: usize) {
        let tasks = usize::from(rustix::system::sysinfo().procs);
        let many = workers.saturating_mul(FILES_OF_A_WALK) > tasks;
        self.all = many.then(|| Table::read(&mut self.proc));
    }

    /// `None`: the process is gone, or another one has its pid by now.
    pub(crate) fn measure(&mut self, pid: i32, start: Option<u64>) -> Option<Usage> {
        let mut walked = Vec::new();
        let tree = if let Some(table) = &self.all {
            table.tree(pid, &mut walked);
            walked.as_slice()
        } else {
            self.proc.tree(pid, |_| true)
        };
        let root = tree.first().filter(|s| s.pid == pid && start.is_none_or(|start| s.start_time == start))?;
        let (key, suspended) = (Id { pid, start: root.start_time }, root.is_suspended());
        let pids = tree.iter().map(|s| s.pid).collect();
        let ticks = tree.iter().map(Stat::cpu_ticks).sum::<u64>();
        let (rss_bytes, uptime_s) = (tree.iter().map(Stat::rss_bytes).sum(), procfs::uptime(root));
        let cpu_s = ticks as f64 / procfs::ticks_per_second();
        let since_start = if uptime_s > 0.0 { 100.0 * cpu_s / uptime_s } else { 0.0 };
        let cpu_pct =
            self.samples.percent(key, Sample { at_s: clock::since_boot().as_secs_f64(), cpu_s }).unwrap_or(since_start);
        let pss_bytes = self.pss.then(|| self.proc.tree_pss(pid, |_| true));
        Some(Usage { key, uptime_s, rss_bytes, pss_bytes, cpu_s, cpu_pct, pids, suspended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_the_table_is_that_of_a_walk() {
        let mut command = std::process::Command::new("sh");
        let mut child =
            command.args(["-c", "cat | cat; :"]).stdin(std::process::Stdio::piped()).spawn().expect("starts");
        let me = std::process::id() as i32;
        let mut proc = Proc::default();
        let walked = loop {
            let tree: Vec<_> = proc.tree(me, |_| true).iter().map(|s| s.pid).collect();
            if tree.len() >= 4 {
                break tree;
            }
            std::thread::yield_now();
        };
        let mut tree = Vec::new();
        Table::read(&mut proc).tree(me, &mut tree);
        let seen = |pid: &i32| tree.iter().any(|s| s.pid == *pid);
        assert!(walked.iter().filter(|pid| **pid != me).all(seen), "{walked:?} {tree:?}");
        assert_eq!(tree.first().map(|s| s.pid), Some(me));
        drop(child.stdin.take());
        child.wait().expect("ends");
    }

    #[test]
    fn a_process_that_is_not_there_has_no_tree() {
        let mut tree = Vec::new();
        Table::default().tree(1, &mut tree);
        assert!(tree.is_empty());
        assert_eq!(Meter::default().measure(i32::MAX, None), None);
    }
}
