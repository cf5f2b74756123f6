//! Says what runs, as JSON lines.

fn main() {}
