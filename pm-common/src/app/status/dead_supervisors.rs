//! What supervisors that were killed have left: their status files, and in these the processes that live on.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::{DIRECTORY, Status, SupervisorLine, SupervisorState, Told, WorkerLine, text_of};
use crate::app::home::Folder;
use crate::kernel::procfs;

/// Of the supervisors that were `killed`, those with workers that go on below nobody; only these workers.
///
/// What a living supervisor has, or has below it, is not among them: it ends that itself. `holder` is who has the app's
/// lock.
#[must_use]
pub fn orphaned(killed: &[Status], living: &[Status], holder: Option<i32>) -> Vec<Status> {
    let supervisors: Vec<i32> = living.iter().map(|status| status.supervisor.pid).collect();
    let mut above: HashSet<i32> = supervisors.iter().copied().chain(holder).collect();
    above.extend(living.iter().flat_map(|status| &status.workers).filter_map(|worker| worker.pid));
    let has_one_below: HashSet<i32> = supervisors.iter().flat_map(|pid| upward(*pid)).collect();
    let has_nobody = |pid| !has_one_below.contains(&pid) && !upward(pid).iter().any(|pid| above.contains(pid));
    let is_alone = |worker: &WorkerLine| lives(worker) && worker.pid.is_some_and(has_nobody);
    // Each process once, whatever the files say.
    let mut seen = HashSet::new();
    let mut of = |status: &Status| {
        let new = status.workers.iter().filter(|worker| worker.pid.is_some_and(|pid| seen.insert(pid)));
        let workers: Vec<_> = new.filter(|worker| is_alone(worker)).cloned().collect();
        (!workers.is_empty()).then(|| Status { supervisor: status.supervisor.clone(), workers })
    };
    killed.iter().filter(|status| status.is_of_this_boot()).filter_map(&mut of).collect()
}

/// The supervisor that was killed above one that lives on, and that one.
#[must_use]
pub fn lost_above<'a>(killed: &'a [Status], living: &'a [Status]) -> Option<(&'a SupervisorLine, &'a SupervisorLine)> {
    let supervisors = living.iter().map(|status| &status.supervisor);
    let ways: Vec<_> = supervisors.map(|told| (told, upward(told.pid).into_iter().collect::<HashSet<_>>())).collect();
    // `sh` and `env` stand between some.
    let below = |worker: &WorkerLine| {
        let (told, _) = ways.iter().find(|(_, way)| worker.pid.is_some_and(|pid| way.contains(&pid)))?;
        lives(worker).then_some(*told)
    };
    let killed = killed.iter().filter(|status| status.is_of_this_boot());
    killed.into_iter().find_map(|status| Some((&status.supervisor, status.workers.iter().find_map(below)?)))
}

/// Forgets the supervisors of the app in `dir` that were killed, once none of their workers lives; only in a directory of
/// ours.
pub fn forget_killed(dir: &Path) {
    let Ok(folder) = ours(dir) else { return };
    let killed = Told::read(dir).unwrap_or_default().killed;
    for status in killed.iter().filter(|status| !status.has_left_workers()) {
        let SupervisorLine { tool, pid, .. } = &status.supervisor;
        let _ = folder.remove(&shown(tool, *pid));
        let _ = folder.remove(&spare(tool, *pid));
    }
}

/// Has the app in `dir` be one that was stopped on request, if its supervisor had given up; only in a directory of ours.
///
/// How its last worker ended stays.
pub fn forget_failure(dir: &Path) {
    let Ok(folder) = ours(dir) else { return };
    let failed = Told::read(dir).unwrap_or_default().ended.into_iter().filter(Status::gave_up);
    for Status { mut supervisor, workers } in failed {
        supervisor.state = SupervisorState::Ended;
        let name = shown(&supervisor.tool, supervisor.pid);
        // Where there is no room for it, it stays one that has failed.
        let _ = folder.replace(&name, text_of(&supervisor, &workers).as_bytes());
    }
}

/// The directory of the status files of the app in `dir`, held open, if both are our own: root also ends what another user
/// has written about himself, and that user must not choose where root writes.
fn ours(dir: &Path) -> io::Result<Folder> {
    Folder::open_to_write(dir)?.below_to_write(DIRECTORY)
}

/// Whether the worker's process is still that process.
pub(super) fn lives(worker: &WorkerLine) -> bool {
    worker.pid.zip(worker.start).is_some_and(|(pid, start)| procfs::is_alive(pid, start))
}

/// The name of the status file of a supervisor.
pub(super) fn shown(tool: &str, pid: i32) -> String {
    format!("{tool}.{pid}")
}

/// The other name of that file: what the supervisor writes its next state into.
pub(super) fn spare(tool: &str, pid: i32) -> String {
    format!(".{tool}.{pid}.new")
}

/// The process, and all above it but the first of all.
pub(super) fn upward(pid: i32) -> Vec<i32> {
    procfs::with_ancestors(pid).filter(|&at| at > 1 || at == pid).collect()
}
