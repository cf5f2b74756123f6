//! `--stop`, and what `--restart` does first: apps end, all at once but for those that others start after, and nothing of them is
//! left.
//!
//! TERM goes to the outermost process, and SIGCONT behind it to whoever is suspended, as systemd does: else nothing would
//! happen, for ever. How long a stop may take is the supervisor's business; that it takes longer is said.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use pm_common::app::home::{Home, Start};
use pm_common::app::may_signal::MaySignal;
use pm_common::app::orphans::{self, EndOfOrphans};
use pm_common::app::status::{self, Status, SupervisorState};
use pm_common::app::wait::Teller;
use pm_common::cli::policy_options;
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::kernel::procfs;
use pm_common::policy::app_order::{AppOrder, AppTurn, Stage};
use pm_common::policy::exit::signal_name;
use pm_common::policy::record::KILLED;
use pm_common::policy::rules::Rules;
use pm_common::policy::time::{Mono, Span};
use pm_common::supervise::err_log::ErrLog;
use pm_common::sys::{clock, pidfd, process};
use rustix::event::{PollFd, PollFlags, poll};

use crate::apps::{self, start_order};

/// What a stop may take beyond the grace: the processes between the links, a loaded machine.
const SLACK: Span = Span::secs(10);
/// How often the process with the lock may be one that cannot be seen before we believe that it is not chance.
const TRIES: u32 = 20;
/// In how many of its last lines it is looked for whether a supervisor says that it kills a worker.
const LAST_LINES: usize = 100;

/// Stops apps; what is not running is what was asked for.
///
/// # Errors
/// 125: there is no place for apps.
pub(crate) fn run(names: &[String], timeout: Option<Span>) -> Result<u8, Failure> {
    let home = apps::home()?;
    let code = stop(&home, names, timeout).into_values().max().unwrap_or(0);
    names.iter().filter_map(|name| home.dir(name)).for_each(|dir| status::forget_killed(&dir));
    Ok(code)
}

/// Stops apps, and what killed supervisors left of them, and waits for the ends: those that still run, each with the
/// exit code that it comes to.
pub(crate) fn stop(home: &Home, names: &[String], timeout: Option<Span>) -> BTreeMap<String, u8> {
    let mut failed = stop_supervised(home, names, timeout);
    let left = |name: &str| EndOfOrphans::begin(name, &home.dir(name)?, &orphans::of(&home.dir(name)?).ok()?);
    let all = names.iter().filter_map(|name| Some((name, left(name)?)));
    let (names, endings): (Vec<_>, Vec<_>) = all.unzip();
    for (name, result) in names.into_iter().zip(orphans::end(endings)) {
        if let Err(failure) = result {
            fail(&mut failed, name, &failure);
        }
    }
    failed
}

fn stop_supervised(home: &Home, names: &[String], timeout: Option<Span>) -> BTreeMap<String, u8> {
    let mut failed = BTreeMap::new();
    let mut stopping = Vec::new();
    let after = |name: &String| (name.clone(), start_order::of_known(home.path(), name));
    let mut order = AppOrder::backwards(&names.iter().map(after).collect::<Vec<_>>());
    let deadline = timeout.map(|span| clock::now() + span);
    let mut teller = Teller::new();
    loop {
        stopping.retain_mut(|one: &mut Stopping| {
            let goes_on = one.look(home, deadline).unwrap_or_else(|failure| {
                fail(&mut failed, &one.name, &failure);
                false
            });
            if !goes_on {
                order.reached(&one.name, Stage::Ready);
            }
            goes_on
        });
        // Those that others start after are told once these have ended.
        while let Some(AppTurn { app, .. }) = order.take() {
            match Stopping::begin(home, &app) {
                Ok(Some(one)) => stopping.push(one),
                Ok(None) => order.reached(&app, Stage::Ready),
                Err(failure) => {
                    fail(&mut failed, &app, &failure);
                    order.failed(&app);
                }
            }
        }
        if stopping.is_empty() {
            return failed;
        }
        teller.tell(&goal(&stopping), &state(&stopping), None);
        pause(&stopping, teller.next());
    }
}

fn fail(failed: &mut BTreeMap<String, u8>, name: &str, failure: &Failure) {
    report::fatal(failure, &[]);
    failed.insert(name.to_owned(), failure.code);
}

/// What is waited for, in words.
fn goal(stopping: &[Stopping]) -> String {
    let names: Vec<_> = stopping.iter().take(3).map(|one| format!("'{}'", one.name)).collect();
    let more = stopping.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("waiting for {}{more} to finish", names.join(", "))
}

