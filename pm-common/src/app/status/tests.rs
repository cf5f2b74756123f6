use std::os::unix::fs::PermissionsExt as _;

use serde::Deserialize as _;
use serde_json::json;

use super::*;
use crate::policy::record::Then;

fn me() -> SupervisorLine {
    let pid = std::process::id() as i32;
    SupervisorLine {
        app: "größe \"x\"".to_owned(),
        tool: "pm-cluster".to_owned(),
        version: "0.1.0".to_owned(),
        pid,
        start: procfs::start_time(pid).expect("running"),
        first: None,
        boot: procfs::boot_id(),
        state: SupervisorState::Ready,
        since_ms: 1_700_000_000_123,
        workers: 2,
        ready: 1,
        policy: [("max_mem".to_owned(), Value::from(536_870_912))].into_iter().collect(),
        addresses: vec!["[::]:3000".to_owned()],
        roll: Some(roll()),
    }
}

fn roll() -> RollReport {
    let awaiting = "drain of an older worker".to_owned();
    RollReport {
        requested: 9,
        started: 8,
        ended: 7,
        ok: Some(false),
        reason: "not ready after 30000ms\nforged".to_owned(),
        slot: Some(3),
        then: Some(Then::Nothing),
        stderr: vec!["Error: größe".to_owned(), String::new()],
        running: Some(RollRunning { done: 1, of: 4, since_ms: 5, slot: 1, awaiting: awaiting.into() }),
    }
}

fn worker(slot: u32) -> WorkerLine {
    let ended = if slot == 0 { Ended::Code(3) } else { Ended::Signal("SIGKILL".to_owned()) };
    WorkerLine {
        pid: Some(77),
        start: Some(123_456),
        ready_by: Some("listen".to_owned()),
        since_ms: 5,
        restarts: 4,
        last: Some(Last { ended: Some(ended), why: "crash\nforged".to_owned(), at_ms: 9, at_boot_ms: Some(4) }),
        addresses: vec!["[::]:3000".to_owned(), "/run/x.sock".to_owned()],
        until_ms: Some(8),
        supervises: slot == 1,
        ..WorkerLine::new(slot, 7, WorkerState::Ready)
    }
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("read");
    let mut names: Vec<_> = entries.map(|e| e.expect("read").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_what_is_read() {
    let app = tempfile::tempdir().expect("a directory");
    let mut file = StatusFile::new(Some(app.path()), "pm-cluster");
    let workers = [worker(0), worker(1), WorkerLine::new(2, 1, WorkerState::Backoff)];
    file.write(&me(), &workers);
    assert_eq!(read(app.path()).expect("read"), [Status { supervisor: me(), workers: workers.to_vec() }]);
    let directory = app.path().join(DIRECTORY);
    let name = format!("pm-cluster.{}", std::process::id());
    assert_eq!(files(&directory), [format!(".{name}.new"), name.clone()], "and the spare");
    let mode = |path: &Path| path.metadata().expect("is there").permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join(name))), (0o700, 0o600));
    file.write(&me(), &[]);
    assert_eq!(read(app.path()).expect("read").first().map(|s| s.workers.len()), Some(0));
    drop(file);
    assert_eq!(files(&directory), [""; 0], "a clean end leaves nothing");
}

#[test]
fn every_word_comes_back() {
    for state in WorkerState::ALL {
        assert_eq!(WorkerState::from_word(state.word()), Some(*state));
    }
    for state in SupervisorState::ALL {
        assert_eq!(SupervisorState::from_word(state.word()), Some(*state));
    }
    assert_eq!(WorkerState::from_word("online"), None);
}

