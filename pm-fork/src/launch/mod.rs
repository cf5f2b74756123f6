//! A start: what happens in the new process (`service`), and what its caller sees of it (`caller`; `awaited`: until when it
//! waits, and what it says then).

pub(crate) mod awaited;
pub(crate) mod caller;
pub(crate) mod failed;
mod port_taken;
mod running_service;
pub(crate) mod service;
pub(crate) mod stop_first;
mod wrote;
