//! A PM_HOME that users share (root's, with the sticky bit, as on a tmpfs of a container): what one of them plants in the
//! directory of an app of his own neither ends a process of root's, nor runs as root.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use pm_tests::front::Front;
use pm_tests::{proc, wait};
use serde_json::json;

use super::foreign::{THEIRS, proc_start};

/// The shared place, and a process of root's.
struct Shared {
    front: Front,
    victim: Child,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

impl Shared {
    fn new() -> Self {
        let front = Front::new();
        front.scene.open_to_all();
        let home = front.scene.dir().join("pm");
        std::fs::create_dir(&home).expect("made");
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o1777)).expect("ours");
        let victim = front.scene.command(&["sleep", "1000"]).stdin(Stdio::null()).spawn().expect("sleep");
        Self { front, victim }
    }

    /// What the other user plants for an app of this name: to be started so, and with a worker that a supervisor which was
    /// killed has left.
    fn plant(&self, name: &str, argv: &[&str]) -> PathBuf {
        let dir = self.front.scene.dir().join("pm").join(name);
        std::fs::create_dir_all(dir.join("status.d")).expect("made");
        let victim = self.victim.id();
        let start = json!({ "id": 7, "schema": 1, "name": name, "argv": argv, "cwd": "/", "env": {} });
        let supervisor = json!({
            "kind": "supervisor", "schema": 1, "app": name, "tool": "pm-cluster\u{1b}[31m", "version": "0", "pid": 4_000_000,
            "start": 5, "state": "ready", "since_ms": 1, "workers": 1, "ready": 1, "policy": {}, "addresses": [],
        });
        let worker = json!({
            "kind": "worker", "slot": 0, "generation": 1, "state": "ready", "pid": victim, "start": proc_start(victim),
        });
        std::fs::write(dir.join("start.json"), start.to_string()).expect("written");
        std::fs::write(dir.join("status.d/pm-cluster.4000000"), format!("{supervisor}\n{worker}\n")).expect("written");
        std::fs::write(dir.join("lock"), "").expect("written");
        give_away(&dir);
        dir
    }

    #[track_caller]
    fn lives(&mut self, what: &str) {
        assert!(self.victim.try_wait().expect("ours").is_none(), "root killed its own process: {what}");
    }
}

fn give_away(path: &Path) {
    chown(path, Some(THEIRS), Some(THEIRS)).expect("given away");
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        give_away(&entry.path());
    }
}

#[test]
fn root_ends_nothing_for_another_user_but_that_users_own() {
    let mut shared = Shared::new();
    shared.plant("web", &["sleep", "1"]);
    for line in ["stop web", "stop all", "kill", "restart web", "delete web"] {
        let said = shared.front.line(line);
        shared.lives(&format!("{line}: {said:?}"));
    }
}

/// Whoever types `kill $(pm pid web)` as root kills what the other user names.
#[test]
fn a_process_of_roots_is_no_part_of_another_users_app() {
    let mut shared = Shared::new();
    let dir = shared.plant("web", &["sleep", "1"]);
    let ids = [format!("--reuid={THEIRS}"), format!("--regid={THEIRS}")];
    let words = ["setpriv", &ids[0], &ids[1], "--clear-groups", "sleep", "1000"];
    let mut own = shared.front.scene.command(&words).stdin(Stdio::null()).spawn().expect("setpriv");
    wait::until("another user's process", || (proc::name(own.id()) == "sleep").then_some(()));
    for supervisor in [shared.victim.id(), own.id()] {
        let line = |kind: &str, pid: u32| {
            json!({ "kind": kind, "schema": 1, "app": "web", "tool": "pm-restart", "version": "0", "pid": pid,
                "start": proc_start(pid), "state": "ready", "since_ms": 1, "workers": 1, "ready": 1, "slot": 0, "generation": 1 })
        };
        let text = format!("{}\n{}\n", line("supervisor", supervisor), line("worker", shared.victim.id()));
        std::fs::write(dir.join(format!("status.d/pm-restart.{supervisor}")), text).expect("written");
        give_away(&dir);
        let victim = shared.victim.id().to_string();
        for verb in ["pid web", "list", "describe web", "jlist"] {
            let said = shared.front.line(verb);
            assert!(!said.out.contains(&victim), "{verb}: {said:?}");
        }
        for line in ["sendSignal TERM web", "reload web", "scale web 2", "stop web"] {
            let said = shared.front.line(line);
            shared.lives(&format!("{line}: {said:?}"));
        }
    }
    let _ = own.kill();
    own.wait().expect("ours");
}

/// A name that turns the text behind it, or moves the cursor (U+009B begins a sequence as ESC does).
#[test]
fn a_name_reaches_the_terminal_as_text_alone() {
    let shared = Shared::new();
    let dir = shared.plant("we\u{202e}b", &["sleep", "1"]);
    std::fs::write(dir.join("out.log"), "hello\n").expect("written");
    give_away(&dir);
    for verb in
        ["list", "describe all", "logs --nostream", "prettylist", "stop all", "restart all", "scale all 2", "save"]
    {
        let said = shared.front.line(verb);
        let text = said.out.clone() + &said.err;
        assert!(!text.contains(['\u{202e}', '\u{1b}', '\u{9b}']), "{verb}: {said:?}");
    }
}

/// `--check` names the tool that a status file names.
#[test]
fn nothing_that_is_planted_reaches_the_terminal_but_its_text() {
    let shared = Shared::new();
    shared.plant("web", &["sleep", "1"]);
    for args in [&["--check"][..], &["--check", "web"], &["--describe", "web"], &["--table"]] {
        let output = shared.front.scene.command(&[&["pm-stat"][..], args].concat()).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("web") && !text.contains('\u{1b}'), "{args:?}: {text:?}");
    }
}