#[test]
fn unknown_fields_and_broken_lines_are_passed_over() {
    let mut first = me().to_json();
    first["new_field"] = Value::from("x");
    let text = format!(
        "{first}\nnonsense\n{{\"kind\":\"roll\"}}\n{{\"kind\":\"worker\"}}\n[]\n{}\n{{\"kind\"",
        json!(worker(1))
    );
    let status = Status::parse(&text).expect("the first line is right");
    assert_eq!(status.supervisor, me());
    assert_eq!(status.workers, [worker(1)]);
    for bad in ["", "\n", "nonsense\n", "{}\n", "{\"kind\":\"worker\"}\n"] {
        assert_eq!(Status::parse(bad), None, "{bad:?}");
    }
    let tools = ["", "/etc/x", "../x", "a\0b"].map(|tool| ("tool", Value::from(tool)));
    let numbers =
        [("pid", Value::from(0)), ("pid", Value::from(-1)), ("schema", Value::from(2)), ("start", Value::Null)];
    for (key, value) in tools.into_iter().chain(numbers) {
        let mut line = me().to_json();
        line[key] = value;
        assert_eq!(SupervisorLine::from_json(line.clone()), None, "{line}");
    }
}

#[test]
fn the_dead_are_not_read_and_their_files_removed() {
    let app = tempfile::tempdir().expect("a directory");
    let directory = app.path().join(DIRECTORY);
    std::fs::create_dir(&directory).expect("made");
    let mut child = std::process::Command::new("true").spawn().expect("starts");
    let gone = child.id() as i32;
    child.wait().expect("ends");
    let put = |name: &str, line: SupervisorLine| {
        std::fs::write(directory.join(name), format!("{}\n", line.to_json())).expect("written");
    };
    let pid = me().pid;
    put(&format!("pm-a.{gone}"), SupervisorLine { pid: gone, ..me() });
    put(&format!("pm-b.{pid}"), SupervisorLine { start: me().start - 1, ..me() });
    put(&format!("pm-c.{pid}"), SupervisorLine { boot: Some("another".to_owned()), ..me() });
    put(&format!("pm-d.{pid}"), me());
    std::fs::write(directory.join(format!(".pm-a.{gone}.new")), "half").expect("written");
    std::fs::write(directory.join(format!(".pm-b.{pid}.new")), "half").expect("written");
    std::fs::write(directory.join(format!("pm-later.{pid}")), "another form\n").expect("written");
    std::fs::write(directory.join("notes"), "mine").expect("written");
    nix::unistd::mkfifo(&directory.join(format!("pm-fifo.{gone}")), nix::sys::stat::Mode::S_IRWXU).expect("made");
    assert_eq!(read(app.path()).expect("read").len(), 1, "the living alone, and no FIFO waits");
    let _file = StatusFile::new(Some(app.path()), "pm-cluster");
    let left = [format!(".pm-b.{pid}.new"), "notes".to_owned(), format!("pm-d.{pid}"), format!("pm-later.{pid}")];
    assert_eq!(files(&directory), left);
}

#[test]
fn a_disk_that_is_full_for_a_while_is_survived() {
    let app = tempfile::tempdir().expect("a directory");
    // A file where the directory should be stands for any error of the disk.
    std::fs::write(app.path().join(DIRECTORY), "").expect("written");
    let mut file = StatusFile::new(Some(app.path()), "pm-cluster");
    file.write(&me(), &[]);
    assert!(file.warned);
    std::fs::remove_file(app.path().join(DIRECTORY)).expect("removed");
    file.write(&me(), &[]);
    assert!(!file.warned, "tried again");
    assert_eq!(read(app.path()).expect("read").len(), 1);
    // The whole directory may be removed under a running supervisor.
    std::fs::remove_dir_all(app.path().join(DIRECTORY)).expect("removed");
    file.write(&me(), &[worker(0)]);
    assert_eq!(read(app.path()).expect("read").len(), 1);
    let mut none = StatusFile::new(None, "pm-cluster");
    assert!(none.write(&me(), &[]));
    assert!(!none.warned, "without a directory there is nothing to say");
}

#[test]
fn a_roll_is_read_as_far_as_it_is_known() {
    for bad in [json!(null), json!(7), json!({"requested": 1, "started": 1}), json!({"ended": "1"})] {
        assert!(RollReport::deserialize(&bad).is_err(), "{bad}");
        let mut line = me().to_json();
        line["roll"] = bad;
        assert_eq!(SupervisorLine::from_json(line), Some(SupervisorLine { roll: None, ..me() }), "the rest is read");
    }
    let mut line = me().to_json();
    line.as_object_mut().expect("an object").remove("roll");
    assert_eq!(SupervisorLine::from_json(line).and_then(|l| l.roll), None);
    let least = json!({"requested": 2, "started": 1, "ended": 0, "running": {"done": 0}, "later": true});
    let read = RollReport::deserialize(&least).expect("a report");
    assert_eq!(read, RollReport { requested: 2, started: 1, ..RollReport::default() });
}

