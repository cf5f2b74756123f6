//! pm-fork: a process of its own session, name and log files, that then becomes the chain it was given; or the chains
//! that descriptions of apps come to.
//!
//! The caller's process waits until the chain is ready, or for the reason why it is not. `service` is what happens in
//! the child, `launch` what the caller sees of it; `ecosystem` makes chains of descriptions, and is pure.

use std::ffi::OsString;

use pm_common::cli::options::Asked;
use pm_common::cli::report::{self, Failure};

mod described;
pub mod ecosystem;
mod failed;
mod file;
mod input;
mod launch;
pub mod log;
mod logs;
mod manage;
mod port;
mod request;
mod restart;
mod resurrect;
mod scale;
mod service;
mod stop;
mod update;

use request::Request;
pub use request::TOOL;

/// Runs the tool; the arguments are those after the program's name.
///
/// # Errors
/// 125: bad usage, the name is running, a file cannot be opened; 126, 127: the chain's program cannot be executed; else
/// the chain's own code, if it ends before it is ready; 124: the time is up.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match TOOL.parse(args)? {
        Asked::Run(parsed) => parsed,
        Asked::Print(text) => return report::print(&text),
    };
    let (request, patience) = request::parse(parsed)?;
    if request.writes() {
        resurrect::home()?.check_ours()?;
    }
    match request {
        Request::Chain(service) => launch::start(&service, &patience),
        Request::Described(asked) => described::run(&asked, &patience),
        Request::Again(asked) => resurrect::again(&asked, &patience),
        Request::Signal { signal, update_env, names } => manage::each(&names, |home, name| {
            if update_env {
                resurrect::update_env(home, name)?;
            }
            if signal.to_workers {
                manage::signal_workers(home, name, &signal)
            } else {
                manage::signal(home, name, &signal)
            }
        }),
        Request::Send { line, names } => manage::each(&names, |home, name| input::send(home, name, &line)),
        Request::Stop(names) => stop::run(&names, patience.asked.then_some(patience.timeout)),
        Request::Scale { by, names } => manage::each(&names, |home, name| scale::scale(home, name, by)),
        Request::Reset(names) => manage::each(&names, manage::reset),
        Request::Flush(names) => manage::each(&names, logs::flush),
        Request::Logs(names) => manage::each(&names, logs::print),
        Request::Remove(names) => manage::each(&names, manage::remove),
        Request::Save => resurrect::save(),
        Request::Keep => resurrect::keep(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_man_page_names_every_option() {
        assert_eq!(super::TOOL.undocumented(include_str!("../../man/pm-fork.1")), [""; 0]);
    }
}
