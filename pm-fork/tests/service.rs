//! pm-fork with real services: each says what it has to say, then opens a FIFO and stays until the test closes it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pm_common::app::home::{self, AppDir};
use pm_common::kernel::procfs;
use rustix::event::{PollFd, PollFlags, poll};

mod place;
use place::Place;

/// What is said of a chain that is no supervisor.
const UNKNOWN: &str = "; it runs, and nothing says when it is ready";

impl Place {
    fn dir(&self, app: &str) -> PathBuf {
        self.path("home").join(app)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pm-fork"));
        command.current_dir(self.0.path()).env("PM_HOME", self.path("home")).env_remove("PM_APP").env_remove("PM_DIR");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().expect("runs")
    }

    fn read(&self, app: &str, file: &str) -> String {
        std::fs::read_to_string(self.dir(app).join(file)).expect(file)
    }

    /// Runs a shell script as the service; `cat $GATE` in it lets the test go on, and waits until the gate is dropped.
    fn service(&self, command: &mut Command, script: &str) -> Gate {
        let gate = Gate::new(&self.path("gate"));
        let output = command.args(["sh", "-c", script]).env("GATE", &gate.path).output().expect("runs");
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(0), 1), "{said}");
        assert!(said.starts_with("pm-fork: info: started app '"), "{said}");
        gate.open()
    }

    fn pid(&self, app: &str) -> i32 {
        self.read(app, "pid").trim().parse().expect("a number")
    }

    /// Waits until nobody holds the app's lock.
    fn wait_until_free(&self, app: &str) {
        let file = OpenOptions::new().read(true).write(true).open(self.dir(app).join("lock")).expect("there");
        rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).expect("free at last");
    }
}

/// The writing end of a FIFO: what reads it waits until this is dropped.
struct Gate {
    path: PathBuf,
    end: Option<File>,
}

impl Gate {
    fn new(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("made");
        Self { path: path.to_owned(), end: None }
    }

