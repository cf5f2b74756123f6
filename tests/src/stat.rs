//! What pm-stat says.

use std::process::{Command, Output};

use serde_json::Value;

use crate::bins;
use crate::scene::Scene;

/// One line of pm-stat.
#[derive(Debug, Clone)]
pub struct Line(pub Value);

impl Line {
    /// A field as a number.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {}", self.0))
    }

    /// A field as text, empty if there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// The process, if the state has one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.0["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// The state's name.
    #[must_use]
    pub fn state(&self) -> &str {
        self.text("state")
    }
}

/// Runs pm-stat with these arguments.
///
/// # Panics
/// When it cannot be run.
#[must_use]
pub fn run(scene: &Scene, args: &[&str]) -> Output {
    let mut command = Command::new(bins::tools().join("pm-stat"));
    scene.apply(&mut command);
    command.args(args).output().expect("pm-stat runs")
}

/// The workers of all apps of the test, in the order of pm-stat.
///
/// # Panics
/// When a line is no JSON.
#[must_use]
pub fn workers(scene: &Scene) -> Vec<Line> {
    let output = run(scene, &[]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines().map(|l| Line(serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))));
    // An app without a worker has a line, too: that of the whole app.
    lines.filter(|l| l.0.get("slot").is_some()).collect()
}
