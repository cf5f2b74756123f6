//! The clocks.

use crate::policy::time::Mono;

/// Now, on CLOCK_MONOTONIC: never set back, and still while the machine sleeps.
#[must_use]
pub fn now() -> Mono {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let secs = u64::try_from(t.tv_sec).unwrap_or(0);
    Mono(secs.saturating_mul(1_000_000_000).saturating_add(u64::try_from(t.tv_nsec).unwrap_or(0)))
}

/// What to add to a `Mono`, in milliseconds, to get milliseconds since 1970. Read once and kept, so that a moment
/// that was shown does not move when somebody sets the clock.
#[must_use]
pub fn wall_offset_ms() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let wall = t.tv_sec.saturating_mul(1000).saturating_add(t.tv_nsec / 1_000_000);
    wall.saturating_sub(i64::try_from(now().0 / 1_000_000).unwrap_or(0))
}
