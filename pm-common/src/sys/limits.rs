//! The limit on open descriptors: a supervisor of many workers needs more than the usual 1024, its workers what they
//! were given.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limits before we raised ours (soft, hard).
static BEFORE: OnceLock<(u64, u64)> = OnceLock::new();

/// Raises our own soft limit on descriptors to the hard one (getrlimit(2)). Refused: we live with what we have.
pub fn raise_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok()
    {
        let _ = BEFORE.set((soft, hard));
    }
}

/// Gives a child the limit that we were started with: programs that use select(2) break above 1024.
///
/// Async-signal-safe: it may be called between fork and exec.
pub fn restore_descriptors() {
    if let Some((soft, hard)) = BEFORE.get() {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard);
    }
}

/// How many descriptors may be open, and so be waited for at a time (poll(2)).
#[must_use]
pub fn most_descriptors() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(usize::MAX, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}
