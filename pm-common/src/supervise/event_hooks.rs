//! Running the commands of `Rules::hooks`: one at a time, each within its time, and never waited for by anything but the very
//! end. What is to be run is decided in `policy::supervisor::hook_occurrences`.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};

use super::{Adapter, Driver};
use crate::cli::escape::escaped;
use crate::cli::policy_options::PM_POLICY;
use crate::cli::report;
use crate::policy::WorkerId;
use crate::policy::exit::{Exit, signal_name};
use crate::policy::hook_event::{Hook, Occurrence};
use crate::policy::supervisor::WhichRelease;
use crate::policy::time::{Mono, Span};
use crate::supervise::notify::Assignment;
use crate::sys::clock;
use crate::sys::process::{self, Child, Launch};

/// The longest that a hook may run.
const LONGEST: Span = Span::secs(30);
/// The longest that those which are left are waited for once all else has ended: a service manager waits, too.
const AT_END: Span = Span::secs(5);
/// Who asks for an end this soon after another means the same one.
const SAME_STOP: Span = Span::secs(1);
/// Hooks that wait for their turn; more are dropped, and that is said.
const MOST_WAITING: usize = 16;
/// The most of a log that a variable holds, in bytes: the kernel takes no longer one than 128 KiB.
const LONGEST_TEXT: usize = 16 << 10;
/// Generations of a slot whose pid is known: a worker and those that it takes turns with.
const GENERATIONS: u64 = 3;

/// A hook that waits, or runs.
#[derive(Debug)]
struct HookCall {
    hook: Hook,
    facts: Vec<(OsString, OsString)>,
}

/// A hook that runs.
#[derive(Debug)]
struct RunningHook {
    hook: Hook,
    child: Child,
    /// When it is killed; `None`: it was.
    until: Option<Mono>,
}

/// The hooks that are to be run.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    waiting: VecDeque<HookCall>,
    run: Option<RunningHook>,
    dropped: u64,
    pids: BTreeMap<WorkerId, i32>,
    /// When those that are left are given up.
    ends: Option<Mono>,
}

impl Hooks {
    /// Notes the pid of a worker, which may have been reaped by the time that its end is told.
    pub(super) fn started(&mut self, id: WorkerId, pid: i32) {
        self.pids.retain(|known, _| known.slot != id.slot || known.generation + GENERATIONS > id.generation);
        self.pids.insert(id, pid);
    }

    /// What tells that the hook which runs has ended.
    pub(super) fn source(&self) -> Option<PollFd<'_>> {
        self.run.as_ref().map(|run| PollFd::from_borrowed_fd(run.child.pidfd.as_fd(), PollFlags::IN))
    }

    /// When the hook that runs has run for too long.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let until = self.run.as_ref().and_then(|run| run.until);
        until.map(|until| self.ends.map_or(until, |ends| until.min(ends)))
    }

    /// The child of ours that is a hook.
    pub(super) fn child(&self) -> Option<i32> {
        self.run.as_ref().map(|run| run.child.pid)
    }

    fn push(&mut self, call: HookCall) {
        if self.waiting.len() < MOST_WAITING { self.waiting.push_back(call) } else { self.dropped += 1 }
    }

    /// Gives up those that wait.
    fn drop_waiting(&mut self) {
        self.dropped += self.waiting.len() as u64;
        self.waiting.clear();
    }

    fn say_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            report::warning(format_args!("hooks were not run, those before them took too long dropped={dropped}"));
        }
    }
}

/// What is said of a hook.
fn named(hook: &Hook) -> String {
    format!("event={} hook={}", hook.event.word(), escaped(&hook.command))
}

impl<A: Adapter> Driver<A> {
    /// Has the hooks run that are for this, each when those before it have ended.
    pub(super) fn run_hooks(&mut self, what: &Occurrence) {
        let facts = self.facts(what);
        let hooks: Vec<Hook> =
            self.machine.rules().hooks.iter().filter(|hook| hook.event == what.event).cloned().collect();
        hooks.into_iter().for_each(|hook| self.hooks.push(HookCall { hook, facts: facts.clone() }));
        self.next_hook();
    }

    /// What the command finds in its environment beside that of the app.
    fn facts(&self, what: &Occurrence) -> Vec<(OsString, OsString)> {
        let mut facts: Vec<(&str, OsString)> = vec![("PM_EVENT", what.event.word().into())];
        facts.push(("PM_REASON", text(&what.reason)));
        facts.extend(what.slot.map(|slot| ("PM_SLOT", slot.to_string().into())));
        facts.extend(what.generation.map(|generation| ("PM_GENERATION", generation.to_string().into())));
        let id = what.slot.zip(what.generation).map(|(slot, generation)| WorkerId { slot, generation });
        let pid = id.and_then(|id| self.hooks.pids.get(&id));
        facts.extend(pid.map(|pid| ("PM_PID", pid.to_string().into())));
        facts.extend(what.exit.map(|exit| match exit {
            Exit::Code(code) => ("PM_EXIT_CODE", code.to_string().into()),
            Exit::Signal(n) => ("PM_EXIT_SIGNAL", signal_name(n).map_or_else(|| n.to_string(), str::to_owned).into()),
        }));
        let last = self.publisher.last_errors(what.slot).join("\n");
        facts.extend((!last.is_empty()).then(|| ("PM_LAST_LINES", text(&last))));
        let app = self.publisher.env_of_app();
        app.into_iter().chain(facts).map(|(key, value)| (key.into(), value)).collect()
    }

