//! A start: what happens in the new process (`service`), and what its caller sees of it (`caller`; `awaited`: until when it
//! waits, and what it says then); `in_front`: the apps are children of the caller, which stays.

pub(crate) mod awaited;
pub(crate) mod caller;
pub(crate) mod failed;
pub(crate) mod in_front;
mod port_taken;
mod running_service;
pub(crate) mod service;
pub(crate) mod stop_first;
mod wrote;
