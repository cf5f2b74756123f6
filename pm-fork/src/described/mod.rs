//! `-f FILE` and `--set`: plans for what is described, and their starts.

pub(crate) mod config_file;
pub(crate) mod known;
pub(crate) mod update;

use std::path::{Path, PathBuf};

use pm_common::app::home::{self, Start};
use pm_common::cli::report::{self, Failure};
use serde_json::{Map, Value, json};

use crate::apps::{self, saved};
use crate::described::config_file::Contents;
use crate::ecosystem::{self, Context, Plan, RealMachine};
use crate::launch::in_front::{self, LineForm};
use crate::launch::parent::{self, Patience};
use crate::launch::service::{self, Service};
use crate::launch::stop_first;
use crate::request::Description;

/// Starts what is described, or says what that would be.
///
/// # Errors
/// 125: the file cannot be read, or holds none of the apps that are asked for.
pub(crate) fn run(asked: &Description, patience: &Patience) -> Result<u8, Failure> {
    apply(asked, read(asked)?, patience)
}

/// Does what was asked for with what was read.
///
/// # Errors
/// 125: it holds none of the apps that are asked for.
pub(crate) fn apply(asked: &Description, contents: Contents, patience: &Patience) -> Result<u8, Failure> {
    match contents {
        Contents::Saved(saved) => saved::run(asked, saved, patience),
        Contents::Described(apps, deploy) => {
            let planned = Planned::of(asked, &apps, &deploy)?;
            let code = planned.act(asked, patience)?;
            Ok(if planned.failed > 0 { 1 } else { code })
        }
    }
}

/// Reads what is asked for: the file, or the fields alone.
///
/// # Errors
/// 125: it cannot be read.
pub(crate) fn read(asked: &Description) -> Result<Contents, Failure> {
    match &asked.file {
        Some(file) => config_file::read(file),
        None => Ok(Contents::Described(vec![Value::Object(Map::new())], Value::Null)),
    }
}

/// What descriptions come to.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plans: Vec<Plan>,
    pub(crate) context: Context,
    /// How many come to nothing, which was said.
    pub(crate) failed: u32,
}

impl Planned {
    /// The plans for those of the apps that are asked for.
    ///
    /// # Errors
    /// 125: there is none.
    pub(crate) fn of(asked: &Description, apps: &[Value], deploy: &Value) -> Result<Self, Failure> {
        let context = context(asked, deploy)?;
        let mut failed = 0;
        let plans = plans(asked, apps, &context, &mut failed)?;
        Ok(Self { plans, context, failed })
    }

    /// Says which of them have nothing for the environment that was chosen.
    pub(crate) fn warn_of_env(&self) {
        ecosystem::no_env(&self.plans, &self.context).iter().for_each(report::warning);
    }

    fn act(&self, asked: &Description, patience: &Patience) -> Result<u8, Failure> {
        self.warn_of_env();
        if asked.dry_run {
            let lines: String = self.plans.iter().map(|plan| format!("{}\n", dry(plan))).collect();
            return report::print(&lines);
        }
        if asked.update {
            return update::run(&self.plans);
        }
        self.start(|_| true, asked, patience)
    }

    /// The services of those that are wanted, and the plans that are not to be started; what is ignored is said.
    fn services(&self, wanted: impl Fn(&Plan) -> bool, asked: &Description) -> (Vec<Service>, Vec<&Plan>) {
        let plans: Vec<&Plan> = self.plans.iter().filter(|plan| wanted(plan)).collect();
        plans.iter().for_each(|plan| warn(plan));
        let services = plans.iter().filter_map(|plan| service(plan, &self.context, asked)).collect();
        (services, plans.into_iter().filter(|plan| !plan.autostart).collect())
    }

    /// Runs them all in front of this process; comes back when all have ended.
    ///
    /// # Errors
    /// 125: there is no place for apps, or one could not be written down.
    pub(crate) fn run_in_front(&self, asked: &Description, form: LineForm) -> Result<u8, Failure> {
        let (services, parking) = self.services(|_| true, asked);
        if !park(&parking) {
            return Ok(1);
        }
        let stopped: Vec<&str> = parking.iter().map(|plan| plan.start.name.as_str()).collect();
        in_front::run(services, &stopped, form)
    }

    /// Starts those that are wanted; with `--restart` what runs of them is stopped first.
    ///
    /// # Errors
    /// 125: there is no place for apps.
    pub(crate) fn start(
        &self,
        wanted: impl Fn(&Plan) -> bool,
        asked: &Description,
        patience: &Patience,
    ) -> Result<u8, Failure> {
        let (services, parking) = self.services(wanted, asked);
        let names: Vec<&str> = parking.iter().map(|plan| plan.start.name.as_str()).collect();
        let ready = match asked.restart {
            true => stop_first::stop_first(&apps::home()?, services, &names),
            false => stop_first::Ready::all(services),
        };
        let parked = park(&parking);
        let codes = parent::start_all(&ready, patience)?;
        Ok(if parked && !ready.failed { parent::summary(&codes) } else { 1 })
    }
}