#[test]
fn root_starts_and_saves_nothing_that_another_user_has_written() {
    let shared = Shared::new();
    let mark = shared.front.scene.dir().join("mark");
    let argv = ["sh", "-c", &format!("touch {}; exec sleep 1000", mark.display())];
    let dir = shared.plant("web", &argv);
    for line in ["start web", "restart web", "start all"] {
        let said = shared.front.line(line);
        assert!(said.code != 0 && said.err.contains(&format!("belongs to user {THEIRS}")), "{line}: {said:?}");
        assert!(said.err.contains("do it as its owner: setpriv --reuid=65534"), "{line}: {said:?}");
    }
    shared.front.ok("start idle.js");
    let said = shared.front.ok("save");
    assert!(said.err.contains(&format!("not saved: app 'web' is user {THEIRS}'s")), "{said:?}");
    assert!(said.err.contains("saved 1 app in"), "{said:?}");
    std::fs::remove_dir_all(dir).expect("removed by its owner");
    shared.front.ok("resurrect");
    shared.front.ok("start all");
    assert!(!mark.exists(), "root ran it");
    assert_eq!(shared.front.list(), ["idle:online"]);
    shared.front.ok("delete all");
}

/// `pm resurrect` runs at boot, and the first to save is who has the list.
#[test]
fn root_resurrects_nothing_that_another_user_has_saved() {
    let shared = Shared::new();
    let mark = shared.front.scene.dir().join("mark");
    let start = json!({
        "id": 1, "schema": 1, "name": "web", "namespace": "default", "mode": "fork", "cwd": "/", "state": "online",
        "argv": ["sh", "-c", format!("touch {}; exec sleep 1000", mark.display())], "env": { "PATH": "/usr/bin:/bin" },
    });
    for name in [".saved", ".saved.bak"] {
        let path = shared.front.scene.dir().join("pm").join(name);
        std::fs::write(&path, format!("{start}\n{{\"saved\":1}}\n")).expect("written");
        give_away(&path);
    }
    let said = shared.front.line("resurrect");
    assert!(said.code != 0 && said.err.contains(&format!("is a list of user {THEIRS}'s")), "{said:?}");
    assert!(!mark.exists() && shared.front.list().is_empty(), "root ran it");
    // What root saves takes its place.
    shared.front.ok("start idle.js");
    shared.front.ok("save");
    shared.front.ok("kill");
    shared.front.ok("resurrect");
    shared.front.ok("delete all");
}

/// A user who shares the place sees his own apps, and hears once whose he does not see.
#[test]
fn a_directory_that_may_not_be_read_is_left_out() {
    let shared = Shared::new();
    let scene = &shared.front.scene;
    let dir = shared.plant("web", &["sleep", "1"]);
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).expect("ours");
    let user = |line: &str| {
        let words = ["setpriv", "--reuid=33", "--regid=33", "--clear-groups"];
        let line = scene.expand(line);
        let words: Vec<_> = words.into_iter().chain(line.split(' ')).collect();
        let output = scene.command(&words).stdin(Stdio::null()).output().expect("setpriv");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let said = "left out, as other users' files that we may not read: web";
    for line in [
        "$T/front/pm start idle.js",
        "$T/front/pm list",
        "$T/front/pm logs --nostream",
        "$T/front/pm reload idle",
        "$T/front/pm restart all",
        "pm-stat --check",
        "$T/front/pm stop idle",
        "$T/front/pm start idle",
        "$T/front/pm delete all",
    ] {
        let (code, out, err) = user(line);
        assert_eq!((code, err.matches(said).count()), (Some(0), 1), "{line}: {out}{err}");
    }
    for line in ["$T/front/pm stop web", "pm-stat --match web"] {
        let (code, out, err) = user(line);
        assert_eq!(code, Some(1), "{line}: {out}{err}");
        assert!(err.contains(&format!("no app 'web'; 'web' belongs to user {THEIRS}")), "{line}: {out}{err}");
        assert!(err.contains("do it as its owner: sudo -u nobody pm ..."), "{line}: {out}{err}");
    }
}

/// What the owner could end himself, root may end for him.
#[test]
fn root_stops_an_app_of_another_user() {
    let shared = Shared::new();
    let words =
        ["setpriv", &format!("--reuid={THEIRS}"), "--regid=65534", "--clear-groups", "pm-fork", "--name", "web"];
    let output = shared.front.scene.command(&[&words[..], &["sleep", "1000"]].concat()).output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(shared.front.list(), ["web:online"]);
    shared.front.ok("stop web");
    assert_eq!(shared.front.list(), ["web:stopped"]);
    // The files with the locks are the other user's, who was first.
    shared.front.ok("start idle.js");
    shared.front.ok("restart idle");
    shared.front.ok("delete idle");
}

/// With `hidepid`, a user sees nothing of a program that has become root (`sudo`), and cannot end it.
#[test]
fn a_stop_of_what_cannot_be_seen_says_so() {
    let scene = pm_tests::any::scene();
    scene.open_to_all();
    let script = "set -e; mount -t proc -o hidepid=2 proc /proc; cp \"$(command -v setpriv)\" root; chmod 4755 root\n\
        user() { setpriv --reuid=www-data --regid=www-data --clear-groups timeout -k 1 20 \"$@\"; }\n\
        user pm-fork --name hidden ./root --reuid=0 sleep 1000\n\
        code=0; user pm-fork --stop hidden || code=$?\n\
        kill -KILL \"$(cat pm/hidden/pid)\"; exit $code";
    let output = scene.command(&["unshare", "-m", "sh", "-c", script]).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("nothing is to be seen of it in /proc (hidepid?)"), "{said}");
}
