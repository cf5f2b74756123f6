//! PM2 itself, as `scripts/test` fetched it, in a place of its own: what `pm` is compared with.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bins;
use crate::front::Said;
use crate::scene::Scene;

/// PM2, with a daemon that ends with this.
#[derive(Debug)]
pub struct Pm2 {
    /// Its place.
    pub scene: Scene,
}

impl Pm2 {
    /// A new place for it.
    #[must_use]
    pub fn with_node(major: u32) -> Self {
        let mut scene = Scene::with_node(major);
        let home = scene.dir().join("pm2");
        scene.set("PM2_HOME", home);
        // It would ask its makers whether there is a newer one.
        scene.set("PM2_DISABLE_VERSION_CHECK", "1");
        Self { scene }
    }

    fn command(&self, args: &[&str]) -> Command {
        let program = bins::cache().join("../pm2/node_modules/pm2/bin/pm2");
        let mut words = vec!["node", program.to_str().expect("UTF-8")];
        words.extend(args);
        let mut command = self.scene.command(&words);
        command.stdin(Stdio::null());
        command
    }

    /// Runs `pm2 ...` to its end.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn pm2(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().expect("pm2 runs: scripts/test fetches it");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: output.status.code().unwrap_or(128), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Its list.
    ///
    /// # Panics
    /// When it is no JSON.
    #[must_use]
    #[track_caller]
    pub fn jlist(&self) -> Vec<Value> {
        let said = self.pm2(&["jlist"]);
        let list = said.out.lines().find(|line| line.starts_with('['));
        serde_json::from_str(list.unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {said:?}"))
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        let _ = self.pm2(&["kill"]);
    }
}
