//! Which apps a verb is about: those that its targets mean (`pm_stat`'s `look::matching`), those of a config file, or all.

use std::path::{Path, PathBuf};

use pm_common::cli::nearest::nearest;
use pm_common::cli::report::Failure;
use pm_common::cli::shell::quoted;
use pm_stat::{App, Apps, meant_by};

use crate::described::config_file::Contents;
use crate::described::{self, Planned};
use crate::ecosystem::USUAL_CONFIGS;
use crate::pm::call::Call;
use crate::request::Description;

/// The apps that are meant.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) names: Vec<String>,
    /// A config file describes one that cannot be, which was said.
    pub(crate) failed: bool,
}

impl Chosen {
    /// 1 if a config file describes one that cannot be.
    pub(crate) fn code(&self) -> u8 {
        u8::from(self.failed)
    }
}

/// The endings of config files; PM2 wants `.config` in front of those of JavaScript.
const DATA: [&str; 5] = [".json", ".json5", ".yml", ".yaml", ".toml"];
const MODULES: [&str; 6] = [".js", ".ts", ".cjs", ".mjs", ".cts", ".mts"];
/// Whether it is a config file, or stdin.
pub(crate) fn is_config(target: &str) -> bool {
    target == "-" || (looks_like_config(target) && Path::new(target).is_file())
}

fn looks_like_config(target: &str) -> bool {
    let module = |ending: &str| target.strip_suffix(ending).is_some_and(|stem| stem.ends_with(".config"));
    DATA.iter().any(|ending| target.ends_with(ending)) || MODULES.iter().any(|ending| module(ending))
}

/// The config file that is meant where none is named.
pub(crate) fn usual_config() -> Option<&'static str> {
    USUAL_CONFIGS.into_iter().find(|file| Path::new(file).is_file())
}

/// Says of an app which runs that it does not serve: its workers end again and again.
pub(crate) fn crashing(app: &App) -> Option<String> {
    let (name, how) = (app.called(), app.intensity()?);
    Some(format!("'{name}' is restarting after a crash: {how}; pm logs {}", quoted(name)))
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

/// The targets of a verb that means all apps where it has none.
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
    let Some((field, _)) = call.sets.first() else { return Ok(()) };
    let name = call.verb.name;
    Err(Failure::own(format!(
        "{name} sets {field} of what a config file describes, and none is named; an app that was started without one \
         gets it so: pm stop it, then pm start its script with all its options"
    )))
}

/// Where no config file is named, what is for one means nothing.
///
/// # Errors
/// There is such an option.
pub(crate) fn no_file(call: &Call) -> Result<(), Failure> {
    for (option, does) in [("only", "chooses apps of"), ("env", "chooses the environment in")] {
        if call.has(option) {
            return Err(Failure::own(format!("--{option} {does} a config file, and none is named")));
        }
    }
    Ok(())
}

/// The names that these targets mean, each once, in their order. All are looked at before anything is done to one: who
/// mistypes a name among several loses nothing.
///
/// # Errors
/// One of them means none.
pub(crate) fn of(call: &Call, targets: &[String]) -> Result<Chosen, Failure> {
    let apps = all()?;
    let mut chosen = Chosen::default();
    let mut refused: Vec<_> = targets.iter().filter_map(|target| chosen.add(call, target, &apps).err()).collect();
    let Some(mut last) = refused.pop() else { return Ok(chosen) };
    refused.iter().for_each(crate::apps::say);
    if !chosen.names.is_empty() {
        last.message += "; nothing was done to the others";
    }
    Err(last)
}

/// All apps.
///
/// # Errors
/// 125: they cannot be read.
pub(crate) fn all() -> Result<Vec<App>, Failure> {
    let apps = Apps::look(Some(&crate::apps::home()?), &[])?;
    apps.say_left_out();
    Ok(apps.seen)
}

impl Chosen {
    fn add(&mut self, call: &Call, target: &str, apps: &[App]) -> Result<(), Failure> {
        let names = if is_config(target) {
            self.described(call, target)?
        } else {
            meant_by(target, apps)?.into_iter().map(|app| app.name.clone()).collect()
        };
        if names.is_empty() {
            return Err(match target {
                "all" => Failure::with_code(1, "no apps; pm start app.js starts one"),
                "-" => Failure::with_code(1, "- is no app: it stands for a description on stdin"),
                _ => no_app(target, apps),
            });
        }
        for name in names {
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        Ok(())
    }

    /// The apps that a config file describes.
    fn described(&mut self, call: &Call, file: &str) -> Result<Vec<String>, Failure> {
        let asked = description(call, Some(file))?;
        Ok(match described::read(&asked)? {
            Contents::Saved(saved) => saved.into_iter().map(|app| app.start.name).collect(),
            Contents::Described(apps, deploy) => {
                let planned = Planned::of(&asked, &apps, &deploy)?;
                self.failed |= planned.failed > 0;
                planned.plans.into_iter().map(|plan| plan.start.name).collect()
            }
        })
    }
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

/// Reads a config file that is to be started, restarted or reloaded: what runs of it is stopped first, where it is started.
///
/// # Errors
/// It cannot be read; there is no place for apps.
pub(crate) fn read_config(call: &Call, config: &str) -> Result<(Description, Contents), Failure> {
    crate::apps::home()?.check_ours()?;
    let asked = description(call, Some(config))?;
    let contents = described::read(&asked)?;
    // Saved apps that run are left alone.
    let restart = matches!(contents, Contents::Described(..));
    Ok((Description { restart, ..asked }, contents))
}

/// The failure of a word that means no app.
fn no_app(word: &str, apps: &[App]) -> Failure {
    let mut failure = pm_stat::no_app(crate::apps::home().ok().as_ref(), &[word.to_owned()]);
    let known = apps.iter().filter(|app| app.is_known()).map(App::called);
    if looks_like_config(word) {
        failure.message = format!("there is no file {word}, and no app of that name");
    } else if let Some(near) = nearest(word, known) {
        failure.message += &format!("; is '{near}' meant?");
    }
    failure
}
