//! What is printed once, and that is all.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use pm_common::app::home::Home;
use pm_common::cli::report::{self, Failure, print};
use pm_common::sys::terminal;

use crate::check::{complaint, killed, suspended_supervisor, suspended_workers, without_above};
use crate::look::app::App;
use crate::look::matching::meant;
use crate::look::samples::Samples;
use crate::look::usage::Meter;
use crate::look::{Apps, EXIT_UNKNOWN, cannot_know, no_app, there_are};
use crate::mode::Form;
use crate::show::describe::describe;
use crate::show::row::{self, Row};
use crate::show::table::{Entry, render};
use crate::show::text::{Now, clean};
use crate::show::traffic;
use crate::show::{jlist, metrics};

/// Prints the apps named, or all, in this form.
///
/// # Errors
/// 1: an app that was named does not exist (the others are printed); 125: the files cannot be read.
pub fn once(home: Option<&Home>, named: &[OsString], form: Form, pss: bool) -> Result<u8, Failure> {
    once_with(home, named, form, pss, print)
}

/// Does what [`once`] does, printed by `print`.
///
/// # Errors
/// As [`once`].
pub fn once_with(
    home: Option<&Home>,
    named: &[OsString],
    form: Form,
    pss: bool,
    print: impl FnOnce(&str) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    let (apps, named) = (Apps::known(home, named)?, !named.is_empty());
    apps.say_left_out();
    let mut meter = Meter::new(pss, home.map(|h| Samples::load(h.path())).unwrap_or_default());
    let mut rows = row::rows(&apps.seen, &mut meter);
    // PM2 knows nothing of it.
    if !matches!(form, Form::Jlist { .. }) {
        traffic::add(&mut rows);
    }
    print(&text(&apps.seen, &rows, form))?;
    if let Some(home) = home {
        meter.samples.store(home.path());
    }
    apps.end(home, named)
}

fn text(apps: &[App], rows: &[Row<'_>], form: Form) -> String {
    match form {
        Form::Lines => rows.iter().map(Row::to_json).collect(),
        Form::Jlist { env } => jlist::jlist(rows, env),
        Form::Metrics => metrics::text(apps, rows),
        Form::Describe => {
            let each = rows.chunk_by(|a, b| a.app.name == b.app.name);
            let texts: Vec<_> = each.map(|rows| describe(rows, Now::read(), room(), colours())).collect();
            texts.join("\n")
        }
        Form::Table { order } => {
            let now = Now::read();
            let mut entries: Vec<_> = rows.iter().map(|row| Entry::of(row, now)).collect();
            if let Some(order) = order {
                order.sort(&mut entries);
            }
            render(&entries, room(), colours()) + &notes(apps)
        }
    }
}

/// What no row of the table can say: that a supervisor does nothing, or that nobody would start one again.
fn notes(apps: &[App]) -> String {
    let notes = apps.iter().flat_map(|app| {
        let each = [suspended_supervisor(app), suspended_workers(app), without_above(app), killed(app)];
        each.into_iter().flatten().map(|why| format!("{}: {}\n", clean(&app.name), clean(&why)))
    });
    notes.collect()
}

/// The columns of the terminal that stdout is; `None`: it is none.
fn room() -> Option<usize> {
    terminal::size(rustix::stdio::stdout()).map(|(columns, _)| columns)
}

/// Colours are for a terminal, unless NO_COLOR says no (<https://no-color.org>) or the terminal can do nothing.
pub(crate) fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
    !refused && !dumb && std::io::stdout().is_terminal()
}

/// Says which of the apps named, or of all, are not as they shall be.
///
/// # Errors
/// 125: the files cannot be read.
pub(crate) fn check(home: Option<&Home>, named: &[OsString]) -> Result<u8, Failure> {
    let apps = Apps::look(home, named)?;
    apps.say_left_out();
    let unseen = apps.unseen(home, !named.is_empty());
    let knowable = |name: &str| unseen.iter().all(|app| app.name != name);
    let told = |app: &App| complaint(app, !named.is_empty()).map(|why| format!("{}: {}\n", app.name, clean(&why)));
    let mut text: String = apps.seen.iter().filter(|app| knowable(&app.name)).filter_map(told).collect();
    let missing = apps.missing.iter().filter(|name| knowable(name));
    missing.for_each(|name| text.push_str(&format!("{name}: no such app{}\n", there_are(home))));
    if named.is_empty() && apps.seen.is_empty() && unseen.is_empty() {
        // A probe that looks into the wrong directory must not be content with it.
        text = format!("no app{}\n", there_are(home));
    }
    let code = if text.is_empty() && !unseen.is_empty() { EXIT_UNKNOWN } else { u8::from(!text.is_empty()) };
    unseen.iter().for_each(|app| text.push_str(&format!("{}\n", clean(&cannot_know(app)))));
    print(&text)?;
    Ok(code)
}

/// What targets mean.
#[derive(Debug, Default)]
pub struct Matched {
    /// The names of the apps, each once, in the order of the targets.
    pub names: Vec<String>,
    /// Of each target that means none: that, and which apps there are.
    pub unknown: Vec<Failure>,
}

/// Which apps the targets mean: each `all`, a name, an id, a namespace or the path of a script.
///
/// # Errors
/// 125: the files cannot be read.
pub fn matching(home: Option<&Home>, targets: &[OsString]) -> Result<Matched, Failure> {
    let apps = Apps::look(home, &[])?;
    apps.say_left_out();
    let apps = apps.seen;
    let mut matched = Matched::default();
    for target in targets {
        let found = meant(&apps, target);
        if found.is_empty() {
            matched.unknown.push(no_app(home, &[target.to_string_lossy().into_owned()]));
        }
        for app in found {
            if !matched.names.contains(&app.name) {
                matched.names.push(app.name.clone());
            }
        }
    }
    Ok(matched)
}

/// Prints what [`matching`] finds.
///
/// # Errors
/// 125: the files cannot be read. A target that means none is said, and makes the code 1.
pub(crate) fn print_matching(home: Option<&Home>, targets: &[OsString]) -> Result<u8, Failure> {
    let matched = matching(home, targets)?;
    print(&matched.names.iter().map(|name| format!("{name}\n")).collect::<String>())?;
    matched.unknown.iter().for_each(|failure| report::fatal(failure, &[]));
    Ok(u8::from(!matched.unknown.is_empty()))
}
