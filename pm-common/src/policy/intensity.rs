//! The rule for a crash loop (`--intensity`): which restarts of a slot count, and how many are too many. What follows, `supervisor_end` and `worker_end` of `policy::supervisor` decide.

use std::collections::VecDeque;

use super::end_reason::Why;
use super::rules::Rules;
use super::time::{Mono, Span};

/// The restarts of one slot that count, within the window of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Intensity {
    restarts: VecDeque<Mono>,
}

impl Intensity {
    /// Whether a slot may start another worker at `now`, after one that was up for `up` and ended for `why`; where that
    /// counts, it is counted.
    pub(super) fn allows(&mut self, now: Mono, why: Why, up: Span, rules: &Rules) -> bool {
        self.restarts.retain(|at| now.since(*at) < rules.window);
        if !counts(why, up, rules) {
            return true;
        }
        let allowed = self.restarts.len() < usize::try_from(rules.intensity).unwrap_or(usize::MAX);
        if allowed {
            self.restarts.push_back(now);
        }
        allowed
    }

    /// The ages of the restarts that still count, for comparing states.
    #[cfg(test)]
    pub(super) fn ages(&self, now: Mono, rules: &Rules) -> Vec<Span> {
        self.restarts.iter().map(|at| now.since(*at)).filter(|age| *age < rules.window).collect()
    }
}

/// Whether a restart counts: never one that was asked for, always one for want of readiness, and any other where the
/// worker was up for less than `Rules::brief`.
fn counts(why: Why, up: Span, rules: &Rules) -> bool {
    match why {
        Why::Reload | Why::Unshared => false,
        Why::NotReady => true,
        _ => rules.brief.is_none_or(|brief| up < brief),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(slot: &mut Intensity, now: Mono, rules: &Rules) -> bool {
        slot.allows(now, Why::Crash, Span::secs(1), rules)
    }

    #[test]
    fn the_defaults_never_exceed_their_own_intensity() {
        let rules = Rules::default();
        for random in [0, u64::MAX / 7, u64::MAX] {
            let (mut slot, mut now) = (Intensity::default(), Mono(0));
            for failures in 1..10_000 {
                now = now + rules.delay(failures, true, random);
                assert!(crash(&mut slot, now, &rules), "restart {failures}");
            }
        }
    }

    #[test]
    fn intensity_forgets_what_is_older_than_the_window() {
        let rules = Rules { intensity: 2, window: Span::secs(60), ..Rules::default() };
        let mut slot = Intensity::default();
        let mut at = |secs| crash(&mut slot, Mono(Span::secs(secs).0), &rules);
        assert!(at(0) && at(10));
        assert!(!at(59));
        assert!(at(60), "the first has left the window");
        assert!(!at(61));
    }

    #[test]
    fn a_reload_counts_for_nothing_and_who_was_up_long_only_if_it_was_not_ready() {
        let rules = Rules { intensity: 0, brief: Some(Span::secs(1)), ..Rules::default() };
        let allows = |why, up| Intensity::default().allows(Mono(0), why, up, &rules);
        assert!(allows(Why::Reload, Span::ZERO) && allows(Why::Crash, Span::secs(1)));
        assert!(!allows(Why::Crash, Span::millis(999)) && !allows(Why::NotReady, Span::secs(1)));
    }
}
