//! `--signal`, `--reset` and `--remove`: apps that run, and apps that do not.

use std::io::ErrorKind;

use pm_common::app::home::{Claim, Home, Lock, moved_mark};
use pm_common::app::may_signal::MaySignal;
use pm_common::app::status::{self, Counts};
use pm_common::app::wait::Sight;
use pm_common::cli::report::{Failure, OrFail as _};
use pm_common::kernel::procfs;
use pm_common::sys::pidfd;

use crate::apps::{known_dir, left, not_running, pinned_holder};
use crate::launch::failed;

/// A signal, and who is to get it.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(crate) number: u8,
    /// In the words of the user.
    pub(crate) word: String,
    /// The workers, instead of the outermost process.
    pub(crate) to_workers: bool,
}

/// Sends a signal to the process that holds the app's lock.
///
/// # Errors
/// 1: it is not running; 125: it may not be signalled.
pub(crate) fn signal(home: &Home, name: &str, signal: &Signal) -> Result<(), Failure> {
    let dir = home.dir(name).unwrap_or_default();
    let Some((pid, pidfd)) = pinned_holder(&dir, name)? else { return Err(not_running(home, &dir, name)) };
    MaySignal::of(&dir)?.send(name, (pid, &pidfd), signal.number, &signal.word)
}

/// Sends HUP; `moved`: for a release that may listen elsewhere.
///
/// # Errors
/// As [`signal`]; 125: its files cannot be written.
pub(crate) fn reload(home: &Home, name: &str, hup: &Signal, moved: bool) -> Result<(), Failure> {
    let dir = home.dir(name).unwrap_or_default();
    if pinned_holder(&dir, name)?.is_none() {
        return Err(not_running(home, &dir, name));
    }
    let told = status::read(&dir).or_fail(|| format!("app '{name}': cannot read what its supervisor says"))?;
    let sight = Sight { statuses: told, ..Sight::default() };
    let asked = sight.acting().and_then(|told| told.roll.as_ref()).map_or(0, |roll| roll.requested);
    if moved {
        moved_mark::mark(home, name, asked).or_fail(|| format!("app '{name}': cannot write in {}", dir.display()))?;
    } else {
        // Left by one who was killed before he could send his signal. In another user's directory it is that user's.
        let _ = moved_mark::unmark(home, name, asked);
    }
    // What nobody takes would be another reload's.
    signal(home, name, hup).inspect_err(|_| _ = moved_mark::unmark(home, name, asked))
}

/// Sends a signal to the workers of an app.
///
/// # Errors
/// 1: none runs; 125: one may not be signalled.
pub(crate) fn signal_workers(home: &Home, name: &str, signal: &Signal) -> Result<(), Failure> {
    let dir = home.dir(name).unwrap_or_default();
    let statuses = status::read(&dir).or_fail(|| format!("app '{name}': cannot read what its supervisor says"))?;
    let workers = statuses.iter().flat_map(|status| &status.workers).filter(|worker| !worker.supervises);
    let mut told = false;
    for (pid, start) in workers.filter_map(|worker| worker.pid.zip(worker.start)) {
        let Ok(pidfd) = pidfd::open(pid) else { continue };
        // Alive after the pidfd was opened: the pidfd is this process's, not that of a later one with its number.
        if procfs::is_alive(pid, start) {
            MaySignal::of(&dir)?.send(name, (pid, &pidfd), signal.number, &signal.word)?;
            told = true;
        }
    }
    if told { Ok(()) } else { Err(not_running(home, &dir, name)) }
}

/// Lets an app's restarts count from 0 on.
///
/// # Errors
/// 1: there is no such app; 125: its files cannot be written.
pub(crate) fn reset(home: &Home, name: &str) -> Result<(), Failure> {
    let dir = known_dir(home, name)?;
    let doing = || format!("app '{name}': cannot write in {}", dir.display());
    Counts::reset(&dir, &status::read(&dir).or_fail(doing)?).or_fail(doing)
}

/// Deletes the directory of an app that does not run.
///
/// # Errors
/// 1: it runs, or there is none; 125: it cannot be deleted.
pub(crate) fn remove(home: &Home, name: &str) -> Result<(), Failure> {
    let dir = home.dir(name).unwrap_or_default();
    let doing = || format!("app '{name}': cannot remove {}", dir.display());
    if !dir.is_dir() {
        return Err(not_running(home, &dir, name));
    }
    // Before the claim: a look at the lock would drop ours.
    let left = left(&dir);
    if !left.is_empty() {
        let pids = pm_common::app::orphans::list(&left);
        let why = format!("app '{name}': workers of a supervisor that was killed still run: pid={pids}; stop it first");
        return Err(Failure::with_code(1, why));
    }
    let claim = match Lock::claim(&dir) {
        // Somebody else has removed it since.
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(not_running(home, &dir, name)),
        other => other.or_fail(doing)?,
    };
    match claim {
        Claim::Theirs(pid) => {
            let pid = pid.map_or_else(String::new, |pid| format!(": pid={pid}"));
            Err(Failure::with_code(1, format!("app '{name}' is running{pid}; stop it first")))
        }
        Claim::Ours(_lock) => failed::delete(&dir, name).or_fail(doing),
    }
}
