//! Waiting for a condition of another process, with a deadline that only ends failing tests.

use std::time::{Duration, Instant};

/// How long a condition may take before the test is a failure: far above what a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition that has no event of its own is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `probe` has a value; `None` after the deadline.
pub fn poll<T>(mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// Looks until `probe` has a value.
///
/// # Panics
/// After the deadline, with `what` in the message.
#[track_caller]
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    match poll(probe) {
        Some(value) => value,
        None => panic!("waited {DEADLINE:?} in vain for {what}"),
    }
}
