//! An app that has been started and is waited for: when it serves, when it cannot be waited for any longer, and what is
//! said then.

use std::os::fd::OwnedFd;

use pm_common::app::status::{Ended, Status, SupervisorLine, WorkerLine, WorkerState, last_words};
use pm_common::app::wait::{Decision, Goal, Sight, WaitEnd, Watch};
use pm_common::cli::cron_pattern;
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::cli::shell::quoted;
use pm_common::kernel::procfs;
use pm_common::policy::exit::Exit;
use pm_common::policy::time::{Mono, Span};
use pm_common::policy::worker::{ReadyBy, Why};
use pm_common::sys::{clock, pidfd, process};

use crate::launch::running_service::Started;
use crate::launch::{failed, port_taken};

/// What the line of a start ends with, where nobody can tell yet.
const NOT_LISTENING: &str = "; not listening yet";

/// So many workers of a slot that ended before any was ready are reason enough to say so and go.
const TRIES: u64 = 3;
/// After one has ended nobody waits longer than this, from the start on, for more of them.
const FAILING: Span = Span::secs(2);

/// What serves nobody is watched until it has lived for so long, as the first worker of a reload is: there is nothing else
/// by which it could be told from one that is about to crash.
const SOAK: Span = Span::secs(1);

/// What serves nobody is watched at least for so long after it was loaded, however long that took.
const AFTER: Span = Span::millis(500);

/// An app that is waited for.
pub(super) struct Awaited {
    pub(super) started: Started,
    /// The name that it was to have.
    pub(super) name: String,
    pub(super) pidfd: OwnedFd,
    pub(super) watch: Watch,
    pub(super) decision: Decision,
    /// What was seen last.
    pub(super) sight: Sight,
    /// Since when its workers are known to be ready and to serve nobody.
    idle_since: Option<Mono>,
    /// Until when they are watched.
    watched_until: Option<Mono>,
    warned: bool,
    pub(super) since: Mono,
}

impl Awaited {
    /// # Errors
    /// The app's directory or its process cannot be watched.
    pub(super) fn new(started: Started, name: &str) -> Result<Self, Failure> {
        let watch = Watch::new(&started.dir).or_fail(|| format!("cannot watch {}", started.dir.display()))?;
        let pidfd = pidfd::open(started.pid).or_fail(|| format!("cannot watch process {}", started.pid))?;
        let decision = Decision::new(&started.name, Goal::Ready);
        let (sight, since) = (Sight::default(), clock::now());
        let name = name.to_owned();
        Ok(Self {
            started,
            name,
            pidfd,
            watch,
            decision,
            sight,
            idle_since: None,
            watched_until: None,
            warned: false,
            since,
        })
    }

    /// The code that its start comes to; `None`: wait on.
    pub(super) fn look(&mut self) -> Result<Option<u8>, Failure> {
        let dir = &self.started.dir;
        self.sight = self.watch.look().or_fail(|| format!("cannot watch {}", dir.display()))?;
        if let Some(exit) = process::reap(self.started.pid) {
            return Ok(Some(self.ended(exit)));
        }
        let idle = self.workers().any(is_idle);
        self.idle_since = self.idle_since.or(idle.then(clock::now));
        // A supervisor that gives up ends in a moment, and with it the chain: its code says more than that it did.
        if self.decision.look(&self.sight) == Some(WaitEnd::Reached) {
            let now = clock::now();
            // What was loaded since may listen in a moment.
            let loads = self.idle_since.is_some() && self.workers().any(WorkerLine::is_guess);
            if !loads {
                let lived = self.workers().filter(|worker| is_idle(worker)).map(|one| now + left(one)).max();
                let loaded = self.idle_since.filter(|_| lived.is_some()).map(|since| since + AFTER);
                self.watched_until = lived.max(loaded);
            }
            if !loads && self.watched_until.is_none_or(|until| until <= now) {
                let workers: Vec<_> = self.workers().collect();
                self.started.say(&self.evidence(), served(self.sight.acting(), &workers));
                return Ok(Some(0));
            }
        }
        if let Some(code) = self.waits_to_start_anew() {
            return Ok(Some(code));
        }
        if self.is_late() {
            return Ok(Some(self.goes_on()));
        }
        if self.keeps_failing() {
            return Ok(Some(self.hopeless()));
        }
        self.warn_of_a_failed_start();
        Ok(None)
    }

