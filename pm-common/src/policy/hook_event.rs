//! What a person can have a command run for (`Rules::hooks`), and what the command is told.

use serde::{Deserialize, Serialize};

use super::exit::Exit;

words! {
    /// What happens to an app.
    HookEvent {
        /// A worker ended that should not have, could not be started, or was not ready in time.
        Crash = "crash",
        /// A slot, or the supervisor, gives up: nothing is started again.
        GaveUp = "gave-up",
        /// A reload was aborted.
        Aborted = "aborted",
        /// All workers are ready: at first, and again after one was missing.
        Ready = "ready",
        /// A worker is over the memory limit.
        Memory = "memory",
        /// A worker left its clients waiting for longer than the limit.
        Lag = "lag",
        /// The supervisor ends as it was asked to, or as its workers have ended for good.
        Stopped = "stopped",
    }
}

/// A command, and what it is run for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// What it is run for.
    pub event: HookEvent,
    /// A command line for sh(1).
    pub command: String,
}

/// Something that has happened, with the facts that a command is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// What it is.
    pub event: HookEvent,
    /// The slot, where it is about one.
    pub slot: Option<u32>,
    /// The worker's generation, where it is about one.
    pub generation: Option<u64>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// A sentence.
    pub reason: String,
}
