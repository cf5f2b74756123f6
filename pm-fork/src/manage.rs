//! `--signal` and `--remove`: apps that run, and apps that do not.

use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::path::Path;

use pm_common::home::{self, Claim, Home, Lock};
use pm_common::report::{self, Failure, OrFail as _};
use pm_common::sys::process;

use crate::{failed, resurrect, stop};

/// Does something to each app, whatever becomes of the others; 1 if it could not be done to one.
pub(crate) fn each(names: &[String], act: impl Fn(&Home, &str) -> Result<(), Failure>) -> Result<u8, Failure> {
    let home = resurrect::home()?;
    let mut code = 0;
    for name in names {
        if let Err(failure) = act(&home, name) {
            code = 1;
            report::fatal(failure, &[]);
        }
    }
    Ok(code)
}

/// Sends a signal to the process that holds the app's lock.
///
/// # Errors
/// 1: it is not running; 125: it may not be signalled.
pub(crate) fn signal(home: &Home, name: &str, number: u8, word: &str) -> Result<(), Failure> {
    let dir = home.dir(name).unwrap_or_default();
    loop {
        let Some(pid) = holder(&dir, name)? else { return Err(not_running(home, &dir, name)) };
        let Ok(pidfd) = process::open_pidfd(pid) else { continue };
        // It has the lock still, so the number was its own when the pidfd was opened.
        if holder(&dir, name)? == Some(pid) {
            let doing = || format!("app '{name}': cannot send {word} to process {pid}");
            return process::signal(pidfd.as_fd(), number).or_fail(doing);
        }
    }
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

fn not_running(home: &Home, dir: &Path, name: &str) -> Failure {
    if dir.is_dir() {
        return Failure::with_code(1, format!("app '{name}' is not running"));
    }
    Failure::with_code(1, format!("no app '{name}' in {}", home.path().display()))
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
    let left = stop::left(&dir);
    if !left.is_empty() {
        let pids = pm_common::orphans::list(&left);
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
