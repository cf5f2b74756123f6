//! `start.json` in an app's directory: how it was started, and can be started again. It holds the app's whole
//! environment, so it is for its user alone.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::files::{Folder, replace_file};
use crate::cli::{chain, tables};
use crate::policy::app_order::{After, Stage};

/// The file's name.
pub const START: &str = "start.json";
/// The file with the number of workers that was asked for after the start.
pub const WORKERS: &str = "workers";
/// The namespace of an app that was given none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// How our own file begins.
const ID_FIRST: &str = "{\"id\":";
/// As much of the file as an id can need.
const HEAD: u64 = 32;
/// The most that is read of it, in bytes.
pub const LARGEST: u64 = 64 << 20;
/// The version of its form.
const SCHEMA: u64 = 1;

/// Whether the app's workers are pm-cluster's, or it is one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// One process, under a pm-restart or alone.
    #[default]
    Fork,
    /// Processes of a pm-cluster that share nothing: PM2's fork mode with several instances.
    Apart,
    /// The workers of a pm-cluster.
    Cluster,
}

impl Mode {
    /// What a chain makes of the app.
    #[must_use]
    pub fn of(chain: &[OsString]) -> Self {
        match chain::links(chain).0.into_iter().find(|link| link.tool.name == tables::PM_CLUSTER.name) {
            None => Self::Fork,
            Some(link) if link.value("apart").is_some() => Self::Apart,
            Some(_) => Self::Cluster,
        }
    }

    /// The word that stands in files and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fork | Self::Apart => "fork",
            Self::Cluster => "cluster",
        }
    }
}

/// How an app was started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Start {
    /// Its number, for people and for programs that know PM2's; `None`: it has not got one yet.
    pub id: Option<u64>,
    /// Its name: that of its directory.
    pub name: String,
    /// The name that its description gives it, where no directory can have that: it is found by this one, too.
    pub given_name: Option<String>,
    /// The group of apps that it belongs to.
    pub namespace: String,
    /// What its chain makes of it.
    pub mode: Mode,
    /// The chain.
    pub argv: Vec<OsString>,
    /// The directory that it runs in, as it was named: symbolic links in it are not resolved.
    pub cwd: PathBuf,
    /// The environment of the chain, without what pm itself sets.
    pub env: Vec<(OsString, OsString)>,
    /// What its description sets in the environment: the contents of `app.env`; `None` without a description.
    pub app_env: Option<Vec<(String, String)>>,
    /// Where its output goes, if not to its own directory.
    pub out: Option<PathBuf>,
    /// Where its errors go, if not to its own directory.
    pub err: Option<PathBuf>,
    /// The script that it runs, as an absolute path, if that is known.
    pub script: Option<PathBuf>,
    /// What a description's script is run by (`none`: itself), for programs that know PM2's list.
    pub interpreter: Option<String>,
    /// The command that it runs, where that is no script of its own.
    pub command: Option<PathBuf>,
    /// The file with its description.
    pub config: Option<PathBuf>,
    /// The description, in PM2's words.
    pub app: Option<Value>,
    /// The apps that it starts after.
    pub after: Vec<After>,
    /// When it was last started, in milliseconds of the wall clock since 1970.
    pub started_at_ms: u64,
}

impl Start {
    /// The name that it was given.
    #[must_use]
    pub fn called(&self) -> &str {
        self.given_name.as_deref().unwrap_or(&self.name)
    }

