//! `--signal`, `--reset` and `--remove`: apps that run, and apps that do not.

use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use pm_common::app::home::{self, Claim, Home, Lock};
use pm_common::app::status::{self, Counts};
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::kernel::procfs;
use pm_common::sys::process;

use crate::apps::{saved, stop};
use crate::request::Signal;
use crate::start::failed;

/// How often the holder of a lock may change under our hands before we believe that it is not chance.
const TRIES: u32 = 20;

/// Does something to each app, whatever becomes of the others; 1 if it could not be done to one, 124 if all that kept it
/// from being done is that the time was up.
pub(crate) fn each(names: &[String], act: impl Fn(&Home, &str) -> Result<(), Failure>) -> Result<u8, Failure> {
    let home = saved::home()?;
    let mut code = 0;
    for name in names {
        if let Err(failure) = act(&home, name) {
            code = if failure.code == EXIT_TIMED_OUT && code != 1 { EXIT_TIMED_OUT } else { 1 };
            report::fatal(failure, &[]);
        }
    }
    Ok(code)
}

/// Sends a signal to the process that holds the app's lock.
///
/// # Errors
/// 1: it is not running; 125: it may not be signalled.
pub(crate) fn signal(home: &Home, name: &str, signal: &Signal) -> Result<(), Failure> {
    let dir = home.dir(name).unwrap_or_default();
    let Some((pid, pidfd)) = pinned_holder(&dir, name)? else { return Err(not_running(home, &dir, name)) };
    check_owner(home, name, pid)?;
    send(&pidfd, name, pid, signal)
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
        let Ok(pidfd) = process::open_pidfd(pid) else { continue };
        // Alive after the pidfd was opened: the pidfd is this process's, not that of a later one with its number.
        if procfs::is_alive(pid, start) {
            check_owner(home, name, pid)?;
            send(&pidfd, name, pid, signal)?;
            told = true;
        }
    }
    if told { Ok(()) } else { Err(not_running(home, &dir, name)) }
}

fn send(pidfd: &OwnedFd, name: &str, pid: i32, signal: &Signal) -> Result<(), Failure> {
    let doing = || format!("app '{name}': cannot send {} to process {pid}", signal.word);
    process::signal(pidfd.as_fd(), signal.number).or_fail(doing)
}

/// Makes sure that root signals for another user only what that user could signal too (kill(2)): who can write an
/// app's files could name any process in them, and have root end it.
///
/// # Errors
/// 125: it is another's.
pub(crate) fn check_owner(home: &Home, name: &str, pid: i32) -> Result<(), Failure> {
    let owner = home.owner_of(name)?;
    if owner == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    match procfs::uids(pid) {
        Some([real, _, saved]) if real == owner || saved == owner => Ok(()),
        uids => {
            let whose = uids.map_or_else(|| "gone".to_owned(), |[_, effective, _]| format!("user {effective}'s"));
            Err(Failure::own(format!(
                "app '{name}' is user {owner}'s, and process {pid} is {whose}: it is not signalled"
            )))
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

/// The process that holds the app's lock, pinned: the number was its own when the pidfd was opened.
///
/// # Errors
/// As [`holder`]; 125: the lock is of a process that is gone. It shared its descriptors with one that goes on
/// (CLONE_FILES, clone(2)), which none of ours does.
pub(crate) fn pinned_holder(dir: &Path, name: &str) -> Result<Option<(i32, OwnedFd)>, Failure> {
    for _ in 0..TRIES {
        let Some(pid) = holder(dir, name)? else { return Ok(None) };
        let Ok(pidfd) = process::open_pidfd(pid) else { continue };
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

/// That the app does not run, or that there is none.
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
    let left = stop::left(&dir);
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
