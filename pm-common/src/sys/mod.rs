//! The system-call corner: the only module that may hold `unsafe`, raw descriptors from elsewhere, and signal handlers.
#![allow(unsafe_code)]

pub mod affinity;
pub mod clock;
pub mod credentials;
pub mod daemon;
pub mod environ;
pub mod fdpass;
pub mod hurry;
pub mod inotify;
pub mod limits;
pub mod parting;
pub mod passed;
pub mod pidfd;
pub mod process;
pub mod ptrace;
pub mod random;
pub mod reach;
pub mod rights;
pub mod seccomp;
pub mod signals;
pub mod socket;
pub mod terminal;
pub mod timer;
pub mod trial;
