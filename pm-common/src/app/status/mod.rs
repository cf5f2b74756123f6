//! The status files of an app, `status.d/<tool>.<pid>`: what a supervisor says, replaced as a whole at every change
//! (`full_disk`: also on a full disk).
//!
//! JSON lines, the supervisor's own first, then one per worker. A reader believes them while the process of that pid
//! and start time lives. They help those who look; a supervisor never fails for want of one.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::report;
use crate::kernel::procfs;

mod dead_supervisors;
mod foreign;
mod full_disk;
mod line;
mod process_owner;
mod restart_counts;
mod roll_status;

pub use dead_supervisors::{forget_failure, forget_killed, lost_above, orphaned};
use full_disk::Pair;
pub use line::{Ended, Id, Last, SCHEMA, SET_TIME, SupervisorLine, SupervisorState, WorkerLine, WorkerState};
pub use process_owner::{app_of, port_holder, port_taken, socket_holder};
pub use restart_counts::Counts;
pub use roll_status::{RollReport, RollRunning};

/// The directory of the status files, in that of the app.
pub const DIRECTORY: &str = "status.d";
/// The most that is read of a status file: about 10,000 workers.
const LARGEST: u64 = 4 << 20;
/// The most that is read of all in one directory, of how many files, and of how many names there: a chain has a file for
/// each link, and one for each that was killed. Who writes there himself is not to hold up who looks.
const MOST: u64 = 3 * LARGEST;
const MOST_FILES: usize = 100;
const MOST_NAMES: usize = 1000;

/// What one status file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The supervisor that wrote it.
    pub supervisor: SupervisorLine,
    /// Its workers, as the file has them: by slot and generation.
    pub workers: Vec<WorkerLine>,
}

impl Status {
    /// The value of a file's text; lines that are malformed or unknown are skipped. `None`: not even the first is right.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let first = serde_json::from_str::<Value>(lines.next()?).ok()?;
        let supervisor = SupervisorLine::from_json(first)?;
        let values = lines.filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let workers = values.filter_map(WorkerLine::from_json).collect();
        Some(Self { supervisor, workers })
    }

    /// Whether the supervisor that wrote it is running.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let told = &self.supervisor;
        procfs::is_alive(told.pid, told.start) && self.is_of_this_boot()
    }

    /// Whether it was written since the machine came up: after a reboot the same pid may have started at the same tick.
    #[must_use]
    pub fn is_of_this_boot(&self) -> bool {
        let boots = self.supervisor.boot.clone().zip(procfs::boot_id());
        boots.is_none_or(|(then, now)| then == now)
    }

    /// Whether its supervisor gave up.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.supervisor.state == SupervisorState::GaveUp
    }

    /// Whether its supervisor gave up what it had tried again: what is run once has failed, too, and is done.
    #[must_use]
    pub fn failed_often(&self) -> bool {
        self.gave_up() && self.workers.iter().any(|worker| worker.restarts > 0)
    }

    /// Whether it was left on purpose, at the end of its supervisor.
    fn is_last_words(&self) -> bool {
        self.gave_up() || self.supervisor.state == SupervisorState::Ended
    }

    /// Whether a worker that it names still lives: of a supervisor that was killed, nothing else says so.
    fn has_left_workers(&self) -> bool {
        self.is_of_this_boot() && self.workers.iter().any(dead_supervisors::lives)
    }
}

/// What the living supervisors of the app in `dir` say, in no order.
///
/// # Errors
/// The directory cannot be read; that it is not there yet is no error.
pub fn read(dir: &Path) -> io::Result<Vec<Status>> {
    Ok(Told::read(dir)?.living)
}

/// What the supervisors of an app say, and have said, in no order.
#[derive(Debug, Default)]
pub struct Told {
    /// Those that live.
    pub living: Vec<Status>,
    /// Those that were killed, with -9 or with the machine: a clean end removes the file.
    pub killed: Vec<Status>,
    /// Those that gave up, or whose workers ended by themselves.
    pub ended: Vec<Status>,
}

impl Told {
    /// Reads all of the app in `dir`, once.
    ///
    /// # Errors
    /// The directory cannot be read; that it is not there yet is no error.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut all = match all_in(&dir.join(DIRECTORY)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        foreign::only_theirs(&mut all, dir);
        let (mut living, ended): (Vec<_>, Vec<_>) = all.into_iter().partition(Status::is_alive);
        know_supervisors(&mut living);
        let (ended, killed) = ended.into_iter().partition(Status::is_last_words);
        Ok(Self { living, killed, ended })
    }

    /// Counts those among the living that are the holder of the app's lock, or run below it, whatever boot they wrote of:
    /// a container, or a unit in one, may have its own name for it, and a lock outlives no boot.
    pub fn revive_below(&mut self, holder: i32) {
        let runs = |told: &SupervisorLine| procfs::is_alive(told.pid, told.start);
        let is_its = |status: &Status| {
            let told = &status.supervisor;
            runs(told) && dead_supervisors::upward(told.pid).contains(&holder)
        };
        let (living, killed) = std::mem::take(&mut self.killed).into_iter().partition(is_its);
        (self.living, self.killed) = ([std::mem::take(&mut self.living), living].concat(), killed);
    }

    /// What the last supervisor said as it gave up, or as its workers had ended by themselves; `None`: it did neither.
    #[must_use]
    pub fn last_words(self) -> Option<Status> {
        // That a start has failed is said by whoever started it. Else the innermost one had the workers, and ended first.
        let order = |status: &Status| (!status.gave_up(), status.supervisor.since_ms);
        let mut words = self.ended.into_iter().min_by_key(order)?;
        if !words.is_of_this_boot() {
            words.workers.iter_mut().filter_map(|worker| worker.last.as_mut()).for_each(|last| last.at_boot_ms = None);
        }
        Some(words)
    }
}

