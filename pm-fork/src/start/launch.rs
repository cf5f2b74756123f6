//! The caller's side of a start: a child for each service, what becomes of it until it runs, and until it serves.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use pm_common::app::status::{Ended, SupervisorLine, WorkerLine, WorkerState};
use pm_common::app::wait::patience::suspended;
use pm_common::app::wait::{Decision, Goal, Sight, Teller, WaitEnd, Watch, wait_for_any};
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::policy::exit::Exit;
use pm_common::policy::time::{Mono, Span};
use pm_common::policy::worker::ReadyBy;
use pm_common::supervise::err_log::ErrLog;
use pm_common::sys::daemon::{self, Fork};
use pm_common::sys::{clock, pidfd, process};

use crate::start::service::{ABOUT_TO_EXEC, FIELDS, Service};
use crate::start::wrote::Wrote;
use crate::start::{failed, port};

/// Until when a start is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every worker is ready.
    Ready,
    /// The chain has been executed.
    Started,
    /// The process has been made.
    Forked,
}

/// How long, and in the words of the user.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    pub(crate) until: Until,
    pub(crate) timeout: Span,
    pub(crate) text: String,
    /// The user has said how long.
    pub(crate) asked: bool,
}

/// A service that runs.
struct Started {
    name: String,
    dir: PathBuf,
    places: String,
    wrote: Wrote,
    /// Our child's, so that it is its own until we reap it.
    pid: i32,
    supervised: bool,
}

/// Starts a service, and says what became of it once it is ready.
///
/// # Errors
/// What the child could not do, with its code; the chain's own code, if that ends first; 124.
pub(crate) fn start(service: &Service, patience: &Patience) -> Result<u8, Failure> {
    let Some(started) = launch(service, patience.until)? else { return Ok(0) };
    let ends = wait(&[started], patience)?;
    Ok(ends.first().copied().unwrap_or(0))
}

/// Starts the services in their order, then waits for all; each gets its line. The codes are in no order.
pub(crate) fn start_all(services: &[Service], patience: &Patience) -> Result<Vec<u8>, Failure> {
    let (mut started, mut codes) = (Vec::new(), Vec::new());
    for service in services {
        match launch(service, patience.until) {
            Ok(one) => started.extend(one),
            Err(failure) => {
                report::fatal(format_args!("app '{}': {}", service.start.name, failure.message), &[]);
                codes.push(failure.code);
            }
        }
    }
    codes.extend(wait(&started, patience)?);
    Ok(codes)
}

/// 1 if any has failed; 124 if the time was up for those that are not ready.
pub(crate) fn summary(codes: &[u8]) -> u8 {
    match codes.iter().filter(|code| **code != 0).collect::<Vec<_>>().as_slice() {
        [] => 0,
        failed if failed.iter().all(|code| **code == EXIT_TIMED_OUT) => EXIT_TIMED_OUT,
        _ => 1,
    }
}

/// Makes the service's process, and waits until it is the chain. `None`: that is not to be waited for.
fn launch(service: &Service, until: Until) -> Result<Option<Started>, Failure> {
    let (reader, writer) = std::io::pipe().or_fail(|| "cannot make a pipe".to_owned())?;
    match daemon::fork().or_fail(|| "cannot fork".to_owned())? {
        Fork::Parent(_) if until == Until::Forked => Ok(None),
        Fork::Parent(child) => {
            drop(writer);
            outcome(reader, service, child.as_raw()).map(Some)
        }
        Fork::Child => {
            drop(reader);
            let mut pipe = File::from(OwnedFd::from(writer));
            let failure = service.clone().start(&mut pipe);
            // The parent says it, with the stderr that the user sees.
            let _ = pipe.write_all(&[&[failure.code], failure.message.as_bytes()].concat());
            std::process::exit(i32::from(failure.code))
        }
    }
}

/// Waits for what becomes of the child: the pipe is closed when it executes the chain.
fn outcome(mut pipe: PipeReader, service: &Service, pid: i32) -> Result<Started, Failure> {
    let mut told = Vec::new();
    pipe.read_to_end(&mut told).or_fail(|| "cannot read from the service's process".to_owned())?;
    let (fields, failure) = match told.split_first() {
        Some((&ABOUT_TO_EXEC, rest)) => fields(rest),
        _ => (Default::default(), told.as_slice()),
    };
    match failure {
        [code, message @ ..] => Err(Failure::with_code(*code, String::from_utf8_lossy(message))),
        [] if told.is_empty() => {
            let ended = process::reap(pid).map_or_else(String::new, |exit| format!(": {exit}"));
            Err(Failure::own(format!("the service's process ended before the chain was run{ended}")))
        }
        [] => Ok(Started::new(fields, service, pid)),
    }
}

/// The fields that are each before a NUL, and what is behind them.
fn fields(bytes: &[u8]) -> ([&[u8]; FIELDS], &[u8]) {
    let mut parts = bytes.splitn(FIELDS + 1, |byte| *byte == 0);
    let fields = [(); FIELDS].map(|()| parts.next().unwrap_or_default());
    (fields, parts.next().unwrap_or_default())
}

