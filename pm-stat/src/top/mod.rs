//! `--top`: the table, live on a terminal, with the last log lines of the app that is selected.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use pm_common::app::home::Home;
use pm_common::cli::report::{Failure, OrFail as _, reason};
use pm_common::kernel::host::Host;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::{clock, terminal::size};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::look::Apps;
use crate::look::app::App;
use crate::look::samples::Samples;
use crate::look::usage::Meter;
use crate::once::colours;
use crate::show::row::{self, Row};
use crate::show::table::Entry;
use crate::show::text::Now;
use crate::show::traffic;

mod act;
mod keys;
mod on_key;
mod raw_mode;
mod screen;
mod tail;

use act::Doing;
use keys::Stroke;
use on_key::{Act, Effect, State};
use raw_mode::Terminal;
use screen::{View, frame};
use tail::LogLine;

/// How often the figures are measured anew.
const REFRESH: Span = Span::secs(1);
/// How long after an escape the rest of a sequence may come: what a terminal sends, it sends at once.
const ESCAPE: Span = Span::millis(100);

/// A row, and whose logs to show for it.
#[derive(Debug)]
struct Item {
    /// The name of the app's directory; that of the entry is made for the screen.
    name: String,
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
struct Top<'a> {
    home: Option<&'a Home>,
    named: &'a [OsString],
    items: Vec<Item>,
    state: State,
    /// The log of this app as it was when it was scrolled or searched: its lines stay where they are.
    held: Option<(String, Vec<LogLine>)>,
    doing: Option<Doing>,
    host: Option<Host>,
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
    let (items, state) = (Vec::new(), State::default());
    let mut top = Top { home, named, items, state, held: None, doing: None, host: None, meter };
    top.measure()?;
    let mut terminal = Terminal::take().or_fail(|| "cannot set the terminal".to_owned())?;
    match top.show_until_quit(&mut terminal) {
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

impl Top<'_> {
    fn show_until_quit(&mut self, terminal: &mut Terminal) -> Result<(), End> {
        let mut pending = Vec::new();
        let mut next = clock::now() + REFRESH;
        loop {
            self.show()?;
            let deadline = if pending.is_empty() { next } else { next.min(clock::now() + ESCAPE) };
            let woken = wait(terminal, self.doing.as_ref(), deadline)?;
            if woken.signal {
                terminal.obey()?;
            }
            if woken.keys && !read_keys(&mut pending)? {
                return Ok(());
            }
            for stroke in keys::take(&mut pending, !woken.keys) {
                if !self.press(stroke)? {
                    return Ok(());
                }
            }
            self.doing.iter_mut().for_each(Doing::look);
            if next <= clock::now() {
                self.measure()?;
                next = clock::now() + REFRESH;
            }
        }
    }

    fn measure(&mut self) -> Result<(), Failure> {
        let apps = Apps::known(self.home, self.named)?;
        let now = Now::read();
        let item = |row: &Row<'_>| Item {
            name: row.app.name.clone(),
            entry: Entry::of(row, now),
            logs: Logs::of(row.app, self.home),
        };
        let mut rows = row::rows(&apps.seen, &mut self.meter);
        traffic::add(&mut rows);
        let items = rows.iter().map(item).collect();
        self.meter.samples.turn();
        self.host = Host::look();
        self.exchange(items);
        Ok(())
    }

    /// Takes these items for the old ones; the same one stays selected, if it is still there.
    fn exchange(&mut self, items: Vec<Item>) {
        let key = |item: &Item| (item.name.clone(), item.entry.slot, item.entry.generation);
        let selected = self.items.get(self.state.selected).map(key);
        self.items = items;
        screen::sort(&mut self.items, |item| &item.entry, self.state.sort, self.state.reversed);
        let at = selected.and_then(|selected| {
            // Its slot's next worker is the next best, and then any of its app.
            let slot = |item: &Item| (&item.name, item.entry.slot) == (&selected.0, selected.1);
            let same = self.items.iter().position(|item| key(item) == selected);
            let next = same.or_else(|| self.items.iter().position(slot));
            next.or_else(|| self.items.iter().position(|item| item.name == selected.0))
        });
        self.state.selected = at.unwrap_or(self.state.selected).min(self.items.len().saturating_sub(1));
    }

