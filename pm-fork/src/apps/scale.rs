//! `--scale`: another number of workers, of an app that runs, and of one that is to have them at its next start.
//!
//! Nobody restarts or scales the app meanwhile, and a number that its supervisor has not said is none: between two
//! supervisors, or while one stops, there is nothing to count from.

use std::ffi::OsStr;
use std::path::Path;

use nix::libc::{SIGTTIN, SIGTTOU};
use pm_common::app::home::{self, Home, Mode, Start, Turns};
use pm_common::app::status::SupervisorState;
use pm_common::app::wait::patience::suspended;
use pm_common::app::wait::{Decision, Goal, Patience, Sight, Teller, WaitEnd, Watch};
use pm_common::cli::options;
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::policy::time::Span;
use pm_common::sys::clock;

use crate::apps::known_dir;
use crate::apps::signals::{self, Signal};
use crate::start::service::{WORKERS, workers_asked_for};

/// How long a supervisor may take to say how many workers there are: it is being started, or stopped.
const COUNTED_IN: Span = Span::secs(30);

/// The number of workers that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    To(u32),
    More(u32),
    Fewer(u32),
}

impl Scale {
    /// The number, `+` or `-` a number.
    ///
    /// # Errors
    /// 125: it is something else.
    pub(crate) fn parse(option: &str, value: &OsStr) -> Result<Self, Failure> {
        let text = value.to_str().unwrap_or_default();
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        let scale = match text.split_at_checked(1) {
            Some(("+", rest)) => number(rest).map(Self::More),
            Some(("-", rest)) => number(rest).map(Self::Fewer),
            _ => number(text).map(Self::To),
        };
        scale.ok_or_else(|| options::bad(option, value, "expected a number, such as 4, +1 or -1"))
    }

    /// The workers that there shall be where there are `now`; `None`: there would be none.
    const fn from(self, now: u32) -> Option<u32> {
        let wanted = match self {
            Self::To(count) => count,
            Self::More(more) => now.saturating_add(more),
            Self::Fewer(fewer) => now.saturating_sub(fewer),
        };
        if wanted == 0 { None } else { Some(wanted) }
    }
}

/// What is to be seen of the number of an app's workers.
#[derive(Debug, PartialEq, Eq)]
enum Count {
    /// So many are wanted, as their supervisor says.
    Of(u32),
    /// It is one process, and stays so.
    Fork,
    /// Nothing runs.
    Stopped,
    /// It runs, and its supervisor has not said.
    Unknown,
}

impl Count {
    fn of(sight: &Sight, mode: Option<Mode>) -> Self {
        match (sight.acting(), mode) {
            _ if !sight.runs() => Self::Stopped,
            (Some(line), _) if line.tool == "pm-cluster" => match line.state {
                SupervisorState::Starting | SupervisorState::Ready => Self::Of(line.workers),
                SupervisorState::Stopping | SupervisorState::GaveUp => Self::Unknown,
            },
            (_, Some(Mode::Fork)) => Self::Fork,
            // Started by hand: a pm-restart whose child serves has no pm-cluster below it.
            (Some(line), None) if line.state == SupervisorState::Ready => Self::Fork,
            (_, Some(Mode::Cluster) | None) => Self::Unknown,
        }
    }
}

/// Gives an app another number of workers, one after the other, because a signal that waits is not counted twice.
///
/// # Errors
/// 1: it is none, is in fork mode, would have no workers, or its supervisor cannot do it; 124: a supervisor is suspended,
/// or does not do it within the time that its rules allow; 125: the files cannot be written.
pub(crate) fn scale(home: &Home, name: &str, by: Scale) -> Result<(), Failure> {
    let dir = known_dir(home, name)?;
    let turns = Turns::new(home).or_fail(|| format!("app '{name}': cannot wait for its turn"))?;
    turns.take(name).or_fail(|| format!("app '{name}': cannot wait for its turn"))?;
    let mut app = Scaled { home, name, watch: watch(&dir)? };
    let none = || Failure::with_code(1, format!("'{name}' would have no workers: to have none, stop it"));
    let wanted = match app.count(Start::read(&dir).ok().flatten().map(|start| start.mode))? {
        Some(now) => {
            let wanted = by.from(now).ok_or_else(none)?;
            app.walk(now, wanted)?;
            wanted
        }
        None => by.from(stopped(&dir, name, by)?).ok_or_else(none)?,
    };
    home::replace_file(&dir, WORKERS, format!("{wanted}\n").as_bytes())
        .or_fail(|| format!("app '{name}': cannot write {}", dir.join(WORKERS).display()))
}

