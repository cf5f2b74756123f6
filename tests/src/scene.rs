//! The private place of one test: a directory, a PM_HOME, a port, and a mark on every process started from it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::chain::Chain;
use crate::{bins, ports, proc, wait};

/// Variables of the machine that would change what a chain does.
const FOREIGN: [&str; 12] = [
    "CARGO_TARGET_DIR",
    "NODE_OPTIONS",
    "NODE_CLUSTER_SCHED_POLICY",
    "NODE_CHANNEL_FD",
    "NODE_UNIQUE_ID",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "PM_POLICY",
];
const MARK: &str = "CHAIN_TEST_MARK";

/// The private place of one test; what was started from it dies with it.
#[derive(Debug)]
pub struct Scene {
    dir: TempDir,
    mark: String,
    env: BTreeMap<String, OsString>,
    /// The port that the fixtures listen on (`PORT`).
    pub port: u16,
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Scene {
    /// A new place; the fixtures find their port in `PORT`.
    ///
    /// # Panics
    /// When the directory cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = TempDir::with_prefix("pm-test-").expect("a temporary directory");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mark = format!("{}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed), now.as_nanos());
        let port = ports::free();
        let mut scene = Self { dir, mark, env: BTreeMap::new(), port };
        scene.set("PATH", scene.path_with(&bins::tools(), None));
        let home = scene.dir().to_owned();
        scene.set("PM_HOME", home.join("pm"));
        scene.set("HOME", home);
        scene.set(MARK, scene.mark.clone());
        scene.set("PORT", port.to_string());
        scene
    }

    /// The same with a Node of this major version, and the packages fetched beside it.
    #[must_use]
    pub fn with_node(major: u32) -> Self {
        let mut scene = Self::new();
        scene.set("PATH", scene.path_with(&bins::tools(), Some(bins::node(major))));
        scene.set("NODE_PATH", bins::cache());
        scene
    }

    /// Makes a self-signed certificate and names it in `TLS_KEY` and `TLS_CERT`.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn with_certificate(mut self) -> Self {
        let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
        let mut words: Vec<&str> = std::iter::once("openssl").chain(line.split(' ')).collect();
        words.extend(["-keyout", "key.pem", "-out", "cert.pem"]);
        let output = self.command(&words).output().expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for (name, file) in [("TLS_KEY", "key.pem"), ("TLS_CERT", "cert.pem")] {
            let path = self.dir().join(file);
            self.set(name, path);
        }
        self
    }

    fn path_with(&self, tools: &Path, node: Option<PathBuf>) -> OsString {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let parts = std::iter::once(tools.to_owned()).chain(node).chain(std::env::split_paths(&old));
        std::env::join_paths(parts).expect("no colon in a path")
    }

    /// Sets a variable for what is started from now on.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.insert(name.to_owned(), value.into());
    }

    /// The same, for a chain of calls.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.set(name, value);
        self
    }

    /// The test's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Lets other users write into the test's directory.
    ///
    /// # Panics
    /// When it cannot.
    pub fn open_to_all(&self) {
        std::fs::set_permissions(self.dir(), PermissionsExt::from_mode(0o777)).expect("our own directory");
    }

    /// Writes a file into the test's directory, executable, and names it.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir().join(name);
        std::fs::write(&path, text).expect("our own directory");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("our own file");
        path
    }

    /// Gives a command the environment and the directory of this place.
    pub fn apply(&self, command: &mut Command) {
        for name in FOREIGN.iter().chain(&["PM_APP", "PM_DIR", "PM_SLOT"]) {
            command.env_remove(name);
        }
        command.envs(&self.env).current_dir(self.dir());
    }

    /// Starts a command line: words between blanks, `$F` the fixtures, `$E` the examples, `$T` the test's directory.
    #[must_use]
    pub fn start(&self, line: &str) -> Chain<'_> {
        let words: Vec<String> = line.split_whitespace().map(|w| self.expand(w)).collect();
        self.start_words(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts a program with its arguments as they are.
    #[must_use]
    pub fn start_words(&self, words: &[&str]) -> Chain<'_> {
        Chain::spawn(self, self.command(words))
    }

    /// The command that `start_words` would start.
    ///
    /// # Panics
    /// Without a word.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let (program, args) = words.split_first().expect("a program");
        let tool = bins::tools().join(program);
        let mut command = Command::new(if tool.is_file() { tool.as_os_str() } else { program.as_ref() });
        command.args(args).stdin(Stdio::null());
        self.apply(&mut command);
        command
    }

    /// Replaces `$F`, `$E` and `$T`.
    #[must_use]
    pub fn expand(&self, word: &str) -> String {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        word.replace("$F", &text(&bins::fixtures()))
            .replace("$E", &text(&bins::examples()))
            .replace("$T", &text(self.dir()))
    }

    /// The mark, `NAME=value`, for what gets no environment of ours.
    #[must_use]
    pub fn marked(&self) -> String {
        format!("{MARK}={}", self.mark)
    }

    /// Everything alive that was started from this place.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        proc::with_environment(&self.marked())
    }

    /// The process of this place with this name, whose parent has another (a fork has its parent's name until exec).
    #[must_use]
    pub fn process(&self, name: &str) -> Option<u32> {
        let named = |pid: u32| proc::name(pid) == name;
        self.processes().into_iter().find(|pid| named(*pid) && !proc::parent(*pid).is_some_and(named))
    }

    /// Kills all that was started from here, supervisors first so that they start nothing anew.
    pub fn kill_all(&self) {
        let gone = wait::poll(|| {
            let mut alive = self.processes();
            alive.sort_by_key(|pid| !proc::name(*pid).starts_with("pm-"));
            alive.iter().for_each(|pid| proc::send(*pid, Signal::SIGKILL));
            alive.is_empty().then_some(())
        });
        assert!(gone.is_some() || std::thread::panicking(), "could not kill {:?}", self.processes());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.kill_all();
    }
}
