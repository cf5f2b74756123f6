//! pm-stat: what the status files of the apps say, checked against /proc: as one JSON line per worker, as a table, a
//! stream, figures for a collector; or a wait until they say something.
//!
//! As a library, for the front: [`Apps`] looks, [`matching`] finds whom a target means, [`once`] prints in a [`Form`],
//! [`Wait`] waits, [`top`] is the live table, [`no_app`] says that there is no such app. What they print goes to stdout;
//! a [`Failure`] is told under the name of the program that [`pm_common::cli::report::run`] was given.

use std::ffi::OsString;

use pm_common::app::home::Home;
use pm_common::cli::options::Asked;
use pm_common::cli::report::{Failure, print};
use pm_common::cli::tables::PM_STAT;

mod check;
mod follow;
mod look;
mod mode;
mod once;
mod show;
mod top;
mod wait;

pub use look::app::App;
pub use look::matching::{meant_by, paths};
pub use look::{Apps, no_app};
pub use mode::Form;
use mode::Mode;
pub use once::{Matched, matching, once, once_with};
pub use show::order::Order;
pub use top::top;
pub use wait::Wait;

/// Runs the tool; the arguments are those after the program's name.
///
/// # Errors
/// 1: an app that was named does not exist (the others are printed), or what was waited for will not be; 124: the wait
/// timed out; 4: it may run, but could write its state nowhere; 125: bad usage, or the files cannot be read.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match PM_STAT.parse(args)? {
        Asked::Run(parsed) => parsed,
        Asked::Print(text) => return print(&text),
    };
    let home = Home::find(|name| std::env::var_os(name));
    match Mode::from_options(&parsed.options, &parsed.rest)? {
        Mode::Wait(wait) => wait.run(home.as_ref()),
        Mode::Check => once::check(home.as_ref(), &parsed.rest),
        Mode::Follow { interval, pss } => follow::follow(home.as_ref(), &parsed.rest, interval, pss),
        Mode::Top { pss } => top(home.as_ref(), &parsed.rest, pss),
        Mode::Match => once::print_matching(home.as_ref(), &parsed.rest),
        Mode::Once { form, pss } => once(home.as_ref(), &parsed.rest, form, pss),
    }
}
