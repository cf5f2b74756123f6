//! Ends the workers of supervisors that were killed, as these would have: the stop signal, the grace, KILL.
//!
//! Each process is held by a pidfd, opened before its start time was compared: a number that another process has by now
//! is never signalled.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};

use crate::app::home::{self, AppDir};
use crate::app::may_signal::MaySignal;
use crate::app::status::{self, Id, Status, Told};
use crate::cli::policy_options;
use crate::cli::report::{self, Failure};
use crate::kernel::procfs::{self, Proc};
use crate::policy::rules::Rules;
use crate::policy::time::{Mono, Span};
use crate::sys::{clock, process};

/// How long a process may take to be gone after KILL: one that waits for a broken disk is not to hold us up for ever.
const KILLED: Span = Span::secs(10);
const SIGTERM: u8 = nix::libc::SIGTERM as u8;
const SIGKILL: u8 = nix::libc::SIGKILL as u8;
/// A suspended process acts on a signal only once it goes on.
const SIGCONT: u8 = nix::libc::SIGCONT as u8;

/// The workers in `dir` that go on below nobody: an app that runs has them beside its own.
///
/// # Errors
/// The files cannot be read.
pub fn of(dir: &Path) -> io::Result<Vec<Status>> {
    let may = MaySignal::of(dir);
    let Told { living, killed, .. } = Told::read(dir)?;
    if killed.is_empty() {
        return Ok(Vec::new());
    }
    let mut left = status::orphaned(&killed, &living, home::holder(dir).ok().flatten().flatten());
    let may = may.map_err(|failure| io::Error::other(failure.message))?;
    left.iter_mut().for_each(|status| status.workers.retain(|worker| worker.pid.is_some_and(|pid| may.allows(pid))));
    left.retain(|status| !status.workers.is_empty());
    Ok(left)
}

/// Ends what killed supervisors left of the app whose outermost supervisor this process has just become.
///
/// # Errors
/// 125: one of them cannot be ended; beside it, the app would run twice.
pub fn end_before_start(app: &AppDir) -> Result<(), Failure> {
    let Some(dir) = app.dir().filter(|_| app.holds_lock()) else { return Ok(()) };
    // Not by way of `of`: a look at the lock would drop ours.
    let Ok(Told { living, killed, .. }) = Told::read(dir) else { return Ok(()) };
    let left = status::orphaned(&killed, &living, None);
    end(EndOfOrphans::begin(app.name(), dir, &left).into_iter().collect()).into_iter().collect()
}

/// Ends all of these at the same time, and forgets their supervisors; the results are in their order.
///
/// # Errors
/// 125: it cannot be ended.
pub fn end(mut endings: Vec<EndOfOrphans>) -> Vec<Result<(), Failure>> {
    loop {
        let now = clock::now();
        let next = endings.iter_mut().filter_map(|ending| ending.step(now)).min();
        let Some(next) = next else { break };
        let members = endings.iter().flat_map(|ending| ending.members.values());
        let mut fds: Vec<_> = members.map(|m| PollFd::new(&m.pidfd, PollFlags::IN)).collect();
        // An error is a signal, or want of memory: each turn looks at all anyway.
        let _ = poll(&mut fds, Some(&clock::until(next)));
    }
    endings.into_iter().map(EndOfOrphans::result).collect()
}

/// One of them.
#[derive(Debug)]
struct Member {
    start: u64,
    pidfd: OwnedFd,
    /// The worker itself: what is below it, and in its group, is told only after it has ended.
    leads: bool,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The workers have the stop signal.
    Workers,
    /// What they left has TERM.
    Leftovers,
    /// All that was left has KILL.
    Killed,
}

/// The end of what one app has left.
#[derive(Debug)]
pub struct EndOfOrphans {
    app: String,
    dir: PathBuf,
    may: MaySignal,
    members: BTreeMap<i32, Member>,
    phase: Phase,
    until: Mono,
    /// A signal was refused.
    refused: Option<(i32, io::Error)>,
}

impl EndOfOrphans {
    /// Says who is ended, and sends the stop signal. `None`: there is nobody.
    #[must_use]
    pub fn begin(app: &str, dir: &Path, left: &[Status]) -> Option<Self> {
        let rules: Vec<Rules> =
            left.iter().map(|s| policy_options::from_json(&s.supervisor.policy).unwrap_or_default()).collect();
        let grace = rules.iter().map(|rules| rules.grace).max()?;
        let mut ending = Self {
            app: app.to_owned(),
            dir: dir.to_owned(),
            may: MaySignal::of(dir).ok()?,
            members: BTreeMap::new(),
            phase: Phase::Workers,
            until: clock::now() + grace,
            refused: None,
        };
        ending.say(left);
        for (status, rules) in left.iter().zip(&rules) {
            status
                .workers
                .iter()
                .filter_map(|w| w.pid.zip(w.start))
                .for_each(|(pid, start)| ending.add(pid, start, true));
            ending.gather();
            ending.send(rules.stop_signal, |member| member.leads || rules.stop_group);
        }
        Some(ending)
    }

