//! The adapter for any program: it binds by itself, and is watched as it does.
//!
//! Each worker's tree tells us of bind and listen before they happen (`sys::seccomp`) and waits for our answer. A socket
//! that is bound to a TCP port becomes a lane of its slot: we keep a duplicate of it, so that neither a crash nor a roll
//! refuses a connection, and the slot's next worker is given the same socket when it binds. What cannot be steered is
//! shared by all workers. Whatever fails here, the call goes on as if nobody had looked.

mod bind_twice;
mod budget;
mod caller;
mod connect_check;
mod decide;
pub(crate) mod fanout;
mod node_worker;
mod on_bind;
mod on_listen;
pub mod probe;
mod unshared;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use pm_common::app::status;
use pm_common::cli::report;
use pm_common::kernel::procfs::{self, Proc};
use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::{Mono, Span};
use pm_common::supervise::{Source, WorkerSetup};
use pm_common::sys::clock;
use pm_common::sys::fd_limit;
use pm_common::sys::fdpass;
use pm_common::sys::other_process;
use pm_common::sys::seccomp::{self, Arrival, Call, Notice, NotifyFd};

use crate::sockets::Sockets;
use budget::Budget;
use caller::Caller;
use connect_check::{Connects, Probes};
use decide::AllPending;
use fanout::FanoutQuestion;
use pm_common::node::inspector;

/// Calls answered in one turn: others come in between.
const CALLS_PER_TURN: usize = 64;
/// The longest socket address (struct sockaddr_storage): the kernel takes no longer one.
const LONGEST_ADDRESS: usize = 128;

/// How the programs' own binds are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fanout {
    /// The program's own socket becomes the lane, or the one of all.
    Own,
    /// We make it and put it in the place of the program's.
    Made,
    /// Nobody looks.
    #[default]
    Off,
}

/// The workers whose binds are watched.
#[derive(Debug, Default)]
pub struct Binds {
    fanout: Fanout,
    /// What could not be found out yet: `fanout` is only hoped for.
    open: Option<FanoutQuestion>,
    watched: BTreeMap<WorkerId, Watched>,
    /// Where each worker listens on sockets that it bound, or was started with.
    ports: BTreeMap<WorkerId, BTreeSet<u16>>,
    /// Workers whose calls have to wait, until then.
    resting: BTreeMap<WorkerId, Mono>,
    /// The supervisor stops: nothing is kept any more.
    finished: bool,
    /// Where workers take datagrams.
    datagrams: BTreeMap<WorkerId, BTreeSet<SocketAddr>>,
    /// The debuggers' ports of workers, the same port for none of them.
    inspectors: inspector::Ports,
    /// The unix sockets that slots have bound.
    unix: BTreeMap<Vec<u8>, u32>,
    /// What a person should be told.
    warnings: Vec<String>,
    /// A port that was to be bound just now, and is another program's.
    taken: Option<u16>,
    /// Where a worker that binds just now is found to listen no more.
    closed: Vec<Listening>,
    /// Whether the app's workers connect to their port before they listen.
    probes: Probes,
    proc: Proc,
}

#[derive(Debug, Default)]
struct Watched {
    /// Where the listener comes from, until it has.
    awaited: Option<OwnedFd>,
    listener: Option<NotifyFd>,
    /// The number of the worker's end of Node's channel, if it has one.
    channel: Option<u64>,
    budget: Budget,
    pending: AllPending,
    /// Its first process.
    pid: i32,
    /// The worker has ended; what it left may still call.
    ended: bool,
    /// An address was bound for clients to come to.
    bound: bool,
    connects: Connects,
}

/// A call and who makes it.
#[derive(Debug)]
struct Asked {
    who: WorkerId,
    notice: u64,
    process: Caller,
    fd: i32,
}

impl Binds {
    /// Binds of which none is watched yet.
    #[must_use]
    pub(crate) fn new(fanout: Fanout, open: Option<FanoutQuestion>) -> Self {
        Self { fanout, open, ..Self::default() }
    }

