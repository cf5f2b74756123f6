//! Keeps the rest of the chain running under a restart and memory policy.

fn main() {}
