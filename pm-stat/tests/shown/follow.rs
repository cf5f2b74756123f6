//! `--follow`, with the test as the one who writes the status files.

use std::io::{BufRead as _, BufReader};
use std::process::ChildStdout;

use super::*;

/// A pm-stat that follows, and its lines; a line that does not come hangs the test, and that is its failure.
struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Follower {
    fn new(apps: &Apps, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pm-stat"));
        command.arg("--follow").args(args).env("PM_HOME", apps.home.path().join("pm")).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("read");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    /// The next line in short.
    fn told(&mut self) -> String {
        let line = self.line();
        let word = |key: &str| line.get(key).map_or_else(String::new, |v| v.to_string().replace('"', ""));
        format!("{} {}{} {}>{}", word("event"), word("app"), word("slot"), word("was"), word("state"))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn apps_that_come_later_are_followed_to_their_end() {
    let root = Apps::new();
    let mut follower = Follower::new(&root, &[]);
    let cat = Cat::new();
    // Neither the directory of all apps nor that of this one was there.
    let dir = root.home.path().join("pm/web");
    std::fs::create_dir_all(dir.join(DIRECTORY)).expect("made");
    assert_eq!(follower.told(), "app web null>stopped");
    let me = supervisor("web", "pm-cluster");
    let path = dir.join(DIRECTORY).join(format!("pm-cluster.{}", me.pid));
    let put = |workers: &[WorkerLine]| {
        let mut text = format!("{}\n", me.to_json());
        workers.iter().for_each(|w| text.push_str(&format!("{}\n", serde_json::json!(w))));
        let new = dir.join(DIRECTORY).join(".new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(&new, &path).expect("renamed");
    };
    put(&[WorkerLine { state: WorkerState::Starting, ..cat.worker(0, 1) }]);
    assert_eq!(follower.told(), "supervisor web null>ready");
    assert_eq!(follower.told(), "worker web0 null>starting");
    assert_eq!(follower.told(), "app web stopped>ready");
    put(&[cat.worker(0, 1)]);
    assert_eq!(follower.told(), "worker web0 starting>ready");
    std::fs::remove_file(&path).expect("there");
    assert_eq!(follower.told(), "supervisor web ready>gone");
    assert_eq!(follower.told(), "worker web0 ready>gone");
    assert_eq!(follower.told(), "app web ready>stopped");
    std::fs::rename(&dir, root.home.path().join("pm/.gone")).expect("renamed");
    assert_eq!(follower.told(), "app web stopped>removed");
}

#[test]
fn the_death_of_a_supervisor_is_seen_without_a_word_of_it() {
    let root = Apps::new();
    let home = root.home.path().join("pm");
    std::fs::create_dir_all(home.join("web").join(DIRECTORY)).expect("made");
    let mut cat = Cat::new();
    let line = cat.worker(0, 1);
    let me = SupervisorLine {
        pid: line.pid.expect("runs"),
        start: line.start.expect("runs"),
        ..supervisor("web", "pm-restart")
    };
    let path = home.join("web").join(DIRECTORY).join(format!("pm-restart.{}", me.pid));
    std::fs::write(path, format!("{}\n", me.to_json())).expect("written");
    let mut follower = Follower::new(&root, &["web", "other"]);
    assert_eq!(follower.told(), "supervisor web null>ready");
    assert_eq!(follower.told(), "app web null>ready");
    std::fs::create_dir_all(home.join("unnamed")).expect("made");
    drop(cat.0.stdin.take());
    cat.0.wait().expect("ends");
    assert_eq!(follower.told(), "supervisor web ready>gone", "and nothing of the app that was not named");
    assert_eq!(follower.told(), "app web ready>errored");
}

#[test]
fn with_an_interval_there_are_figures() {
    let root = Apps::new();
    let home = root.home.path().join("pm");
    std::fs::create_dir_all(home.join("web").join(DIRECTORY)).expect("made");
    let cat = Cat::new();
    let me = supervisor("web", "pm-cluster");
    let text = format!("{}\n{}\n", me.to_json(), serde_json::json!(cat.worker(0, 1)));
    std::fs::write(home.join("web").join(DIRECTORY).join(format!("pm-cluster.{}", me.pid)), text).expect("written");
    let mut follower = Follower::new(&root, &["--interval", "100ms"]);
    let mut figures = Vec::new();
    while figures.len() < 3 {
        let line = follower.line();
        if get(&line, "event") == "figures" {
            figures.push(line);
        }
    }
    for line in figures {
        assert!(get(&line, "rss_bytes").as_u64() > Some(0) && get(&line, "cpu_pct").is_number(), "{line}");
        assert_eq!((get(&line, "app"), get(&line, "slot")), (&json!("web"), &json!(0)));
    }
    let refused = root.run(&["--follow", "--interval", "10ms"]);
    assert_eq!(refused.status.code(), Some(125), "{}", super::text(&refused.stderr));
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let root = Apps::new();
    let mut follower = Follower::new(&root, &[]);
    std::fs::create_dir_all(root.home.path().join("pm/web")).expect("made");
    assert_eq!(follower.told(), "app web null>stopped");
    let Follower { child, lines } = &mut follower;
    // Closing the pipe is an event of its own: no line has to be written for it.
    drop(std::mem::replace(lines, BufReader::new(another_stdout())));
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

fn another_stdout() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().expect("starts");
    let stdout = child.stdout.take().expect("piped");
    child.wait().expect("ends");
    stdout
}
