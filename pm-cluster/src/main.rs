//! Runs N copies of a program behind one listening address.

use std::process::ExitCode;

fn main() -> ExitCode {
    pm_common::cli::report::run("pm-cluster", || pm_cluster::run(std::env::args_os().skip(1)))
}
