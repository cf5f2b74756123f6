//! The fields of a description: their names, and the other names that PM2 knows them by.

use pm_common::cli::nearest::nearest;
use pm_common::cli::shell;
use serde_json::{Map, Value};

use super::{Reader, field_value};

/// How a value that comes as text (`--set KEY=VALUE`) is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it is; numbers, sizes and times can be text too.
    Text,
    /// `true` or `false`.
    Switch,
    /// `true`, `false`, or text.
    SwitchOrText,
    /// Given again, it is one more.
    List,
    /// A line of words; given again, it is more of them.
    Words,
    /// `NAME=VALUE`; given again, it is one more.
    Env,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Some part of the plan is made of it.
    Mapped,
    /// The field says nothing that is not so anyhow, or is a matter inside of PM2.
    Needless,
    /// The field is needless if it is false; else it is warned about in these words.
    Missing(&'static str),
}

pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) kind: Kind,
    pub(crate) fate: Fate,
}

use Fate::{Mapped, Missing, Needless};
use Kind::{Env, List, Switch, SwitchOrText, Text, Words};

const fn field(name: &'static str, aliases: &'static [&'static str], kind: Kind, fate: Fate) -> Field {
    Field { name, aliases, kind, fate }
}

/// All that PM2 knows, and what we know beside it.
pub(crate) const FIELDS: &[Field] = &[
    field("script", &["exec", "cmd", "command"], Text, Mapped),
    field("name", &[], Text, Mapped),
    field("name_prefix", &[], Text, Mapped),
    field("namespace", &[], Text, Mapped),
    field("cwd", &[], Text, Mapped),
    field("args", &[], List, Mapped),
    field("interpreter", &["exec_interpreter"], Text, Mapped),
    field("node_args", &["interpreter_args"], Words, Mapped),
    field("instances", &[], Text, Mapped),
    field("exec_mode", &[], Text, Mapped),
    field("sticky", &[], Switch, Mapped),
    field("reload", &[], Text, Mapped),
    field("instance_var", &[], Text, Mapped),
    field("increment_var", &[], Text, Mapped),
    field("env", &[], Env, Mapped),
    field("env_file", &[], List, Mapped),
    field("filter_env", &[], SwitchOrText, Mapped),
    field("append_env_to_name", &[], Switch, Mapped),
    field("out_file", &["out", "output", "out_log"], Text, Mapped),
    field("error_file", &["error", "err", "err_file", "err_log"], Text, Mapped),
    field("log_file", &["log"], SwitchOrText, Mapped),
    field("disable_logs", &[], Switch, Mapped),
    field("merge_logs", &["combine_logs"], Switch, Mapped),
    field("log_type", &[], Text, Mapped),
    field("log_date_format", &[], SwitchOrText, Mapped),
    field("time", &[], Switch, Mapped),
    field("log_rotate", &[], Switch, Mapped),
    field("log_max_size", &[], Text, Mapped),
    field("log_keep", &[], Text, Mapped),
    field("pid_file", &["pid"], Text, Missing("not here: the process is in the file 'pid' of the app's directory")),
    field("depends_on", &[], List, Mapped),
    field("autostart", &[], Switch, Mapped),
    field("autorestart", &[], Switch, Mapped),
    field("stop_exit_codes", &[], List, Mapped),
    field("max_restarts", &[], Text, Mapped),
    field("min_uptime", &[], Text, Mapped),
    field("restart_delay", &[], Text, Mapped),
    field("exp_backoff_restart_delay", &[], Text, Mapped),
    field("max_memory_restart", &[], Text, Mapped),
    field("kill_timeout", &[], Text, Mapped),
    field("kill_signal", &[], Text, Mapped),
    field("kill_retry_time", &[], Text, Needless),
    field("treekill", &[], Switch, Mapped),
    field("shutdown_with_message", &[], Switch, Mapped),
    field("wait_ready", &[], Switch, Mapped),
    field("wait", &[], Text, Mapped),
    field("listen_timeout", &[], Text, Mapped),
    field("cron_restart", &["cron"], List, Mapped),
    field("watch", &[], List, Mapped),
    field("ignore_watch", &[], Words, Mapped),
    field("watch_options", &[], Text, Mapped),
    field("watch_delay", &[], Text, Mapped),
    field("on", &[], Env, Mapped),
    field("health", &[], Text, Mapped),
    field("health_cmd", &["health_command"], Text, Mapped),
    field("max_lag", &[], Text, Mapped),
    field("uid", &["user"], Text, Mapped),
    field("gid", &[], Text, Mapped),
    field("port", &[], Text, Mapped),
    field("source_map_support", &[], Switch, Mapped),
    field("disable_source_map_support", &[], Switch, Needless),
    field("vizion", &[], Switch, Needless),
    field("post_update", &[], List, Missing("not here: PM2 runs it behind 'pm2 pull', which there is not")),
    field("force", &[], Switch, Needless),
    field("pmx", &[], Switch, Needless),
    field("automation", &[], Switch, Needless),
    field("trace", &[], Switch, Missing("not here: it is part of PM2's own monitoring")),
    field("disable_trace", &[], Switch, Needless),
    field("v8", &[], Switch, Missing("not here: it is part of PM2's own monitoring")),
    field("event_loop_inspector", &[], Switch, Missing("not here: it is part of PM2's own monitoring")),
    field("deep_monitoring", &[], Switch, Missing("not here: it is part of PM2's own monitoring")),
    field("io", &[], Text, Missing("not here: it is part of PM2's own monitoring")),
    field("install_url", &[], Text, Needless),
    field("km_link", &[], Switch, Needless),
    field("windowsHide", &["windows_hide"], Switch, Needless),
    field("write", &[], Switch, Needless),
    field("execute_command", &[], Switch, Mapped),
    field("username", &[], Text, Needless),
    field("version", &[], Text, Needless),
    field("description", &[], Text, Needless),
];

/// The field of this name, or with it as one of its other names; camelCase is understood.
pub(crate) fn find(key: &str) -> Option<&'static Field> {
    let snake = snake(key);
    let named = |name: &str| name == key || name == snake;
    FIELDS.iter().find(|f| named(f.name) || f.aliases.iter().any(|alias| named(alias)))
}

