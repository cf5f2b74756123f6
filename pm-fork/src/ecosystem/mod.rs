//! What PM2 calls an ecosystem: descriptions of apps, and what each becomes here. Pure: what must be known of files and
//! users is asked of a [`Machine`].
//!
//! A description is brought to one form first ([`fields`]: names, types), then each group of fields becomes its part of
//! the chain. A field that we have nothing for is warned about by name, and the app is started without it; a value that
//! means nothing is an error, and the app is not started.
//! The groups: `program_fields` (script, interpreter, arguments), `policy_fields` (instances, readiness, restarts, memory), `env_fields` (of
//! which `env_name` is `--env`, `dotenv` env_file), `log_fields`, `user_fields`, `watch_fields`, `hook_fields`,
//! `order_fields`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pm_common::app::home::{self, DEFAULT_NAMESPACE, Mode, Start};
use serde_json::{Map, Value};

mod dotenv;
mod env_fields;
mod env_name;
mod field_value;
pub mod fields;
mod hook_fields;
mod log_fields;
mod machine;
mod order_fields;
mod policy_fields;
mod program_fields;
mod user_fields;
mod watch_fields;

pub use env_name::no_env;
pub use fields::{normalise, set};
pub use machine::{Account, Head, Machine, RealMachine};
pub(crate) use watch_fields::words as watch_words;

/// Where and how descriptions are read: the same for all apps of a file.
#[derive(Debug, Clone)]
pub struct Context {
    /// The caller's directory, as the caller names it.
    pub cwd: PathBuf,
    /// The file with the descriptions, as an absolute path.
    pub config: Option<PathBuf>,
    /// `--env`: which `env_NAME` is laid over `env`.
    pub env_name: Option<String>,
    /// The variables that the file has for a deployment of this name: below all others of a description.
    pub deployed: Option<Map<String, Value>>,
    /// The caller's environment.
    pub env: Vec<(OsString, OsString)>,
    /// The directory of all apps.
    pub home: PathBuf,
}

impl Context {
    /// A variable of the caller.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.to_str())
    }
}

/// What a description comes to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// How the app is to be started: without an id, and with the chosen environment of the description merged into its `env`.
    pub start: Start,
    /// How many workers; 1 without a pm-cluster.
    pub workers: u32,
    /// The NAMEs that `--env` can choose: it has an `env_NAME` for each.
    pub env_names: Vec<String>,
    /// Whether it is to be started at all.
    pub autostart: bool,
    /// What of the description is not done, each as a sentence that begins with the field.
    pub warnings: Vec<String>,
}

/// The config files that are meant where none is named.
pub const USUAL_CONFIGS: [&str; 4] =
    ["ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.mjs", "ecosystem.config.ts"];

/// The name of the file in the app's directory with the variables of the description.
pub const APP_ENV: &str = "app.env";

/// A part of a plan, as its fields are read.
pub(crate) struct Reader<'a> {
    pub(crate) app: &'a Map<String, Value>,
    pub(crate) context: &'a Context,
    pub(crate) machine: &'a dyn Machine,
    pub(crate) warnings: Vec<String>,
}