    /// When it is to be looked at again, whatever happens.
    pub(super) fn next_look(&self) -> Option<Mono> {
        let now = clock::now();
        self.listens_by().into_iter().chain(self.watched_until).filter(|at| *at > now).min()
    }

    /// Until when it is waited for that it listens, where that is not for as long as it takes. A little longer than its
    /// supervisor waits, which knows more.
    fn listens_by(&self) -> Option<Mono> {
        let time = self.figure("listen_ns").or_else(|| self.figure("ready_timeout_ns").filter(|_| self.runs_once()))?;
        Some(self.since + time + Span(time.0 / 4))
    }

    /// Whether one that could not listen is left as it is: in fork mode, unless it must.
    fn is_left(&self) -> bool {
        let apart = |line: &SupervisorLine| {
            line.tool == "pm-restart" || line.policy.get("shares").is_some_and(|shares| shares == false)
        };
        self.runs_once() || self.figure("listen_ns").is_some() && self.sight.acting().is_some_and(apart)
    }

    /// Whether a worker that is not ready in time is left as it is, whatever it lacks.
    fn runs_once(&self) -> bool {
        self.sight.acting().is_some_and(SupervisorLine::restarts_never)
    }

    /// A time of the policy of the supervisor that has the workers.
    fn figure(&self, key: &str) -> Option<Span> {
        self.sight.acting()?.policy.get(key)?.as_u64().map(Span)
    }

    /// All its workers live and none has failed: nothing can be said of it but that it is not ready yet. Of one that was
    /// refused its port, and would be followed by another, its supervisor is about to say more.
    fn is_late(&self) -> bool {
        let settled = |worker: &WorkerLine| worker.refused.is_none() || self.is_left();
        let lives = |worker: &WorkerLine| worker.pid.is_some() && worker.restarts == 0 && settled(worker);
        self.listens_by().is_some_and(|at| at <= clock::now()) && self.workers().all(lives)
    }

    /// What the start comes to of a program that has ended, and is started again at a set time (`--cron`) or by a change
    /// (`--watch`): the code of that end.
    fn waits_to_start_anew(&self) -> Option<u8> {
        let line = self.sight.acting()?;
        let set_time = line.set_time().map(|at| format!("at {}", cron_pattern::in_words(at)));
        let when = set_time.or_else(|| line.watches().then(|| "when a watched file changes".to_owned()))?;
        let failed = |state: WorkerState| state == WorkerState::Failed && line.watches();
        let rests =
            |worker: &WorkerLine| (worker.state == WorkerState::Down || failed(worker.state)) && worker.last.is_some();
        let last = self.workers().find_map(|worker| worker.last.as_ref())?;
        if !self.workers().all(rests) {
            return None;
        }
        let name = &self.started.name;
        let how = last.ended.as_ref().map_or_else(String::new, |ended| format!(": {}", ended_in_words(ended)));
        if last.ended == Some(Ended::Code(0)) {
            report::info(format_args!("app '{name}' has ended{how}; it is started again {when}"));
            return Some(0);
        }
        report::fatal(format_args!("app '{name}' has ended{how}; it is started again {when}"), &self.quoted());
        Some(1)
    }

    /// Says of an app that is late what is known of it, as it goes on.
    fn goes_on(&self) -> u8 {
        let refused = self.refused();
        match (refused, self.figure("listen_ns")) {
            (Some(what), _) => {
                let name = &self.started.name;
                report::fatal(format_args!("app '{name}' goes on, and listens on nothing: {what}"), &self.quoted());
                1
            }
            (None, Some(_)) => {
                self.started.say("", NOT_LISTENING);
                0
            }
            // PM2 knows no such demand, and whoever makes it wants to hear of it.
            (None, None) if self.asked() == Some(ReadyBy::Listen) => {
                let (name, lacked) = (&self.started.name, self.lacked_in_time());
                report::fatal(format_args!("app '{name}' goes on, but {lacked}"), &self.quoted());
                1
            }
            (None, None) => {
                self.started.say("", &format!("; it {}, and goes on", self.lacked_in_time()));
                0
            }
        }
    }

