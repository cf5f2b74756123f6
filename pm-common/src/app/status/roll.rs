//! What a supervisor says about its rolls.

use serde_json::{Value, json};

use super::json::{count, small, text, texts};

/// The rolls of a supervisor, by number: `ended <= started <= requested`, each grows only, all 0 at its start.
///
/// Whoever asked for the roll with number N waits until `ended >= N`: several requests during a roll are answered by
/// one more, which has the number of the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollReport {
    /// The last one asked for.
    pub requested: u64,
    /// The last one begun.
    pub started: u64,
    /// The last one that ended, well or aborted.
    pub ended: u64,
    /// Whether that one ended well; `None`: none has ended.
    pub ok: Option<bool>,
    /// Why it was aborted; empty if it was not.
    pub reason: String,
    /// The slot where it was aborted.
    pub slot: Option<u32>,
    /// The last lines that the worker which failed wrote to the app's err.log, if they are known.
    pub stderr: Vec<String>,
    /// The one under way.
    pub running: Option<RollRunning>,
}

/// A roll under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollRunning {
    /// How many slots have their new worker.
    pub done: u32,
    /// How many slots there are to roll.
    pub of: u32,
    /// Since when it runs, in milliseconds of the wall clock since 1970.
    pub since_ms: u64,
    /// The slot that it is at; the lowest, where it is at several.
    pub slot: u32,
    /// What it waits for there: ready, soak ...
    pub awaiting: String,
}

impl RollReport {
    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "requested": self.requested, "started": self.started, "ended": self.ended, "ok": self.ok,
            "reason": self.reason, "slot": self.slot, "stderr": self.stderr,
            "running": self.running.as_ref().map(RollRunning::to_json),
        })
    }

    /// The value; `None` if it is something else, or lacks a number.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            requested: count(value, "requested")?,
            started: count(value, "started")?,
            ended: count(value, "ended")?,
            ok: value.get("ok").and_then(Value::as_bool),
            reason: text(value, "reason").unwrap_or_default(),
            slot: small(value, "slot"),
            stderr: texts(value, "stderr"),
            running: value.get("running").and_then(RollRunning::from_json),
        })
    }
}

impl RollRunning {
    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "done": self.done, "of": self.of, "since_ms": self.since_ms, "slot": self.slot, "awaiting": self.awaiting,
        })
    }

    /// The value; `None` if it is something else.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            done: small(value, "done")?,
            of: small(value, "of")?,
            since_ms: count(value, "since_ms").unwrap_or(0),
            slot: small(value, "slot").unwrap_or(0),
            awaiting: text(value, "awaiting").unwrap_or_default(),
        })
    }
}
