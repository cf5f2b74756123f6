//! Files with descriptions: JSON, what `--save` wrote, YAML, and what only Node can read.

use std::io::Read as _;
use std::path::Path;

use pm_common::app::home::{self, Start};
use pm_common::cli::report::{self, Failure, OrFail as _};
use serde_json::Value;

mod javascript;
mod yaml;

/// What a file holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Contents {
    /// Descriptions of apps, and what the file says of deployments.
    Described(Vec<Value>, Value),
    /// Apps as `--save` wrote them.
    Saved(Vec<Saved>),
}

/// An app as it was when it was saved.
#[derive(Debug, PartialEq)]
pub(crate) struct Saved {
    pub(crate) start: Start,
    /// Whether it ran.
    pub(crate) online: bool,
    /// How many workers it was to have.
    pub(crate) workers: Option<u32>,
}

/// The most that is read, in bytes: a list of a thousand apps with their environments has some ten million.
pub(crate) const LARGEST: u64 = home::LARGEST_START;

/// Reads a file, or stdin for `-`.
///
/// # Errors
/// 125: it cannot be read, or holds no descriptions; a saved file that is not whole.
pub(crate) fn read(file: &Path) -> Result<Contents, Failure> {
    let (name, ending) = (file.display(), file.extension().and_then(|e| e.to_str()).unwrap_or_default());
    let value = match ending {
        "toml" => return Err(Failure::own(format!("{name}: TOML is not read: write it as JSON, YAML or JavaScript"))),
        "js" | "cjs" | "mjs" | "ts" | "mts" | "cts" => {
            // Node would say the same in twenty lines.
            bytes(file)?;
            javascript::module(file)?
        }
        _ => {
            let (text, owner) = text(file)?;
            if text.trim().is_empty() {
                let what = if owner.is_some() { "it is empty" } else { "nothing came on stdin" };
                return Err(Failure::own(format!("{name}: {what}: a description of apps is read from it")));
            }
            if matches!(ending, "yml" | "yaml") {
                yaml::parse(&text).map_err(|why| Failure::own(format!("{name}: {why}")))?
            } else {
                match json(&text).map_err(|why| Failure::own(format!("{name}: {why}")))? {
                    Json::Saved(saved) => return check_list_is_ours(file, owner).map(|()| Contents::Saved(saved)),
                    Json::Value(value) => value,
                    Json::Not(error) if text.trim_start().starts_with(['{', '[', '/']) => {
                        javascript::notation(file, &text).map_err(|_| Failure::own(format!("{name}: {error}")))?
                    }
                    Json::Not(error) => return Err(Failure::own(format!("{name}: {error}"))),
                }
            }
        }
    };
    let deploy = value.get("deploy").cloned().unwrap_or_default();
    apps(value).map(|apps| Contents::Described(apps, deploy)).map_err(|why| Failure::own(format!("{name}: {why}")))
}

/// A saved list runs without a further look, at boot too: one of another user's could lie in a PM_HOME that users share.
fn check_list_is_ours(file: &Path, owner: Option<u32>) -> Result<(), Failure> {
    match owner.filter(|&uid| uid != 0 && uid != nix::unistd::geteuid().as_raw()) {
        None => Ok(()),
        Some(uid) => Err(Failure::own(format!(
            "{} is a list of user {uid}'s, and nothing of it is started: if it is right, pm-fork -f - < {0}",
            file.display()
        ))),
    }
}

/// What is in a file, and whose it is; stdin is nobody's.
fn text(file: &Path) -> Result<(String, Option<u32>), Failure> {
    let (bytes, owner) = if file == Path::new("-") { (stdin()?, None) } else { bytes(file)? };
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::own(format!("cannot read {}: it is no UTF-8", file.display())))?;
    // Some editors begin a file with a byte order mark.
    Ok((text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text), owner))
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes).or_fail(|| "cannot read stdin".to_owned())?;
    match u64::try_from(bytes.len()) {
        Ok(..=LARGEST) => Ok(bytes),
        _ => Err(Failure::own(format!("cannot read stdin: larger than {} MiB", LARGEST >> 20))),
    }
}

