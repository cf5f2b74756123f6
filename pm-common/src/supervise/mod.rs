//! The loop of every supervisor: waits for processes, signals and messages, tells the state machine, does what it says.
//!
//! One thread, one poll(2), one deadline. A tool adds what is its own through [`Adapter`]: pm-cluster its sockets and
//! Node's protocol; programs that share nothing have [`Alone`].
//!
//! `perform` does what the machine says; `on_notify` (`policy::trusted_sender`: whom) and `notify` are what workers say,
//! `notify_send` and `service_manager` what we do; `processes`, `offspring` and `worker_memory` are about those that run,
//! `release` and `worker_env` what they are started from, `event_hooks` what people have run as something happens, `own_logs` what keeps logs small,
//! `cron_timer` and `file_watch` what has all replaced (when, `policy::cron_schedule` decides), `message_bus` what apps say and are said. `store`, `journal`, `succession` outlive us.

mod adapter;
mod alone;
mod at_work;
mod cron_timer;
pub mod err_log;
mod event_hooks;
mod file_watch;
pub mod journal;
pub mod message_bus;
mod moments;
pub mod notify;
pub mod notify_send;
mod offspring;
mod on_notify;
mod on_signals;
mod outputs;
mod own_logs;
mod pace;
mod perform;
mod poll;
mod processes;
mod publish;
pub mod release;
mod service_manager;
mod single_instance;
mod stdin;
pub mod store;
pub mod succession;
pub mod worker_env;
mod worker_memory;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;

use crate::cli::report::{self, Failure, OrFail};
use crate::kernel::cgroup;
use crate::kernel::procfs::Proc;
use crate::policy::WorkerId;
use crate::policy::oom::OomKills;
use crate::policy::supervisor::{Action, Event, Machine};
use crate::policy::time::{Mono, Span};
use crate::supervise::release::{Origin, Releases};
use crate::sys::clock;
use crate::sys::signal_events::Signals;

pub use adapter::{Adapter, Listens, Source, Turn, WorkerSetup};
pub use alone::Alone;
use cron_timer::CronTimer;
use event_hooks::Hooks;
use file_watch::Watching;
use message_bus::MessageBus;
use offspring::Orphans;
use on_notify::Hearing;
pub use outputs::Outputs;
use own_logs::LogRotation;
use pace::Pace;
use poll::Token;
pub use processes::Scope;
use processes::{Inherited, Process};
pub use publish::Publisher;
use service_manager::Manager;
use stdin::Input;
use store::Store;
pub use succession::Succession;

/// No listener is left alone for longer, however much else there is to do.
const LONGEST_REST: Span = Span::millis(20);

/// A wait that only looks.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A supervisor: the machine, its processes, and the tool's adapter.
#[derive(Debug)]
pub struct Driver<A> {
    machine: Machine,
    adapter: A,
    argv: Vec<OsString>,
    releases: Releases,
    scope: Scope,
    processes: BTreeMap<WorkerId, Process>,
    events: VecDeque<Event>,
    signals: Signals,
    /// Whom we tell how we are.
    manager: Manager,
    /// The link that holds the app's lock for us, and its pid.
    lock_holder: Option<(OwnedFd, i32)>,
    /// When all workers are replaced by the clock.
    set_times: Option<CronTimer>,
    /// The files whose change replaces them.
    watching: Watching,
    hooks: Hooks,
    /// Of a service: its log files.
    logs: Option<LogRotation>,
    input: Input,
    outputs: Outputs,
    publisher: Publisher,
    /// Who hears, and says, what goes over the channels of the workers.
    bus: MessageBus,
    succession: Succession,
    /// What is kept for the next child.
    store: Store,
    /// Something has happened since the status was written.
    news: bool,
    /// How often what there may be much of is looked at.
    many_pace: Pace,
    /// A person was told that there are more descriptors than may be waited for.
    too_many: bool,
    proc: Proc,
    oom_kills: OomKills,
    inherited: Inherited,
    hearing: Hearing,
    /// The memory of the largest worker as it was seen last, in bytes.
    largest: u64,
    largest_pace: Pace,
    /// In this turn it was seen that workers which have ended have left nothing.
    all_gone: bool,
    orphans: Orphans,
    code: Option<u8>,
    gave_up: bool,
}

