//! What a look at an app needs of its `start.json`, which holds its whole environment: what is not asked for is skipped as
//! it is read. Where there are a thousand apps to list, that is most of the work.

use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::files::read_file;
use super::start_json::{LARGEST, START, after_of, unraw};
use crate::policy::app_order::After;

/// What every look at an app needs of how it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Brief {
    /// Its number.
    pub id: Option<u64>,
    /// Its group of apps, if not the default one.
    pub namespace: Option<String>,
    /// The name that it was given, where no directory can have that.
    pub given_name: Option<String>,
    /// `cluster` or `fork`.
    pub mode: Option<String>,
    /// The script that it runs.
    #[serde(deserialize_with = "path")]
    pub script: Option<String>,
    /// Where the output goes, if not to the app's own directory.
    #[serde(deserialize_with = "path")]
    pub out: Option<String>,
    /// Where its errors go.
    #[serde(deserialize_with = "path")]
    pub err: Option<String>,
    /// The apps that it starts after.
    #[serde(deserialize_with = "after")]
    pub after: Vec<After>,
}

impl Brief {
    /// `None`: the app in `dir` was not put into the background, or the file is not to be understood.
    #[must_use]
    pub fn read(dir: &Path) -> Option<Self> {
        Self::parse(&read(dir))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // An array would be taken for the fields in their order.
        let object = text.trim_ascii_start().starts_with(b"{");
        let brief: Self = serde_json::from_slice(text).ok().filter(|_| object)?;
        Some(Self { namespace: brief.namespace.filter(|name| !name.is_empty()), ..brief })
    }
}

/// All of the file of the app in `dir`, the environment only if asked for; empty if there is none.
#[must_use]
pub fn whole(dir: &Path, with_env: bool) -> Map<String, Value> {
    let text = read(dir);
    if with_env {
        return serde_json::from_slice(&text).unwrap_or_default();
    }
    serde_json::from_slice(&text).map(|all: WithoutEnv| all.rest).unwrap_or_default()
}

/// A file of which the environment is skipped.
#[derive(Deserialize)]
struct WithoutEnv {
    #[serde(default, rename = "env")]
    _env: IgnoredAny,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The file of the app in `dir`; empty where it cannot be read.
fn read(dir: &Path) -> Vec<u8> {
    read_file(dir, START, LARGEST).unwrap_or_default()
}

/// A value as text: a string, or the bytes of one that is not UTF-8, as `{"bytes": [..]}`.
#[must_use]
pub fn text(value: &Value) -> Option<String> {
    Some(unraw(value)?.to_string_lossy().into_owned())
}

fn path<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Value::deserialize(value).map(|value| text(&value))
}

fn after<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<After>, D::Error> {
    Value::deserialize(value).map(|value| after_of(&value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::app_order::Stage;

    #[test]
    fn what_is_needed_is_read_and_the_rest_skipped() {
        let text = "{\"schema\":1,\"id\":3,\"name\":\"w\\u00e4\",\"namespace\":\"back\",\"mode\":\"cluster\",\
                    \"argv\":[\"a\",{\"bytes\":[255]}],\"env\":{\"A\":{\"bytes\":[1]},\"B\":\"}\"},\"out\":null,\
                    \"err\":{\"bytes\":[47,120]},\"after\":{\"db\":\"ready\"},\"script\":\"/x.js\",\"la\\u0074er\":[[]]}";
        let wanted = Brief {
            id: Some(3),
            namespace: Some("back".to_owned()),
            given_name: None,
            mode: Some("cluster".to_owned()),
            script: Some("/x.js".to_owned()),
            out: None,
            err: Some("/x".to_owned()),
            after: vec![After { app: "db".to_owned(), stage: Stage::Ready }],
        };
        assert_eq!(Brief::parse(text.as_bytes()), Some(wanted));
        assert_eq!(Brief::parse(b"{}"), Some(Brief::default()));
        for broken in ["", "[]", "{\"id\":3", "7"].map(str::as_bytes) {
            assert_eq!(Brief::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn the_environment_is_read_only_if_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(whole(dir.path(), true).is_empty(), "no file");
        std::fs::write(dir.path().join(START), "{\"env\":{\"A\":\"1\"},\"cwd\":\"/x\"}").expect("written");
        let keys = |with_env| whole(dir.path(), with_env).keys().cloned().collect::<Vec<_>>();
        assert_eq!((keys(false), keys(true)), (vec!["cwd".to_owned()], vec!["cwd".to_owned(), "env".to_owned()]));
    }

    #[test]
    fn a_text_may_be_bytes() {
        assert_eq!(text(&serde_json::json!({"bytes": [104, 255]})), Some("h\u{fffd}".to_owned()));
        assert_eq!(text(&serde_json::json!({"bytes": [256]})), None);
        assert_eq!(text(&Value::Null), None);
    }
}