/// What a supervisor wrote that is no more: of a worker that still lives, pid and start.
fn of_a_killed(pid: i32, start: u64) -> Status {
    let gone = SupervisorLine { tool: "pm-restart".to_owned(), pid: i32::MAX, start: 1, ..me() };
    let lives = WorkerLine { pid: Some(pid), start: Some(start), ..worker(0) };
    Status { supervisor: gone, workers: vec![lives, WorkerLine { pid: Some(i32::MAX), start: Some(1), ..worker(1) }] }
}

#[test]
fn only_the_very_process_of_a_killed_supervisor_is_its_orphan() {
    let pid = std::process::id() as i32;
    let start = procfs::start_time(pid).expect("running");
    let killed = of_a_killed(pid, start);
    let found = |killed: &Status, living: &[Status], holder| {
        let left = orphaned(std::slice::from_ref(killed), living, holder);
        left.iter().flat_map(|s| &s.workers).filter_map(|w| w.pid).collect::<Vec<_>>()
    };
    assert!(!killed.is_alive() && !killed.is_last_words());
    assert_eq!(found(&killed, &[], None), [pid]);
    assert_eq!(found(&of_a_killed(pid, start + 1), &[], None), [0; 0], "another process with its number");
    let mut before = killed.clone();
    before.supervisor.boot = Some("another boot".to_owned());
    assert_eq!(found(&before, &[], None), [0; 0]);
    let parent = nix::unistd::getppid().as_raw();
    assert_eq!(found(&killed, &[], Some(parent)), [0; 0], "it is below the holder of the lock");
    let above = Status { supervisor: SupervisorLine { pid: parent, ..me() }, workers: Vec::new() };
    assert_eq!(found(&killed, &[above], None), [0; 0], "and here below a living supervisor");
    let gave_up = Status {
        supervisor: SupervisorLine { state: SupervisorState::GaveUp, ..killed.supervisor.clone() },
        workers: Vec::new(),
    };
    assert!(gave_up.is_last_words(), "its last words");
}

#[test]
fn the_file_of_a_killed_supervisor_stays_until_its_workers_are_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let directory = dir.path().join(DIRECTORY);
    std::fs::create_dir(&directory).expect("made");
    let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("starts");
    let pid = child.id() as i32;
    let killed = of_a_killed(pid, procfs::start_time(pid).expect("running"));
    let path = directory.join(format!("pm-restart.{}", i32::MAX));
    let lines: Vec<_> = killed.workers.iter().map(|w| format!("{}\n", json!(w))).collect();
    std::fs::write(&path, format!("{}\n{}", killed.supervisor.to_json(), lines.concat())).expect("written");
    let file = StatusFile::new(Some(dir.path()), "pm-cluster");
    forget_killed(dir.path());
    assert!(path.exists(), "its worker would be known to nobody");
    drop(child.stdin.take());
    child.wait().expect("ends");
    drop(file);
    assert!(!path.exists(), "a clean end of the successor leaves nothing");
}

/// The file of the supervisor above may be a moment older than its worker's own.
#[test]
fn a_worker_with_a_file_of_its_own_is_a_supervisor() {
    let (inner, alive) = (me(), WorkerState::Starting);
    let row = |start| WorkerLine { pid: Some(inner.pid), start: Some(start), ..WorkerLine::new(0, 1, alive) };
    let above = Status { supervisor: SupervisorLine { pid: 1, ..me() }, workers: vec![row(inner.start), row(0)] };
    let mut living = [above, Status { supervisor: inner.clone(), workers: vec![worker(0)] }];
    know_supervisors(&mut living);
    let known: Vec<bool> = living.iter().flat_map(|status| &status.workers).map(|worker| worker.supervises).collect();
    assert_eq!(known, [true, false, false], "another process of that number, and an app's worker, are none");
}

