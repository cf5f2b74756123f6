//! When a client hears `Connection: close`. A worker of Node says it in its drain, by the preload script (pm-common's
//! `node/preload/drain.cjs`). For a server that cannot be told, a helper process traces the worker in its drain, and writes
//! it into the heads of the next responses to clients that stay busy, in place.
//!
//! What is idle as the drain ends is closed by another such helper (`idle`), where the server is about to be killed.
//!
//! `head` is what is written over, `ptrace_stop` what to do when a thread stops (both pure); `tracer` does it, in the process
//! of `helper`, which may be killed at any moment: the kernel lets the worker go on. When it is begun, `care::drain`
//! decides; for which drains, it and `cluster::hooks` (`is_told_by_helper`).

mod head;
mod helper;
mod idle;
mod ptrace_stop;
mod tracer;

pub(crate) use helper::{ARGUMENT, Ended, Helper, Task, run};
