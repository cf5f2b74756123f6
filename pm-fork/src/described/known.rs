//! Other fields for apps that are known (`pm restart APP --max-memory-restart 300M`): their descriptions, with these fields in
//! them. What is not said stays as it is, and what is said stays said.

use std::path::Path;

use pm_common::app::home::{Home, Start};
use pm_common::cli::report::{self, Failure};
use serde_json::{Map, Value};

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
        0 => {
            let context = context(asked, &Value::Null)?;
            let planned = Planned { plans, context, failed, broken: Vec::new(), in_file: Vec::new() };
            // An app whose database was deleted since is not to stay as it is for that.
            let asks = asked.sets.iter().any(|(field, _)| field == "depends_on");
            if asks { planned.in_order() } else { Ok(planned) }
        }
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
    let mut sets = typed_here(&asked.sets)?;
    if sets.iter().any(|(field, _)| field == "cwd") {
        stay(fields, &known);
    }
    if toggle_watch {
        let watches = !ecosystem::watch_words(fields, &known.cwd)?.is_empty();
        let does = if watches { "watches its files no longer" } else { "watches its files" };
        report::info(format_args!("'{}' {does}", known.called()));
        sets.retain(|(field, _)| field != "watch");
        sets.push(("watch".to_owned(), (!watches).to_string()));
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

/// The fields that are paths.
const PATHS: [&str; 5] = ["cwd", "out_file", "error_file", "log_file", "watch"];

/// Paths that are typed now are read from where they are typed.
fn typed_here(sets: &[(String, String)]) -> Result<Vec<(String, String)>, String> {
    let mut sets = sets.to_vec();
    for (_, value) in sets.iter_mut().filter(|(field, _)| PATHS.contains(&field.as_str())) {
        if is_relative(value) {
            let here = apps::here().map_err(|failure| failure.message)?;
            *value = ecosystem::below(&here, value).to_string_lossy().into_owned();
        }
    }
    Ok(sets)
}

/// What the description names stays where it is when the app gets another directory: its script, its logs.
fn stay(fields: &mut Map<String, Value>, known: &Start) {
    if let Some(script) = &known.script {
        fields.insert("script".to_owned(), script.to_string_lossy().into());
    }
    for field in PATHS {
        let named = fields.get(field).and_then(Value::as_str).filter(|path| is_relative(path)).map(str::to_owned);
        if let Some(path) = named {
            fields.insert(field.to_owned(), ecosystem::below(&known.cwd, &path).to_string_lossy().into());
        }
    }
}

/// Whether a value of these fields is a path that depends on a directory, and no other word.
fn is_relative(path: &str) -> bool {
    !["", "true", "false", "NULL"].contains(&path) && !path.starts_with(['/', '~'])
}
