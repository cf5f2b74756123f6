//! The status file: what the state machine and the tool know, as lines, written anew when they have changed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::err_log::ErrLog;
use super::moments::Moments;
use super::pace::Pace;
use super::processes::Process;
use super::{Adapter, Listens};
use crate::app::home::{self, AppDir};
use crate::app::status::Id;
use crate::app::status::{
    Last, RollReport, RollRunning, SET_TIME, StatusFile, SupervisorLine, SupervisorState, WorkerLine,
};
use crate::cli::report;
use crate::kernel::procfs;
use crate::policy::WorkerId;
use crate::policy::supervisor::{Machine, RollView, View};
use crate::policy::time::{Mono, Span};
use crate::sys::clock;

/// How long after a disk was full it is looked whether it still is.
const AGAIN: Span = Span::secs(2);

/// No news waits longer than this for the next time.
const LONGEST_REST: Span = Span::millis(250);

/// Writes the status file of this supervisor.
#[derive(Debug)]
pub struct Publisher {
    tool: &'static str,
    /// The app's directory; its lock, where we are the outermost supervisor, is held as long as this lives.
    home: AppDir,
    file: StatusFile,
    pid: i32,
    start: u64,
    /// The first in our line of succession, where that is another one.
    first: Option<Id>,
    boot: Option<String>,
    moments: Moments,
    /// The supervisor's state, and since when it is in it.
    state: (SupervisorState, Mono),
    err_log: Option<ErrLog>,
    /// Of slots whose workers write to files of their own: what the newest has written.
    slot_logs: BTreeMap<u32, ErrLog>,
    /// A person was told that a worker could not run beside another.
    second_said: bool,
    /// What the worker that failed in the last roll wrote last.
    last_words: Vec<String>,
    /// The disk was full: when it is tried again, or an app at rest would show an old state for ever.
    again: Option<Mono>,
    /// What is announced is written at once, other news at this pace.
    pace: Pace,
}

impl Publisher {
    /// A publisher into the app's directory, if it has one.
    #[must_use]
    pub fn new(tool: &'static str, home: AppDir) -> Self {
        home.forget_moved();
        let (file, err_log) = (StatusFile::new(home.dir(), tool), ErrLog::of(home.dir()));
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self {
            tool,
            home,
            file,
            pid,
            start: procfs::start_time(pid).unwrap_or(0),
            first: None,
            boot: procfs::boot_id(),
            moments: Moments::default(),
            state: (SupervisorState::Starting, clock::now()),
            err_log,
            second_said: false,
            slot_logs: BTreeMap::new(),
            last_words: Vec::new(),
            again: None,
            pace: Pace::new(LONGEST_REST),
        }
    }

    /// When to write: as soon as the rest is over if there is news, else when what could not be written is to be tried
    /// again.
    pub(super) fn deadline(&self, news: bool) -> Option<Mono> {
        news.then(|| self.pace.until()).into_iter().chain(self.again).min()
    }

    pub(super) fn is_due(&self, news: bool) -> bool {
        self.deadline(news).is_some_and(|at| at <= clock::now())
    }

    pub(super) fn publish(
        &mut self,
        machine: &Machine,
        processes: &BTreeMap<WorkerId, Process>,
        adapter: &impl Adapter,
        set_time: Option<u64>,
    ) {
        if self.home.dir().is_none() {
            return;
        }
        self.home.keep_lock();
        let begun = clock::now();
        let (views, mut listening) = (machine.snapshot(), adapter.listening());
        self.moments.turn(clock::offsets());
        let workers: Vec<WorkerLine> = views
            .iter()
            .map(|view| self.worker(view, processes, listening.remove(&view.id).unwrap_or_default()))
            .collect();
        let state = machine.state();
        let mut supervisor = self.supervisor(machine, state, &workers);
        if adapter.is_sticky() {
            supervisor.policy.insert("sticky".to_owned(), true.into());
        }
        supervisor.policy.extend(set_time.map(|at| (SET_TIME.to_owned(), at.into())));
        self.again = (!self.file.write(&supervisor, &workers)).then(|| clock::now() + AGAIN);
        self.pace.done(begun);
    }

