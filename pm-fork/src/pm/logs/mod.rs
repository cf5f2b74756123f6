//! `pm logs`: the lines of the apps' logs, each with its app in front; those that are there, and those that come.
//!
//! One process and one loop over inotify(7): while nobody writes, nothing wakes. `selection` knows the logs, `one_log` reads
//! one, `log_changes` says which changed, `line_prefix` writes a line; `typed` sends what is typed at `pm attach`.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use pm_common::cli::options::{Opt, opt, switch};
use pm_common::cli::report::{self, Failure, OrFail as _};
use pm_common::sys::signal_events;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::apps::{self, stdin_fifo};
use crate::pm::call::Call;
use crate::pm::manage_verbs::ours;
use crate::pm::targets;

mod line_prefix;
mod log_changes;
mod one_log;
mod selection;
mod typed;

use line_prefix::Form;
use log_changes::Watch;
use selection::Files;
use typed::Typed;

/// The options of the verb.
pub(crate) const OPTIONS: &[Opt] = &[
    opt("lines", "N", "so many of what is there [15]"),
    switch("err", "stderr alone"),
    switch("out", "stdout alone"),
    switch("json", "objects"),
    switch("format", "key=value"),
    switch("raw", "the lines alone"),
    switch("nostream", "what is there, and that is all"),
    switch("wait", "also where there is no app yet"),
    opt("highlight", "TEXT", "on a terminal: TEXT inverted"),
    switch("timestamp", "nothing: a time is there with start --time"),
];

/// So many lines of each log are shown that are there.
const LINES: u64 = 15;

/// What the command line asks for.
#[derive(Debug)]
struct Asked {
    lines: u64,
    /// `out` or `err`; `None`: both.
    stream: Option<&'static str>,
    form: Form,
    follow: bool,
    /// Where there is no log, one is waited for.
    wait: bool,
}

impl Asked {
    /// What the options ask for.
    ///
    /// # Errors
    /// `--lines` is no number.
    fn from_options(options: &[(&'static str, OsString)]) -> Result<Self, Failure> {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let plain = plain || options.iter().any(|(option, _)| *option == "no-color");
        let colours = !plain && std::io::stdout().is_terminal();
        let mut asked =
            Self { lines: LINES, stream: None, form: Form::Text { colours, marked: None }, follow: true, wait: false };
        for (option, value) in options {
            match *option {
                "lines" => asked.lines = number(value)?,
                "err" | "out" => asked.stream = Some(option),
                "json" => asked.form = Form::Json,
                "format" => asked.form = Form::Fields,
                "raw" => asked.form = Form::Raw,
                "nostream" => asked.follow = false,
                "wait" => asked.wait = true,
                "highlight" => asked.form.mark(value),
                "timestamp" => {
                    report::warning("the lines have no times unless the app was started with --time or --log-type json")
                }
                _ => {}
            }
        }
        Ok(asked)
    }
}

fn number(value: &OsString) -> Result<u64, Failure> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Failure::own(format!("--lines {}: expected a number", value.display())))
}

/// Shows the logs of the apps that are meant, of `all` and of a namespace also of those that come.
///
/// # Errors
/// 1: there is no log to show; 125: it cannot be followed.
pub(crate) fn run(call: &Call) -> Result<u8, Failure> {
    // Some have a format behind --timestamp.
    let is_format = |word: &String| ["YYYY", "HH", "mm:"].iter().any(|part| word.contains(part));
    let with_times = call.has("timestamp");
    let targets: Vec<String> = call.targets.iter().filter(|word| !(with_times && is_format(word))).cloned().collect();
    let call = &Call { targets, ..call.clone() };
    let asked = Asked::from_options(&call.options)?;
    let none_yet = asked.wait && call.targets.is_empty() && targets::all()?.is_empty();
    let mut known = if none_yet { Vec::new() } else { targets::or_all(call)?.names };
    // A name is one app, and an id may be that of another one later.
    let is_one = |target: &String| known.contains(target) || target.bytes().all(|byte| byte.is_ascii_digit());
    let mut several: Vec<String> = call.targets.iter().filter(|target| !is_one(target)).cloned().collect();
    several.extend(call.targets.is_empty().then(|| "all".to_owned()));
    let others_may_come = !several.is_empty();
    let names = move || {
        let apps = if several.is_empty() { Vec::new() } else { targets::all().unwrap_or_default() };
        for app in several.iter().flat_map(|target| pm_stat::meant_by(target, &apps).unwrap_or_default()) {
            if !known.contains(&app.name) {
                known.push(app.name.clone());
            }
        }
        known.clone()
    };
    show(asked, names, others_may_come, None)
}