fn snake(key: &str) -> String {
    let small = |c: char| if c.is_ascii_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] };
    key.chars().flat_map(small).collect()
}

/// The `env_NAME` of an environment that `--env` can choose, as `envName` too.
fn environment(key: &str) -> Option<String> {
    if key.starts_with("env_") {
        Some(key.to_owned())
    } else {
        Some(snake(key)).filter(|name| name.starts_with("env_"))
    }
}

/// Brings a description to the names of this table. What is unknown is left out, with a warning.
///
/// # Errors
/// It is no object, or a field has two values.
pub fn normalise(app: &Value) -> Result<(Map<String, Value>, Vec<String>), String> {
    let Some(given) = app.as_object() else { return Err(format!("an app is described by an object, not by {app}")) };
    let (mut normal, mut warnings) = (Map::new(), Vec::new());
    for (key, value) in given {
        let name = match (find(key), environment(key)) {
            (Some(field), _) => field.name.to_owned(),
            (None, Some(name)) => {
                if !value.is_object() && !value.is_null() {
                    let meant = meant(key).map_or_else(String::new, |name| format!("; {name} is meant?"));
                    warnings.push(format!("{}: {value} is no object with variables{meant}", key.escape_debug()));
                }
                name
            }
            (None, None) => {
                warnings.push(unknown(key));
                continue;
            }
        };
        if value.is_null() {
            continue;
        }
        if normal.insert(name.clone(), value.clone()).is_some_and(|before| before != *value) {
            return Err(format!("{name}: given twice, once as {key}"));
        }
    }
    Ok((normal, warnings))
}

fn unknown(key: &str) -> String {
    let meant = meant(key).map_or_else(String::new, |name| format!("; {name} is meant?"));
    format!("{}: no such field, it is ignored{meant}", key.escape_debug())
}

/// The known name that is nearest, if it is near.
fn meant(key: &str) -> Option<&'static str> {
    let names = FIELDS.iter().flat_map(|f| std::iter::once(f.name).chain(f.aliases.iter().copied()));
    Some(find(nearest(&snake(key), names)?)?.name)
}

/// Sets fields as `--set KEY=VALUE` says, over those that are there.
///
/// # Errors
/// A key that is no field, or a value that the field cannot have.
pub fn set(app: &mut Map<String, Value>, sets: &[(String, String)]) -> Result<(), String> {
    let mut lists: Vec<String> = Vec::new();
    for (key, text) in sets {
        let (known, environment) = (find(key).map(|f| (f.name, f.kind)), environment(key));
        let (name, kind) = match known {
            Some(known) => known,
            None if environment.is_some() => (environment.as_deref().unwrap_or_default(), Env),
            None => return Err(unknown(key).replace(", it is ignored", "")),
        };
        let value = match kind {
            Text => Value::from(text.as_str()),
            Switch => {
                Value::Bool(field_value::switch(text).ok_or_else(|| format!("{name}: '{text}': true or false?"))?)
            }
            SwitchOrText => field_value::switch(text).map_or_else(|| Value::from(text.as_str()), Value::Bool),
            List | Words => {
                // The first takes the place of what the file has, the others join it.
                let before = if lists.iter().any(|list| list == name) { app.remove(name) } else { None };
                lists.push(name.to_owned());
                let mut list = before.and_then(|v| v.as_array().cloned()).unwrap_or_default();
                match kind {
                    Words => list.extend(
                        shell::words(text).map_err(|why| format!("{name}: {why}"))?.into_iter().map(Value::from),
                    ),
                    _ => list.push(Value::from(text.as_str())),
                }
                Value::Array(list)
            }
            Env => {
                let (variable, value) =
                    text.split_once('=').ok_or_else(|| format!("{name}: '{text}': NAME=VALUE is meant"))?;
                let mut env = app.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
                env.insert(variable.to_owned(), Value::from(value));
                Value::Object(env)
            }
        };
        app.insert(name.to_owned(), value);
    }
    Ok(())
}

impl Reader<'_> {
    /// Warns of what is asked for and not done.
    pub(crate) fn unsupported(&mut self) {
        let on = |value: &Value| {
            !matches!(value, Value::Bool(false)) && value != "false" && value != 0 && value != "0" && value != ""
        };
        for field in FIELDS {
            if let Missing(why) = field.fate
                && self.app.get(field.name).is_some_and(on)
            {
                self.warnings.push(format!("{}: {why}", field.name));
            }
        }
        if self.app.get("treekill").is_some_and(|v| !on(v)) {
            let why = "treekill: the signal goes to the program alone, but all that it leaves behind is ended with it";
            self.warnings.push(why.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
