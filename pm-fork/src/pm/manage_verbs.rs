//! Verbs that do something to apps that are known, and to the list of them.

use pm_common::app::home::{Home, Turns};
use pm_common::app::status;
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure};
use pm_common::policy::exit::{signal_names, signal_number};

use crate::apps::scale::Scale;
use crate::apps::signals::Signal;
use crate::apps::{flush, saved, signals, stdin_fifo, stop as stopping};
use crate::described::known;
use crate::pm::call::Call;
use crate::pm::show_verbs::table;
use crate::pm::targets;
use crate::request::Description;

/// The directory of all apps, to write in.
///
/// # Errors
/// 125: there is none, or it is not ours.
pub(crate) fn ours() -> Result<Home, Failure> {
    let home = crate::apps::home()?;
    home.check_ours()?;
    Ok(home)
}

/// Does something to each app that is meant.
fn each(call: &Call, act: impl Fn(&Home, &str) -> Result<(), Failure>) -> Result<u8, Failure> {
    ours()?;
    let chosen = targets::or_all(call)?;
    Ok(crate::apps::each(&chosen.names, act)?.max(chosen.code()))
}

/// Ends apps: those that have ended, and 1 if one has not; `not_done` is what does not follow where nobody waits for it.
fn end(home: &Home, names: &[String], not_done: &str) -> (Vec<String>, u8) {
    let goes_on = "not waited for any longer: what was told to stop goes on stopping";
    let _parting = report::parting(&format!("{goes_on}{not_done}; pm list shows it"));
    let running = stopping::stop(home, names, None);
    let ended: Vec<_> = names.iter().filter(|name| !running.contains_key(*name)).cloned().collect();
    for dir in ended.iter().filter_map(|name| home.dir(name)) {
        status::forget_killed(&dir);
        status::forget_failure(&dir);
    }
    (ended, u8::from(!running.is_empty()))
}

pub(crate) fn stop(call: &Call) -> Result<u8, Failure> {
    let home = ours()?;
    let chosen = targets::chosen(call)?;
    let (ended, code) = end(&home, &chosen.names, "");
    ended.iter().for_each(|name| report::info(format_args!("stopped '{name}'")));
    if call.has("watch") {
        watch_no_longer(&ended)?;
    }
    table(call, code.max(chosen.code()))
}

/// Writes down of apps that do not run that they watch nothing: what is stopped is not watched anyhow, and its next start
/// does not begin to.
fn watch_no_longer(names: &[String]) -> Result<(), Failure> {
    let asked = Description { sets: vec![("watch".to_owned(), "false".to_owned())], ..Description::default() };
    let planned = known::with_fields(names, &asked, false, false)?;
    planned.plans.into_iter().try_for_each(|plan| crate::apps::write_down(plan.start))
}

pub(crate) fn kill(call: &Call) -> Result<u8, Failure> {
    let home = ours()?;
    let names: Vec<_> = targets::all()?.into_iter().filter(|app| app.is_known()).map(|app| app.name).collect();
    let (_, code) = end(&home, &names, "");
    match (code, names.is_empty()) {
        (0, true) => report::info("no apps"),
        (0, false) => report::info("all apps are stopped; pm start all starts them again"),
        _ => {}
    }
    table(call, 1).map(|_| code)
}

pub(crate) fn delete(call: &Call) -> Result<u8, Failure> {
    let home = ours()?;
    let chosen = targets::chosen(call)?;
    let mut names = chosen.names.clone();
    names.sort_unstable();
    // Who restarts one of them would start it between its end and its removal.
    let _turns = Turns::of(&home, &names);
    let (ended, code) = end(&home, &chosen.names, ", and nothing is deleted");
    let removed = crate::apps::each(&ended, |home, name| {
        signals::remove(home, name)?;
        report::info(format_args!("deleted '{name}'"));
        Ok(())
    })?;
    table(call, removed.min(1).max(code).max(chosen.code()))
}