fn state(stopping: &[Stopping]) -> String {
    let now = clock::now();
    let left = stopping.iter().map(|one| one.killed_at.since(now).as_millis().div_ceil(1000)).max().unwrap_or(0);
    match (stopping, left) {
        (_, 0) => "what is left is killed".to_owned(),
        ([_], left) => format!("it is killed in {left} s"),
        (_, left) => format!("what is left in {left} s is killed"),
    }
}

fn pause(stopping: &[Stopping], until: Mono) {
    let until = stopping.iter().map(|one| one.until).chain([until]).min();
    let mut fds: Vec<_> = stopping.iter().map(|one| PollFd::new(&one.pidfd, PollFlags::IN)).collect();
    let timeout = until.map(clock::until);
    // An error is a signal, or want of memory: each turn looks at all anyway.
    let _ = poll(&mut fds, timeout.as_ref());
}

/// The file that the app's supervisor writes its messages to.
fn err_of(dir: &Path) -> PathBuf {
    let told = Start::read(dir).ok().flatten().and_then(|start| start.err);
    told.unwrap_or_else(|| dir.join("err.log"))
}

/// What the workers are told to end with, in words.
fn stop_word(statuses: &[Status]) -> String {
    let rules = statuses.iter().filter_map(|status| policy_options::from_json(&status.supervisor.policy)).next();
    let rules = rules.unwrap_or_default();
    match signal_name(rules.stop_signal) {
        _ if rules.stop_message => "'shutdown'".to_owned(),
        Some(name) => name.to_owned(),
        None => format!("signal {}", rules.stop_signal),
    }
}

/// An app that was told to end.
struct Stopping {
    name: String,
    dir: PathBuf,
    /// Who had its lock, and was told.
    pid: i32,
    start: u64,
    pidfd: OwnedFd,
    /// The supervisors that it had: one of these may have the lock next.
    supervisors: Vec<i32>,
    told: Mono,
    /// When its supervisor kills what has not ended, by its rules.
    killed_at: Mono,
    /// The words for what it is told to end with.
    signal: String,
    /// What it has written to stderr since it was told: its supervisor says there whom it kills.
    err: ErrLog,
    /// When it will have taken longer than it may.
    until: Mono,
    killed: bool,
}

impl Stopping {
    /// Tells the outermost process of the app to end. `None`: there is none.
    fn begin(home: &Home, name: &str) -> Result<Option<Self>, Failure> {
        let dir = home.dir(name).unwrap_or_default();
        for _ in 0..TRIES {
            let Some((pid, pidfd)) = apps::pinned_holder(&dir, name)? else { return Ok(None) };
            let statuses = status::read(&dir).unwrap_or_default();
            let Some(start) = procfs::start_time(pid) else { continue };
            let may = MaySignal::of(&dir)?;
            let mut err = ErrLog::at(err_of(&dir), 0);
            err.mark();
            may.send(name, (pid, &pidfd), nix::libc::SIGTERM as u8, "TERM")?;
            let told = clock::now();
            let (until, killed_at) = (told + allowed(&statuses), told + longest(&statuses));
            let signal = stop_word(&statuses);
            let supervisors = statuses.iter().map(|status| status.supervisor.pid).collect();
            let name = name.to_owned();
            return Ok(Some(Self {
                name,
                dir,
                pid,
                start,
                pidfd,
                supervisors,
                told,
                killed_at,
                signal,
                err,
                until,
                killed: false,
            }));
        }
        let why = "has its lock, and nothing is to be seen of it in /proc (hidepid?): stop it as its owner, or as root";
        let pid = apps::holder(&dir, name)?.map_or_else(String::new, |pid| format!(" {pid}"));
        Err(Failure::own(format!("app '{name}': process{pid} {why}")))
    }

    /// Whether it goes on.
    fn look(&mut self, home: &Home, deadline: Option<Mono>) -> Result<bool, Failure> {
        // Where the first of several threads has ended, as Node's does, the others have the lock for a moment longer.
        let is_ending = || apps::holder(&self.dir, &self.name).map(|holder| holder == Some(self.pid));
        if !procfs::is_alive(self.pid, self.start) && !is_ending()? {
            return self.ended(home);
        }
        // Also later: a SIGSTOP may have been under way when it was told.
        go_on(&self.name, &self.dir, self.pid, &status::read(&self.dir).unwrap_or_default());
        let now = clock::now();
        if deadline.is_some_and(|at| at <= now) || (self.until <= now && !self.may_take_longer()) {
            return self.overdue(deadline.is_none());
        }
        Ok(true)
    }

