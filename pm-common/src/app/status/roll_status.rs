//! What a supervisor says about its rolls.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::policy::record::Then;

use crate::policy::supervisor::Awaiting;

/// The rolls of a supervisor, by number: `ended <= started <= requested`, each grows only, all 0 at its start.
///
/// Whoever asked for the roll with number N waits until `ended >= N`: several requests during a roll are answered by
/// one more, which has the number of the last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(default)]
    pub reason: String,
    /// The slot where it was aborted.
    pub slot: Option<u32>,
    /// What followed there; `None`: nothing of the kind, or an older version does not tell.
    #[serde(default, deserialize_with = "if_understood")]
    pub then: Option<Then>,
    /// The last lines that the worker which failed wrote to the app's err.log, if they are known.
    #[serde(default)]
    pub stderr: Vec<String>,
    /// The one under way.
    #[serde(default, deserialize_with = "if_understood")]
    pub running: Option<RollRunning>,
}

/// A roll under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollRunning {
    /// How many slots have their new worker.
    pub done: u32,
    /// How many slots there are to roll.
    pub of: u32,
    /// Since when it runs, in milliseconds of the wall clock since 1970.
    #[serde(default)]
    pub since_ms: u64,
    /// The slot that it is at; the lowest, where it is at several.
    #[serde(default)]
    pub slot: u32,
    /// What it waits for there: ready, soak ...
    #[serde(default)]
    pub awaiting: Awaiting,
}

/// A part of a line; none, where it is something else: the rest of the line is of use.
pub(super) fn if_understood<'de, D: Deserializer<'de>, T: DeserializeOwned>(part: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(part)?).ok())
}
