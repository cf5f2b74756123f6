//! What goes in and out of the machine: events, actions, and what people are shown.

use std::fmt;

use super::super::WorkerId;
use super::super::exit::Exit;
use super::super::hook_event::Occurrence;
use super::super::lag::Stall;
use super::super::listening::Listening;
use super::super::record::{Record, Then};
use super::super::slot::LastEnd;
use super::super::states::WorkerState;
use super::super::time::{Mono, Span};
use super::super::worker::{Loads, ReadyBy, ReadyRule};

/// What a requested stop was asked by; it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopKind {
    /// TERM: exit code 0.
    Term,
    /// INT: exit code 130.
    Int,
}

impl StopKind {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Term => 0,
            Self::Int => 130,
        }
    }
}

/// Who asked for a stop; it decides whether a second request means now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asker {
    /// The supervisor above: it passes the first request on, and a second one only from somebody who insists.
    Above,
    /// A person at the terminal (Ctrl-C).
    Terminal,
    /// Any other process. Several may mean the same stop: a service manager and the supervisor above, `pkill`.
    Other,
}

/// What can be asked of a supervisor, and passed on to a child that is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// HUP.
    Reload,
    /// TTIN.
    More,
    /// TTOU.
    Fewer,
}

/// What happened.
#[allow(missing_docs, reason = "the fields say what they are")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The supervisor begins.
    Start,
    /// The worker could not be started: 126, 127, or 125 for a lack of resources that may pass.
    SpawnFailed(WorkerId, u8),
    /// The worker listens on this address; `fixed`: its successors must too (no port that the kernel chose).
    Listening { id: WorkerId, address: Listening, fixed: bool },
    /// The worker wanted to listen and could not: the address, the reason and the culprit, in words.
    Refused { id: WorkerId, what: String },
    /// The worker closed this address.
    Closed { id: WorkerId, address: Listening },
    /// The worker said that it is ready, in this way.
    SaidReady(WorkerId, ReadyBy),
    /// The worker is being loaded, and will say when that is done: being alive is no evidence until then.
    Boots(WorkerId),
    /// The worker's program has been loaded, and runs.
    Booted(WorkerId, Loads),
    /// `Action::Look` found it at work (computing, or starting others), or quiet.
    Looked { id: WorkerId, busy: bool },
    /// The worker's bind to a port was answered, maybe late: that it lives is no evidence before it has had time to listen.
    Binds(WorkerId),
    /// The worker's end, which follows, is not its own fault: it is to be started again at once. Once only, for its successor.
    Excused(WorkerId),
    /// The worker has come to listen elsewhere, perhaps over something of ours: as long as it has shown nothing yet it is to end,
    /// and is excused.
    Misled(WorkerId),
    /// The worker's end, which follows, comes at a time when the kernel's OOM killer struck.
    OutOfMemory(WorkerId),
    /// The worker's leader ended; `leftovers`: others of its group (or, for pm-restart, of its tree) still live.
    Ended { id: WorkerId, exit: Exit, leftovers: bool },
    /// The last of its leftovers ended.
    Gone(WorkerId),
    /// The worker's tree holds this many bytes.
    Memory(WorkerId, u64),
    /// The worker has left its clients waiting for this long (said again while that goes on).
    Lag { id: WorkerId, how: Stall, after: Span },
    /// The worker is sound, and its successor is started in a way that lets others share its servers: it is to be replaced
    /// once it is ready.
    Outmoded(WorkerId),
    /// Where the memory of all is limited, this much of it is left, and a worker needs this much (bytes).
    Room { left: Option<u64>, needs: u64 },
    /// The worker announced itself as a supervisor.
    Supervises(WorkerId),
    /// The supervisor that it was, or had below it, has ended.
    SupervisesNoMore(WorkerId),
    /// The worker's stop may still take this long.
    StopTakes(WorkerId, Span),
    /// The worker gives up: do not start it again.
    GaveUp(WorkerId),
    /// Asked to drain, it has finished its work, or there is no way to drain it.
    Drained(WorkerId),
    /// A worker has finished its work, and its app listens for the stop signal.
    AwaitsStop(WorkerId),
    /// `Action::ResolveRelease` found no release, for this reason; said before the next `Tick`.
    ResolveFailed(String),
    /// The release that `Action::ResolveRelease` found may listen elsewhere; said before the next `Tick`.
    Moves,
    /// A time has come at which all workers are replaced (`Rules::cron`).
    SetTime,
    /// A file that is watched (`Rules::watch`) was written, or is gone; its name for people.
    FileChanged { file: String, gone: bool },
    /// Stop everything; if somebody insists: now.
    Stop(StopKind, Asker),
    /// Reload, or scale by one.
    Asked(Request),
    /// The deadline passed.
    Tick,
}

/// Which release a worker is started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhichRelease {
    /// The one in service.
    Current,
    /// The one that the roll under way has resolved.
    Next,
}

