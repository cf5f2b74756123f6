//! Points on the monotonic clock as others know them. Pure: the clocks are read elsewhere.
//!
//! The wall clock is set, and the monotonic one stands still while the machine sleeps: what lies between the clocks is
//! another thing at each moment. So a point is turned into the other clocks' times once, when it is new, and these are
//! kept: what was shown does not move, and what comes after a sleep is not placed before it.

use std::collections::BTreeMap;

use crate::policy::time::Mono;
use crate::sys::clock::Offsets;

/// A point in time on the other clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since 1970, as the wall clock had it.
    pub(super) wall_ms: u64,
    /// Since boot, time asleep included: its difference to now is an age, whatever became of the wall clock.
    pub(super) boot_ms: u64,
}

/// The points that are shown at present.
#[derive(Debug, Default)]
pub(super) struct Moments {
    offsets: Offsets,
    known: BTreeMap<Mono, Moment>,
    used: BTreeMap<Mono, Moment>,
}

impl Moments {
    /// A new state is made: what was not used for the one before is forgotten.
    pub(super) fn turn(&mut self, offsets: Offsets) {
        self.offsets = offsets;
        self.known = std::mem::take(&mut self.used);
    }

    /// The point on the other clocks.
    pub(super) fn of(&mut self, at: Mono) -> Moment {
        let new = || Moment { wall_ms: shifted(at, self.offsets.wall_ms), boot_ms: shifted(at, self.offsets.boot_ms) };
        let moment = self.known.get(&at).copied().unwrap_or_else(new);
        self.used.insert(at, moment);
        moment
    }
}

fn shifted(at: Mono, by_ms: i64) -> u64 {
    let ms = i64::try_from(at.0 / 1_000_000).unwrap_or(i64::MAX);
    u64::try_from(ms.saturating_add(by_ms)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn what_comes_after_a_sleep_is_not_placed_before_it() {
        let mut moments = Moments::default();
        moments.turn(Offsets { wall_ms: 1_000_000, boot_ms: 0 });
        let before = moments.of(at(10));
        assert_eq!(before, Moment { wall_ms: 1_010_000, boot_ms: 10_000 });
        // The machine has slept for an hour, of which the monotonic clock knows nothing.
        moments.turn(Offsets { wall_ms: 1_000_000 + HOUR_MS, boot_ms: HOUR_MS });
        assert_eq!(moments.of(at(10)), before, "what was shown does not move");
        assert_eq!(moments.of(at(20)), Moment { wall_ms: 1_020_000 + 3_600_000, boot_ms: 20_000 + 3_600_000 });
    }

    #[test]
    fn a_wall_clock_that_is_set_changes_no_age() {
        let mut moments = Moments::default();
        moments.turn(Offsets { wall_ms: 5 * HOUR_MS, boot_ms: 0 });
        let first = moments.of(at(10));
        moments.turn(Offsets { wall_ms: 4 * HOUR_MS, boot_ms: 0 });
        let second = moments.of(at(12));
        assert_eq!(moments.of(at(10)), first);
        assert_eq!(second.boot_ms - first.boot_ms, 2000);
        // What is shown no longer is not kept.
        moments.turn(Offsets { wall_ms: 4 * HOUR_MS, boot_ms: 0 });
        moments.turn(Offsets { wall_ms: 4 * HOUR_MS, boot_ms: 0 });
        assert!(moments.known.is_empty());
    }
}