    /// A supervisor below the process that has ended may have heard nothing: then it has the lock by now.
    fn ended(&mut self, home: &Home) -> Result<bool, Failure> {
        let next = apps::holder(&self.dir, &self.name)?;
        if next.is_none_or(|pid| !self.supervisors.contains(&pid)) {
            if self.err.last(LAST_LINES).iter().any(|line| line.contains(KILLED)) {
                let (name, signal) = (&self.name, &self.signal);
                report::warning(format_args!("'{name}' ignored {signal} and was killed"));
            }
            return Ok(false);
        }
        let Some(next) = Self::begin(home, &self.name)? else { return Ok(false) };
        *self = next;
        Ok(true)
    }

    /// One that has begun to stop may have been asked for more time by its workers.
    fn may_take_longer(&mut self) -> bool {
        let statuses = status::read(&self.dir).unwrap_or_default();
        let stops = statuses.iter().any(|status| status.supervisor.state == SupervisorState::Stopping);
        self.until = self.told + allowed(&statuses) + allowed(&statuses) + SLACK;
        stops && clock::now() < self.until
    }

    fn overdue(&mut self, may_kill: bool) -> Result<bool, Failure> {
        let (name, pid, now) = (&self.name, self.pid, clock::now());
        let took = now.since(self.told).as_millis() / 1000;
        let comm = procfs::stat(pid)
            .map_or_else(String::new, |stat| format!(" ({})", String::from_utf8_lossy(stat.comm.as_bytes())));
        if may_kill && self.supervisors.is_empty() && !self.killed {
            report::warning(format_args!(
                "app '{name}' did not end within {took}s of TERM: it is killed pid={pid}{comm}"
            ));
            // pm-fork made it the leader of its session and group.
            let ours = MaySignal::of(&self.dir).is_ok_and(|may| !may.is_anothers());
            let group = ours && procfs::stat(pid).is_some_and(|stat| stat.pgrp == pid);
            let killed = if group {
                process::signal_group(pid, Signal::SIGKILL)
            } else {
                process::signal(self.pidfd.as_fd(), nix::libc::SIGKILL as u8)
            };
            killed.or_fail(|| format!("app '{name}': cannot kill process {pid}"))?;
            (self.killed, self.until) = (true, now + SLACK);
            return Ok(true);
        }
        Err(Failure::with_code(
            EXIT_TIMED_OUT,
            format!(
                "app '{name}' still runs {took}s after TERM was sent pid={pid}{comm}; to end it at once: kill -KILL {pid}"
            ),
        ))
    }
}

/// What is suspended acts on no signal until it goes on.
fn go_on(name: &str, dir: &Path, holder: i32, statuses: &[Status]) {
    let Ok(may) = MaySignal::of(dir) else { return };
    let told = statuses.iter().map(|status| &status.supervisor);
    let all = told.map(|told| (told.pid, Some(told.start))).chain([(holder, None)]);
    let mut seen = Vec::new();
    for (pid, start) in all {
        let is_suspended = procfs::stat(pid).is_some_and(|stat| stat.state == b'T');
        if !is_suspended || seen.contains(&pid) {
            continue;
        }
        seen.push(pid);
        let pidfd = pidfd::open(pid).ok();
        let pidfd = pidfd.filter(|_| start.is_none_or(|start| procfs::is_alive(pid, start)));
        let pidfd = pidfd.filter(|_| may.allows(pid));
        let sent = pidfd.is_some_and(|pidfd| process::signal(pidfd.as_fd(), nix::libc::SIGCONT as u8).is_ok());
        if sent {
            report::info(format_args!("app '{name}': pid={pid} was suspended, and goes on to stop"));
        }
    }
}

/// How long a stop may take by the rules of the supervisors; of what has none, as long as they would give it.
fn allowed(statuses: &[Status]) -> Span {
    let slack = if statuses.is_empty() { Span::ZERO } else { SLACK };
    longest(statuses) + slack
}

/// How long the rules of the supervisors give what they stop.
fn longest(statuses: &[Status]) -> Span {
    let rules = statuses.iter().filter_map(|status| policy_options::from_json(&status.supervisor.policy));
    rules.map(|rules| rules.stop_time()).max().unwrap_or(Rules::default().grace)
}
