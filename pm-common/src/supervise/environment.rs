//! The environment of workers: what each link sets for its children, and what it drops.

use std::ffi::OsString;

/// Variables that speak to us, or to the one process they were made for; no child gets them as they are.
const OURS: [&str; 11] = [
    "PM_POLICY",
    "PM_APP",
    "PM_DIR",
    "PM_SLOT",
    "PM_GENERATION",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
];

/// Our own environment without what is meant for us alone.
#[must_use]
pub fn base() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(key, _)| !OURS.iter().any(|ours| key == ours)).collect()
}
