//! `--openmetrics`: figures as the OpenMetrics text format 1.0 has them; Prometheus' older text format reads it too.

use std::fmt::Write as _;

use pm_common::app::status::{SupervisorLine, WorkerState};
use pm_common::kernel::procfs;
use pm_common::sys::clock;

use crate::look::app::App;
use crate::look::usage::Usage;
use crate::show::row::Row;
use crate::show::text::clean;
use crate::show::traffic;

/// A family of figures of one name.
struct Family {
    /// Without the `_total` of a counter.
    name: &'static str,
    kind: &'static str,
    /// The name ends with it, or it is empty.
    unit: &'static str,
    help: &'static str,
}

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family { name, kind: "gauge", unit, help }
}

const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family { name, kind: "counter", unit, help }
}

/// A figure of an app; `None`: it has none.
type OfApp = fn(&App) -> Option<f64>;
/// A figure of a worker.
type OfWorker = fn(&Row<'_>) -> Option<f64>;

const APP: [(Family, OfApp); 6] = [
    (gauge("pm_app_running", "", "Whether anything of the app runs."), |app| Some(flag(app.runs()))),
    (gauge("pm_app_workers_wanted", "", "How many workers the app shall have."), |app| told(app, |s| s.workers.into())),
    (gauge("pm_app_workers_ready", "", "How many of them are ready."), |app| told(app, |s| s.ready.into())),
    (gauge("pm_app_roll_running", "", "Whether its workers are being replaced by new ones."), |app| {
        told(app, |s| flag(s.roll.as_ref().is_some_and(|r| r.running.is_some())))
    }),
    (gauge("pm_app_roll_ok", "", "Whether the last such roll ended well."), |app| {
        app.acting()?.roll.as_ref()?.ok.map(flag)
    }),
    (counter("pm_app_rolls", "", "The rolls that have ended, well or not."), |app| {
        told(app, |s| s.roll.as_ref().map_or(0.0, |r| r.ended as f64))
    }),
];

const WORKER: [(Family, OfWorker); 9] = [
    (gauge("pm_worker_up", "", "Whether the slot has a living process."), |row| Some(flag(row.usage.is_some()))),
    (gauge("pm_worker_ready", "", "Whether the worker is ready."), |row| Some(flag(is_ready(row)))),
    (counter("pm_worker_restarts", "", "How often the slot's worker was replaced because it ended."), |row| {
        row.worker.map(|w| w.restarts as f64)
    }),
    (counter("pm_worker_cpu_seconds", "seconds", "CPU time of the worker and all processes below it."), |row| {
        of_usage(row, |u| u.cpu_s)
    }),
    (gauge("pm_worker_resident_memory_bytes", "bytes", "Resident memory of the worker and all below it."), |row| {
        of_usage(row, |u| u.rss_bytes as f64)
    }),
    (
        gauge("pm_worker_proportional_memory_bytes", "bytes", "The same, shared pages divided among their sharers."),
        |row| row.usage.as_ref()?.pss_bytes.map(|pss| pss as f64),
    ),
    (
        gauge("pm_worker_connections", "connections", "TCP connections that the worker has accepted and not closed."),
        |row| row.traffic.connections.map(|n| n as f64),
    ),
    (
        gauge(
            "pm_worker_waiting_connections",
            "connections",
            "TCP connections that wait in a queue that is the worker's alone.",
        ),
        |row| row.traffic.queue.map(|n| n as f64),
    ),
    (gauge("pm_worker_start_time_seconds", "seconds", "When the worker started, in seconds since 1970."), |row| {
        of_usage(row, |u| boot_time_s() + u.key.start as f64 / procfs::ticks_per_second())
    }),
];

/// Of an app, from the rows of its workers: a queue that they share counts once.
const WAITING: Family = gauge(
    "pm_app_waiting_connections",
    "connections",
    "TCP connections that wait in the queues of the app's workers, each queue counted once.",
);

fn told(app: &App, of: impl FnOnce(&SupervisorLine) -> f64) -> Option<f64> {
    app.acting().map(of)
}

fn of_usage(row: &Row<'_>, of: impl FnOnce(&Usage) -> f64) -> Option<f64> {
    row.usage.as_ref().map(of)
}

const fn flag(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

fn is_ready(row: &Row<'_>) -> bool {
    row.usage.is_some() && row.worker.is_some_and(|w| w.state == WorkerState::Ready)
}

/// When the machine was started, in seconds since 1970.
fn boot_time_s() -> f64 {
    clock::wall_ms() as f64 / 1000.0 - clock::since_boot().as_secs_f64()
}

/// The text.
pub(crate) fn text(apps: &[App], rows: &[Row<'_>]) -> String {
    let workers = one_per_slot(rows);
    let mut text = String::new();
    for (family, of) in APP {
        let samples = apps.iter().filter_map(|app| Some((labels(app, None), of(app)?)));
        write(&mut text, &family, samples);
    }
    let apps = rows.chunk_by(|a, b| a.app.name == b.app.name);
    let waiting = apps.filter_map(|of_app| Some((labels(of_app.first()?.app, None), traffic::waiting(of_app)? as f64)));
    write(&mut text, &WAITING, waiting);
    for (family, of) in WORKER {
        let slot = |row: &Row<'_>| row.worker.map(|w| w.slot);
        let samples = workers.iter().filter_map(|row| Some((labels(row.app, slot(row)), of(row)?)));
        write(&mut text, &family, samples);
    }
    text + "# EOF\n"
}

/// A slot is one line of figures for years, whatever workers it has had: of several, that of the one that serves.
fn one_per_slot<'r, 'a>(rows: &'r [Row<'a>]) -> Vec<&'r Row<'a>> {
    let mut chosen: Vec<&Row<'_>> = Vec::new();
    let slot = |row: &Row<'_>| (row.app.name.clone(), row.worker.map(|w| w.slot));
    for row in rows.iter().filter(|row| row.worker.is_some()) {
        match chosen.last_mut().filter(|last| slot(last) == slot(row)) {
            // They come by generation.
            Some(last) if is_ready(row) || !is_ready(last) => *last = row,
            Some(_) => {}
            None => chosen.push(row),
        }
    }
    chosen
}

fn write(text: &mut String, family: &Family, samples: impl Iterator<Item = (String, f64)>) {
    let Family { name, kind, unit, help } = family;
    let mut samples = samples.peekable();
    if samples.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    if !unit.is_empty() {
        let _ = writeln!(text, "# UNIT {name} {unit}");
    }
    let suffix = if *kind == "counter" { "_total" } else { "" };
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{suffix}{{{labels}}} {value}");
    }
}

fn labels(app: &App, slot: Option<u32>) -> String {
    let slot = slot.map_or_else(String::new, |slot| format!(",slot=\"{slot}\""));
    format!("app=\"{}\",namespace=\"{}\"{slot}", escaped(&app.name), escaped(app.namespace()))
}

/// The value of a label: a backslash, a quote and a newline are escaped. Other control characters have no escape in the
/// format; they are replaced, as in the table: somebody looks at the figures on a terminal.
fn escaped(value: &str) -> String {
    let lines: Vec<_> = value.split('\n').map(clean).collect();
    lines.join("\n").replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out() {
        assert_eq!(escaped("a\\\"b\nc}ö"), "a\\\\\\\"b\\nc}ö");
        assert_eq!(escaped("a\r\x1b[2J\tb\u{9b}\n"), "a\u{fffd}\u{fffd}[2J\u{fffd}b\u{fffd}\\n");
    }

    #[test]
    fn a_family_says_what_it_is_once() {
        let mut text = String::new();
        let family = counter("pm_worker_cpu_seconds", "seconds", "Help.");
        write(&mut text, &family, [("a=\"1\"".to_owned(), 1.5), ("a=\"2\"".to_owned(), 2.0)].into_iter());
        let wanted = "# HELP pm_worker_cpu_seconds Help.\n# TYPE pm_worker_cpu_seconds counter\n\
                      # UNIT pm_worker_cpu_seconds seconds\n\
                      pm_worker_cpu_seconds_total{a=\"1\"} 1.5\npm_worker_cpu_seconds_total{a=\"2\"} 2\n";
        assert_eq!(text, wanted);
        text.clear();
        write(&mut text, &family, std::iter::empty());
        assert_eq!(text, "", "a family without a figure is not there");
    }

    #[test]
    fn the_names_are_as_the_format_wants_them() {
        let families = APP.iter().map(|(f, _)| f).chain(WORKER.iter().map(|(f, _)| f)).chain([&WAITING]);
        for family in families {
            assert!(family.unit.is_empty() || family.name.ends_with(&format!("_{}", family.unit)), "{}", family.name);
            assert!(!family.name.ends_with("_total") && family.help.ends_with('.'), "{}", family.name);
        }
    }
}
