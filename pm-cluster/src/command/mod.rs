//! What was asked for: the values of the options, and what they come to.

pub mod listen_option;
pub(crate) mod options;
pub(crate) mod plan;
