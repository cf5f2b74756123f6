//! The lines of a status file as values, and their JSON.

use std::io;
use std::os::fd::OwnedFd;

use serde_json::{Map, Value, json};

use super::json::{count, small, text, texts};
use super::roll::RollReport;
use crate::kernel::procfs;
use crate::policy::exit::{Exit, signal_name};
use crate::policy::worker::ReadyBy;
use crate::sys::pidfd;

/// The version of the form of the lines; a reader skips lines of a later one.
pub const SCHEMA: u64 = 1;

/// Gives an enum its words, both ways.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word that stands in files and output.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The value that the word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.word() == word)
            }
        }
    };
}

/// A process, for ever: its pid may be another's later, but not with the same start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Its pid.
    pub pid: i32,
    /// In clock ticks since boot.
    pub start: u64,
}

impl Id {
    /// The supervisor that wrote the line.
    #[must_use]
    pub const fn of(line: &SupervisorLine) -> Self {
        Self { pid: line.pid, start: line.start }
    }

    /// A pidfd of the process; `None`: it is gone.
    ///
    /// # Errors
    /// Those of pidfd_open(2): out of descriptors.
    pub fn pidfd(self) -> io::Result<Option<OwnedFd>> {
        match pidfd::open(self.pid) {
            // Alive after the pidfd was opened: the pidfd is this process's, not that of a later one with its number.
            Ok(pidfd) => Ok(Some(pidfd).filter(|_| procfs::is_alive(self.pid, self.start))),
            Err(e) if e.raw_os_error() == Some(nix::libc::ESRCH) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The process as JSON.
    #[must_use]
    pub fn to_json(self) -> Value {
        json!({"pid": self.pid, "start": self.start})
    }

    /// The value of such JSON; `None`: it is something else.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let pid = i32::try_from(value.get("pid")?.as_i64()?).ok()?;
        Some(Self { pid, start: value.get("start")?.as_u64()? })
    }
}

words! {
    /// What a supervisor as a whole is doing.
    SupervisorState {
        /// Not every slot has been ready yet.
        Starting = "starting",
        /// It serves.
        Ready = "ready",
        /// It was told to stop.
        Stopping = "stopping",
        /// It restarts nothing any more.
        GaveUp = "gave up",
    }
}

words! {
    /// What a worker is doing.
    WorkerState {
        /// There is none, and none is wanted.
        Down = "down",
        /// There is none; the next one starts at `until_ms`.
        Backoff = "backoff",
        /// It runs, but is not known to be ready.
        Starting = "starting",
        /// It serves.
        Ready = "ready",
        /// It takes nothing new, and finishes what it has.
        Draining = "draining",
        /// It is being killed.
        Killing = "killing",
        /// It failed too often; it is not started again.
        Failed = "failed",
    }
}

/// The first line of a status file: the supervisor's own.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisorLine {
    /// The app's name.
    pub app: String,
    /// The program: pm-cluster, pm-restart.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: i32,
    /// When that process started, in clock ticks since boot.
    pub start: u64,
    /// The first in its line of succession, whose counts it goes on with; `None`: itself.
    pub first: Option<Id>,
    /// Which boot that was (`procfs::boot_id`); `None` where the kernel does not say.
    pub boot: Option<String>,
    /// What it is doing.
    pub state: SupervisorState,
    /// Since when, in milliseconds of the wall clock since 1970.
    pub since_ms: u64,
    /// How many workers it shall have.
    pub workers: u32,
    /// How many of them are ready.
    pub ready: u32,
    /// The figures of its policy, as it likes to name them.
    pub policy: Map<String, Value>,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Its rolls; `None`: it knows of none.
    pub roll: Option<RollReport>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By a signal: its name, such as `SIGKILL`.
    Signal(String),
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(i32::from(code)),
            Exit::Signal(n) => {
                Self::Signal(signal_name(n).map_or_else(|| format!("SIG{n}"), |name| format!("SIG{name}")))
            }
        }
    }
}

/// How the worker before this one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// How; `None`: not known.
    pub ended: Option<Ended>,
    /// Why: crash, memory, stop ...
    pub why: String,
    /// When, in milliseconds of the wall clock since 1970.
    pub at_ms: u64,
    /// When, in milliseconds since boot, time asleep included; `None`: not in this boot, or not known.
    pub at_boot_ms: Option<u64>,
}

/// The line of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLine {
    /// Its slot.
    pub slot: u32,
    /// How many workers the slot has had, this one included.
    pub generation: u64,
    /// Its process, in the states that have one.
    pub pid: Option<i32>,
    /// When that process started, in clock ticks since boot.
    pub start: Option<u64>,
    /// What it is doing.
    pub state: WorkerState,
    /// The evidence that it is ready.
    pub ready_by: Option<String>,
    /// Since when it is in that state, in milliseconds of the wall clock since 1970.
    pub since_ms: u64,
    /// How often the slot's worker was replaced because it ended.
    pub restarts: u64,
    /// How the one before it ended.
    pub last: Option<Last>,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// How it came by what it listens on: `node`, `bind` or both, `node+bind`.
    pub adapter: Option<String>,
    /// The numbers (inodes) of the sockets that it listens on: the socket monitor tells their queues.
    pub sockets: Vec<u64>,
    /// When the next one starts (in backoff), in milliseconds of the wall clock since 1970.
    pub until_ms: Option<u64>,
    /// It is a supervisor that has workers of its own, which are shown instead.
    pub supervises: bool,
}

