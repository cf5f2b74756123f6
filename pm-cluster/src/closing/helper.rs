//! The helper process: how it is started, and what its end says.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use pm_common::cli::report;
use pm_common::policy::exit::Exit;
use pm_common::policy::time::Span;
use pm_common::sys::process::{self, Child, Launch};
use pm_common::sys::ptrace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use super::tracer::{End, Tracer};

/// The argument that makes a helper of this program; it is in no manual, as nobody else is to use it.
pub(crate) const ARGUMENT: &str = "--tell-clients-of";
/// What the helper ends with where the worker has a tracer already, and where it let go.
const TRACED: u8 = 254;
const LET_GO: u8 = 253;
/// How long it may take to die once it is killed: it is never reached but on a machine that stands still.
const DEATH: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A helper at work. Dropping it ends it, and the worker goes on untraced.
#[derive(Debug)]
pub(crate) struct Helper(Child);

impl Helper {
    /// Starts one for these processes and the clients at these ports. It ends by itself when no response was begun for
    /// some time, and after `limit`.
    ///
    /// # Errors
    /// In words: it cannot be started.
    pub(crate) fn start(processes: &BTreeSet<i32>, ports: &BTreeSet<u16>, limit: Span) -> Result<Self, String> {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let root = root.map_err(|errno| report::reason(&errno.into()))?;
        let seconds = limit.as_millis().div_ceil(1000).max(1);
        let (processes, ports) = (list(processes), list(ports));
        let words = ["pm-cluster".to_owned(), ARGUMENT.to_owned(), processes, ports, seconds.to_string()];
        let argv = words.map(OsString::from);
        let child = process::spawn(Launch {
            program: Path::new("/proc/self/exe"),
            argv: &argv,
            directory: root.as_fd(),
            env: Vec::new(),
            out: None,
            err: None,
            keep: Vec::new(),
            input: false,
            place: None,
            watch: None,
            traceable: false,
            sockets: Vec::new(),
            alone: true,
        });
        child.map(Self).map_err(|failed| report::reason(&failed.error))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.pid
    }

    /// How it went, once it has ended: nothing to be said, or why clients are not told.
    pub(crate) fn ended(&self) -> Option<Result<(), String>> {
        Some(match process::peek_exit(self.0.pid)? {
            Exit::Code(0) | Exit::Signal(_) => Ok(()),
            Exit::Code(TRACED) => Err("it has a debugger".to_owned()),
            Exit::Code(LET_GO) => Err("see above".to_owned()),
            Exit::Code(errno) => Err(report::reason(&io::Error::from_raw_os_error(i32::from(errno)))),
        })
    }
}

impl Drop for Helper {
    /// Its end is waited for: up to that it could take a signal with it that is sent to the worker. If it has yet to die,
    /// it is reaped by who reaps the orphans.
    fn drop(&mut self) {
        let _ = process::signal(self.0.pidfd.as_fd(), nix::libc::SIGKILL as u8);
        let mut end = [PollFd::new(&self.0.pidfd, PollFlags::IN)];
        let _ = poll(&mut end, Some(&DEATH));
        process::reap(self.0.pid);
    }
}

/// The whole of a helper: what it ends with.
pub(crate) fn run(args: &[OsString]) -> u8 {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let [processes, ports, seconds] = words[..] else { return LET_GO };
    let Ok(seconds) = seconds.parse() else { return LET_GO };
    ptrace::live_no_longer(c"pm-close", seconds);
    let ports = ports.split(',').filter_map(|port| port.parse().ok()).collect();
    let traced: BTreeSet<i32> = processes.split(',').filter_map(|pid| pid.parse().ok()).collect();
    match Tracer::new(ports).run(&traced) {
        End::Over => 0,
        End::Denied(_) if traced.iter().any(|pid| has_tracer(*pid)) => TRACED,
        End::Denied(error) => error.raw_os_error().and_then(|errno| errno.try_into().ok()).unwrap_or(LET_GO),
        End::LetGo(why) => {
            report::warning(format_args!("let a worker go whose clients were told to move on: {why} pid={processes}"));
            LET_GO
        }
    }
}

fn list<T: ToString>(all: &BTreeSet<T>) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

fn has_tracer(process: i32) -> bool {
    let status = pm_common::kernel::procfs::text(&format!("{process}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}
