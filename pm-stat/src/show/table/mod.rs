//! `--table`: the rows for people, in columns that fit the terminal. Pure: what comes in is plain, what goes out is text.

use pm_common::app::home::DEFAULT_NAMESPACE;

use crate::show::row::{Row, Traffic};
use crate::show::state_words;
use crate::show::text::{Now, bytes, clean, ended, fit, percent, span, width};

/// The blanks between two columns.
const GAP: usize = 2;
/// The least that a name keeps before columns go.
const SHORT_NAME: usize = 16;
/// The least that a reason for the last restart keeps.
const SHORT_WHY: usize = 14;

/// A row as the table needs it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) app: String,
    pub(crate) id: Option<u64>,
    pub(crate) namespace: String,
    pub(crate) mode: String,
    pub(crate) slot: Option<u32>,
    pub(crate) generation: Option<u64>,
    pub(crate) pid: Option<i32>,
    pub(crate) uptime_s: Option<f64>,
    pub(crate) restarts: Option<u64>,
    pub(crate) status: &'static str,
    pub(crate) cpu_pct: Option<f64>,
    pub(crate) memory: Option<u64>,
    pub(crate) traffic: Traffic,
    /// Why the worker before this one ended.
    pub(crate) why: String,
}

impl Entry {
    /// The row, as it is now.
    pub(crate) fn of(row: &Row<'_>, now: Now) -> Self {
        let usage = row.usage.as_ref();
        Self {
            app: clean(&row.app.name),
            id: row.app.id(),
            namespace: clean(row.app.namespace()),
            mode: row.app.mode().map(clean).unwrap_or_default(),
            slot: row.worker.map(|w| w.slot),
            generation: row.worker.map(|w| w.generation),
            pid: row.pid,
            uptime_s: usage.map(|u| u.uptime_s),
            restarts: row.restarts,
            status: if usage.is_some_and(|u| u.suspended) { "suspended" } else { state_words::of(row) },
            cpu_pct: usage.map(|u| u.cpu_pct),
            memory: usage.map(|u| u.pss_bytes.unwrap_or(u.rss_bytes)),
            traffic: row.traffic,
            why: row.last.map(|last| clean(&ended(last, now))).unwrap_or_default(),
        }
    }
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Column {
    Id,
    #[default]
    Name,
    Namespace,
    Mode,
    Slot,
    Generation,
    Pid,
    Uptime,
    Restarts,
    Status,
    Cpu,
    Memory,
    Connections,
    Queue,
    Why,
}

use Column::{
    Connections, Cpu, Generation, Id, Memory, Mode, Name, Namespace, Pid, Queue, Restarts, Slot, Status, Uptime, Why,
};

/// All of them, as they stand from left to right.
const ORDER: [Column; 15] =
    [Id, Name, Namespace, Mode, Slot, Generation, Pid, Uptime, Restarts, Status, Cpu, Memory, Connections, Queue, Why];
/// Those that a narrow terminal does without, the first one first. The name and the status always stay.
const DISPENSABLE: [Column; 13] =
    [Generation, Namespace, Mode, Why, Pid, Uptime, Restarts, Connections, Slot, Id, Cpu, Memory, Queue];

impl Column {
    pub(crate) const fn header(self) -> &'static str {
        match self {
            Id => "id",
            Name => "name",
            Namespace => "namespace",
            Mode => "mode",
            Slot => "slot",
            Generation => "gen",
            Pid => "pid",
            Uptime => "uptime",
            Restarts => "↺",
            Status => "status",
            Cpu => "cpu",
            Memory => "mem",
            Connections => "conn",
            Queue => "queue",
            Why => "last restart",
        }
    }

    const fn is_right(self) -> bool {
        matches!(self, Id | Slot | Generation | Pid | Uptime | Restarts | Cpu | Memory | Connections | Queue)
    }

    fn cell(self, entry: &Entry) -> String {
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        match self {
            Id => number(entry.id),
            Name => entry.app.clone(),
            Namespace => entry.namespace.clone(),
            Mode => entry.mode.clone(),
            Slot => number(entry.slot.map(u64::from)),
            Generation => number(entry.generation),
            Pid => number(entry.pid.and_then(|p| u64::try_from(p).ok())),
            Uptime => entry.uptime_s.map_or_else(|| "-".to_owned(), span),
            Restarts => number(entry.restarts),
            Status => entry.status.to_owned(),
            Cpu => entry.cpu_pct.map_or_else(|| "-".to_owned(), percent),
            Memory => entry.memory.map_or_else(|| "-".to_owned(), bytes),
            Connections => number(entry.traffic.connections),
            Queue => queue(entry.traffic),
            Why => entry.why.clone(),
        }
    }
}

