//! What is seen: the apps that are looked at (those named, or all), and what the kernel says of their processes.

pub(crate) mod app;
pub(crate) mod matching;
pub(crate) mod samples;
pub(crate) mod start;
pub(crate) mod traffic;
pub(crate) mod unseen;
pub(crate) mod usage;

use std::ffi::OsString;
use std::path::Path;

use pm_common::app::home::{Home, directory_name};
use pm_common::cli::report::{Failure, OrFail as _};

use crate::look::app::Seen;
use crate::look::start::Start;
use crate::look::unseen::{EXIT_UNKNOWN, cannot_know};

/// The apps, and what was named and is none.
#[derive(Debug, Default)]
pub(crate) struct Apps {
    pub(crate) seen: Vec<Seen>,
    pub(crate) missing: Vec<String>,
}

impl Apps {
    /// Looks at the apps named, sorted and each once, or at all of them.
    ///
    /// # Errors
    /// 125: the files cannot be read.
    pub(crate) fn look(home: Option<&Home>, named: &[OsString]) -> Result<Self, Failure> {
        let (names, missing) = choose(home, named)?;
        let mut seen = Vec::with_capacity(names.len());
        for name in &names {
            let Some(dir) = home.and_then(|h| h.dir(name)) else { continue };
            seen.push(Seen::look(name, &dir).or_fail(|| format!("cannot read {}", dir.display()))?);
        }
        Ok(Self { seen, missing })
    }

    /// The same, without what is only a directory, unless it is named.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(crate) fn known(home: Option<&Home>, named: &[OsString]) -> Result<Self, Failure> {
        let mut apps = Self::look(home, named)?;
        apps.seen.retain(|app| !named.is_empty() || app.is_known());
        Ok(apps)
    }

    /// The end of a run that printed what there is: 0, or that some were named and are not there.
    ///
    /// # Errors
    /// 1: so it is; 4: but they may run.
    pub(crate) fn end(&self, home: Option<&Home>, named: bool) -> Result<u8, Failure> {
        let unseen = if named { self.unseen(home, true) } else { Vec::new() };
        let missing = |name: &&String| unseen.iter().all(|app| app.name != **name);
        let missing: Vec<&String> = self.missing.iter().filter(missing).collect();
        match unseen.first() {
            _ if !missing.is_empty() => Err(no_such(&missing, home)),
            Some(app) => Err(Failure::with_code(EXIT_UNKNOWN, cannot_know(app))),
            None => Ok(0),
        }
    }
}

/// The names of the apps to look at, and those that were named and do not exist.
fn choose(home: Option<&Home>, named: &[OsString]) -> Result<(Vec<String>, Vec<String>), Failure> {
    let mut names: Vec<_> = named.iter().map(|n| n.to_string_lossy().into_owned()).collect();
    let Some(home) = home else { return Ok((Vec::new(), names)) };
    names.iter_mut().for_each(|name| *name = listed_name(home, std::mem::take(name)));
    if names.is_empty() {
        let all = home.apps().or_fail(|| format!("cannot read {}", home.path().display()))?;
        return Ok((all, Vec::new()));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().partition(|name| home.dir(name).is_some_and(|d| is_directory(&d))))
}

/// The name of the directory of an app that was given this name, if there is one.
fn listed_name(home: &Home, given: String) -> String {
    let name = directory_name(&given);
    let is_it = |dir: &Path| Start::read(dir).and_then(|start| start.given_name).as_ref() == Some(&given);
    if name != given && home.dir(&name).as_deref().is_some_and(is_it) { name } else { given }
}

/// Itself, no link to one: the list of all shows none either.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

fn no_such(names: &[&String], home: Option<&Home>) -> Failure {
    let names: Vec<_> = names.iter().map(|n| format!("'{n}'")).collect();
    Failure::with_code(1, format!("no app {}: {}", names.join(", "), place(home)))
}

/// Where there is none.
pub(crate) fn place(home: Option<&Home>) -> String {
    home.map_or_else(
        || "neither PM_HOME nor HOME is set".to_owned(),
        |home| format!("there is none in {}; pm-stat says which there are", home.path().display()),
    )
}
