//! What `--top` shows, as the lines of a terminal. Pure.

use pm_common::kernel::host::Host;

use super::on_key::{Input, State, has};
use super::tail::{Level, LogLine};
use std::collections::BTreeMap;

use crate::show::table::{Column, Entry, Layout};
use crate::show::text::{bytes, cut, fit, percent, width};

/// The rows that the summary, the header and the line of keys take.
const FRAME: usize = 3;
/// With less room than this between them, the table has it all.
const LEAST_FOR_LOGS: usize = 5;
/// The least that the table has beside the logs.
const LEAST_TABLE: usize = 3;

/// The most lines that are shown of what a command says.
const MOST_SAID: usize = 5;
/// The keys, in as many words as there is room for.
const KEYS: [&str; 3] = [
    "q quit  ↑↓ select  R restart  L reload  S stop  PgUp PgDn log  / search  sort by: c cpu  m memory  n name  u uptime  r restarts",
    "q quit  ↑↓ select  R restart  L reload  S stop  PgUp log  / find  cmnur sort",
    "q quit ↑↓ c m n u r sort R L S do / find",
];

const REVERSE: &str = "\x1b[7m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

/// How the rows of the terminal are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panes {
    /// Rows of the table.
    pub(super) table: usize,
    /// Lines of the logs; their title comes on top of it.
    pub(super) logs: usize,
}

impl Panes {
    pub(super) fn of(height: usize, entries: usize) -> Self {
        let room = height.saturating_sub(FRAME);
        if room < LEAST_FOR_LOGS {
            return Self { table: room, logs: 0 };
        }
        let table = entries.clamp(1, (room / 2).max(LEAST_TABLE));
        Self { table, logs: room - table - 1 }
    }
}

/// What there is to show.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) state: &'a State,
    /// The lines of the log that are shown.
    pub(super) logs: &'a [LogLine],
    /// Of a log that is held: how many lines it has.
    pub(super) held: Option<usize>,
    /// What is being done, in lines.
    pub(super) said: &'a [String],
    pub(super) host: Option<Host>,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) colour: bool,
}

impl View<'_> {
    /// How the rows are shared out: what is said has its own.
    pub(super) fn panes(&self) -> Panes {
        Panes::of(self.height - self.said().len(), self.entries.len())
    }

    /// The end of what is said, as much of it as there is room for.
    fn said(&self) -> &[String] {
        let room = self.height.saturating_sub(FRAME + 1).min(MOST_SAID);
        self.said.get(self.said.len().saturating_sub(room)..).unwrap_or_default()
    }
}

/// The lines of the terminal, from the top; not more than its height.
pub(super) fn frame(view: &View<'_>) -> Vec<String> {
    let panes = view.panes();
    let mut lines = vec![paint(view, BOLD, &fit(&summary(view), view.width, false))];
    lines.extend(table(view, panes.table));
    if panes.logs > 0 {
        lines.push(title(view));
        lines.extend(view.logs.iter().take(panes.logs).map(|line| log_line(view, line)));
    }
    lines.resize(view.height.saturating_sub(1 + view.said().len()).max(1), String::new());
    lines.extend(view.said().iter().map(|line| paint(view, BOLD, &cut(line, view.width))));
    lines.push(paint(view, REVERSE, &fit(&prompt(view), view.width, false)));
    lines.truncate(view.height);
    lines
}

fn paint(view: &View<'_>, code: &str, text: &str) -> String {
    // Without colours, what is selected must be seen none the less: that is no colour.
    if view.colour || code == REVERSE { format!("{code}{text}{RESET}") } else { text.to_owned() }
}

/// How an app is, from the states of its workers.
fn state_of_app(statuses: &[&str]) -> &'static str {
    let any = |wanted: &[&str]| statuses.iter().any(|status| wanted.contains(status));
    match () {
        () if any(&["errored", "waiting restart", "orphaned", "suspended"]) => "failing",
        () if any(&["online"]) => "online",
        () if any(&["stopped"]) => "stopped",
        () => "starting",
    }
}

fn summary(view: &View<'_>) -> String {
    let mut apps: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    view.entries.iter().for_each(|entry| apps.entry(&entry.app).or_default().push(entry.status));
    let states: Vec<_> = apps.values().map(|statuses| state_of_app(statuses)).collect();
    let count = |wanted: &str| states.iter().filter(|state| **state == wanted).count();
    let noun = if apps.len() == 1 { "app" } else { "apps" };
    let mut text = format!("{} {noun}, {} online", apps.len(), count("online"));
    for state in ["failing", "starting", "stopped"].into_iter().filter(|state| count(state) > 0) {
        text += &format!(", {} {state}", count(state));
    }
    let cpu: f64 = view.entries.iter().filter_map(|e| e.cpu_pct).sum();
    let memory: u64 = view.entries.iter().filter_map(|e| e.memory).sum();
    text += &format!("  cpu {}  mem {}", percent(cpu), bytes(memory));
    let open: Vec<u64> = view.entries.iter().filter_map(|e| e.traffic.connections).collect();
    if !open.is_empty() {
        text += &format!("  conn {}", open.iter().sum::<u64>());
    }
    if let Some(host) = view.host {
        let (used, all) = (bytes(host.total - host.available), bytes(host.total));
        text += &format!("  host: load {:.2} of {} cpus  mem {used} of {all}", host.load, host.cpus);
    }
    text
}

