//! The tracing of a worker's processes: what stops is looked at and goes on, until all have ended, nobody can be told, or
//! something surprises us.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use nix::libc;
use pm_common::kernel::procfs;
use pm_common::kernel::sock_diag::{Connection, SeenPorts};
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::ptrace::{self, Stop};
use pm_common::sys::socket::Traffic;
use pm_common::sys::{clock, other_process, socket};

use super::head::{self, LONGEST_HEAD, Overwrite};
use super::ptrace_stop::{self, Place, Todo, Written};

/// Pieces of one write that are looked at: a head lies in the first few.
const PIECES: u64 = 16;
/// Bytes of `struct iovec`, and where its array and their number are in `struct msghdr`, on all of 64 bits.
const PIECE: usize = 16;
const MESSAGE: usize = 32;
const ARRAY_IN_MESSAGE: usize = 16;
/// Bytes that tell whether a head begins.
const BEGIN: usize = 7;
/// After so long without a head to a client it is looked whether the tracing is worth its price: what there is may be
/// streams, downloads, TLS.
const QUIET: Span = Span::millis(500);
/// Stops in that time that cost the worker next to nothing, at some microseconds each.
const CHEAP: u32 = 1000;
/// Milliseconds without an answer after which a client waits for a slow one. What is answered sooner is told of by its
/// head, or has none.
const SLOW: u32 = 200;
/// Times that the threads of a process are looked for: new ones are traced by themselves, but those that began before.
const LOOKS: usize = 8;

/// Why nobody is traced any more.
#[derive(Debug)]
pub(super) enum End {
    /// All have ended, or there is nobody to be told.
    Over,
    /// All were let go.
    LetGo(&'static str),
}

/// A thread cannot be traced.
#[derive(Debug)]
pub(super) struct Refusal {
    /// None can.
    pub(super) all: bool,
    /// Another traces it.
    pub(super) has_tracer: bool,
    pub(super) error: io::Error,
}

impl Refusal {
    /// `None`: the thread has ended, or it was made by one that we have, and so we have it already.
    fn of(thread: i32, error: io::Error) -> Option<Self> {
        let status = procfs::text(&format!("{thread}/status"))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let tracer: u32 = field("TracerPid:")?.parse().ok()?;
        let ended = field("State:").is_none_or(|state| state.starts_with(['Z', 'X']));
        (!ended && tracer != std::process::id()).then_some(Self { all: false, has_tracer: tracer != 0, error })
    }
}

/// What a thread that is traced is about.
#[derive(Debug, Default)]
enum At {
    #[default]
    Work,
    /// In a call whose bytes were written over.
    Change(Change),
    /// A stop signal holds it.
    Rest,
}

/// What was written over in a call that is under way.
#[derive(Debug)]
struct Change {
    /// What was there, and where.
    before: Vec<u8>,
    address: usize,
    /// Up to which byte of the call.
    end: usize,
    /// The number of the socket that is written to.
    socket: u64,
}

/// The threads that are traced, and the connections to the ports whose clients are told.
#[derive(Debug)]
pub(super) struct Tracer {
    threads: BTreeMap<i32, At>,
    /// The processes of those that have written heads.
    processes: BTreeMap<i32, i32>,
    ports: BTreeSet<u16>,
    /// The sockets of connections on which something was written that may be a head, and how many bytes had come by then.
    begun: BTreeMap<u64, u64>,
    /// When something of that kind was written last.
    since: Mono,
    /// Stops since then.
    stops: u32,
}

/// What the kernel tells of a connection to one of our ports.
#[derive(Debug, Clone, Copy)]
struct Client {
    socket: u64,
    at: Traffic,
}

/// What was read in another process is no longer as it was, or cannot be read.
struct Unreadable;

impl From<io::Error> for Unreadable {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Tracer {
    pub(super) fn new(ports: BTreeSet<u16>) -> Self {
        let (threads, processes, begun) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { threads, processes, ports, begun, since: clock::now(), stops: 0 }
    }

    /// Traces these processes until they end, or nobody is there who can be told; `refused` hears why some of them, or of
    /// their threads, cannot be traced.
    pub(super) fn run(mut self, processes: &BTreeSet<i32>, refused: impl Fn(&Refusal)) -> End {
        ptrace::hold_back_stops();
        if let Some(refusal) = self.seize(processes) {
            refused(&refusal);
        }
        if self.threads.is_empty() {
            return End::Over;
        }
        self.begin_anew();
        loop {
            let Ok(stops) = ptrace::stops(self.left()) else { return End::Over };
            self.stops = self.stops.saturating_add(u32::try_from(stops.len()).unwrap_or(u32::MAX));
            // All of them, before our end lets all go: a signal that we were told of would be lost.
            let told = stops.into_iter().filter_map(|(thread, stop)| self.on_stop(thread, stop)).collect::<Vec<_>>();
            if let Some(why) = told.first() {
                return End::LetGo(why);
            }
            if self.left().is_zero() {
                if self.stops > CHEAP && !self.is_awaited() {
                    return End::Over;
                }
                self.begin_anew();
            }
        }
    }

