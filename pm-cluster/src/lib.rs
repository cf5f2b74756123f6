//! The parts of pm-cluster, as a library so that tests can reach them.

pub mod address;
pub mod cpus;
pub mod entry;
pub mod foreign;
pub mod lanes;
pub mod listeners;
pub mod paths;
pub mod query;