    /// Has a worker of this release that is about to start watched; `channel` is its end of Node's channel.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn prepare(
        &mut self,
        who: WorkerId,
        release: u64,
        channel: Option<u64>,
        setup: &mut WorkerSetup,
    ) -> io::Result<()> {
        if self.fanout == Fanout::Off {
            return Ok(());
        }
        let (ours, theirs) = fdpass::pair()?;
        let connects = self.connects_of(release);
        setup.watch = Some((theirs, connects.told()));
        let watched = Watched { awaited: Some(ours), channel, connects, ..Watched::default() };
        self.watched.insert(who, watched);
        Ok(())
    }

    /// Notes that a worker was started, and takes the descriptor that it has sent, which tells of its calls.
    pub fn started(&mut self, who: WorkerId, pid: i32) {
        let Some(watched) = self.watched.get_mut(&who) else { return };
        watched.pid = pid;
        let Some(from) = watched.awaited.take() else { return };
        match seccomp::receive(from.as_fd()) {
            Ok(listener) => watched.listener = Some(listener),
            Err(error) => {
                self.watched.remove(&who);
                let reason = report::reason(&error);
                self.warnings.push(format!(
                    "cannot watch what workers bind: {reason}; those that bind the same port get EADDRINUSE"
                ));
            }
        }
    }

    /// Notes that a worker ended (or could not be started).
    pub fn ended(&mut self, who: WorkerId) {
        self.ports.remove(&who);
        self.datagrams.remove(&who);
        self.inspectors.gone(who);
        let listens = |watched: &Watched| watched.listener.is_some();
        match self.watched.get_mut(&who).filter(|watched| listens(watched)) {
            // What it left behind would get ENOSYS at each bind.
            Some(watched) => watched.ended = true,
            None => drop(self.watched.remove(&who)),
        }
    }

    /// Looks at no call any more: the supervisor stops.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Notes that a worker listens at an address that it bound, or was started with.
    pub fn listens_at(&mut self, who: WorkerId, address: &Listening) {
        self.ports.entry(who).or_default().extend(address.tcp().map(|tcp| tcp.port()));
    }

    /// Where a worker listens on sockets that it bound, or was started with.
    #[must_use]
    pub fn ports(&self, who: WorkerId) -> Vec<u16> {
        self.ports.get(&who).map(|ports| ports.iter().copied().collect()).unwrap_or_default()
    }

    /// What to wait for.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_, WorkerId>> {
        let heard = self.watched.iter().filter(|(who, _)| !self.resting.contains_key(who));
        heard.filter_map(|(who, watched)| Some(Source::to_read(*who, watched.listener.as_ref()?.as_fd())))
    }

    /// When calls that have to wait are to be looked at again.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.resting.values().copied().min()
    }

    /// Looks again at calls whose wait is over.
    pub fn settle(&mut self, now: Mono) {
        self.resting.retain(|_, until| *until > now);
    }

    /// Answers the calls that wait; a worker that makes them without end has to wait now and then.
    pub fn answer(&mut self, who: WorkerId, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let begun = clock::processor_time();
        if !self.answer_all(who, sockets, events) {
            // A client may connect as often as it likes.
            return;
        }
        let took = Span(clock::processor_time().0.saturating_sub(begun.0));
        let Some(watched) = self.watched.get_mut(&who) else { return };
        if let Some(until) = watched.budget.spend(clock::now(), took, || sockets.count_of(who)) {
            self.resting.insert(who, until);
            let (slot, pid, told) = (who.slot, watched.pid, std::mem::replace(&mut watched.budget.told, true));
            if told {
                return;
            }
            self.warnings.push(format!("a worker binds without end, its calls have to wait slot={slot} pid={pid}"));
        }
    }

    /// Says whether any of the calls was more than a connect.
    fn answer_all(&mut self, who: WorkerId, sockets: &mut Sockets, events: &mut VecDeque<Event>) -> bool {
        let mut binds = false;
        for _ in 0..CALLS_PER_TURN {
            let Some(listener) = self.watched.get(&who).and_then(|watched| watched.listener.as_ref()) else { break };
            match listener.next() {
                Arrival::Notice(notice) if matches!(notice.call, Call::Connect { .. }) => {
                    self.on_connect(who, notice, sockets);
                }
                Arrival::Notice(notice) => {
                    binds = true;
                    self.on_call(who, notice, sockets, events);
                }
                Arrival::Nothing => break,
                Arrival::Gone => {
                    self.all_ended(who);
                    break;
                }
            }
        }
        binds
    }

    /// No process of the worker is left; what it did is known until its end is told.
    fn all_ended(&mut self, who: WorkerId) {
        match self.watched.get_mut(&who).filter(|watched| !watched.ended) {
            Some(watched) => watched.listener = None,
            None => drop(self.watched.remove(&who)),
        }
    }

    /// What a person should be told since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn on_call(&mut self, who: WorkerId, notice: Notice, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let ended = self.finished || self.watched.get(&who).is_none_or(|watched| watched.ended);
        let process = procfs::process_of(notice.thread).filter(|_| !ended);
        let asked = |fd, process| Asked { who, notice: notice.id, process: Caller(process), fd };
        if let (true, Call::Bind { address, length, .. }) = (ended && !self.finished, notice.call) {
            self.note_left_behind((notice.thread, address, length));
        }
        let answer = match (notice.call, process) {
            (_, None) | (Call::Connect { .. }, _) => None,
            (Call::Bind { fd, address, length }, Some(process)) => {
                let answer = self.on_bind(&asked(fd, process), (notice.thread, address, length), sockets);
                let taken = self.taken.take().map(status::port_taken);
                events.extend(taken.map(|what| Event::Refused { id: who, what }));
                events.extend(self.closed.drain(..).map(|address| Event::Closed { id: who, address }));
                events.extend(answer.map(|_| Event::Binds(who)));
                answer
            }
            // It listens on what it was given over the channel, and says so there.
            (Call::Listen { fd, .. } | Call::Listens { fd }, Some(process))
                if self.asks_us(&asked(fd, process), notice.thread) =>
            {
                None
            }
            (Call::Listen { fd, backlog }, Some(process)) => {
                self.on_listen(&asked(fd, process), backlog, sockets, events)
            }
            (Call::Listens { fd }, Some(process)) => {
                self.on_listens(&asked(fd, process), sockets, events);
                None
            }
        };
        let Some(listener) = self.listener(who) else { return };
        match answer {
            Some(result) => listener.answer(notice.id, result),
            None => listener.proceed(notice.id),
        }
    }

    fn listener(&self, who: WorkerId) -> Option<&NotifyFd> {
        self.watched.get(&who)?.listener.as_ref()
    }

    /// All sockets of the worker's processes.
    fn sockets(&mut self, who: WorkerId) -> BTreeSet<u64> {
        let Some(pid) = self.watched.get(&who).map(|watched| watched.pid) else { return BTreeSet::new() };
        let tree: Vec<i32> = self.proc.tree(pid, |_| true).iter().map(|stat| stat.pid).collect();
        procfs::sockets_of(tree.into_iter())
    }

    /// The program's own socket; `None` where that is not allowed.
    fn duplicate(&mut self, asked: &Asked) -> Option<OwnedFd> {
        if self.fanout == Fanout::Made {
            return None;
        }
        let taken = other_process::take_descriptor(asked.process.0, asked.fd);
        if let Some(error) = taken.as_ref().err().filter(|error| fd_limit::is_want(error)) {
            self.cannot("keep a duplicate of what a worker binds", error);
        }
        taken.ok()
    }

    fn cannot(&mut self, what: &str, error: &io::Error) {
        let reason = report::reason(error);
        self.warnings.push(format!("cannot {what}: {reason}; workers that bind the same port get EADDRINUSE"));
    }

    fn waits(&self, asked: &Asked) -> bool {
        self.listener(asked.who).is_some_and(|listener| listener.waits(asked.notice))
    }
}
