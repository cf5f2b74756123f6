//! What a tool adds to the loop of a supervisor.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use crate::policy::WorkerId;
use crate::policy::exit::Exit;
use crate::policy::supervisor::Event;
use crate::policy::time::Mono;
use crate::supervise::release::Release;
use crate::sys::seccomp::ToldCalls;

/// What a worker is started with, beyond the chain's own arguments.
#[derive(Debug, Default)]
pub struct WorkerSetup {
    /// Variables of this worker; they win over what it inherits.
    pub env: Vec<(OsString, OsString)>,
    /// The worker's command line, where that is not the chain's own.
    pub argv: Option<Vec<OsString>>,
    /// Descriptors that it keeps under their numbers; ours are closed once it has started.
    pub keep: Vec<OwnedFd>,
    /// One that it finds under this number (`sys::listen_fds::place`); ours is closed once it has started.
    pub place: Option<(OwnedFd, RawFd)>,
    /// Have these of its calls told over this socket (`sys::seccomp`); what comes of it is there before `Adapter::started`.
    pub watch: Option<(OwnedFd, ToldCalls)>,
    /// We, and what we start, may trace it (`sys::ptrace`).
    pub traceable: bool,
    /// Sockets that it finds from descriptor 3 on (`sys::listen_fds`).
    pub sockets: Vec<OwnedFd>,
}

/// A descriptor that is waited for, and what it is called where it is.
#[derive(Debug)]
pub struct Source<'a, T> {
    /// What to call `Adapter::ready` with.
    pub token: T,
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// Wait until it can be read.
    pub read: bool,
    /// Wait until it can be written.
    pub write: bool,
}

impl<'a, T> Source<'a, T> {
    /// A source that is waited for until it can be read.
    pub const fn to_read(token: T, fd: BorrowedFd<'a>) -> Self {
        Self { token, fd, read: true, write: false }
    }

    /// Gives the source another token; the descriptor stays.
    pub fn named<U>(self, name: impl FnOnce(T) -> U) -> Source<'a, U> {
        Source { token: name(self.token), fd: self.fd, read: self.read, write: self.write }
    }
}

/// How a worker listens, for people.
#[derive(Debug, Default)]
pub struct Listens {
    /// Where.
    pub addresses: Vec<String>,
    /// How it came by what it listens on: a word for the status.
    pub by: Option<&'static str>,
    /// The numbers of those sockets.
    pub sockets: Vec<u64>,
}

/// When in a turn of the loop a source is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Before exits: what a worker says, so that one who says "ready" and dies was ready first.
    Said,
    /// After all else.
    Rest,
}

/// What a tool adds to the loop. A hook that is left out does nothing.
pub trait Adapter {
    /// Names a source. Those of one [`Turn`] are looked at in its order.
    type Token: Copy + Ord;

    /// When a source is looked at.
    fn turn(token: Self::Token) -> Turn;
    /// Adds what this worker needs before it is started, to what its release gives it.
    ///
    /// # Errors
    /// No descriptors, no memory: the start counts as failed and is tried again.
    fn prepare(&mut self, _id: WorkerId, _: &Release, _: &mut WorkerSetup) -> io::Result<()> {
        Ok(())
    }
    /// The worker was started, as this process.
    fn started(&mut self, _: WorkerId, _pid: i32) {}
    /// New connections may go to the worker.
    fn steer_in(&mut self, _: WorkerId) {}
    /// No new connections go to the worker.
    fn steer_off(&mut self, _: WorkerId) {}
    /// The worker shall finish its work and end; false: it cannot be asked in any other way than by the stop signal.
    /// Where it can, `Event::Drained` follows once it has finished. `linger`: clients that ask nothing may be waited for.
    fn drain(&mut self, _: WorkerId, _linger: bool) -> bool {
        false
    }
    /// The worker shall end, and is told so with a message; false: it cannot be, and the stop signal is sent.
    fn say_stop(&mut self, _: WorkerId) -> bool {
        false
    }
    /// Whether programs have channels, over which messages of theirs go.
    fn has_channels(&self) -> bool {
        false
    }
    /// From now on what programs say to whoever started them is kept for [`Self::take_messages`], or not.
    fn keep_messages(&mut self, _keep: bool) {}
    /// What programs have said since the last call, as JSON.
    fn take_messages(&mut self) -> Vec<(WorkerId, String)> {
        Vec::new()
    }
    /// Sends the programs of a slot, or of all, a message, which is JSON; gives to how many.
    fn send_message(&mut self, _slot: Option<u32>, _message: &str) -> usize {
        0
    }
    /// Look where it listens by now, where nothing tells of it.
    fn look_where_it_listens(&mut self, _: WorkerId, _: &mut VecDeque<Event>) {}
    /// The worker ended with `exit` (`None`: it never started); true: over something of ours, so that it is to be started
    /// again at once, and its end is not counted.
    fn ended(&mut self, _: WorkerId, _exit: Option<Exit>) -> bool {
        false
    }
    /// The slot is gone for good.
    fn release_slot(&mut self, _slot: u32) {}
    /// Addresses where nobody serves are not kept for later workers.
    fn close_unserved(&mut self) {}
    /// The supervisor stops: nothing needs to be kept for a next worker. Called as soon as that is known, and at the end.
    fn finish(&mut self) {}
    /// Adds what to wait for.
    fn sources<'a>(&'a self, _: &mut Vec<Source<'a, Self::Token>>) {}
    /// Adds those of which there may be thousands: while there is much else to do they are looked at less often.
    fn many_sources<'a>(&'a self, _: &mut Vec<Source<'a, Self::Token>>) {}
    /// A source is ready.
    fn ready(&mut self, _: Self::Token, _: &mut VecDeque<Event>) {}
    /// When `settle` is to be called, if nothing else happens; `None`: there is no need. `settle` moves it on once it
    /// has passed.
    fn deadline(&self) -> Option<Mono> {
        None
    }
    /// Once after each turn, before waiting: what was put off.
    fn settle(&mut self, _: &mut VecDeque<Event>) {}
    /// The bytes that are left where the memory of all workers together is limited; `None`: it is not.
    fn memory_left(&self) -> Option<u64> {
        None
    }
    /// The children that the adapter has started, and waits for itself.
    fn children(&self) -> Vec<i32> {
        Vec::new()
    }
    /// Whether the clients of one address stay with one slot, for people.
    fn is_sticky(&self) -> bool {
        false
    }
    /// Where and how workers listen, for people.
    fn listening(&self) -> BTreeMap<WorkerId, Listens> {
        BTreeMap::new()
    }
}
