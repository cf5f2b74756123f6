//! A start: what happens in the new process (`service`), and what its caller sees of it (`parent`; `awaited`: until when it
//! waits, and what it says then); `in_front`: the apps are children of the caller, which stays.

pub(crate) mod awaited;
pub(crate) mod failed;
pub(crate) mod in_front;
pub(crate) mod parent;
mod port_taken;
mod running_service;
pub(crate) mod service;
pub(crate) mod stop_first;
mod wrote;
