//! What befalls workers at their work: whether they are well, take what comes to them, and have finished.

pub mod drain;
pub mod health;
pub(crate) mod lag_watch;