/// What a description (in the form of [`normalise`]) comes to.
///
/// # Errors
/// A sentence that begins with the field which is wrong or missing.
pub fn plan(
    app: &Map<String, Value>,
    context: &Context,
    machine: &dyn Machine,
    warnings: Vec<String>,
) -> Result<Plan, String> {
    let mut reader = Reader { app, context, machine, warnings };
    reader.unsupported();
    let program = program_fields::Program::of(&mut reader)?;
    let (name, given_name) = reader.name(&program)?;
    let logs = log_fields::Logs::of(&mut reader, &program.cwd)?;
    let account = user_fields::User::of(&reader)?;
    let mut rules = policy_fields::policy(&mut reader)?;
    rules.extend(watch_fields::options(&mut reader, &program.cwd)?);
    rules.extend(hook_fields::options(&reader, &account.chain)?);
    let cluster = policy_fields::Cluster::of(&mut reader, &program)?;
    let merged = env_fields::merged(&mut reader, &program.cwd)?;
    let mut app_env = env_fields::variables(&mut reader, &merged)?;
    for (key, value) in program.env.iter().chain(&account.env).chain(&cluster.env(given_name.as_ref().unwrap_or(&name)))
    {
        if !app_env.iter().any(|(known, _)| known == key) {
            app_env.push((key.clone(), value.clone()));
        }
    }
    let env_file = ["--env-file".into(), context.home.join(&name).join(APP_ENV).into_os_string()];
    let mut argv = logs.chain(machine);
    argv.push(machine.tool("pm-restart"));
    argv.extend(rules.into_iter().chain(logs.of_restart()).chain(cluster.of_restart()).map(OsString::from));
    match &cluster.workers {
        Some(_) => argv.extend(cluster.chain(machine).into_iter().chain(env_file).chain(logs.of_workers())),
        None => argv.extend(cluster.chain(machine).into_iter().chain(env_file)),
    }
    argv.extend(account.chain);
    argv.extend(cluster.wrapper());
    argv.extend(program.argv);
    let (mut app, env_names) = (app.clone(), env_fields::names(app));
    app.retain(|key, _| !key.starts_with("env_"));
    app.insert("env".to_owned(), Value::Object(merged));
    let start = Start {
        name,
        given_name,
        namespace: reader.text("namespace")?.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        mode: Mode::of(&argv),
        argv,
        cwd: program.cwd,
        env: env_fields::base(&mut reader)?,
        app_env: Some(app_env),
        out: logs.out,
        err: logs.err,
        script: program.script,
        interpreter: program.interpreter,
        command: program.command,
        config: context.config.clone(),
        app: Some(Value::Object(app)),
        after: reader.after()?,
        ..Start::default()
    };
    let autostart = reader.bool("autostart")?.unwrap_or(true);
    Ok(Plan { start, workers: cluster.workers.unwrap_or(1), env_names, autostart, warnings: reader.warnings })
}

impl Reader<'_> {
    /// The name that is given, else that of the script: as a directory's, and as it was given if that differs.
    fn name(&mut self, program: &program_fields::Program) -> Result<(String, Option<String>), String> {
        let given = self.text("name")?.or_else(|| self.text("name_prefix").ok().flatten().map(|p| p + &program.name));
        let mut given = given.unwrap_or_else(|| program.name.clone());
        if self.bool("append_env_to_name")? == Some(true)
            && let Some(env) = &self.context.env_name
        {
            given = format!("{given}-{env}");
        }
        let name = home::directory_name(&given);
        if name != given {
            let shown = given.escape_debug();
            self.warnings.push(format!("name: '{shown}' is listed as '{name}', which is its directory's name"));
        }
        home::check_name(&name).map_err(|why| format!("name: '{name}': {why}"))?;
        if name == "all" {
            return Err("name: 'all' means every app: choose another".to_owned());
        }
        if name.starts_with('-') {
            return Err(format!("name: '{name}': a name cannot begin with a dash, as options do"));
        }
        let differs = name != given;
        Ok((name, differs.then_some(given)))
    }

    /// A field that is a path; `~` is the home of the user who is to run the app.
    pub(crate) fn path(&self, field: &str) -> Result<Option<String>, String> {
        self.text(field)?.map(|path| self.expanded(field, &path)).transpose()
    }

    /// The path with the home in the place of `~` or `~NAME` at its beginning.
    pub(crate) fn expanded(&self, field: &str, path: &str) -> Result<String, String> {
        let Some(rest) = path.strip_prefix('~') else { return Ok(path.to_owned()) };
        let (user, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let home = match user {
            "" => user_fields::home(self)?,
            // A file may be called so.
            _ => match self.machine.account(user) {
                Some(account) => account.home,
                None => return Ok(path.to_owned()),
            },
        };
        if home.is_empty() {
            return Err(format!("{field}: '{path}': its user has no home: give the whole path"));
        }
        Ok(home + below)
    }
}

/// A path of a description: below the app's directory, if it is not absolute.
pub(crate) fn below(cwd: &Path, path: &str) -> PathBuf {
    let joined = cwd.join(path);
    // `./` in the middle of a path is nothing; `..` stays, as what is above may be a symbolic link.
    joined.components().collect()
}

#[cfg(test)]
mod tests;
