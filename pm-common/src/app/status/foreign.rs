//! What another user's status files say of processes: whom they may name.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Status;
use super::dead_supervisors::upward;
use crate::kernel::procfs;

/// Leaves of what the files in an app's directory say what its owner may say: who writes there by hand could name any
/// process, and root would look at it, list it, or give its pid to a `kill`.
///
/// A supervisor is a process of the owner's, and a worker is one, too, or runs below its supervisor.
pub(super) fn only_theirs(all: &mut Vec<Status>, dir: &Path) {
    // Our own files, and root's, are believed.
    let us = rustix::process::geteuid().as_raw();
    let Some(owner) = dir.symlink_metadata().ok().map(|found| found.uid()).filter(|uid| *uid != us && *uid != 0) else {
        return;
    };
    // Ten thousand lines may name one process. One that is gone is nobody's.
    let mut known = BTreeMap::new();
    let mut is_theirs =
        |pid: i32| *known.entry(pid).or_insert_with(|| procfs::uids(pid).is_none_or(|uids| uids.contains(&owner)));
    all.retain(|status| is_theirs(status.supervisor.pid));
    for Status { supervisor, workers } in all {
        let mut below = BTreeMap::new();
        let mut is_below = |pid: i32| *below.entry(pid).or_insert_with(|| upward(pid).contains(&supervisor.pid));
        for worker in workers {
            if worker.pid.is_some_and(|pid| !is_theirs(pid) && !is_below(pid)) {
                (worker.pid, worker.start) = (None, None);
            }
        }
    }
}
