//! `restart` and `reload`, of apps that are known and of config files.

use pm_common::cli::report::Failure;
use pm_stat::App;

use crate::apps::saved;
use crate::described::config_file::Contents;
use crate::described::{self, Planned};
use crate::launch::batch::Batch;
use crate::launch::parent::summary;
use crate::launch::patience::Patience;
use crate::pm::call::Call;
use crate::pm::manage_verbs::ours;
use crate::pm::reload_apps::{reload_all, reload_described, reload_planned};
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
        known = targets::of(call, &others)?.names;
    }
    if !configs.is_empty() && !call.args.is_empty() {
        return Err(Failure::own("arguments behind -- are for apps, and in a config file each app has its own (args)"));
    }
    let described = configs.iter().map(|config| targets::read_config(call, config)).collect::<Result<Vec<_>, _>>()?;
    let (mut code, mut batch) = (0, Batch::default());
    for (at, (asked, contents)) in described.into_iter().enumerate() {
        let done = match contents {
            Contents::Described(apps, deploy) if call.verb.name == "reload" => {
                let patience = Patience::before(&[&configs[at + 1..], &others].concat());
                reload_described(call, &asked, (&apps, &deploy), &patience)?
            }
            contents => described::prepare(&asked, contents, &mut batch)?,
        };
        code = summary(&[code, done]);
    }
    let has_fields = !(call.sets.is_empty() && call.args.is_empty());
    let mut more = Batch::default();
    let done = match call.verb.name {
        _ if has_fields && !known.is_empty() => {
            let (planned, asked) = with_fields(call, &known)?;
            if call.verb.name == "reload" {
                reload_planned(call, &asked, &planned, &Patience::default())?
            } else {
                planned.prepare(|_| true, &asked, &mut more);
                0
            }
        }
        "restart" => again(call, &known, true, &mut more).map(|()| 0)?,
        _ => reload_each(call, &known)?,
    };
    batch.join(more);
    table(call, summary(&[code, done, batch.start(&Patience::default())?]))
}

/// Adds apps to what is to be started, as they were started; `restart`: what runs is stopped first, if it can be started again.
///
/// # Errors
/// 125: there is no place for apps.
pub(crate) fn again(call: &Call, names: &[String], restart: bool, batch: &mut Batch) -> Result<(), Failure> {
    ours()?;
    let how = Again { update_env: call.has("update-env"), restart };
    saved::prepare_again(names, &how, batch)
}

/// The plans for apps that are known with other fields, which they keep, and how these are asked for.
///
/// # Errors
/// A field means nothing.
pub(crate) fn with_fields(call: &Call, names: &[String]) -> Result<(Planned, Description), Failure> {
    ours()?;
    let asked = Description { args: call.args.clone(), ..targets::description(call, None)? };
    let planned = described::known::with_fields(names, &asked, call.has("update-env"), call.toggles_watch())?;
    Ok((planned, Description { restart: call.verb.name != "start", ..asked }))
}

fn reload_each(call: &Call, names: &[String]) -> Result<u8, Failure> {
    let mut apps = targets::all()?;
    apps.retain(|app| names.contains(&app.name));
    let (running, others): (Vec<_>, Vec<_>) = apps.into_iter().partition(App::runs);
    let others: Vec<_> = others.into_iter().map(|app| app.name).collect();
    // A reload alone may be root's of another user's app.
    let mut batch = Batch::default();
    if !others.is_empty() {
        again(call, &others, false, &mut batch)?;
    }
    let started = batch.start(&Patience::default())?;
    let running: Vec<_> = running.iter().map(|app| (app.name.as_str(), app.called())).collect();
    Ok(summary(&[started, reload_all(call, &running)?]))
}
