//! What the one above us (systemd, podman, a pm supervisor) is told, in the order that sd_notify(3) asks for: READY=1
//! once; around each reload RELOADING=1 with its time and READY=1; STOPPING=1; a STATUS= line for people; and, where a
//! watchdog waits for it, WATCHDOG=1 again and again.

use std::ffi::OsString;
use std::io;
use std::mem::discriminant;

use super::processes::own_pid;
use crate::cli::report;
use crate::policy::WorkerId;
use crate::policy::states::SupervisorState;
use crate::policy::supervisor::Machine;
use crate::policy::time::{Mono, Span};
use crate::policy::watchdog::Watchdog;
use crate::supervise::notify::Assignment;
use crate::supervise::notify_send::Upward;
use crate::sys::clock;

/// The way up, and what was said last.
#[derive(Debug)]
pub(super) struct Manager {
    way: Option<Upward>,
    ready: bool,
    reloading: bool,
    status: String,
    watchdog: Option<Watchdog>,
    /// What a full queue has not taken: of each kind the latest, in the order in which they were said.
    unsaid: Vec<Assignment>,
    /// When to say that again.
    again: Option<Mono>,
}

/// Between two attempts at a queue that was full.
const AGAIN: Span = Span::millis(20);
/// For room for a last word.
const PATIENCE: Span = Span::secs(1);

impl Manager {
    /// The one that our environment names. The word for what we are goes first: from then on, what comes is taken for ours.
    pub(super) fn greet(kind: &str) -> Self {
        let way = Upward::from_env().unwrap_or_else(|taken| {
            report::warning(taken);
            None
        });
        let watchdog = way.as_ref().and_then(|_| watchdog());
        let (status, unsaid) = (String::new(), Vec::new());
        let mut manager = Self { way, ready: false, reloading: false, status, watchdog, unsaid, again: None };
        manager.tell(&[Assignment::PmSupervisor(kind.to_owned())]);
        manager
    }

    pub(super) fn tell(&mut self, lines: &[Assignment]) {
        for line in lines {
            self.unsaid.retain(|said| discriminant(said) != discriminant(line));
            self.unsaid.push(line.clone());
        }
        self.say_unsaid(clock::now());
    }

    /// Says what is left to say, as we end: a full queue is waited for a little.
    pub(super) fn end(&self) {
        if let Some(way) = self.way.as_ref().filter(|_| !self.unsaid.is_empty()) {
            way.send_last(&self.unsaid, PATIENCE.as_duration());
        }
    }

    /// One word a datagram: of RELOADING=1 and READY=1 in one it could not be told which was last.
    fn say_unsaid(&mut self, now: Mono) {
        let full = |word: &Assignment| {
            let sent = self.way.as_ref().map(|way| way.try_send(std::slice::from_ref(word)));
            matches!(sent, Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock)
        };
        let kept = self.unsaid.iter().position(full).unwrap_or(self.unsaid.len());
        self.unsaid.drain(..kept);
        self.again = (!self.unsaid.is_empty()).then(|| now + AGAIN);
    }

    pub(super) fn ready(&mut self) {
        self.ready = true;
        self.tell(&[Assignment::Ready]);
    }

    /// A reload begins. One before we were ready is a part of the start.
    pub(super) fn reloads(&mut self) {
        if self.ready && !self.reloading {
            self.reloading = true;
            self.tell(&[Assignment::Reloading]);
        }
    }

    /// Tells that the reload has ended, well or not: what serves now goes on serving.
    pub(super) fn reloaded(&mut self) {
        if std::mem::take(&mut self.reloading) {
            self.tell(&[Assignment::Ready]);
        }
    }

    /// Passes on what a supervisor below says of itself.
    pub(super) fn pass_on(&mut self, said: &Assignment) {
        match said {
            Assignment::Reloading => self.reloads(),
            Assignment::Ready => self.reloaded(),
            Assignment::Status(text) => self.say(text.clone()),
            _ => {}
        }
    }

    /// When the watchdog is to be told next that we live, or something is to be said again.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.watchdog.as_ref().map(Watchdog::deadline).into_iter().chain(self.again).min()
    }

    /// Tells the watchdog that we live, if it is time: our loop has turned. And says again what nobody took.
    pub(super) fn live(&mut self, now: Mono) {
        if self.again.is_some_and(|at| at <= now) {
            self.say_unsaid(now);
        }
        if self.watchdog.as_mut().is_some_and(|watchdog| watchdog.speaks(now)) {
            self.tell(&[Assignment::Watchdog]);
        }
    }

    /// A child has said that it lives.
    pub(super) fn lives_below(&mut self, id: WorkerId) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.lives(id, clock::now());
        }
    }

    /// What may have said so has ended.
    pub(super) fn ended_below(&mut self, id: WorkerId) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.ended(id);
        }
    }

    /// Has a child that may be a supervisor say that it lives. Without WATCHDOG_PID: by `sudo` or a shell it gets
    /// another pid than the one that we start.
    pub(super) fn watchdog_for_child(&self) -> Option<(OsString, OsString)> {
        let usec = self.watchdog.as_ref()?.interval().as_micros();
        Some(("WATCHDOG_USEC".into(), usec.to_string().into()))
    }

    /// The line for people, of workers of our own.
    pub(super) fn say_counts(&mut self, machine: &Machine) {
        let (wanted, ready) = machine.counts();
        let roll = machine.roll();
        let ready = format!("{ready} of {wanted} workers ready");
        let text = match roll.running {
            Some(running) => format!("{ready}; reload: {} of {} replaced", running.done, running.of),
            // The manager hears that the reload has ended, and has no word for one that failed: people have.
            None if roll.ok == Some(false) => format!("reload aborted: {}; {ready}", roll.reason),
            None => ready.clone(),
        };
        self.say(match machine.state() {
            SupervisorState::Stopping if machine.delays_stop() => format!("stopping after the stop delay; {ready}"),
            SupervisorState::Stopping => "stopping".to_owned(),
            _ => text,
        });
    }

    fn say(&mut self, text: String) {
        if self.way.is_some() && self.status != text {
            self.tell(&[Assignment::Status(text.clone())]);
            self.status = text;
        }
    }
}

/// The one that our environment tells of.
fn watchdog() -> Option<Watchdog> {
    let text = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let (usec, pid) = (text("WATCHDOG_USEC"), text("WATCHDOG_PID"));
    Watchdog::of(usec.as_deref(), pid.as_deref(), own_pid(), clock::now())
}
