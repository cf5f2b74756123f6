//! pm-fork: a process of its own session, name and log files, that then becomes the chain it was given; or the chains
//! that descriptions of apps come to.
//!
//! The caller's process waits until the chain is ready, or for the reason why it is not. `service` is what happens in
//! the child, `launch` what the caller sees of it; `ecosystem` makes chains of descriptions, and is pure.

use std::ffi::OsString;

use pm_common::cli::options::Asked;
use pm_common::cli::report::{self, Failure};
use pm_common::cli::tables::PM_FORK;

mod apps;
mod asked;
mod described;
pub mod ecosystem;
pub mod log;
pub mod pm;
mod request;
mod start;

use apps::{input, logs, saved, scale, signals, stop};
use asked::Request;
use start::launch;

/// Runs the tool; the arguments are those after the program's name.
///
/// # Errors
/// 125: bad usage, the name is running, a file cannot be opened; 126, 127: the chain's program cannot be executed; else
/// the chain's own code, if it ends before it is ready; 124: the time is up.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match PM_FORK.parse(args)? {
        Asked::Run(parsed) => parsed,
        Asked::Print(text) => return report::print(&text),
    };
    let (request, patience) = request::parse(parsed)?;
    if request.writes() {
        apps::home()?.check_ours()?;
    }
    match request {
        Request::Chain(service) => launch::start(&service, &patience),
        Request::Described(asked) => described::run(&asked, &patience),
        Request::Again(asked) => saved::again(&asked, &patience),
        Request::Signal { signal, update_env, moved, names } => apps::each(&names, |home, name| {
            if update_env {
                saved::update_env(home, name)?;
            }
            if moved {
                return signals::reload_moved(home, name, &signal);
            }
            if signal.to_workers {
                signals::signal_workers(home, name, &signal)
            } else {
                signals::signal(home, name, &signal)
            }
        }),
        Request::Send { line, names } => apps::each(&names, |home, name| input::send(home, name, &line)),
        Request::Stop(names) => stop::run(&names, patience.asked.then_some(patience.timeout)),
        Request::Scale { by, names } => apps::each(&names, |home, name| scale::scale(home, name, by)),
        Request::Reset(names) => apps::each(&names, signals::reset),
        Request::Flush(names) => apps::each(&names, logs::flush),
        Request::Remove(names) => apps::each(&names, signals::remove),
        Request::Save => saved::save(),
        Request::Keep => saved::keep(),
    }
}
