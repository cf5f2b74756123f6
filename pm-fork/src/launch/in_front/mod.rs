//! Several apps in front of one process, as a container wants them: all are its children, what they write goes to its outputs
//! line by line, and it ends when all have ended. As process 1, too: it reaps what is left to it.
//!
//! TERM, INT and QUIT go to all apps, each of which drains, but to one that others start after (`order`) once these have ended; a
//! second one goes to all at once. HUP reloads all, USR1 has all reopen their logs. What another shell does with the apps is theirs: one that is stopped has ended, one that
//! is started again is waited for.

mod order;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use pm_common::app::home::{self, Turns};
use pm_common::app::wait::wait_for_any;
use pm_common::cli::report::{self, Failure, OrFail as _};
use pm_common::policy::exit::Exit;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::{clock, pidfd, process};
use serde_json::json;
use unicode_width::UnicodeWidthStr as _;

use crate::apps;
use crate::launch::child::launch;
use crate::launch::in_front::order::FrontOrder;
use crate::launch::patience::Until;
use crate::launch::service::{Echo, Service};

/// Signals that are for the apps, and the news of their ends.
const HANDLED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD];
/// How long the writers of the logs may take to write what the apps said last, and what apps left behind to end.
const LAST_LINES: Span = Span::secs(2);
/// How long what is below a supervisor that was killed may take to go on in its place.
const TAKES_OVER: Span = Span::secs(2);
/// When it is looked at again who runs, if nobody is there who could tell.
const LOOK_AGAIN: Span = Span::millis(100);
/// The colours of names, one after the other (ECMA-48, SGR).
const COLOURS: [u8; 6] = [36, 32, 33, 35, 34, 31];

/// How lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineForm {
    /// With the app's name in front, in colours on a terminal.
    Named,
    /// As they are.
    Raw,
    /// An object for each.
    Json,
}

/// One of the apps.
#[derive(Debug)]
struct Member {
    name: String,
    dir: PathBuf,
    /// Its outermost process, while it runs.
    pid: Option<i32>,
    /// Of one that another shell has started, or that has taken over from a supervisor which was killed: it may be no child
    /// of ours.
    pidfd: Option<OwnedFd>,
    /// Its outermost process was killed: what is below takes over.
    killed: bool,
}

/// The process in front.
#[derive(Debug)]
struct InFront {
    members: Vec<Member>,
    order: FrontOrder,
    form: LineForm,
    signals: SignalFd,
    /// What the apps were told to end by.
    stopped_by: Option<Signal>,
    /// The code of the app that was the first to fail.
    failed: Option<u8>,
    /// By then who takes over from a supervisor that was killed has done so.
    taken_over: Option<Mono>,
}

