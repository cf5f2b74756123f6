//! `--restart`: what runs is stopped before it is started again, and only if that has a chance.
//!
//! Two who ask for the same app do it one after the other: the second TERM would cut short what the app has in hand, and
//! the second start would find the name taken.

use std::path::PathBuf;

use pm_common::home::{Home, Turns};
use pm_common::report::{self, Failure, OrFail as _};
use pm_common::status::{self, Counts};
use pm_common::sys::process;
use rustix::event::{PollFd, PollFlags, poll};

use crate::manage;
use crate::service::Service;

/// What can be started now, and nothing of it runs.
pub(crate) struct Ready {
    pub(crate) services: Vec<Service>,
    /// Whether there was one that cannot be, and was left as it is.
    pub(crate) failed: bool,
    /// Nobody else starts them as long as this lives. `None`: there is no place to say so.
    _turns: Option<Turns>,
}

/// Stops what runs of these services, and `others`, each in its turn.
///
/// # Errors
/// 125: an app cannot be waited for.
pub(crate) fn stop_first(home: &Home, mut services: Vec<Service>, others: &[&str]) -> Result<Ready, Failure> {
    let mut names: Vec<String> = services.iter().map(|service| service.start.name.clone()).collect();
    names.extend(others.iter().map(|&name| name.to_owned()));
    names.sort_unstable();
    let turns = turns(home, &names);
    let before = services.len();
    services.retain(|service| is_possible(home, service, &mut names));
    let mut failed = services.len() < before;
    services.iter_mut().for_each(|service| count(home, service));
    let told = tell(home, &names, &mut failed);
    services.retain(|service| !told.refused.contains(&service.start.name));
    for (name, pid) in told.ending {
        await_end(home, &name, pid)?;
    }
    Ok(Ready { services, failed, _turns: turns })
}

/// Our turn with each of the names. Where no file can be made for that, we go on without: it is no reason not to.
fn turns(home: &Home, names: &[String]) -> Option<Turns> {
    let turns = Turns::new(home).ok()?;
    names.iter().for_each(|name| drop(turns.take(name)));
    Some(turns)
}

/// One that could not be started is better left running.
fn is_possible(home: &Home, service: &Service, names: &mut Vec<String>) -> bool {
    let name = &service.start.name;
    let runs = |dir: &PathBuf| manage::holder(dir, name).is_ok_and(|holder| holder.is_some());
    let Some(dir) = home.dir(name).filter(runs) else { return true };
    let Err(failure) = service.check(&dir) else { return true };
    report::fatal(format_args!("app '{name}' is left running: {failure}"), &[]);
    names.retain(|other| other != name);
    false
}

/// What runs has been restarted once more.
fn count(home: &Home, service: &mut Service) {
    let Some(dir) = home.dir(&service.start.name) else { return };
    service.counts = Counts::read(&dir).after_a_restart(&status::read(&dir).unwrap_or_default());
}

/// Who was told to end.
struct Told {
    ending: Vec<(String, i32)>,
    refused: Vec<String>,
}

/// All at once, so that it takes as long as the slowest.
fn tell(home: &Home, names: &[String], failed: &mut bool) -> Told {
    let mut told = Told { ending: Vec::new(), refused: Vec::new() };
    for name in names {
        match tell_one(home, name) {
            Ok(pid) => told.ending.extend(pid.map(|pid| (name.clone(), pid))),
            Err(failure) => {
                *failed = true;
                report::fatal(failure, &[]);
                told.refused.push(name.clone());
            }
        }
    }
    told
}

/// The process that ends now; `None`: there is none.
fn tell_one(home: &Home, name: &str) -> Result<Option<i32>, Failure> {
    let Some(pid) = home.dir(name).map_or(Ok(None), |dir| manage::holder(&dir, name))? else { return Ok(None) };
    match manage::signal(home, name, nix::libc::SIGTERM as u8, "TERM") {
        Ok(()) => Ok(Some(pid)),
        // It has ended by itself meanwhile.
        Err(failure) if failure.code == 1 => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// How long a stop may take is the supervisor's business.
fn await_end(home: &Home, name: &str, pid: i32) -> Result<(), Failure> {
    let dir = home.dir(name).unwrap_or_default();
    let Ok(pidfd) = process::open_pidfd(pid) else { return Ok(()) };
    // It has the lock still, so the number was its own when the pidfd was opened.
    if manage::holder(&dir, name)? != Some(pid) {
        return Ok(());
    }
    loop {
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop).or_fail(|| format!("app '{name}': cannot wait for its end")),
        }
    }
}
