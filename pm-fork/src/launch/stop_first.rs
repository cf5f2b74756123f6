//! `--restart`: what runs is stopped before it is started again, and only if that has a chance.
//!
//! Two who ask for the same app do it one after the other: the second TERM would cut short what the app has in hand, and
//! the second start would find the name taken.
//!
//! INT, TERM and HUP (a session that is gone) wait until what was stopped is started again, as in between nothing would run;
//! and where nothing was stopped, until all starts are under way, as nobody could tell which are.

use std::path::PathBuf;

use pm_common::app::home::{Home, Turns};
use pm_common::app::status::{self, Counts};
use pm_common::cli::report;
use pm_common::sys::signal_events::{self, HeldBack};

use crate::apps::{self, stop};
use crate::launch::service::Service;

/// What can be started now, and nothing of it runs.
pub(crate) struct Ready {
    pub(crate) services: Vec<Service>,
    /// Whether there was one that cannot be, and was left as it is.
    pub(crate) failed: bool,
    /// Nobody else starts them as long as this lives. `None`: there is no place to say so.
    _turns: Option<Turns>,
    /// Something was stopped for it.
    pub(super) stopped: bool,
    /// `None`: they cannot be held back.
    held: Option<HeldBack>,
}

impl Ready {
    /// These, whatever runs.
    pub(crate) fn all(services: Vec<Service>) -> Self {
        Self { services, failed: false, _turns: None, stopped: false, held: HeldBack::begin().ok() }
    }

    /// Holds the signals back again, if they were: more is started.
    pub(super) fn hold(&self) {
        if self.held.is_some() {
            let _ = HeldBack::begin();
        }
    }

    /// Whether one has come meanwhile.
    pub(super) fn is_interrupted(&self) -> bool {
        self.held.as_ref().is_some_and(HeldBack::has_come)
    }

    /// Lets the signals through again, now that all starts are under way; with one that came meanwhile, it says so, with the
    /// words for starts that go on, and does not return.
    pub(crate) fn are_begun(&self, goes_on: &str) {
        let Some(signal) = self.held.as_ref().and_then(HeldBack::end) else { return };
        if self.stopped {
            report::warning(format_args!(
                "{signal} came while apps were down: what was stopped is started again, and not waited for"
            ));
        } else if !goes_on.is_empty() {
            report::info(goes_on);
        }
        signal_events::end_by(signal);
    }
}

/// Stops what runs of these services, and `others`, each in its turn; one that does not end is not started.
pub(crate) fn stop_first(home: &Home, mut services: Vec<Service>, others: &[&str]) -> Ready {
    let mut names: Vec<String> = services.iter().map(|service| service.start.name.clone()).collect();
    names.extend(others.iter().map(|&name| name.to_owned()));
    names.sort_unstable();
    let turns = Turns::of(home, &names);
    let held = HeldBack::begin().ok();
    let before = services.len();
    services.retain_mut(|service| is_possible(home, service, &mut names));
    let mut failed = services.len() < before;
    services.iter_mut().for_each(|service| count(home, service));
    let running = stop::stop(home, &names, None);
    failed |= !running.is_empty();
    services.retain(|service| !running.contains_key(&service.start.name));
    let stopped = services.iter().any(|service| service.restarted);
    Ready { services, failed, _turns: turns, stopped, held }
}

/// Whether a service can be started: one that cannot is better left running.
fn is_possible(home: &Home, service: &mut Service, names: &mut Vec<String>) -> bool {
    let name = &service.start.name;
    let runs = |dir: &PathBuf| apps::holder(dir, name).is_ok_and(|holder| holder.is_some());
    let Some(dir) = home.dir(name).filter(runs) else { return true };
    service.restarted = true;
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
