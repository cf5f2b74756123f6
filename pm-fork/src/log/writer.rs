//! The loop of the writer: reads what is there, writes it, sleeps. It ends at the end of its inputs, and no sooner.

use std::io;
use std::os::fd::OwnedFd;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use pm_common::cli::report::{Failure, OrFail as _};
use pm_common::sys::process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::format::{Format, Wall};
use super::lines::{LONGEST, Lines, Piece};
use super::sink::{Sink, Stream};

/// A batch of objects for many empty lines is far longer than what was read; that memory is not kept.
const BATCH_KEPT: usize = 1 << 20;
/// The signals that would end the lines' only way to the disk. The end of the inputs ends us.
pub(super) const IGNORED: [i32; 12] = [
    // Taken from a descriptor by the writer (a blocked signal is kept, ignored or not), and nothing to its guard.
    libc::SIGUSR1,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGPIPE,
    libc::SIGXFSZ,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// A stream of the app.
#[derive(Debug)]
pub(super) struct Input {
    fd: OwnedFd,
    stream: Stream,
    /// The sinks that it goes to, by number.
    sinks: Vec<usize>,
    lines: Lines,
    ended: bool,
}

impl Input {
    /// A stream that goes to the sinks of these numbers.
    pub(super) fn new(fd: OwnedFd, stream: Stream, sinks: Vec<usize>) -> Self {
        Self { fd, stream, sinks, lines: Lines::default(), ended: false }
    }
}

/// Why the writer has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its inputs have ended.
    Ended,
    /// Its guard has.
    Unguarded,
}

/// What has woken the writer.
#[derive(Debug, Default)]
struct Woken {
    /// A signal came.
    asked: bool,
    /// The guard has ended.
    unguarded: bool,
    /// The inputs that can be read, by number.
    ready: Vec<usize>,
}

/// Moves lines from inputs to sinks.
#[derive(Debug)]
pub(super) struct Writer {
    inputs: Vec<Input>,
    sinks: Vec<Sink>,
    signals: SignalFd,
    read: Vec<u8>,
    /// Memory for batches.
    batches: Vec<Vec<u8>>,
    /// pm-log ends, too, when nobody reads what it writes: so that who is in front of a filter learns of it.
    is_filter: bool,
}

