//! Writes the lines of a chain to files: with the time, as JSON, rotated.

use std::process::ExitCode;

fn main() -> ExitCode {
    pm_common::cli::report::run("pm-log", || pm_fork::log::run(std::env::args_os().skip(1)))
}
