//! What every output shows: one row for each worker, and for an app without a worker to show, one of its own.

use pm_common::app::status::{Counts, Last, Status, SupervisorLine, SupervisorState, WorkerLine, WorkerState};
use serde_json::{Value, json};

use crate::look::app::App;
use crate::look::usage::{Meter, Usage};
use crate::show::json_line::{line, tenths};

/// The version of the form of the JSON lines.
pub(crate) const SCHEMA: u64 = 1;
/// The state of an app that does not run.
pub(crate) const STOPPED: &str = "stopped";
/// The state of one that its supervisor gave up.
pub(crate) const ERRORED: &str = "errored";
/// The status of an app with workers of a supervisor that was killed, and that of these.
pub(crate) const ORPHANED: &str = "orphaned";
/// The status of a worker whose end its supervisor has not told yet.
pub(crate) const GONE: &str = "gone";

/// What waits for a worker and what it serves. `None`: not known, or of something that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    /// Connections that wait in sockets that are this worker's alone.
    pub(crate) queue: Option<u64>,
    /// Connections that wait in sockets that it shares with other workers: the same number for each of them.
    pub(crate) queue_shared: Option<u64>,
    /// Connections that it has accepted and not closed.
    pub(crate) connections: Option<u64>,
}

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Row<'a> {
    pub(crate) app: &'a App,
    /// The supervisor whose worker it is, or for an app without a worker, the outermost.
    pub(crate) supervisor: Option<&'a SupervisorLine>,
    pub(crate) worker: Option<&'a WorkerLine>,
    pub(crate) pid: Option<i32>,
    pub(crate) state: &'static str,
    pub(crate) usage: Option<Usage>,
    /// Since the last `reset`, over restarts of the app; of one that was given up, of all its workers.
    pub(crate) restarts: Option<u64>,
    pub(crate) last: Option<&'a Last>,
    /// Nothing, until [`crate::show::traffic::add`].
    pub(crate) traffic: Traffic,
}

/// The rows of the apps, in their order; then by slot and generation.
pub(crate) fn rows<'a>(apps: impl IntoIterator<Item = &'a App>, meter: &mut Meter) -> Vec<Row<'a>> {
    let all: Vec<_> = apps.into_iter().map(|app| (app, app.workers(), app.orphans())).collect();
    meter.prepare(all.iter().map(|(_, workers, orphans)| (workers.len() + orphans.len()).max(1)).sum());
    let mut rows = Vec::new();
    for (app, workers, orphans) in all {
        if workers.is_empty() && (app.runs() || orphans.is_empty()) {
            rows.push(whole(app, meter));
        }
        if workers.is_empty() && orphans.is_empty() {
            continue;
        }
        let counts = Counts::read(&app.dir);
        let mut own: Vec<_> =
            workers.into_iter().map(|(supervisor, told)| worker(app, supervisor, told, &counts, meter)).collect();
        // The one that a reload has ended: its supervisor has yet to forget it, and its successor is there.
        if !own.iter().all(Row::has_left) {
            own.retain(|row| !row.has_left());
        }
        rows.append(&mut own);
        let orphans = orphans.into_iter().map(|(supervisor, told)| worker(app, supervisor, told, &counts, meter));
        rows.extend(orphans.map(|row| Row { state: ORPHANED, ..row }));
    }
    rows
}

fn worker<'a>(
    app: &'a App,
    supervisor: &'a SupervisorLine,
    told: &'a WorkerLine,
    counts: &Counts,
    meter: &mut Meter,
) -> Row<'a> {
    let usage = told.pid.zip(told.start).and_then(|(pid, start)| meter.measure(pid, Some(start)));
    let gone = told.pid.is_some() && usage.is_none();
    Row {
        app,
        supervisor: Some(supervisor),
        worker: Some(told),
        pid: told.pid.filter(|_| !gone),
        // Of one that was asked to end, that it has ended is no news.
        state: if gone && !was_asked(told) { GONE } else { told.state.word() },
        usage,
        restarts: Some(counts.of(supervisor, told)),
        last: told.last.as_ref(),
        traffic: Traffic::default(),
    }
}

/// Whether the worker was asked to end.
const fn was_asked(told: &WorkerLine) -> bool {
    matches!(told.state, WorkerState::Draining | WorkerState::Killing)
}

/// The row of an app that has no worker to show: its supervisor's state, or `running` where a process holds the lock
/// without a word, or how it ended.
fn whole<'a>(app: &'a App, meter: &mut Meter) -> Row<'a> {
    let supervisor = app.outermost();
    let ended = app.words.iter().flat_map(|s| &s.workers);
    let pid = supervisor.map(|s| s.pid).or(app.holder.flatten());
    Row {
        app,
        supervisor,
        worker: None,
        pid,
        state: state_of_app(app),
        usage: pid.and_then(|pid| meter.measure(pid, None)),
        restarts: app.words.as_ref().map(|_| ended.clone().map(|w| w.restarts).sum()),
        last: ended.filter_map(|w| w.last.as_ref()).max_by_key(|l| l.at_ms),
        traffic: Traffic::default(),
    }
}

