//! pm-fork: apps that it starts in the background, and what it says of them.

use std::process::Output;

use serde_json::Value;

use crate::scene::Scene;

/// What a run of pm-fork came to.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its messages.
    pub err: String,
    /// What it printed.
    pub out: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), err: text(&output.stderr), out: text(&output.stdout) }
    }

    /// The same, if it went well.
    ///
    /// # Panics
    /// When the exit code is not 0.
    #[must_use]
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The lines that it printed, as JSON.
    ///
    /// # Panics
    /// When one is none.
    #[must_use]
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

/// Runs a tool with these arguments (`$F`, `$E` and `$T` are replaced) and waits for its end.
///
/// # Panics
/// When it cannot be run.
#[must_use]
pub fn tool(scene: &Scene, words: &[&str]) -> Said {
    let words: Vec<_> = words.iter().map(|word| scene.expand(word)).collect();
    let output = scene.command(&words.iter().map(String::as_str).collect::<Vec<_>>()).output();
    Said::of(&output.expect("the tool runs"))
}

/// Runs pm-fork with the words of a line.
#[must_use]
pub fn run(scene: &Scene, line: &str) -> Said {
    let words: Vec<&str> = std::iter::once("pm-fork").chain(line.split_whitespace()).collect();
    tool(scene, &words)
}

/// Waits until the app is stopped, rolled, ready ...
///
/// # Panics
/// When it will not be.
#[track_caller]
pub fn wait(scene: &Scene, what: &str, app: &str) {
    let _ = tool(scene, &["pm-stat", "--wait", what, "--timeout", "60s", app]).ok();
}

/// Stops an app and waits for its end.
///
/// # Panics
/// When it does not run.
#[track_caller]
pub fn stop(scene: &Scene, app: &str) {
    let _ = run(scene, &format!("--signal TERM {app}")).ok();
    wait(scene, "stopped", app);
}

/// A file of the app's directory.
///
/// # Panics
/// When it is not there.
#[must_use]
#[track_caller]
pub fn file(scene: &Scene, app: &str, name: &str) -> String {
    let path = scene.dir().join("pm").join(app).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The app's `start.json`.
///
/// # Panics
/// When it has none.
#[must_use]
#[track_caller]
pub fn start_of(scene: &Scene, app: &str) -> Value {
    serde_json::from_str(&file(scene, app, "start.json")).expect("JSON")
}
