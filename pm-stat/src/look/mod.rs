//! What is seen: the apps that are looked at (those named, or all), and what the kernel says of their processes.

pub(crate) mod app;
pub(crate) mod matching;
pub(crate) mod samples;
pub(crate) mod usage;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use pm_common::app::home::{Brief, Home, Unseen, as_owner, directory_name, unseen};
use pm_common::cli::report::{self, Failure, OrFail as _};

use app::App;

/// The exit code of: it cannot be known.
pub(crate) const EXIT_UNKNOWN: u8 = 4;
/// The most names of apps that one message lists.
const MOST_NAMES: usize = 20;
/// Whether this process has said who is left out.
static SAID: AtomicBool = AtomicBool::new(false);

/// The apps, and what was named and is none.
#[derive(Debug, Default)]
pub struct Apps {
    /// Those that there are, sorted by name.
    pub seen: Vec<App>,
    /// The names that were asked for and that no app has.
    pub missing: Vec<String>,
    /// Of all, where none was named: those of other users that we may not look at, as in a PM_HOME that users share.
    pub left_out: Vec<String>,
}

impl Apps {
    /// Looks at the apps named, sorted and each once, or at all of them.
    ///
    /// # Errors
    /// 125: the files cannot be read.
    pub fn look(home: Option<&Home>, named: &[OsString]) -> Result<Self, Failure> {
        let (names, missing) = choose(home, named)?;
        let mut apps = Self { seen: Vec::with_capacity(names.len()), missing, left_out: Vec::new() };
        for name in names {
            let Some(dir) = home.and_then(|h| h.dir(&name)) else { continue };
            match App::look(&name, &dir) {
                Err(e) if e.kind() == ErrorKind::PermissionDenied && named.is_empty() => apps.left_out.push(name),
                other => apps.seen.push(other.or_fail(|| format!("cannot read {}", dir.display()))?),
            }
        }
        Ok(apps)
    }

    /// Says which apps are left out, the first time that there are some.
    pub fn say_left_out(&self) {
        if !self.left_out.is_empty() && !SAID.swap(true, Ordering::Relaxed) {
            let names = listed(&self.left_out);
            report::warning(format_args!("left out, as other users' files that we may not read: {names}"));
        }
    }

    /// Looks at the apps as [`Self::look`] does, without what is only a directory, unless it is named.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub fn known(home: Option<&Home>, named: &[OsString]) -> Result<Self, Failure> {
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
        let missing: Vec<_> =
            self.missing.iter().filter(|name| unseen.iter().all(|app| app.name != **name)).cloned().collect();
        match unseen.first() {
            _ if !missing.is_empty() => Err(no_app(home, &missing)),
            Some(app) => Err(Failure::with_code(EXIT_UNKNOWN, cannot_know(app))),
            None => Ok(0),
        }
    }

    /// The apps that may run without a directory: of those that were `named`, or of all. Where all that are known run,
    /// none is looked for. Of one it cannot be said how it is, and "stopped" would be wrong.
    pub(crate) fn unseen(&self, home: Option<&Home>, named: bool) -> Vec<Unseen> {
        if self.missing.is_empty() && !self.seen.is_empty() && self.seen.iter().all(App::runs) {
            return Vec::new();
        }
        let known = |name: &str| self.seen.iter().find(|app| app.name == name);
        let mut apps = unseen(home);
        apps.retain(|app| match known(&app.name) {
            Some(seen) => !seen.runs(),
            None => !named || self.missing.contains(&app.name),
        });
        apps
    }
}

/// The names of the apps to look at, and those that were named and do not exist.
fn choose(home: Option<&Home>, named: &[OsString]) -> Result<(Vec<String>, Vec<String>), Failure> {
    let mut names: Vec<_> = named.iter().map(|n| n.to_string_lossy().into_owned()).collect();
    let Some(home) = home else { return Ok((Vec::new(), names)) };
    names.iter_mut().for_each(|name| *name = listed_name(home, std::mem::take(name)));
    if names.is_empty() {
        let all = home.apps_or_fail()?;
        return Ok((all, Vec::new()));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().partition(|name| home.dir(name).is_some_and(|d| is_directory(&d))))
}