/// What waits for this worker alone; behind `=`, what waits for it and others, the same number in each row.
fn queue(traffic: Traffic) -> String {
    let own = traffic.queue.map(|n| n.to_string());
    let shared = traffic.queue_shared.map(|n| format!("={n}"));
    if own.is_none() && shared.is_none() {
        "-".to_owned()
    } else {
        own.unwrap_or_default() + &shared.unwrap_or_default()
    }
}

fn waits(entry: &Entry) -> bool {
    entry.traffic.queue.max(entry.traffic.queue_shared) > Some(0)
}

/// The columns that are shown, and how wide each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    columns: Vec<(Column, usize)>,
    room: Option<usize>,
}

impl Layout {
    /// For these entries in so many columns of a terminal; `None`: there is room for all. The name of the column that
    /// they are sorted by has a mark behind it.
    pub(crate) fn of(entries: &[Entry], room: Option<usize>, sorted: Option<Column>) -> Self {
        // What says nothing in any row takes no room from the rest.
        let shown = ORDER.into_iter().filter(|column| match column {
            Namespace => entries.iter().any(|e| e.namespace != DEFAULT_NAMESPACE),
            Connections => entries.iter().any(|e| e.traffic.connections.is_some()),
            Queue => entries.iter().any(waits),
            _ => true,
        });
        let header = |c: Column| width(c.header()) + usize::from(sorted == Some(c));
        let natural = |c: Column| entries.iter().map(|e| width(&c.cell(e))).chain([header(c)]).max();
        let mut layout = Self { columns: shown.map(|c| (c, natural(c).unwrap_or(0))).collect(), room };
        if let Some(room) = room {
            let mut rest = DISPENSABLE.iter();
            while !layout.squeeze(room) {
                let Some(next) = rest.next() else { break };
                layout.columns.retain(|(c, _)| c != next);
            }
        }
        layout
    }

    fn total(&self) -> usize {
        self.columns.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
    }

    /// Makes the columns of text narrower, if that is enough to fit; to the utmost, if there is no other column left.
    fn squeeze(&mut self, room: usize) -> bool {
        let last = self.columns.len() <= 2;
        let mut over = self.total().saturating_sub(room);
        let mut next = self.columns.clone();
        for (column, least) in [(Why, SHORT_WHY), (Name, if last { 1 } else { SHORT_NAME })] {
            for (_, width) in next.iter_mut().filter(|(c, _)| *c == column) {
                let give = width.saturating_sub(least).min(over);
                *width -= give;
                over -= give;
            }
        }
        if over == 0 || last {
            self.columns = next;
        }
        over == 0
    }

    /// The line above the rows; `mark` says what to put behind a column's name.
    pub(crate) fn header(&self, mark: impl Fn(Column) -> &'static str) -> String {
        self.line(|c| format!("{}{}", c.header(), mark(c)), |_, text| text)
    }

    /// The line of an entry.
    pub(crate) fn row(&self, entry: &Entry, colour: bool) -> String {
        let paint = |column, text: String| match colour_of(entry.status) {
            Some(code) if colour && column == Status => format!("\x1b[{code}m{text}\x1b[0m"),
            _ if colour && column == Queue && waits(entry) => format!("\x1b[33m{text}\x1b[0m"),
            Some(_) | None => text,
        };
        self.line(|c| c.cell(entry), paint)
    }

    fn line(&self, cell: impl Fn(Column) -> String, paint: impl Fn(Column, String) -> String) -> String {
        let mut line = String::new();
        let mut room = self.room.unwrap_or(usize::MAX);
        for (at, (column, width)) in self.columns.iter().enumerate() {
            let gap = if at == 0 { 0 } else { GAP.min(room) };
            line.push_str(&" ".repeat(gap));
            room -= gap;
            let width = *width.min(&room);
            line.push_str(&paint(*column, fit(&cell(*column), width, column.is_right())));
            room -= width;
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The colour of a status, as the number of a terminal's escape sequence.
const fn colour_of(status: &str) -> Option<&'static str> {
    match status.as_bytes() {
        b"online" => Some("32"),
        b"errored" | b"stopped" => Some("31"),
        _ => Some("33"),
    }
}

/// The table.
pub(crate) fn render(entries: &[Entry], room: Option<usize>, colour: bool) -> String {
    let layout = Layout::of(entries, room, None);
    let header = layout.header(|_| "");
    let header = if colour { format!("\x1b[1m{header}\x1b[0m") } else { header };
    entries.iter().fold(format!("{header}\n"), |text, entry| text + &layout.row(entry, colour) + "\n")
}

#[cfg(test)]
mod tests;
