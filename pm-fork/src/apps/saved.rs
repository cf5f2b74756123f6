//! Apps that are written down: `--save`, `-f` of what that wrote, `--again`.

use pm_common::app::home::{self, Folder, Home, Start, WORKERS};
use pm_common::app::status::Told;
use pm_common::cli::report::{self, Failure, OrFail as _};
use serde_json::{Value, json};

use crate::apps::{self, known, write_down};
use crate::described::config_file::{self, Saved};
use crate::launch::batch::Batch;
use crate::launch::patience::Patience;
use crate::launch::service::{self, Service};
use crate::request::{Again, Description};

/// Starts apps as they were started before; one that cannot be does not stop the others.
///
/// # Errors
/// 125: there is no place for apps.
pub(crate) fn again(names: &[String], how: &Again, patience: &Patience) -> Result<u8, Failure> {
    let mut batch = Batch::default();
    prepare_again(names, how, &mut batch)?;
    batch.start(patience)
}

/// Starts a stopped app as it was started before, with the number of workers that was asked for since.
///
/// # Errors
/// As [`again`].
pub(crate) fn start_again(name: &str) -> Result<u8, Failure> {
    again(&[name.to_owned()], &Again::default(), &Patience::default())
}

/// Adds apps to what is to be started, as they were started before.
///
/// # Errors
/// 125: there is no place for apps.
pub(crate) fn prepare_again(names: &[String], how: &Again, batch: &mut Batch) -> Result<(), Failure> {
    let home = apps::home()?;
    for name in names {
        match known(&home, name) {
            Ok(mut start) => {
                if how.update_env {
                    start.env = service::inherited();
                }
                let services = if how.restart { &mut batch.anew } else { &mut batch.fresh };
                services.push(as_before(start));
            }
            Err(failure) => {
                batch.failed = true;
                report::fatal(failure, &[]);
            }
        }
    }
    Ok(())
}

/// The service of an app that is started as it was before.
fn as_before(start: Start) -> Service {
    Service { described: start.app_env.is_some(), start, keep_workers: true, ..Service::default() }
}

/// Whether an app whose worker ends before its successor starts can be started again at all; of what is not known to us
/// nothing can be said.
///
/// # Errors
/// 125: what is missing.
pub(crate) fn check_program(home: &Home, name: &str) -> Result<(), Failure> {
    known(home, name).map_or(Ok(()), |start| as_before(start).check_program())
}

/// Gives an app the environment of the caller, from the next roll on: variables of its description are kept.
///
/// # Errors
/// 1: it is not known, or has no description; 125: its files cannot be written.
pub(crate) fn update_env(home: &Home, name: &str) -> Result<(), Failure> {
    let mut start = match known(home, name) {
        Err(failure) if failure.code == 1 && home.dir(name).is_some_and(|dir| dir.is_dir()) => {
            let why = format!("app '{name}' runs in the foreground, in the environment that it was given there");
            return Err(Failure::with_code(1, why));
        }
        other => other?,
    };
    if start.app_env.is_none() {
        let why = format!("app '{name}': its workers have the environment of its supervisor: to change it, restart it");
        return Err(Failure::with_code(1, why));
    }
    start.env = service::inherited();
    if let Some((key, _)) = start.env.iter().find(|(key, value)| key.to_str().is_none() || value.to_str().is_none()) {
        let key = key.to_string_lossy();
        return Err(Failure::own(format!(
            "app '{name}': the variable {key} is not UTF-8, so that no file of variables can hold it: unset it, or restart the app"
        )));
    }
    let dir = home.dir(name).unwrap_or_default();
    let at = start.started_at_ms;
    let written = home::with_id(home, name, |id| service::write_start(&dir, &mut start, id, at));
    written
        .and_then(|()| service::write_whole_env(&dir, &start))
        .or_fail(|| format!("cannot write in {}", dir.display()))
}

/// Prints every app that is known, and how many there are; 1: there is one more, which cannot be read.
///
/// # Errors
/// 125: the directory cannot be read.
pub(crate) fn save() -> Result<u8, Failure> {
    let list = list(&apps::home()?)?;
    report::print(&list.text).map(|printed| printed.max(list.code))
}

/// The apps that are known, as they are saved.
pub(crate) struct List {
    pub(crate) text: String,
    pub(crate) count: usize,
    /// 1: there is one more, which cannot be read, and that was said.
    pub(crate) code: u8,
}

