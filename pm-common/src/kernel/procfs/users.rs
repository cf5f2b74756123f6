//! Whose a process is, and whether what /proc and the kernel say of users and pids can be compared.

use std::path::{Path, PathBuf};

use super::parse::field;
use super::{Proc, Stat, pids, text};

/// What stands for a user without a uid in a user namespace, where the kernel does not say (user_namespaces(7)).
const OVERFLOW: u32 = 65534;

impl Proc {
    /// The real, effective and saved uid of a process (`Uid` of proc_pid_status(5)); `None`: there is no such process.
    pub fn uids(&mut self, pid: i32) -> Option<[u32; 3]> {
        self.read(pid, "status", true)?;
        uids(&self.text)
    }

    /// The living processes of this effective user, of all that can be seen.
    pub fn of_user(&mut self, uid: u32) -> Vec<Stat> {
        let mut pids = pids();
        pids.retain(|pid| self.uids(*pid).is_some_and(|[_, effective, _]| effective == uid));
        pids.into_iter().filter_map(|pid| self.stat(pid)).filter(|stat| !stat.is_zombie()).collect()
    }

    /// The words of its command line; none where there is no such process.
    pub fn words(&mut self, pid: i32) -> Vec<Vec<u8>> {
        let read = self.read(pid, "cmdline", false).is_some();
        let text = if read { self.text.strip_suffix(b"\0").unwrap_or(&self.text) } else { &[] };
        text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
    }
}

fn uids(status: &[u8]) -> Option<[u32; 3]> {
    let mut numbers = field(status, "Uid:")?.split_ascii_whitespace().map_while(|n| n.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

/// The uid that the kernel shows for every user that has none in our user namespace; `None`: all have one.
#[must_use]
pub fn nameless_uid() -> Option<u32> {
    let map = text("self/uid_map")?;
    let overflow = || text("sys/kernel/overflowuid")?.trim().parse().ok();
    (!maps_all(&map)).then(|| overflow().unwrap_or(OVERFLOW))
}

/// Each line: the first uid inside, the first outside, how many. Of the initial namespace: all but the last, which is
/// no user's.
fn maps_all(map: &str) -> bool {
    let count = |line: &str| line.split_ascii_whitespace().nth(2).and_then(|n| n.parse::<u64>().ok());
    map.lines().filter_map(count).sum::<u64>() >= u64::from(u32::MAX)
}

/// Whether the process has a file open that is, or was, called so.
#[must_use]
pub fn has_open(pid: i32, name: &str) -> bool {
    open_paths(pid).any(|path| {
        let last = path.file_name().map(|last| last.to_string_lossy().into_owned()).unwrap_or_default();
        last.strip_suffix(" (deleted)").unwrap_or(&last) == name
    })
}

/// Whether the process has the file of this path open; of one that was removed, ` (deleted)` is behind it (proc_pid_fd(5)).
#[must_use]
pub fn has_open_at(pid: i32, path: &Path) -> bool {
    open_paths(pid).any(|open| open == path)
}

fn open_paths(pid: i32) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_link(file.path()).ok())
}

/// Whether /proc shows the pids of our own pid namespace.
#[must_use]
pub fn is_ours() -> bool {
    let shown = rustix::fs::readlink("/proc/self", Vec::new());
    shown.is_ok_and(|pid| pid.to_bytes() == std::process::id().to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_uids() {
        let text = b"Name:\tx\nUid:\t1000\t0\t33\t0\nGid:\t7\t7\t7\t7\n";
        assert_eq!(uids(text), Some([1000, 0, 33]));
        for none in [&b"Name:\tUid\n"[..], b"Uid:\t1000\t0\n", b"Uid:\tx\t0\t0\t0\n", b""] {
            assert_eq!(uids(none), None);
        }
        let own = i32::try_from(std::process::id()).expect("a pid");
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(Proc::default().uids(own).map(|[real, ..]| real), Some(uid));
        assert_eq!(Proc::default().uids(-1), None);
    }

    #[test]
    fn only_the_initial_namespace_has_a_uid_for_all() {
        assert!(maps_all("         0          0 4294967295\n"));
        assert!(!maps_all("         0       1000          1\n         1     100000      65536\n"));
        assert!(!maps_all(""));
    }

    #[test]
    fn this_proc_is_ours() {
        assert!(is_ours());
    }
}