/// Notes that a worker is a supervisor where that one's own file says so: the file of the one above it may be a moment older,
/// and the worker would be counted beside its own.
fn know_supervisors(living: &mut [Status]) {
    let ids: Vec<Id> = living.iter().map(|status| Id::of(&status.supervisor)).collect();
    for worker in living.iter_mut().flat_map(|status| &mut status.workers) {
        worker.supervises |= ids.iter().any(|id| worker.pid == Some(id.pid) && worker.start == Some(id.start));
    }
}

/// What the files in a directory of status files say.
fn all_in(directory: &Path) -> io::Result<Vec<Status>> {
    let names = std::fs::read_dir(directory)?.take(MOST_NAMES).flatten();
    let files = names.map(|e| e.path()).filter(|path| named(path).is_some()).take(MOST_FILES);
    let mut room = MOST;
    let texts = files.filter_map(|path| {
        let text = full_disk::read_whole(&path, LARGEST.min(room))?;
        room = room.saturating_sub(text.len() as u64);
        Some(text)
    });
    Ok(texts.filter_map(|text| Status::parse(&text)).collect())
}

/// What the last supervisor of the app said at its end ([`Told::last_words`]); `None`: nothing, or another has started
/// since.
#[must_use]
pub fn last_words(dir: &Path) -> Option<Status> {
    Told::read(dir).ok()?.last_words()
}

fn read_file(path: &Path) -> Option<Status> {
    let text = full_disk::read_whole(path, LARGEST)?;
    Status::parse(&text)
}

/// The pid in the name of a status file, `<tool>.<pid>`; not of one that is being written.
fn named(path: &Path) -> Option<i32> {
    let name = path.file_name()?.to_str()?;
    if name.starts_with('.') {
        return None;
    }
    name.rsplit_once('.')?.1.parse().ok().filter(|&pid| pid > 0)
}

/// The status file of this supervisor. Dropping it removes the file: that is a clean end.
#[derive(Debug)]
pub struct StatusFile {
    /// The file, and the spare that the next state is written into; `None`: the app has no directory.
    paths: Option<(PathBuf, PathBuf)>,
    pair: Pair,
    /// What the file says; empty: not what was last told.
    text: String,
    warned: bool,
}

impl StatusFile {
    /// The file of the tool in the app's directory (not yet written); what dead supervisors left there is removed.
    #[must_use]
    pub fn new(dir: Option<&Path>, tool: &str) -> Self {
        let pid = std::process::id().cast_signed();
        let paths = dir.map(|dir| dir.join(DIRECTORY)).map(|directory| {
            remove_stale(&directory);
            (directory.join(dead_supervisors::shown(tool, pid)), directory.join(dead_supervisors::spare(tool, pid)))
        });
        Self { paths, pair: Pair::default(), text: String::new(), warned: false }
    }

    /// Replaces what the file says, if that has changed.
    ///
    /// Where that fails, it is said once, and tried again at the next call. False: the disk is full, which may pass
    /// without anything else that would call.
    pub fn write(&mut self, supervisor: &SupervisorLine, workers: &[WorkerLine]) -> bool {
        let Some((path, new)) = &self.paths else { return true };
        let text = text_of(supervisor, workers);
        if text == self.text {
            return true;
        }
        match self.pair.write(path, new, &text) {
            Ok(()) => {
                (self.text, self.warned) = (text, false);
                true
            }
            Err(e) => {
                self.text.clear();
                if !std::mem::replace(&mut self.warned, true) {
                    let (path, why) = (path.display(), report::reason(&e));
                    report::warning(format_args!("pm-stat may show an old state: cannot write {path}: {why}"));
                }
                !matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
        }
    }

    /// Leaves the file as it is: the last words of a supervisor that ended ([`last_words`]).
    pub fn leave(&mut self) {
        if let Some((_, spare)) = self.paths.take() {
            let _ = std::fs::remove_file(spare);
        }
    }

    /// Removes the file: a clean end. What links below us left that were killed is of no interest any more either.
    pub fn remove(&mut self) {
        if let Some((path, spare)) = self.paths.take() {
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_file(spare);
            path.ancestors().nth(2).into_iter().for_each(forget_killed);
        }
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What a status file says.
fn text_of(supervisor: &SupervisorLine, workers: &[WorkerLine]) -> String {
    let mut text = format!("{}\n", supervisor.to_json());
    workers.iter().for_each(|w| text.push_str(&format!("{}\n", json!(w))));
    text
}

/// Removes the files of supervisors that are no more.
fn remove_stale(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|e| e.path()).filter(|p| is_stale(p)) {
        let _ = std::fs::remove_file(path);
    }
}

/// A file that is not to be understood is one of a later version, if the process in its name lives.
fn is_stale(path: &Path) -> bool {
    let half_written =
        path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix('.')?.strip_suffix(".new"));
    let Some(pid) = half_written.map_or_else(|| named(path), |name| named(Path::new(name))) else { return false };
    let whole = if half_written.is_none() { read_file(path) } else { None };
    whole.map_or_else(
        || procfs::stat(pid).is_none_or(|s| s.is_zombie()),
        |status| !status.is_alive() && !status.has_left_workers(),
    )
}

#[cfg(test)]
mod tests;
