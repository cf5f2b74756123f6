//! When a service manager that watches over us (WatchdogSec= of systemd.service(5)) is told that we live. It kills who
//! is silent for its interval, so a supervisor whose loop turns no more is silent, and so is one above it.

use super::WorkerId;
use super::time::{Mono, Span};

/// An interval that nobody can mean takes no more of the processor than this.
const SHORTEST_PAUSE: Span = Span::millis(1);

/// The interval, and what is known of those that are to live.
#[derive(Debug)]
pub struct Watchdog {
    interval: Span,
    next: Mono,
    /// The child that has said that it lives, and when it did last.
    below: Option<(WorkerId, Mono)>,
}

impl Watchdog {
    /// As sd_watchdog_enabled(3) has it: WATCHDOG_USEC is the interval, for the process WATCHDOG_PID if there is one.
    /// `None`: nobody watches over us.
    #[must_use]
    pub fn of(usec: Option<&str>, pid: Option<&str>, own: i32, now: Mono) -> Option<Self> {
        let usec: u64 = usec?.parse().ok()?;
        let interval = Span::from_duration(std::time::Duration::from_micros(usec)).filter(|span| *span > Span::ZERO)?;
        let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
        is_ours.then_some(Self { interval, next: now, below: None })
    }

    /// The manager kills who is silent for this long.
    #[must_use]
    pub const fn interval(&self) -> Span {
        self.interval
    }

    /// When to speak next; half of the interval lies between two times, as sd_watchdog_enabled(3) recommends.
    #[must_use]
    pub const fn deadline(&self) -> Mono {
        self.next
    }

    /// This child lives. From now on its silence is ours.
    pub const fn lives(&mut self, id: WorkerId, now: Mono) {
        self.below = Some((id, now));
    }

    /// What had spoken in this child has ended: it owes nothing any more.
    pub fn ended(&mut self, id: WorkerId) {
        self.below = self.below.filter(|(speaker, _)| *speaker != id);
    }

    /// Whether to speak now; false as well where it is time and the child below is silent.
    #[must_use]
    pub fn speaks(&mut self, now: Mono) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + Span(self.interval.0 / 2).max(SHORTEST_PAUSE);
        self.below.is_none_or(|(_, last)| now.since(last) < self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: i32 = 7;

    fn at(ms: u64) -> Mono {
        Mono(0) + Span::millis(ms)
    }

    const fn child(generation: u64) -> WorkerId {
        WorkerId { slot: 0, generation }
    }

    fn watchdog(usec: &str) -> Watchdog {
        Watchdog::of(Some(usec), None, OWN, at(0)).expect("an interval")
    }

    #[test]
    fn only_what_is_meant_for_us_counts() {
        let of = |usec, pid| Watchdog::of(usec, pid, OWN, at(0)).map(|watchdog| watchdog.interval().as_micros());
        assert_eq!(of(Some("300000"), Some("7")), Some(300_000));
        assert_eq!(of(Some("300000"), None), Some(300_000));
        for (usec, pid) in [
            (None, None),
            (None, Some("7")),
            (Some("300000"), Some("8")),
            (Some("300000"), Some("")),
            (Some("300000"), Some("seven")),
            (Some("0"), None),
            (Some(""), None),
            (Some("often"), None),
            (Some("-1"), None),
            (Some("18446744073709551615"), None),
        ] {
            assert_eq!(of(usec, pid), None, "{usec:?} {pid:?}");
        }
    }

    #[test]
    fn it_speaks_at_once_and_then_at_half_of_the_interval() {
        let mut watchdog = watchdog("300000");
        let spoken: Vec<u64> = (0..1000).filter(|ms| watchdog.speaks(at(*ms))).collect();
        assert_eq!(spoken, [0, 150, 300, 450, 600, 750, 900]);
        assert_eq!(watchdog.deadline(), at(1050));
    }

    #[test]
    fn a_turn_that_came_late_is_not_made_up_for() {
        let mut watchdog = watchdog("300000");
        assert!(watchdog.speaks(at(1000)));
        assert!(!watchdog.speaks(at(1149)));
        assert!(watchdog.speaks(at(1150)));
    }

    #[test]
    fn the_shortest_interval_does_not_keep_the_loop_busy() {
        let mut watchdog = watchdog("1");
        assert!(watchdog.speaks(at(0)));
        assert_eq!(watchdog.deadline(), at(1));
    }

    #[test]
    fn the_silence_of_a_child_that_has_spoken_is_ours() {
        let mut watchdog = watchdog("300000");
        watchdog.lives(child(1), at(100));
        let spoken: Vec<u64> = (0..1000).filter(|ms| watchdog.speaks(at(*ms))).collect();
        assert_eq!(spoken, [0, 150, 300]);
        watchdog.lives(child(1), at(1040));
        assert!(watchdog.speaks(at(1050)));
    }

    #[test]
    fn one_that_has_ended_owes_nothing() {
        let mut watchdog = watchdog("300000");
        watchdog.lives(child(2), at(0));
        watchdog.ended(child(1));
        assert!(!watchdog.speaks(at(400)), "another one has ended");
        watchdog.ended(child(2));
        assert!(watchdog.speaks(at(600)));
    }
}
