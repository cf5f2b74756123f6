//! Which apps are meant: `all`, a name, an id, a namespace, `/regex/`, a script, a config file.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pm_common::cli::nearest::nearest;
use pm_common::cli::report::{self, Failure, OrFail as _};
use pm_stat::{App, Apps};

use crate::asked::Description;
use crate::described::file::Contents;
use crate::described::{self, Planned};
use crate::pm::call::Call;

/// The apps that are meant.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) names: Vec<String>,
    /// There is none for one of the targets, which was said.
    pub(crate) failed: bool,
}

impl Chosen {
    /// 1 if there is none for one of the targets.
    pub(crate) fn code(&self) -> u8 {
        u8::from(self.failed)
    }
}

/// The endings of config files; PM2 wants `.config` in front of those of JavaScript.
const DATA: [&str; 5] = [".json", ".json5", ".yml", ".yaml", ".toml"];
const MODULES: [&str; 6] = [".js", ".ts", ".cjs", ".mjs", ".cts", ".mts"];
/// The config files that are meant where none is named.
const USUAL: [&str; 4] = ["ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.mjs", "ecosystem.config.ts"];

/// Whether it is a config file, or stdin.
pub(crate) fn is_config(target: &str) -> bool {
    let module = |ending: &str| target.strip_suffix(ending).is_some_and(|stem| stem.ends_with(".config"));
    let named = DATA.iter().any(|ending| target.ends_with(ending)) || MODULES.iter().any(|ending| module(ending));
    target == "-" || (named && Path::new(target).is_file())
}

/// The config file that is meant where none is named.
pub(crate) fn usual_config() -> Option<&'static str> {
    USUAL.into_iter().find(|file| Path::new(file).is_file())
}

/// The targets of a verb that needs one.
///
/// # Errors
/// There is none, or options do not go with it.
pub(crate) fn chosen(call: &Call) -> Result<Chosen, Failure> {
    if call.targets.is_empty() {
        let name = call.verb.name;
        return Err(Failure::own(format!(
            "{name} needs a target: a name, an id, a namespace, all ... (pm {name} --help)"
        )));
    }
    no_fields(call)?;
    if !call.targets.iter().any(|target| is_config(target)) {
        no_file(call)?;
    }
    of(call, &call.targets)
}

/// The same, and all apps without a target.
///
/// # Errors
/// See [`chosen`].
pub(crate) fn or_all(call: &Call) -> Result<Chosen, Failure> {
    if call.targets.is_empty() {
        no_file(call)?;
        return of(call, &["all".to_owned()]);
    }
    chosen(call)
}

/// The fields of apps that are known stay as they are.
///
/// # Errors
/// One is set.
pub(crate) fn no_fields(call: &Call) -> Result<(), Failure> {
    if call.sets.is_empty() {
        return Ok(());
    }
    let name = call.verb.name;
    Err(Failure::own(format!("{name} takes no options for an app's fields: use a config file, or start the app anew")))
}

/// Where no config file is named, what is for one means nothing.
///
/// # Errors
/// There is such an option.
pub(crate) fn no_file(call: &Call) -> Result<(), Failure> {
    let mut wrong = [
        ("only", "--only chooses apps of a config file, and none is named"),
        ("env", "--env chooses the environment in a config file, and none is named"),
    ]
    .into_iter()
    .filter(|(option, _)| call.has(option));
    wrong.next().map_or(Ok(()), |(_, why)| Err(Failure::own(why)))
}

/// The names that these targets mean, each once, in their order.
///
/// # Errors
/// They mean none.
pub(crate) fn of(call: &Call, targets: &[String]) -> Result<Chosen, Failure> {
    let apps = all()?;
    let mut chosen = Chosen::default();
    for target in targets {
        match meant(call, target, &apps) {
            Ok(names) => names.into_iter().for_each(|name| {
                if !chosen.names.contains(&name) {
                    chosen.names.push(name);
                }
            }),
            Err(failure) => {
                chosen.failed = true;
                report::fatal(failure, &[]);
            }
        }
    }
    if chosen.names.is_empty() { Err(Failure::with_code(1, "")) } else { Ok(chosen) }
}

