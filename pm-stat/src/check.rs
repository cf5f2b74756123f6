//! `--check`: whether every app is as it shall be; for a probe, so one line for each that is not, and why.

use pm_common::app::orphans::list;
use pm_common::app::status::{Last, Status, SupervisorLine, SupervisorState, WorkerLine, WorkerState};
use pm_common::app::wait::hopeless;
use pm_common::cli::shell::quoted;
use pm_common::kernel::procfs;

use crate::look::app::App;
use crate::show::state_words::NOT_LISTENING;
use crate::show::text::how;

/// Why the app is not as it shall be; `None`: it is.
///
/// One that was stopped on request shall be so, unless it is `named`: who names it wants it to run.
pub(crate) fn complaint(app: &App, named: bool) -> Option<String> {
    match (app.runs(), app.acting(), &app.words) {
        (true, Some(told), _) => {
            let now = suspended_supervisor(app)
                .or_else(|| of_running(app, told))
                .or_else(|| of_processes(app))
                .or_else(|| suspended_workers(app));
            now.or_else(|| without_above(app)).or_else(|| orphans(app))
        }
        (true, None, _) => of_silent(app).or_else(|| orphans(app)),
        (false, ..) if !app.orphaned.is_empty() => orphans(app),
        (false, _, Some(words)) if words.gave_up() => Some(of_ended(words)),
        (false, _, Some(words)) => named.then(|| format!("stopped{}", last_end(words))),
        (false, _, None) => match app.killed.iter().map(|s| &s.supervisor).min_by_key(|s| (s.start, s.pid)) {
            Some(told) => Some(format!("{} has died without a word: pid={}", told.tool, told.pid)),
            None => named.then(|| "stopped".to_owned()),
        },
    }
}

fn of_running(app: &App, told: &SupervisorLine) -> Option<String> {
    let count = format!("{} of {} workers ready", told.ready, told.workers);
    let begun = match told.state {
        SupervisorState::Ready if told.ready >= told.workers => return of_guesses(app),
        SupervisorState::Ready => String::new(),
        state => format!("{}: ", state.word()),
    };
    let not_ready = app.workers().into_iter().map(|(_, w)| w).filter(|w| w.state != WorkerState::Ready);
    // One that starts for the first time is no trouble yet.
    let trouble = |w: &WorkerLine| match &w.last {
        Some(last) => Some(format!(": slot {} {} after {}", w.slot, w.state.word(), how(last))),
        None if told.state == SupervisorState::Ready => Some(format!(": slot {} {}", w.slot, w.state.word())),
        None => None,
    };
    Some(begun + &count + &not_ready.filter_map(trouble).next().unwrap_or_default())
}

/// A worker that lives, and has shown nothing else yet.
fn of_guesses(app: &App) -> Option<String> {
    let guess = app.workers().into_iter().find(|(_, worker)| worker.is_guess())?;
    Some(format!("slot {} {NOT_LISTENING}", guess.1.slot))
}

/// One that is suspended (SIGSTOP) says what was true before.
pub(crate) fn suspended_supervisor(app: &App) -> Option<String> {
    hopeless::suspended(&app.sight)
}

/// What a supervisor says of its workers may be older than what has become of them.
fn of_processes(app: &App) -> Option<String> {
    let gone = |(_, pid, start): &(u32, i32, u64)| !procfs::is_alive(*pid, *start);
    let (slot, pid, _) = ready(app).find(gone)?;
    Some(format!("slot {slot} has ended, and its supervisor has not said so: pid={pid}"))
}

/// The slots that are said to be ready, with their processes.
fn ready(app: &App) -> impl Iterator<Item = (u32, i32, u64)> {
    let workers = app.workers().into_iter().map(|(_, worker)| worker);
    workers.filter(|w| w.state == WorkerState::Ready).filter_map(|w| Some((w.slot, w.pid?, w.start?)))
}

/// A worker that is suspended (SIGSTOP) serves nobody, and is ready as far as its supervisor knows.
pub(crate) fn suspended_workers(app: &App) -> Option<String> {
    let is_suspended = |(_, pid, start): &(u32, i32, u64)| {
        procfs::stat(*pid).is_some_and(|stat| stat.start_time == *start && stat.is_suspended())
    };
    let all: Vec<_> = ready(app).filter(is_suspended).collect();
    let slots: Vec<_> = all.iter().map(|(slot, ..)| slot.to_string()).collect();
    let pids: Vec<_> = all.iter().map(|(_, pid, _)| pid.to_string()).collect();
    let (noun, be, them) = match all.len() {
        0 => return None,
        1 => ("slot", "is", "it"),
        _ => ("slots", "are", "them"),
    };
    let (slots, list, kill) = (slots.join(", "), pids.join(","), pids.join(" "));
    Some(format!("{noun} {slots} {be} suspended: pid={list}; to let {them} go on: kill -CONT {kill}"))
}

/// Says that the supervisor above the one that acts was killed: no other process would start that one again.
pub(crate) fn without_above(app: &App) -> Option<String> {
    let (lost, below) = app.lost_above()?;
    Some(format!(
        "{} pid={} was killed, and {} pid={} goes on without it: nothing starts it again; to have it back: pm restart {}",
        lost.tool,
        lost.pid,
        below.tool,
        below.pid,
        quoted(&app.name)
    ))
}

/// Says that an app is down because its supervisors were killed, and nobody asked for that.
pub(crate) fn killed(app: &App) -> Option<String> {
    let told = app.was_killed()?;
    let name = quoted(&app.name);
    Some(format!(
        "{} pid={} was killed, and the app ended with it; to have it back: pm start {name}",
        told.tool, told.pid
    ))
}

/// What supervisors that were killed have left running.
pub(crate) fn orphans(app: &App) -> Option<String> {
    let orphans = app.orphans();
    let (told, _) = orphans.first()?;
    let pids: Vec<i32> = orphans.iter().filter_map(|(_, worker)| worker.pid).collect();
    let (workers, run, them) = if pids.len() == 1 { ("worker", "runs", "it") } else { ("workers", "run", "them") };
    Some(format!(
        "{} {workers} of {}, which was killed, still {run}: pid={}; pm stop {name} ends {them}, pm start {name} starts the app anew",
        pids.len(),
        told.tool,
        list(&pids),
        name = quoted(&app.name)
    ))
}

/// A plain program that runs is all that it can be; a supervisor that says nothing is not ready.
fn of_silent(app: &App) -> Option<String> {
    let supervisor = |pid: i32| procfs::stat(pid).is_some_and(|s| s.comm.as_bytes().starts_with(b"pm-"));
    let silent = !app.sight.statuses.is_empty() || app.holder.flatten().is_some_and(supervisor);
    silent.then(|| "starting: its supervisor has said nothing yet".to_owned())
}

fn of_ended(words: &Status) -> String {
    format!("{} gave up{}", words.supervisor.tool, last_end(words))
}

fn last_end(words: &Status) -> String {
    let last: Option<&Last> = words.workers.iter().filter_map(|w| w.last.as_ref()).max_by_key(|l| l.at_ms);
    last.map_or_else(String::new, |last| format!(": {}", how(last)))
}
