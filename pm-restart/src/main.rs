//! Keeps the rest of the chain running under a restart and memory policy.

use std::process::ExitCode;

fn main() -> ExitCode {
    pm_common::cli::report::run("pm-restart", || pm_restart::run(std::env::args_os().skip(1)))
}
