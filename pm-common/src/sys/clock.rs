//! The clocks.

use rustix::event::Timespec;
use rustix::time::ClockId;

use crate::policy::time::{Mono, Span};

/// Now, on CLOCK_MONOTONIC: never set back, and still while the machine sleeps.
#[must_use]
pub fn now() -> Mono {
    Mono(nanos(ClockId::Monotonic))
}

/// The time since boot, time asleep included.
#[must_use]
pub fn since_boot() -> Span {
    Span(nanos(ClockId::Boottime))
}

/// The milliseconds of the wall clock since 1970.
#[must_use]
pub fn wall_ms() -> u64 {
    nanos(ClockId::Realtime) / 1_000_000
}

/// The wall clock as files are stamped with it: the seconds since 1970, and the nanoseconds of this one.
#[must_use]
pub fn stamp() -> (i64, i64) {
    let now = rustix::time::clock_gettime(ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec)
}

/// The processor time that this thread has taken so far: what others take on a busy machine is not in it.
#[must_use]
pub fn processor_time() -> Span {
    Span(nanos(ClockId::ThreadCPUTime))
}

fn nanos(clock: ClockId) -> u64 {
    let t = rustix::time::clock_gettime(clock);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(t.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(t.tv_nsec))
}

/// The time until `at`, for poll(2); nanoseconds, so that a wake-up is never early and then spins.
#[must_use]
pub fn until(at: Mono) -> Timespec {
    let left = at.since(now()).0;
    let tv_sec = i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: i64::try_from(left % 1_000_000_000).unwrap_or(0) }
}

/// What to add to a `Mono`, in milliseconds, to get the times of other clocks, as they are at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    /// To get milliseconds since 1970: it changes when somebody sets the clock, and by each sleep of the machine.
    pub wall_ms: i64,
    /// To get milliseconds since boot, time asleep included.
    pub boot_ms: i64,
}

/// What lies between the clocks now.
#[must_use]
pub fn offsets() -> Offsets {
    let millis = |nanos: u64| i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
    let mono = millis(now().0);
    Offsets { wall_ms: millis(nanos(ClockId::Realtime)) - mono, boot_ms: millis(since_boot().0) - mono }
}
