//! pm-stat: what the status files of the apps say, checked against /proc, as one JSON line per worker; or a wait until
//! they say something.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;

use pm_common::home::Home;
use pm_common::options::{Asked, Opt, Tool};
use pm_common::procfs::Proc;
use pm_common::report::{Failure, OrFail as _};

mod app;
mod record;
mod wait;

use wait::Wait;

const fn opt(long: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { short: None, long, value: Some(value), help }
}

/// The command line.
pub const TOOL: Tool = Tool {
    name: "pm-stat",
    usage: "[APP...]\n       pm-stat --wait WHAT [--timeout TIME] [--since N] APP",
    about: "Says what runs: one JSON line per worker of the apps named, or of all; or waits for an app.",
    options: &[
        opt("wait", "WHAT", "until APP is: rolled, ready, stopped, workers=N"),
        opt("timeout", "TIME", "wait no longer, and exit 124 (for ever)"),
        opt("since", "N", "rolled: by the first roll with a higher number (asked for, or the next)"),
    ],
    examples: "  pm-stat | jq 'select(.state != \"ready\")'\n  \
               pm-stat --wait rolled --timeout 60s app & kill -HUP PID; wait $!\n",
    elsewhere: &[],
};

/// Runs the tool; the arguments are those after the program's name.
///
/// # Errors
/// 1: an app that was named does not exist (the others are printed), or what was waited for will not be; 124: the wait
/// timed out; 125: bad usage, or the files cannot be read.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match TOOL.parse(args)? {
        Asked::Run(parsed) => parsed,
        Asked::Print(text) => return print(&text).map(|()| 0),
    };
    let home = Home::find(|name| std::env::var_os(name));
    if let Some(wait) = Wait::from_options(&parsed.options, &parsed.rest)? {
        return wait.run(home.as_ref());
    }
    let (apps, missing) = choose(home.as_ref(), parsed.rest)?;
    let mut text = String::new();
    let mut proc = Proc::default();
    for app in &apps {
        let Some(dir) = home.as_ref().and_then(|h| h.dir(app)) else { continue };
        let lines = app::lines(app, &dir, &mut proc).or_fail(|| format!("cannot read {}", dir.display()))?;
        text.push_str(&lines);
    }
    print(&text)?;
    if missing.is_empty() { Ok(0) } else { Err(no_such(&missing, home.as_ref().map(Home::path))) }
}

/// The apps to show, sorted and each once, and those that were named and do not exist.
fn choose(home: Option<&Home>, named: Vec<OsString>) -> Result<(Vec<String>, Vec<String>), Failure> {
    let Some(home) = home else {
        return Ok((Vec::new(), named.iter().map(|n| n.to_string_lossy().into_owned()).collect()));
    };
    if named.is_empty() {
        let all = home.apps().or_fail(|| format!("cannot read {}", home.path().display()))?;
        return Ok((all, Vec::new()));
    }
    let mut names: Vec<_> = named.iter().map(|n| n.to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().partition(|name| home.dir(name).is_some_and(|d| d.is_dir())))
}

fn no_such(names: &[String], home: Option<&Path>) -> Failure {
    let names: Vec<_> = names.iter().map(|n| format!("'{n}'")).collect();
    let place =
        home.map_or_else(|| "neither PM_HOME nor HOME is set".to_owned(), |h| format!("none in {}", h.display()));
    Failure::with_code(1, format!("no app {}: {place}", names.join(", ")))
}

/// Writes to stdout, all at once; that nobody reads any more is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.or_fail(|| "cannot write to stdout".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_man_page_names_every_option() {
        assert_eq!(super::TOOL.undocumented(include_str!("../../man/pm-stat.1")), [""; 0]);
    }
}