fn watch(dir: &Path) -> Result<Watch, Failure> {
    Watch::new(dir).or_fail(|| format!("cannot watch {}", dir.display()))
}

/// The number that an app which does not run would have.
fn stopped(dir: &Path, name: &str, by: Scale) -> Result<u32, Failure> {
    let unknown =
        || format!("'{name}' is not running, and how many workers it had is not known: give a number without sign");
    match by {
        Scale::To(_) => Ok(0),
        Scale::More(_) | Scale::Fewer(_) => workers_asked_for(dir).ok_or_else(|| Failure::with_code(1, unknown())),
    }
}

/// An app while it is scaled.
struct Scaled<'a> {
    home: &'a Home,
    name: &'a str,
    watch: Watch,
}

impl Scaled<'_> {
    /// How many workers there are now; `None`: it does not run.
    fn count(&mut self, mode: Option<Mode>) -> Result<Option<u32>, Failure> {
        let (name, deadline) = (self.name, clock::now() + COUNTED_IN);
        let mut pause = Pause::new(name, Goal::Ready);
        loop {
            let sight = self.look()?;
            match Count::of(&sight, mode) {
                Count::Of(workers) => return Ok(Some(workers)),
                Count::Stopped => return Ok(None),
                Count::Fork => {
                    let why = "is in fork mode, which has one process: start it with -i to have several";
                    return Err(Failure::with_code(1, format!("'{name}' {why}")));
                }
                Count::Unknown if deadline <= clock::now() => {
                    let why = "is being started or stopped, and its supervisor has not said how many workers there are";
                    return Err(Failure::with_code(
                        1,
                        format!("'{name}' {why}: try again once pm list shows it online"),
                    ));
                }
                Count::Unknown => pause.until_change(&self.watch, &sight, "it is being started or stopped")?,
            }
        }
    }

    fn walk(&mut self, mut now: u32, wanted: u32) -> Result<(), Failure> {
        while now != wanted {
            let (number, word, next) = match now < wanted {
                true => (SIGTTIN, "TTIN", now + 1),
                false => (SIGTTOU, "TTOU", now - 1),
            };
            let signal = Signal { number: number as u8, word: word.to_owned(), to_workers: false };
            signals::signal(self.home, self.name, &signal)?;
            self.reach(next)?;
            now = next;
        }
        Ok(())
    }

    /// Waits until so many workers are wanted, and ready.
    fn reach(&mut self, workers: u32) -> Result<(), Failure> {
        let goal = Goal::Workers(workers);
        let (mut decision, mut pause) = (Decision::new(self.name, goal), Pause::new(self.name, goal));
        loop {
            let sight = self.look()?;
            match decision.look(&sight) {
                Some(WaitEnd::Reached) => return Ok(()),
                Some(WaitEnd::Failed { message, quoted }) => {
                    report::quote(&quoted);
                    return Err(Failure::with_code(1, message));
                }
                None => pause.until_change(&self.watch, &sight, &decision.awaited(&sight))?,
            }
        }
    }

    fn look(&mut self) -> Result<Sight, Failure> {
        self.watch.look().or_fail(|| format!("cannot watch app '{}'", self.name))
    }
}

/// The sleeps of a wait, which has an end, and says what for.
struct Pause<'a> {
    name: &'a str,
    goal: Goal,
    patience: Patience,
    teller: Teller,
}

