//! The processor time that answers to one worker's calls may take: a worker that binds without end costs a bounded part of
//! our time, and the call that waits meanwhile is its own.

use pm_common::policy::time::{Mono, Span};

use crate::sockets::MOST_OF_A_SLOT;

/// Time that a worker may take at once: some thousand calls.
const BURST: Span = Span::millis(100);
/// As much more for each address that it has: a server may open thousands, as fast as it can. A fraction of it is used,
/// but a busy machine takes a multiple of the processor time for the same work.
const FOR_EACH: Span = Span::millis(10);
/// Time comes back ten times as slowly as it is spent: the share of a worker that goes on is a tenth of a processor.
const TIMES: u64 = 10;
/// No call waits longer at a time: one that opens address after address is seen to go on.
const LONGEST: Span = Span::secs(1);

/// What the calls of one worker have taken of our processor time.
#[derive(Debug, Default)]
pub(super) struct Budget {
    spent: Span,
    at: Mono,
    /// A person was told that its calls have to wait.
    pub(super) told: bool,
}

impl Budget {
    /// Counts that the worker's calls have taken so much more; gives until when they have to wait, if they do.
    /// `addresses`: how many it has.
    pub(super) fn spend(&mut self, now: Mono, took: Span, addresses: impl FnOnce() -> usize) -> Option<Mono> {
        let came_back = now.since(self.at).0 / TIMES;
        self.spent = Span(self.spent.0.saturating_sub(came_back).saturating_add(took.0));
        self.at = now;
        let over = self.spent.0.checked_sub(BURST.0).filter(|over| *over > 0)?;
        let addresses = u64::try_from(addresses().min(MOST_OF_A_SLOT)).unwrap_or(0);
        let over = over.saturating_sub(FOR_EACH.0 * addresses);
        (over > 0).then(|| now + Span(over.saturating_mul(TIMES)).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_calls_at_once_are_free_and_without_end_they_take_a_tenth() {
        let mut budget = Budget::default();
        let (begun, mut now, mut taken) = (Mono(5_000_000_000), Mono(5_000_000_000), Span::ZERO);
        assert_eq!(budget.spend(now, Span::millis(100), || 0), None);
        while now.since(begun) < Span::secs(10) {
            now = now + Span::millis(3);
            taken = taken + Span::millis(3);
            now = budget.spend(now, Span::millis(3), || 0).unwrap_or(now);
        }
        assert!(taken > Span::millis(950) && taken < Span::millis(1050), "{taken:?} of 10 s");
        assert_eq!(budget.spend(now + Span::secs(2), Span::millis(90), || 0), None, "after a rest it is as before");
    }

    #[test]
    fn who_opens_a_thousand_addresses_does_so_at_once() {
        let spend = |took, addresses| Budget::default().spend(Mono(0), Span::millis(took), || addresses);
        assert_eq!(spend(10_000, 1000), None);
        assert!(spend(2000, 100).is_some() && spend(60_000, usize::MAX).is_some());
    }
}