    /// Starts the next hook, if none runs.
    fn next_hook(&mut self) {
        while self.hooks.run.is_none()
            && let Some(call) = self.hooks.waiting.pop_front()
        {
            match self.start_hook(&call) {
                Ok(child) => {
                    self.orphans.spare(child.pid);
                    self.hooks.run = Some(RunningHook { hook: call.hook, child, until: Some(clock::now() + LONGEST) });
                }
                Err(error) => {
                    let why = report::reason(&error);
                    report::warning(format_args!("a hook cannot be run: {why} {}", named(&call.hook)));
                }
            }
        }
        if self.hooks.waiting.is_empty() {
            self.hooks.say_dropped();
        }
    }

    /// In the directory and with the environment of the app; what it writes goes where our own words go.
    fn start_hook(&self, call: &HookCall) -> io::Result<Child> {
        let release = self.releases.get(WhichRelease::Current);
        let argv = ["sh".into(), "-c".into(), call.hook.command.clone().into()];
        let bare = Launch::bare(Path::new("/bin/sh"), &argv, release.directory.as_fd());
        // The policy is that of the app, and no business of a pm-restart that a hook may start.
        let inherited = release.env.iter().filter(|(key, _)| key != PM_POLICY).cloned();
        let output = || rustix::stdio::stderr().try_clone_to_owned();
        let env = inherited.chain(call.facts.iter().cloned()).collect();
        process::spawn(Launch { env, out: Some(output()?), err: Some(output()?), ..bare })
            .map_err(|failed| failed.error)
    }

    /// The hook that runs may have ended: then what it left ends with it, and the next one begins.
    pub(super) fn hook_ended(&mut self) {
        let Some(run) = &self.hooks.run else { return };
        let Some(exit) = process::peek_exit(run.child.pid) else { return };
        let pid = run.child.pid;
        // Before it is reaped: the number of its group is its own.
        let _ = process::signal_group(pid, Signal::SIGKILL);
        process::reap(pid);
        self.orphans.reaped(pid);
        if let Some(RunningHook { hook, until: Some(_), .. }) = self.hooks.run.take()
            && exit != Exit::Code(0)
        {
            report::warning(format_args!("a hook has failed {exit} {}", named(&hook)));
        }
        self.next_hook();
    }

    /// Kills the hook that has had its time.
    pub(super) fn end_late_hook(&mut self) {
        let now = clock::now();
        let at_end = self.hooks.ends.is_some_and(|ends| ends <= now);
        if at_end {
            self.hooks.drop_waiting();
        }
        let Some(run) = &mut self.hooks.run else { return };
        if !at_end && run.until.is_none_or(|until| until > now) {
            return;
        }
        if run.until.take().is_some() {
            let (after, hook) = (if at_end { AT_END } else { LONGEST }, named(&run.hook));
            report::warning(format_args!(
                "a hook was killed, it ran for too long limit={}ms {hook}",
                after.as_millis()
            ));
            let _ = process::signal_group(run.child.pid, Signal::SIGKILL);
        }
    }

    /// Whether hooks are left once all else has ended; they are waited for, but not for long.
    pub(super) fn waits_for_hooks(&mut self) -> bool {
        if self.hooks.run.is_none() {
            return false;
        }
        if self.hooks.ends.is_none() {
            self.hooks.ends = Some(clock::now() + AT_END);
            self.adapter.finish();
            self.manager.tell(&[Assignment::ExtendTimeout(AT_END)]);
        }
        true
    }

    /// Who asks again for an end waits for no hook; several that ask at the same time mean the end that is under way.
    pub(super) fn hurry_hooks(&mut self) {
        let now = clock::now();
        if self.hooks.ends.is_some_and(|ends| now + AT_END >= ends + SAME_STOP) {
            self.hooks.ends = Some(now);
        }
    }
}

/// A variable's value: the end of a text that is too long, without what a variable cannot hold.
fn text(text: &str) -> OsString {
    let from = text.len().saturating_sub(LONGEST_TEXT);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.get(from..).unwrap_or_default().replace('\0', "\u{fffd}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_end_and_fits_a_variable() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        let long = "ä".repeat(LONGEST_TEXT);
        let kept = text(&format!("x{long}"));
        assert!(kept.len() <= LONGEST_TEXT && kept.to_str().is_some_and(|kept| kept.ends_with("ää")), "{}", kept.len());
    }
}