    /// No worker serves, and one slot has lost several, or one that took its time: whoever waits would wait for as long as
    /// he has patience.
    fn keeps_failing(&self) -> bool {
        let tries = if clock::now().since(self.since) >= FAILING { 1 } else { TRIES };
        self.workers().all(|worker| worker.state != WorkerState::Ready)
            && self.workers().any(|worker| worker.restarts >= tries)
    }

    /// The workers of the app itself, as they were seen last.
    fn workers(&self) -> impl Iterator<Item = &WorkerLine> {
        let all = self.sight.statuses.iter().flat_map(|status| &status.workers);
        all.filter(|worker| !worker.supervises)
    }

    fn hopeless(&self) -> u8 {
        let (name, typed) = (&self.started.name, quoted(&self.started.name));
        let why = self.refused().unwrap_or_else(|| self.how_it_fails(self.workers()));
        let message = format!(
            "app '{name}' does not start: {why}; it is tried again \
             as its policy says (pm stop {typed} ends that; pm logs {typed} shows what it writes)"
        );
        report::fatal(message, &self.quoted());
        1
    }

    /// How the worker ended that was tried most often.
    fn how_it_fails<'w>(&self, workers: impl Iterator<Item = &'w WorkerLine>) -> String {
        let worst = workers.max_by_key(|worker| worker.restarts);
        let last = worst.and_then(|worker| worker.last.as_ref());
        if last.is_some_and(|last| last.why == Why::NotReady.word()) {
            return format!("it {}, and was stopped", self.lacked_in_time());
        }
        let tries = worst.map_or(TRIES, |worker| worker.restarts);
        let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
        let by_itself = worst.is_some_and(ended_well);
        let job = if by_itself { ", by itself: a job? --no-autorestart" } else { "" };
        format!("its worker ended {times}{job}")
    }

    /// The evidence that was asked for.
    fn asked(&self) -> Option<ReadyBy> {
        self.sight.acting().and_then(|told| told.policy.get("ready")?.as_str()).and_then(ReadyBy::from_word)
    }

    fn lacked_in_time(&self) -> String {
        let within = self.figure("ready_timeout_ns").map_or_else(String::new, |span| format!(" within {span}"));
        format!("{}{within}", lacked(self.asked()))
    }

    /// Each try fails alike, as a rule: once is enough.
    fn quoted(&self) -> Vec<String> {
        if self.warned { Vec::new() } else { self.started.wrote.last() }
    }

    fn ended(&self, exit: Exit) -> u8 {
        let name = &self.started.name;
        let refused = self.refused();
        let when =
            if self.watched_until.is_some() { "ended soon after its start" } else { "ended before it was ready" };
        if exit == Exit::Code(0) && self.was_stopped() {
            report::fatal(format_args!("app '{name}' was stopped by somebody else before it was ready"), &[]);
            return 1;
        }
        if exit == Exit::Code(0) && refused.is_none() {
            report::info(format_args!("app '{name}' has {when}: {exit}"));
            return 0;
        }
        // Of one that was tried often, and ended well each time, its supervisor has no code to tell.
        let given_up = last_words(&self.started.dir).filter(Status::failed_often);
        if let Some(words) = given_up.filter(|words| words.workers.iter().any(ended_well)) {
            let how = self.how_it_fails(words.workers.iter());
            report::fatal(format_args!("app '{name}' does not start: {how}; its supervisor gave up"), &self.quoted());
            return 1;
        }
        if self.watched_until.is_none() && exit != Exit::Code(0) {
            failed::remember(&self.started.dir, name, self.started.pid, exit);
        }
        let refused = refused.map_or_else(String::new, |what| format!("; {what}"));
        report::fatal(format_args!("app '{name}' {when}: {exit}{refused}"), &self.quoted());
        exit.code().max(1)
    }

    /// Whether its supervisor was asked to end: one whose workers have ended by themselves leaves word of that.
    fn was_stopped(&self) -> bool {
        self.started.supervised && last_words(&self.started.dir).is_none()
    }

    /// What it was refused when it wanted to listen: as its supervisor says, else by what the program wrote as it failed.
    fn refused(&self) -> Option<String> {
        let told = || self.workers().find_map(|worker| worker.refused.clone());
        let left = || last_words(&self.started.dir)?.workers.iter().find_map(|worker| worker.refused.clone());
        let gone = self.sight.statuses.is_empty();
        told()
            .or_else(|| left().filter(|_| gone))
            .or_else(|| port_taken::taken(&self.started.dir, &self.started.wrote.last()))
    }

    pub(super) fn timed_out(&self, after: &str) -> u8 {
        let (name, awaited) = (&self.started.name, self.decision.awaited(&self.sight));
        let message = format!("app '{name}' is not ready after {after}, and goes on: {awaited}");
        report::fatal(message, &self.started.wrote.last());
        EXIT_TIMED_OUT
    }

    /// A start that fails is tried again, which may take as long as we wait: the user can be told at once.
    fn warn_of_a_failed_start(&mut self) {
        let in_words = |ended: &Ended| format!(" ({})", ended_in_words(ended));
        let how = |worker: &WorkerLine| Some(worker.last.as_ref()?.ended.as_ref().map_or_else(String::new, in_words));
        let is_tried = |worker: &&WorkerLine| worker.state != WorkerState::Down;
        let Some(how) = self.workers().filter(is_tried).find_map(how).filter(|_| !self.warned) else { return };
        let (name, soon) = (&self.started.name, self.watched_until.is_some());
        let when = if soon { "soon after its start" } else { "before it was ready" };
        report::warning(format_args!("app '{name}': a worker ended {when}{how}; it is tried again"));
        report::quote(&self.started.wrote.last());
        self.warned = true;
    }

    /// What shows that it is ready.
    fn evidence(&self) -> String {
        let by = self.workers().find_map(|worker| worker.ready_by.clone());
        let listen = self.sight.acting().map(|line| line.addresses.join(",")).filter(|all| !all.is_empty());
        let field =
            |key: &str, value: Option<String>| value.map_or_else(String::new, |value| format!(" {key}={value}"));
        field("ready_by", by) + &field("listen", listen)
    }
}

