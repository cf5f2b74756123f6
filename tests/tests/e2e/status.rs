//! pm-stat tells the truth.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
use pm_tests::scene::Scene;
use pm_tests::stat::{self, Line};
use pm_tests::{http, proc};

fn ready(scene: &Scene, chain: &pm_tests::chain::Chain, count: usize) -> Vec<Line> {
    chain.until(&format!("{count} ready workers"), || {
        let lines = stat::workers(scene);
        (lines.iter().filter(|l| l.state() == "ready").count() == count).then_some(lines)
    })
}

#[test]
fn every_worker_has_a_line_with_all_it_needs() {
    let scene = Scene::with_node(24);
    let chain = scene.start(crate::MAIN_LINE);
    let serving = chain.serving(2);
    let lines = ready(&scene, &chain, 2);
    for (slot, line) in lines.iter().enumerate() {
        assert_eq!(line.text("app"), "app", "{line:?}");
        assert_eq!(line.number("slot"), slot as u64);
        assert!(serving.contains(&line.pid().expect("a pid")), "{line:?}");
        assert_eq!(line.number("restarts"), 0);
        assert_eq!(line.text("ready_by"), "listen", "{line:?}");
        assert!(line.number("generation") <= 2, "{line:?}");
        assert!(line.0["uptime_s"].as_f64().is_some_and(|s| (0.0..60.0).contains(&s)), "{line:?}");
        assert!(line.number("rss_bytes") > 10 << 20, "{line:?}");
        assert!(line.0["cpu_pct"].is_number(), "{line:?}");
        let listen = line.0["listen"].to_string();
        assert!(listen.contains(&scene.port.to_string()), "{line:?}");
    }
    chain.stop();
}

#[test]
fn a_crash_is_told_with_its_signal_and_a_new_generation() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart pm-cluster -n 2 node $F/app.js");
    chain.serving(2);
    let before = ready(&scene, &chain, 2);
    proc::send(before[1].pid().expect("a pid"), SIGKILL);
    let after = chain.until("a restart", || {
        let lines = stat::workers(&scene);
        lines.iter().any(|l| l.number("restarts") == 1 && l.state() == "ready").then_some(lines)
    });
    assert_eq!(after[0].pid(), before[0].pid());
    assert_eq!(after[1].number("generation"), before[1].number("generation") + 1);
    let text = after[1].0.to_string();
    assert!(text.contains("KILL") && text.contains("crash"), "{text}");
    chain.stop();
}

#[test]
fn an_exit_is_told_with_its_code() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart pm-cluster -n 1 node $F/app.js");
    chain.serving(1);
    ready(&scene, &chain, 1);
    http::get(scene.port, "/die?23").expect("answers before it goes");
    let line = chain.until("a restart", || stat::workers(&scene).into_iter().find(|l| l.number("restarts") == 1));
    assert!(line.0.to_string().contains("23"), "{line:?}");
    chain.stop();
}

/// A program that listens nowhere is ready for no better reason than that it lives, and the line says so.
#[test]
fn ready_by_being_alive_is_told_as_such() {
    let scene = Scene::new();
    let chain = scene.start("pm-cluster -n 1 --ready-after 100ms sleep 1000");
    let lines = ready(&scene, &chain, 1);
    // Until it is seen to rest.
    assert!(["alive", "idle"].contains(&lines[0].text("ready_by")), "{lines:?}");
    chain.stop();
}

#[test]
fn a_plain_child_has_a_line_too() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart node $F/app.js");
    chain.serving(1);
    let lines = ready(&scene, &chain, 1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].text("app"), "app");
    chain.stop();
}

#[test]
fn a_clean_end_leaves_no_line() {
    let scene = Scene::with_node(24);
    let chain = scene.start(crate::MAIN_LINE);
    ready(&scene, &chain, 2);
    chain.stop();
    assert!(stat::workers(&scene).is_empty());
}

/// A supervisor that was killed removes nothing: what it left is not shown as alive.
#[test]
fn a_stale_file_is_never_shown_as_alive() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 node $F/app.js");
    ready(&scene, &chain, 1);
    // The worker must not go on either, so that its own line is stale, too.
    scene.kill_all();
    chain.wait();
    let alive = |l: &Line| matches!(l.state(), "ready" | "starting" | "draining");
    let lines = stat::workers(&scene);
    assert!(!lines.iter().any(alive), "{lines:?}");
}

