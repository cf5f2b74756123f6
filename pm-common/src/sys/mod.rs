//! The system-call corner: the only module that may hold `unsafe`, raw descriptors from elsewhere, and signal handlers.
#![allow(unsafe_code)]

pub mod as_user;
pub mod clock;
pub mod close_at_once;
pub mod credentials;
pub mod daemon;
pub mod dnotify;
pub mod environ;
pub mod fd_limit;
pub mod fdpass;
pub mod inotify;
pub mod interrupt_message;
pub mod listen_fds;
pub mod other_process;
pub mod pidfd;
pub mod process;
pub mod ptrace;
pub mod random;
pub mod seccomp;
pub mod self_test;
pub mod signal_events;
pub mod socket;
pub mod terminal;
pub mod timer;
