//! Becomes a background service, then runs the rest of the chain.

fn main() {}