/// Shows what an app writes from now on, and sends it what is typed, until who types leaves.
///
/// # Errors
/// 1: it is not one app that reads; 125: its logs cannot be followed.
pub(crate) fn attach(call: &Call) -> Result<u8, Failure> {
    let [target] = call.targets.as_slice() else {
        return Err(Failure::own("attach needs one app: pm attach APP; pm logs shows several"));
    };
    let home = ours()?;
    let names = targets::of(call, std::slice::from_ref(target))?.names;
    let [name] = names.as_slice() else {
        return Err(Failure::own(format!(
            "attach is for one app, and {target} means {}: {}",
            names.len(),
            names.join(", ")
        )));
    };
    stdin_fifo::open_to_write(&home, name)?;
    report::info(format_args!("what you type goes to '{name}'; Ctrl-C leaves it, and it goes on"));
    let asked = Asked { lines: 0, stream: None, form: Form::Raw, follow: true, wait: false };
    let (app, typed) = (name.clone(), Typed::new(home, name.clone()));
    show(asked, move || vec![app.clone()], false, Some(typed))
}

fn show(
    asked: Asked,
    names: impl FnMut() -> Vec<String>,
    others_may_come: bool,
    mut typed: Option<Typed>,
) -> Result<u8, Failure> {
    let (home, follow, wait_for_first) = (apps::home()?, asked.follow, asked.wait);
    let cannot = || "cannot follow the logs".to_owned();
    signal_events::end_in_order().or_fail(|| "cannot handle signals".to_owned())?;
    let (mut watch, mut files) = (Watch::new(follow).or_fail(cannot)?, Files::new(asked, names, others_may_come));
    files.look(&home, &mut watch)?;
    if files.are_none() && !(wait_for_first && follow) {
        return Ok(1);
    }
    if !follow {
        while files.show() {}
        files.finish();
        return Ok(0);
    }
    loop {
        let more = files.show();
        if files.reader_gone || !wait(&watch, more, typed.as_mut()).or_fail(cannot)? {
            return Ok(0);
        }
        let changed = watch.changed().or_fail(cannot)?;
        files.written(&changed);
        if changed.list {
            files.look(&home, &mut watch)?;
        }
    }
}

/// Sleeps until a file changes or something is typed, or not at all where there is more to show already; false: nobody reads us any
/// more, or nobody types who did.
fn wait(watch: &Watch, more: bool, typed: Option<&mut Typed>) -> Result<bool, Errno> {
    let (stdout, stdin) = (rustix::stdio::stdout(), rustix::stdio::stdin());
    let mut fds = vec![PollFd::new(&stdout, PollFlags::empty())];
    fds.extend(typed.is_some().then(|| PollFd::new(&stdin, PollFlags::IN)));
    fds.extend(watch.fd().map(|inotify| PollFd::from_borrowed_fd(inotify, PollFlags::IN)));
    match poll(&mut fds, more.then(Timespec::default).as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error),
    }
    let is_quiet = |at: usize| fds.get(at).is_none_or(|fd| fd.revents().is_empty());
    match typed {
        _ if !is_quiet(0) => Ok(false),
        Some(typed) if !is_quiet(1) => typed.send(),
        _ => Ok(true),
    }
}
