//! An app that others start after, and that somebody else starts.

use std::path::PathBuf;

use pm_common::app::home::Start;
use pm_common::app::status::last_words;
use pm_common::app::wait::{Decision, Goal, Sight, WaitEnd, Watch};
use pm_common::cli::report::{Failure, OrFail as _};

use crate::apps;
use crate::launch::awaited::ended_well;
use crate::launch::running_service::is_supervised;

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// The app does not run.
    Nothing,
    /// The app runs.
    Started,
    /// The app is ready, or has ended well, as a job does.
    Ready,
    /// The app will not be ready; why.
    Failed(String),
}

/// The app, as it is seen from here.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub(super) name: String,
    dir: PathBuf,
    pub(super) watch: Watch,
    decision: Decision,
    sight: Sight,
    /// Whether it ran when it was looked at last.
    pub(super) runs: bool,
}

impl Elsewhere {
    /// # Errors
    /// 125: its directory cannot be watched.
    pub(super) fn new(name: &str) -> Result<Self, Failure> {
        let dir = apps::home()?.dir(name).unwrap_or_default();
        let watch = Watch::new(&dir).or_fail(|| format!("cannot watch {}", dir.display()))?;
        let decision = Decision::new(name, Goal::Ready);
        Ok(Self { name: name.to_owned(), dir, watch, decision, sight: Sight::default(), runs: false })
    }

    /// Looks how far it has come.
    ///
    /// # Errors
    /// 125: its files cannot be read.
    pub(super) fn look(&mut self) -> Result<Seen, Failure> {
        self.sight = self.watch.look().or_fail(|| format!("cannot watch {}", self.dir.display()))?;
        self.runs = self.sight.runs();
        Ok(match self.decision.look(&self.sight) {
            Some(WaitEnd::Reached) => Seen::Ready,
            None if !self.runs => {
                if self.has_ended_well() {
                    Seen::Ready
                } else {
                    Seen::Nothing
                }
            }
            None if !self.is_supervised() => Seen::Ready,
            None => Seen::Started,
            Some(WaitEnd::Failed { .. }) if self.has_ended_well() => Seen::Ready,
            Some(WaitEnd::Failed { message, .. }) => Seen::Failed(message),
        })
    }

    fn has_ended_well(&self) -> bool {
        let words = last_words(&self.dir).filter(|_| !self.runs);
        words.is_some_and(|words| !words.workers.is_empty() && words.workers.iter().all(ended_well))
    }

    fn is_supervised(&self) -> bool {
        Start::read(&self.dir).ok().flatten().is_none_or(|start| is_supervised(&start.argv))
    }

    /// How it stands, in words.
    pub(super) fn state(&self) -> String {
        self.decision.awaited(&self.sight)
    }
}
