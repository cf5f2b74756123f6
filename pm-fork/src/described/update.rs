//! `--update`: what a description changes of an app that runs, and how that comes into force.

use std::collections::BTreeSet;

use pm_common::app::home::{self, Home, Start};
use pm_common::cli::report::{self, Failure, OrFail as _};
use serde_json::{Map, Value, json};

use crate::apps;
use crate::described;
use crate::ecosystem::Plan;
use crate::launch::service;

/// How a change comes into force; what disturbs more stands below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// The app does not run.
    Start,
    /// Nothing has to happen.
    Same,
    /// Another number of workers.
    Scale,
    /// A HUP: new workers read the variables again.
    Reload,
    /// A stop, and a start.
    Restart,
}

impl Action {
    const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Same => "same",
            Self::Scale => "scale",
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

/// What a description changes of an app.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) action: Action,
    /// The fields that differ.
    pub(crate) changed: BTreeSet<String>,
}

/// Fields that only our own files know of.
const ON_PAPER: [&str; 4] = ["namespace", "autostart", "force", "depends_on"];

/// Says of each plan what it changes, and writes what a reload reads.
///
/// # Errors
/// 125: stdout cannot be written.
pub(crate) fn run(plans: &[Plan]) -> Result<u8, Failure> {
    let home = apps::home()?;
    let mut code = 0;
    for plan in plans {
        match update(plan, &home) {
            Ok(Change { action, changed }) => {
                if !matches!(action, Action::Start | Action::Restart) {
                    // Who starts it hears of them then.
                    described::warn(plan);
                }
                let line = json!({
                    "app": plan.start.name, "action": action.word(), "workers": plan.workers, "changed": changed,
                });
                report::print(&format!("{line}\n"))?;
            }
            Err(failure) => {
                code = 1;
                report::fatal(format_args!("app '{}': {failure}", plan.start.name), &[]);
            }
        }
    }
    Ok(code)
}

/// Compares the plan with the app that is known, and writes what a reload reads.
///
/// # Errors
/// 125: that cannot be written.
pub(crate) fn update(plan: &Plan, home: &Home) -> Result<Change, Failure> {
    let dir = home.dir(&plan.start.name).unwrap_or_default();
    let runs = home::holder(&dir).is_ok_and(|holder| holder.is_some());
    let before = Start::read(&dir).ok().flatten();
    let mut changed = before.as_ref().map_or_else(BTreeSet::new, |before| changes(before, &plan.start));
    // Another number that was asked for since counts no more: the description does.
    if service::workers_asked_for(&dir).is_some_and(|workers| workers != plan.workers) {
        changed.insert("instances".to_owned());
    }
    let action = match &before {
        _ if !runs => Action::Start,
        None => Action::Restart,
        Some(_) => action(&changed),
    };
    if let (Some(before), true) = (before, matches!(action, Action::Same | Action::Scale | Action::Reload)) {
        // The caller's environment is not the description's: it stays what it was at the start.
        let mut new = Start { env: before.env, ..plan.start.clone() };
        let (id, at) = (before.id, before.started_at_ms);
        let written = match id {
            Some(id) => service::write_start(&dir, &mut new, id, at),
            None => home::with_id(home, &plan.start.name, |id| service::write_start(&dir, &mut new, id, at)),
        };
        written.or_fail(|| format!("cannot write {}", dir.join(home::START).display()))?;
        if changed.contains("instances") {
            let _ = home::remove_file(&dir, home::WORKERS);
        }
    }
    Ok(Change { action, changed })
}

/// The fields that differ.
fn changes(before: &Start, new: &Start) -> BTreeSet<String> {
    let none = Map::new();
    let fields = |start: &Start| start.app.as_ref().and_then(Value::as_object).cloned().unwrap_or_else(|| none.clone());
    let (old, fresh) = (fields(before), fields(new));
    let keys: BTreeSet<String> = old.keys().chain(fresh.keys()).cloned().collect();
    let mut changed: BTreeSet<_> = keys.into_iter().filter(|key| differ(old.get(key), fresh.get(key))).collect();
    // What no field says, but was another caller's: the directory, the PATH.
    let mut also = |field: &str, differs: bool| {
        if differs {
            changed.insert(field.to_owned());
        }
    };
    also("cwd", before.cwd != new.cwd);
    also("out_file", before.out != new.out);
    also("error_file", before.err != new.err);
    if changed.is_empty() && before.app_env != new.app_env {
        changed.insert("env".to_owned());
    }
    if changed.is_empty() && before.argv != new.argv {
        changed.insert("script".to_owned());
    }
    changed
}

/// An empty `env` is none.
fn differ(a: Option<&Value>, b: Option<&Value>) -> bool {
    let something = |v: &&Value| !matches!(v, Value::Object(map) if map.is_empty());
    a.filter(something) != b.filter(something)
}

/// What the most disturbing of the changes takes.
fn action(changed: &BTreeSet<String>) -> Action {
    let kinds = changed.iter().filter(|field| !ON_PAPER.contains(&field.as_str())).map(|field| match field.as_str() {
        "env" | "env_file" | "port" => Action::Reload,
        "instances" => Action::Scale,
        _ => Action::Restart,
    });
    kinds.max().unwrap_or(Action::Same)
}
