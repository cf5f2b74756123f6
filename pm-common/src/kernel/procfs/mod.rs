//! What /proc says about processes: their state, their children, and the memory of a tree of them.
//!
//! A [`Proc`] keeps its buffers, so that a look at a tree once a second allocates nothing after the first time.
//! Reading and parsing are apart: the parsers of `parse` take text (proc(5) says its form).

use std::fmt::Write as _;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, RawDir};

use crate::node::locate;
use crate::sys::clock;

mod descriptors;
mod parse;
mod snapshot;
mod users;

pub use descriptors::{
    Descriptor, Uses, each_socket, shares_network, socket_behind, socket_descriptors, sockets_of, uses_of,
    visible_sockets_of, waits_together,
};
pub use parse::{Comm, Stat};
pub use snapshot::Table;
pub use users::{has_open, has_open_at, is_ours, nameless_uid};

/// The most processes that a walk of a tree visits: beyond, a fork bomb would hold up its supervisor.
pub const LARGEST_TREE: usize = 4096;

/// A reader of /proc; its buffers are used again.
#[derive(Debug, Default)]
pub struct Proc {
    path: String,
    text: Vec<u8>,
    list: Vec<u8>,
    tree: Vec<Stat>,
    /// Filled only where the kernel has no `children` files.
    table: Table,
    /// Whether the kernel has `children` files (CONFIG_PROC_CHILDREN); `None`: not looked yet.
    lists_children: Option<bool>,
}

impl Proc {
    /// A reader that scans /proc by parent, as on a kernel without CONFIG_PROC_CHILDREN.
    #[cfg(test)]
    fn scanning() -> Self {
        Self { lists_children: Some(false), ..Self::default() }
    }

    /// What /proc/PID/stat says; `None` if there is no such process (or it is hidden from us).
    pub fn stat(&mut self, pid: i32) -> Option<Stat> {
        self.read(pid, "stat", true)?;
        parse::stat(&self.text)
    }

    /// The process and all below it, `root` first, each once; zombies are left out, not what is below them.
    ///
    /// It does not go below a process that `descend` refuses (that process itself is in the list).
    pub fn tree(&mut self, root: i32, descend: impl FnMut(&Stat) -> bool) -> &[Stat] {
        self.trees(&[root], descend)
    }

    fn trees(&mut self, roots: &[i32], mut descend: impl FnMut(&Stat) -> bool) -> &[Stat] {
        let mut tree = std::mem::take(&mut self.tree);
        tree.clear();
        tree.extend(roots.iter().filter_map(|root| self.stat(*root)));
        self.refresh_table();
        let mut next = 0;
        while let Some(at) = tree.get(next) {
            if descend(at) {
                let (pid, threads) = (at.pid, at.threads);
                self.add_children(pid, threads, &mut tree);
            }
            next += 1;
        }
        tree.retain(|s| !s.is_zombie());
        self.tree = tree;
        &self.tree
    }

    /// The process's own children, zombies too.
    pub fn children(&mut self, pid: i32) -> Vec<Stat> {
        let threads = self.stat(pid).map_or(1, |s| s.threads);
        let mut list = Vec::new();
        self.refresh_table();
        self.add_children(pid, threads, &mut list);
        list
    }

    /// The pids of this thread's own children, zombies too, in one read; `None` without CONFIG_PROC_CHILDREN.
    ///
    /// None is missed: our children leave the list only as we reap them, and new ones come to its end.
    pub fn own_children(&mut self) -> Option<Vec<i32>> {
        self.read_from(format_args!("/proc/thread-self/children"), false)?;
        Some(parse::numbers(&self.text).collect())
    }

    /// The memory of the tree in bytes, shared pages divided among those that share them; RSS where that is unreadable.
    pub fn tree_pss(&mut self, root: i32, descend: impl FnMut(&Stat) -> bool) -> u64 {
        self.tree(root, descend);
        self.last_tree_pss()
    }

