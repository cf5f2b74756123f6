//! One run of the command that says whether a worker is well.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use nix::sys::signal::Signal;
use pm_common::cli::report;
use pm_common::policy::WorkerId;
use pm_common::policy::exit::{Exit, signal_name};
use pm_common::policy::listening::Listening;
use pm_common::supervise::release::Release;
use pm_common::sys::process::{self, Child, Launch};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::reachable;

/// All that is kept of what a run writes: its end.
const KEPT: usize = 512;
/// Reads of one turn: others come in between.
const READS_PER_TURN: usize = 16;
/// The longest line that goes into a message, in characters.
const LONGEST_LINE: usize = 200;

/// What the runs for one worker begin with.
#[derive(Debug)]
pub(super) struct Start {
    directory: Rc<OwnedFd>,
    env: Vec<(OsString, OsString)>,
    pub(super) pid: i32,
}

impl Start {
    /// In the directory and with the environment of the worker's release.
    pub(super) fn of(release: &Release) -> Self {
        Self { directory: Rc::clone(&release.directory), env: release.env.clone(), pid: 0 }
    }
}

/// A run. Dropping it ends all of it.
#[derive(Debug)]
pub(super) struct Run {
    child: Child,
    /// What it writes, until nobody has the other end any more.
    output: Option<OwnedFd>,
    last: Vec<u8>,
}

impl Run {
    /// Runs the command, for which a source port was chosen.
    ///
    /// # Errors
    /// In words: it cannot be started.
    pub(super) fn start(
        command: &OsString,
        who: WorkerId,
        at: &Listening,
        (start, port): (&Start, u16),
    ) -> Result<Self, String> {
        let cannot = |error: std::io::Error| format!("health check: cannot run sh: {}", report::reason(&error));
        let (output, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| cannot(errno.into()))?;
        rustix::io::ioctl_fionbio(&output, true).map_err(|errno| cannot(errno.into()))?;
        let both = theirs.try_clone().map_err(cannot)?;
        let mut env = start.env.clone();
        env.extend(variables(who, at, start.pid, port));
        let argv = ["sh".into(), "-c".into(), command.clone()];
        let bare = Launch::bare(Path::new("/bin/sh"), &argv, start.directory.as_fd());
        let child = process::spawn(Launch { env, out: Some(theirs), err: Some(both), ..bare });
        let child = child.map_err(|failed| cannot(failed.error))?;
        Ok(Self { child, output: Some(output), last: Vec::new() })
    }

    /// What to wait for: its end, and what it writes.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.child.pidfd.as_fd()].into_iter().chain(self.output.as_ref().map(AsFd::as_fd))
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.pid
    }

    /// Reads what it has written; its verdict once it has ended: it is well, or what is to be said.
    pub(super) fn go_on(&mut self) -> Option<Result<(), String>> {
        // In this order: what it wrote before its end is there.
        let exit = process::peek_exit(self.child.pid);
        self.read();
        match exit? {
            Exit::Code(0) => Some(Ok(())),
            Exit::Code(code) => Some(Err(self.complaint(&format!("exit {code}")))),
            Exit::Signal(n) => {
                let name = signal_name(n).map_or_else(|| n.to_string(), |name| format!("SIG{name}"));
                Some(Err(self.complaint(&format!("ended by {name}"))))
            }
        }
    }

    /// `health check: exit 7: the last line that it wrote`.
    pub(super) fn complaint(&self, what: &str) -> String {
        let line = last_line(&self.last);
        format!("health check: {what}{}{line}", if line.is_empty() { "" } else { ": " })
    }

    fn read(&mut self) {
        let mut room = [0; 4096];
        for _ in 0..READS_PER_TURN {
            let Some(output) = &self.output else { return };
            match rustix::io::read(output, &mut room) {
                Ok(got) if got > 0 => {
                    self.last.extend(room.get(..got).unwrap_or_default());
                    let surplus = self.last.len().saturating_sub(KEPT);
                    self.last.drain(..surplus);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }
}

impl Drop for Run {
    /// Ends it with all that it has started. Its first process is reaped last, so that the number of the group is its own;
    /// if it has yet to die, by who reaps the orphans.
    fn drop(&mut self) {
        let _ = process::signal_group(self.child.pid, Signal::SIGKILL);
        process::reap(self.child.pid);
    }
}

fn variables(who: WorkerId, at: &Listening, pid: i32, port: u16) -> [(OsString, OsString); 5] {
    [
        ("PM_SLOT", who.slot.to_string()),
        ("PM_GENERATION", who.generation.to_string()),
        ("PM_PID", pid.to_string()),
        ("PM_ADDRESS", address(at)),
        ("PM_HEALTH_PORT", port.to_string()),
    ]
    .map(|(key, value)| (key.into(), value.into()))
}

/// The address in the form that a client takes: without `tcp:`, and with a host that can be connected to.
fn address(at: &Listening) -> String {
    at.tcp().map_or_else(|| at.to_string(), |tcp| SocketAddr::new(reachable(tcp.ip()), tcp.port()).to_string())
}

/// The last line that is not empty; a progress bar ends its lines with a return.
fn last_line(bytes: &[u8]) -> String {
    let lines = bytes.split(|b| matches!(b, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    let line = lines.rev().find(|line| !line.is_empty()).unwrap_or_default();
    String::from_utf8_lossy(line).chars().take(LONGEST_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_can_be_connected_to() {
        let address = |words| address(&Listening::parse(words).expect("an address"));
        assert_eq!(address("tcp:[::]:3000"), "127.0.0.1:3000");
        assert_eq!(address("tcp:10.0.0.1:80"), "10.0.0.1:80");
        assert_eq!(address("tcp:[::1]:80"), "[::1]:80");
        assert_eq!(address("unix:/run/x"), "unix:/run/x");
    }

    #[test]
    fn the_last_line_says_something() {
        assert_eq!(last_line(b"one\ntwo\r\n\n  \n"), "two");
        assert_eq!(last_line(b" 50%\r100%\r"), "100%");
        assert_eq!(last_line(b""), "");
        assert_eq!(last_line(&[0xff; 3]), "\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(last_line(&[b'x'; 500]).len(), LONGEST_LINE);
    }
}