impl<'a> Pause<'a> {
    fn new(name: &'a str, goal: Goal) -> Self {
        Self { name, goal, patience: Patience::new(goal, clock::now()), teller: Teller::new() }
    }

    /// Sleeps until something changes, or it is time to look again.
    ///
    /// # Errors
    /// 124: there is no sense in waiting on; 125: the files cannot be watched.
    fn until_change(&mut self, watch: &Watch, sight: &Sight, awaited: &str) -> Result<(), Failure> {
        let (name, goal, trouble) = (self.name, self.goal, suspended(sight));
        if let Some(why) = self.patience.look(clock::now(), sight) {
            let more = if trouble.is_some() { String::new() } else { format!(": {awaited}") };
            let message = format!("gave up waiting: '{name}' is not yet {goal}: {why}{more}");
            return Err(Failure::with_code(EXIT_TIMED_OUT, message));
        }
        self.teller.tell(&format!("'{name}' to be {goal}"), awaited, trouble.as_deref());
        watch.wait(Some(self.teller.next())).or_fail(|| format!("cannot watch app '{name}'"))
    }
}

#[cfg(test)]
mod tests {
    use pm_common::app::status::{Status, SupervisorLine, WorkerLine, WorkerState};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_absolute_or_has_a_sign() {
        let parse = |text: &str| Scale::parse("scale", OsStr::new(text)).ok();
        assert_eq!(["4", "+2", "-3"].map(parse), [Scale::To(4), Scale::More(2), Scale::Fewer(3)].map(Some));
        assert_eq!(["", "x", "+", "-", "--1", "+-1", "1.5", "99999999999"].map(parse), [None; 8]);
        assert_eq!([Scale::To(4), Scale::More(2), Scale::Fewer(1)].map(|by| by.from(2)), [Some(4), Some(4), Some(1)]);
        assert_eq!([Scale::To(0), Scale::Fewer(2), Scale::Fewer(9)].map(|by| by.from(2)), [None; 3]);
    }

    /// A supervisor in this state, with three workers wanted; `above` another one.
    fn told(tool: &str, state: &str, above: bool) -> Status {
        let line = json!({"kind": "supervisor", "schema": 1, "app": "a", "tool": tool, "pid": 7, "start": 70,
            "state": state, "workers": 3, "ready": 1});
        let mut workers = Vec::new();
        if above {
            workers.push(WorkerLine { supervises: true, ..WorkerLine::new(0, 1, WorkerState::Ready) });
        }
        Status { supervisor: SupervisorLine::from_json(&line).expect("a line"), workers }
    }

    fn count(mode: Option<Mode>, statuses: Vec<Status>) -> Count {
        Count::of(&Sight { statuses, locked: true, ..Sight::default() }, mode)
    }

    #[test]
    fn only_a_supervisor_that_goes_on_says_how_many_there_are() {
        let all = [Some(Mode::Cluster), None];
        for mode in all {
            for state in ["starting", "ready"] {
                assert_eq!(count(mode, vec![told("pm-cluster", state, false)]), Count::Of(3));
            }
            assert_eq!(
                count(mode, vec![told("pm-restart", "ready", true), told("pm-cluster", "ready", false)]),
                Count::Of(3)
            );
            assert_eq!(count(mode, vec![told("pm-cluster", "stopping", false)]), Count::Unknown, "it stops");
            assert_eq!(count(mode, vec![told("pm-restart", "ready", true)]), Count::Unknown, "its pm-cluster has died");
            assert_eq!(count(mode, Vec::new()), Count::Unknown, "nothing is said yet");
        }
        assert_eq!(count(Some(Mode::Cluster), vec![told("pm-restart", "starting", false)]), Count::Unknown);
        assert_eq!(count(None, vec![told("pm-restart", "ready", false)]), Count::Fork);
        assert_eq!(count(Some(Mode::Fork), Vec::new()), Count::Fork);
        assert_eq!(Count::of(&Sight::default(), Some(Mode::Fork)), Count::Stopped);
    }
}
