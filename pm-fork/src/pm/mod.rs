//! The front: verbs as PM2 has them, over the functions that the tools call, in this process.
//!
//! `verbs` is the table of them, `call` how a line is parsed, `options` what several take, `targets` which apps are meant.
//! What the verbs do: `start_verb`, `restart_and_reload` (restart and reload, of which `reload_apps` waits), `manage_verbs` (stop, delete, scale, signals, the
//! saved list), `show_verbs` (lists, facts), `logs`, `boot` (startup, with `init_system` where that is no systemd; logrotate).

mod boot;
mod call;
mod help;
mod init_system;
mod inspect;
mod logs;
mod manage_verbs;
mod options;
mod reload_apps;
mod restart_and_reload;
mod show_verbs;
mod start_verb;
mod targets;
mod verbs;

use std::ffi::OsString;

use pm_common::cli::report::{self, EXIT_OWN, Failure};
use pm_common::sys::environ;

use call::Call;
pub use call::Verb;

/// All verbs, in the order of the help.
#[must_use]
pub fn verbs() -> &'static [Verb] {
    verbs::VERBS
}

/// Runs a verb; the arguments are those after the program's name.
///
/// # Errors
/// 1: what was asked for was not done, or makes no sense; 124: a wait was given up.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let mut words = args.into_iter().collect::<std::collections::VecDeque<_>>();
    find_tools();
    let mut silent = false;
    let word = loop {
        let word = words.pop_front().map(|word| word.to_string_lossy().into_owned());
        match word.as_deref() {
            Some("-s" | "--silent") => silent = true,
            Some("--no-color") => environ::set("NO_COLOR", "1"),
            Some("-v" | "-V" | "--version") => break "version".to_owned(),
            Some("-h" | "--help") => return help::all(),
            Some(word) => break word.to_owned(),
            None => {
                report::print_to_stderr(&help::text());
                return Ok(1);
            }
        }
    };
    let verb = verbs::find(&word).ok_or_else(|| help::no_verb(&word))?;
    let mut call = Call::new(verb).parse(words.into()).map_err(as_pm)?;
    if call.has("help") {
        return help::of_verb(verb, &call.targets);
    }
    if verb.name == "help" {
        return help::run(&call);
    }
    if verb.usage.is_empty() && !call.targets.is_empty() {
        return Err(Failure::with_code(1, format!("{} takes no target, and nothing of an app", verb.name)));
    }
    if silent {
        call.options.push(("silent", OsString::new()));
    }
    if call.has("no-color") {
        environ::set("NO_COLOR", "1");
    }
    (verb.run)(&call).map_err(as_pm)
}

/// As in PM2, a failure is 1.
fn as_pm(failure: Failure) -> Failure {
    let code = if failure.code == EXIT_OWN { 1 } else { failure.code };
    Failure { code, ..failure }
}

/// The links of a chain are looked for in PATH: those that are beside this program come first.
fn find_tools() {
    let Some(beside) = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned())) else { return };
    let path = std::env::var_os("PATH").unwrap_or_default();
    if beside.join("pm-fork").exists() && std::env::split_paths(&path).all(|dir| dir != beside) {
        let dirs = std::iter::once(beside).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(dirs) {
            environ::set("PATH", path);
        }
    }
}
