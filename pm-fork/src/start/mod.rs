//! A start: what happens in the new process, and what its caller sees of it.

pub(crate) mod awaited;
pub(crate) mod failed;
pub(crate) mod launch;
mod port;
pub(crate) mod service;
mod started;
pub(crate) mod stop_first;
mod wrote;