    /// What a process and the `orphans` that it left hold against a limit, in bytes; `None` if all are gone.
    ///
    /// That is the sum of RSS; where it is over the limit and the tree has several processes, the sum of PSS decides,
    /// as copy-on-write pages count once for each process in RSS. Never across a pm-cluster, which counts its workers.
    pub fn effective_memory(&mut self, root: i32, orphans: &[i32], limit: u64) -> Option<u64> {
        let roots: Vec<i32> = std::iter::once(root).chain(orphans.iter().copied()).collect();
        let tree = self.trees(&roots, |s| !is_cluster(s));
        let several = tree.len() > 1;
        let rss = if tree.is_empty() { None } else { Some(tree.iter().map(Stat::rss_bytes).sum()) };
        if several && rss > Some(limit) { Some(self.last_tree_pss()) } else { rss }
    }

    fn last_tree_pss(&mut self) -> u64 {
        let tree = std::mem::take(&mut self.tree);
        let sum = tree.iter().map(|s| self.pss(s.pid).unwrap_or_else(|| s.rss_bytes())).sum();
        self.tree = tree;
        sum
    }

    /// The process's proportional memory in bytes; `None` where it is gone, another user's, or the kernel is too old.
    fn pss(&mut self, pid: i32) -> Option<u64> {
        self.read(pid, "smaps_rollup", true)?;
        parse::pss(&self.text)
    }

    /// The values that these variables had when the process was started; none where that is hidden from us.
    pub fn variables<const N: usize>(&mut self, pid: i32, names: [&str; N]) -> [Option<Vec<u8>>; N] {
        let read = self.read(pid, "environ", false).is_some();
        let text = if read { self.text.as_slice() } else { &[] };
        let value =
            |entry: &[u8], name: &str| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
        names.map(|name| text.split(|byte| *byte == 0).find_map(|entry| value(entry, name)))
    }

    /// Whether the process belongs to an app of its own, or is about to become one, beside the one that has the directory `own`
    /// and runs in `session`: pm-fork gives an app a session, and then a directory. Its leader may have been killed.
    pub fn is_other_app(&mut self, stat: &Stat, own: &[u8], session: i32) -> bool {
        stat.session != session && {
            // Until it has the directory it still has the environment of who started it.
            let [dir] = self.variables(stat.pid, ["PM_DIR"]);
            dir.map_or_else(|| stat.session == stat.pid && runs(stat, b"pm-fork"), |dir| dir != own)
        }
    }

    /// The tree without what belongs to other apps than the one that has the directory `own`; `root` is not asked.
    pub fn tree_of_app(&mut self, root: i32, own: &[u8], mut descend: impl FnMut(&Stat) -> bool) -> Vec<Stat> {
        let mut tree = self.tree(root, &mut descend).to_vec();
        let session = tree.iter().find(|stat| stat.pid == root).map_or(0, |stat| stat.session);
        let strange: Vec<Stat> = tree.iter().filter(|s| s.pid != root && s.session != session).copied().collect();
        let others: Vec<i32> =
            strange.iter().filter(|stat| self.is_other_app(stat, own, session)).map(|stat| stat.pid).collect();
        if !others.is_empty() {
            tree = self.tree(root, |stat| !others.contains(&stat.pid) && descend(stat)).to_vec();
            tree.retain(|stat| !others.contains(&stat.pid));
        }
        tree
    }

    /// Whether a thread of the process runs, or waits for a CPU or a disk. The state of the process itself is that of its first
    /// thread, which may wait for the others.
    pub fn runs(&mut self, process: &Stat) -> bool {
        let mut runs = process.runs();
        let several = process.threads > 1 && !runs;
        if let Some(tasks) =
            self.open(format_args!("/proc/{}/task", process.pid), OFlags::DIRECTORY).filter(|_| several)
        {
            each_number(tasks, |thread| {
                let read = self.read_from(format_args!("/proc/{}/task/{thread}/stat", process.pid), true);
                runs |= read.and_then(|()| parse::stat(&self.text)).is_some_and(|stat| stat.runs());
            });
        }
        runs
    }

