//! What takes the longer the more workers there are is done less often then: no more than a twentieth of the time goes
//! into it.

use crate::policy::time::{Mono, Span};
use crate::sys::clock;

/// Rests as many times as long as the work took.
const TIMES: u64 = 20;

/// The rests of one kind of work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    until: Mono,
    longest: Span,
}

impl Pace {
    /// A pace of work that has not begun; no rest is longer than `longest`.
    pub(super) const fn new(longest: Span) -> Self {
        Self { until: Mono(0), longest }
    }

    /// The end of the rest.
    pub(super) const fn until(self) -> Mono {
        self.until
    }

    /// Whether it rests no more.
    pub(super) fn is_over(self) -> bool {
        self.until <= clock::now()
    }

    /// The work that began then is done.
    pub(super) fn done(&mut self, begun: Mono) {
        self.done_at(begun, clock::now());
    }

    fn done_at(&mut self, begun: Mono, now: Mono) {
        self.until = now + Span(now.since(begun).0.saturating_mul(TIMES)).min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_in_proportion_to_the_work_and_has_an_end() {
        let mut pace = Pace::new(Span::secs(1));
        assert!(pace.is_over());
        pace.done_at(Mono(0), Mono(0) + Span::millis(2));
        assert_eq!(pace.until(), Mono(0) + Span::millis(42));
        pace.done_at(Mono(0), Mono(0) + Span::secs(9));
        assert_eq!(pace.until(), Mono(0) + Span::secs(10));
    }
}
