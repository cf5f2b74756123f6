//! Which files an app is started anew for: `watch`, `ignore_watch`, `watch_delay`, `watch_options`.

use std::path::Path;

use pm_common::cli::{globs, shell};
use serde_json::{Map, Value};

use super::field_value::{millis, plain};
use super::{Reader, below};

/// The options of pm-restart, and warnings for what is asked for and not done.
pub(crate) fn options(reader: &mut Reader<'_>, cwd: &Path) -> Result<Vec<String>, String> {
    let options = reader.app.get("watch_options").cloned().unwrap_or_default();
    let on = |key: &str| options.get(key) == Some(&Value::Bool(true));
    if on("usePolling") {
        let why =
            "watch_options: usePolling: nothing is polled: what another machine changes (NFS, some mounts) goes unseen";
        reader.warnings.push(why.to_owned());
    }
    if on("followSymlinks") {
        let why =
            "watch_options: followSymlinks: links in a directory are not followed: name what they lead to in watch";
        reader.warnings.push(why.to_owned());
    }
    for field in ["ignore_watch", "watch_delay"] {
        // Who has switched it off knows.
        if reader.app.contains_key(field) && !reader.app.contains_key("watch") {
            reader.warnings.push(format!("{field}: does nothing without watch"));
        }
    }
    words(reader.app, cwd)
}

/// The options of pm-restart for a description; none, if it watches nothing.
///
/// # Errors
/// A value is none.
pub(crate) fn words(app: &Map<String, Value>, cwd: &Path) -> Result<Vec<String>, String> {
    let Some(paths) = paths(app, cwd)? else { return Ok(Vec::new()) };
    let mut words: Vec<String> = paths.into_iter().flat_map(|path| ["--watch".to_owned(), path]).collect();
    let more = app.get("watch_options").and_then(|options| options.get("ignored"));
    for (field, value) in [("ignore_watch", app.get("ignore_watch")), ("watch_options: ignored", more)] {
        for pattern in patterns(field, value)? {
            globs::check(&pattern).map_err(|why| format!("{field}: '{pattern}': {why}"))?;
            words.extend(["--ignore".to_owned(), pattern]);
        }
    }
    if let Some(value) = app.get("watch_delay") {
        let wrong = || format!("watch_delay: {value}: milliseconds, or a time such as 5s");
        let delay = plain(value).and_then(|text| millis(&text)).ok_or_else(wrong)?;
        words.extend((delay > 0).then(|| ["--watch-delay".to_owned(), format!("{delay}ms")]).into_iter().flatten());
    }
    Ok(words)
}

/// What is watched; `true` and an empty list are the app's directory, as in PM2.
fn paths(app: &Map<String, Value>, cwd: &Path) -> Result<Option<Vec<String>>, String> {
    let list = match app.get("watch") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) if list.is_empty() => vec![Value::Bool(true)],
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let mut paths = Vec::new();
    for value in &list {
        match (value, plain(value).as_deref()) {
            (Value::Bool(false), _) | (_, Some("" | "false" | "0")) => {}
            (Value::Bool(true), _) | (_, Some("true" | "1")) => paths.push(cwd.to_string_lossy().into_owned()),
            (_, Some(path)) => paths.push(below(cwd, path).to_string_lossy().into_owned()),
            (_, None) => return Err(format!("watch: {value}: true, a path or a list of paths?")),
        }
    }
    Ok(Some(paths).filter(|paths| !paths.is_empty()))
}

/// The patterns of a field: a list, or a line of them.
fn patterns(field: &str, value: Option<&Value>) -> Result<Vec<String>, String> {
    let list = match value {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(Vec::new()),
        Some(Value::String(line)) => return shell::words(line).map_err(|why| format!("{field}: {why}")),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    // What JSON makes of a regular expression.
    let none =
        |value: &Value| format!("{field}: {value}: patterns such as '*.tmp' are meant, and no regular expression");
    list.iter().map(|value| plain(value).ok_or_else(|| none(value))).collect()
}