    /// Whether the process handles the signal of this number, 1 to 64 (`SigCgt` of proc_pid_status(5)).
    pub fn catches(&mut self, pid: i32, signal: u8) -> bool {
        self.is_in(pid, "SigCgt:", signal)
    }

    /// Whether the process ignores the signal of this number (`SigIgn`).
    pub fn ignores(&mut self, pid: i32, signal: u8) -> bool {
        self.is_in(pid, "SigIgn:", signal)
    }

    fn is_in(&mut self, pid: i32, mask: &str, signal: u8) -> bool {
        let mask = self.read(pid, "status", true).and_then(|()| parse::field(&self.text, mask));
        mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    }

    fn add_children(&mut self, pid: i32, threads: i64, tree: &mut Vec<Stat>) {
        if self.lists_children == Some(false) {
            let table = std::mem::take(&mut self.table);
            table.children(pid).for_each(|child| self.add(child.pid, tree));
            self.table = table;
        } else if threads <= 1 {
            self.add_children_of_thread(pid, pid, tree);
        } else if let Some(tasks) = self.open(format_args!("/proc/{pid}/task"), OFlags::DIRECTORY) {
            each_number(tasks, |thread| self.add_children_of_thread(pid, thread, tree));
        }
    }

    fn add_children_of_thread(&mut self, pid: i32, thread: i32, tree: &mut Vec<Stat>) {
        if self.read_from(format_args!("/proc/{pid}/task/{thread}/children"), false).is_none() {
            return;
        }
        // The look at each child fills `text`, so the list changes places with a second buffer.
        let list = std::mem::replace(&mut self.text, std::mem::take(&mut self.list));
        parse::numbers(&list).for_each(|child| self.add(child, tree));
        self.list = list;
    }

    fn add(&mut self, pid: i32, tree: &mut Vec<Stat>) {
        if tree.len() < LARGEST_TREE && tree.iter().all(|s| s.pid != pid) {
            tree.extend(self.stat(pid));
        }
    }

    fn refresh_table(&mut self) {
        if self.lists_children.is_none() {
            self.lists_children =
                Some(rustix::fs::access("/proc/thread-self/children", rustix::fs::Access::EXISTS).is_ok());
        }
        if self.lists_children == Some(true) {
            return;
        }
        self.table = Table::read(self);
    }

    fn read(&mut self, pid: i32, name: &str, at_once: bool) -> Option<()> {
        self.read_from(format_args!("/proc/{pid}/{name}"), at_once)
    }

    /// Fills `text`. With `at_once` the kernel is known to give the whole file in one read.
    fn read_from(&mut self, path: std::fmt::Arguments<'_>, at_once: bool) -> Option<()> {
        let file = self.open(path, OFlags::empty())?;
        self.text.clear();
        loop {
            self.text.reserve(2048);
            match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut self.text)) {
                Ok(0) => return Some(()),
                Ok(_) if at_once => return Some(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    fn open(&mut self, path: std::fmt::Arguments<'_>, flags: OFlags) -> Option<OwnedFd> {
        self.path.clear();
        self.path.write_fmt(path).ok()?;
        rustix::fs::open(self.path.as_str(), flags | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
    }
}

/// Calls `with` for each entry of the directory that is a number.
fn each_number(directory: OwnedFd, mut with: impl FnMut(i32)) {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        if let Some(number) = parse::number(entry.file_name().to_bytes()) {
            with(number);
        }
    }
}

/// All processes that can be seen, by number.
#[must_use]
pub fn pids() -> Vec<i32> {
    let mut pids = Vec::new();
    if let Some(all) = Proc::default().open(format_args!("/proc"), OFlags::DIRECTORY) {
        each_number(all, |pid| pids.push(pid));
    }
    pids.sort_unstable();
    pids
}

/// What /proc/PID/stat says; `None` if there is no such process.
#[must_use]
pub fn stat(pid: i32) -> Option<Stat> {
    Proc::default().stat(pid)
}

/// The process's real, effective and saved uid; `None` if there is no such process.
#[must_use]
pub fn uids(pid: i32) -> Option<[u32; 3]> {
    Proc::default().uids(pid)
}

/// When the process started, in clock ticks since boot: with the pid it names a process for ever (until a reboot).
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|s| s.start_time)
}

