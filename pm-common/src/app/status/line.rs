//! The lines of a status file as values, and their JSON.

use std::io;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::roll_status::{RollReport, if_understood};
use crate::cli::policy_options;
use crate::kernel::procfs;
use crate::policy::exit::{Exit, signal_name};
use crate::policy::rules::Restart;
pub use crate::policy::states::{SupervisorState, WorkerState};
use crate::policy::worker::ReadyBy;
use crate::sys::pidfd;

/// The version of the form of the lines; a reader skips lines of a later one.
pub const SCHEMA: u64 = 1;

/// In the policy of a supervisor with set times: the next one, in milliseconds since 1970.
pub const SET_TIME: &str = "cron_next_ms";

/// A process, for ever: its pid may be another's later, but not with the same start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
}

/// The first line of a status file: the supervisor's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "supervisor")]
pub struct SupervisorLine {
    /// The app's name.
    pub app: String,
    /// The program: pm-cluster, pm-restart.
    pub tool: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its process.
    pub pid: i32,
    /// When that process started, in clock ticks since boot.
    pub start: u64,
    /// The first in its line of succession, whose counts it goes on with; `None`: itself.
    #[serde(default, deserialize_with = "if_understood")]
    pub first: Option<Id>,
    /// Which boot that was (`procfs::boot_id`); `None` where the kernel does not say.
    pub boot: Option<String>,
    /// What it is doing.
    pub state: SupervisorState,
    /// Since when, in milliseconds of the wall clock since 1970.
    #[serde(default)]
    pub since_ms: u64,
    /// How many workers it shall have.
    #[serde(default)]
    pub workers: u32,
    /// How many of them are ready.
    #[serde(default)]
    pub ready: u32,
    /// The figures of its policy, as it likes to name them.
    #[serde(default)]
    pub policy: Map<String, Value>,
    /// Where it listens.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Its rolls; `None`: it knows of none.
    #[serde(default, deserialize_with = "if_understood")]
    pub roll: Option<RollReport>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// How; `None`: not known.
    #[serde(flatten)]
    pub ended: Option<Ended>,
    /// Why: crash, memory, stop ...
    pub why: String,
    /// When, in milliseconds of the wall clock since 1970.
    #[serde(default)]
    pub at_ms: u64,
    /// When, in milliseconds since boot, time asleep included; `None`: not in this boot, or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_boot_ms: Option<u64>,
}

/// The line of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "worker")]
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
    #[serde(default)]
    pub since_ms: u64,
    /// How often the slot's worker was replaced because it ended.
    #[serde(default)]
    pub restarts: u64,
    /// How the one before it ended.
    #[serde(default, deserialize_with = "if_understood")]
    pub last: Option<Last>,
    /// Where it listens.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// How it came by what it listens on: `node`, `bind` or both, `node+bind`.
    pub adapter: Option<String>,
    /// The numbers (inodes) of the sockets that it listens on: the socket monitor tells their queues.
    #[serde(default)]
    pub sockets: Vec<u64>,
    /// When the next one starts (in backoff), in milliseconds of the wall clock since 1970.
    pub until_ms: Option<u64>,
    /// What the slot's newest worker could not listen on and why, in words; `None`: it listens, or nothing was refused.
    pub refused: Option<String>,
    /// The worker is a supervisor that has workers of its own, which are shown instead.
    #[serde(default)]
    pub supervises: bool,
}

impl SupervisorLine {
    /// The line as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut line = json!(self);
        line["schema"] = SCHEMA.into();
        line
    }

    /// The value of a line; `None` if it is something else, lacks what tells the process, or is of a later schema.
    #[must_use]
    pub fn from_json(line: Value) -> Option<Self> {
        let ours = line.get("kind")? == "supervisor" && line.get("schema")?.as_u64()? <= SCHEMA;
        let line: Self = serde_json::from_value(line).ok().filter(|_| ours)?;
        (is_process(line.pid) && is_tool(&line.tool)).then_some(line)
    }

    /// Whether the clients of one address stay with one of its workers (`--sticky`).
    #[must_use]
    pub fn is_sticky(&self) -> bool {
        self.policy.get("sticky") == Some(&Value::Bool(true))
    }

    /// When all its workers are replaced next, and those started that have ended (`--cron`): in milliseconds since 1970.
    #[must_use]
    pub fn set_time(&self) -> Option<u64> {
        self.policy.get(SET_TIME)?.as_u64()
    }

    /// Whether its workers are replaced, and those started that have ended, as files change (`--watch`).
    #[must_use]
    pub fn watches(&self) -> bool {
        self.policy.get("watch").and_then(Value::as_array).is_some_and(|paths| !paths.is_empty())
    }

    /// Whether its policy starts nothing again (`--restart never`).
    #[must_use]
    pub fn restarts_never(&self) -> bool {
        policy_options::from_json(&self.policy).is_some_and(|rules| rules.restart == Restart::Never)
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
            refused: None,
            supervises: false,
        }
    }

    /// Whether it is ready because it lives, which is a guess: it may be about to listen.
    #[must_use]
    pub fn is_guess(&self) -> bool {
        self.state == WorkerState::Ready && self.ready_by.as_deref() == Some(ReadyBy::Alive.word())
    }

    /// The value of a line; `None` if it is something else.
    #[must_use]
    pub fn from_json(line: Value) -> Option<Self> {
        let ours = line.get("kind")? == "worker";
        let line: Self = serde_json::from_value(line).ok().filter(|_| ours)?;
        Some(Self { pid: line.pid.filter(|pid| is_process(*pid)), ..line })
    }
}

/// Whether it may be the name of a tool: it is part of a file's name. (Control characters are replaced where it is shown.)
fn is_tool(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\0'])
}

/// Whether it is the number of a process: 0 and less would mean a group, or us, to kill(2).
const fn is_process(pid: i32) -> bool {
    pid > 0
}