/// What a supervisor needs to begin.
#[derive(Debug)]
pub struct Setup<A> {
    /// The state machine.
    pub machine: Machine,
    /// The tool's own part.
    pub adapter: A,
    /// The rest of the chain: program and arguments.
    pub argv: Vec<OsString>,
    /// Where releases come from.
    pub origin: Origin,
    /// What of a worker must have ended before it has.
    pub scope: Scope,
    /// Workers read what we were given to read; else nothing.
    pub reads: bool,
    /// Where the workers' output goes.
    pub outputs: Outputs,
    /// Where the status goes.
    pub publisher: Publisher,
    /// What comes from a supervisor before this one, and goes to the next.
    pub succession: Succession,
    /// The word for X_PM_SUPERVISOR: cluster or restart.
    pub kind: &'static str,
}

impl<A: Adapter> Driver<A> {
    /// Becomes the supervisor of this process: from here on signals are handled and orphans are adopted.
    ///
    /// # Errors
    /// The first release cannot be resolved; the kernel refuses a pipe, a handler or the adoption of orphans.
    pub fn begin(mut setup: Setup<A>) -> Result<Self, Failure> {
        let mut proc = Proc::default();
        let inherited = Inherited::look(&mut proc);
        crate::sys::pidfd::can_watch().or_fail(|| "cannot watch processes".to_owned())?;
        let releases = setup.succession.take_over(&mut setup.machine, &mut setup.publisher, setup.origin)?;
        // One that whoever started us talks to us over is not for our children.
        let channel = std::env::var("NODE_CHANNEL_FD").ok().and_then(|number| number.parse().ok());
        channel.into_iter().for_each(crate::sys::listen_fds::keep_from_children);
        let signals = Signals::install().or_fail(|| "cannot handle signals".to_owned())?;
        crate::sys::fd_limit::raise_descriptors();
        crate::sys::process::become_subreaper().or_fail(|| "cannot adopt orphans".to_owned())?;
        let manager = Manager::greet(setup.kind);
        let logs = LogRotation::begin(setup.publisher.dir(), setup.machine.rules());
        let set_times = CronTimer::new(&setup.machine.rules().cron).or_fail(|| "cannot have a timer".to_owned())?;
        Ok(Self {
            machine: setup.machine,
            adapter: setup.adapter,
            argv: setup.argv,
            releases,
            scope: setup.scope,
            processes: BTreeMap::new(),
            events: VecDeque::from([Event::Start]),
            signals,
            manager,
            lock_holder: setup.publisher.lock_holder().and_then(|pid| Some((crate::sys::pidfd::open(pid).ok()?, pid))),
            set_times,
            watching: Watching::default(),
            hooks: Hooks::default(),
            logs,
            input: if setup.reads { Input::ours() } else { Input::Nothing },
            outputs: setup.outputs,
            publisher: setup.publisher,
            bus: MessageBus::default(),
            succession: setup.succession,
            store: Store::default(),
            news: false,
            many_pace: Pace::new(LONGEST_REST),
            too_many: false,
            proc,
            oom_kills: OomKills::new(cgroup::oom_kills()),
            inherited,
            hearing: Hearing::new(),
            largest: 0,
            largest_pace: Pace::new(Span::secs(2)),
            all_gone: false,
            orphans: Orphans::default(),
            code: None,
            gave_up: false,
        })
    }

