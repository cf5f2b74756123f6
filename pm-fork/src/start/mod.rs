//! A start: what happens in the new process, and what its caller sees of it.

pub(crate) mod failed;
pub(crate) mod launch;
pub(crate) mod port;
pub(crate) mod service;
pub(crate) mod stop_first;
mod wrote;
