//! What `--top` shows, as the lines of a terminal. Pure.

use super::keys::Sort;
use super::tail::LogLine;
use crate::show::table::{Column, Entry, Layout};
use crate::show::text::{bytes, cut, fit, percent, width};

/// The rows that the summary, the header and the line of keys take.
const FRAME: usize = 3;
/// With less room than this between them, the table has it all.
const LEAST_FOR_LOGS: usize = 5;
/// The least that the table has beside the logs.
const LEAST_TABLE: usize = 3;

const REVERSE: &str = "\x1b[7m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

/// How the rows of the terminal are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panes {
    /// Rows of the table.
    pub(crate) table: usize,
    /// Lines of the logs; their title comes on top of it.
    pub(crate) logs: usize,
}

impl Panes {
    pub(crate) fn of(height: usize, entries: usize) -> Self {
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
pub(crate) struct View<'a> {
    pub(crate) entries: &'a [Entry],
    pub(crate) selected: usize,
    pub(crate) sort: Sort,
    pub(crate) reversed: bool,
    pub(crate) logs: &'a [LogLine],
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) colour: bool,
}

/// The lines of the terminal, from the top; not more than its height.
pub(crate) fn frame(view: &View<'_>) -> Vec<String> {
    let panes = Panes::of(view.height, view.entries.len());
    let mut lines = vec![paint(view, BOLD, &fit(&summary(view.entries), view.width, false))];
    lines.extend(table(view, panes.table));
    if panes.logs > 0 {
        lines.push(title(view));
        lines.extend(view.logs.iter().take(panes.logs).map(|line| log_line(view, line)));
    }
    lines.resize(view.height.saturating_sub(1).max(1), String::new());
    lines.push(paint(view, REVERSE, &fit(keys(view.width), view.width, false)));
    lines.truncate(view.height);
    lines
}

fn paint(view: &View<'_>, code: &str, text: &str) -> String {
    // Without colours, what is selected must be seen none the less: that is no colour.
    if view.colour || code == REVERSE { format!("{code}{text}{RESET}") } else { text.to_owned() }
}

fn summary(entries: &[Entry]) -> String {
    let mut apps: Vec<_> = entries.iter().map(|e| e.app.as_str()).collect();
    apps.sort_unstable();
    apps.dedup();
    let count = |status: &str| entries.iter().filter(|e| e.status == status).count();
    let noun = if apps.len() == 1 { "app" } else { "apps" };
    let mut text = format!("{} {noun}, {} online", apps.len(), count("online"));
    for status in ["errored", "stopped"] {
        if count(status) > 0 {
            text += &format!(", {} {status}", count(status));
        }
    }
    let cpu: f64 = entries.iter().filter_map(|e| e.cpu_pct).sum();
    let memory: u64 = entries.iter().filter_map(|e| e.memory).sum();
    let open: Vec<u64> = entries.iter().filter_map(|e| e.traffic.connections).collect();
    let open = if open.is_empty() { String::new() } else { format!("  conn {}", open.iter().sum::<u64>()) };
    text + &format!("  cpu {}  mem {}{open}", percent(cpu), bytes(memory))
}

/// The header and the rows around the selected one.
fn table(view: &View<'_>, rows: usize) -> Vec<String> {
    let sorted = sorted_by(view.sort);
    let layout = Layout::of(view.entries, Some(view.width.saturating_sub(2)), Some(sorted));
    let mark = |column| if column == sorted { if view.reversed { "▴" } else { "▾" } } else { "" };
    let header = fit(&format!("  {}", layout.header(mark)), view.width, false);
    let first = first_shown(view.entries.len(), rows, view.selected);
    let shown = view.entries.iter().enumerate().skip(first).take(rows).map(|(at, entry)| {
        if at == view.selected {
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

const fn sorted_by(sort: Sort) -> Column {
    match sort {
        Sort::Name => Column::Name,
        Sort::Cpu => Column::Cpu,
        Sort::Memory => Column::Memory,
        Sort::Uptime => Column::Uptime,
        Sort::Restarts => Column::Restarts,
    }
}

/// The first of the entries to show, so that the selected one is among them, in the middle where there are more.
fn first_shown(entries: usize, rows: usize, selected: usize) -> usize {
    selected.saturating_sub(rows / 2).min(entries.saturating_sub(rows))
}

fn title(view: &View<'_>) -> String {
    let app = view.entries.get(view.selected).map_or("no app", |e| e.app.as_str());
    let text = cut(&format!("── {app}: last lines of its logs "), view.width);
    let rest = view.width.saturating_sub(width(&text));
    paint(view, BOLD, &(text + &"─".repeat(rest)))
}

fn log_line(view: &View<'_>, line: &LogLine) -> String {
    let mark = if line.is_err { "! " } else { "  " };
    let text = cut(&format!("{mark}{}", line.text), view.width);
    if line.is_err && view.colour { format!("{RED}{text}{RESET}") } else { text }
}

const fn keys(width: usize) -> &'static str {
    if width < 72 {
        "q quit ↑↓ c m n u r sort"
    } else {
        "q quit  ↑↓ select  sort by: c cpu  m memory  n name  u uptime  r restarts"
    }
}

/// Sorts the entries; those that are the same stay in the order of app and slot.
pub(crate) fn sort<T>(items: &mut [T], entry: impl Fn(&T) -> &Entry, by: Sort, reversed: bool) {
    use std::cmp::Ordering;
    let down = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
    let count = |n: Option<u64>| n.map(|n| n as f64);
    items.sort_by(|a, b| {
        let (a, b) = (entry(a), entry(b));
        let order = match by {
            Sort::Name => Ordering::Equal,
            Sort::Cpu => down(a.cpu_pct, b.cpu_pct),
            Sort::Memory => down(count(a.memory), count(b.memory)),
            Sort::Restarts => down(count(a.restarts), count(b.restarts)),
            // The youngest first; what does not run comes last.
            Sort::Uptime => a.uptime_s.unwrap_or(f64::MAX).total_cmp(&b.uptime_s.unwrap_or(f64::MAX)),
        };
        let place = |e: &Entry| (e.app.clone(), e.slot, e.generation);
        let order = order.then_with(|| place(a).cmp(&place(b)));
        if reversed { order.reverse() } else { order }
    });
}

#[cfg(test)]
mod tests;
