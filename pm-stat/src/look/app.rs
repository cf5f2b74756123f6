//! What there is to be seen of an app: its files, checked against /proc. Nothing here is asked of a supervisor.

use std::io;
use std::path::{Path, PathBuf};

use pm_common::app::home::{self, Brief, DEFAULT_NAMESPACE};
use pm_common::app::status::Id;
use pm_common::app::status::{self, Last, Status, SupervisorLine, Told, WorkerLine, WorkerState};
use pm_common::app::wait::Sight;
use pm_common::kernel::procfs;
use pm_common::policy::worker::Why;

use crate::show::text::how;

/// An app at one moment.
#[derive(Debug, Default)]
pub struct App {
    /// The name of its directory.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// How it was started; `None`: not as a service.
    pub(crate) start: Option<Brief>,
    /// What its living supervisors say, and whether it runs.
    pub sight: Sight,
    /// Where none says anything: whether a process holds the lock, and its pid if that is to be seen from here.
    pub(crate) holder: Option<Option<i32>>,
    /// Where nothing runs: what the last supervisor said as it gave up, or as its workers had ended by themselves.
    pub(crate) words: Option<Status>,
    /// The last words of supervisors that were killed.
    pub(crate) killed: Vec<Status>,
    /// Of these, those with workers that go on below nobody, and only these workers.
    pub(crate) orphaned: Vec<Status>,
}

