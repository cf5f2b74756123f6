//! A running chain: its lines, its end, and the workers that answer behind it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::Scene;
use crate::wait::{self, DEADLINE};
use crate::{http, proc};

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The workers' own.
    Out,
    /// The supervisors' messages, and the workers' errors.
    Err,
}

/// One of its streams.
#[derive(Debug)]
struct Pipe {
    stream: Stream,
    /// Our end, which never blocks; `None` once nobody holds the other.
    from: Option<File>,
    /// The beginning of a line.
    begun: Vec<u8>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<(Stream, String)>,
    pipes: Vec<Pipe>,
}

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
}

impl Shared {
    /// The log with all that was written before the call: who asks reads for himself, and depends on no other thread's turn.
    fn log(&self) -> MutexGuard<'_, Log> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.read();
        log
    }
}

/// A running chain.
#[derive(Debug)]
pub struct Chain<'a> {
    /// The place it runs in.
    pub scene: &'a Scene,
    child: RefCell<Child>,
    shared: Arc<Shared>,
}

impl<'a> Chain<'a> {
    /// Starts a command and reads its output.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(scene: &'a Scene, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let shared = Arc::new(Shared::default());
        if let Some(out) = child.stdout.take() {
            read_lines(&shared, Stream::Out, out.into());
        }
        if let Some(err) = child.stderr.take() {
            read_lines(&shared, Stream::Err, err.into());
        }
        Self { scene, child: RefCell::new(child), shared }
    }

    /// The outermost process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.borrow().id()
    }

    /// The outermost process's stdin, where the command has a pipe for it; only once.
    #[must_use]
    pub fn stdin(&self) -> Option<ChildStdin> {
        self.child.borrow_mut().stdin.take()
    }

    /// Sends the outermost process a signal.
    pub fn signal(&self, signal: Signal) {
        proc::send(self.pid(), signal);
    }

    /// All lines of a stream so far.
    #[must_use]
    pub fn lines(&self, stream: Stream) -> Vec<String> {
        let log = self.shared.log();
        log.lines.iter().filter(|(s, _)| *s == stream).map(|(_, l)| l.clone()).collect()
    }

    /// The messages of the supervisors so far that hold this text.
    #[must_use]
    pub fn messages(&self, text: &str) -> Vec<String> {
        self.lines(Stream::Err).into_iter().filter(|l| l.starts_with("pm-") && l.contains(text)).collect()
    }

    /// What the fixtures said so far with this `at`.
    #[must_use]
    pub fn said(&self, at: &str) -> Vec<Value> {
        let parsed = self.lines(Stream::Out).into_iter().filter_map(|l| serde_json::from_str::<Value>(&l).ok());
        parsed.filter(|v| v["at"] == at).collect()
    }

    /// Waits until `probe` has a value, looking again at each new line.
    ///
    /// # Panics
    /// After the deadline, with all lines so far.
    #[track_caller]
    pub fn on_line<T>(&self, what: &str, mut probe: impl FnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            let seen = self.shared.log().lines.len();
            if let Some(value) = probe(self) {
                return value;
            }
            let log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {DEADLINE:?} in vain for {what}\n{}", dump(&log));
            let same = |log: &mut Log| log.lines.len() == seen;
            drop(self.shared.changed.wait_timeout_while(log, left, same));
        }
    }

    /// Waits for a line of either stream that holds this text.
    ///
    /// # Panics
    /// After the deadline.
    #[track_caller]
    pub fn line(&self, text: &str) -> String {
        let find = |stream| self.lines(stream).into_iter().find(|l| l.contains(text));
        self.on_line(text, |_| find(Stream::Err).or_else(|| find(Stream::Out)))
    }

    /// Waits until the fixtures have said this `count` times.
    ///
    /// # Panics
    /// After the deadline.
    #[track_caller]
    pub fn hear(&self, at: &str, count: usize) -> Vec<Value> {
        self.on_line(&format!("{count} times {at}"), |c| Some(c.said(at)).filter(|v| v.len() >= count))
    }

    /// Waits for a condition that no line announces.
    ///
    /// # Panics
    /// After the deadline, with all lines so far.
    #[track_caller]
    pub fn until<T>(&self, what: &str, probe: impl FnMut() -> Option<T>) -> T {
        match wait::poll(probe) {
            Some(value) => value,
            None => panic!("waited {DEADLINE:?} in vain for {what}\n{}", self.output()),
        }
    }

    /// Waits until this many different workers have answered on the test's port.
    ///
    /// # Panics
    /// After the deadline.
    #[track_caller]
    pub fn serving(&self, count: usize) -> BTreeSet<u32> {
        let mut pids = BTreeSet::new();
        self.until(&format!("{count} workers that answer"), || {
            pids.extend(http::pids(self.scene.port, 8));
            pids.retain(|pid| proc::alive(*pid));
            (pids.len() >= count).then(|| pids.clone())
        })
    }

    /// Waits for the end of the outermost process.
    ///
    /// # Panics
    /// After the deadline.
    #[track_caller]
    pub fn wait(&self) -> ExitStatus {
        self.until("the chain to end", || self.child.borrow_mut().try_wait().expect("our own child"))
    }

    /// Whether the outermost process still runs.
    ///
    /// # Panics
    /// When it is not ours.
    #[must_use]
    pub fn running(&self) -> bool {
        self.child.borrow_mut().try_wait().expect("our own child").is_none()
    }

    /// Waits for the end and checks that nothing survived: no process, and nobody who holds the streams.
    ///
    /// # Panics
    /// When something did.
    #[track_caller]
    pub fn ended(&self) -> Option<i32> {
        let status = self.wait();
        let mut left: Vec<_> = self.scene.processes().iter().map(|pid| (*pid, proc::name(*pid))).collect();
        // pm-log's writer is no part of the chain, and ends once nobody can write to it any more. Who was killed may still
        // wait for a processor.
        left.retain(|(pid, name)| name != "pm-log" && !proc::is_ending(*pid));
        assert!(left.is_empty(), "alive after the chain ended: {left:?}\n{}", self.output());
        self.streams_end();
        self.until("the end of pm-log and of who was killed", || self.scene.processes().is_empty().then_some(()));
        assert_eq!(status.signal(), None, "died by a signal\n{}", self.output());
        status.code()
    }

    /// Sends TERM and checks the orderly end.
    ///
    /// # Panics
    /// When the exit code is not 0 or something survived.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.ended(), Some(0), "{}", self.output());
    }

    /// Waits until nobody holds stdout or stderr.
    ///
    /// # Panics
    /// After the deadline.
    #[track_caller]
    pub fn streams_end(&self) {
        let ended = || self.shared.log().pipes.iter().all(|pipe| pipe.from.is_none());
        self.until("the end of stdout and stderr", || ended().then_some(()));
    }

    /// All lines so far, for messages.
    #[must_use]
    pub fn output(&self) -> String {
        dump(&self.shared.log())
    }
}