    fn begin_anew(&mut self) {
        (self.since, self.stops) = (clock::now(), 0);
    }

    /// Whether a client of what is traced waits for a slow answer.
    fn is_awaited(&self) -> bool {
        let connections = SeenPorts::default().at(&self.ports).unwrap_or_default();
        let mut slow = connections.iter().filter(|one| ptrace_stop::is_slow(traffic(one), SLOW)).peekable();
        // Few of many threads are the first of their process.
        slow.peek().is_some() && {
            let held =
                procfs::sockets_of(self.threads.keys().copied().filter(|one| procfs::process_of(*one) == Some(*one)));
            slow.any(|one| held.contains(&one.inode))
        }
    }

    /// How long it may still be quiet. What was written over comes back first, and one that stands still says nothing.
    fn left(&self) -> Duration {
        let busy = self.threads.values().any(|at| !matches!(at, At::Work));
        if busy {
            QUIET.as_duration()
        } else {
            Span(QUIET.0.saturating_sub(clock::now().since(self.since).0)).as_duration()
        }
    }

    /// Traces each thread of these processes; one of those that cannot be traced, if there are any.
    fn seize(&mut self, processes: &BTreeSet<i32>) -> Option<Refusal> {
        let mut refusal = None;
        for _ in 0..LOOKS {
            let known = self.threads.len();
            for process in processes {
                refusal = self.seize_process(*process).or(refusal);
            }
            if self.threads.len() == known {
                break;
            }
        }
        let all = self.threads.is_empty();
        refusal.map(|refusal| Refusal { all, ..refusal })
    }

    /// Traces each thread of a process. One whose first thread may not be traced is left alone: it is not allowed, or it
    /// has a debugger.
    fn seize_process(&mut self, process: i32) -> Option<Refusal> {
        let mut refusal = None;
        for thread in threads_of(process) {
            if self.threads.contains_key(&thread) {
                continue;
            }
            match ptrace::seize(thread).and_then(|()| ptrace::interrupt(thread)) {
                Ok(()) => drop(self.threads.insert(thread, At::Work)),
                Err(error) => match Refusal::of(thread, error) {
                    Some(refused) if thread == process => return Some(refused),
                    refused => refusal = refused.or(refusal),
                },
            }
        }
        refusal
    }

    /// Has a thread that has stopped go on; why all are to be let go.
    fn on_stop(&mut self, thread: i32, stop: Stop) -> Option<&'static str> {
        let before = std::mem::take(self.threads.entry(thread).or_default());
        if matches!(before, At::Rest) {
            self.begin_anew();
        }
        let call = match (stop == Stop::Call).then(|| ptrace::call(thread)) {
            // It was killed while it stood still: its end comes next.
            Some(Err(error)) if error.raw_os_error() == Some(libc::ESRCH) => return None,
            call => call.and_then(Result::ok).flatten(),
        };
        // One that is gone, or was killed while it stood still, is told of by its end: nothing to be done here.
        let _ = match ptrace_stop::decide(stop, call) {
            Todo::GoOn(signal) => {
                if matches!(before, At::Change(_)) {
                    self.threads.insert(thread, before);
                }
                ptrace::go_on(thread, signal)
            }
            Todo::Stay => {
                self.threads.insert(thread, At::Rest);
                ptrace::stay(thread)
            }
            Todo::LetGo => {
                self.forget(thread);
                ptrace::let_go(thread)
            }
            Todo::Forget => {
                self.forget(thread);
                Ok(())
            }
            Todo::PutBack(value) => {
                if let At::Change(change) = before {
                    self.put_back(thread, value, &change);
                }
                ptrace::go_on(thread, 0)
            }
            Todo::Look(written) => {
                // What cannot be read the kernel cannot send either, and it has an answer for that.
                if let Ok(Some(change)) = self.look(thread, written) {
                    self.threads.insert(thread, At::Change(change));
                }
                ptrace::go_on(thread, 0)
            }
            Todo::LetAllGo(why) => return Some(why),
        };
        None
    }

    fn forget(&mut self, thread: i32) {
        self.threads.remove(&thread);
        self.processes.remove(&thread);
    }

    /// The process of a thread. The kernel is asked once: it writes out all that there is to say of a thread, at each response.
    fn process_of(&mut self, thread: i32) -> Option<i32> {
        if let Some(known) = self.processes.get(&thread) {
            return Some(*known);
        }
        let process = procfs::process_of(thread)?;
        self.processes.insert(thread, process);
        Some(process)
    }

