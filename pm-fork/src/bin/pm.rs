//! What a PM2 user types, over what the tools are made of.

use std::process::ExitCode;

fn main() -> ExitCode {
    pm_common::cli::report::run("pm", || pm_fork::pm::run(std::env::args_os().skip(1)))
}
