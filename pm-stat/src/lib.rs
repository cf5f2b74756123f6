//! pm-stat: what the status files of the apps say, checked against /proc: as one JSON line per worker, as a table, a
//! stream, figures for a collector; or a wait until they say something.
//!
//! As a library, for the front: [`Apps`] looks, [`matching`] finds whom a target means, [`once`] prints in a [`Form`],
//! [`Wait`] waits, [`top`] is the live table, [`no_app`] says that there is no such app. What they print goes to stdout;
//! a [`Failure`] is told under the name of the program that [`pm_common::cli::report::run`] was given.

use std::ffi::OsString;

use pm_common::app::home::Home;
use pm_common::cli::options::{Asked, Tool, opt, switch};
use pm_common::cli::report::{Failure, print};

mod check;
mod follow;
mod look;
mod mode;
mod once;
mod show;
mod top;
mod wait;

pub use look::app::App;
pub use look::{Apps, no_app};
pub use mode::Form;
use mode::Mode;
pub use once::{Matched, matching, once};
pub use show::order::Order;
pub use top::top;
pub use wait::Wait;

/// The command line.
pub const TOOL: Tool = Tool {
    name: "pm-stat",
    usage: "[--pss] [WHAT] [APP...]\n       pm-stat --wait WHAT [--timeout TIME] [--since N] APP",
    about: "Says what runs, of the apps named or of all: as JSON lines, or as WHAT says.",
    options: &[
        switch("table", "a table for people"),
        opt("sort", "FIELD", "with --table: by name, cpu, memory ...; memory:desc"),
        switch("describe", "all that is known of APP, for people"),
        switch("check", "exit 0 if all is as it shall be; else 1, and why"),
        switch("follow", "a JSON line for each change, until nobody reads"),
        opt("interval", "TIME", "with --follow: figures too, so often"),
        switch("top", "the table, live on a terminal; q quits"),
        switch("openmetrics", "figures for Prometheus and other collectors"),
        switch("jlist", "one JSON array as programs written for PM2 read it"),
        switch("env", "with --jlist: the environment too (it may hold passwords)"),
        switch("match", "names of apps, by: all, name, id, namespace, script path"),
        opt("wait", "WHAT", "until APP is: rolled, ready, stopped, workers=N"),
        opt("timeout", "TIME", "wait no longer, and exit 124 (for ever)"),
        opt("since", "N", "rolled: by the first roll above N (last asked, or next)"),
        switch("pss", "memory with shared pages divided among their sharers"),
    ],
    examples: "  pm-stat | jq 'select(.state != \"ready\")'\n  \
               pm-stat --wait rolled --timeout 60s app & kill -HUP PID; wait $!\n",
    elsewhere: &[],
};

/// Runs the tool; the arguments are those after the program's name.
///
/// # Errors
/// 1: an app that was named does not exist (the others are printed), or what was waited for will not be; 124: the wait
/// timed out; 4: it may run, but could write its state nowhere; 125: bad usage, or the files cannot be read.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match TOOL.parse(args)? {
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_fits_a_screen() {
        let help = super::TOOL.help();
        assert!(help.lines().count() <= 28, "{help}");
        assert!(help.lines().all(|l| l.chars().count() <= 80), "{help}");
    }

    #[test]
    fn the_man_page_names_every_option() {
        assert_eq!(super::TOOL.undocumented(include_str!("../../man/pm-stat.1")), [""; 0]);
    }
}