/// The names in a list of them; a name may hold a comma itself.
pub(crate) fn names(list: &str) -> Vec<String> {
    let all = list.contains(',').then(|| list.to_owned());
    list.split(',').map(|one| one.trim().to_owned()).chain(all).collect()
}

fn context(asked: &Description, deploy: &Value) -> Result<Context, Failure> {
    let (home, cwd) = (apps::home()?, apps::here()?);
    let file = asked.file.as_ref().filter(|file| *file != Path::new("-"));
    let deployed = asked.env_name.as_ref().and_then(|name| deploy.get(name)?.get("env")?.as_object().cloned());
    Ok(Context {
        deployed,
        config: file.map(|file| cwd.join(file)),
        cwd,
        env_name: asked.env_name.clone(),
        env: service::inherited(),
        home: home.path().to_owned(),
    })
}

/// The plans for the apps that are asked for; one that fails is said and counted.
fn plans(asked: &Description, apps: &[Value], context: &Context, failed: &mut u32) -> Result<Vec<Plan>, Failure> {
    let machine = RealMachine::new(std::env::var_os("PATH"));
    let (mut plans, mut known): (Vec<Plan>, Vec<String>) = (Vec::new(), Vec::new());
    for app in apps {
        match select(asked, app, context, &machine) {
            Ok((plan, false)) if known.contains(&plan.start.name) => {}
            Ok((plan, false)) => known.push(plan.start.name),
            Ok((plan, true)) => match taken(&plan, &plans, context) {
                Some(why) => fail(failed, &format!("'{}'", plan.start.called()), &why),
                None => plans.push(plan),
            },
            // Who asks for others does not want to hear of it.
            Err(_) if !asked.only.is_empty() && !asked.only.iter().any(|name| name == given_name(&[], app)) => {}
            Err(why) => {
                // A word misspelt may be why another is missing.
                for warning in ecosystem::normalise(app).map(|(_, warnings)| warnings).unwrap_or_default() {
                    report::warning(format_args!("app '{}': {warning}", given_name(&asked.sets, app)));
                }
                fail(failed, &format!("'{}'", given_name(&asked.sets, app)), &why);
            }
        }
    }
    if plans.is_empty() && *failed == 0 {
        let file = asked.file.as_ref().map_or_else(|| "--set".into(), |file| file.display().to_string());
        let which = if asked.only.is_empty() { String::new() } else { format!(" called {}", asked.only.join(" or ")) };
        let others = if known.is_empty() { String::new() } else { format!("; there are {}", known.join(", ")) };
        return Err(Failure::own(format!("{file}: no app{which} is described{others}")));
    }
    Ok(plans)
}

/// Why the plan cannot have its name: another app of the file has it, or one that is known has its directory.
fn taken(plan: &Plan, plans: &[Plan], context: &Context) -> Option<String> {
    let (called, name) = (plan.start.called(), &plan.start.name);
    if let Some(other) = plans.iter().find(|other| other.start.name == *name).map(|other| other.start.called()) {
        return Some(match other == called {
            true => "name: there are two of this name in the file: the first counts, give this one another".to_owned(),
            false => format!("name: '{other}' has the same directory, {name}: give one another name"),
        });
    }
    let known = Start::read(&context.home.join(name)).ok().flatten()?;
    let other = known.called();
    (other != called).then(|| {
        format!("name: '{other}' has the directory {name} already: give this one another name, or delete that one")
    })
}

fn fail(failed: &mut u32, app: &str, why: &str) {
    *failed += 1;
    report::fatal(format_args!("app {app}: {why}"), &[]);
}

fn given_name<'a>(sets: &'a [(String, String)], app: &'a Value) -> &'a str {
    let text = |key: &str| {
        let set = sets.iter().rev().find(|(field, _)| field == key).map(|(_, value)| value.as_str());
        set.or_else(|| app.get(key).and_then(Value::as_str))
    };
    text("name").or_else(|| text("script")).unwrap_or("(no name)")
}

/// The plan, and whether it is asked for: by the name that the file gives it, whatever name it is to have.
fn select(asked: &Description, app: &Value, context: &Context, machine: &RealMachine) -> Result<(Plan, bool), String> {
    let planned = |sets: &[(String, String)]| plan(asked, sets, app, context, machine);
    let unnamed: Vec<_> = asked.sets.iter().filter(|(field, _)| field != "name").cloned().collect();
    let in_file = planned(if asked.only.is_empty() { &asked.sets } else { &unnamed })?;
    let is_asked = asked.selects(&in_file);
    let renamed = is_asked && !asked.only.is_empty() && unnamed.len() < asked.sets.len();
    Ok((if renamed { planned(&asked.sets)? } else { in_file }, is_asked))
}

