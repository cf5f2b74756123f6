//! Containers: podman with runc, from the small Debian that `scripts/test` made, with our tools in it.

use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::chain::Chain;
use crate::scene::Scene;
use crate::{any, bins, proc, wait};

/// What ends a container whose test cannot: far above what a test takes.
const TIMEOUT: &str = "--timeout=180";

/// The small Debian that boxes run in.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn root() -> String {
    let dir = bins::cache().parent().map(|cache| cache.join("root")).unwrap_or_default();
    assert!(dir.join("usr").is_dir(), "{} is missing: run scripts/test, which makes it", dir.display());
    dir.display().to_string()
}

/// A container of its own name; it goes with its test.
///
/// Its loopback is this machine's, so that clients of the test reach it. In its `PATH` are the tools and Node; `$F` are the
/// fixtures, `$E` the examples, `$A` the servers.
#[derive(Debug)]
pub struct Container<'a> {
    scene: &'a Scene,
    name: String,
    /// `podman run`, which ends as the container does, and with its code.
    pub chain: Chain<'a>,
}

impl<'a> Container<'a> {
    /// Runs a command line in a container with these options of `podman run`.
    #[must_use]
    pub fn run(scene: &'a Scene, options: &str, line: &str) -> Self {
        let line: Vec<String> = line.split_whitespace().map(inside).collect();
        Self::run_words(scene, options, &line.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same with a program and its arguments as they are.
    #[must_use]
    pub fn run_words(scene: &'a Scene, options: &str, words: &[&str]) -> Self {
        Self::start(scene, options, &[], words)
    }

    /// The same with a health check.
    #[must_use]
    pub fn checked_by(scene: &'a Scene, check: &str, options: &str, line: &str) -> Self {
        // What would run it each half minute is systemd.
        let check = [format!("--health-cmd={check}"), "--health-interval=disable".to_owned()];
        let line: Vec<String> = line.split_whitespace().map(inside).collect();
        Self::start(scene, options, &check, &line.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn start(scene: &'a Scene, options: &str, check: &[String], words: &[&str]) -> Self {
        // The port is this test's alone.
        let name = format!("pm-test-{}-{}", std::process::id(), scene.port);
        let mut command = podman(scene);
        command.args(["run", "--rm", TIMEOUT, "--name", &name, "--log-driver=none", "--network=host"]);
        command.args(["--ulimit=nofile=4096:4096", "--ulimit=nproc=30000:30000"]);
        command.arg(format!("--pidfile={}", pid_file(scene)));
        let ours = [(bins::tools(), "pm"), (bins::node(24), "node"), (bins::fixtures(), "fixtures")];
        for (what, place) in ours.into_iter().chain([(bins::examples(), "examples"), (any::dir(), "any")]) {
            command.arg(format!("--volume={}:/opt/{place}:ro", what.display()));
        }
        command.args(["--env=PATH=/opt/pm:/opt/node:/usr/bin:/bin", &format!("--env=PORT={}", scene.port)]);
        command.arg(format!("--env={}", scene.marked()));
        // Above the root that all share is a layer of its own.
        command.args(options.split_whitespace()).args(check).arg("--rootfs").arg(format!("{}:O", root())).args(words);
        Self { scene, name, chain: Chain::spawn(scene, command) }
    }

    /// Its process 1, as this machine numbers it.
    #[must_use]
    pub fn first(&self) -> u32 {
        self.chain.until("the container's process 1", || {
            std::fs::read_to_string(pid_file(self.scene)).ok()?.trim().parse().ok().filter(|pid| proc::alive(*pid))
        })
    }

    /// Runs a command line in it.
    ///
    /// # Panics
    /// When podman does not start.
    #[must_use]
    pub fn exec(&self, line: &str) -> Output {
        let mut command = podman(self.scene);
        command.args(["exec", &self.name]).args(line.split_whitespace().map(inside));
        command.output().expect("podman runs")
    }

    /// The exit code of the health check that it was given, run once.
    ///
    /// # Panics
    /// When podman does not start.
    #[must_use]
    pub fn health(&self) -> Option<i32> {
        let mut command = podman(self.scene);
        command.args(["healthcheck", "run", &self.name]).output().expect("podman runs").status.code()
    }

    /// Sends its process 1 a signal, as `podman kill` does.
    pub fn kill(&self, signal: Signal) {
        self.call(&["kill", "--signal", signal.as_str(), &self.name]);
    }

    /// Begins to stop it as `podman stop` does: its STOPSIGNAL, and KILL after 30 s; the call ends once it has.
    #[must_use]
    pub fn stopping(&self) -> Chain<'a> {
        let mut command = podman(self.scene);
        command.args(["stop", "--time=30", &self.name]);
        Chain::spawn(self.scene, command)
    }

    /// Stops it and gives its exit code.
    #[track_caller]
    pub fn stop(&self) -> Option<i32> {
        let stop = self.stopping();
        let code = self.chain.wait().code();
        stop.wait();
        code
    }

    #[track_caller]
    fn call(&self, args: &[&str]) {
        let output = podman(self.scene).args(args).output().expect("podman runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "podman {args:?}: {said}\n{}", self.chain.output());
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = podman(self.scene).args(["rm", "--force", "--ignore", "--time=0", &self.name]).output();
        // What watches it cleans up after it, and needs the test's directory for that.
        let gone = wait::poll(|| self.scene.processes().is_empty().then_some(()));
        assert!(gone.is_some() || std::thread::panicking(), "left of {}: {:?}", self.name, self.scene.processes());
    }
}

/// podman, with all that it remembers in the test's directory.
fn podman(scene: &Scene) -> Command {
    let mut command = scene.command(&["podman"]);
    command.arg("--root").arg(scene.dir().join("podman")).arg("--runroot").arg(scene.dir().join("podman.run"));
    // crun refuses the mixed control groups that some machines have; the other two ask systemd, which may not be there.
    command.args(["--runtime=runc", "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none"]);
    command
}

fn pid_file(scene: &Scene) -> String {
    scene.dir().join("container.pid").display().to_string()
}

/// A word as it is inside.
fn inside(word: &str) -> String {
    word.replace("$F", "/opt/fixtures").replace("$E", "/opt/examples").replace("$A", "/opt/any")
}
