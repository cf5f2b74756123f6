//! pm-fork: a process of its own session, name and log files, that then becomes the chain it was given.
//!
//! The caller's process waits until the chain has been executed, or for the reason why it was not.

use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeReader, Read as _};

use nix::unistd::Pid;
use pm_common::options::{Asked, Opt, Tool};
use pm_common::report::{self, Failure, OrFail as _};
use pm_common::sys::daemon::{self, Fork};

pub mod log;
mod service;

use service::Service;

/// The command line.
pub const TOOL: Tool = Tool {
    name: "pm-fork",
    usage: "[options] CHAIN...",
    about: "Becomes a background service with a name and log files, then runs CHAIN.",
    options: &[
        Opt { short: None, long: "name", value: Some("NAME"), help: "the app's name [after the first file in CHAIN]" },
        Opt { short: None, long: "cwd", value: Some("DIR"), help: "the directory to run in [this one]" },
        Opt { short: None, long: "out", value: Some("FILE"), help: "append stdout to FILE [out.log of the app]" },
        Opt { short: None, long: "err", value: Some("FILE"), help: "append stderr to FILE [err.log of the app]" },
    ],
    examples: "pm-fork pm-restart --max-mem 512M pm-cluster -n 0 node app.js\n",
    elsewhere: &[],
};

/// What the child writes before it executes the chain, then what to say of it and a NUL; without it, it did not get
/// that far.
const ABOUT_TO_EXEC: u8 = b'x';

/// Runs the tool; the arguments are those after the program's name.
///
/// # Errors
/// 125: bad usage, the name is running, a file cannot be opened; 126, 127: the chain's program cannot be executed.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match TOOL.parse(args)? {
        Asked::Run(parsed) => parsed,
        Asked::Print(text) => return print(&text),
    };
    let service = Service::from_options(parsed)?;
    let (reader, writer) = std::io::pipe().or_fail(|| "cannot make a pipe".to_owned())?;
    match daemon::fork().or_fail(|| "cannot fork".to_owned())? {
        Fork::Parent(child) => {
            drop(writer);
            outcome(reader, child)
        }
        Fork::Child => {
            drop(reader);
            let mut pipe = File::from(std::os::fd::OwnedFd::from(writer));
            let failure = service.start(&mut pipe);
            // The parent says it, with the stderr that the user sees.
            let _ = std::io::Write::write_all(&mut pipe, &[&[failure.code], failure.message.as_bytes()].concat());
            Err(Failure::with_code(failure.code, ""))
        }
    }
}

fn print(text: &str) -> Result<u8, Failure> {
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, text.as_bytes()).or_fail(|| "cannot write to stdout".to_owned())?;
    Ok(0)
}

/// Waits for what becomes of the child: the pipe is closed when it executes the chain.
fn outcome(mut pipe: PipeReader, child: Pid) -> Result<u8, Failure> {
    let mut told = Vec::new();
    pipe.read_to_end(&mut told).or_fail(|| "cannot read from the service's process".to_owned())?;
    let (started, failure) = match told.split_first() {
        Some((&ABOUT_TO_EXEC, rest)) => halves(rest),
        _ => ([].as_slice(), told.as_slice()),
    };
    match failure {
        [code, message @ ..] => Err(Failure::with_code(*code, String::from_utf8_lossy(message))),
        [] if told.is_empty() => {
            let ended = nix::sys::wait::waitpid(child, None);
            Err(Failure::own(format!("the service's process ended before the chain was run: {ended:?}")))
        }
        [] => {
            report::info(String::from_utf8_lossy(started));
            Ok(0)
        }
    }
}

/// What is before the first NUL, and what is behind it.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_man_page_names_every_option() {
        assert_eq!(super::TOOL.undocumented(include_str!("../../man/pm-fork.1")), [""; 0]);
    }
}
