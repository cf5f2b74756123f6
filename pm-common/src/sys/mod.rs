//! The system-call corner: the only module that may hold `unsafe`, raw descriptors from elsewhere, and signal handlers.
#![allow(unsafe_code)]

pub mod clock;
pub mod credentials;
pub mod fdpass;
pub mod process;
pub mod signals;
pub mod daemon;
pub mod affinity;
pub mod socket;
pub mod terminal;
