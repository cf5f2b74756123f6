//! What is run when something happens to an app: `on`, an object with a command, or a list of them, for each event.

use std::ffi::OsString;

use pm_common::cli::policy_options::hook_of;
use pm_common::cli::shell;
use serde_json::Value;

use super::Reader;

/// The options of pm-restart; `as_user`: what has a program run as the app's user, where that is another.
pub(crate) fn options(reader: &Reader<'_>, as_user: &[OsString]) -> Result<Vec<String>, String> {
    let events = match reader.app.get("on") {
        None | Some(Value::Bool(false)) => return Ok(Vec::new()),
        Some(Value::Object(events)) => events,
        Some(other) => return Err(format!("on: {other}: an object such as {{ crash: './alert.sh' }} is meant")),
    };
    let mut options = Vec::new();
    for (event, commands) in events {
        let commands = match commands {
            Value::Null | Value::Bool(false) => continue,
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        for command in commands {
            let command = command.as_str().ok_or_else(|| format!("on: {event}: {command} is no command"))?;
            let event = event.replace('_', "-");
            hook_of(&format!("{event}={command}")).map_err(|why| format!("on: '{event}': {why}"))?;
            options.extend(["--on".to_owned(), format!("{event}={}", as_its_user(command, as_user))]);
        }
    }
    Ok(options)
}

/// The supervisors keep their own user, and a hook is the app's.
fn as_its_user(command: &str, as_user: &[OsString]) -> String {
    if as_user.is_empty() {
        return command.to_owned();
    }
    let words = as_user.iter().map(|word| word.to_string_lossy().into_owned());
    let all: Vec<_> = words.chain(["sh", "-c", command].map(str::to_owned)).collect();
    all.iter().map(|word| shell::quoted(word)).collect::<Vec<_>>().join(" ")
}
