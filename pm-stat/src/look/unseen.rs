//! Apps that run without a directory: of them it cannot be said how they are, and "stopped" would be wrong.

use pm_common::app::home::{Home, Unseen, unseen};
use pm_common::cli::report::Failure;

use crate::look::Apps;
use crate::show::text::clean;

/// The exit code of: it cannot be known.
pub(crate) const EXIT_UNKNOWN: u8 = 4;

impl Apps {
    /// The apps that may run unseen: of those that were `named`, or of all. Where all that are known run, none is looked for.
    pub(crate) fn unseen(&self, home: Option<&Home>, named: bool) -> Vec<Unseen> {
        if self.missing.is_empty() && !self.seen.is_empty() && self.seen.iter().all(|app| app.runs()) {
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

/// What can be said of it.
pub(crate) fn cannot_know(app: &Unseen) -> String {
    format!(
        "cannot know: {} may run (pid={}), but its state could not be written; set PM_HOME to a writable place",
        clean(&app.name),
        app.pid
    )
}

/// That it cannot be said how the app is.
///
/// # Errors
/// 4: it may run unseen.
pub(crate) fn refuse(home: Option<&Home>, name: &str) -> Result<(), Failure> {
    let found = unseen(home).into_iter().find(|app| app.name == name);
    found.map_or(Ok(()), |app| Err(Failure::with_code(EXIT_UNKNOWN, cannot_know(&app))))
}