    /// How the app in `dir` was started; `None`: it has no `start.json`.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        Self::read_in(Folder::open(dir))
    }

    /// Reads it to start the app: only ours. In a PM_HOME of several users, one could have another run what he likes.
    ///
    /// # Errors
    /// As [`Start::read`]; or the directory is another user's.
    pub fn read_ours(dir: &Path) -> io::Result<Option<Self>> {
        Self::read_in(Folder::open(dir).and_then(Folder::only_ours))
    }

    fn read_in(folder: io::Result<Folder>) -> io::Result<Option<Self>> {
        let text = match folder.and_then(|folder| folder.read(START, LARGEST)) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            other => other?,
        };
        let value = serde_json::from_slice(&text).map_err(io::Error::from)?;
        let start = Self::from_json(&value);
        start.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a start.json of this version"))
    }

    /// Replaces the `start.json` of the app in `dir`.
    ///
    /// # Errors
    /// It cannot be written; the one before it is as it was.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        replace_file(dir, START, self.to_line().as_bytes())
    }

    /// The line with the id first, where [`id_of`] finds it without reading a whole environment.
    fn to_line(&self) -> String {
        let mut rest = self.to_json();
        if let (Some(id), Some(fields)) = (self.id, rest.as_object_mut()) {
            fields.remove("id");
            return format!("{ID_FIRST}{id},{}\n", rest.to_string().trim_start_matches('{'));
        }
        format!("{rest}\n")
    }

    /// The app's start as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let env: Map<_, _> =
            self.env.iter().filter_map(|(key, value)| Some((key.to_str()?.to_owned(), raw(value)))).collect();
        let app_env = self.app_env.as_ref().map(|all| {
            let pairs = all.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
            pairs.collect::<Map<_, _>>()
        });
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| raw(path.as_os_str()));
        let mut line = json!({
            "schema": SCHEMA, "id": self.id, "name": self.name, "namespace": self.namespace,
            "mode": self.mode.word(), "argv": self.argv.iter().map(|word| raw(word)).collect::<Vec<_>>(),
            "cwd": raw(self.cwd.as_os_str()), "env": env, "app_env": app_env, "out": path(&self.out),
            "err": path(&self.err), "script": path(&self.script), "config": path(&self.config), "app": self.app,
            "started_at_ms": self.started_at_ms,
        });
        let more = [
            ("given_name", self.given_name.as_deref().map(Value::from)),
            ("interpreter", self.interpreter.as_deref().map(Value::from)),
            ("command", path(&self.command)),
            ("after", (!self.after.is_empty()).then(|| after_to_json(&self.after))),
        ];
        more.into_iter().for_each(|(key, value)| value.into_iter().for_each(|value| line[key] = value));
        line
    }

    /// The value of such a line; `None` if it is something else, or of a later version.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        if value.get("schema")?.as_u64()? > SCHEMA {
            return None;
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let path = |key: &str| value.get(key).and_then(unraw).map(PathBuf::from);
        let pair = |(key, value): (&String, &Value)| Some((key.into(), unraw(value)?));
        let text_pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        let app_env = value.get("app_env").and_then(Value::as_object);
        let argv: Vec<_> = value.get("argv")?.as_array()?.iter().map(unraw).collect::<Option<_>>()?;
        Some(Self {
            id: value.get("id").and_then(Value::as_u64),
            name: text("name")?.to_owned(),
            given_name: text("given_name").map(str::to_owned),
            interpreter: text("interpreter").map(str::to_owned),
            command: path("command"),
            namespace: text("namespace").unwrap_or(DEFAULT_NAMESPACE).to_owned(),
            mode: if text("mode") == Some("cluster") { Mode::Cluster } else { Mode::of(&argv) },
            argv,
            cwd: path("cwd")?,
            env: value.get("env")?.as_object()?.iter().map(pair).collect::<Option<_>>()?,
            app_env: app_env
                .map(|map| map.iter().map(text_pair).collect::<Option<_>>())
                .map_or(Some(None), |m| m.map(Some))?,
            out: path("out"),
            err: path("err"),
            script: path("script"),
            config: path("config"),
            app: value.get("app").filter(|app| app.is_object()).cloned(),
            after: value.get("after").map(after_of).unwrap_or_default(),
            started_at_ms: value.get("started_at_ms").and_then(Value::as_u64).unwrap_or(0),
        })
    }
}

