//! What is left of a start that failed: nothing, or the reason.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use pm_common::app::home::{Folder, Start};
use pm_common::app::status::{Last, StatusFile, SupervisorLine, SupervisorState, WorkerLine, WorkerState, last_words};
use pm_common::kernel::procfs;
use pm_common::policy::exit::Exit;
use pm_common::sys::clock;
use serde_json::Map;

use crate::apps::stdin_fifo::INPUT;

/// The files that a start makes before the chain runs.
const MADE: [&str; 6] = ["lock", "pid", "out.log", "err.log", "app.env", INPUT];

/// Deletes the directory of an app that never ran, by its lock's holder; one with anything in it stays.
pub(crate) fn leave_nothing(dir: &Path, app: &str) {
    if is_bare(dir).unwrap_or(false) {
        let _ = delete(dir, app);
    }
}

/// Whether nothing is in the directory but what a start has just made.
fn is_bare(dir: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_a_log = name.to_str().is_some_and(|name| name.ends_with(".log"));
        if !MADE.iter().any(|made| name == *made) || (is_a_log && entry.metadata()?.len() > 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes an app's directory, by way of a name that no app can have: half a directory is never taken for an app.
///
/// # Errors
/// It cannot be renamed or deleted.
pub(crate) fn delete(dir: &Path, app: &str) -> io::Result<()> {
    let place = Folder::open_place(dir.parent().unwrap_or(dir))?;
    let hidden = format!(".{app}.{}.removed", std::process::id());
    place.rename(app, &hidden)?;
    place.remove_tree(OsStr::new(&hidden))
}

/// Leaves how an app ended whose start has failed, unless its supervisor has left that: it is `errored`, not `stopped`.
pub(crate) fn remember(dir: &Path, app: &str, pid: i32, exit: Exit) {
    let begun = Start::read(dir).ok().flatten().map_or(0, |start| start.started_at_ms);
    let told = last_words(dir).is_some_and(|words| words.gave_up() && words.supervisor.since_ms >= begun);
    if dir.as_os_str().is_empty() || told {
        return;
    }
    let last = Last {
        ended: Some(exit.into()),
        why: "crash".to_owned(),
        at_ms: clock::wall_ms(),
        at_boot_ms: Some(clock::since_boot().as_millis()),
    };
    let worker = WorkerLine { last: Some(last), ..WorkerLine::new(0, 1, WorkerState::Failed) };
    let supervisor = SupervisorLine {
        app: app.to_owned(),
        tool: "pm-fork".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid,
        // Of a process that is no more: nobody has it.
        start: 0,
        first: None,
        boot: procfs::boot_id(),
        state: SupervisorState::GaveUp,
        since_ms: clock::wall_ms(),
        workers: 1,
        ready: 0,
        policy: Map::new(),
        addresses: Vec::new(),
        roll: None,
    };
    let mut file = StatusFile::new(Some(dir), "pm-fork");
    file.write(&supervisor, &[worker]);
    file.leave();
}