impl App {
    /// Looks at the app in `dir`.
    pub(crate) fn look(name: &str, dir: &Path) -> io::Result<Self> {
        let mut told = Told::read(dir)?;
        let mut holder = None;
        if told.living.is_empty() {
            holder = home::holder(dir).ok().flatten();
            if let Some(pid) = holder.flatten() {
                told.revive_below(pid);
            }
        }
        let (statuses, killed) = (std::mem::take(&mut told.living), std::mem::take(&mut told.killed));
        let holder = holder.filter(|_| statuses.is_empty());
        let suspended = statuses
            .iter()
            .map(|status| &status.supervisor)
            .filter(|told| procfs::stat(told.pid).is_some_and(|stat| stat.is_suspended()));
        let suspended = suspended.map(Id::of).collect();
        let runs = holder.is_some() || !statuses.is_empty();
        Ok(Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            start: Brief::read(dir),
            orphaned: status::orphaned(&killed, &statuses, holder.flatten()),
            killed,
            sight: Sight { statuses, suspended, locked: runs, ..Sight::default() },
            holder,
            words: if runs { None } else { told.last_words() },
        })
    }

    /// Whether there is more to be seen than a directory: it runs, can be started again, or has left word of its end.
    /// (A run in the foreground that ended well leaves none.)
    #[must_use]
    pub fn is_known(&self) -> bool {
        let told = !self.orphaned.is_empty() || self.words.is_some() || !self.killed.is_empty();
        self.start.is_some() || self.runs() || told
    }

    /// Whether anything of it runs.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.sight.runs()
    }

    /// The outermost supervisor of an app that ended when that was killed, since the machine was started.
    #[must_use]
    pub fn was_killed(&self) -> Option<&SupervisorLine> {
        let ended = !self.runs() && self.words.is_none() && self.orphaned.is_empty();
        let all = self.killed.iter().filter(|status| ended && status.is_of_this_boot());
        all.map(|status| &status.supervisor).min_by_key(|told| (told.start, told.pid))
    }

    /// The workers with their supervisors, by slot and generation; not those that have workers of their own.
    #[must_use]
    pub fn workers(&self) -> Vec<(&SupervisorLine, &WorkerLine)> {
        let each = |s: &'_ Status| s.workers.iter().filter(|w| !w.supervises).count();
        let mut workers = Vec::with_capacity(self.sight.statuses.iter().map(each).sum());
        for status in &self.sight.statuses {
            workers.extend(status.workers.iter().filter(|w| !w.supervises).map(|w| (&status.supervisor, w)));
        }
        workers.sort_by_key(|(_, w)| (w.slot, w.generation));
        workers
    }

    /// Says that its workers end again and again, with how the last one did and how often: `exit 1, 7 restarts`.
    /// `None`: one of them serves, or none has failed.
    #[must_use]
    pub fn intensity(&self) -> Option<String> {
        // One that ends well may be meant to run again and again.
        let (restarts, last) = self.last_try(|why| why != Why::Exit && (why.is_its_own() || why == Why::NotReady))?;
        let times = if restarts == 1 { "1 restart".to_owned() } else { format!("{restarts} restarts") };
        Some(format!("{}, {times}", how(last)))
    }

    /// Whether its workers end again and again, in whatever way, and none serves.
    #[must_use]
    pub fn keeps_ending(&self) -> bool {
        self.last_try(|why| why.is_its_own() || why == Why::NotReady).is_some()
    }

    /// How the worker ended that was tried most often, of those that ended so, and how often; `None`: one of all serves.
    fn last_try(&self, so: impl Fn(Why) -> bool) -> Option<(u64, &Last)> {
        let workers = self.workers();
        let lives = |w: &WorkerLine| w.pid.zip(w.start).is_some_and(|(pid, start)| procfs::is_alive(pid, start));
        if workers.iter().any(|(_, w)| w.state == WorkerState::Ready && lives(w)) {
            return None;
        }
        let ended = workers.into_iter().filter_map(|(_, w)| Some((w.restarts, w.last.as_ref()?)));
        ended.filter(|(_, last)| Why::from_word(&last.why).is_some_and(&so)).max_by_key(|(restarts, _)| *restarts)
    }

    /// The workers of supervisors that were killed, and these; as [`Self::workers`].
    #[must_use]
    pub fn orphans(&self) -> Vec<(&SupervisorLine, &WorkerLine)> {
        self.orphaned.iter().flat_map(|s| s.workers.iter().map(move |w| (&s.supervisor, w))).collect()
    }

    /// The supervisor that was killed above one that goes on without it, and that one.
    pub(crate) fn lost_above(&self) -> Option<(&SupervisorLine, &SupervisorLine)> {
        status::lost_above(&self.killed, &self.sight.statuses)
    }

    /// The outermost supervisor.
    #[must_use]
    pub fn outermost(&self) -> Option<&SupervisorLine> {
        self.sight.statuses.iter().map(|s| &s.supervisor).min_by_key(|s| (s.start, s.pid))
    }

    /// The supervisor that has the workers; `None`: it has not said anything yet.
    #[must_use]
    pub fn acting(&self) -> Option<&SupervisorLine> {
        self.sight.acting()
    }

    /// The id that the app keeps for life.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.start.as_ref()?.id
    }

    /// The name that it was given: no directory can have each.
    #[must_use]
    pub fn called(&self) -> &str {
        self.start.as_ref().and_then(|start| start.given_name.as_deref()).unwrap_or(&self.name)
    }

    /// The script that it was started from.
    #[must_use]
    pub fn script(&self) -> Option<&Path> {
        self.start.as_ref()?.script.as_deref().map(Path::new)
    }

    /// The group of apps that it belongs to.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.start.as_ref().and_then(|s| s.namespace.as_deref()).unwrap_or(DEFAULT_NAMESPACE)
    }

    /// `cluster` or `fork`; `None`: nothing says.
    #[must_use]
    pub fn mode(&self) -> Option<&str> {
        let told = self.start.as_ref().and_then(|s| s.mode.as_deref());
        told.or_else(|| {
            let mut tools =
                self.sight.statuses.iter().chain(&self.words).chain(&self.orphaned).map(|s| s.supervisor.tool.as_str());
            let first = tools.next()?;
            Some(if first == "pm-cluster" || tools.any(|t| t == "pm-cluster") { "cluster" } else { "fork" })
        })
    }

    /// The log files (of stdout, of stderr).
    #[must_use]
    pub fn logs(&self) -> [PathBuf; 2] {
        let told = |of: fn(&Brief) -> &Option<String>| self.start.as_ref().and_then(|s| of(s).as_ref());
        let path = |told: Option<&String>, name: &str| told.map_or_else(|| self.dir.join(name), PathBuf::from);
        [path(told(|s| &s.out), "out.log"), path(told(|s| &s.err), "err.log")]
    }
}