/// What the evidence of these workers and their supervisor comes to: the end of a start's line, and of a reload's.
pub(crate) fn served(acting: Option<&SupervisorLine>, workers: &[&WorkerLine]) -> &'static str {
    match acting.filter(|line| line.addresses.is_empty()) {
        Some(_) if workers.iter().any(|worker| worker.is_guess()) => NOT_LISTENING,
        Some(_) if workers.iter().any(|worker| is_idle(worker)) => "; it serves nobody",
        Some(_) | None => "",
    }
}

pub(super) fn ended_well(worker: &WorkerLine) -> bool {
    worker.last.as_ref().is_some_and(|last| last.ended == Some(Ended::Code(0)))
}

fn is_idle(worker: &WorkerLine) -> bool {
    worker.state == WorkerState::Ready && worker.ready_by.as_deref() == Some(ReadyBy::Idle.word())
}

/// How long such a worker is still to be watched. One that is gone has yet to be reported.
fn left(worker: &WorkerLine) -> Span {
    let Some(stat) = worker.pid.and_then(procfs::stat) else { return SOAK };
    let lived = Span::millis((procfs::uptime(&stat) * 1000.0) as u64);
    Span(SOAK.0.saturating_sub(lived.0))
}

/// What a worker has not done that was stopped for it, by the evidence that was asked for.
const fn lacked(asked: Option<ReadyBy>) -> &'static str {
    match asked {
        Some(ReadyBy::Message) => "did not call process.send('ready')",
        Some(ReadyBy::Notify) => "did not say READY=1",
        Some(ReadyBy::Health) => "did not answer its health check",
        Some(ReadyBy::Listen | ReadyBy::Idle | ReadyBy::Alive) | None => "did not listen",
    }
}

fn ended_in_words(ended: &Ended) -> String {
    match ended {
        Ended::Code(code) => format!("code={code}"),
        Ended::Signal(name) => format!("signal={}", name.strip_prefix("SIG").unwrap_or(name)),
    }
}
