//! Becomes a background service, then runs the rest of the chain.

use std::process::ExitCode;

fn main() -> ExitCode {
    pm_common::cli::report::run("pm-fork", || pm_fork::run(std::env::args_os().skip(1)))
}
