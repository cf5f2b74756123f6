//! The decisions, without a clock, without input or output: time comes in as an argument, actions go out as values.
//!
//! `rules` is what a person asked for: which ends restart and how soon, memory, grace, how long a drain and a stop may take.
//! `supervisor` decides by them; `slot`, `worker`, `states`, `end_reason`, `exit`, `listening` and `time` are its values, `record` what
//! it has to say. Rules of their own: `baseline` (where a next worker must listen, of what was `opened`), `hook_event`, `intensity`,
//! `lag`, `oom`, `trusted_sender` (who is heard), `watchdog`, `steering` (which worker gets a connection),
//! `app_order` (which of several apps starts first).

#[macro_use]
mod word_enum;

pub mod app_order;
mod baseline;
pub mod cron_schedule;
mod end_reason;
pub mod exit;
pub mod hook_event;
mod intensity;
pub mod lag;
pub mod listening;
pub mod oom;
mod opened;
pub mod record;
pub mod rules;
mod slot;
pub mod states;
pub mod steering;
pub mod supervisor;
pub mod time;
pub mod trusted_sender;
pub mod watchdog;
pub mod worker;

use std::fmt;

pub use slot::LastEnd;

/// Names one worker for ever: the numbered slot that it fills, and the count of workers that this slot has had.
///
/// Events carry it, so that a late one cannot touch a newer worker of the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId {
    /// 0..n-1; outlives its workers.
    pub slot: u32,
    /// Counts up from 1 in a slot at each new worker.
    pub generation: u64,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot={} generation={}", self.slot, self.generation)
    }
}
