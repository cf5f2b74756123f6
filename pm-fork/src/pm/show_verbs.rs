//! Verbs that say something of apps: what pm-stat prints, and single facts.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use pm_common::app::status::{WorkerLine, WorkerState};
use pm_common::cli::report::{self, Failure};
use pm_common::kernel::procfs;
use pm_stat::{App, Form, Order};

use crate::pm::call::Call;
use crate::pm::inspect;
use crate::pm::targets::{self, Chosen};

/// Prints these apps, or all, as pm-stat does.
fn print(form: Form, names: &[String]) -> Result<u8, Failure> {
    pm_stat::once(Some(&crate::apps::home()?), &words(names), form, false)
}

fn words(names: &[String]) -> Vec<OsString> {
    names.iter().map(OsString::from).collect()
}

/// The table behind a verb that has changed something. Not after a failure: what was said of that is to be seen.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn table(call: &Call, code: u8) -> Result<u8, Failure> {
    if code == 0 && !call.has("silent") {
        print(Form::Table { order: None }, &[])?;
    }
    Ok(code)
}

/// The apps named behind the verb; none: all.
fn named(call: &Call) -> Result<Chosen, Failure> {
    if call.targets.is_empty() { Ok(Chosen::default()) } else { targets::chosen(call) }
}

/// The apps named, as they are looked for.
fn looked_at(names: &[String]) -> Result<Vec<App>, Failure> {
    let mut apps = targets::all()?;
    apps.retain(|app| names.is_empty() || names.contains(&app.name));
    Ok(apps)
}

pub(crate) fn list(call: &Call) -> Result<u8, Failure> {
    let chosen = named(call)?;
    let order = call.value("sort").map(|field| Order::parse("sort", field)).transpose()?;
    let code = print(Form::Table { order }, &chosen.names)?;
    if call.targets.is_empty() && is_empty()? {
        report::info("no apps yet: 'pm start app.js' starts one, 'pm init' writes a config file to begin with");
    }
    Ok(code.max(chosen.code()))
}

/// Whether there is no app; that most often there is one is seen at once.
fn is_empty() -> Result<bool, Failure> {
    let home = crate::apps::home()?;
    let names = home.apps().unwrap_or_default();
    let started = names.iter().filter_map(|name| home.dir(name)).any(|dir| dir.join("start.json").exists());
    Ok(!started && targets::all()?.iter().all(|app| !app.is_known()))
}

pub(crate) fn describe(call: &Call) -> Result<u8, Failure> {
    let chosen = targets::chosen(call)?;
    Ok(print(Form::Describe, &chosen.names)?.max(chosen.code()))
}

pub(crate) fn jlist(call: &Call) -> Result<u8, Failure> {
    let chosen = named(call)?;
    Ok(print(Form::Jlist { env: call.has("env") }, &chosen.names)?.max(chosen.code()))
}

pub(crate) fn prettylist(call: &Call) -> Result<u8, Failure> {
    let chosen = named(call)?;
    let show = |list: &str| {
        let list = serde_json::from_str(list).map_err(|why| Failure::own(format!("the list is no JSON: {why}")))?;
        report::print(&format!("{}\n", inspect::text(&list)))
    };
    let form = Form::Jlist { env: call.has("env") };
    let code = pm_stat::once_with(Some(&crate::apps::home()?), &words(&chosen.names), form, false, show)?;
    Ok(code.max(chosen.code()))
}

pub(crate) fn monit(call: &Call) -> Result<u8, Failure> {
    let chosen = named(call)?;
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Failure::own("monit needs a terminal, as stdin and as stdout; pm list prints the same once"));
    }
    pm_stat::top(Some(&crate::apps::home()?), &words(&chosen.names), false)
}

pub(crate) fn ids(call: &Call) -> Result<u8, Failure> {
    let chosen = targets::chosen(call)?;
    let mut ids: Vec<u64> = looked_at(&chosen.names)?.iter().filter_map(App::id).collect();
    ids.sort_unstable();
    let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
    let text = if ids.is_empty() { "[]\n".to_owned() } else { format!("[ {} ]\n", ids.join(", ")) };
    Ok(report::print(&text)?.max(chosen.code()))
}

/// The processes of an app's workers, each with its start: a pid alone could be another's by now.
fn workers(app: &App) -> Vec<(i32, u64)> {
    // One that was asked to end is on its way out.
    let stays = |told: &WorkerLine| !matches!(told.state, WorkerState::Draining | WorkerState::Killing);
    let all = app.workers().into_iter().filter(|(_, told)| stays(told)).chain(app.orphans());
    all.filter_map(|(_, told)| told.pid.zip(told.start)).collect()
}

pub(crate) fn pids(call: &Call) -> Result<u8, Failure> {
    let chosen = named(call)?;
    let apps = looked_at(&chosen.names)?;
    let alive = apps.iter().flat_map(workers).filter(|(pid, start)| procfs::is_alive(*pid, *start));
    let text: String = alive.map(|(pid, _)| format!("{pid}\n")).collect();
    Ok(report::print(&text)?.max(chosen.code()))
}

pub(crate) fn env(call: &Call) -> Result<u8, Failure> {
    let chosen = targets::chosen(call)?;
    let mut text = String::new();
    for app in looked_at(&chosen.names)? {
        let variables = workers(&app).into_iter().find_map(|(pid, start)| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            // Asked behind the look: what was read is this process's, and no later one's with its number.
            procfs::is_alive(pid, start).then_some(environ)
        });
        let Some(variables) = variables else {
            let file = crate::apps::home()?.path().join(&app.name).join("start.json");
            let message =
                format!("'{}' is not running; what it is started with is in {}", app.called(), file.display());
            return Err(Failure::with_code(1, message));
        };
        for entry in variables.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            let _ = writeln!(text, "{}", String::from_utf8_lossy(entry).replacen('=', ": ", 1));
        }
    }
    Ok(report::print(&text)?.max(chosen.code()))
}
