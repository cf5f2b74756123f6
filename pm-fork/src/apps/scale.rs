//! `--scale`: another number of workers, of an app that runs, and of one that is to have them at its next start.
//!
//! Nobody restarts or scales the app meanwhile, and a number that its supervisor has not said is none: between two
//! supervisors, or while one stops, there is nothing to count from.

use std::ffi::OsStr;
use std::path::Path;

use nix::libc::{SIGTTIN, SIGTTOU};
use pm_common::app::home::{self, Home, Mode, Start, Turns, WORKERS};
use pm_common::app::status::{self, SupervisorState};
use pm_common::app::wait::hopeless::suspended;
use pm_common::app::wait::{Goal, Sight, Silence, Teller, Watch, hopeless};
use pm_common::cli::options;
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::cli::shell;
use pm_common::policy::steering::rendezvous::MOST_SLOTS;
use pm_common::policy::time::Span;
use pm_common::supervise::err_log::ErrLog;
use pm_common::sys::clock;
use pm_stat::Wait;
use serde_json::Value;

use crate::apps::signals::{self, Signal};
use crate::apps::{known_dir, saved, stop};
use crate::launch::service::workers_asked_for;

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

    /// The workers that there shall be where there are `now`; `None`: there would be none, and nobody asked for that.
    const fn from(self, now: u32) -> Option<u32> {
        match self {
            Self::To(count) => Some(count),
            Self::More(more) => Some(now.saturating_add(more)),
            Self::Fewer(fewer) if fewer >= now => None,
            Self::Fewer(fewer) => Some(now - fewer),
        }
    }
}

/// What is to be seen of the number of an app's workers.
#[derive(Debug, PartialEq, Eq)]
enum Count {
    /// So many are wanted, as their supervisor says.
    Of(u32),
    /// The app is one process, and stays so.
    Fork,
    /// Nothing runs.
    Stopped,
    /// The app runs, and its supervisor has not said.
    Unknown,
}

impl Count {
    fn of(sight: &Sight, mode: Option<Mode>) -> Self {
        match (sight.acting(), mode) {
            (_, Some(Mode::Fork)) if !sight.runs() => Self::Fork,
            _ if !sight.runs() => Self::Stopped,
            (Some(line), _) if line.tool == "pm-cluster" => match line.state {
                SupervisorState::Starting | SupervisorState::Ready => Self::Of(line.workers),
                SupervisorState::Stopping | SupervisorState::GaveUp | SupervisorState::Ended => Self::Unknown,
            },
            (_, Some(Mode::Fork)) => Self::Fork,
            // Started by hand: a pm-restart whose child serves has no pm-cluster below it.
            (Some(line), None) if line.state == SupervisorState::Ready => Self::Fork,
            (_, Some(Mode::Cluster | Mode::Apart) | None) => Self::Unknown,
        }
    }
}

/// Gives an app another number of workers, one after the other, because a signal that waits is not counted twice.
///
/// # Errors
/// 1: it is none, is in fork mode, would have no workers, or more than its clients can stay with, or its supervisor cannot do it; 124: a supervisor is suspended,
/// or does not do it within the time that its rules allow; 125: the files cannot be written.
pub(crate) fn scale(home: &Home, name: &str, by: Scale) -> Result<(), Failure> {
    let dir = known_dir(home, name)?;
    let turns = Turns::new(home).or_fail(|| format!("app '{name}': cannot wait for its turn"))?;
    turns.take(name).or_fail(|| format!("app '{name}': cannot wait for its turn"))?;
    let none = || Failure::with_code(1, format!("'{name}' would have no workers: to have none, scale it to 0"));
    let now = count(&dir, name)?;
    let from = now.map_or_else(|| stopped(&dir, name, by), Ok)?;
    let wanted = by.from(from).ok_or_else(none)?;
    check_sticky(&dir, name, wanted)?;
    match now {
        Some(_) if wanted == 0 => to_none(home, name)?,
        Some(now) => walk(home, name, now, wanted)?,
        None => {}
    }
    let comes_back = now.is_none() && wanted > 0 && has_none(&dir);
    write(&dir, name, wanted, now.is_some())?;
    if comes_back { from_none(name) } else { Ok(()) }
}

