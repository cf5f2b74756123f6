//! All processes of the machine, read once: for who looks at many trees, and where the kernel lists no children.

use super::{LARGEST_TREE, Proc, Stat, pids};

/// All processes of the machine at one moment.
#[derive(Debug, Default)]
pub struct Table {
    /// By pid.
    stats: Vec<Stat>,
    /// Parent, and the place of the child in `stats`; sorted.
    children: Vec<(i32, usize)>,
}

impl Table {
    /// Reads it.
    pub fn read(proc: &mut Proc) -> Self {
        Self::of(pids().into_iter().filter_map(|pid| proc.stat(pid)).collect())
    }

    fn of(mut stats: Vec<Stat>) -> Self {
        stats.sort_unstable_by_key(|s| s.pid);
        let mut children: Vec<_> = stats.iter().enumerate().map(|(at, s)| (s.ppid, at)).collect();
        children.sort_unstable();
        Self { stats, children }
    }

    /// The process and all below it, itself first; without zombies, but with what is below them.
    pub fn tree(&self, root: i32, tree: &mut Vec<Stat>) {
        let Ok(at) = self.stats.binary_search_by_key(&root, |s| s.pid) else { return };
        tree.extend(self.stats.get(at));
        let mut next = 0;
        // A process cannot be below itself; but the table was not read in one moment.
        while let Some(pid) = tree.get(next).map(|s| s.pid).filter(|_| tree.len() < LARGEST_TREE) {
            tree.extend(self.children(pid));
            next += 1;
        }
        tree.retain(|s| !s.is_zombie());
    }

    /// The process's own children, zombies too.
    pub fn children(&self, pid: i32) -> impl Iterator<Item = &Stat> {
        let from = self.children.partition_point(|&(parent, _)| parent < pid);
        let below = self.children.iter().skip(from).take_while(move |&&(parent, _)| parent == pid);
        below.filter_map(|&(_, at)| self.stats.get(at))
    }
}