/// All apps.
///
/// # Errors
/// 125: they cannot be read.
pub(crate) fn all() -> Result<Vec<App>, Failure> {
    Ok(Apps::look(Some(&crate::apps::home()?), &[])?.seen)
}

fn meant(call: &Call, target: &str, apps: &[App]) -> Result<Vec<String>, Failure> {
    let names = if is_config(target) { described(call, target)? } else { names(&known_as(target, apps)?) };
    if !names.is_empty() {
        return Ok(names);
    }
    Err(match target {
        "all" => Failure::with_code(1, "no apps; pm start app.js starts one"),
        "-" => Failure::with_code(1, "- is no app: it stands for a description on stdin"),
        _ => no_app(target, apps),
    })
}

fn names(apps: &[&App]) -> Vec<String> {
    apps.iter().map(|app| app.name.clone()).collect()
}

/// The apps that a config file describes.
fn described(call: &Call, file: &str) -> Result<Vec<String>, Failure> {
    let asked = description(call, Some(file))?;
    Ok(match described::read(&asked)? {
        Contents::Saved(saved) => saved.into_iter().map(|app| app.start.name).collect(),
        Contents::Described(apps, deploy) => {
            Planned::of(&asked, &apps, &deploy)?.plans.into_iter().map(|plan| plan.name).collect()
        }
    })
}

/// The apps that a word means which is no config file.
///
/// # Errors
/// 125: grep(1) cannot be run.
pub(crate) fn known_as<'a>(target: &str, apps: &'a [App]) -> Result<Vec<&'a App>, Failure> {
    match target.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|regex| !regex.is_empty()) {
        Some(regex) => named_like(regex, apps),
        None => Ok(pm_stat::meant(apps, OsStr::new(target))),
    }
}

/// The apps whose names match: as grep(1) has it.
fn named_like<'a>(regex: &str, apps: &'a [App]) -> Result<Vec<&'a App>, Failure> {
    let doing = || "cannot run grep".to_owned();
    let mut grep = Command::new("grep");
    let mut child =
        grep.args(["-nE", "--", regex]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().or_fail(doing)?;
    let known: Vec<&App> = apps.iter().filter(|app| app.is_known()).collect();
    let lines: String = known.iter().map(|app| format!("{}\n", app.called().replace('\n', " "))).collect();
    if let Some(mut stdin) = child.stdin.take() {
        // One that takes no such regex has said so, and reads nothing.
        let _ = stdin.write_all(lines.as_bytes());
    }
    let output = child.wait_with_output().or_fail(doing)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let at = text.lines().filter_map(|line| line.split_once(':')?.0.parse::<usize>().ok());
    Ok(at.filter_map(|at| known.get(at - 1).copied()).collect())
}

/// The description that the call is about: a config file, or fields alone.
///
/// # Errors
/// An option is not UTF-8.
pub(crate) fn description(call: &Call, file: Option<&str>) -> Result<Description, Failure> {
    let only = call.options.iter().filter(|(option, _)| *option == "only").map(|(_, value)| value.to_string_lossy());
    Ok(Description {
        file: file.map(PathBuf::from),
        only: only.flat_map(|names| described::names(&names)).collect(),
        env_name: call.text("env")?.map(str::to_owned),
        sets: call.sets.clone(),
        dry_run: call.has("dry-run"),
        ..Description::default()
    })
}

/// That there is no such app.
fn no_app(word: &str, apps: &[App]) -> Failure {
    let mut failure = pm_stat::no_app(crate::apps::home().ok().as_ref(), &[word.to_owned()]);
    let known = apps.iter().filter(|app| app.is_known()).map(App::called);
    if let Some(near) = nearest(word, known) {
        failure.message += &format!("; is '{near}' meant?");
    }
    failure
}