    /// Runs until the machine says that it is over; gives the exit code.
    ///
    /// # Errors
    /// poll(2) itself fails.
    pub fn run(mut self) -> Result<u8, Failure> {
        loop {
            self.keep_watching();
            self.open_bus();
            self.take_events();
            self.adapter.settle(&mut self.events);
            if !self.events.is_empty() {
                continue;
            }
            self.pass_messages();
            self.end_late_hook();
            self.look_at_logs();
            if let Some(code) = self.code
                && !self.waits_for_hooks()
            {
                self.bus.end();
                self.adapter.finish();
                self.publisher.end(&self.machine, self.gave_up);
                self.manager.end();
                self.succession.end();
                return Ok(code);
            }
            // Most of what wakes us changes nothing: what flows through us, or a worker that tells its mood.
            if self.publisher.is_due(self.news) {
                self.news = false;
                self.publish();
                self.say_status();
            }
            let due = self.wait()?;
            let woken = clock::now();
            self.all_gone = false;
            self.orphans.turn();
            for token in due {
                self.look(token);
            }
            self.look_again();
            self.take_events();
            // Last: what came in time must be known before it is judged too late. And what was not due when we looked for
            // it waits for the next look: this turn may have taken long.
            if self.machine_deadline().is_some_and(|at| at <= woken) {
                self.tell_at(woken, Event::Tick);
            }
            self.manager.live(clock::now());
        }
    }

    /// When the machine is to be told the time; once it has finished, no more.
    fn machine_deadline(&self) -> Option<Mono> {
        self.machine.deadline().filter(|_| self.code.is_none())
    }

    fn take_events(&mut self) {
        while let Some(event) = self.events.pop_front() {
            self.tell_at(clock::now(), event);
        }
    }

    fn tell_at(&mut self, now: Mono, event: Event) {
        self.news = true;
        let mut actions = Vec::new();
        self.machine.handle(now, event, &mut actions);
        // Before any worker closes its own: a client that comes now is refused, and not left to wait for nobody.
        let begins = actions.iter().any(|action| matches!(action, Action::AnnounceStop(_)));
        if begins && !self.machine.delays_stop() {
            self.adapter.finish();
        }
        for action in actions {
            self.perform(action);
        }
    }

    /// Waits for the next thing to happen; gives what is ready, in the order to look at it.
    fn wait(&mut self) -> Result<Vec<Token<A::Token>>, Failure> {
        // A worker that opens a thousand addresses has us here twice for each.
        if !self.many_pace.is_over() {
            let (tokens, mut fds) = self.poll_set();
            let (_, due) = poll::due(tokens, &mut fds, Some(&NOW))?;
            if !due.is_empty() {
                return Ok(due);
            }
        }
        let (mut pace, begun) = (self.many_pace, clock::now());
        let (tokens, mut fds) = self.whole_poll_set();
        pace.done(begun);
        let deadlines = [
            self.machine_deadline(),
            self.hooks.deadline(),
            self.logs.as_ref().and_then(LogRotation::deadline),
            self.adapter.deadline(),
            self.publisher.deadline(self.news),
            self.manager.deadline(),
        ];
        let timeout = deadlines.into_iter().flatten().min().map(clock::until);
        let (fits, due) = poll::due(tokens, &mut fds, timeout.as_ref())?;
        self.many_pace = pace;
        if !fits && !std::mem::replace(&mut self.too_many, true) {
            report::warning(
                "the limit on descriptors is below what is waited for, so that all is late; raise it: prlimit",
            );
        }
        Ok(due)
    }

    fn look(&mut self, token: Token<A::Token>) {
        match token {
            Token::Notify(id) => {
                self.read_notification(id);
            }
            Token::Below(id) => self.supervisor_below_ended(id),
            Token::Said(token) | Token::Rest(token) => self.adapter.ready(token, &mut self.events),
            Token::Exit(id) => self.leader_ended(id),
            Token::Leftovers(id) => self.look_at_leftovers(id),
            Token::Above => {
                if let Some((_, pid)) = self.lock_holder.take() {
                    self.publisher.take_over(pid);
                    self.log_was_written();
                }
            }
            Token::SetTime => self.look_at_the_clock(),
            Token::Files => self.look_at_files(),
            Token::Hook => self.hook_ended(),
            Token::LogRotated => self.log_was_rotated(),
            Token::Signals => self.read_signals(),
            Token::Bus(token) => self.look_at_bus(token),
        }
        // In turn, not in a heap at the end: what this one says must be known before the next is looked at.
        self.take_events();
    }
}
