//! The lines of one app.

use std::io;
use std::path::Path;

use pm_common::home;
use pm_common::procfs::{self, Proc, Stat};
use pm_common::status::{self, Last, Status, WorkerLine};
use serde_json::Value;

use crate::record::{line, tenths};

/// One line per worker, by slot and generation; for an app without a worker to show, one line of its own.
pub(crate) fn lines(app: &str, dir: &Path, proc: &mut Proc) -> io::Result<String> {
    let statuses = status::read(dir)?;
    let mut workers: Vec<&WorkerLine> = statuses.iter().flat_map(|s| &s.workers).filter(|w| !w.supervises).collect();
    if workers.is_empty() {
        return Ok(whole(app, dir, &statuses, proc));
    }
    workers.sort_by_key(|w| (w.slot, w.generation));
    Ok(workers.iter().map(|w| worker(app, w, proc)).collect())
}

fn worker(app: &str, told: &WorkerLine, proc: &mut Proc) -> String {
    let usage = told.pid.zip(told.start).and_then(|(pid, start)| Usage::of(pid, Some(start), proc));
    let gone = told.pid.is_some() && usage.is_none();
    line(&[
        ("app", Value::from(app)),
        ("slot", Value::from(told.slot)),
        ("generation", Value::from(told.generation)),
        ("pid", Value::from(told.pid.filter(|_| !gone))),
        ("state", Value::from(if gone { "gone" } else { told.state.word() })),
        ("ready_by", Value::from(told.ready_by.clone())),
        ("uptime_s", usage.as_ref().map_or(Value::Null, |u| tenths(u.uptime_s))),
        ("restarts", Value::from(told.restarts)),
        ("last", told.last.as_ref().map_or(Value::Null, Last::to_json)),
        ("rss_bytes", Value::from(usage.as_ref().map(|u| u.rss_bytes))),
        ("cpu_pct", usage.as_ref().map_or(Value::Null, |u| tenths(u.cpu_pct))),
        ("listen", Value::from(told.addresses.clone())),
    ])
}

/// The line of an app that does not run: it was stopped, or its supervisor gave up, and on what.
fn ended(app: &str, dir: &Path) -> String {
    let Some(words) = status::last_words(dir) else {
        return line(&[("app", Value::from(app)), ("state", Value::from("stopped"))]);
    };
    let last = words.workers.iter().filter_map(|w| w.last.as_ref()).max_by_key(|last| last.at_ms);
    line(&[
        ("app", Value::from(app)),
        ("state", Value::from(words.supervisor.state.word())),
        ("last", last.map_or(Value::Null, Last::to_json)),
    ])
}

/// The line of an app that has no worker to show: its supervisor's state, or `running` where a process holds the lock
/// without a word, or `stopped`.
fn whole(app: &str, dir: &Path, statuses: &[Status], proc: &mut Proc) -> String {
    let outermost = statuses.iter().map(|s| &s.supervisor).min_by_key(|s| (s.start, s.pid));
    let holder = if outermost.is_none() { home::holder(dir).ok().flatten() } else { None };
    let pid = outermost.map(|s| s.pid).or(holder.flatten());
    let state = match (outermost, holder) {
        (Some(supervisor), _) => supervisor.state.word(),
        (None, Some(_)) => "running",
        (None, None) => return ended(app, dir),
    };
    let usage = pid.and_then(|pid| Usage::of(pid, None, proc));
    line(&[
        ("app", Value::from(app)),
        ("pid", Value::from(pid)),
        ("state", Value::from(state)),
        ("uptime_s", usage.as_ref().map_or(Value::Null, |u| tenths(u.uptime_s))),
        ("rss_bytes", Value::from(usage.as_ref().map(|u| u.rss_bytes))),
        ("cpu_pct", usage.as_ref().map_or(Value::Null, |u| tenths(u.cpu_pct))),
    ])
}

/// What a process and all below it use.
struct Usage {
    uptime_s: f64,
    rss_bytes: u64,
    /// Of one CPU, since the process started.
    cpu_pct: f64,
}

impl Usage {
    /// `None`: the process is gone, or another one has its pid by now.
    fn of(pid: i32, start: Option<u64>, proc: &mut Proc) -> Option<Self> {
        let tree = proc.tree(pid, |_| true);
        let root = tree.first().filter(|s| s.pid == pid && start.is_none_or(|start| s.start_time == start))?;
        let uptime_s = procfs::uptime(root);
        let cpu_s = tree.iter().map(Stat::cpu_ticks).sum::<u64>() as f64 / procfs::ticks_per_second();
        let cpu_pct = if uptime_s > 0.0 { 100.0 * cpu_s / uptime_s } else { 0.0 };
        Some(Self { uptime_s, rss_bytes: tree.iter().map(Stat::rss_bytes).sum(), cpu_pct })
    }
}