pub(crate) fn scale(call: &Call) -> Result<u8, Failure> {
    let [app, count] = call.targets.as_slice() else {
        return Err(Failure::own("scale needs an app and a number: pm scale APP N, +N or -N"));
    };
    ours()?;
    let by = Scale::parse("scale", count.as_ref())
        .map_err(|_| Failure::own(format!("scale {app} {count}: expected a number, such as 4, +1 or -1")))?;
    if !targets::is_config(app) {
        targets::no_file(call)?;
    }
    let chosen = targets::of(call, std::slice::from_ref(app))?;
    let code = crate::apps::each(&chosen.names, |home, name| crate::apps::scale::scale(home, name, by))?;
    table(call, if code == EXIT_TIMED_OUT { code } else { code.min(1) })
}

pub(crate) fn flush(call: &Call) -> Result<u8, Failure> {
    each(call, flush::flush)
}

pub(crate) fn reset(call: &Call) -> Result<u8, Failure> {
    if call.targets.is_empty() {
        return targets::chosen(call).map(|chosen| chosen.code());
    }
    let code = each(call, signals::reset)?;
    table(call, code)
}

pub(crate) fn send_signal(call: &Call) -> Result<u8, Failure> {
    let [word, apps @ ..] = call.targets.as_slice() else {
        return Err(Failure::own("sendSignal needs a signal and a target: pm sendSignal SIGUSR2 APP"));
    };
    let Some(number) = signal_number(word) else {
        if apps.iter().any(|word| signal_number(word).is_some()) {
            return Err(Failure::own(format!("the signal comes first: pm sendSignal {} {word}", apps.join(" "))));
        }
        let names: Vec<_> = signal_names().collect();
        return Err(Failure::own(format!(
            "no signal '{word}': there are {}, and numbers from 1 to 64",
            names.join(" ")
        )));
    };
    if apps.is_empty() {
        return Err(Failure::own("sendSignal needs a target: pm sendSignal SIGUSR2 APP"));
    }
    let signal = Signal { number, word: word.to_uppercase(), to_workers: true };
    let chosen = targets::of(call, apps)?;
    let code = crate::apps::each(&chosen.names, |home, name| signals::signal_workers(home, name, &signal))?;
    table(call, code.min(1).max(chosen.code()))
}

pub(crate) fn send(call: &Call) -> Result<u8, Failure> {
    let [app, words @ ..] = call.targets.as_slice() else {
        return Err(Failure::own("send needs an app and a line: pm send APP LINE"));
    };
    if words.is_empty() {
        return Err(Failure::own("send needs a line behind the app: pm send APP LINE"));
    }
    ours()?;
    let chosen = targets::of(call, std::slice::from_ref(app))?;
    let line = [words.join(" ").as_bytes(), b"\n"].concat();
    let code = crate::apps::each(&chosen.names, |home, name| stdin_fifo::send(home, name, &line))?;
    if code == 0 {
        report::info(format_args!("sent a line to '{}'", chosen.names.join("', '")));
    }
    Ok(code.min(1))
}

pub(crate) fn save(call: &Call) -> Result<u8, Failure> {
    let home = ours()?;
    // Where one app cannot be saved, the others are.
    let list = saved::list(&home)?;
    if list.count == 0 && !call.has("force") {
        return Err(Failure::with_code(1, "there is no app to save: with --force that is saved"));
    }
    saved::keep_list(&home, &list.text)?;
    let apps = if list.count == 1 { "app" } else { "apps" };
    report::info(format_args!("saved {} {apps} in {}", list.count, home.path().join(saved::SAVED).display()));
    Ok(list.code)
}

pub(crate) fn cleardump(_: &Call) -> Result<u8, Failure> {
    saved::keep_list(&ours()?, "{\"saved\":0}\n")?;
    report::info("no app is saved any more");
    Ok(0)
}