/// The id of the app in `dir`, if it has one; as fast as it goes, for there may be a thousand to look at.
pub(super) fn id_of(dir: &Path) -> Option<u64> {
    let mut head = String::new();
    let file = Folder::open(dir).and_then(|folder| folder.open_file(START)).ok()?;
    file.take(HEAD).read_to_string(&mut head).ok();
    let first = head.strip_prefix(ID_FIRST).and_then(|rest| rest.split_once(',')?.0.parse().ok());
    first.or_else(|| Start::read(dir).ok().flatten()?.id)
}

/// `{"db":"ready"}`.
fn after_to_json(after: &[After]) -> Value {
    after.iter().map(|one| (one.app.clone(), Value::from(one.stage.word()))).collect::<Map<_, _>>().into()
}

/// The apps that such a value names; a stage of a later version is the longer wait.
pub(super) fn after_of(value: &Value) -> Vec<After> {
    let stage = |value: &Value| value.as_str().and_then(Stage::from_word).unwrap_or(Stage::Ready);
    let of = |(app, value): (&String, &Value)| After { app: app.clone(), stage: stage(value) };
    value.as_object().into_iter().flatten().map(of).collect()
}

/// Text as a string, other bytes as `{"bytes":[..]}`.
fn raw(text: &OsStr) -> Value {
    text.to_str().map_or_else(|| json!({ "bytes": text.as_bytes() }), Value::from)
}

pub(super) fn unraw(value: &Value) -> Option<OsString> {
    if let Some(text) = value.as_str() {
        return Some(text.into());
    }
    let byte = |value: &Value| u8::try_from(value.as_u64()?).ok();
    value.get("bytes")?.as_array()?.iter().map(byte).collect::<Option<Vec<_>>>().map(OsString::from_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn what_was_written_is_read_whatever_bytes_are_in_it() {
        let place = tempfile::tempdir().expect("a directory");
        let odd = OsString::from_vec(vec![b'/', 0xff, b'\n', b'"']);
        let start = Start {
            id: Some(3),
            name: "my größe".to_owned(),
            given_name: Some("my/größe".to_owned()),
            interpreter: Some("none".to_owned()),
            command: Some(odd.clone().into()),
            namespace: "default".to_owned(),
            mode: Mode::Cluster,
            argv: vec!["node".into(), odd.clone()],
            cwd: odd.clone().into(),
            env: vec![("A".into(), odd.clone()), ("B".into(), "x\ny".into())],
            app_env: Some(vec![("C".to_owned(), " d \n".to_owned())]),
            out: Some(odd.clone().into()),
            err: None,
            script: Some("/a b/app.js".into()),
            config: None,
            app: Some(json!({"script": "app.js"})),
            after: vec![After { app: "db".to_owned(), stage: Stage::Started }],
            started_at_ms: 5,
        };
        assert_eq!(Start::read(place.path()).expect("no error"), None);
        start.write(place.path()).expect("written");
        assert_eq!(Start::read(place.path()).expect("read"), Some(start.clone()));
        assert_eq!(id_of(place.path()), Some(3));
        std::fs::write(place.path().join(START), start.to_json().to_string()).expect("written");
        assert_eq!(id_of(place.path()), Some(3), "of a file that was written otherwise, too");
        Start { id: None, ..start }.write(place.path()).expect("written");
        assert_eq!(id_of(place.path()), None);
        std::fs::write(place.path().join(START), "{").expect("written");
        assert!(Start::read(place.path()).is_err());
    }

    #[test]
    fn a_chain_with_a_cluster_in_it_is_in_cluster_mode() {
        assert_eq!(
            (Mode::of(&words("a /b/pm-cluster c")), Mode::of(&words("pm-restart --name pm-cluster c"))),
            (Mode::Cluster, Mode::Fork)
        );
        assert_eq!(Mode::of(&words("pm-restart pm-cluster -n 3 --apart x")), Mode::Apart);
    }
}