/// Writes down the number for the next start.
fn write(dir: &Path, name: &str, wanted: u32, runs: bool) -> Result<(), Failure> {
    home::replace_file(dir, WORKERS, format!("{wanted}\n").as_bytes()).or_fail(|| {
        let file = dir.join(WORKERS);
        let done = if runs {
            format!("'{name}' has {}, but only until its next start", counted(wanted))
        } else {
            format!("app '{name}'")
        };
        format!("{done}: cannot write {}", file.display())
    })
}

/// Ends an app, which stays known: the next number starts it again.
fn to_none(home: &Home, name: &str) -> Result<(), Failure> {
    let failed = stop::stop(home, &[name.to_owned()], None).into_values().max();
    if let Some(code) = failed {
        return Err(Failure::with_code(code, ""));
    }
    let typed = shell::quoted(name);
    report::info(format_args!("'{name}' has no workers, and is stopped; pm scale {typed} N starts it with N"));
    Ok(())
}

/// Whether the app is stopped because it was scaled to none.
fn has_none(dir: &Path) -> bool {
    home::read_file(dir, WORKERS, 100).is_ok_and(|text| text.trim_ascii() == b"0")
}

/// Starts the app that had none.
fn from_none(name: &str) -> Result<(), Failure> {
    match saved::start_again(name)? {
        0 => Ok(()),
        code => Err(Failure::with_code(code, "")),
    }
}

