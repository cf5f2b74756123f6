//! `pm`, as a person types it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::chain::Chain;
use crate::scene::Scene;

/// The Node that the apps run on.
const NODE: u32 = 24;

/// A place with `pm` in it.
#[derive(Debug)]
pub struct Front {
    /// The place.
    pub scene: Scene,
    pm: PathBuf,
}

/// What a call of `pm` left.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit code, or 128 and the signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// The lines on standard error, without those that tell after a second what is waited for: on a loaded machine any call
    /// may take that long.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let awaits = |line: &&str| line.contains(": info: waiting for ") || line.contains(": info: reloading '");
        self.err.lines().filter(move |line| !awaits(line))
    }
}

impl Default for Front {
    fn default() -> Self {
        Self::new()
    }
}

impl Front {
    /// A new place, with an `app.js` that answers its pid on `PORT`.
    ///
    /// # Panics
    /// When `pm` is not built.
    #[must_use]
    pub fn new() -> Self {
        Self::with_node(NODE)
    }

    /// The same with a Node of this major version.
    ///
    /// # Panics
    /// When `pm` is not built.
    #[must_use]
    pub fn with_node(major: u32) -> Self {
        let scene = Scene::with_node(major);
        let place = scene.dir().join("front");
        std::fs::create_dir(&place).expect("our own directory");
        std::os::unix::fs::symlink(crate::bins::tools().join("pm"), place.join("pm")).expect("a link");
        let _ = scene.file(
            "app.js",
            "require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT)\n\
             console.log('up')\n",
        );
        let _ = scene.file("idle.js", "console.log('idle'); console.error('oops'); setInterval(() => {}, 1e6)\n");
        Self { scene, pm: place.join("pm") }
    }

    /// The command `pm ...`; `$T` and the like are not replaced.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut words = vec![self.pm.to_str().expect("UTF-8")];
        words.extend(args);
        self.scene.command(&words)
    }

    /// Runs `pm ...` to its end.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn pm(&self, args: &[&str]) -> Said {
        self.with_input(args, "")
    }

    /// The same, for words without blanks.
    #[must_use]
    pub fn line(&self, line: &str) -> Said {
        self.pm(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs `pm ...`, which has to succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn ok(&self, line: &str) -> Said {
        self.ok_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The same, for arguments as they are.
    ///
    /// # Panics
    /// When it does not succeed.
    #[track_caller]
    pub fn ok_words(&self, args: &[&str]) -> Said {
        let said = self.pm(args);
        assert_eq!(said.code, 0, "pm {args:?}: {said:?}");
        said
    }

    /// Runs `pm ...` with this on its standard input.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn with_input(&self, args: &[&str], input: &str) -> Said {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("pm runs");
        // It need not read it.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("pm ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(0);
        Said { code: output.status.code().unwrap_or(128 + signal), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts `pm ...` and leaves it running.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Chain<'_> {
        Chain::spawn(&self.scene, self.command(args))
    }

    /// What PM2's list would say.
    ///
    /// # Panics
    /// When `pm jlist` fails, or is no JSON.
    #[must_use]
    #[track_caller]
    pub fn jlist(&self) -> Vec<Value> {
        let said = self.ok("jlist");
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.out))
    }

    /// `name:status` of every worker, sorted; `name:stopped` once for an app that does not run.
    #[must_use]
    #[track_caller]
    pub fn list(&self) -> Vec<String> {
        // As in PM2, a cluster that is stopped has an item for each worker that it had.
        let first = |item: &&Value| {
            let runs = item["pid"].as_u64() != Some(0) || item["pm2_env"]["status"] != "stopped";
            runs || item["pm2_env"]["NODE_APP_INSTANCE"].as_u64().unwrap_or(0) == 0
        };
        let word =
            |item: &Value, pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
        let mut list: Vec<_> = self
            .jlist()
            .iter()
            .filter(first)
            .map(|i| format!("{}:{}", word(i, "/name"), word(i, "/pm2_env/status")))
            .collect();
        list.sort_unstable();
        list
    }

    /// The processes of an app's workers.
    #[must_use]
    #[track_caller]
    pub fn pids(&self, app: &str) -> Vec<u32> {
        self.ok_words(&["pid", app]).out.lines().map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// The lines of `pm start ... --dry-run`.
    ///
    /// # Panics
    /// When it fails, or a line is no JSON.
    #[must_use]
    #[track_caller]
    pub fn plan(&self, args: &[&str]) -> Vec<Value> {
        let mut words = vec!["start", "--dry-run"];
        words.extend(args);
        let said = self.ok_words(&words);
        said.out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }
}