    /// The end: a stop leaves nothing; that we gave up, or how a worker ended by itself, is left for those who look.
    pub(super) fn end(&mut self, machine: &Machine, gave_up: bool) {
        let views = machine.snapshot();
        let by_itself = |view: &View| view.last.is_some_and(|last| last.why.is_its_own());
        // Of what was not started as a service nobody asks.
        let is_service = || self.home.dir().is_some_and(|dir| dir.join(home::START).exists());
        let words = match gave_up {
            true => Some(SupervisorState::GaveUp),
            false => (views.iter().any(by_itself) && is_service()).then_some(SupervisorState::Ended),
        };
        if let Some(state) = words {
            self.moments.turn(clock::offsets());
            let workers: Vec<WorkerLine> =
                views.iter().map(|view| self.worker(view, &BTreeMap::new(), Listens::default())).collect();
            let supervisor = self.supervisor(machine, state, &workers);
            self.file.write(&supervisor, &workers);
            self.file.leave();
        }
        self.file.remove();
    }

    /// The app's directory, if it has one.
    pub(super) fn dir(&self) -> Option<&std::path::Path> {
        self.home.dir()
    }

    /// The app's directory, as children find it in PM_DIR; empty if there is none.
    pub(super) fn directory(&self) -> &[u8] {
        self.home.dir().map_or(&[], |dir| dir.as_os_str().as_encoded_bytes())
    }

    /// The link above that holds the app's lock for us.
    pub(super) fn lock_holder(&self) -> Option<i32> {
        self.home.lock_holder()
    }

    /// The first in our line of succession, whose counts go on.
    pub(super) fn first(&self) -> Id {
        self.first.unwrap_or(Id { pid: self.pid, start: self.start })
    }

    /// We succeed a supervisor that was killed, and go on with what this one began to count.
    pub(super) fn succeed(&mut self, first: Id) {
        self.first = Some(first);
    }

    /// Takes the app's name and pid file over from a link of the chain that has ended.
    pub(super) fn take_over(&mut self, ended: i32) {
        let (name, pid) = (self.home.name().to_owned(), self.pid);
        if self.home.take_over() {
            report::warning(format_args!(
                "the supervisor above has ended, going on without it app={name} ended={ended}; to stop it: kill {pid}"
            ));
        } else {
            report::warning(format_args!(
                "the supervisor above has ended and its name is taken app={name} ended={ended}; to stop this: kill {pid}"
            ));
        }
    }

    /// The roll of this number begins; whether its release may listen elsewhere.
    pub(super) fn roll_begins(&mut self, number: u64) -> bool {
        self.second_said = false;
        self.last_words.clear();
        if let Some(log) = &mut self.err_log {
            log.mark();
        }
        self.home.take_moved(number)
    }

    /// A worker of this slot starts, and its errors go to this file.
    pub(super) fn errors_go_to(&mut self, slot: u32, file: PathBuf) {
        self.slot_logs.insert(slot, ErrLog::from_now(file));
    }

    /// What a worker of this slot that starts now will write to stderr.
    pub(super) fn errors_from_now(&self, slot: u32) -> Option<ErrLog> {
        self.slot_logs.get(&slot).or(self.err_log.as_ref()).map(ErrLog::again_from_now)
    }

    /// Whether it may be said that a worker could not run beside another, and it was not since the last reload began.
    pub(super) fn says_second(&mut self) -> bool {
        !std::mem::replace(&mut self.second_said, true)
    }

    pub(super) fn roll_aborted(&mut self, slot: u32) {
        self.last_words = self.last_errors(Some(slot));
    }

