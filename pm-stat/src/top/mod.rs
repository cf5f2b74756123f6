//! `--top`: the table, live on a terminal, with the last log lines of the app that is selected.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use pm_common::app::home::Home;
use pm_common::cli::report::{Failure, OrFail as _, reason};
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::clock;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::follow::watch::timespec;
use crate::look::Apps;
use crate::look::app::App;
use crate::look::samples::Samples;
use crate::look::usage::Meter;
use crate::once::colours;
use crate::show::row;
use crate::show::table::Entry;
use crate::show::text::Now;
use crate::show::traffic;

mod keys;
mod screen;
mod tail;
mod terminal;

use keys::{Key, Sort};
use screen::{Panes, View, frame};
use terminal::Terminal;

/// How often the figures are measured anew.
const REFRESH: Span = Span::secs(1);

/// A row, and whose logs to show for it.
#[derive(Debug)]
struct Item {
    entry: Entry,
    logs: Option<Logs>,
}

/// The logs of an app: of stdout, of stderr.
#[derive(Debug)]
struct Logs {
    paths: [PathBuf; 2],
    /// Only files of this user are shown: the app is another user's, and could name any.
    only_of: Option<u32>,
}

impl Logs {
    /// `None`: a link of another user's leads to the app.
    fn of(app: &App, home: Option<&Home>) -> Option<Self> {
        let owner = home?.owner_of(&app.name).ok()?;
        Some(Self { paths: app.logs(), only_of: Some(owner).filter(|uid| *uid != geteuid().as_raw()) })
    }
}

/// What is shown, and how.
#[derive(Debug)]
struct Top {
    items: Vec<Item>,
    selected: usize,
    sort: Sort,
    reversed: bool,
    meter: Meter,
}

/// Shows the apps named, or all, until `q`.
///
/// # Errors
/// 125: there is no terminal, or the files cannot be read.
pub fn top(home: Option<&Home>, named: &[OsString], pss: bool) -> Result<u8, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::own("--top needs a terminal, as stdin and as stdout; --table prints the same once"));
    }
    let samples = home.map(|h| Samples::load(h.path())).unwrap_or_default();
    let meter = Meter::new(pss, samples);
    let mut top = Top { items: Vec::new(), selected: 0, sort: Sort::Name, reversed: false, meter };
    top.measure(home, named)?;
    let mut terminal = Terminal::take().or_fail(|| "cannot set the terminal".to_owned())?;
    match top.show_until_quit(&mut terminal, home, named) {
        // The terminal is gone, and nobody is left to be told.
        Err(End::Io(e)) if e.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(0),
        Err(End::Io(e)) => Err(Failure::own(format!("cannot use the terminal: {}", reason(&e)))),
        Err(End::Failed(failure)) => Err(failure),
        Ok(()) => Ok(0),
    }
}

/// Why it ends before `q`.
enum End {
    Io(io::Error),
    Failed(Failure),
}

impl From<io::Error> for End {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Top {
    fn show_until_quit(&mut self, terminal: &mut Terminal, home: Option<&Home>, named: &[OsString]) -> Result<(), End> {
        let mut pending = Vec::new();
        let mut next = clock::now() + REFRESH;
        loop {
            self.show()?;
            let (keyboard, signalled) = wait(terminal, next)?;
            if signalled {
                terminal.obey()?;
            }
            if keyboard && !read_keys(&mut pending)? {
                return Ok(());
            }
            for key in keys::take(&mut pending) {
                match key {
                    Key::Quit => return Ok(()),
                    other => self.press(other),
                }
            }
            if next <= clock::now() {
                self.measure(home, named)?;
                next = clock::now() + REFRESH;
            }
        }
    }

    fn measure(&mut self, home: Option<&Home>, named: &[OsString]) -> Result<(), Failure> {
        let apps = Apps::known(home, named)?;
        let now = Now::read();
        let item = |row: &row::Row<'_>| Item { entry: Entry::of(row, now), logs: Logs::of(row.app, home) };
        let mut rows = row::rows(&apps.seen, &mut self.meter);
        traffic::add(&mut rows);
        let items = rows.iter().map(item).collect();
        self.meter.samples.turn();
        self.exchange(items);
        Ok(())
    }

    /// Takes these items for the old ones; the same one stays selected, if it is still there.
    fn exchange(&mut self, items: Vec<Item>) {
        let key = |item: &Item| (item.entry.app.clone(), item.entry.slot, item.entry.generation);
        let selected = self.items.get(self.selected).map(key);
        self.items = items;
        screen::sort(&mut self.items, |item| &item.entry, self.sort, self.reversed);
        if let Some(selected) = selected {
            // Its slot's next worker is the next best.
            let same = self.items.iter().position(|item| key(item) == selected);
            let slot = || self.items.iter().position(|i| (&i.entry.app, i.entry.slot) == (&selected.0, selected.1));
            self.selected = same.or_else(slot).unwrap_or(self.selected);
        }
        self.selected = self.selected.min(self.items.len().saturating_sub(1));
    }

    fn press(&mut self, key: Key) {
        let last = self.items.len().saturating_sub(1);
        match key {
            Key::Quit => {}
            Key::First => self.selected = 0,
            Key::Last => self.selected = last,
            Key::Move(rows) => self.selected = self.selected.saturating_add_signed(rows).min(last),
            Key::Sort(by) => {
                // The same key again turns the order.
                self.reversed = by == self.sort && !self.reversed;
                self.sort = by;
                let items = std::mem::take(&mut self.items);
                let selected = self.selected;
                self.exchange(items);
                self.selected = selected.min(last);
            }
        }
    }

    fn show(&self) -> io::Result<()> {
        let (width, height) = terminal::size();
        let entries: Vec<_> = self.items.iter().map(|item| item.entry.clone()).collect();
        let count = Panes::of(height, entries.len()).logs;
        let logs = self.items.get(self.selected).and_then(|item| item.logs.as_ref());
        let logs = logs.map(|logs| tail::tail(&logs.paths, logs.only_of, count)).unwrap_or_default();
        let view = View {
            entries: &entries,
            selected: self.selected,
            sort: self.sort,
            reversed: self.reversed,
            logs: &logs,
            width,
            height,
            colour: colours(),
        };
        terminal::show(&frame(&view))
    }
}

/// Sleeps until a key, a signal or the deadline: whether there are keys, and signals.
fn wait(terminal: &Terminal, deadline: Mono) -> io::Result<(bool, bool)> {
    let (stdin, signals) = (rustix::stdio::stdin(), terminal.signals());
    let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
    match poll(&mut fds, Some(&timespec(deadline, clock::now()))) {
        Ok(_) => Ok((!fds[0].revents().is_empty(), !fds[1].revents().is_empty())),
        Err(Errno::INTR) => Ok((false, true)),
        Err(e) => Err(e.into()),
    }
}

/// Reads what was typed; `false`: nobody can type any more.
fn read_keys(pending: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 256];
    match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
        Ok(0) | Err(Errno::IO) => Ok(false),
        Ok(n) => {
            pending.extend(buffer.iter().take(n));
            Ok(true)
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(true),
        Err(e) => Err(e.into()),
    }
}
