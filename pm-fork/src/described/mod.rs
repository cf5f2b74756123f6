//! `-f FILE` and `--set`: plans for what is described, and their starts.

pub(crate) mod config_file;
pub(crate) mod known;
mod order;
pub(crate) mod update;

use std::path::{Path, PathBuf};

use pm_common::app::home::{self, Start};
use pm_common::cli::report::{self, Failure};
use serde_json::{Map, Value, json};

use crate::apps::{self, saved};
use crate::described::config_file::Contents;
use crate::ecosystem::{self, Context, Plan, RealMachine};
use crate::launch::batch::{Batch, park};
use crate::launch::in_front::{self, LineForm};
use crate::launch::parent::summary;
use crate::launch::patience::Patience;
use crate::launch::service::{self, Service};
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
/// 125: it holds none of the apps that are asked for, or their order is a circle.
pub(crate) fn apply(asked: &Description, contents: Contents, patience: &Patience) -> Result<u8, Failure> {
    let mut batch = Batch::default();
    let code = prepare(asked, contents, &mut batch)?;
    Ok(summary(&[code, batch.start(patience)?]))
}

/// Adds what is to be started to the others; or does at once what is no start, whose code that is.
///
/// # Errors
/// As [`apply`].
pub(crate) fn prepare(asked: &Description, contents: Contents, batch: &mut Batch) -> Result<u8, Failure> {
    match contents {
        Contents::Saved(saved) => saved::prepare(asked, saved, batch)?,
        Contents::Described(apps, deploy) => {
            let planned = Planned::of(asked, &apps, &deploy)?.in_order()?;
            batch.failed |= planned.failed > 0;
            return planned.act(asked, batch);
        }
    }
    Ok(0)
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
    /// Names of those that come to nothing, as far as they have one.
    broken: Vec<String>,
    /// The apps of the file, by the name that it gives them and the name that this comes to.
    in_file: Vec<(String, String)>,
}

impl Planned {
    /// The plans for those of the apps that are asked for.
    ///
    /// # Errors
    /// 125: there is none.
    pub(crate) fn of(asked: &Description, apps: &[Value], deploy: &Value) -> Result<Self, Failure> {
        let context = context(asked, deploy)?;
        let mut planned = Self { context, plans: Vec::new(), failed: 0, broken: Vec::new(), in_file: Vec::new() };
        planned.read(asked, apps)?;
        planned.resolve();
        Ok(planned)
    }

    /// Says which of them have nothing for the environment that was chosen.
    pub(crate) fn warn_of_env(&self) {
        ecosystem::no_env(&self.plans, &self.context).iter().for_each(report::warning);
    }

    fn act(&self, asked: &Description, batch: &mut Batch) -> Result<u8, Failure> {
        self.warn_of_env();
        if asked.dry_run {
            let lines: String = self.plans.iter().map(|plan| format!("{}\n", dry(plan))).collect();
            return report::print(&lines);
        }
        if asked.update {
            return update::run(&self.plans);
        }
        self.prepare(|_| true, asked, batch);
        Ok(0)
    }

    /// Runs them all in front of this process; comes back when all have ended.
    ///
    /// # Errors
    /// 125: there is no place for apps, or one could not be written down.
    pub(crate) fn run_in_front(&self, asked: &Description, form: LineForm) -> Result<u8, Failure> {
        let mut batch = Batch::default();
        self.prepare(|_| true, asked, &mut batch);
        if !park(batch.parked.iter().map(|(start, _)| start)) {
            return Ok(1);
        }
        let stopped: Vec<&str> = batch.parked.iter().map(|(start, _)| start.name.as_str()).collect();
        in_front::run(batch.fresh, &stopped, form)
    }

    /// Adds those that are wanted to what is to be started; what of them is ignored is said.
    pub(crate) fn prepare(&self, wanted: impl Fn(&Plan) -> bool, asked: &Description, batch: &mut Batch) {
        for plan in self.plans.iter().filter(|plan| wanted(plan)) {
            warn(plan);
            for one in plan.start.after.iter().filter(|one| self.is_left_out(&one.app)) {
                let (name, before) = (plan.start.called(), &one.app);
                report::info(format_args!("app '{name}' starts after '{before}', which is left out of this start"));
            }
            match service(plan, &self.context, asked) {
                None => batch.parked.push((plan.start.clone(), asked.restart)),
                Some(service) if asked.restart => batch.anew.push(service),
                Some(service) => batch.fresh.push(service),
            }
        }
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
        let mut batch = Batch::default();
        self.prepare(wanted, asked, &mut batch);
        batch.start(patience)
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

impl Planned {
    /// Makes the plans for the apps that are asked for; one that fails is said and counted.
    fn read(&mut self, asked: &Description, apps: &[Value]) -> Result<(), Failure> {
        let machine = RealMachine::new(std::env::var_os("PATH"));
        for app in apps {
            let given = given_name(&[], app);
            let selected = select(asked, app, &self.context, &machine);
            if let Ok((plan, _)) = &selected {
                self.in_file.push((given.to_owned(), plan.start.name.clone()));
            }
            match selected {
                Ok((_, false)) => {}
                Ok((plan, true)) => match taken(&plan, &self.plans, &self.context) {
                    Some(why) => fail(&mut self.failed, &format!("'{}'", plan.start.called()), &why),
                    None => self.plans.push(plan),
                },
                // Who asks for others does not want to hear of it.
                Err(_) if !asked.only.is_empty() && !asked.only.iter().any(|name| name == given) => {}
                Err(why) => {
                    // A word misspelt may be why another is missing.
                    for warning in ecosystem::normalise(app).map(|(_, warnings)| warnings).unwrap_or_default() {
                        report::warning(format_args!("app '{}': {warning}", given_name(&asked.sets, app)));
                    }
                    fail(&mut self.failed, &format!("'{}'", given_name(&asked.sets, app)), &why);
                    self.broken.push(home::directory_name(given));
                }
            }
        }
        if self.plans.is_empty() && self.failed == 0 {
            return Err(self.none(asked));
        }
        Ok(())
    }

    /// The failure where the file describes none that is asked for.
    fn none(&self, asked: &Description) -> Failure {
        let file = asked.file.as_ref().map_or_else(|| "--set".into(), |file| file.display().to_string());
        let which = if asked.only.is_empty() { String::new() } else { format!(" called {}", asked.only.join(" or ")) };
        let mut known: Vec<&str> = self.in_file.iter().map(|(_, name)| name.as_str()).collect();
        known.dedup();
        let others = if known.is_empty() { String::new() } else { format!("; there are {}", known.join(", ")) };
        Failure::own(format!("{file}: no app{which} is described{others}"))
    }
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
