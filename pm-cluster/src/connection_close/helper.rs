//! The helper process: how it is started, and what its end says.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use pm_common::cli::report;
use pm_common::policy::exit::Exit;
use pm_common::policy::time::Span;
use pm_common::sys::process::{self, Child, Launch};
use pm_common::sys::ptrace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use super::idle;
use super::tracer::{End, Refusal, Tracer};

/// The argument that makes a helper of this program; it is in no manual, as nobody else is to use it.
pub(crate) const ARGUMENT: &str = "--tell-clients-of";
/// What a helper does, by the word that it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Has clients that ask hear `Connection: close`.
    Tell,
    /// Closes the connections that are idle.
    CloseIdle,
}

impl Task {
    const ALL: [Self; 2] = [Self::Tell, Self::CloseIdle];

    fn word(self) -> &'static str {
        match self {
            Self::Tell => "tell",
            Self::CloseIdle => "close-idle",
        }
    }
}

/// What the helper ends with where it let go.
const LET_GO: u8 = 253;
/// Bytes of a reason, at most.
const REASON: usize = 512;
/// How long it may take to die once it is killed: it is never reached but on a machine that stands still.
const DEATH: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A helper at work. Dropping it ends it, and the worker goes on untraced.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    /// Where it says why clients are not told.
    says: OwnedFd,
}

/// How a helper has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There was nobody to be told, or to be traced.
    Over,
    /// The helper was killed, or met what it does not know: it is left at that.
    Broken,
}

impl Helper {
    /// Starts one for these processes and the clients at these ports. It ends by itself when it has nothing to do, or no
    /// response was begun for some time, and after `limit`.
    ///
    /// # Errors
    /// In words: it cannot be started.
    pub(crate) fn start(
        task: Task,
        processes: &BTreeSet<i32>,
        ports: &BTreeSet<u16>,
        limit: Span,
    ) -> Result<Self, String> {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let root = root.map_err(|errno| report::reason(&errno.into()))?;
        let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
        let (says, out) = pipe.map_err(|errno| report::reason(&errno.into()))?;
        let seconds = limit.as_millis().div_ceil(1000).max(1);
        let (processes, ports) = (list(processes), list(ports));
        let task = task.word().to_owned();
        let words = ["pm-cluster".to_owned(), ARGUMENT.to_owned(), task, processes, ports, seconds.to_string()];
        let argv = words.map(OsString::from);
        let bare = Launch::bare(Path::new("/proc/self/exe"), &argv, root.as_fd());
        let child = process::spawn(Launch { out: Some(out), ..bare });
        child.map(|child| Self { child, says }).map_err(|failed| report::reason(&failed.error))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.pid
    }

    /// Why clients are not told, once it has said so.
    pub(crate) fn reason(&self) -> Option<String> {
        let mut text = [0; REASON];
        let length = rustix::io::read(&self.says, &mut text).ok().filter(|length| *length > 0)?;
        Some(String::from_utf8_lossy(text.get(..length)?).trim_end().to_owned())
    }

    /// How it went, once it has ended.
    pub(crate) fn ended(&self) -> Option<Ended> {
        Some(if process::peek_exit(self.child.pid)? == Exit::Code(0) { Ended::Over } else { Ended::Broken })
    }
}

impl Drop for Helper {
    /// Its end is waited for: up to that it could take a signal with it that is sent to the worker. If it has yet to die,
    /// it is reaped by who reaps the orphans.
    fn drop(&mut self) {
        let _ = process::signal(self.child.pidfd.as_fd(), nix::libc::SIGKILL as u8);
        let mut end = [PollFd::new(&self.child.pidfd, PollFlags::IN)];
        let _ = poll(&mut end, Some(&DEATH));
        process::reap(self.child.pid);
    }
}

/// The whole of a helper: what it ends with.
pub(crate) fn run(args: &[OsString]) -> u8 {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let [task, processes, ports, seconds] = words[..] else { return LET_GO };
    let task = Task::ALL.into_iter().find(|one| one.word() == task);
    let (Some(task), Ok(seconds)) = (task, seconds.parse()) else { return LET_GO };
    ptrace::live_no_longer(c"pm-close", seconds);
    let ports = ports.split(',').filter_map(|port| port.parse().ok()).collect();
    let all: BTreeSet<i32> = processes.split(',').filter_map(|pid| pid.parse().ok()).collect();
    if task == Task::CloseIdle {
        idle::close(&all, &ports);
        return 0;
    }
    match Tracer::new(ports).run(&all, say) {
        End::Over => 0,
        End::LetGo(why) => {
            report::warning(format_args!("let a worker go whose clients were told to move on: {why} pid={processes}"));
            LET_GO
        }
    }
}

/// Says why a process is not traced, as a part of a sentence.
fn say(Refusal { all, has_tracer, error }: &Refusal) {
    let why = if *has_tracer { "it has a debugger".to_owned() } else { report::reason(error) };
    let whose = if *all { "" } else { "those of some of its processes or threads: " };
    // Whoever would read it may be gone.
    let _ = writeln!(std::io::stdout(), "{whose}{why}");
}

fn list<T: ToString>(all: &BTreeSet<T>) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
