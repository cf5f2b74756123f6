//! Runs N copies of a program behind one listening address.

fn main() {}