/// The pid of a stale line may be another process's by now; its start time tells.
#[test]
fn a_reused_pid_is_not_taken_for_the_worker() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 node $F/app.js");
    let line = ready(&scene, &chain, 1).remove(0);
    scene.kill_all();
    chain.wait();
    let other = scene.start("sleep 1000");
    // The file as it would read if the new process had been given the old one's number.
    let (old, new) = (line.pid().expect("a pid").to_string(), other.pid().to_string());
    let dir = scene.dir().join("pm/app/status.d");
    for entry in fs::read_dir(&dir).expect("the killed supervisor left it").flatten() {
        let text = fs::read_to_string(entry.path()).expect("readable").replace(&old, &new);
        fs::write(entry.path(), text).expect("writable");
    }
    let lines = stat::workers(&scene);
    assert!(!lines.iter().any(|l| l.state() == "ready"), "{lines:?}");
}

#[test]
fn an_app_that_does_not_exist_is_exit_1() {
    let scene = Scene::with_node(24);
    let output = stat::run(&scene, &["nothing"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let chain = scene.start("pm-cluster -n 1 node $F/app.js");
    ready(&scene, &chain, 1);
    assert_eq!(stat::run(&scene, &["app"]).status.code(), Some(0));
    let both = stat::run(&scene, &["app", "nothing"]);
    assert_eq!(both.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&both.stdout).contains("\"app\""), "the one that exists is shown all the same");
    chain.stop();
}

/// The files answer, not the supervisor: a stopped one is no obstacle.
#[test]
fn a_stopped_supervisor_does_not_keep_the_answer() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 2 node $F/app.js");
    ready(&scene, &chain, 2);
    chain.signal(SIGSTOP);
    assert_eq!(stat::workers(&scene).len(), 2);
    chain.signal(nix::sys::signal::Signal::SIGCONT);
    chain.stop();
}

#[test]
fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 node $F/app.js");
    ready(&scene, &chain, 1);
    let mode = |path: &std::path::Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    let app = scene.dir().join("pm/app");
    assert_eq!(mode(&app), 0o700);
    for entry in fs::read_dir(app.join("status.d")).expect("exists").flatten() {
        assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
    }
    chain.stop();
}

#[test]
fn without_a_place_to_write_the_chain_runs_with_one_warning() {
    let scene = Scene::with_node(24).with("PM_HOME", "/proc/no/such/place");
    let chain = scene.start("pm-cluster -n 1 node $F/app.js");
    chain.serving(1);
    assert_eq!(chain.messages(": warning: ").len(), 1, "{}", chain.output());
    let check = |home: &str, app: &str| {
        let output = scene.command(&["pm-stat", "--check", app]).env("PM_HOME", home).output().expect("pm-stat");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = check("/proc/no/such/place", "app");
    assert!(code == Some(4) && said.starts_with("cannot know: app may run (pid="), "{code:?} {said}");
    for (home, app) in [("/proc/no/such/place", "other"), ("/proc/another/place", "app")] {
        let (code, said) = check(home, app);
        assert!(code == Some(1) && said.contains("no such app"), "{code:?} {said}");
    }
    chain.stop();
    assert_eq!(check("/proc/no/such/place", "app").0, Some(1), "it runs no longer");
}

/// It was taken for one that could write nowhere, and a wait for it ended at once.
#[test]
fn a_supervisor_that_has_started_nothing_yet_is_not_one_without_a_place() {
    let scene = Scene::new().with("PM_APP", "web");
    let shell = scene.dir().join("pm-restart");
    fs::copy("/bin/sh", &shell).expect("copied");
    let starts = |script: &str| {
        let mut command = scene.command(&["env"]);
        command.arg(&shell).args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut said = [0; 3];
        child.stdout.as_mut().expect("piped").read_exact(&mut said).expect("it runs");
        child
    };
    let check = || {
        let output = scene.command(&["pm-stat", "--check", "web"]).output().expect("pm-stat");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (script, code, part) in [
        ("echo go; read end", 1, "no such app"),
        ("sleep 1000 & echo go; read end; kill $!", 4, "cannot know: web may run (pid="),
    ] {
        let mut child = starts(script);
        let (got, said) = check();
        assert!(got == Some(code) && said.contains(part), "{script}: {got:?} {said}");
        drop(child.stdin.take());
        let _ = child.wait();
    }
}