fn plan(
    asked: &Description,
    sets: &[(String, String)],
    app: &Value,
    context: &Context,
    machine: &RealMachine,
) -> Result<Plan, String> {
    let (mut app, warnings) = ecosystem::normalise(app)?;
    ecosystem::set(&mut app, sets)?;
    asked.add_args(&mut app)?;
    ecosystem::plan(&app, context, machine, warnings)
}

impl Description {
    /// By the name in the file, or by that which it came to.
    pub(crate) fn selects(&self, plan: &Plan) -> bool {
        let given = plan.start.app.as_ref().and_then(|app| app.get("name")?.as_str());
        let is =
            |name: &String| *name == plan.start.name || name == plan.start.called() || Some(name.as_str()) == given;
        self.only.is_empty() || self.only.iter().any(is)
    }

    fn add_args(&self, app: &mut Map<String, Value>) -> Result<(), String> {
        if self.args.is_empty() {
            return Ok(());
        }
        let text = |arg: &std::ffi::OsString| arg.to_str().map(Value::from).ok_or("args: not valid UTF-8".to_owned());
        app.insert("args".to_owned(), self.args.iter().map(text).collect::<Result<_, _>>()?);
        Ok(())
    }
}

/// Says what of the description is not done.
pub(crate) fn warn(plan: &Plan) {
    plan.warnings.iter().for_each(|warning| report::warning(format_args!("app '{}': {warning}", plan.start.name)));
}

fn dry(plan: &Plan) -> Value {
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let argv: Vec<_> = plan.start.argv.iter().map(|word| word.to_string_lossy()).collect();
    let env: Map<_, _> =
        plan.start.app_env.iter().flatten().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    json!({
        "name": plan.start.name, "namespace": plan.start.namespace, "mode": plan.start.mode.word(), "workers": plan.workers,
        "argv": argv, "cwd": plan.start.cwd.to_string_lossy(), "env": env, "out": text(&plan.start.out), "err": text(&plan.start.err),
        "script": text(&plan.start.script), "autostart": plan.autostart, "warnings": plan.warnings,
    })
}

fn service(plan: &Plan, context: &Context, asked: &Description) -> Option<Service> {
    if !plan.autostart {
        return None;
    }
    let mut start = plan.start.clone();
    if asked.force || asked.implied_name {
        rename_if_taken(&mut start, context, asked.force);
    }
    Some(Service { start, described: true, ..Service::default() })
}

/// The first name with a number that is not another script's, and (`force`) does not run. (Another start may take it first:
/// then this one is refused.)
fn rename_if_taken(start: &mut Start, context: &Context, force: bool) {
    let runs = |name: &str| home::holder(&context.home.join(name)).is_ok_and(|holder| holder.is_some());
    let script_of = |name: &str| Start::read(&context.home.join(name)).ok().flatten()?.script;
    let ours = start.script.clone();
    // A name whose script is gone is free again: that may have been an earlier release.
    let is_other = |name: &str, script: &PathBuf| ours.as_ref() != Some(script) && (script.exists() || runs(name));
    let is_anothers = |name: &str| ours.is_some() && script_of(name).is_some_and(|script| is_other(name, &script));
    let is_taken = |name: &str| is_anothers(name) || (force && runs(name));
    if !is_taken(&start.name) {
        return;
    }
    let (before, called) = (start.name.clone(), start.called().to_owned());
    let name = (2..1000).map(|n| format!("{before}-{n}")).find(|name| !is_taken(name)).unwrap_or_default();
    let number = name.strip_prefix(&before).unwrap_or_default();
    if is_anothers(&before) {
        let script = script_of(&before).unwrap_or_default();
        report::info(format_args!("'{called}' is {}: this one is called '{called}{number}'", script.display()));
    }
    let dirs = [&before, &name].map(|name| context.home.join(name).join(ecosystem::APP_ENV).into_os_string());
    start.argv.iter_mut().filter(|word| **word == dirs[0]).for_each(|word| word.clone_from(&dirs[1]));
    if let Some(env) = &mut start.app_env {
        env.iter_mut()
            .filter(|(key, value)| key == "name" && *value == called)
            .for_each(|(_, value)| *value = called.clone() + number);
    }
    start.given_name = start.given_name.take().map(|given| given + number);
    start.name = name;
}

/// Writes down what is not to be started (`autostart: false`); false: one could not be.
fn park(plans: &[&Plan]) -> bool {
    let mut all = true;
    for plan in plans {
        match apps::write_down(plan.start.clone()) {
            Ok(()) => report::info(format_args!("app '{}' is stopped, as autostart is false", plan.start.name)),
            Err(failure) => {
                all = false;
                report::fatal(format_args!("app '{}': {failure}", plan.start.name), &[]);
            }
        }
    }
    all
}
