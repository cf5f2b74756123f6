//! `restart` and `reload`, of apps that are known and of config files; `start` of a config file, too.

use pm_common::cli::report::Failure;
use pm_stat::App;

use crate::apps::saved;
use crate::described::config_file::Contents;
use crate::described::{self, Planned};
use crate::launch::caller::{Patience, summary};
use crate::pm::call::Call;
use crate::pm::manage_verbs::ours;
use crate::pm::reload_verb::{reload_all, roll};
use crate::pm::show_verbs::table;
use crate::pm::targets;
use crate::request::{Again, Description};

pub(crate) fn run(call: &Call) -> Result<u8, Failure> {
    let (configs, others): (Vec<_>, Vec<_>) =
        call.targets.iter().cloned().partition(|target| targets::is_config(target));
    if others.is_empty() && configs.is_empty() {
        targets::chosen(call)?;
    }
    // Whatever is wrong with a target is found before an app is touched.
    let mut known = Vec::new();
    if !others.is_empty() {
        if configs.is_empty() {
            targets::no_file(call)?;
        }
        targets::no_fields(call)?;
        known = targets::of(call, &others)?.names;
    }
    let described = configs.iter().map(|config| read(call, config)).collect::<Result<Vec<_>, _>>()?;
    let mut code = 0;
    for (asked, contents) in described {
        code = summary(&[code, apply(call, asked, contents)?]);
    }
    let done = match call.verb.name {
        "restart" => again(call, &known, true)?,
        _ => reload_each(call, &known)?,
    };
    table(call, summary(&[code, done]))
}

/// Starts apps as they were started; `restart`: what runs is stopped first, if it can be started again. 1: one has
/// failed; 124: one is not ready in time.
///
/// # Errors
/// 125: there is no place for apps.
pub(crate) fn again(call: &Call, names: &[String], restart: bool) -> Result<u8, Failure> {
    ours()?;
    let how = Again { update_env: call.has("update-env"), restart };
    if names.is_empty() { Ok(0) } else { saved::again(names, &how, &Patience::default()) }
}

fn reload_each(call: &Call, names: &[String]) -> Result<u8, Failure> {
    let mut apps = targets::all()?;
    apps.retain(|app| names.contains(&app.name));
    let (running, others): (Vec<_>, Vec<_>) = apps.into_iter().partition(App::runs);
    let others: Vec<_> = others.into_iter().map(|app| app.name).collect();
    // A reload alone may be root's of another user's app.
    let started = if others.is_empty() { 0 } else { again(call, &others, false)? };
    let running: Vec<_> = running.iter().map(|app| (app.name.as_str(), app.called())).collect();
    Ok(summary(&[started, reload_all(call, &running)?]))
}

/// Reads a config file that is to be applied.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(call: &Call, config: &str) -> Result<(Description, Contents), Failure> {
    ours()?;
    let asked = Description { restart: true, ..targets::description(call, Some(config))? };
    let contents = described::read(&asked)?;
    Ok((asked, contents))
}

/// Does what a config file says: starts what does not run; what runs gets the changes, and is restarted or reloaded.
///
/// # Errors
/// It describes none of the apps that are asked for.
pub(crate) fn apply(call: &Call, asked: Description, contents: Contents) -> Result<u8, Failure> {
    let patience = Patience::default();
    match contents {
        Contents::Saved(list) => saved::run(&Description { restart: false, ..asked }, list, &patience),
        Contents::Described(apps, deploy) => {
            let planned = Planned::of(&asked, &apps, &deploy)?;
            planned.warn_of_env();
            let code = match call.verb.name {
                "reload" => roll(call, &planned, &asked)?,
                _ => planned.start(|_| true, &asked, &patience)?,
            };
            Ok(summary(&[code, u8::from(planned.failed > 0)]))
        }
    }
}
