//! A start: what happens in the new process (`service`), and what its caller sees of it (`launch`; `awaited`: until when it
//! waits, and what it says then).

pub(crate) mod awaited;
pub(crate) mod failed;
pub(crate) mod launch;
mod port;
pub(crate) mod service;
mod started;
pub(crate) mod stop_first;
mod wrote;
