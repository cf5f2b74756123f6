//! Our own environment.

use std::ffi::OsStr;

/// Sets a variable, for us and those that we start.
pub fn set(name: &str, value: impl AsRef<OsStr>) {
    // SAFETY: no program of ours has a second thread, which is all that could read the environment meanwhile.
    unsafe {
        std::env::set_var(name, value);
    }
}
