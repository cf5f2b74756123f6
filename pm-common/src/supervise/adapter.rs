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

/// What a worker is started with, beyond the chain's own arguments.
#[derive(Debug, Default)]
pub struct Plan {
    /// Variables of this worker; they win over what it inherits.
    pub env: Vec<(OsString, OsString)>,
    /// Its command line, where that is not the chain's own.
    pub argv: Option<Vec<OsString>>,
    /// Descriptors that it keeps under their numbers; ours are closed once it has started.
    pub keep: Vec<OwnedFd>,
    /// One that it finds under this number (`sys::passed::place`); ours is closed once it has started.
    pub place: Option<(OwnedFd, RawFd)>,
    /// Have its binds told over this socket (`sys::seccomp`); what comes of it is there before `Adapter::started`.
    pub watch: Option<OwnedFd>,
    /// Sockets that it finds from descriptor 3 on (`sys::passed`).
    pub sockets: Vec<OwnedFd>,
    /// It will say when its program has been loaded (`Event::Booted`): until then, that it lives shows nothing.
    pub boots: bool,
}

/// A descriptor that an adapter waits for.
#[derive(Debug)]
pub struct Source<'a> {
    /// What to call `Adapter::ready` with.
    pub token: AdapterToken,
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// Wait until it can be read.
    pub read: bool,
    /// Wait until it can be written.
    pub write: bool,
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

/// Names an adapter's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterToken {
    /// Something a worker says: looked at before exits, so that one who says "ready" and dies was ready first.
    Channel(WorkerId),
    /// A call of a worker's tree that waits for our answer; it may come from what a worker left behind.
    Calls(WorkerId),
    /// A question to a worker.
    Health(WorkerId),
    /// Anything else: looked at last.
    Listener(u64),
}

/// What a tool adds to the loop.
pub trait Adapter {
    /// Adds what this worker needs before it is started, to what its release gives it.
    ///
    /// # Errors
    /// No descriptors, no memory: the start counts as failed and is tried again.
    fn prepare(&mut self, id: WorkerId, release: &Release, plan: &mut Plan) -> io::Result<()>;
    /// It was started.
    fn started(&mut self, id: WorkerId, pid: i32);
    /// New connections may go to it.
    fn steer_in(&mut self, id: WorkerId);
    /// No new connections go to it.
    fn steer_off(&mut self, id: WorkerId);
    /// It shall finish its work and end; false: it cannot be asked in any other way than by the stop signal. Where it
    /// can, `Event::Drained` follows once it has finished. `linger`: clients that ask nothing may be waited for.
    fn drain(&mut self, id: WorkerId, linger: bool) -> bool;
    /// It shall end, and is told so with a message; false: it cannot be, and the stop signal is sent.
    fn say_stop(&mut self, _: WorkerId) -> bool {
        false
    }
    /// It ended in this way (`None`: it could not be started); true: over something of ours, so that it is to be started
    /// again at once, and its end is not counted.
    fn ended(&mut self, id: WorkerId, exit: Option<Exit>) -> bool;
    /// The slot is gone for good.
    fn release_slot(&mut self, slot: u32);
    /// The supervisor stops: nothing needs to be kept for a next worker. Called as soon as that is known, and at the end.
    fn finish(&mut self);
    /// What to wait for.
    fn sources<'a>(&'a self, out: &mut Vec<Source<'a>>);
    /// The same, for those of which there may be thousands ([`AdapterToken::Listener`]): while there is much else to do
    /// they are looked at less often.
    fn crowd<'a>(&'a self, _out: &mut Vec<Source<'a>>) {}
    /// A source is ready.
    fn ready(&mut self, token: AdapterToken, events: &mut VecDeque<Event>);
    /// When `settle` is to be called, if nothing else happens; `None`: there is no need. `settle` moves it on once it
    /// has passed.
    fn deadline(&self) -> Option<Mono> {
        None
    }
    /// Once after each turn, before waiting: what was put off.
    fn settle(&mut self, events: &mut VecDeque<Event>);
    /// The bytes that are left where the memory of all workers together is limited; `None`: it is not.
    fn memory_left(&self) -> Option<u64> {
        None
    }
    /// The children that it has started, and waits for itself.
    fn children(&self) -> Vec<i32> {
        Vec::new()
    }
    /// Where and how workers listen, for people.
    fn listening(&self) -> BTreeMap<WorkerId, Listens> {
        BTreeMap::new()
    }
}
