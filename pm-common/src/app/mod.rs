//! An app on disk: its directory, what its supervisors say of themselves there, and how others wait for that.
//!
//! `home`: the directory, its lock and files; `status`: the lines that supervisors leave there; `wait`: until a reload has
//! ended, it is ready, or stopped; `orphans`: what killed supervisors have left; `may_signal`: who may end whom.

pub mod home;
pub mod log_file;
pub mod may_signal;
pub mod orphans;
pub mod status;
pub mod wait;
