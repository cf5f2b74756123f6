//! What pm-stat prints, with the test itself as the supervisor and `cat` as the worker.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use pm_common::app::status::{DIRECTORY, Ended, Last, SupervisorLine, SupervisorState, WorkerLine, WorkerState};
use pm_common::kernel::procfs;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Apps in a directory of their own.
struct Apps {
    home: TempDir,
}

impl Apps {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a directory") }
    }

    fn dir(&self, app: &str) -> PathBuf {
        let dir = self.home.path().join(app);
        std::fs::create_dir_all(dir.join(DIRECTORY)).expect("made");
        dir
    }

    fn put(&self, supervisor: &SupervisorLine, workers: &[WorkerLine]) {
        let path = self.dir(&supervisor.app).join(DIRECTORY).join(format!("{}.{}", supervisor.tool, supervisor.pid));
        let mut text = format!("{}\n", supervisor.to_json());
        workers.iter().for_each(|w| text.push_str(&format!("{}\n", serde_json::json!(w))));
        std::fs::write(path, text).expect("written");
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pm-stat"));
        command.args(args).env("PM_HOME", self.home.path()).output().expect("runs")
    }

    /// The lines of a run that succeeds without a word on stderr.
    fn lines(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(args);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
        lines(&output)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|l| serde_json::from_str(l).expect("JSON")).collect()
}

/// A process that runs until it is dropped.
struct Cat(Child);

impl Cat {
    fn new() -> Self {
        Self(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts"))
    }

    fn worker(&self, slot: u32, generation: u64) -> WorkerLine {
        let pid = self.0.id() as i32;
        let start = procfs::start_time(pid);
        WorkerLine { pid: Some(pid), start, ..WorkerLine::new(slot, generation, WorkerState::Ready) }
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It may be suspended, and would not see the end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn supervisor(app: &str, tool: &str) -> SupervisorLine {
    let pid = std::process::id() as i32;
    SupervisorLine {
        app: app.to_owned(),
        tool: tool.to_owned(),
        version: "0.1.0".to_owned(),
        pid,
        start: procfs::start_time(pid).expect("running"),
        first: None,
        boot: procfs::boot_id(),
        state: SupervisorState::Ready,
        since_ms: 1,
        workers: 1,
        ready: 1,
        policy: serde_json::Map::new(),
        addresses: Vec::new(),
        roll: None,
    }
}

/// The line of an app that does not run, and was not started as a service.
fn stopped(app: &str) -> Value {
    json!({"app": app, "id": null, "namespace": "default", "mode": null, "state": "stopped", "schema": 1})
}

fn get<'a>(line: &'a Value, key: &str) -> &'a Value {
    line.get(key).unwrap_or(&Value::Null)
}

fn lock_it(file: &std::fs::File) {
    rustix::fs::fcntl_lock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).expect("free");
}

fn stat_at(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pm-stat"));
    command.env("PM_HOME", home);
    command
}

mod follow;
mod front;
mod output;
