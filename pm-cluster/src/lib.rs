//! The parts of pm-cluster.

pub mod channel;
pub mod protocol;
pub mod query;