    /// Does what the stroke says; `false`: it ends here.
    fn press(&mut self, stroke: Stroke) -> Result<bool, Failure> {
        if self.doing.as_ref().is_some_and(Doing::has_ended) {
            self.doing = None;
        }
        let log = self.held().unwrap_or_else(|| self.log(usize::MAX));
        let apps: Vec<_> = self.items.iter().map(|item| item.name.clone()).collect();
        let apps: Vec<_> = apps.iter().map(String::as_str).collect();
        let texts: Vec<_> = log.iter().map(|line| line.text.as_str()).collect();
        let effect = self.state.press(stroke, &apps, &texts);
        let app = self.selected().map(|item| item.name.clone());
        let holds = self.state.scrolled > 0 || !self.state.pattern.is_empty();
        self.held = app.filter(|_| holds).map(|app| (app, log));
        match effect {
            None => {}
            Some(Effect::Quit) => return Ok(false),
            Some(Effect::Sort) => {
                let items = std::mem::take(&mut self.items);
                let selected = self.state.selected;
                self.exchange(items);
                self.state.selected = selected;
            }
            Some(Effect::Do(act, app)) => self.begin(act, &app)?,
        }
        Ok(true)
    }

    fn begin(&mut self, act: Act, app: &str) -> Result<(), Failure> {
        // What it is now, not a second ago.
        let apps = Apps::look(self.home, &[app.into()])?;
        self.doing = apps.seen.first().map(|app| Doing::begin(act, app));
        Ok(())
    }

    fn selected(&self) -> Option<&Item> {
        self.items.get(self.state.selected)
    }

    /// The log that is held, if it is that of the selected app.
    fn held(&self) -> Option<Vec<LogLine>> {
        let (app, log) = self.held.as_ref()?;
        self.selected().filter(|item| item.name == *app).map(|_| log.clone())
    }

    /// The last lines of the selected app's logs.
    fn log(&self, count: usize) -> Vec<LogLine> {
        let logs = self.selected().and_then(|item| item.logs.as_ref());
        logs.map(|logs| tail::tail(&logs.paths, logs.only_of, count)).unwrap_or_default()
    }

    fn show(&self) -> io::Result<()> {
        let (width, height) = size(rustix::stdio::stdout()).unwrap_or((80, 24));
        let entries: Vec<_> = self.items.iter().map(|item| item.entry.clone()).collect();
        let said = self.doing.as_ref().map(Doing::lines).unwrap_or_default();
        let held = self.held();
        let mut view = View {
            entries: &entries,
            state: &self.state,
            logs: &[],
            held: held.as_ref().map(Vec::len),
            said: &said,
            host: self.host,
            width,
            height,
            colour: colours(),
        };
        let count = view.panes().logs;
        let logs = match held {
            None => self.log(count),
            Some(mut log) => {
                log.truncate(log.len().saturating_sub(self.state.scrolled));
                log.split_off(log.len().saturating_sub(count))
            }
        };
        view.logs = &logs;
        raw_mode::show(&frame(&view))
    }
}

/// What has ended a sleep.
struct Woken {
    keys: bool,
    signal: bool,
}

/// Sleeps until a key, a signal, something of what is being done, or the deadline.
fn wait(terminal: &Terminal, doing: Option<&Doing>, deadline: Mono) -> io::Result<Woken> {
    let (stdin, signals) = (rustix::stdio::stdin(), terminal.signals());
    let mut fds = vec![PollFd::new(&stdin, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
    fds.extend(doing.into_iter().flat_map(Doing::fds).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    let ready = |fds: &[PollFd<'_>], at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
    match poll(&mut fds, Some(&clock::until(deadline))) {
        Ok(_) => Ok(Woken { keys: ready(&fds, 0), signal: ready(&fds, 1) }),
        Err(Errno::INTR) => Ok(Woken { keys: false, signal: true }),
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
