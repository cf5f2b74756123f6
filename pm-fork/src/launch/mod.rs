//! A start: what happens in the new process (`child`, `service`), and what its caller sees of it (`batch`: who is started together; `parent`, which starts each in its
//! turn; `awaited`: until when it waits, and what it says then; `started_elsewhere`: apps of other callers that ours start
//! after); `in_front`: the apps are children of the caller, which stays.

pub(crate) mod awaited;
pub(crate) mod batch;
mod child;
pub(crate) mod failed;
pub(crate) mod in_front;
pub(crate) mod parent;
pub(crate) mod patience;
mod port_taken;
mod running_service;
pub(crate) mod service;
mod started_elsewhere;
pub(crate) mod stop_first;
mod wrote;