impl Started {
    fn new([name, dir, places, err, err_size, out, out_size]: [&[u8]; FIELDS], service: &Service, pid: i32) -> Self {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let log = |at, size| ErrLog::at(path(at), String::from_utf8_lossy(size).parse().unwrap_or(0));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let tool = |word: &OsStr| Path::new(word).file_name().is_some_and(|b| b == "pm-restart" || b == "pm-cluster");
        Self {
            name: text(name),
            dir: path(dir),
            places: text(places),
            wrote: Wrote { err: log(err, err_size), out: (out != err).then(|| log(out, out_size)) },
            pid,
            supervised: service.start.argv.iter().any(|word| tool(word)),
        }
    }

    fn say(&self, how: &str, more: &str) {
        let (name, pid, places) = (&self.name, self.pid, &self.places);
        report::info(format_args!("started app '{name}' pid={pid}{how}{places}{more}"));
    }
}

/// An app that is waited for.
struct Awaited<'a> {
    started: &'a Started,
    pidfd: OwnedFd,
    watch: Watch,
    decision: Decision<'a>,
    /// What was seen last.
    sight: Sight,
    warned: bool,
    since: Mono,
}

/// What the line of a start ends with, where nobody can tell yet.
const NOT_LISTENING: &str = "; not listening yet";

/// So many workers of a slot that ended before any was ready are reason enough to say so and go.
const TRIES: u64 = 3;
/// After one has ended nobody waits longer than this, from the start on, for more of them.
const FAILING: Span = Span::secs(2);

/// What has no better evidence is ready once it has been alive for a second: that is not worth a line that stays.
const WORTH_A_LINE: Span = Span::millis(1500);

/// How many are watched at a time: a user may have 128 inotify instances by default, and others need some, too.
const AT_A_TIME: usize = 32;

/// Waits until each is ready, has ended, or the time is up.
fn wait(started: &[Started], patience: &Patience) -> Result<Vec<u8>, Failure> {
    let deadline = clock::now() + patience.timeout;
    let mut codes = Vec::new();
    for some in started.chunks(AT_A_TIME) {
        let mut awaited = Vec::new();
        for one in some {
            match one.awaits(patience.until)? {
                Some(one) => awaited.push(one),
                None => codes.push(0),
            }
        }
        codes.extend(wait_for(awaited, deadline, &patience.text)?);
    }
    Ok(codes)
}

fn wait_for(mut awaited: Vec<Awaited<'_>>, deadline: Mono, text: &str) -> Result<Vec<u8>, Failure> {
    let mut codes = Vec::new();
    let mut teller = Teller::with_line_after(WORTH_A_LINE);
    loop {
        let mut left = Vec::new();
        for mut one in awaited {
            match one.look()? {
                Some(code) => codes.push(code),
                None => left.push(one),
            }
        }
        awaited = left;
        if awaited.is_empty() {
            return Ok(codes);
        }
        if deadline <= clock::now() {
            codes.extend(awaited.iter().map(|one| one.timed_out(text)));
            return Ok(codes);
        }
        tell(&mut teller, &awaited);
        let late = awaited.iter().filter_map(Awaited::listens_by).filter(|at| *at > clock::now()).min();
        pause(&awaited, deadline.min(teller.next()).min(late.unwrap_or(deadline)))?;
    }
}

