//! The tracing of a worker's tree: what stops is looked at and goes on, until all have ended or something surprises us.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use pm_common::kernel::procfs::{self, Proc};
use pm_common::kernel::sock_diag::SeenPorts;
use pm_common::sys::ptrace::{self, Stop};
use pm_common::sys::{reach, socket};

use super::head::{self, LONGEST_HEAD, Overwrite};
use super::stops::{self, Place, Todo, Written};

/// Pieces of one write that are looked at: a head lies in the first few.
const PIECES: u64 = 16;
/// Bytes of `struct iovec`, and where its array and their number are in `struct msghdr`, on all of 64 bits.
const PIECE: usize = 16;
const MESSAGE: usize = 32;
const ARRAY_IN_MESSAGE: usize = 16;
/// Bytes that tell whether a head begins.
const BEGIN: usize = 7;
/// Times that the threads of a tree are looked for: new ones are traced by themselves, but those that began before.
const LOOKS: usize = 8;

/// Why nobody is traced any more.
#[derive(Debug)]
pub(super) enum End {
    /// All have ended.
    Gone,
    /// Tracing is not allowed.
    Denied(io::Error),
    /// All were let go.
    LetGo(&'static str),
}

/// What was written over in a call that is under way.
#[derive(Debug)]
struct Change {
    /// What was there: the addresses, and the bytes.
    before: Vec<(usize, Vec<u8>)>,
    /// Up to which byte of the call.
    end: usize,
}

/// The threads that are traced, each with the change of its call, and the ports whose clients are told.
#[derive(Debug)]
pub(super) struct Tracer {
    threads: BTreeMap<i32, Option<Change>>,
    ports: BTreeSet<u16>,
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
        Self { threads: BTreeMap::new(), ports }
    }

    /// Traces the tree of a process until it is over.
    pub(super) fn run(mut self, root: i32) -> End {
        if let Err(error) = self.seize(root) {
            return End::Denied(error);
        }
        loop {
            let Ok((thread, stop)) = ptrace::next() else { return End::Gone };
            if let Some(why) = self.on_stop(thread, stop) {
                // Our end lets all go, those too that run just now.
                return End::LetGo(why);
            }
        }
    }