/// The name of the directory of an app that was given this name, if there is one.
fn listed_name(home: &Home, given: String) -> String {
    let name = directory_name(&given);
    let is_it = |dir: &Path| Brief::read(dir).and_then(|start| start.given_name).as_ref() == Some(&given);
    if name != given && home.dir(&name).as_deref().is_some_and(is_it) { name } else { given }
}

/// Itself, no link to one: the list of all shows none either.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// The failure (1) of: no app has one of these names; it says which apps there are.
#[must_use]
pub fn no_app(home: Option<&Home>, names: &[String]) -> Failure {
    let quoted: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
    let is_anothers = |name: &String| {
        let uid = anothers(home?, name)?;
        Some(format!("; '{name}' belongs to user {uid}{}", as_owner(uid)))
    };
    let anothers = names.iter().find_map(is_anothers).unwrap_or_default();
    Failure::with_code(1, format!("no app {}{anothers}{}", quoted.join(", "), there_are(home)))
}

/// The user whose app has this name, where we may not look at it.
fn anothers(home: &Home, name: &str) -> Option<u32> {
    let dir = home.dir(name)?;
    let is_shut = App::look(name, &dir).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    dir.symlink_metadata().ok().filter(|_| is_shut).map(|found| found.uid())
}

/// Which apps there are, for the end of a message: `; there are: web, api`.
pub(crate) fn there_are(home: Option<&Home>) -> String {
    let Some(home) = home else { return ": neither PM_HOME nor HOME is set".to_owned() };
    let apps = Apps::known(Some(home), &[]).unwrap_or_default().seen;
    if apps.is_empty() {
        return format!(": there is none in {}", home.path().display());
    }
    format!("; there are: {}", listed(&apps.iter().map(App::called).collect::<Vec<_>>()))
}

/// These names, or the first of them, and how many more there are.
fn listed(names: &[impl AsRef<str>]) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let names: Vec<_> = names.iter().take(MOST_NAMES).map(AsRef::as_ref).collect();
    names.join(", ") + &if more == 0 { String::new() } else { format!(" and {more} more") }
}

/// What can be said of an app that runs without a directory.
pub(crate) fn cannot_know(app: &Unseen) -> String {
    format!(
        "cannot know: {} may run (pid={}), but its state could not be written; set PM_HOME to a writable place",
        app.name, app.pid
    )
}

/// Refuses to say how an app is where that cannot be known.
///
/// # Errors
/// 4: it may run unseen.
pub(crate) fn refuse_unseen(home: Option<&Home>, name: &str) -> Result<(), Failure> {
    let found = unseen(home).into_iter().find(|app| app.name == name);
    found.map_or(Ok(()), |app| Err(Failure::with_code(EXIT_UNKNOWN, cannot_know(&app))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_is_no_such_app_says_which_there_are() {
        let place = tempfile::tempdir().expect("a directory");
        let home = Home::find(|name| (name == "PM_HOME").then(|| place.path().into())).expect("named");
        let said = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            no_app(Some(&home), &names).message
        };
        assert_eq!(said(&["x"]), format!("no app 'x': there is none in {}", place.path().display()));
        for at in 0..25 {
            let dir = place.path().join(format!("app{at:02}"));
            std::fs::create_dir(&dir).expect("made");
            assert_eq!(said(&["x"]).matches("app").count(), 1 + at.clamp(0, 20), "a directory alone is no app");
            std::fs::write(dir.join(pm_common::app::home::START), "{}").expect("written");
            if at == 1 {
                assert_eq!(said(&["x", "y"]), "no app 'x', 'y'; there are: app00, app01");
            }
        }
        assert!(said(&["x"]).ends_with("app18, app19 and 5 more"), "{}", said(&["x"]));
        assert_eq!(no_app(None, &["x".to_owned()]).message, "no app 'x': neither PM_HOME nor HOME is set");
    }
}