fn dump(log: &Log) -> String {
    let line = |(stream, text): &(Stream, String)| format!("  {stream:?} {text}\n");
    let skip = log.lines.len().saturating_sub(200);
    log.lines.iter().skip(skip).map(line).collect()
}

impl Log {
    fn read(&mut self) {
        for pipe in &mut self.pipes {
            pipe.read(&mut self.lines);
        }
    }
}

impl Pipe {
    /// As much at once as no pipe holds: who never stops writing keeps nobody here.
    const MOST: usize = 2 << 20;

    fn read(&mut self, lines: &mut Vec<(Stream, String)>) {
        let (mut bytes, mut all) = ([0; 1 << 16], 0);
        while let Some(from) = self.from.as_mut().filter(|_| all < Self::MOST) {
            match from.read(&mut bytes) {
                Ok(0) => self.from = None,
                Ok(length) => {
                    all += length;
                    self.begun.extend_from_slice(&bytes[..length]);
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => panic!("cannot read what the chain says: {e}"),
            }
        }
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole = if self.from.is_none() { self.begun.len() } else { whole };
        let text = |line: &[u8]| (self.stream, String::from_utf8_lossy(line).trim_end().to_owned());
        lines.extend(self.begun[..whole].split_inclusive(|byte| *byte == b'\n').map(text));
        self.begun.drain(..whole);
    }
}

/// Reads a stream as it is written, so that nobody who writes waits for the test.
fn read_lines(shared: &Arc<Shared>, stream: Stream, from: OwnedFd) {
    fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("our own pipe");
    let ours = from.try_clone().expect("a descriptor");
    let pipe = Pipe { stream, from: Some(File::from(from)), begun: Vec::new() };
    shared.log.lock().unwrap_or_else(PoisonError::into_inner).pipes.push(pipe);
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let ended = |log: &Log| log.pipes.iter().any(|pipe| pipe.stream == stream && pipe.from.is_none());
        loop {
            let _ = poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
            let log = shared.log();
            let ended = ended(&log);
            drop(log);
            shared.changed.notify_all();
            if ended {
                return;
            }
        }
    });
}