impl Writer {
    /// Takes over the process's signals.
    ///
    /// # Errors
    /// No descriptor for the signals.
    pub(super) fn begin(inputs: Vec<Input>, sinks: Vec<Sink>, is_filter: bool) -> Result<Self, Failure> {
        let mut usr1 = SigSet::empty();
        usr1.add(Signal::SIGUSR1);
        usr1.thread_set_mask().or_fail(|| "cannot block signals".to_owned())?;
        let signals = SignalFd::with_flags(&usr1, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        let signals = signals.or_fail(|| "cannot receive signals".to_owned())?;
        IGNORED
            .iter()
            .try_for_each(|signal| process::ignore(*signal))
            .or_fail(|| "cannot ignore signals".to_owned())?;
        Ok(Self { inputs, sinks, signals, read: vec![0; LONGEST], batches: Vec::new(), is_filter })
    }

    /// Says something of its own in a sink.
    pub(super) fn say(&mut self, sink: usize, text: &str) {
        if let Some(sink) = self.sinks.get_mut(sink) {
            sink.say(text, now());
        }
    }

    /// The first two of its inputs, for another writer.
    pub(super) fn into_inputs(self) -> Option<(OwnedFd, OwnedFd)> {
        let mut fds = self.inputs.into_iter().map(|input| input.fd);
        fds.next().zip(fds.next())
    }

    /// Runs until all inputs have ended, or the process of the pidfd `guard` has.
    ///
    /// # Errors
    /// poll(2) itself fails.
    pub(super) fn run(&mut self, guard: Option<&OwnedFd>) -> Result<Stop, Failure> {
        while self.inputs.iter().any(|input| !input.ended) && !(self.is_filter && self.sinks.iter().all(|s| s.gone)) {
            let Woken { asked, unguarded, ready } = self.wait(guard).or_fail(|| "cannot wait".to_owned())?;
            if unguarded {
                return Ok(Stop::Unguarded);
            }
            let now = now();
            if asked {
                self.reopen(now);
            }
            self.sinks.iter_mut().for_each(|sink| sink.tick(now));
            ready.into_iter().for_each(|n| self.take(n, now));
        }
        let now = now();
        self.sinks.iter_mut().for_each(|sink| sink.finish(now));
        Ok(Stop::Ended)
    }

    /// Sleeps until something is to be done.
    fn wait(&self, guard: Option<&OwnedFd>) -> io::Result<Woken> {
        let numbers: Vec<usize> = (0..self.inputs.len()).filter(|n| !self.inputs[*n].ended).collect();
        let inputs = numbers.iter().map(|n| PollFd::new(&self.inputs[*n].fd, PollFlags::IN));
        let signals = std::iter::once(PollFd::new(&self.signals, PollFlags::IN));
        let guard = guard.map(|guard| PollFd::new(guard, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = signals.chain(inputs).chain(guard).collect();
        match poll(&mut fds, self.time_left().as_ref()) {
            Err(Errno::INTR) => return Ok(Woken::default()),
            other => other?,
        };
        let mut woken = fds.iter().map(|fd| !fd.revents().is_empty());
        let asked = woken.next().unwrap_or(false);
        let ready = numbers.into_iter().filter(|_| woken.next().unwrap_or(false)).collect();
        Ok(Woken { asked, ready, unguarded: woken.next().unwrap_or(false) })
    }

    /// Until the next period of a sink begins.
    fn time_left(&self) -> Option<Timespec> {
        let now = now();
        let next = self.sinks.iter().filter_map(|sink| sink.deadline(now)).min()?;
        // A millisecond more: what is rounded down would wake us too early, and again.
        let ms = next.0 - now.0 + 1;
        Some(Timespec { tv_sec: (ms / 1000).cast_signed(), tv_nsec: (ms % 1000 * 1_000_000).cast_signed() })
    }

    fn reopen(&mut self, now: Wall) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        self.sinks.iter_mut().for_each(|sink| sink.reopen(now));
    }

    /// Reads once, and writes once what that completes, in each of the formats of its sinks.
    fn take(&mut self, n: usize, now: Wall) {
        let Some(input) = self.inputs.get_mut(n) else { return };
        let mut forms: Vec<(Format, Vec<u8>, Vec<u8>)> = Vec::new();
        for sink in input.sinks.iter().filter_map(|sink| self.sinks.get(*sink)) {
            if forms.iter().all(|(known, ..)| known != sink.format()) {
                let head = sink.format().head(input.stream.name(), now);
                forms.push((sink.format().clone(), head, self.batches.pop().unwrap_or_default()));
            }
        }
        let mut add =
            |piece: Piece<'_>| forms.iter_mut().for_each(|(format, head, batch)| format.append(head, piece, batch));
        match rustix::io::read(&input.fd, &mut self.read) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            // An error (of a terminal that is gone) is an end, too.
            Ok(0) | Err(_) => {
                input.lines.finish(&mut add);
                input.ended = true;
            }
            Ok(n) => {
                let bytes = self.read.get(..n).unwrap_or_default();
                input.lines.push(bytes, &mut add);
            }
        }
        for number in &input.sinks {
            let Some(sink) = self.sinks.get_mut(*number) else { continue };
            if let Some((_, _, batch)) = forms.iter().find(|(format, ..)| format == sink.format()) {
                sink.write(input.stream, batch, now);
            }
        }
        for (_, _, mut batch) in forms {
            batch.clear();
            batch.shrink_to(BATCH_KEPT);
            self.batches.push(batch);
        }
    }
}

/// The time on the wall.
pub(super) fn now() -> Wall {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let ms = t.tv_sec.saturating_mul(1000).saturating_add(t.tv_nsec / 1_000_000);
    Wall(u64::try_from(ms).unwrap_or(0))
}
