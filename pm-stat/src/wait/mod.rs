//! `--wait`: returns when an app is what was asked for, when it can no longer be, or when the time is up.
//!
//! It reads what pm-stat reads, and sleeps until a file or a process of the app changes: no supervisor is asked, nothing
//! is polled. `pm_common::app::wait` says what the sights mean, and gets them.

use std::ffi::OsString;

use pm_common::app::home::{Home, check_name};
use pm_common::app::wait::hopeless::{Senseless, suspended};
use pm_common::app::wait::{Decision, Goal, Patience, Silence, Teller, WaitEnd, Watch};
use pm_common::cli::options;
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::policy::time::Span;
use pm_common::sys::clock;

/// What to wait for.
#[derive(Debug)]
pub struct Wait {
    /// The name of the app's directory.
    pub app: String,
    /// What it shall be.
    pub goal: Goal,
    /// How long, and in the words of the user; `None`: as long as something may still come of it.
    pub timeout: Option<(Span, String)>,
}

impl Wait {
    /// What the options ask for, `--wait` among them.
    ///
    /// # Errors
    /// 125: a bad value, not exactly one app, an option that needs another.
    pub(crate) fn from_options(given: &[(&'static str, OsString)], apps: &[OsString]) -> Result<Self, Failure> {
        let (mut goal, mut timeout, mut since) = (None, None, None);
        for (option, value) in given {
            match *option {
                "timeout" => timeout = Some((options::duration(option, value)?, value.to_string_lossy().into_owned())),
                "since" => since = Some(options::number(option, value, 0..=u64::MAX)?),
                _ => goal = Some(goal_of(option, value)?),
            }
        }
        let mut goal = goal.unwrap_or(Goal::Ready);
        if since.is_some() {
            if !matches!(goal, Goal::Rolled { .. }) {
                return Err(Failure::own("--since is for --wait rolled alone"));
            }
            goal = Goal::Rolled { since };
        }
        let [app] = apps else { return Err(Failure::own("--wait needs exactly one APP; see pm-stat --help")) };
        Ok(Self { app: name(app)?, goal, timeout })
    }

    /// Waits.
    ///
    /// # Errors
    /// 1: it cannot come to that any more, or the roll was aborted; 124: the time is up; 125: the files cannot be read.
    pub fn run(self, home: Option<&Home>) -> Result<u8, Failure> {
        let deadline = self.timeout.as_ref().map(|(span, _)| clock::now() + *span);
        let Some(dir) = home.and_then(|h| h.dir(&self.app)) else {
            return Err(Failure::own("no directory to look into: neither PM_HOME nor HOME is set"));
        };
        if !dir.is_dir() {
            crate::look::refuse_unseen(home, &self.app)?;
        }
        let doing = || format!("cannot watch {}", dir.display());
        let mut watch = Watch::new(&dir).or_fail(doing)?;
        let mut decision = Decision::new(&self.app, self.goal);
        let (mut patience, mut teller) = (Patience::new(self.goal, clock::now()), Teller::new());
        let mut silence = Silence::new(&dir, clock::now());
        let goal = match self.goal {
            Goal::Rolled { .. } => format!("reloading '{}'", self.app),
            goal => format!("waiting for {} to be {goal}", self.app),
        };
        loop {
            let sight = watch.look().or_fail(doing)?;
            match decision.look(&sight) {
                Some(WaitEnd::Reached) => return Ok(0),
                Some(WaitEnd::Failed { message, quoted }) => {
                    report::fatal(message, &quoted);
                    return Err(Failure::with_code(1, ""));
                }
                None => {}
            }
            let now = clock::now();
            if deadline.is_some_and(|at| at <= now) {
                return Err(self.timed_out(&decision.awaited(&sight)));
            }
            // Who says how long means it.
            let why = patience.look(now, &sight);
            let is_silent = matches!(self.goal, Goal::Rolled { .. } | Goal::Workers(_)) && !patience.has_heard();
            let why = why.or_else(|| if is_silent { silence.look(now) } else { None });
            if let Some(why) = why.filter(|_| deadline.is_none()) {
                return Err(self.given_up(&why, &decision.awaited(&sight)));
            }
            teller.tell(&goal, &decision.awaited(&sight), suspended(&sight).as_deref());
            watch.wait(deadline.into_iter().chain([teller.next()]).min()).or_fail(doing)?;
        }
    }

    fn given_up(&self, why: &Senseless, awaited: &str) -> Failure {
        let (app, goal) = (&self.app, &self.goal);
        let more = match why {
            Senseless::Stands(_) => String::new(),
            Senseless::Overdue(_) => format!(": {awaited}"),
        };
        Failure::with_code(EXIT_TIMED_OUT, format!("gave up waiting: {app} is not yet {goal}: {why}{more}"))
    }

    fn timed_out(&self, awaited: &str) -> Failure {
        let after = self.timeout.as_ref().map_or("", |(_, text)| text);
        let (app, goal) = (&self.app, &self.goal);
        Failure::with_code(EXIT_TIMED_OUT, format!("timed out after {after}: {app} is not yet {goal}: {awaited}"))
    }
}

fn goal_of(option: &str, value: &OsString) -> Result<Goal, Failure> {
    match options::text(option, value)? {
        "rolled" => Ok(Goal::Rolled { since: None }),
        "ready" => Ok(Goal::Ready),
        "stopped" => Ok(Goal::Stopped),
        other => {
            let count = other.strip_prefix("workers=").and_then(|n| n.parse().ok()).map(Goal::Workers);
            count.ok_or_else(|| options::bad(option, value, "expected rolled, ready, stopped or workers=N"))
        }
    }
}

fn name(app: &OsString) -> Result<String, Failure> {
    let name = app.to_string_lossy().into_owned();
    check_name(&name).map_err(|why| Failure::own(format!("no app can be called '{name}': {why}")))?;
    Ok(name)
}

#[cfg(test)]
mod tests;
