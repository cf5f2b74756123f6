//! Apps that are started together, whoever named them: each as soon as it may, with one wait for all.

use pm_common::app::home::Start;
use pm_common::cli::report::{self, Failure};

use crate::apps;
use crate::launch::parent::{start_all, summary};
use crate::launch::patience::Patience;
use crate::launch::service::Service;
use crate::launch::stop_first::{Ready, stop_first};

/// Apps that are to be started.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// One that runs already is refused.
    pub(crate) fresh: Vec<Service>,
    /// What runs of these is stopped first.
    pub(crate) anew: Vec<Service>,
    /// What is written down only; and whether it is stopped first.
    pub(crate) parked: Vec<(Start, bool)>,
    /// There is one that cannot be, which was said.
    pub(crate) failed: bool,
}

impl Batch {
    /// The names of all.
    fn names(&self) -> impl Iterator<Item = &str> {
        let services = self.fresh.iter().chain(&self.anew).map(|service| service.start.name.as_str());
        services.chain(self.parked.iter().map(|(start, _)| start.name.as_str()))
    }

    /// Whether both have an app of one name.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.names().any(|name| other.names().any(|one| one == name))
    }

    /// Adds those of another one that are not in this one.
    pub(crate) fn join(&mut self, other: Self) {
        let known: Vec<String> = self.names().map(str::to_owned).collect();
        let is_new = |start: &Start| !known.contains(&start.name);
        self.fresh.extend(other.fresh.into_iter().filter(|one| is_new(&one.start)));
        self.anew.extend(other.anew.into_iter().filter(|one| is_new(&one.start)));
        self.parked.extend(other.parked.into_iter().filter(|(start, _)| is_new(start)));
        self.failed |= other.failed;
    }

    /// Starts them.
    ///
    /// # Errors
    /// 125: there is no place for apps.
    pub(crate) fn start(self, patience: &Patience) -> Result<u8, Failure> {
        let Self { fresh, anew, parked, failed } = self;
        let stopped: Vec<&str> =
            parked.iter().filter(|(_, stop)| *stop).map(|(start, _)| start.name.as_str()).collect();
        let mut ready = match anew.is_empty() && stopped.is_empty() {
            true => Ready::all(Vec::new()),
            false => stop_first(&apps::home()?, anew, &stopped),
        };
        ready.services.extend(fresh);
        let is_written = park(parked.iter().map(|(start, _)| start));
        let codes = start_all(&ready, patience)?;
        Ok(if is_written && !failed && !ready.failed { summary(&codes) } else { 1 })
    }
}

/// Writes down what is not to be started (`autostart: false`); false: one could not be.
pub(crate) fn park<'a>(starts: impl Iterator<Item = &'a Start>) -> bool {
    let mut all = true;
    for start in starts {
        match apps::write_down(start.clone()) {
            Ok(()) => report::info(format_args!("app '{}' is stopped, as autostart is false", start.name)),
            Err(failure) => {
                all = false;
                report::fatal(format_args!("app '{}': {failure}", start.name), &[]);
            }
        }
    }
    all
}