    /// The last lines of the errors of this slot's workers, where they are kept.
    pub(super) fn last_errors(&self, slot: Option<u32>) -> Vec<String> {
        let log = slot.and_then(|slot| self.slot_logs.get(&slot)).or(self.err_log.as_ref());
        log.map(ErrLog::last_lines).unwrap_or_default()
    }

    /// The app's name and directory, as variables.
    pub(super) fn env_of_app(&self) -> Vec<(&'static str, OsString)> {
        let dir = self.home.dir().map(|dir| ("PM_DIR", dir.as_os_str().to_owned()));
        [("PM_APP", self.home.name().into())].into_iter().chain(dir).collect()
    }

    fn roll(&mut self, view: RollView) -> RollReport {
        RollReport {
            requested: view.requested,
            started: view.started,
            ended: view.ended,
            ok: view.ok,
            reason: view.reason,
            slot: view.slot,
            then: view.then,
            stderr: if view.ok == Some(false) { self.last_words.clone() } else { Vec::new() },
            running: view.running.map(|running| RollRunning {
                done: running.done,
                of: running.of,
                since_ms: self.wall_ms(running.since),
                slot: running.slot,
                awaiting: running.awaiting,
            }),
        }
    }

    fn supervisor(&mut self, machine: &Machine, state: SupervisorState, workers: &[WorkerLine]) -> SupervisorLine {
        if state != self.state.0 {
            self.state = (state, clock::now());
        }
        let (wanted, ready) = machine.counts();
        let mut addresses: Vec<String> = workers.iter().flat_map(|w| w.addresses.iter().cloned()).collect();
        addresses.sort();
        addresses.dedup();
        SupervisorLine {
            app: self.home.name().to_owned(),
            tool: self.tool.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: self.pid,
            start: self.start,
            first: self.first,
            boot: self.boot.clone(),
            state,
            since_ms: self.wall_ms(self.state.1),
            workers: wanted,
            ready,
            policy: policy(machine),
            addresses,
            roll: Some(self.roll(machine.roll())),
        }
    }

    fn worker(&mut self, view: &View, processes: &BTreeMap<WorkerId, Process>, listens: Listens) -> WorkerLine {
        let process = view.started.and_then(|_| processes.get(&view.id));
        WorkerLine {
            pid: process.map(|p| p.child.pid),
            start: process.and_then(|p| p.start),
            ready_by: view.ready_by.map(|by| by.word().to_owned()),
            since_ms: self.wall_ms(view.since),
            restarts: view.restarts,
            last: view.last.map(|last| Last {
                ended: last.exit.map(Into::into),
                why: last.why.word().to_owned(),
                at_ms: self.wall_ms(last.at),
                at_boot_ms: Some(self.moments.of(last.at).boot_ms),
            }),
            addresses: listens.addresses,
            adapter: listens.by.map(str::to_owned),
            sockets: listens.sockets,
            refused: view.refused.clone(),
            until_ms: view.until.map(|until| self.wall_ms(until)),
            supervises: view.supervises,
            ..WorkerLine::new(view.id.slot, view.id.generation, view.state)
        }
    }

    fn wall_ms(&mut self, at: Mono) -> u64 {
        self.moments.of(at).wall_ms
    }
}

fn policy(machine: &Machine) -> Map<String, Value> {
    let (mut policy, shape) = (json!(machine.rules()), machine.shape());
    // For those who wait: how long a step of a start or a reload may take.
    policy["ready_timeout_ns"] = shape.ready.timeout.0.into();
    policy["listen_ns"] = shape.ready.listen_time().map(|span| span.0).into();
    policy["ready"] = shape.ready.evidence.word().into();
    policy["soak_ns"] = shape.roll.soak.0.into();
    policy["overlap"] = shape.overlap.into();
    policy["shares"] = shape.shares.into();
    if let Value::Object(policy) = policy { policy } else { Map::new() }
}
