//! The clocks.

use rustix::event::Timespec;
use rustix::time::ClockId;

use crate::policy::time::{Mono, Span};

/// Now, on CLOCK_MONOTONIC: never set back, and still while the machine sleeps.
#[must_use]
pub fn now() -> Mono {
    let t = rustix::time::clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(t.tv_sec).unwrap_or(0);
    Mono(secs.saturating_mul(1_000_000_000).saturating_add(u64::try_from(t.tv_nsec).unwrap_or(0)))
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
    let mono = i64::try_from(now().0 / 1_000_000).unwrap_or(0);
    let to = |clock| millis(clock).saturating_sub(mono);
    Offsets { wall_ms: to(ClockId::Realtime), boot_ms: to(ClockId::Boottime) }
}

/// The milliseconds since boot, time asleep included.
#[must_use]
pub fn since_boot_ms() -> u64 {
    u64::try_from(millis(ClockId::Boottime)).unwrap_or(0)
}

fn millis(clock: ClockId) -> i64 {
    let t = rustix::time::clock_gettime(clock);
    t.tv_sec.saturating_mul(1000).saturating_add(t.tv_nsec / 1_000_000)
}

/// The processor time that this thread has taken so far: what others take on a busy machine is not in it.
#[must_use]
pub fn processor_time() -> Span {
    let taken = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    Span(part(taken.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(taken.tv_nsec)))
}