/// Names the first that is waited for, and what it says of itself.
fn tell(teller: &mut Teller, awaited: &[Awaited<'_>]) {
    let Some(one) = awaited.iter().find(|one| !one.sight.suspended.is_empty()).or_else(|| awaited.first()) else {
        return;
    };
    let more = awaited.len() - 1;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let goal = format!("app '{}'{more} to be ready", one.started.name);
    teller.tell(&goal, &one.decision.awaited(&one.sight), suspended(&one.sight).as_deref());
}

fn pause(awaited: &[Awaited<'_>], deadline: Mono) -> Result<(), Failure> {
    let apps: Vec<&Watch> = awaited.iter().map(|one| &one.watch).collect();
    let children: Vec<_> = awaited.iter().map(|one| one.pidfd.as_fd()).collect();
    wait_for_any(&apps, &children, Some(deadline)).or_fail(|| "cannot wait for the apps".to_owned())
}

impl Started {
    /// `None`: it is as good as it gets, and that has been said.
    fn awaits(&self, until: Until) -> Result<Option<Awaited<'_>>, Failure> {
        if until != Until::Ready {
            self.say("", "");
            return Ok(None);
        }
        if !self.supervised || self.dir.as_os_str().is_empty() {
            self.say("", "; it runs, and nothing says when it is ready");
            return Ok(None);
        }
        let watch = Watch::new(&self.dir).or_fail(|| format!("cannot watch {}", self.dir.display()))?;
        let pidfd = pidfd::open(self.pid).or_fail(|| format!("cannot watch process {}", self.pid))?;
        let decision = Decision::new(&self.name, Goal::Ready);
        let (sight, warned, since) = (Sight::default(), false, clock::now());
        Ok(Some(Awaited { started: self, pidfd, watch, decision, sight, warned, since }))
    }
}

impl Awaited<'_> {
    /// The code that its start comes to; `None`: wait on.
    fn look(&mut self) -> Result<Option<u8>, Failure> {
        let dir = &self.started.dir;
        self.sight = self.watch.look().or_fail(|| format!("cannot watch {}", dir.display()))?;
        if let Some(exit) = process::reap(self.started.pid) {
            return Ok(Some(self.ended(exit)));
        }
        // A supervisor that gives up ends in a moment, and with it the chain: its code says more than that it did.
        if self.decision.look(&self.sight) == Some(WaitEnd::Reached) {
            let workers: Vec<_> = self.workers().collect();
            self.started.say(&self.evidence(), served(self.sight.acting(), &workers));
            return Ok(Some(0));
        }
        if self.listens_late() {
            self.started.say("", NOT_LISTENING);
            return Ok(Some(0));
        }
        if self.keeps_failing() {
            return Ok(Some(self.hopeless()));
        }
        self.warn_of_a_failed_start();
        Ok(None)
    }

    /// Until when it is waited for that it listens, where that is not for as long as it takes. A little longer than its
    /// supervisor waits, which knows more.
    fn listens_by(&self) -> Option<Mono> {
        let time = self.sight.acting()?.policy.get("listen_ns")?.as_u64()?;
        Some(self.since + Span(time) + Span(time / 4))
    }

    /// All its workers live and none has failed: nothing can be said of it but that it does not listen yet.
    fn listens_late(&self) -> bool {
        let lives = |worker: &WorkerLine| worker.pid.is_some() && worker.restarts == 0;
        self.listens_by().is_some_and(|at| at <= clock::now()) && self.workers().all(lives)
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
        let name = &self.started.name;
        let worst = self.workers().max_by_key(|worker| worker.restarts);
        let tries = worst.map_or(TRIES, |worker| worker.restarts);
        let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
        let ended = worst.and_then(|worker| worker.last.as_ref()?.ended.as_ref());
        let by_itself = matches!(ended, Some(Ended::Code(0)));
        let job = if by_itself { ", by itself: a job? --no-autorestart" } else { "" };
        let message = format!(
            "app '{name}' does not start: its worker ended {times}{job}; it is tried again \
             as its policy says (pm stop {name} ends that; pm logs {name} shows what it writes){}",
            self.port_taken()
        );
        report::fatal(message, &self.quoted());
        1
    }

    /// Each try fails alike, as a rule: once is enough.
    fn quoted(&self) -> Vec<String> {
        if self.warned { Vec::new() } else { self.started.wrote.last() }
    }

    fn ended(&self, exit: Exit) -> u8 {
        let name = &self.started.name;
        if exit == Exit::Code(0) {
            report::info(format_args!("app '{name}' has ended before it was ready: {exit}"));
        } else {
            failed::remember(&self.started.dir, name, self.started.pid, exit);
            let taken = self.port_taken();
            report::fatal(format_args!("app '{name}' ended before it was ready: {exit}{taken}"), &self.quoted());
        }
        exit.code()
    }

    /// Who has the port that it failed for, if that is why.
    fn port_taken(&self) -> String {
        port::taken(&self.started.name, &self.started.wrote.last())
    }

    fn timed_out(&self, after: &str) -> u8 {
        let (name, awaited) = (&self.started.name, self.decision.awaited(&self.sight));
        let message = format!("app '{name}' is not ready after {after}, and goes on: {awaited}");
        report::fatal(message, &self.started.wrote.last());
        EXIT_TIMED_OUT
    }

    /// A start that fails is tried again, which may take as long as we wait: the user can be told at once.
    fn warn_of_a_failed_start(&mut self) {
        let in_words = |ended: &Ended| format!(" ({})", ended_in_words(ended));
        let how = |worker: &WorkerLine| Some(worker.last.as_ref()?.ended.as_ref().map_or_else(String::new, in_words));
        let Some(how) = self.workers().find_map(how).filter(|_| !self.warned) else { return };
        let name = &self.started.name;
        report::warning(format_args!("app '{name}': a worker ended before it was ready{how}; it is tried again"));
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
    let idle = |worker: &&WorkerLine| worker.ready_by.as_deref() == Some(ReadyBy::Idle.word());
    match acting.filter(|line| line.addresses.is_empty()) {
        Some(_) if workers.iter().any(|worker| worker.is_guess()) => NOT_LISTENING,
        Some(_) if workers.iter().any(idle) => "; it serves nobody",
        Some(_) | None => "",
    }
}

fn ended_in_words(ended: &Ended) -> String {
    match ended {
        Ended::Code(code) => format!("code={code}"),
        Ended::Signal(name) => format!("signal={}", name.strip_prefix("SIG").unwrap_or(name)),
    }
}