/// The list of all apps.
///
/// # Errors
/// 125: the directory cannot be read.
pub(crate) fn list(home: &Home) -> Result<List, Failure> {
    let names = home.apps_or_fail()?;
    let (mut all, mut code) = (Vec::new(), 0);
    for name in &names {
        // Where users share a place, each saves what is his.
        if let Ok(owner) = home.owner_of(name)
            && owner != nix::unistd::geteuid().as_raw()
        {
            report::info(format_args!("not saved: app '{name}' is user {owner}'s, who can save it"));
            continue;
        }
        match known(home, name) {
            Ok(start) => all.push(start),
            // Started by hand, with no pm-fork: who did that has to do it again.
            Err(failure) if failure.code == 1 => {}
            Err(failure) => {
                code = 1;
                report::fatal(format_args!("not saved: {failure}"), &[]);
            }
        }
    }
    all.sort_by_key(|start| start.id);
    let mut text: String = all.iter().map(|start| format!("{}\n", saved(home, start))).collect();
    text += &format!("{}\n", json!({ "saved": all.len() }));
    Ok(List { text, count: all.len(), code })
}

/// The list of saved apps, in the directory of all apps: no app can be called so.
pub(crate) const SAVED: &str = ".saved";
/// The list before it.
pub(crate) const SAVED_BEFORE: &str = ".saved.bak";

/// Keeps what `save` printed, from stdin, in the place of the list that was kept before, which is kept too.
///
/// # Errors
/// 125: it is no such list, or cannot be written; then the one before is as it was.
pub(crate) fn keep() -> Result<u8, Failure> {
    keep_list(&apps::home()?, &config_file::saved_list()?).map(|()| 0)
}

/// Keeps this list.
///
/// # Errors
/// 125: it cannot be written; then the one before is as it was.
pub(crate) fn keep_list(home: &Home, list: &str) -> Result<(), Failure> {
    let place = home.path();
    home.make().or_fail(|| format!("cannot make {}", place.display()))?;
    let doing = || format!("cannot write {}, which is as it was", place.join(SAVED).display());
    let folder = Folder::open_place(place).or_fail(doing)?;
    match folder.read(SAVED, config_file::LARGEST) {
        Ok(before) => folder.replace_for_good(SAVED_BEFORE, &before).or_fail(doing)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        // What could not be read is no list: it is replaced, and the one before it stays.
        Err(e) => {
            let (path, why) = (place.join(SAVED), report::reason(&e));
            report::warning(format_args!("{} is no saved list, and is replaced: {why}", path.display()));
        }
    }
    folder.replace_for_good(SAVED, list.as_bytes()).or_fail(doing)
}

fn saved(home: &Home, start: &Start) -> Value {
    let dir = home.dir(&start.name).unwrap_or_default();
    let told = Told::read(&dir).unwrap_or_default();
    let cluster = told.living.iter().map(|s| &s.supervisor).find(|s| s.tool == "pm-cluster").map(|s| s.workers);
    let runs = home::holder(&dir).is_ok_and(|holder| holder.is_some());
    // One whose supervisor was killed, or went down with the machine, was to run on; so was one that failed too often.
    let online = runs || !told.killed.is_empty() || told.last_words().is_some_and(|words| words.failed_often());
    let mut line = start.to_json();
    line["state"] = Value::from(if online { "online" } else { "stopped" });
    line["workers"] = cluster.or_else(|| service::workers_asked_for(&dir)).into();
    line
}

/// Brings saved apps back: those that ran are to be started, the others are written down. What runs already is left alone.
///
/// # Errors
/// 125: there is no place for apps, or fields are to be set.
pub(crate) fn prepare(asked: &Description, saved: Vec<Saved>, batch: &mut Batch) -> Result<(), Failure> {
    if asked.update || asked.restart || !asked.sets.is_empty() || asked.env_name.is_some() {
        return Err(Failure::own(
            "saved apps come back as they were: --set, --env, --update and --restart are for descriptions",
        ));
    }
    let home = apps::home()?;
    let wanted = |app: &Saved| asked.only.is_empty() || asked.only.contains(&app.start.name);
    for app in saved.into_iter().filter(wanted) {
        if asked.dry_run {
            report::print(&format!("{}\n", app.start.to_json()))?;
        } else if home.dir(&app.start.name).is_some_and(|dir| home::holder(&dir).is_ok_and(|h| h.is_some())) {
            report::info(format_args!("app '{}' is running, and left as it is", app.start.name));
        } else if let Err(failure) = bring_back(&home, app, &mut batch.fresh) {
            batch.failed = true;
            report::fatal(failure, &[]);
        }
    }
    Ok(())
}

fn bring_back(home: &Home, app: Saved, services: &mut Vec<Service>) -> Result<(), Failure> {
    let Saved { start, online, workers } = app;
    let described = start.app_env.is_some();
    let dir = home.dir(&start.name).unwrap_or_default();
    // Also of an app that is to be started: its workers are counted from here.
    write_down(start.clone())?;
    if let Some(workers) = workers.filter(|_| start.mode != home::Mode::Fork) {
        let written = home::replace_file(&dir, WORKERS, format!("{workers}\n").as_bytes());
        written.or_fail(|| format!("app '{}': cannot write {}", start.name, dir.join(WORKERS).display()))?;
    }
    if online {
        services.push(Service { start, described, keep_workers: true, brought_back: true, ..Service::default() });
    }
    Ok(())
}