    /// Traces each thread of the tree; an error if none may be traced.
    fn seize(&mut self, root: i32) -> io::Result<()> {
        let mut denied = None;
        for _ in 0..LOOKS {
            let known = self.threads.len();
            let tree: Vec<i32> = Proc::default().tree(root, |_| true).iter().map(|stat| stat.pid).collect();
            for process in tree {
                denied = self.seize_process(process).err().or(denied);
            }
            if self.threads.len() == known {
                break;
            }
        }
        match denied {
            Some(error) if self.threads.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// Traces each thread of a process. One whose first thread may not be traced is left alone: it is not allowed, or it
    /// has a debugger.
    fn seize_process(&mut self, process: i32) -> io::Result<()> {
        for thread in threads_of(process) {
            if self.threads.contains_key(&thread) {
                continue;
            }
            match ptrace::seize(thread).and_then(|()| ptrace::interrupt(thread)) {
                Ok(()) => drop(self.threads.insert(thread, None)),
                // It was made by one that we have already, or it has ended.
                Err(_) if thread != process => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Has a thread that has stopped go on; why all are to be let go.
    fn on_stop(&mut self, thread: i32, stop: Stop) -> Option<&'static str> {
        let change = self.threads.entry(thread).or_default().take();
        let call = if stop == Stop::Call { ptrace::call(thread).ok().flatten() } else { None };
        if stop == Stop::Call && call.is_none() && !is_there(thread) {
            // It was killed while it stood still: its end comes next.
            return None;
        }
        // One that is gone, or was killed while it stood still, is told of by its end: nothing to be done here.
        let _ = match stops::decide(stop, call) {
            Todo::GoOn(signal) => {
                self.threads.insert(thread, change);
                ptrace::go_on(thread, signal)
            }
            Todo::Stay => ptrace::stay(thread),
            Todo::LetGo => {
                self.threads.remove(&thread);
                ptrace::let_go(thread)
            }
            Todo::Forget => {
                self.threads.remove(&thread);
                Ok(())
            }
            Todo::PutBack(value) => {
                let change = change.filter(|change| stops::may_put_back(value, change.end));
                for (address, bytes) in change.iter().flat_map(|change| &change.before) {
                    let _ = reach::write_memory(thread, *address, bytes);
                }
                ptrace::go_on(thread, 0)
            }
            Todo::Look(written) => match self.look(thread, written) {
                Ok(change) => {
                    self.threads.insert(thread, change);
                    ptrace::go_on(thread, 0)
                }
                Err(Unreadable) => return is_there(thread).then_some("memory that cannot be read"),
            },
            Todo::LetAllGo(why) => return Some(why),
        };
        None
    }

    /// Writes over the head of what is being written, if a client of ours is to read it.
    fn look(&self, thread: i32, written: Written) -> Result<Option<Change>, Unreadable> {
        let pieces = pieces(thread, written.place)?;
        if !head::may_begin(&read(thread, &pieces, BEGIN)?) {
            return Ok(None);
        }
        let Ok(overwrite) = head::closing(&read(thread, &pieces, LONGEST_HEAD)?) else { return Ok(None) };
        let Some(process) = procfs::process_of(thread) else { return Err(Unreadable) };
        if self.is_owed(process, written.fd) { Ok(write_over(thread, &overwrite, &pieces)) } else { Ok(None) }
    }

    /// Whether a descriptor is a connection to one of our ports whose client waits for an answer: what came last came
    /// from it, so that this is no part of a body that looks like a head.
    fn is_owed(&self, process: i32, fd: i32) -> bool {
        let Ok(connection) = reach::take_descriptor(process, fd) else { return self.is_owed_by_number(process, fd) };
        let ours = socket::local_inet(&connection).is_ok_and(|local| self.ports.contains(&local.port()));
        ours && socket::traffic(&connection).is_ok_and(|at| at.established && at.received_ago <= at.sent_ago)
    }

    /// Whether it is, where no duplicate can be had (containers forbid it).
    fn is_owed_by_number(&self, process: i32, fd: i32) -> bool {
        let Some(inode) = procfs::socket_behind(process, fd) else { return false };
        let all = SeenPorts::default().at(&self.ports).unwrap_or_default();
        all.iter().any(|one| one.inode == inode && one.received > 0 && one.received_ago <= one.sent_ago)
    }
}

/// Writes over it, or leaves all as it was: a program that cannot write there itself may share it with others.
fn write_over(thread: i32, overwrite: &Overwrite, pieces: &[(usize, usize)]) -> Option<Change> {
    let parts = overwrite.in_memory(pieces);
    let before: io::Result<Vec<_>> =
        parts.iter().map(|(at, bytes)| Ok((*at, reach::read_memory(thread, *at, bytes.len())?))).collect();
    let before = before.ok()?;
    for (done, (address, bytes)) in parts.iter().enumerate() {
        if reach::write_memory(thread, *address, bytes).is_err() {
            for (address, bytes) in before.iter().take(done + 1) {
                let _ = reach::write_memory(thread, *address, bytes);
            }
            return None;
        }
    }
    Some(Change { before, end: overwrite.end() })
}

/// Where the first bytes of a call lie, and how many at each place.
fn pieces(thread: i32, place: Place) -> Result<Vec<(usize, usize)>, Unreadable> {
    let (address, count) = match place {
        Place::Bytes { address, length } => return Ok(vec![(as_size(address), as_size(length))]),
        Place::Pieces { address, count } => (address, count),
        Place::Message { address } => {
            let message = reach::read_memory(thread, as_size(address), MESSAGE)?;
            (word(&message, ARRAY_IN_MESSAGE)?, word(&message, ARRAY_IN_MESSAGE + 8)?)
        }
    };
    let count = as_size(count.min(PIECES));
    let array = reach::read_memory(thread, as_size(address), count * PIECE)?;
    (0..count).map(|n| Ok((as_size(word(&array, n * PIECE)?), as_size(word(&array, n * PIECE + 8)?)))).collect()
}

/// The first bytes of a call, at most so many.
fn read(thread: i32, pieces: &[(usize, usize)], most: usize) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    for (address, length) in pieces {
        let length = (*length).min(most - bytes.len());
        if length > 0 {
            let got = reach::read_memory(thread, *address, length)?;
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

/// Whether a thread exists and has not ended.
fn is_there(thread: i32) -> bool {
    procfs::stat(thread).is_some_and(|stat| !stat.is_zombie())
}

fn threads_of(process: i32) -> Vec<i32> {
    let entries = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