    fn say(&self, left: &[Status]) {
        let mut pids: Vec<i32> = left.iter().flat_map(|s| &s.workers).filter_map(|w| w.pid).collect();
        pids.sort_unstable();
        let tools: Vec<&str> = left.iter().map(|s| s.supervisor.tool.as_str()).collect();
        let (workers, run, them) = if pids.len() == 1 { ("worker", "runs", "it") } else { ("workers", "run", "them") };
        let (app, count, list) = (&self.app, pids.len(), list(&pids));
        report::warning(format_args!(
            "app '{app}': {count} {workers} of {}, which was killed, still {run}: ending {them} pid={list}",
            tools.join(" and ")
        ));
    }

    fn add(&mut self, pid: i32, start: u64, leads: bool) {
        let ours = i32::try_from(std::process::id()).is_ok_and(|own| own == pid);
        if ours || self.members.contains_key(&pid) {
            return;
        }
        let pidfd = Id { pid, start }.pidfd().ok().flatten().filter(|_| self.may.allows(pid));
        self.members.extend(pidfd.map(|pidfd| (pid, Member { start, pidfd, leads })));
    }

    /// Adds what is below the members, and in the process groups of those that lead one.
    fn gather(&mut self) {
        self.drop_ended();
        let mut proc = Proc::default();
        let groups: Vec<i32> = self.members.keys().copied().collect();
        let own = self.dir.as_os_str().as_encoded_bytes();
        let mut found: Vec<_> = groups.iter().flat_map(|&pid| proc.tree_of_app(pid, own, |_| true)).collect();
        found.extend(
            procfs::pids().into_iter().filter_map(|pid| proc.stat(pid)).filter(|stat| groups.contains(&stat.pgrp)),
        );
        found.iter().filter(|stat| !stat.is_zombie()).for_each(|stat| self.add(stat.pid, stat.start_time, false));
    }

    fn drop_ended(&mut self) {
        self.members.retain(|pid, member| procfs::is_alive(*pid, member.start));
    }

    fn send(&mut self, signal: u8, to: impl Fn(&Member) -> bool) {
        for (pid, member) in self.members.iter().filter(|(_, member)| to(member)) {
            let sent = process::signal(member.pidfd.as_fd(), signal);
            let sent = sent.and_then(|()| process::signal(member.pidfd.as_fd(), SIGCONT));
            if let Err(error) = sent {
                self.refused = Some((*pid, error));
            }
        }
    }

    /// Goes on to what is due. Until when to wait for more ends; `None`: that was all.
    fn step(&mut self, now: Mono) -> Option<Mono> {
        // New ones may have been started meanwhile: gathered while those above them can still be found.
        if self.phase != Phase::Killed {
            self.gather();
        }
        self.drop_ended();
        if self.members.is_empty() || self.refused.is_some() || (self.phase == Phase::Killed && self.until <= now) {
            return None;
        }
        if self.phase == Phase::Workers && !self.members.values().any(|member| member.leads) {
            self.phase = Phase::Leftovers;
            self.send(SIGTERM, |_| true);
        }
        if self.phase != Phase::Killed && self.until <= now {
            (self.phase, self.until) = (Phase::Killed, now + KILLED);
            self.send(SIGKILL, |_| true);
        }
        Some(self.until)
    }

    fn result(self) -> Result<(), Failure> {
        let app = &self.app;
        if let Some((pid, error)) = &self.refused {
            let why = report::reason(error);
            let message =
                format!("app '{app}': cannot end what a killed supervisor left: pid={pid}: {why}; end it first");
            return Err(Failure::own(message));
        }
        if !self.members.is_empty() {
            let pids: Vec<i32> = self.members.keys().copied().collect();
            let message =
                format!("app '{app}': what a killed supervisor left does not end, even by KILL: pid={}", list(&pids));
            return Err(Failure::own(message));
        }
        status::forget_killed(&self.dir);
        Ok(())
    }
}

/// Numbers with commas between them.
#[must_use]
pub fn list(pids: &[i32]) -> String {
    pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}