/// Whether the process with this pid and start time is running; a zombie is not.
#[must_use]
pub fn is_alive(pid: i32, start_time: u64) -> bool {
    stat(pid).is_some_and(|s| s.start_time == start_time && !s.is_zombie())
}

/// The process, its parent, and so on up.
pub fn with_ancestors(pid: i32) -> impl Iterator<Item = i32> {
    let mut proc = Proc::default();
    let above = move |pid: &i32| proc.stat(*pid).map(|s| s.ppid).filter(|&p| p > 0);
    std::iter::successors(Some(pid), above).take(LARGEST_TREE)
}

/// Whether `ancestor` is the parent of this process, or of its parent, and so on up.
#[must_use]
pub fn is_ancestor(ancestor: i32) -> bool {
    with_ancestors(nix::unistd::getppid().as_raw()).any(|pid| pid == ancestor)
}

/// Whether the process is a pm-cluster, which counts the memory of its workers itself.
#[must_use]
pub fn is_cluster(stat: &Stat) -> bool {
    runs(stat, b"pm-cluster")
}

/// Whether the process is a pm-restart with us somewhere below it.
#[must_use]
pub fn is_restart_above(pid: i32) -> bool {
    is_ancestor(pid) && stat(pid).is_some_and(|stat| runs(&stat, b"pm-restart"))
}

/// Whether the process executes Node, by the name of its file.
#[must_use]
pub fn is_node(pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|file| locate::is_node(file.as_os_str()))
}

/// Whether the process runs the program of this name.
fn runs(stat: &Stat, name: &[u8]) -> bool {
    if stat.comm.as_bytes() == name {
        return true;
    }
    let Ok(exe) = rustix::fs::readlink(format!("/proc/{}/exe", stat.pid), Vec::new()) else { return false };
    let base = exe.as_bytes().rsplit(|&b| b == b'/').next().unwrap_or_default();
    base.strip_suffix(b" (deleted)").unwrap_or(base) == name
}

/// Whether the process is one of our supervisors, by its name for itself.
#[must_use]
pub fn is_supervisor(stat: &Stat) -> bool {
    stat.comm.as_bytes() == b"pm-restart" || is_cluster(stat)
}

/// The process that a thread belongs to; `None` if there is no such thread.
#[must_use]
pub fn process_of(thread: i32) -> Option<i32> {
    parse::field(text(&format!("{thread}/status"))?.as_bytes(), "Tgid:")?.parse().ok()
}

/// The text of the file at `path` in /proc; `None` if it cannot be read, or is not UTF-8.
#[must_use]
pub fn text(path: &str) -> Option<String> {
    let mut proc = Proc::default();
    proc.read_from(format_args!("/proc/{path}"), false)?;
    String::from_utf8(proc.text).ok()
}

/// The random name of this boot of the machine; `None` where the kernel does not say.
#[must_use]
pub fn boot_id() -> Option<String> {
    // Who looks at a thousand apps asks a thousand times, and a process lives through no second boot.
    // Only what was read is kept: descriptors may be lacking for a moment.
    static ID: OnceLock<String> = OnceLock::new();
    if ID.get().is_none() {
        let _ = ID.set(text("sys/kernel/random/boot_id")?.trim_end().to_owned());
    }
    ID.get().cloned()
}

/// How long the process has been running, in seconds.
#[must_use]
pub fn uptime(stat: &Stat) -> f64 {
    (clock::since_boot().as_secs_f64() - stat.start_time as f64 / ticks_per_second()).max(0.0)
}

/// The clock ticks in a second, the unit of the times in `Stat`.
#[must_use]
pub fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests;
