//! `pm-stat --wait`, with `cat` as the supervisor and the test as the one who writes its status file.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pm_common::app::status::{DIRECTORY, RollReport, SupervisorLine, SupervisorState, WorkerLine, WorkerState};
use pm_common::kernel::procfs;
use pm_common::policy::record::Then;
use tempfile::TempDir;

/// Only a test that fails takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// The home of one app, `web`.
struct Home {
    root: TempDir,
}

impl Home {
    /// Neither PM_HOME nor what is above it is there yet.
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("above/pm")
    }

    fn app(&self) -> PathBuf {
        self.path().join("web")
    }

    /// Replaces the supervisor's file, as supervisors do.
    fn put(&self, supervisor: &SupervisorLine, workers: &[WorkerLine]) {
        let dir = self.app().join(DIRECTORY);
        std::fs::create_dir_all(&dir).expect("made");
        let mut text = format!("{}\n", supervisor.to_json());
        workers.iter().for_each(|w| text.push_str(&format!("{}\n", serde_json::json!(w))));
        let name = format!("{}.{}", supervisor.tool, supervisor.pid);
        std::fs::write(dir.join(format!(".{name}.new")), text).expect("written");
        std::fs::rename(dir.join(format!(".{name}.new")), dir.join(name)).expect("renamed");
    }

    fn remove(&self, supervisor: &SupervisorLine) {
        let name = format!("{}.{}", supervisor.tool, supervisor.pid);
        std::fs::remove_file(self.app().join(DIRECTORY).join(name)).expect("removed");
    }

    /// Starts to wait for `web`.
    fn wait(&self, what: &str, more: &[&str]) -> Waiter {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pm-stat"));
        command.args(["--wait", what]).args(more).arg("web").env("PM_HOME", self.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Waiter(command.spawn().expect("starts"))
    }
}

/// A pm-stat that waits.
struct Waiter(Child);

impl Waiter {
    /// Returns once it has looked at so many supervisors and sleeps.
    fn asleep(mut self, supervisors: usize) -> Self {
        let end = Instant::now() + DEADLINE;
        let proc = PathBuf::from(format!("/proc/{}", self.0.id()));
        while (self.pidfds(&proc), self.polls(&proc)) != (supervisors, true) {
            assert_eq!(self.0.try_wait().expect("ours"), None, "{}", self.said());
            assert!(Instant::now() < end, "it never sleeps: {} pidfds", self.pidfds(&proc));
            std::thread::yield_now();
        }
        self
    }

    fn pidfds(&self, proc: &Path) -> usize {
        let files = std::fs::read_dir(proc.join("fdinfo")).expect("runs").flatten();
        let texts = files.filter_map(|f| std::fs::read_to_string(f.path()).ok());
        texts.filter(|text| text.contains("\nPid:\t")).count()
    }

    /// It sleeps interruptibly, with an inotify instance: its only such sleep is poll(2).
    fn polls(&self, proc: &Path) -> bool {
        let fds = std::fs::read_dir(proc.join("fd")).expect("runs").flatten();
        let mut links = fds.filter_map(|f| std::fs::read_link(f.path()).ok());
        let state = procfs::stat(self.0.id() as i32).map(|s| s.state);
        links.any(|link| link == Path::new("anon_inode:inotify")) && state == Some(b'S')
    }

    fn said(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.as_mut().expect("piped").read_to_string(&mut text).expect("UTF-8");
        text
    }

