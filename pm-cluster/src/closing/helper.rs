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
use rustix::fs::{Mode, OFlags};

use super::tracer::{End, Tracer};

/// The argument that makes a helper of this program; it is in no manual, as nobody else is to use it.
pub(crate) const ARGUMENT: &str = "--tell-clients-of";
/// What the helper ends with where the worker has a tracer already, and where it let go.
const TRACED: u8 = 254;
const LET_GO: u8 = 253;

/// A helper at work. Dropping it ends it, and the worker goes on untraced.
#[derive(Debug)]
pub(crate) struct Helper(Child);

impl Helper {
    /// Starts one for the tree of a worker and the clients at these ports; it ends by itself after `limit`.
    ///
    /// # Errors
    /// In words: it cannot be started.
    pub(crate) fn start(worker: i32, ports: &BTreeSet<u16>, limit: Span) -> Result<Self, String> {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let root = root.map_err(|errno| report::reason(&errno.into()))?;
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let seconds = limit.as_millis().div_ceil(1000).max(1);
        let words =
            ["pm-cluster".to_owned(), ARGUMENT.to_owned(), worker.to_string(), ports.join(","), seconds.to_string()];
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
    /// If it has yet to die, it is reaped by who reaps the orphans.
    fn drop(&mut self) {
        let _ = process::signal(self.0.pidfd.as_fd(), nix::libc::SIGKILL as u8);
        process::reap(self.0.pid);
    }
}

/// The whole of a helper: what it ends with.
pub(crate) fn run(args: &[OsString]) -> u8 {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let [worker, ports, seconds] = words[..] else { return LET_GO };
    let (Ok(worker), Ok(seconds)) = (worker.parse(), seconds.parse()) else { return LET_GO };
    ptrace::live_no_longer(c"pm-close", seconds);
    let ports = ports.split(',').filter_map(|port| port.parse().ok()).collect();
    match Tracer::new(ports).run(worker) {
        End::Gone => 0,
        End::Denied(_) if has_tracer(worker) => TRACED,
        End::Denied(error) => error.raw_os_error().and_then(|errno| errno.try_into().ok()).unwrap_or(LET_GO),
        End::LetGo(why) => {
            report::warning(format_args!("let a worker go whose clients were told to move on: {why} pid={worker}"));
            LET_GO
        }
    }
}

fn has_tracer(process: i32) -> bool {
    let status = pm_common::kernel::procfs::text(&format!("{process}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}
