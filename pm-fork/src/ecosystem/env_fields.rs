//! `env`, `env_NAME`, `env_file`, `filter_env`, `port`: the variables of the description, and those of the caller below them.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Reader, below, dotenv, field_value};

/// What is deployed to the chosen environment, over that the files of `env_file`, `env`, and the chosen `env_NAME`.
pub(crate) fn merged(reader: &mut Reader<'_>, cwd: &Path) -> Result<Map<String, Value>, String> {
    let mut merged = reader.context.deployed.clone().unwrap_or_default();
    merged.extend(files(reader, cwd)?);
    merged.extend(object(reader, "env")?.unwrap_or_default());
    if let Some(name) = &reader.context.env_name {
        merged.extend(object(reader, &format!("env_{name}"))?.unwrap_or_default());
    }
    Ok(merged)
}

/// The NAMEs of its `env_NAME`.
pub(crate) fn names(app: &Map<String, Value>) -> Vec<String> {
    let named =
        |key: &String| Some(key.strip_prefix("env_").filter(|_| super::fields::find(key).is_none())?.to_owned());
    app.keys().filter_map(named).collect()
}

/// The variables of the files, those of a later one over those of the ones before.
fn files(reader: &Reader<'_>, cwd: &Path) -> Result<Map<String, Value>, String> {
    let names = match reader.app.get("env_file") {
        // A path may have blanks.
        Some(Value::String(name)) => vec![name.clone()],
        _ => reader.words("env_file")?,
    };
    let mut all = Map::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        let path = below(cwd, &reader.expanded("env_file", name)?);
        let cannot = |why| format!("env_file: cannot read {}: {why}", path.display());
        let text = reader.machine.text(&path).map_err(cannot)?;
        all.extend(dotenv::parse(&text).into_iter().map(|(name, value)| (name, Value::from(value))));
    }
    Ok(all)
}

fn object(reader: &Reader<'_>, field: &str) -> Result<Option<Map<String, Value>>, String> {
    let wrong = |value: &Value| format!("{field}: {value}: an object with a value for each variable is meant");
    reader.app.get(field).map(|value| value.as_object().cloned().ok_or_else(|| wrong(value))).transpose()
}

/// The variables as text: numbers and switches as they are written, lists and objects as JSON.
pub(crate) fn variables(reader: &mut Reader<'_>, merged: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    for (name, value) in merged {
        let text = match value {
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) | Value::Bool(_) => value.to_string(),
            _ => field_value::plain(value).unwrap_or_default(),
        };
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            reader.warnings.push(format!("env: no variable can be '{}': it is left out", name.escape_debug()));
        } else {
            all.push((name.clone(), text));
        }
    }
    if let Some(port) = reader.text("port")?
        && !merged.contains_key("PORT")
    {
        all.push(("PORT".to_owned(), port));
    }
    Ok(all)
}

/// The caller's environment, as far as the description lets it through.
pub(crate) fn base(reader: &mut Reader<'_>) -> Result<Vec<(OsString, OsString)>, String> {
    let mut env = reader.context.env.clone();
    match reader.app.get("filter_env") {
        None | Some(Value::Bool(false)) => {}
        // Without a PATH not even our own tools would be found.
        Some(Value::Bool(true)) => env.retain(|(key, _)| key == "PATH"),
        // As in PM2, by parts of names: SECRET is MY_SECRET_2, too. An empty part would be in all.
        Some(_) => {
            let parts = reader.words("filter_env")?;
            let is_in = |key: &str| parts.iter().any(|part| !part.is_empty() && key.contains(part.as_str()));
            env.retain(|(key, _)| !is_in(&key.to_string_lossy()));
        }
    }
    Ok(env)
}
