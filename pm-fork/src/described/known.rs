//! Other fields for apps that are known (`pm restart APP --max-memory-restart 300M`): their descriptions, with these fields in
//! them. What is not said stays as it is, and what is said stays said.

use std::path::Path;

use pm_common::app::home::{Home, Start};
use pm_common::cli::report::{self, Failure};
use serde_json::Value;

use super::{Planned, context, fail, plan};
use crate::apps;
use crate::ecosystem::{self, Context, Plan, RealMachine};
use crate::launch::service;
use crate::request::Description;

/// The plans for apps that are known with the fields and arguments that are `asked` for; `update_env`: in this environment;
/// `toggle_watch`: one that watches its files does so no longer.
///
/// # Errors
/// 1: one cannot be had, which was said, as whatever else is wrong with the others; nothing was done.
pub(crate) fn with_fields(
    names: &[String],
    asked: &Description,
    update_env: bool,
    toggle_watch: bool,
) -> Result<Planned, Failure> {
    let (home, machine) = (apps::home()?, RealMachine::new(std::env::var_os("PATH")));
    let (mut plans, mut failed) = (Vec::new(), 0);
    for name in names {
        match with_fields_of(&home, name, asked, (update_env, toggle_watch), &machine) {
            Ok(plan) => plans.push(plan),
            Err(why) => fail(&mut failed, &format!("'{name}'"), &why),
        }
    }
    match failed {
        0 => Ok(Planned { plans, context: context(asked, &Value::Null)?, failed }),
        _ => Err(Failure::with_code(1, "")),
    }
}

fn with_fields_of(
    home: &Home,
    name: &str,
    asked: &Description,
    (update_env, toggle_watch): (bool, bool),
    machine: &RealMachine,
) -> Result<Plan, String> {
    if asked.sets.iter().any(|(field, _)| field == "name") {
        return Err("an app keeps its name: pm start its script under another one".to_owned());
    }
    let dir = home.dir(name).unwrap_or_default();
    let known = Start::read_ours(&dir).map_err(|error| error.to_string())?.ok_or("it was not started by pm")?;
    let mut app = known.app.clone().ok_or("it was started by pm-fork, with a chain: start that with other options")?;
    let Some(fields) = app.as_object_mut() else { return Err("its start.json is damaged".to_owned()) };
    // A path of the description is read from where it was read then.
    if fields.get("cwd").and_then(Value::as_str).is_some_and(|cwd| !Path::new(cwd).is_absolute()) {
        fields.insert("cwd".to_owned(), known.cwd.to_string_lossy().into());
    }
    if let Some(workers) = service::workers_asked_for(&dir) {
        fields.insert("instances".to_owned(), workers.into());
    }
    let mut sets = asked.sets.clone();
    if toggle_watch {
        let watches = !ecosystem::watch_words(fields, &known.cwd)?.is_empty();
        let does = if watches { "watches its files no longer" } else { "watches its files" };
        report::info(format_args!("'{}' {does}", known.called()));
        sets = vec![("watch".to_owned(), (!watches).to_string())];
    }
    let context = Context {
        cwd: known.cwd,
        config: known.config,
        env_name: None,
        deployed: None,
        env: if update_env { service::inherited() } else { known.env },
        home: home.path().to_owned(),
    };
    // Who asks for it by name wants it to run.
    Ok(Plan { autostart: true, ..plan(asked, &sets, &app, &context, machine)? })
}