    /// Waits until the service has opened it.
    fn open(mut self) -> Self {
        self.end = Some(OpenOptions::new().write(true).open(&self.path).expect("opened"));
        self
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn the_service_has_a_session_a_name_and_log_files() {
    let place = Place::new();
    let script = "echo out; echo err >&2; cat $GATE";
    let gate = place.service(place.command().args(["--name", "my größe"]), script);
    let app = "my größe";
    let service = procfs::stat(place.pid(app)).expect("running");
    assert_eq!((service.session, service.pgrp), (service.pid, service.pid), "{service:?}");
    assert_eq!(home::holder(&place.dir(app)).expect("a lock"), Some(Some(service.pid)), "the lock survived the exec");
    let input = std::fs::read_link(format!("/proc/{}/fd/0", service.pid)).expect("open");
    assert!(input.ends_with(format!("{app}/stdin")), "{}", input.display());
    let refused = place.run(&["--name", app, "true"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(125));
    assert!(said.contains(&format!("pid={}", service.pid)) && said.lines().count() == 1, "{said}");
    drop(gate);
    place.wait_until_free(app);
    assert_eq!((place.read(app, "out.log").as_str(), place.read(app, "err.log").as_str()), ("out\n", "err\n"));
    for file in ["lock", "pid", "out.log", "err.log"] {
        let mode = place.dir(app).join(file).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    // Appended, not written anew.
    let gate = place.service(place.command().args(["--name", app]), "echo again; cat $GATE");
    drop(gate);
    place.wait_until_free(app);
    assert_eq!(place.read(app, "out.log"), "out\nagain\n");
}

#[test]
fn what_concerned_the_caller_is_not_handed_on() {
    let place = Place::new();
    let mut command = place.command();
    let told = [
        "PM_PRELOAD",
        "PM_LINGER_MS",
        "PM_POLICY",
        "PM_SLOT",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NODE_CHANNEL_FD",
        "NODE_UNIQUE_ID",
    ];
    command.envs(told.map(|name| (name, "3"))).env("PM_APP", "outer").env("PM_DIR", "/outer").env("MINE", "kept");
    command.env("NODE_OPTIONS", "--no-warnings --script").env("PM_PRELOAD", " --script");
    let _gate = place.service(command.args(["--name", "web"]), "env; cat $GATE");
    let env = format!("\n{}", place.read("web", "out.log"));
    for name in told {
        assert!(!env.contains(&format!("\n{name}=")), "{name} in {env}");
    }
    let dir = place.dir("web");
    for line in ["PM_APP=web", "MINE=kept", "NODE_OPTIONS=--no-warnings", &format!("PM_DIR={}", dir.display())] {
        assert!(env.contains(&format!("\n{line}\n")), "{line} in {env}");
    }
}

#[test]
fn signals_and_descriptors_are_as_in_a_fresh_program() {
    let place = Place::new();
    // The caller ignores HUP, and holds a descriptor open on a file of its own.
    let gate = Gate::new(&place.path("gate"));
    let outer = "trap '' HUP USR1; exec 5>mine; \"$0\" --name web sh -c \"$1\"";
    let script = "ls -l /proc/$$/fd; grep Sig /proc/self/status; cat $GATE";
    let mut command = Command::new("sh");
    command.args(["-c", outer, env!("CARGO_BIN_EXE_pm-fork"), script]).env("GATE", &gate.path);
    let status = command.current_dir(place.0.path()).env("PM_HOME", place.path("home")).status().expect("runs");
    assert!(status.success());
    let _gate = gate.open();
    let out = place.read("web", "out.log");
    assert!(!out.contains("mine") && !out.contains("pipe:"), "{out}");
    assert_eq!(out.matches("home/web/lock").count(), 1, "{out}");
    for set in ["SigBlk:", "SigIgn:"] {
        let hex = out.lines().find_map(|l| l.strip_prefix(set)).expect(set).trim();
        // 32 and 33 are libc's own: it lets nobody set them.
        let signals = u64::from_str_radix(hex, 16).expect("a number") & !0x1_8000_0000;
        assert_eq!(signals, 0, "{out}");
    }
}

#[test]
fn a_chain_that_cannot_be_run_is_told_at_once() {
    let place = Place::new();
    std::fs::write(place.path("plain"), "no program").expect("written");
    for (program, code, why) in [("./nowhere", 127, "No such file"), ("./plain", 126, "Permission denied")] {
        let output = place.run(&["--name", "web", program]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with("pm-fork: fatal: cannot run ") && said.contains(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!place.dir("web").exists(), "nothing is left of it");
    }
    for args in [&["--cwd", "/nowhere", "true"][..], &["--out", "/nowhere/x", "true"], &["--name", "a/b", "true"], &[]]
    {
        let output = place.run(args);
        assert_eq!((output.status.code(), text(&output.stderr).lines().count()), (Some(125), 1), "{args:?}");
    }
}

#[test]
fn a_fifo_that_nobody_reads_does_not_hold_it_up() {
    let place = Place::new();
    let gate = Gate::new(&place.path("fifo"));
    let output = place.run(&["--out", gate.path.to_str().expect("UTF-8"), "true"]);
    assert_eq!(output.status.code(), Some(125), "{}", text(&output.stderr));
}

/// With nobody left who reads what becomes of it: `--wait none`, or a caller that was killed.
#[test]
fn a_service_that_is_not_waited_for_runs() {
    let place = Place::new();
    let said = place.path("said");
    nix::unistd::mkfifo(&said, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let mut reader = OpenOptions::new();
    let mut reader = reader.read(true).custom_flags(nix::libc::O_NONBLOCK).open(&said).expect("opened");
    let mut started = place.command();
    let started = started.args(["--wait", "none", "--out"]).arg(&said).args(["--err"]).arg(&said);
    assert!(started.args(["echo", "up"]).status().expect("runs").success());
    // Readable or hung up, which it is not before somebody has opened and closed it.
    let mut fds = [PollFd::new(&reader, PollFlags::IN)];
    assert_eq!(poll(&mut fds, None), Ok(1));
    let mut text = String::new();
    let _ = reader.read_to_string(&mut text);
    assert_eq!(text, "up\n", "the service died before it was the chain");
}

#[test]
fn what_ran_starts_again_on_a_full_disk() {
    let place = Place::new();
    let echo = ["--name", "a", "--wait", "started", "echo", "up"];
    assert_eq!(place.run(&echo).status.code(), Some(0));
    place.wait_until_free("a");
    // As good as no space left: more than a block of 512 bytes cannot be written.
    let full = |args: &[&str]| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"])
            .arg(place.command().get_program())
            .args(args);
        place.command().get_envs().for_each(|(key, value)| {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        });
        shell.env("FILLS", "x".repeat(600)).output().expect("runs")
    };
    let again = full(&["--wait", "started", "--again", "a"]);
    let said = text(&again.stderr);
    assert!(again.status.success() && said.contains("; it is that of an earlier start\n"), "{said}");
    place.wait_until_free("a");
    assert_eq!(place.read("a", "out.log"), "up\nup\n");
    assert_eq!(full(&echo).status.code(), Some(125), "what was not written down before is not started");
    // What could not be written wholly is not left behind.
    std::fs::rename(place.dir("a").join("start.json"), place.path("kept")).expect("moved");
    std::fs::create_dir(place.dir("a").join("start.json")).expect("made");
    assert_eq!(place.run(&echo).status.code(), Some(125));
    let left = std::fs::read_dir(place.dir("a")).expect("there").flatten();
    let left: Vec<_> =
        left.map(|e| e.file_name()).filter(|name| name.to_string_lossy().starts_with(".start")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn paths_are_those_of_the_caller_and_pwd_is_logical() {
    let place = Place::new();
    std::fs::create_dir(place.path("release")).expect("made");
    std::os::unix::fs::symlink("release", place.path("current")).expect("linked");
    let mut command = place.command();
    command.args(["--name", "web", "--cwd", "current", "--out", "mine.log", "--err", "mine.log"]);
    let gate = place.service(&mut command, "echo $PWD; echo x >&2; cat $GATE");
    drop(gate);
    place.wait_until_free("web");
    let log = std::fs::read_to_string(place.path("mine.log")).expect("beside the caller");
    assert_eq!(log, format!("{}\nx\n", place.path("current").display()));
    assert!(!place.dir("web").join("out.log").exists());
}

#[test]
fn a_helper_that_outlives_the_service_does_not_hold_its_lock() {
    let place = Place::new();
    let gate = place.service(place.command().args(["--name", "web"]), "cat $GATE & echo started");
    place.wait_until_free("web");
    assert_eq!(home::holder(&place.dir("web")).expect("a lock"), None);
    drop(gate);
}

#[test]
fn of_many_at_once_each_gets_a_name_and_one_an_explicit_one() {
    let place = Place::new();
    let gates: Vec<_> = (0..6).map(|n| Gate::new(&place.path(&format!("gate{n}")))).collect();
    let start = |gate: &Gate| place.command().args(["cat", gate.path.to_str().expect("UTF-8")]).spawn().expect("runs");
    let all: Vec<_> = gates.iter().map(start).collect();
    all.into_iter().for_each(|mut child| assert!(child.wait().expect("ends").success()));
    let mut names = std::fs::read_dir(place.path("home")).expect("read").map(|e| e.expect("read").file_name());
    let mut names: Vec<_> = names.by_ref().map(|n| n.into_string().expect("UTF-8")).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    assert_eq!(names, ["cat", "cat-2", "cat-3", "cat-4", "cat-5", "cat-6"]);
    drop(gates.into_iter().map(Gate::open).collect::<Vec<_>>());
    let gate = Gate::new(&place.path("gate"));
    let args = ["--name", "one", "cat", gate.path.to_str().expect("UTF-8")];
    let all: Vec<_> = (0..6).map(|_| place.command().args(args).stderr(std::process::Stdio::null()).spawn()).collect();
    let codes: Vec<_> = all.into_iter().map(|c| c.expect("runs").wait().expect("ends").code()).collect();
    assert_eq!(codes.iter().filter(|c| **c == Some(0)).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|c| matches!(c, Some(0 | 125))), "{codes:?}");
    drop(gate.open());
}

#[test]
fn what_was_started_is_said_and_who_has_the_name() {
    let place = Place::new();
    std::fs::write(place.path("server.sh"), "cat $1").expect("written");
    let gates = [Gate::new(&place.path("one")), Gate::new(&place.path("two"))];
    let start = |gate: &Gate| {
        let output = place.run(&["sh", "server.sh", gate.path.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(0));
        text(&output.stderr)
    };
    let dir = |app: &str| place.dir(app).display().to_string();
    let first = start(&gates[0]);
    let pid = place.pid("server");
    assert_eq!(first, format!("pm-fork: info: started app 'server' pid={pid} log={}/{UNKNOWN}\n", dir("server")));
    let second = start(&gates[1]);
    let started = format!("started app 'server-2' pid={} log={}/", place.pid("server-2"), dir("server-2"));
    assert_eq!(second, format!("pm-fork: info: {started}; the name 'server' is running as pid {pid}{UNKNOWN}\n"));
    drop(gates.map(Gate::open));
    let gate = Gate::new(&place.path("three"));
    let out = place.run(&["--name", "x", "--err", "my.log", "sh", "server.sh", gate.path.to_str().expect("UTF-8")]);
    let logs = format!("log={}/ err={}", dir("x"), place.path("my.log").display());
    assert_eq!(text(&out.stderr), format!("pm-fork: info: started app 'x' pid={} {logs}{UNKNOWN}\n", place.pid("x")));
    drop(gate.open());
}

/// A service whose output goes nowhere and that pm-stat cannot show would be lost.
#[test]
fn without_a_directory_nothing_is_started_unless_the_output_has_files() {
    let place = Place::new();
    std::fs::write(place.path("home"), "a file where the directories should be").expect("written");
    for given in [&[][..], &["--out", "mine.log"], &["--err", "mine.log"]] {
        let output = place.run(&[given, &["touch", "started"]].concat());
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(125), 1), "{said}");
        assert!(said.starts_with("pm-fork: fatal: ") && said.contains("set PM_HOME to a directory"), "{said}");
        assert!(!place.path("started").exists() && !place.path("mine.log").exists(), "nothing is started");
    }
    let gate = Gate::new(&place.path("gate"));
    let output = place.run(&["--out", "mine.log", "--err", "mine.log", "sh", "-c", "echo $PM_APP-$PM_DIR; cat gate"]);
    let said = text(&output.stderr);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((output.status.code(), lines.len()), (Some(0), 2), "{said}");
    assert!(lines[0].starts_with("pm-fork: warning: ") && lines[0].contains("pm-stat will not show it"), "{said}");
    assert!(lines[1].starts_with("pm-fork: info: started app 'sh' pid="), "{said}");
    let mut end = gate.open();
    end.end.as_mut().expect("open").write_all(b"bye\n").expect("written");
    assert_eq!(std::fs::read_to_string(place.path("mine.log")).expect("read").lines().next(), Some("sh-"));
}

/// Not a test: the body of a supervisor that pm-fork runs. It enters its directory as the first link and waits.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn first_link() {
    let Some(gate) = std::env::var_os("TEST_GATE") else { return };
    let app = AppDir::enter(None, &[], |name| std::env::var_os(name)).expect("entered");
    let links = std::fs::read_dir("/proc/self/fd").expect("read").flatten();
    let locks: Vec<_> = links.filter(|e| std::fs::read_link(e.path()).is_ok_and(|l| l.ends_with("lock"))).collect();
    let flags: Vec<_> = locks
        .iter()
        .map(|l| std::fs::read_to_string(format!("/proc/self/fdinfo/{}", l.file_name().display())).expect("read"))
        .collect();
    let said = format!("\nlink {} {} {:?}\n", app.name(), app.holds_lock(), flags);
    std::io::stdout().write_all(said.as_bytes()).expect("said");
    File::open(gate).expect("opened").read_to_string(&mut String::new()).expect("read");
}

#[test]
fn the_supervisor_that_it_becomes_has_the_lock_and_keeps_it_from_its_children() {
    let place = Place::new();
    let gate = Gate::new(&place.path("gate"));
    let this = std::env::current_exe().expect("this");
    let mut command = place.command();
    command.args(["--name", "web"]).arg(this).args(["--exact", "first_link", "--ignored", "--nocapture"]);
    assert!(command.env("TEST_GATE", &gate.path).status().expect("runs").success());
    let gate = gate.open();
    let out = place.read("web", "out.log");
    let line = out.lines().find(|l| l.starts_with("link ")).expect("said");
    assert!(line.starts_with("link web true ["), "{line}");
    assert_eq!(
        line.matches("flags:").count(),
        1,
        "one descriptor, as the close of a second would drop the lock: {line}"
    );
    // O_CLOEXEC is octal 02000000.
    assert!(line.contains("flags:\\t02"), "closed at exec: {line}");
    assert_eq!(home::holder(&place.dir("web")).expect("a lock"), Some(Some(place.pid("web"))));
    drop(gate);
    place.wait_until_free("web");
    assert!(!place.dir("web").join("pid").exists(), "a clean end");
}
