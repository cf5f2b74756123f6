//! What a PM2 user types, over what the tools are made of. Called `pm-runtime`, it is `pm runtime`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let is_runtime = args.next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|n| n == "pm-runtime"));
    let verb = is_runtime.then(|| OsString::from("runtime"));
    pm_common::cli::report::run("pm", || pm_fork::pm::run(verb.into_iter().chain(args)))
}