/// In a container the kernel gives a unit another name of the boot than its holder's and ours.
#[test]
fn who_holds_the_lock_lives_whatever_boot_it_knows() {
    let other = |told: SupervisorLine| SupervisorLine { boot: Some("another boot".to_owned()), ..told };
    let (own, parent) = (me().pid, nix::unistd::getppid().as_raw());
    let before = |told: SupervisorLine| Status { supervisor: other(told), workers: Vec::new() };
    let left = |holder: i32| {
        let killed = vec![before(me()), before(SupervisorLine { pid: i32::MAX, ..me() })];
        assert!(!killed.iter().any(Status::is_alive));
        let mut told = Told { killed, ..Told::default() };
        told.revive_below(holder);
        (told.living.iter().map(|status| status.supervisor.pid).collect::<Vec<_>>(), told.killed.len())
    };
    assert_eq!(left(own), (vec![own], 1));
    assert_eq!(left(parent), (vec![own], 1), "it runs below the holder");
    assert_eq!(left(i32::MAX), (vec![], 2), "the holder is another");
}

#[test]
fn a_process_belongs_to_the_app_of_the_nearest_supervisor_or_worker_above_it() {
    let place = tempfile::tempdir().expect("a directory");
    let home = crate::app::home::Home::find(|name| (name == "PM_HOME").then(|| place.path().into())).expect("named");
    std::fs::create_dir_all(place.path().join("web")).expect("made");
    let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("runs");
    let pid = child.id() as i32;
    assert_eq!(app_of(&home, pid), None, "nobody says anything");
    let mut file = StatusFile::new(Some(&place.path().join("web")), "pm-cluster");
    assert!(file.write(&me(), &[]));
    assert_eq!(app_of(&home, pid).as_deref(), Some("web"));
    assert_eq!(app_of(&home, 1), None);
    child.kill().and_then(|()| child.wait()).expect("ended");
}

/// The status file of one that gave up, and of one that was killed, in a directory of status files.
fn put_failed_and_killed(directory: &Path) -> [PathBuf; 2] {
    std::fs::create_dir_all(directory).expect("made");
    [("pm-restart", SupervisorState::GaveUp), ("pm-cluster", SupervisorState::Ready)].map(|(tool, state)| {
        let line = SupervisorLine { tool: tool.to_owned(), pid: i32::MAX, start: 1, state, ..me() };
        let path = directory.join(format!("{tool}.{}", i32::MAX));
        std::fs::write(&path, format!("{}\n{}\n", line.to_json(), json!(worker(0)))).expect("written");
        path
    })
}

#[test]
fn one_that_gave_up_and_was_stopped_then_has_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let [failed, killed] = put_failed_and_killed(&dir.path().join(DIRECTORY));
    forget_failure(dir.path());
    forget_killed(dir.path());
    let words = last_words(dir.path()).expect("its last words");
    assert_eq!((words.supervisor.state, words.workers), (SupervisorState::Ended, vec![worker(0)]));
    assert!(failed.exists() && !killed.exists());
}

/// Root stops the apps of all; what another user has is not written to, wherever it leads.
#[test]
fn nothing_is_forgotten_in_a_directory_that_is_not_ours_or_is_a_link() {
    const NOBODY: u32 = 65534;
    let (dir, elsewhere) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    let kept = |app: &Path, files: &[PathBuf]| {
        let read = || files.iter().map(|path| std::fs::read(path).ok()).collect::<Vec<_>>();
        let before = read();
        forget_failure(app);
        forget_killed(app);
        assert!(before.iter().all(Option::is_some) && read() == before, "{}", app.display());
    };
    let linked = dir.path().join("linked");
    std::fs::create_dir(&linked).expect("made");
    let aim = put_failed_and_killed(elsewhere.path());
    std::os::unix::fs::symlink(elsewhere.path(), linked.join(DIRECTORY)).expect("linked");
    kept(&linked, &aim);
    if !nix::unistd::geteuid().is_root() {
        return; // Only root can give a directory away.
    }
    for (name, given) in [("theirs", ""), ("inner", DIRECTORY)] {
        let app = dir.path().join(name);
        let files = put_failed_and_killed(&app.join(DIRECTORY));
        std::os::unix::fs::chown(app.join(given), Some(NOBODY), None).expect("given away");
        kept(&app, &files);
    }
}