/// Runs the services until all have ended; the apps that are `stopped` belong to them once another shell starts them. The code: 0 after TERM and QUIT and when all have ended well, 130 after INT, else
/// that of the first which failed.
///
/// # Errors
/// 125: no place for apps, or the kernel refuses what it takes.
pub(crate) fn run(mut services: Vec<Service>, stopped: &[&str], form: LineForm) -> Result<u8, Failure> {
    process::become_subreaper().or_fail(|| "cannot adopt orphans".to_owned())?;
    let home = apps::home()?;
    let handled: SigSet = HANDLED.into_iter().collect();
    handled.thread_block().or_fail(|| "cannot block signals".to_owned())?;
    let signals = SignalFd::with_flags(&handled, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    let signals = signals.or_fail(|| "cannot receive signals".to_owned())?;
    label(&mut services, form);
    let (members, order) = (Vec::new(), FrontOrder::of(services));
    let mut front = InFront { members, order, form, signals, stopped_by: None, failed: None, taken_over: None };
    front.begin()?;
    for name in stopped {
        let dir = home.dir(name).unwrap_or_default();
        front.members.push(Member { name: (*name).to_owned(), dir, pid: None, pidfd: None, killed: false });
    }
    let turns = Turns::new(&home).ok();
    while front.goes_on(turns.as_ref())? {
        let until = front.taken_over.filter(|_| !front.runs());
        front.wait(turns.as_ref(), until)?;
    }
    front.finish()?;
    Ok(match front.stopped_by {
        Some(Signal::SIGINT) => 130,
        Some(_) => 0,
        None => front.failed.unwrap_or(0),
    })
}

/// What has become of an app, as an object on a line of its own.
fn event(app: &str, what: &str) -> String {
    let now = humantime::format_rfc3339_millis(std::time::SystemTime::now());
    format!("{}\n", json!({ "timestamp": now.to_string(), "type": "event", "app": app, "message": what }))
}

/// Gives each app its label, all of one width.
fn label(services: &mut [Service], form: LineForm) {
    let called = |service: &Service| service.start.called().to_owned();
    let widest = services.iter().map(|service| called(service).width()).max().unwrap_or(0);
    let is_terminal = rustix::termios::isatty(rustix::stdio::stdout()) && std::env::var_os("NO_COLOR").is_none();
    for (service, colour) in services.iter_mut().zip(COLOURS.into_iter().cycle()) {
        let name = called(service);
        let blanks = " ".repeat(widest - name.width());
        let label = match form {
            LineForm::Named if is_terminal => format!("\x1b[{colour}m{name}{blanks} |\x1b[0m "),
            LineForm::Named => format!("{name}{blanks} | "),
            LineForm::Raw | LineForm::Json => String::new(),
        };
        service.echo = Some(Echo { label, json: form == LineForm::Json });
    }
}

impl InFront {
    /// Whether the app was started: one that cannot be has failed, and the others run.
    fn start(&mut self, service: &Service) -> bool {
        match launch(service, Until::Started, || {}) {
            Ok(Some(started)) => {
                self.say(&started.name, &format!("started app '{}' pid={}", started.name, started.pid));
                let (name, dir, pid) = (started.name, started.dir, Some(started.pid));
                self.members.push(Member { name, dir, pid, pidfd: None, killed: false });
                true
            }
            Ok(None) => false,
            Err(Failure { code, message }) => {
                let name = &service.start.name;
                self.say(name, &format!("app '{name}' cannot be started: {message}"));
                self.failed.get_or_insert(code);
                false
            }
        }
    }

    /// Whether an app runs, or is about to.
    ///
    /// # Errors
    /// 125: one that others start after cannot be watched.
    fn goes_on(&mut self, turns: Option<&Turns>) -> Result<bool, Failure> {
        self.reap();
        self.begin()?;
        // In this order: who restarts an app has the turn until it runs.
        let is_restarted = self.members.iter().any(|member| turns.is_some_and(|turns| member.turn(turns).is_some()));
        self.find();
        self.taken_over = self.taken_over.filter(|until| clock::now() < *until);
        Ok(self.runs() || is_restarted || self.taken_over.is_some())
    }

    /// Finds the apps that another shell has started; what the others were told to end by is for them, too.
    fn find(&mut self) {
        for at in 0..self.members.len() {
            let Some(pid) = self.members[at].find() else { continue };
            let Member { name, killed, .. } = &self.members[at];
            let how = if *killed { "goes on" } else { "was started by another shell, its lines are in pm logs" };
            self.say(name, &format!("app '{name}' {how} pid={pid}"));
            if let Some(signal) = self.stopped_by {
                self.members[at].send(signal);
            }
        }
    }

    fn runs(&self) -> bool {
        self.members.iter().any(|member| member.pid.is_some())
    }

    /// Says what has become of an app, in the form of its lines.
    fn say(&self, app: &str, what: &str) {
        if self.form == LineForm::Json {
            report::print_to_stderr(&event(app, what));
        } else {
            report::info(what);
        }
    }

    /// Reaps all that has ended.
    fn reap(&mut self) {
        while let Some((pid, exit)) = process::reap_any() {
            if let Some(at) = self.members.iter().position(|member| member.pid == Some(pid)) {
                self.ended(at, Some(exit));
            }
        }
        for at in 0..self.members.len() {
            if self.members[at].pidfd.as_ref().is_some_and(|pidfd| !process::exists(pidfd.as_fd())) {
                self.ended(at, None);
            }
        }
    }

    /// `None`: it was another process's child.
    fn ended(&mut self, at: usize, exit: Option<Exit>) {
        let Some(member) = self.members.get_mut(at) else { return };
        (member.pid, member.pidfd) = (None, None);
        member.killed = matches!(exit, Some(Exit::Signal(_)));
        if member.killed {
            self.taken_over = Some(clock::now() + TAKES_OVER);
        }
        let how = exit.map_or_else(String::new, |exit| format!(": {exit}"));
        let name = member.name.clone();
        let left = self.members.iter().filter(|member| member.pid.is_some()).count();
        let left = if left == 0 { "none runs any more".to_owned() } else { format!("{left} of the others run") };
        self.say(&name, &format!("app '{name}' has ended{how}; {left}"));
        if let (Some(code @ 1..), None) = (exit.map(Exit::code), self.stopped_by) {
            self.failed.get_or_insert(code);
        }
        self.order.ended(&name, exit == Some(Exit::Code(0)));
        self.end_next();
    }

    /// Sleeps until a signal comes, or something that was waited for has ended; `until`: no longer.
    fn wait(&mut self, turns: Option<&Turns>, until: Option<Mono>) -> Result<(), Failure> {
        let turn = |member: &Member| pidfd::open(member.turn(turns?)?).ok();
        let others: Vec<OwnedFd> =
            if self.runs() { Vec::new() } else { self.members.iter().filter_map(turn).collect() };
        let own = self.members.iter().filter_map(|member| member.pidfd.as_ref());
        let mut fds = vec![self.signals.as_fd()];
        fds.extend(own.chain(&others).map(AsFd::as_fd));
        // Who had the turn a moment ago may be gone.
        let until = until.or_else(|| (!self.runs() && others.is_empty()).then(|| clock::now() + LOOK_AGAIN));
        let watched: Vec<_> = self.order.watched().map(|one| &one.watch).collect();
        wait_for_any(&watched, &fds, until).or_fail(|| "cannot wait for the apps".to_owned())?;
        while let Ok(Some(info)) = self.signals.read_signal() {
            // The terminal was closed: nobody is left to see a reload.
            let closed = info.ssi_code == libc::SI_KERNEL;
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) | Err(_) => {}
                Ok(Signal::SIGHUP) if closed => self.stop(Signal::SIGTERM),
                Ok(signal @ (Signal::SIGHUP | Signal::SIGUSR1)) => {
                    self.find();
                    self.pass_on(signal);
                }
                Ok(signal) => self.stop(signal),
            }
        }
        Ok(())
    }

    fn pass_on(&self, signal: Signal) {
        self.members.iter().for_each(|member| member.send(signal));
    }

    /// Waits for the last lines.
    fn finish(&mut self) -> Result<(), Failure> {
        let until = clock::now() + LAST_LINES;
        loop {
            self.reap();
            if !process::has_children() || until <= clock::now() {
                return Ok(());
            }
            self.wait(None, Some(until))?;
        }
    }
}

impl Member {
    fn send(&self, signal: Signal) {
        let Some(pid) = self.pid else { return };
        // It is a child that we have not reaped, or is known by its pidfd.
        let sent = match &self.pidfd {
            Some(pidfd) => process::signal(pidfd.as_fd(), signal as u8),
            None => process::signal_pid(pid, signal),
        };
        if let Err(error) = sent {
            let why = report::reason(&error);
            report::warning(format_args!("app '{}': cannot send {signal} to pid={pid}: {why}", self.name));
        }
    }

    fn turn(&self, turns: &Turns) -> Option<i32> {
        turns.whose(&self.name)
    }

    /// Finds the process of an app that another shell has started.
    fn find(&mut self) -> Option<i32> {
        let pid = home::holder(&self.dir).ok()??.filter(|_| self.pid.is_none())?;
        let pidfd = pidfd::open(pid).ok()?;
        // It may have ended, and another have its number.
        home::holder(&self.dir).ok().filter(|holder| *holder == Some(Some(pid)))?;
        (self.pid, self.pidfd) = (Some(pid), Some(pidfd));
        Some(pid)
    }
}