fn bytes(file: &Path) -> Result<(Vec<u8>, Option<u32>), Failure> {
    let read = home::read_regular_of(file, LARGEST).map(|(bytes, owner)| (bytes, Some(owner)));
    read.or_fail(|| format!("cannot read {}", file.display()))
}

/// What text of JSON is.
enum Json {
    Value(Value),
    Saved(Vec<Saved>),
    /// None, and why.
    Not(String),
}

/// Tells one value from the lines of `--save`.
fn json(text: &str) -> Result<Json, String> {
    let error = match serde_json::from_str::<Value>(text) {
        Ok(value) if is_saved(&value) => return saved(text).map(Json::Saved),
        Ok(value) => return Ok(Json::Value(value)),
        Err(error) => error,
    };
    let first = text.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
    // A saved file that was cut in its first line looks like this, too.
    if first.is_some_and(|value| is_saved(&value)) || text.starts_with("{\"app\":") {
        return saved(text).map(Json::Saved);
    }
    Ok(Json::Not(error.to_string()))
}

fn is_saved(value: &Value) -> bool {
    value.get("saved").is_some() || (value.get("schema").is_some() && value.get("argv").is_some())
}

/// The apps of a saved file, which must be whole.
fn saved(text: &str) -> Result<Vec<Saved>, String> {
    let corrupt = |why: &str| format!("the saved file is not whole: {why}; nothing is started");
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.pop().and_then(|line| serde_json::from_str::<Value>(line).ok());
    let count = last.as_ref().and_then(|value| value.get("saved")).and_then(Value::as_u64);
    if count != u64::try_from(lines.len()).ok() || !text.ends_with('\n') {
        return Err(corrupt("its last line does not say how many there are"));
    }
    let parsed = lines.iter().map(|line| serde_json::from_str(line).ok().as_ref().and_then(Saved::of));
    parsed.enumerate().map(|(at, app)| app.ok_or_else(|| corrupt(&format!("line {}", at + 1)))).collect()
}

impl Saved {
    fn of(line: &Value) -> Option<Self> {
        let workers = line.get("workers").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        Some(Self { start: Start::from_json(line)?, online: line.get("state")? == "online", workers })
    }
}

/// The apps of an ecosystem: an object with `apps`, a list, or one app.
fn apps(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(apps) => Ok(apps),
        Value::Object(mut map) => match map.remove("apps").or_else(|| map.remove("pm2")) {
            Some(apps @ (Value::Array(_) | Value::Object(_))) => {
                map.keys().filter(|key| *key != "deploy").for_each(|key| {
                    report::warning(format_args!("{}: not known beside 'apps', it is ignored", key.escape_debug()));
                });
                self::apps(apps)
            }
            Some(other) => Err(format!("apps: a list is meant, not {other}")),
            None if map.contains_key("app") && !map.contains_key("script") => {
                Err("app: no such field; is 'apps' meant?".to_owned())
            }
            None if map.contains_key("deploy") && map.len() == 1 => Ok(Vec::new()),
            None if map.is_empty() => Err("it describes nothing: where is 'apps', or module.exports?".to_owned()),
            None => Ok(vec![Value::Object(map)]),
        },
        other => {
            let kind = match other {
                Value::Null => "nothing (does it export anything?)",
                Value::Bool(_) => "a switch",
                Value::Number(_) => "a number",
                _ => "text",
            };
            Err(format!("an app, a list of apps, or an object with 'apps' is meant, not {kind}"))
        }
    }
}

/// The list of `--save` on stdin, if it is one and whole.
///
/// # Errors
/// 125: it is not.
pub(crate) fn saved_list() -> Result<String, Failure> {
    let (text, _) = text(Path::new("-"))?;
    match saved(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(Failure::own("stdin is no list of --save, or is not whole: nothing is saved")),
    }
}

#[cfg(test)]
mod tests;
