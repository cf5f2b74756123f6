//! The closing of busy connections for a server that cannot be told: in a drain, a helper process traces the worker and
//! writes `Connection: close` into the heads of its next responses, in place.
//!
//! `head` is what is written over, `ptrace_stop` what to do when a thread stops (both pure); `tracer` does it, in the process
//! of `helper`, which may be killed at any moment: the kernel lets the worker go on. When it is begun, and for which drains,
//! `care::drain` decides.

mod head;
mod helper;
mod ptrace_stop;
mod tracer;

pub(crate) use helper::{ARGUMENT, Ended, Helper, run};