impl SupervisorLine {
    /// The line as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "schema": SCHEMA, "kind": "supervisor", "app": self.app, "tool": self.tool, "version": self.version,
            "pid": self.pid, "start": self.start, "first": self.first.map(Id::to_json), "boot": self.boot,
            "state": self.state.word(), "since_ms": self.since_ms, "workers": self.workers, "ready": self.ready, "policy": self.policy,
            "addresses": self.addresses, "roll": self.roll.as_ref().map(RollReport::to_json),
        })
    }

    /// The value of a line; `None` if it is something else, lacks what tells the process, or is of a later schema.
    #[must_use]
    pub fn from_json(line: &Value) -> Option<Self> {
        if line.get("kind")? != "supervisor" || line.get("schema")?.as_u64()? > SCHEMA {
            return None;
        }
        Some(Self {
            app: text(line, "app")?,
            tool: text(line, "tool")?,
            version: text(line, "version").unwrap_or_default(),
            pid: pid(line)?,
            start: line.get("start")?.as_u64()?,
            first: line.get("first").and_then(Id::from_json),
            boot: text(line, "boot"),
            state: SupervisorState::from_word(line.get("state")?.as_str()?)?,
            since_ms: count(line, "since_ms").unwrap_or(0),
            workers: small(line, "workers").unwrap_or(0),
            ready: small(line, "ready").unwrap_or(0),
            policy: line.get("policy").and_then(Value::as_object).cloned().unwrap_or_default(),
            addresses: texts(line, "addresses"),
            roll: line.get("roll").and_then(RollReport::from_json),
        })
    }
}

impl WorkerLine {
    /// A worker of which nothing more is known.
    #[must_use]
    pub const fn new(slot: u32, generation: u64, state: WorkerState) -> Self {
        Self {
            slot,
            generation,
            pid: None,
            start: None,
            state,
            ready_by: None,
            since_ms: 0,
            restarts: 0,
            last: None,
            addresses: Vec::new(),
            adapter: None,
            sockets: Vec::new(),
            until_ms: None,
            supervises: false,
        }
    }

    /// Whether it is ready because it lives, which is a guess: it may be about to listen.
    #[must_use]
    pub fn is_guess(&self) -> bool {
        self.state == WorkerState::Ready && self.ready_by.as_deref() == Some(ReadyBy::Alive.word())
    }

    /// The line as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "kind": "worker", "slot": self.slot, "generation": self.generation, "pid": self.pid, "start": self.start,
            "state": self.state.word(), "ready_by": self.ready_by, "since_ms": self.since_ms,
            "restarts": self.restarts, "last": self.last.as_ref().map(Last::to_json), "addresses": self.addresses,
            "adapter": self.adapter, "sockets": self.sockets, "until_ms": self.until_ms, "supervises": self.supervises,
        })
    }

    /// The value of a line; `None` if it is something else.
    #[must_use]
    pub fn from_json(line: &Value) -> Option<Self> {
        if line.get("kind")? != "worker" {
            return None;
        }
        Some(Self {
            slot: small(line, "slot")?,
            generation: count(line, "generation")?,
            pid: pid(line),
            start: count(line, "start"),
            state: WorkerState::from_word(line.get("state")?.as_str()?)?,
            ready_by: text(line, "ready_by"),
            since_ms: count(line, "since_ms").unwrap_or(0),
            restarts: count(line, "restarts").unwrap_or(0),
            last: line.get("last").and_then(Last::from_json),
            addresses: texts(line, "addresses"),
            adapter: text(line, "adapter"),
            sockets: line
                .get("sockets")
                .and_then(Value::as_array)
                .map_or_else(Vec::new, |all| all.iter().filter_map(Value::as_u64).collect()),
            until_ms: count(line, "until_ms"),
            supervises: line.get("supervises").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

impl Last {
    /// The value as JSON: `{"code": 1, ...}` or `{"signal": "SIGKILL", ...}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = json!({"why": self.why, "at_ms": self.at_ms});
        if let Some(at) = self.at_boot_ms {
            object["at_boot_ms"] = json!(at);
        }
        match &self.ended {
            Some(Ended::Code(code)) => object["code"] = json!(code),
            Some(Ended::Signal(name)) => object["signal"] = json!(name),
            None => {}
        }
        object
    }

    /// The value; `None` if it is something else.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let code = value.get("code").and_then(Value::as_i64).and_then(|c| i32::try_from(c).ok()).map(Ended::Code);
        let ended = code.or_else(|| text(value, "signal").map(Ended::Signal));
        Some(Self {
            ended,
            why: text(value, "why")?,
            at_ms: count(value, "at_ms").unwrap_or(0),
            at_boot_ms: count(value, "at_boot_ms"),
        })
    }
}

/// A process: 0 and less would mean a group, or us, to kill(2).
fn pid(line: &Value) -> Option<i32> {
    i32::try_from(count(line, "pid")?).ok().filter(|&p| p > 0)
}