/// The state of an app as a whole.
pub(crate) fn state_of_app(app: &App) -> &'static str {
    match (app.outermost(), &app.holder) {
        (Some(told), _) if told.state == SupervisorState::GaveUp => ERRORED,
        (Some(told), _) => told.state.word(),
        (None, Some(_)) => "running",
        (None, None) if !app.orphaned.is_empty() => ORPHANED,
        (None, None) if app.words.as_ref().is_some_and(Status::gave_up) || app.was_killed().is_some() => ERRORED,
        (None, None) => STOPPED,
    }
}

impl Row<'_> {
    /// Whether it is ready because it lives, which is a guess.
    pub(crate) fn is_guess(&self) -> bool {
        self.is_ready() && self.worker.is_some_and(WorkerLine::is_guess)
    }

    /// Whether it serves, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == WorkerState::Ready.word()
    }

    /// Whether it starts, and could not listen where it wanted to.
    pub(crate) fn is_refused(&self) -> bool {
        self.state == WorkerState::Starting.word() && self.worker.is_some_and(|worker| worker.refused.is_some())
    }

    /// Whether the worker was asked to end, and has ended.
    fn has_left(&self) -> bool {
        self.pid.is_none() && self.worker.is_some_and(was_asked)
    }

    /// The row as a line of JSON, with its newline.
    pub(crate) fn to_json(&self) -> String {
        let fields: Vec<_> = self.fields().into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        line(&fields)
    }

    /// The number of the last roll that the app's supervisor was asked for.
    fn rolls_requested(&self) -> Option<u64> {
        Some(self.app.acting()?.roll.as_ref()?.requested)
    }

    /// The fields in the order of the output; one without a value is left out, one that is null is shown.
    pub(crate) fn fields(&self) -> Vec<(&'static str, Option<Value>)> {
        let told = self.worker;
        let usage = self.usage.as_ref();
        let number = |of: fn(&Usage) -> f64| usage.map_or(Value::Null, |u| tenths(of(u)));
        let runs = told.is_some() || self.app.runs();
        let pss = usage.and_then(|u| u.pss_bytes).map(Value::from);
        vec![
            ("app", Some(Value::from(self.app.name.as_str()))),
            ("id", Some(Value::from(self.app.id()))),
            ("namespace", Some(Value::from(self.app.namespace()))),
            ("mode", Some(Value::from(self.app.mode()))),
            ("slot", told.map(|w| Value::from(w.slot))),
            ("generation", told.map(|w| Value::from(w.generation))),
            ("pid", runs.then(|| Value::from(self.pid))),
            ("state", Some(Value::from(self.state))),
            ("ready_by", told.map(|w| Value::from(w.ready_by.as_deref()))),
            ("suspended", usage.filter(|u| u.suspended && told.is_some()).map(|_| Value::from(true))),
            ("uptime_s", runs.then(|| number(|u| u.uptime_s))),
            ("restarts", self.restarts.map(Value::from)),
            ("last", (told.is_some() || self.last.is_some()).then(|| json!(self.last))),
            ("rss_bytes", runs.then(|| Value::from(usage.map(|u| u.rss_bytes)))),
            ("pss_bytes", pss),
            ("cpu_pct", runs.then(|| number(|u| u.cpu_pct))),
            ("listen", told.map(|w| Value::from(w.addresses.clone()))),
            ("adapter", told.map(|w| Value::from(w.adapter.as_deref()))),
            ("sticky", told.and(self.supervisor).filter(|told| told.is_sticky()).map(|_| Value::from(true))),
            ("queue", told.map(|_| Value::from(self.traffic.queue))),
            ("queue_shared", self.traffic.queue_shared.map(Value::from)),
            ("connections", told.map(|_| Value::from(self.traffic.connections))),
            ("restarts_total", told.map(|w| Value::from(w.restarts))),
            ("supervisor_pid", runs.then(|| Value::from(self.supervisor.map(|s| s.pid)))),
            ("supervisor_first", self.supervisor.and_then(|s| s.first).map(|first| json!(first))),
            ("supervisor_start", runs.then(|| Value::from(self.supervisor.map(|s| s.start)))),
            ("supervisor_lost", self.app.lost_above().map(|(lost, _)| Value::from(lost.pid))),
            ("supervisor_suspended", self.app.sight.suspended.first().map(|id| Value::from(id.pid))),
            ("rolls_requested", runs.then(|| Value::from(self.rolls_requested()))),
            ("schema", Some(Value::from(SCHEMA))),
        ]
    }
}