/// More workers than clients can stay with are refused: the next start would be, too.
fn check_sticky(dir: &Path, name: &str, wanted: u32) -> Result<(), Failure> {
    let told = || status::read(dir).is_ok_and(|all| all.iter().any(|status| status.supervisor.is_sticky()));
    let described = || {
        let app = Start::read(dir).ok().flatten().and_then(|start| start.app);
        app.is_some_and(|app| app.get("sticky") == Some(&Value::Bool(true)))
    };
    if wanted <= MOST_SLOTS || !told() && !described() {
        return Ok(());
    }
    let why = format!("'{name}' cannot have {}: with --sticky {MOST_SLOTS} are the most", counted(wanted));
    Err(Failure::with_code(1, why))
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

/// How many workers there are now; `None`: it does not run.
fn count(dir: &Path, name: &str) -> Result<Option<u32>, Failure> {
    let doing = || format!("cannot watch {}", dir.display());
    let mode = Start::read(dir).ok().flatten().map(|start| start.mode);
    let mut watch = Watch::new(dir).or_fail(doing)?;
    let (deadline, mut teller) = (clock::now() + COUNTED_IN, Teller::new());
    let mut patience = hopeless::Patience::new(Goal::Ready, clock::now());
    let mut silence = Silence::new(dir, clock::now());
    let failed = |code, why: &str| Err(Failure::with_code(code, format!("'{name}' {why}")));
    loop {
        let sight = watch.look().or_fail(doing)?;
        match Count::of(&sight, mode) {
            Count::Of(workers) => return Ok(Some(workers)),
            Count::Stopped => return Ok(None),
            Count::Fork => {
                return failed(1, "is in fork mode, which has one process: start it with -i to have several");
            }
            Count::Unknown => {}
        }
        let trouble = suspended(&sight);
        if let Some(why) = patience.look(clock::now(), &sight).filter(|_| trouble.is_some()) {
            return failed(EXIT_TIMED_OUT, &format!("cannot be scaled yet: {why}"));
        }
        if let Some(why) = silence.look(clock::now()) {
            return failed(1, &format!("cannot be scaled: {why}"));
        }
        if deadline <= clock::now() {
            let why = "is being started or stopped, and its supervisor has not said how many workers there are: \
                       try again once pm list shows it online";
            return failed(1, why);
        }
        teller.tell(&format!("'{name}' to be counted"), "it is being started or stopped", trouble.as_deref());
        watch.wait(Some(teller.next())).or_fail(doing)?;
    }
}

fn counted(workers: u32) -> String {
    if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") }
}

/// What the app's workers write to its log of errors from now on; `None`: where that is is not known.
fn errors_from_now(home: &Home, name: &str) -> Option<ErrLog> {
    let dir = home.dir(name)?;
    let named = Start::read(&dir).ok()??.err;
    let mut errors = ErrLog::at(named.unwrap_or_else(|| dir.join("err.log")), 0);
    errors.mark();
    Some(errors)
}

/// The words that give an app so many workers.
fn back(name: &str, workers: u32) -> String {
    format!("{} {workers}", shell::quoted(name))
}

/// Has one worker more, or one fewer, as often as it takes, each time until they are ready.
fn walk(home: &Home, name: &str, mut now: u32, wanted: u32) -> Result<(), Failure> {
    while now != wanted {
        let (number, word, next) = match now < wanted {
            true => (SIGTTIN, "TTIN", now + 1),
            false => (SIGTTOU, "TTOU", now - 1),
        };
        let signal = Signal { number: number as u8, word: word.to_owned(), to_workers: false };
        let errors = errors_from_now(home, name);
        signals::signal(home, name, &signal)?;
        // Its supervisor wants so many from now on, whatever becomes of us; that it cannot be written is said at the end.
        let _ = home.dir(name).map(|dir| home::replace_file(&dir, WORKERS, format!("{next}\n").as_bytes()));
        let (count, not_all) = (counted(next), if next == wanted { String::new() } else { format!(", not {wanted}") });
        let _parting = report::parting(&format!(
            "not waited for any longer: '{name}' goes on to have {count}{not_all}; pm list shows it"
        ));
        let done = Wait { app: name.to_owned(), goal: Goal::Workers(next), timeout: None }.run(Some(home));
        if let Err(failure) = done {
            errors.iter().for_each(|errors| report::quote(&errors.last_lines()));
            report::info(format_args!(
                "'{name}' is to have {count}{not_all}: pm scale {} takes that back",
                back(name, now)
            ));
            return Err(failure);
        }
        now = next;
    }
    Ok(())
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
        assert_eq!([Scale::Fewer(2), Scale::Fewer(9)].map(|by| by.from(2)), [None; 2]);
        assert_eq!(Scale::To(0).from(2), Some(0));
    }

    /// A supervisor in this state, with three workers wanted; `above` another one.
    fn told(tool: &str, state: &str, above: bool) -> Status {
        let line = json!({"kind": "supervisor", "schema": 1, "app": "a", "tool": tool, "pid": 7, "start": 70,
            "state": state, "workers": 3, "ready": 1});
        let mut workers = Vec::new();
        if above {
            workers.push(WorkerLine { supervises: true, ..WorkerLine::new(0, 1, WorkerState::Ready) });
        }
        Status { supervisor: SupervisorLine::from_json(line).expect("a line"), workers }
    }

    fn count(mode: Option<Mode>, statuses: Vec<Status>) -> Count {
        Count::of(&Sight { statuses, locked: true, ..Sight::default() }, mode)
    }

    #[test]
    fn only_a_supervisor_that_goes_on_says_how_many_there_are() {
        let all = [Some(Mode::Cluster), Some(Mode::Apart), None];
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
        assert_eq!(Count::of(&Sight::default(), Some(Mode::Fork)), Count::Fork, "at its next start, too");
        assert_eq!(Count::of(&Sight::default(), Some(Mode::Cluster)), Count::Stopped);
    }

    #[test]
    fn clients_stay_with_so_many_workers_and_no_more() {
        for sticky in [true, false] {
            let dir = tempfile::tempdir().expect("a directory");
            let pid = std::process::id().cast_signed();
            let start = pm_common::kernel::procfs::start_time(pid).expect("it runs");
            let mut line = told("pm-cluster", "ready", false).supervisor;
            (line.pid, line.start) = (pid, start);
            line.policy.insert("sticky".to_owned(), sticky.into());
            let mut file = status::StatusFile::new(Some(dir.path()), "pm-cluster");
            file.write(&line, &[]);
            let said = |wanted| check_sticky(dir.path(), "a", wanted).err().map(|failure| failure.to_string());
            assert_eq!(said(256), None);
            let wanted = "'a' cannot have 257 workers: with --sticky 256 are the most";
            assert_eq!(said(257).as_deref(), sticky.then_some(wanted));
        }
    }
}