    /// The exit code, and stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let said = self.said();
        let mut printed = String::new();
        self.0.stdout.as_mut().expect("piped").read_to_string(&mut printed).expect("UTF-8");
        assert_eq!(printed, "");
        // On a loaded machine a wait may take the second after which it is said what for.
        let said: String = said.split_inclusive('\n').filter(|line| !line.contains(": info: waiting for ")).collect();
        (self.0.wait().expect("ends").code(), said)
    }

    fn succeeds(self) {
        assert_eq!(self.end(), (Some(0), String::new()));
    }

    /// Fails with one line: that behind the level.
    fn fails(self, code: i32, message: &str) {
        assert_eq!(self.end(), (Some(code), format!("pm-stat: fatal: {message}\n")));
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that stands for a supervisor, until it is dropped.
struct Cat(Child);

impl Cat {
    fn new() -> Self {
        Self(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts"))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn line(&self, tool: &str, state: SupervisorState, ready: u32) -> SupervisorLine {
        SupervisorLine {
            app: "web".to_owned(),
            tool: tool.to_owned(),
            version: "0.1.0".to_owned(),
            pid: self.pid(),
            start: procfs::start_time(self.pid()).expect("running"),
            first: None,
            boot: procfs::boot_id(),
            state,
            since_ms: 1,
            workers: 2,
            ready,
            policy: serde_json::Map::new(),
            addresses: Vec::new(),
            roll: None,
        }
    }

    fn ready(&self) -> SupervisorLine {
        self.line("pm-cluster", SupervisorState::Ready, 2)
    }

    fn starting(&self) -> SupervisorLine {
        self.line("pm-cluster", SupervisorState::Starting, 1)
    }

    fn rolled(&self, requested: u64, ended: u64, ok: bool) -> SupervisorLine {
        let roll = RollReport { requested, started: requested, ended, ok: Some(ok), ..RollReport::default() };
        SupervisorLine { roll: Some(roll), ..self.ready() }
    }

    /// Kills it; it is not reaped, as one whose parent is slow.
    fn kill(&mut self) {
        self.0.kill().expect("ours");
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a pm-restart says whose child is a supervisor.
fn above(cat: &Cat) -> (SupervisorLine, [WorkerLine; 1]) {
    let worker = WorkerLine { supervises: true, ..WorkerLine::new(0, 1, WorkerState::Ready) };
    (SupervisorLine { workers: 1, ..cat.line("pm-restart", SupervisorState::Ready, 1) }, [worker])
}

#[test]
fn the_next_roll_is_waited_for_to_its_end() {
    let (home, cat) = (Home::new(), Cat::new());
    home.put(&cat.rolled(3, 3, false), &[]);
    let waiter = home.wait("rolled", &[]).asleep(1);
    home.put(&cat.rolled(4, 3, false), &[]);
    let waiter = waiter.asleep(1);
    home.put(&cat.rolled(4, 4, true), &[]);
    waiter.succeeds();
    home.wait("rolled", &["--since", "3"]).succeeds();
    let waiter = home.wait("rolled", &["--since", "4", "--timeout", "60s"]).asleep(1);
    home.put(&cat.rolled(5, 5, true), &[]);
    waiter.succeeds();
}

#[test]
fn an_aborted_roll_is_told_with_its_reason() {
    let (home, cat) = (Home::new(), Cat::new());
    home.put(&cat.rolled(1, 0, true), &[]);
    let waiter = home.wait("rolled", &[]).asleep(1);
    let roll = RollReport {
        requested: 1,
        started: 1,
        ended: 1,
        ok: Some(false),
        then: Some(Then::OthersGoOn),
        reason: "the new worker ended before it was ready code=1".to_owned(),
        slot: Some(0),
        stderr: vec!["Error: größe".to_owned(), "\u{1b}[31m    at x".to_owned()],
        running: None,
    };
    home.put(&SupervisorLine { roll: Some(roll), ..cat.ready() }, &[]);
    let told = "pm-stat: fatal: the reload of web was aborted: slot 0: the new worker ended before it was ready code=1; the old workers go on\n  \
                Error: größe\n  \\u{1b}[31m    at x\n";
    assert_eq!(waiter.end(), (Some(1), told.to_owned()));
}

#[test]
fn a_roll_does_not_outlive_its_supervisor() {
    let home = Home::new();
    home.wait("rolled", &[]).fails(1, "web is not running");
    let (restart, mut cluster, successor) = (Cat::new(), Cat::new(), Cat::new());
    let (line, workers) = above(&restart);
    home.put(&line, &workers);
    home.put(&cluster.rolled(1, 0, true), &[]);
    let waiter = home.wait("rolled", &[]).asleep(2);
    let pid = cluster.pid();
    cluster.kill();
    waiter.fails(1, &format!("pm-cluster of web ended before the reload did: pid={pid} roll=1"));
    home.put(&successor.rolled(1, 1, true), &[]);
    let said = format!(
        "web knows no roll 2, so it was started anew since then: pm-cluster pid={} requested=1",
        successor.pid()
    );
    home.wait("rolled", &["--since", "2"]).fails(1, &said);
}

#[test]
fn ready_is_waited_for_from_before_there_is_anything() {
    let (home, restart, cluster) = (Home::new(), Cat::new(), Cat::new());
    let waiter = home.wait("ready", &[]).asleep(0);
    std::fs::create_dir(home.root.path().join("above")).expect("made");
    let waiter = waiter.asleep(0);
    std::fs::create_dir(home.path()).expect("made");
    std::fs::create_dir(home.path().join("other")).expect("made");
    let waiter = waiter.asleep(0);
    std::fs::create_dir(home.app()).expect("made");
    let (line, workers) = above(&restart);
    home.put(&line, &workers);
    let waiter = waiter.asleep(1);
    home.put(&cluster.starting(), &[]);
    let waiter = waiter.asleep(2);
    home.put(&cluster.ready(), &[]);
    waiter.succeeds();
}

#[test]
fn ready_outlasts_a_cluster_that_is_replaced_but_not_the_app() {
    let (home, mut restart, mut killed, mut next) = (Home::new(), Cat::new(), Cat::new(), Cat::new());
    let (line, workers) = above(&restart);
    home.put(&line, &workers);
    home.put(&killed.starting(), &[]);
    let waiter = home.wait("ready", &[]).asleep(2);
    let doomed = home.wait("workers=3", &[]).asleep(2);
    killed.kill();
    let (waiter, doomed) = (waiter.asleep(1), doomed.asleep(1));
    home.put(&next.ready(), &[]);
    waiter.succeeds();
    let doomed = doomed.asleep(2);
    restart.kill();
    next.kill();
    doomed.fails(1, "web ended before it was workers=3");
}

#[test]
fn what_a_dead_supervisor_left_counts_for_nothing() {
    let (home, mut dead, cat) = (Home::new(), Cat::new(), Cat::new());
    home.put(&dead.ready(), &[]);
    home.put(&SupervisorLine { start: 1, ..cat.ready() }, &[]);
    dead.kill();
    dead.0.wait().expect("ends");
    home.wait("stopped", &[]).succeeds();
    home.wait("rolled", &[]).fails(1, "web is not running");
    home.wait("ready", &["--timeout", "0"]).fails(124, "timed out after 0: web is not yet ready: it is not running");
    let waiter = home.wait("ready", &[]).asleep(0);
    home.put(&cat.ready(), &[]);
    waiter.succeeds();
}

#[test]
fn stopped_is_when_the_processes_have_ended_whatever_the_files_say() {
    let home = Home::new();
    home.wait("stopped", &[]).succeeds();
    let (mut restart, mut cluster) = (Cat::new(), Cat::new());
    let (line, workers) = above(&restart);
    home.put(&line, &workers);
    home.put(&cluster.ready(), &[]);
    let waiter = home.wait("stopped", &[]).asleep(2);
    home.remove(&cluster.ready());
    home.remove(&line);
    let waiter = waiter.asleep(2);
    cluster.kill();
    let waiter = waiter.asleep(1);
    restart.kill();
    waiter.succeeds();
}

#[test]
fn who_holds_the_lock_runs_though_it_says_nothing() {
    let home = Home::new();
    std::fs::create_dir_all(home.app()).expect("made");
    let lock = std::fs::File::create(home.app().join("lock")).expect("made");
    let stopped = home.wait("stopped", &["--timeout", "0"]);
    stopped.succeeds();
    rustix::fs::fcntl_lock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).expect("free");
    let me = std::process::id();
    let told = format!("timed out after 0: web is not yet stopped: it runs: pid={me}");
    home.wait("stopped", &["--timeout", "0"]).fails(124, &told);
    let told = "timed out after 0: web is not yet rolled: its supervisor has said nothing yet";
    home.wait("rolled", &["--timeout", "0"]).fails(124, told);
    let stopped = home.wait("stopped", &[]).asleep(1);
    let ready = home.wait("ready", &[]).asleep(1);
    drop(lock);
    stopped.succeeds();
    ready.fails(1, "web ended before it was ready");
}

#[test]
fn workers_are_counted() {
    let (home, cat) = (Home::new(), Cat::new());
    home.put(&cat.ready(), &[]);
    home.wait("workers=2", &[]).succeeds();
    let waiter = home.wait("workers=3", &[]).asleep(1);
    home.put(&SupervisorLine { workers: 3, ..cat.ready() }, &[]);
    let waiter = waiter.asleep(1);
    home.put(&SupervisorLine { workers: 3, ready: 3, ..cat.ready() }, &[]);
    waiter.succeeds();
}

#[test]
fn a_directory_that_is_exchanged_is_followed() {
    let (home, cat) = (Home::new(), Cat::new());
    home.put(&cat.starting(), &[]);
    let waiter = home.wait("ready", &[]).asleep(1);
    std::fs::remove_dir_all(home.app().join(DIRECTORY)).expect("removed");
    home.put(&cat.starting(), &[]);
    let waiter = waiter.asleep(1);
    std::fs::rename(home.app(), home.path().join("old")).expect("renamed");
    home.put(&cat.starting(), &[]);
    let waiter = waiter.asleep(1);
    std::fs::rename(home.path(), home.root.path().join("old")).expect("renamed");
    let waiter = waiter.asleep(1);
    home.put(&cat.ready(), &[]);
    waiter.succeeds();
}

/// More events than the kernel keeps (16384 by default) while nobody reads them.
#[test]
fn an_overflow_of_events_loses_no_end() {
    let (home, cat) = (Home::new(), Cat::new());
    home.put(&cat.starting(), &[]);
    let waiter = home.wait("ready", &[]).asleep(1);
    let pid = rustix::process::Pid::from_raw(waiter.0.id() as i32).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("ours");
    let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("there");
    let most: usize = most.trim().parse().expect("a number");
    let file = home.app().join("file");
    for _ in 0..=most.min(200_000) / 2 {
        std::fs::File::create(&file).expect("made");
        std::fs::remove_file(&file).expect("removed");
    }
    home.put(&cat.ready(), &[]);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("ours");
    waiter.succeeds();
}

/// The file changes all the time while pm-stat comes up; whatever it sees first, it sees the last.
#[test]
fn no_update_is_lost_between_a_look_and_the_sleep_after_it() {
    let (home, cat) = (Home::new(), Cat::new());
    for round in 0..30_u64 {
        let (before, last) = (cat.rolled(2 * round, 2 * round, false), cat.rolled(2 * round + 1, 2 * round + 1, true));
        home.put(&before, &[]);
        std::thread::scope(|scope| {
            let ended = scope.spawn(|| home.wait("rolled", &["--since", &(2 * round).to_string()]).end());
            for n in 0..round * 20 {
                home.put(&SupervisorLine { since_ms: n, ..before.clone() }, &[]);
            }
            home.put(&last, &[]);
            // On a busy machine it may have said what it waits for.
            assert_eq!(ended.join().expect("no panic").0, Some(0), "round {round}");
        });
    }
}

#[test]
fn a_timeout_says_what_is_missing() {
    let (home, cat) = (Home::new(), Cat::new());
    let waiter = home.wait("ready", &["--timeout", "20ms"]);
    waiter.fails(124, "timed out after 20ms: web is not yet ready: it is not running");
    home.put(&cat.starting(), &[]);
    let told = "timed out after 20ms: web is not yet ready: 1 of 2 workers ready, pm-cluster is starting";
    home.wait("ready", &["--timeout", "20ms"]).fails(124, told);
    let told = "timed out after 0: web is not yet rolled: nobody has asked for it";
    home.wait("rolled", &["--timeout", "0"]).fails(124, told);
}

#[test]
fn a_wait_that_cannot_be_is_refused() {
    let home = Home::new();
    let told = "bad value 'banana' for --timeout: expected a duration such as 8s, 100ms or 2m";
    home.wait("rolled", &["--timeout", "banana"]).fails(125, told);
    home.wait("rolled", &["more"]).fails(125, "--wait needs exactly one APP; see pm-stat --help");
    std::fs::create_dir_all(home.path()).expect("made");
    std::fs::write(home.app(), "").expect("written");
    home.wait("ready", &[]).fails(125, &format!("cannot watch {}: Not a directory", home.app().display()));
}
