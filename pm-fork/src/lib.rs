//! pm-fork: a process of its own session, name and log files, that then becomes the chain it was given; or the chains
//! that descriptions of apps come to.
//!
//! The caller's process waits until the chain is ready, or for the reason why it is not. `launch` is that; `ecosystem`
//! makes chains of descriptions, and is pure; `described` starts, reloads and compares what a file describes; `apps` acts on
//! apps that are known; `log` is pm-log, and `pm` the front.

use std::ffi::OsString;

use nix::libc::SIGHUP;
use pm_common::cli::options::Asked;
use pm_common::cli::report::{self, Failure};
use pm_common::cli::tables::PM_FORK;

mod apps;
mod described;
pub mod ecosystem;
mod launch;
pub mod log;
mod options;
pub mod pm;
mod request;

use apps::{flush, saved, scale, signals, start_order, stdin_fifo, stop};
use launch::parent;
use launch::patience::Patience;
use request::{Act, Request};

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
    let (request, patience) = options::parse(parsed)?;
    if request.writes() {
        apps::home()?.check_ours()?;
    }
    match request {
        Request::Chain(service) => {
            start_order::check_chain(&service.start)?;
            parent::start(*service, &patience)
        }
        Request::Described(asked) => described::run(&asked, &patience),
        Request::Known(act, names) => known(&act, &names, &patience),
    }
}

fn known(act: &Act, names: &[String], patience: &Patience) -> Result<u8, Failure> {
    match act {
        Act::Again(how) => saved::again(names, how, patience),
        Act::Stop => stop::run(names, patience.asked.then_some(patience.timeout)),
        Act::Signal { signal, update_env, moved } => apps::each(names, |home, name| {
            if *update_env {
                saved::update_env(home, name)?;
            }
            match (moved, signal.to_workers) {
                (false, true) => signals::signal_workers(home, name, signal),
                (moved, _) if signal.number == SIGHUP as u8 => signals::reload(home, name, signal, *moved),
                _ => signals::signal(home, name, signal),
            }
        }),
        Act::Send(line) => apps::each(names, |home, name| stdin_fifo::send(home, name, line)),
        Act::Scale(by) => apps::each(names, |home, name| scale::scale(home, name, *by)),
        Act::Reset => apps::each(names, signals::reset),
        Act::Flush => apps::each(names, flush::flush),
        Act::Remove => apps::each(names, signals::remove),
        Act::Save => saved::save(),
        Act::Keep => saved::keep(),
    }
}