    fn put_back(&mut self, thread: i32, value: i64, change: &Change) {
        if value <= 0 {
            // It is written once more.
            self.begun.remove(&change.socket);
        }
        if ptrace_stop::may_put_back(value, change.end) {
            let _ = other_process::write_memory(thread, change.address, &change.before);
        }
    }

    /// Writes over the head of what is being written, if a client of ours is to read it.
    fn look(&mut self, thread: i32, written: Written) -> Result<Option<Change>, Unreadable> {
        let pieces = pieces(thread, written.place)?;
        if !head::may_begin(&read(thread, &pieces, BEGIN)?) {
            return Ok(None);
        }
        let process = self.process_of(thread).ok_or(Unreadable)?;
        let Some(client) = self.client(process, written.fd) else { return Ok(None) };
        self.begin_anew();
        let before = self.begun.insert(client.socket, client.at.received);
        if !ptrace_stop::is_owed(client.at, before) {
            return Ok(None);
        }
        let Ok(overwrite) = head::closing(&read(thread, &pieces, LONGEST_HEAD)?) else { return Ok(None) };
        let Some(address) = overwrite.in_memory(&pieces) else { return Ok(None) };
        Ok(write_over(thread, address, &overwrite, client.socket))
    }

    /// The connection behind a descriptor, if it is one to our ports that neither side has ended.
    fn client(&self, process: i32, fd: i32) -> Option<Client> {
        let Ok(connection) = other_process::take_descriptor(process, fd) else {
            return self.client_by_number(process, fd);
        };
        if !socket::local_inet(&connection).is_ok_and(|local| self.ports.contains(&local.port())) {
            return None;
        }
        let at = socket::traffic(&connection).ok().filter(|at| at.established)?;
        Some(Client { socket: socket::inode(&connection).ok()?, at })
    }

    /// A connection by the number of its socket, where no duplicate can be had (containers forbid it).
    fn client_by_number(&self, process: i32, fd: i32) -> Option<Client> {
        let socket = procfs::socket_behind(process, fd)?;
        let one = SeenPorts::default().at(&self.ports)?.into_iter().find(|one| one.inode == socket)?;
        Some(Client { socket, at: traffic(&one) })
    }
}

/// What the kernel's monitor says of a connection.
fn traffic(one: &Connection) -> Traffic {
    let Connection { sent_ago, received_ago, received, .. } = *one;
    Traffic { established: true, sent_ago, received_ago, received }
}

/// Writes over it, or leaves all as it was: a program that cannot write there itself may share it with others.
fn write_over(thread: i32, address: usize, overwrite: &Overwrite, socket: u64) -> Option<Change> {
    let before = other_process::read_memory(thread, address, overwrite.bytes.len()).ok()?;
    if before.len() < overwrite.bytes.len() {
        return None;
    }
    if other_process::write_memory(thread, address, &overwrite.bytes).is_err() {
        let _ = other_process::write_memory(thread, address, &before);
        return None;
    }
    Some(Change { before, address, end: overwrite.end(), socket })
}

/// Where the first bytes of a call lie, and how many at each place.
fn pieces(thread: i32, place: Place) -> Result<Vec<(usize, usize)>, Unreadable> {
    let (address, count) = match place {
        Place::Bytes { address, length } => return Ok(vec![(as_size(address), as_size(length))]),
        Place::Pieces { address, count } => (address, count),
        Place::Message { address } => {
            let message = other_process::read_memory(thread, as_size(address), MESSAGE)?;
            (word(&message, ARRAY_IN_MESSAGE)?, word(&message, ARRAY_IN_MESSAGE + 8)?)
        }
    };
    let count = as_size(count.min(PIECES));
    let array = other_process::read_memory(thread, as_size(address), count * PIECE)?;
    (0..count).map(|n| Ok((as_size(word(&array, n * PIECE)?), as_size(word(&array, n * PIECE + 8)?)))).collect()
}

/// The first bytes of a call, at most so many.
fn read(thread: i32, pieces: &[(usize, usize)], most: usize) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    for (address, length) in pieces {
        let length = (*length).min(most - bytes.len());
        if length > 0 {
            let got = other_process::read_memory(thread, *address, length)?;
            let whole = got.len() == length;
            bytes.extend(got);
            if !whole {
                return Err(Unreadable);
            }
        }
    }
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> Result<u64, Unreadable> {
    let word = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    word.map(u64::from_ne_bytes).ok_or(Unreadable)
}

fn as_size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn threads_of(process: i32) -> Vec<i32> {
    let entries = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
