//! The limit on open descriptors: a supervisor of many workers needs more than the usual 1024, its workers what they
//! were given.

use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A soft and a hard limit (getrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    soft: u64,
    hard: u64,
}

impl Limits {
    fn now() -> Option<Self> {
        getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, hard)| Self { soft, hard })
    }

    fn set(self) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard);
    }

    /// What a child gets of a supervisor that was started with `self`: the same, but not more than may be had `now`. Who
    /// lowered only our soft limit, or ours for a moment, meant us.
    fn for_child(self, now: Self) -> Self {
        Self { soft: self.soft.min(now.hard), hard: self.hard.min(now.hard) }
    }
}

/// The limits that we were started with.
static AT_START: OnceLock<Limits> = OnceLock::new();

/// Raises our own soft limit on descriptors to the hard one. Refused: we live with what we have.
///
/// Whoever lowered it may have done so for a moment: it is to be called again before more descriptors are needed.
pub fn raise_descriptors() {
    let Some(now) = Limits::now() else { return };
    let _ = AT_START.set(now);
    if now.soft < now.hard {
        Limits { soft: now.hard, hard: now.hard }.set();
    }
}

/// Gives a child the limit that we were started with, or as much of it as there is: programs that use select(2) break
/// above 1024.
///
/// Async-signal-safe: it may be called between fork and exec.
pub fn restore_descriptors() {
    if let (Some(at_start), Some(now)) = (AT_START.get(), Limits::now()) {
        at_start.for_child(now).set();
    }
}

/// Whether an error says that descriptors, processes or memory are lacking, which may be there in the next moment: it
/// tells nothing of what is possible here.
#[must_use]
pub fn is_want(error: &io::Error) -> bool {
    lacks_descriptors(error) || is_one_of(error, [Errno::EAGAIN, Errno::ENOMEM])
}

/// Whether an error says that there is no descriptor left, of ours or of the whole system.
#[must_use]
pub fn lacks_descriptors(error: &io::Error) -> bool {
    is_one_of(error, [Errno::EMFILE, Errno::ENFILE])
}

fn is_one_of(error: &io::Error, all: [Errno; 2]) -> bool {
    error.raw_os_error().is_some_and(|errno| all.contains(&Errno::from_raw(errno)))
}

/// How many descriptors may be open, and so be waited for at a time (poll(2)).
#[must_use]
pub fn most_descriptors() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(usize::MAX, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limits(soft: u64, hard: u64) -> Limits {
        Limits { soft, hard }
    }

    #[test]
    fn a_child_gets_what_we_were_started_with_as_far_as_there_is_as_much() {
        let at_start = limits(1024, 4096);
        // We have raised ours; somebody has lowered it; somebody has given us more.
        for now in [limits(4096, 4096), limits(8, 4096), limits(1_000_000, 1_000_000)] {
            assert_eq!(at_start.for_child(now), at_start, "{now:?}");
        }
        assert_eq!(at_start.for_child(limits(8, 2048)), limits(1024, 2048));
        assert_eq!(at_start.for_child(limits(8, 8)), limits(8, 8));
        // None was raised.
        assert_eq!(limits(1024, 1024).for_child(limits(8, 1024)), limits(1024, 1024));
    }
}