/// What to do.
#[allow(missing_docs, reason = "the fields say what they are")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Resolve a new release and keep it as the next one. A `Tick` is due at once and goes on with it, unless
    /// `Event::ResolveFailed` comes before.
    ResolveRelease,
    /// The next release becomes the current one.
    CommitRelease,
    /// The roll failed: there is no next release, and the current one is again that from before the roll.
    DropRelease,
    /// Start this worker.
    Spawn { id: WorkerId, release: WhichRelease },
    /// The worker's addresses may get connections.
    SteerIn(WorkerId),
    /// The worker's addresses get no new connections.
    SteerOff(WorkerId),
    /// Let it finish its work, and answer with `Event::Drained` (at once, where there is no way to).
    Drain(WorkerId),
    /// As `Drain`, but no client that asks nothing is waited for.
    DrainNow(WorkerId),
    /// Send it the stop signal (its leader alone, unless the rules say its group).
    Stop(WorkerId),
    /// Send TERM to what is left of its group after its leader ended.
    StopLeftovers(WorkerId),
    /// Send KILL to its whole group.
    Kill(WorkerId),
    /// Look whether it is at work, and answer with `Event::Looked`, at once: busy, where it was never looked at before.
    Look(WorkerId),
    /// Measure its memory and answer with `Event::Memory`.
    Measure(WorkerId),
    /// Look how much memory is left for one more worker, and answer with `Event::Room`.
    LookForRoom,
    /// Pass a request on to this worker, which is a supervisor.
    Forward(WorkerId, Request),
    /// Addresses where no worker serves are kept for none that follows.
    CloseUnserved,
    /// The slot is gone for good: what is kept for its next worker may go to others.
    ReleaseSlot(u32),
    /// Tell the one above that we are ready.
    AnnounceReady,
    /// Tell the one above that we stop; it may take this long.
    AnnounceStop(Span),
    /// Tell the one above that we give up.
    AnnounceGaveUp,
    /// Tell a person.
    Say(Record),
    /// Run the commands that are to be run for this, one by one; nothing waits for them.
    RunHooks(Occurrence),
    /// End the supervisor with this exit code.
    Finish(u8),
}

/// How a tool uses the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The number of slots at the start.
    pub workers: u32,
    /// The most that there may be: pm-restart has one child.
    pub most: u32,
    /// Replacements start beside the worker that they replace; else after it (pm-restart, `pm-cluster --apart` and
    /// `--reload stop-start`), and no two processes of a slot live at a time.
    pub overlap: bool,
    /// Slots share what they listen on, so that one serves the clients of another; else (pm-restart, `pm-cluster --apart`)
    /// each has addresses of its own.
    pub shares: bool,
    /// The evidence for ready.
    pub ready: ReadyRule,
    /// How a reload goes.
    pub roll: RollRule,
}

/// How a roll goes, where replacements overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollRule {
    /// At most this many new workers start at a time (1 until the first has passed its soak).
    pub parallel: u32,
    /// The first new worker must live this long once it is ready, before it gets traffic.
    pub soak: Span,
    /// No new worker starts while this many old ones still drain; 0 is taken as 1.
    pub overlap: u32,
    /// No new worker starts while the memory that is left has no room for it.
    pub heeds_memory: bool,
}

/// What the rolls are at, for people and for those who wait for one.
///
/// Rolls are numbered by the requests; one roll may answer several. Always `ended <= started <= requested`, and
/// the request with number n is answered once `ended >= n`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollView {
    /// The newest request.
    pub requested: u64,
    /// The newest roll that began.
    pub started: u64,
    /// The newest roll that ended.
    pub ended: u64,
    /// Whether the last one that ended replaced all workers; `None` before the first.
    pub ok: Option<bool>,
    /// Why it did not.
    pub reason: String,
    /// The slot where it failed, if it was one.
    pub slot: Option<u32>,
    /// What followed there; `None`: all was done, or its supervisor ends.
    pub then: Option<Then>,
    /// The roll under way.
    pub running: Option<Running>,
}

/// A roll under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Slots done.
    pub done: u32,
    /// Slots to do in all.
    pub of: u32,
    /// When the roll began.
    pub since: Mono,
    /// The lowest slot under way (or the next one, while none is).
    pub slot: u32,
    /// What it waits for there.
    pub awaiting: Awaiting,
}

/// What a roll waits for in a slot; in the status it is text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Awaiting {
    /// The end of the soak.
    Soak,
    /// The new worker is not ready yet.
    Ready,
    /// The new worker has yet to do this: `listen on ...`.
    ReadyTo(String),
    /// Something else, in words.
    Other(String),
}

/// Begins the text of [`Awaiting::ReadyTo`].
const READY_TO: &str = "ready: to ";

impl fmt::Display for Awaiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Soak => f.write_str("soak"),
            Self::Ready => f.write_str("ready"),
            Self::ReadyTo(what) => write!(f, "{READY_TO}{what}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<Awaiting> for String {
    fn from(awaiting: Awaiting) -> Self {
        awaiting.to_string()
    }
}

impl From<String> for Awaiting {
    fn from(text: String) -> Self {
        match text.as_str() {
            "soak" => Self::Soak,
            "ready" => Self::Ready,
            other => match other.strip_prefix(READY_TO) {
                Some(what) => Self::ReadyTo(what.to_owned()),
                None => Self::Other(text),
            },
        }
    }
}

impl Default for Awaiting {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

/// One line of the snapshot: a living worker, or a slot that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The slot, and the generation of this worker (of the slot's newest, where none lives).
    pub id: WorkerId,
    /// What it is doing.
    pub state: WorkerState,
    /// Since when.
    pub since: Mono,
    /// When the worker was started; `None` where none lives.
    pub started: Option<Mono>,
    /// The evidence, if ready.
    pub ready_by: Option<ReadyBy>,
    /// When a backoff ends.
    pub until: Option<Mono>,
    /// Restarts of the slot since the supervisor began.
    pub restarts: u64,
    /// How the slot's last worker ended.
    pub last: Option<LastEnd>,
    /// What the slot's newest worker that could not listen was refused, in words; `None`: it listens, or nothing was.
    pub refused: Option<String>,
    /// The worker is itself a supervisor.
    pub supervises: bool,
}
