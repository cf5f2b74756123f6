//! An app on disk: its directory, what its supervisors say of themselves there, and how others wait for that.

pub mod home;
pub mod log_file;
pub mod may_signal;
pub mod orphans;
pub mod status;
pub mod wait;
