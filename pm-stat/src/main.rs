//! Says what runs, as JSON lines.

use std::process::ExitCode;

fn main() -> ExitCode {
    pm_common::cli::report::run("pm-stat", || pm_stat::run(std::env::args_os().skip(1)))
}