/// The header and the rows around the selected one.
fn table(view: &View<'_>, rows: usize) -> Vec<String> {
    let sorted = view.state.sort;
    let layout = Layout::of(view.entries, Some(view.width.saturating_sub(2)), Some(sorted));
    let mark = |column| if column == sorted { if view.state.reversed { "▴" } else { "▾" } } else { "" };
    let header = fit(&format!("  {}", layout.header(mark)), view.width, false);
    let first = first_shown(view.entries.len(), rows, view.state.selected);
    let shown = view.entries.iter().enumerate().skip(first).take(rows).map(|(at, entry)| {
        if at == view.state.selected {
            paint(view, REVERSE, &fit(&format!("> {}", layout.row(entry, false)), view.width, false))
        } else {
            cut_plain(&format!("  {}", layout.row(entry, view.colour)), view)
        }
    });
    let mut lines = vec![paint(view, BOLD, &header)];
    lines.extend(shown);
    // The place of a row that is not there; the logs do not move as workers come and go.
    lines.resize(rows + 1, String::new());
    lines
}

/// A row with colours cannot be cut by its width; without room for more than the marks, there are none.
fn cut_plain(row: &str, view: &View<'_>) -> String {
    if view.width > 2 { row.to_owned() } else { String::new() }
}

/// The first of the entries to show, so that the selected one is among them, in the middle where there are more.
fn first_shown(entries: usize, rows: usize, selected: usize) -> usize {
    selected.saturating_sub(rows / 2).min(entries.saturating_sub(rows))
}

fn title(view: &View<'_>) -> String {
    let app = view.entries.get(view.state.selected).map_or("no app", |e| e.app.as_str());
    let what = match view.held {
        None => "last lines of its logs".to_owned(),
        Some(all) => {
            let last = all.saturating_sub(view.state.scrolled);
            format!("lines {} to {last} of {all}; Esc: the last ones", (last + 1).saturating_sub(view.logs.len()))
        }
    };
    let text = cut(&format!("── {app}: {what} "), view.width);
    let rest = view.width.saturating_sub(width(&text));
    paint(view, BOLD, &(text + &"─".repeat(rest)))
}

fn log_line(view: &View<'_>, line: &LogLine) -> String {
    let is_err = line.level == Level::Err;
    let text = cut(&format!("{}{}", if is_err { "! " } else { "  " }, line.text), view.width);
    let pattern = &view.state.pattern;
    match () {
        () if !pattern.is_empty() && has(&line.text, pattern) => paint(view, REVERSE, &text),
        () if is_err => paint(view, RED, &text),
        () => text,
    }
}

/// The last line: what the next key is for.
fn prompt(view: &View<'_>) -> String {
    match &view.state.input {
        Input::Confirm(act, app) => format!("{} {app}? y: yes, any other key: no", act.word()),
        Input::Search(text) => format!("search the log for: {text}_  (Enter: search, Esc: no)"),
        Input::Command if !view.state.pattern.is_empty() => {
            format!("/{}  n above  N below  Esc ends the search", view.state.pattern)
        }
        Input::Command => KEYS.into_iter().find(|keys| width(keys) <= view.width).unwrap_or(KEYS[2]).to_owned(),
    }
}

/// Sorts the entries; those that are the same stay in the order of app and slot.
pub(super) fn sort<T>(items: &mut [T], entry: impl Fn(&T) -> &Entry, by: Column, reversed: bool) {
    use std::cmp::Ordering;
    let down = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
    let count = |n: Option<u64>| n.map(|n| n as f64);
    items.sort_by(|a, b| {
        let (a, b) = (entry(a), entry(b));
        let order = match by {
            Column::Cpu => down(a.cpu_pct, b.cpu_pct),
            Column::Memory => down(count(a.memory), count(b.memory)),
            Column::Restarts => down(count(a.restarts), count(b.restarts)),
            // The youngest first, which was just started again; what does not run comes last.
            Column::Uptime => a.uptime_s.unwrap_or(f64::MAX).total_cmp(&b.uptime_s.unwrap_or(f64::MAX)),
            _ => Ordering::Equal,
        };
        let place = |e: &Entry| (e.app.clone(), e.slot, e.generation);
        let order = order.then_with(|| place(a).cmp(&place(b)));
        if reversed { order.reverse() } else { order }
    });
}

#[cfg(test)]
mod tests;
