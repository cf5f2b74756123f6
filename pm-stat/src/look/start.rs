//! `start.json`: how an app was started. It holds the app's whole environment, so what is not asked for is skipped as it
//! is read.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;

use pm_common::app::home;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The file's name in the app's directory.
pub(crate) const FILE: &str = "start.json";
/// The namespace of an app that was given none.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// What every look at an app needs of its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) id: Option<u64>,
    pub(crate) namespace: Option<String>,
    /// The name that it was given, where no directory can have that.
    pub(crate) given_name: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) script: Option<String>,
    /// Where the output goes, if not to the app's own directory.
    pub(crate) out: Option<String>,
    pub(crate) err: Option<String>,
}

impl Start {
    /// `None`: the app in `dir` was not put into the background, or the file is not to be understood.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        Self::parse(&read(&dir.join(FILE)).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        serde_json::Deserializer::from_str(text).deserialize_map(Fields).ok()
    }

    fn set(&mut self, key: &str, value: &Value) {
        match key {
            "id" => self.id = value.as_u64(),
            "namespace" => self.namespace = text(value).filter(|name| !name.is_empty()),
            "given_name" => self.given_name = text(value),
            "mode" => self.mode = text(value),
            "script" => self.script = text(value),
            "out" => self.out = text(value),
            "err" => self.err = text(value),
            _ => {}
        }
    }
}

/// Takes the fields of `Start` out of an object.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Start;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Start, A::Error> {
        let mut start = Start::default();
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if matches!(key.as_ref(), "id" | "namespace" | "given_name" | "mode" | "script" | "out" | "err") {
                start.set(&key, &map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(start)
    }
}

/// All of the file of the app in `dir`, the environment only if asked for; empty if there is none.
pub(crate) fn whole(dir: &Path, with_env: bool) -> Map<String, Value> {
    let text = read(&dir.join(FILE)).unwrap_or_default();
    serde_json::Deserializer::from_str(&text).deserialize_map(Whole { with_env }).unwrap_or_default()
}

/// Takes an object, with or without the environment in it.
struct Whole {
    with_env: bool,
}

impl<'de> Visitor<'de> for Whole {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Map<String, Value>, A::Error> {
        let mut whole = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "env" && !self.with_env {
                map.next_value::<IgnoredAny>()?;
            } else {
                whole.insert(key, map.next_value()?);
            }
        }
        Ok(whole)
    }
}

/// A file of an app's directory as text; a FIFO or a link of that name leads nobody astray.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    String::from_utf8(home::read_file(dir, name, home::LARGEST_START)?).map_err(io::Error::other)
}

/// A value as text: a string, or the bytes of one that is not UTF-8, as `{"bytes": [..]}`.
pub(crate) fn text(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let bytes = value.get("bytes")?.as_array()?.iter().map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok()));
    Some(String::from_utf8_lossy(&bytes.collect::<Option<Vec<u8>>>()?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_read_and_the_rest_skipped() {
        let text = "{\"schema\":1,\"id\":3,\"name\":\"w\\u00e4\",\"namespace\":\"back\",\"mode\":\"cluster\",\
                    \"argv\":[\"a\",{\"bytes\":[255]}],\"env\":{\"A\":{\"bytes\":[1]},\"B\":\"}\"},\"out\":null,\
                    \"err\":{\"bytes\":[47,120]},\"script\":\"/x.js\",\"la\\u0074er\":[[]]}";
        let wanted = Start {
            id: Some(3),
            namespace: Some("back".to_owned()),
            given_name: None,
            mode: Some("cluster".to_owned()),
            script: Some("/x.js".to_owned()),
            out: None,
            err: Some("/x".to_owned()),
        };
        assert_eq!(Start::parse(text), Some(wanted));
        assert_eq!(Start::parse("{}"), Some(Start::default()));
        for broken in ["", "[]", "{\"id\":3", "7"] {
            assert_eq!(Start::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_environment_is_read_only_if_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(whole(dir.path(), true).is_empty(), "no file");
        std::fs::write(dir.path().join(FILE), "{\"env\":{\"A\":\"1\"},\"cwd\":\"/x\"}").expect("written");
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
