//! Apps that are known: looked at by name, signalled, stopped, scaled, started again.

pub(crate) mod input;
pub(crate) mod logs;
pub(crate) mod saved;
pub(crate) mod scale;
pub(crate) mod signals;
pub(crate) mod stop;
