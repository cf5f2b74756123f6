//! Apps that are known: found by name, signalled, stopped, scaled, started again.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use pm_common::app::home::{self, Claim, Home, Lock, Start};
use pm_common::app::orphans;
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::cli::shell;
use pm_common::cli::working_dir;
use pm_common::sys::pidfd;

use crate::launch::service;

pub(crate) mod flush;
pub(crate) mod saved;
pub(crate) mod scale;
pub(crate) mod signals;
pub(crate) mod start_order;
pub(crate) mod stdin_fifo;
pub(crate) mod stop;

/// How often the holder of a lock may change under our hands before we believe that it is not chance.
const TRIES: u32 = 20;

/// The directory of all apps.
///
/// # Errors
/// 125: nothing says where it is.
pub(crate) fn home() -> Result<Home, Failure> {
    Home::find(|name| std::env::var_os(name))
        .ok_or_else(|| Failure::own("no directory for the apps: neither PM_HOME nor HOME is set"))
}

/// The caller's directory, by the name that the caller has for it.
///
/// # Errors
/// 125: it cannot be told.
pub(crate) fn here() -> Result<PathBuf, Failure> {
    match working_dir::here() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Failure::own("the working directory was deleted: cd to one that is there"))
        }
        other => other.or_fail(|| "cannot tell the working directory".to_owned()),
    }
}

/// Does something to each app, whatever becomes of the others; 1 if it could not be done to one, 124 if all that kept it
/// from being done is that the time was up.
pub(crate) fn each(names: &[String], act: impl Fn(&Home, &str) -> Result<(), Failure>) -> Result<u8, Failure> {
    let home = home()?;
    let mut code = 0;
    for name in names {
        if let Err(failure) = act(&home, name) {
            code = if failure.code == EXIT_TIMED_OUT && code != 1 { EXIT_TIMED_OUT } else { 1 };
            say(&failure);
        }
    }
    Ok(code)
}

/// Says a failure of which nothing was said yet.
pub(crate) fn say(failure: &Failure) {
    if !failure.message.is_empty() {
        report::fatal(failure, &[]);
    }
}

/// How the app was started.
///
/// # Errors
/// 1: it is not known; 125: what is written of it cannot be read.
pub(crate) fn known(home: &Home, name: &str) -> Result<Start, Failure> {
    let dir = home.dir(name).unwrap_or_default();
    let start = Start::read_ours(&dir).map_err(|error| unreadable(&dir, name, &error))?;
    start.map(|start| named(start, name)).ok_or_else(|| unknown(home, &dir, name))
}

/// The failure where how the app was started cannot be read; what is damaged stays so.
pub(crate) fn unreadable(dir: &Path, name: &str, error: &std::io::Error) -> Failure {
    let damaged = matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
    let remedy = if damaged { "; it is damaged: start the script anew, or delete the app" } else { "" };
    let (file, why) = (dir.join(home::START), report::reason(error));
    Failure::own(format!("app '{name}': cannot read {}: {why}{remedy}", file.display()))
}

/// The start with the name of its directory, which counts: one that was renamed by hand is another app.
pub(crate) fn named(start: Start, name: &str) -> Start {
    let given_name = start.given_name.filter(|given| home::directory_name(given) == name);
    Start { name: name.to_owned(), given_name, ..start }
}

fn unknown(home: &Home, dir: &Path, name: &str) -> Failure {
    let why = match (dir.is_dir(), home::holder(dir).ok().flatten()) {
        (true, Some(holder)) => {
            let pid = holder.map_or_else(String::new, |pid| format!(" (pid={pid})"));
            let typed = shell::quoted(name);
            format!(
                "app '{name}' runs in the foreground{pid}: 'pm reload {typed}' replaces its workers; to start it anew is for who \
                 started it there: a terminal, a container, a unit"
            )
        }
        (true, None) => format!("app '{name}' ran in the foreground: who started it there has to do that again"),
        (false, _) => format!("no app '{name}' in {}", home.path().display()),
    };
    Failure::with_code(1, why)
}

/// The process that holds the app's lock.
///
/// # Errors
/// 125: it has no pid here, or the lock cannot be read.
pub(crate) fn holder(dir: &Path, name: &str) -> Result<Option<i32>, Failure> {
    match home::holder(dir) {
        Ok(None) => Ok(None),
        Ok(Some(Some(pid))) => Ok(Some(pid)),
        Ok(Some(None)) => Err(Failure::own(format!("app '{name}' runs in another pid namespace: signal it there"))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).or_fail(|| format!("app '{name}': cannot read its lock")),
    }
}

/// The process that holds the app's lock, pinned: the number was its own when the pidfd was opened.
///
/// # Errors
/// As [`holder`]; 125: the lock is of a process that is gone. It shared its descriptors with one that goes on
/// (CLONE_FILES, clone(2)), which none of ours does.
pub(crate) fn pinned_holder(dir: &Path, name: &str) -> Result<Option<(i32, OwnedFd)>, Failure> {
    for _ in 0..TRIES {
        let Some(pid) = holder(dir, name)? else { return Ok(None) };
        let Ok(pidfd) = pidfd::open(pid) else { continue };
        if holder(dir, name)? == Some(pid) {
            return Ok(Some((pid, pidfd)));
        }
    }
    let lock = dir.join("lock");
    Err(Failure::own(format!(
        "app '{name}': no process can be found that holds {}: see who has it open (fuser {0}), and end that",
        lock.display()
    )))
}

/// The failure of an app that does not run, or of which there is none.
pub(crate) fn not_running(home: &Home, dir: &Path, name: &str) -> Failure {
    if dir.is_dir() {
        return Failure::with_code(1, format!("app '{name}' is not running"));
    }
    Failure::with_code(1, format!("no app '{name}' in {}", home.path().display()))
}

/// The directory of an app.
///
/// # Errors
/// 1: there is no such app.
pub(crate) fn known_dir(home: &Home, name: &str) -> Result<PathBuf, Failure> {
    let dir = home.dir(name).unwrap_or_default();
    if dir.is_dir() { Ok(dir) } else { Err(not_running(home, &dir, name)) }
}

/// Whether workers of killed supervisors are left in the directory: their pids.
pub(crate) fn left(dir: &Path) -> Vec<i32> {
    let left = orphans::of(dir).unwrap_or_default();
    left.iter().flat_map(|status| &status.workers).filter_map(|worker| worker.pid).collect()
}

/// Writes down how an app is to be started, and starts nothing.
///
/// # Errors
/// 125: it runs, or its files cannot be written.
pub(crate) fn write_down(mut start: Start) -> Result<(), Failure> {
    let home = home()?;
    let name = start.name.clone();
    let doing = || format!("app '{name}': cannot write {}", home.path().join(&name).join(home::START).display());
    let dir = home::make(&home, &name)?;
    let Claim::Ours(_lock) = Lock::claim(&dir).or_fail(doing)? else {
        return Err(Failure::with_code(1, format!("app '{name}' is running")));
    };
    let at = start.started_at_ms;
    home::with_id(&home, &name, |id| service::write_start(&dir, &mut start, id, at)).or_fail(doing)
}
