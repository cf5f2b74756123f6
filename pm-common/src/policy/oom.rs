//! Whether the kernel's OOM killer ended a worker: it does not say so itself, but it counts.

use super::exit::Exit;
use super::time::{Mono, Span};

/// Ends that are noticed this long after the count has grown come from the same want of memory: the kernel may kill
/// several processes at once (memory.oom.group), and all of that has been counted by the time of the first end.
const TOGETHER: Span = Span::secs(1);

/// `KILL`'s number, and what a shell says of a child that it ended.
const KILL: Exit = Exit::Signal(9);
const KILL_OF_A_SHELL: Exit = Exit::Code(137);

/// The kernel's count of what it killed in our control group, as it was last seen. That it has grown when a worker was
/// killed is evidence, not proof: the worker may have been killed by a person a little later.
#[derive(Debug, Clone, Copy, Default)]
pub struct OomKills {
    seen: Option<u64>,
    grew: Option<Mono>,
}

impl OomKills {
    /// What was counted before any worker was started; `None`: there is no such count here.
    #[must_use]
    pub const fn new(count: Option<u64>) -> Self {
        Self { seen: count, grew: None }
    }

    /// Whether an end looks like a kill, so that the count is worth a look.
    #[must_use]
    pub fn concerns(exit: Exit) -> bool {
        exit == KILL || exit == KILL_OF_A_SHELL
    }

    /// Judges a kill that is noticed at `now`, by the count of that time.
    pub fn explains(&mut self, now: Mono, count: Option<u64>) -> bool {
        if self.seen.zip(count).is_some_and(|(before, after)| after > before) {
            self.grew = Some(now);
        }
        self.seen = count;
        self.grew.is_some_and(|at| now.since(at) <= TOGETHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    #[test]
    fn a_count_that_grew_explains_all_that_died_with_it() {
        let mut kills = OomKills::new(Some(3));
        assert!(!kills.explains(at(1000), Some(3)), "somebody else's KILL");
        assert!(kills.explains(at(2000), Some(5)));
        assert!(kills.explains(at(2500), Some(5)), "the same want of memory");
        assert!(!kills.explains(at(3001), Some(5)), "long after it");
        assert!(kills.explains(at(9000), Some(6)));
    }

    #[test]
    fn without_a_count_nothing_is_claimed() {
        let mut kills = OomKills::new(None);
        assert!(!kills.explains(at(1000), None));
        assert!(!kills.explains(at(2000), Some(7)), "a control group that we came into: nothing to compare with");
        assert!(kills.explains(at(3000), Some(8)));
        assert!(!kills.explains(at(9000), Some(2)), "another control group");
        assert!(!OomKills::default().explains(at(0), Some(1)));
    }

    #[test]
    fn only_kills_concern_it() {
        assert!(OomKills::concerns(Exit::Signal(9)) && OomKills::concerns(Exit::Code(137)));
        assert!(!OomKills::concerns(Exit::Signal(15)) && !OomKills::concerns(Exit::Code(1)));
    }
}
