//! `--on EVENT=CMD`: commands that are run when something happens.

use std::fs;

use nix::sys::signal::Signal::{SIGKILL, SIGSEGV, SIGTERM};
use pm_tests::chain::Chain;
use pm_tests::front::Front;
use pm_tests::scene::Scene;
use pm_tests::{any, http, proc, roll, wait};

/// Serves, and breaks where it is told to.
const APP: &str = "require('./code.js')\n\
    require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT)\n";

/// Writes a line with all facts to the file `told`; what it finds in the environment of the app, too.
const TELL: &str = "#!/bin/sh\n\
    printf '%s|%s|%s|%s|%s|%s|%s|%s|%s\\n' \"$PM_EVENT\" \"$PM_APP\" \"$PM_SLOT\" \"$PM_GENERATION\" \"$PM_PID\" \
    \"$PM_EXIT_CODE$PM_EXIT_SIGNAL\" \"$PM_REASON\" \"$(printf '%s' \"$PM_LAST_LINES\" | tr '\\n' '/')\" \"$PORT$PM_POLICY\" >> told\n";

fn scene() -> Scene {
    let scene = Scene::with_node(24);
    files(&scene);
    scene
}

fn files(scene: &Scene) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = scene.file("app.js", APP);
    let _ = scene.file("code.js", "\n");
    let script = scene.file("tell.sh", TELL);
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("ours");
}

/// What was told so far, each as its facts.
fn told(scene: &Scene) -> Vec<Vec<String>> {
    let text = fs::read_to_string(scene.dir().join("told")).unwrap_or_default();
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

fn events(scene: &Scene) -> Vec<String> {
    told(scene).into_iter().map(|facts| facts[0].clone()).collect()
}

/// Waits until so many were told.
#[track_caller]
fn until(scene: &Scene, count: usize) -> Vec<Vec<String>> {
    wait::until("hooks", || Some(told(scene)).filter(|told| told.len() >= count))
}

const ALL: &str =
    "--on crash=./tell.sh --on gave-up=./tell.sh --on aborted=./tell.sh --on ready=./tell.sh --on stopped=./tell.sh";

fn end(chain: &Chain) {
    chain.signal(SIGTERM);
    let _ = chain.ended();
}

#[test]
fn a_cluster_tells_what_happens_to_its_workers_once() {
    let scene = scene();
    let chain = scene.start(&format!("pm-restart {ALL} pm-cluster -n 2 --soak 0s node app.js"));
    let first = any::serving(&chain, 2);
    assert_eq!(until(&scene, 1)[0][..3], ["ready", "app", ""]);
    let pid = *first.values().next().expect("a worker");
    proc::send(pid, SIGSEGV);
    let told_now = until(&scene, 3);
    let crash = &told_now[1];
    assert_eq!((crash[0].as_str(), crash[3].as_str(), crash[5].as_str()), ("crash", "1", "SEGV"));
    assert_eq!(crash[4], pid.to_string());
    assert!(crash[6].starts_with("worker ended slot=") && crash[6].contains("why=crash"), "{crash:?}");
    assert_eq!(crash[8], scene.port.to_string(), "the environment of the app, and no policy");
    assert_eq!(told_now[2][0], "ready");
    let _ = scene.file("code.js", "throw new Error('broken')\n");
    roll::ask(&chain);
    let aborted = until(&scene, 4)[3].clone();
    assert!(aborted[0] == "aborted" && aborted[6].contains("the new worker ended before it was ready"), "{aborted:?}");
    end(&chain);
    assert_eq!(events(&scene), ["ready", "crash", "ready", "aborted", "stopped"], "{}", chain.output());
}

#[test]
fn a_plain_program_and_a_restart_that_gives_up() {
    let scene = scene();
    let chain = scene.start(&format!("pm-restart --intensity 1/60s --backoff 1ms..1ms {ALL} node app.js"));
    let first = wait::until("an answer", || any::answer(&scene));
    until(&scene, 1);
    let _ = scene.file("code.js", "process.exit(7)\n");
    proc::send(first.parse().expect("a pid"), SIGKILL);
    assert_eq!(chain.ended(), Some(7), "{}", chain.output());
    let told = told(&scene);
    let short: Vec<_> = told.iter().map(|facts| (facts[0].as_str(), facts[2].as_str(), facts[5].as_str())).collect();
    assert_eq!(short, [("ready", "", ""), ("crash", "0", "KILL"), ("crash", "0", "7"), ("gave-up", "", "7")]);
}

#[test]
fn hooks_run_one_by_one_nobody_waits_and_too_many_are_dropped() {
    let scene = scene();
    let _ = scene.file("app.js", "setTimeout(() => process.exit(3), 1)\n");
    let gate = scene.dir().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().expect("mkfifo").success());
    let chain = scene.start_words(&[
        "pm-restart",
        "--backoff",
        "1ms..1ms",
        "--intensity",
        "10000/1s",
        "--on",
        "crash=echo begun; read x < gate; echo done; exit 4",
        "node",
        "app.js",
    ]);
    chain.until("thirty crashes", || (chain.messages("worker ended").len() >= 30).then_some(()));
    assert_eq!(chain.lines(pm_tests::chain::Stream::Err).iter().filter(|line| *line == "begun").count(), 1);
    fs::write(&gate, "go\n").expect("written");
    let failed = chain.line("a hook has failed");
    assert!(failed.contains("code=4 event=crash hook=echo begun; read x < gate"), "{failed}");
    // Each that follows waits in its turn.
    chain.until("the next one", || {
        (chain.lines(pm_tests::chain::Stream::Err).iter().filter(|line| *line == "begun").count() == 2).then_some(())
    });
    chain.signal(SIGTERM);
    let dropped = chain.line("hooks were not run");
    assert!(dropped.contains("dropped="), "{dropped}");
    assert!(chain.line("a hook was killed").contains("limit=5000ms"), "{}", chain.output());
    assert_eq!(chain.ended(), Some(0));
    assert!(scene.processes().is_empty(), "nothing of a hook is left");
}

#[test]
fn a_hook_is_no_part_of_a_worker_and_what_it_leaves_ends_with_it() {
    let scene = scene();
    let chain = scene.start_words(&[
        "pm-restart",
        "--on",
        "ready=sleep 1000 & echo $! > left; read x < gate",
        "--on",
        "crash=./tell.sh",
        "node",
        "app.js",
    ]);
    assert!(std::process::Command::new("mkfifo").arg(scene.dir().join("gate")).status().expect("mkfifo").success());
    let left: u32 = wait::until("the hook", || fs::read_to_string(scene.dir().join("left")).ok()?.trim().parse().ok());
    let first = wait::until("an answer", || any::answer(&scene));
    proc::send(first.parse().expect("a pid"), SIGKILL);
    wait::until("another", || any::answer(&scene).filter(|pid| *pid != first));
    assert!(proc::alive(left), "the end of a worker is no end of a hook");
    assert_eq!(events(&scene), [""; 0], "one at a time");
    chain.signal(SIGTERM);
    let _ = chain.ended();
    wait::until("the end of what it left", || (!proc::alive(left)).then_some(()));
}

#[test]
fn a_supervisor_that_is_killed_is_told_by_the_one_above() {
    let scene = scene();
    let chain = scene.start(&format!("pm-restart {ALL} pm-cluster -n 1 --soak 0s node app.js"));
    let _ = any::serving(&chain, 1);
    until(&scene, 1);
    proc::send(scene.process("pm-cluster").expect("it runs"), SIGKILL);
    let told = until(&scene, 3);
    assert_eq!((told[1][0].as_str(), told[1][5].as_str()), ("crash", "KILL"), "{told:?}");
    assert_eq!(told[2][0], "ready", "{told:?}");
    end(&chain);
    assert_eq!(events(&scene).last().map(String::as_str), Some("stopped"));
}

#[test]
fn a_file_and_an_option_of_start_with_the_last_lines() {
    let front = Front::new();
    files(&front.scene);
    let _ = front.scene.file("code.js", "console.error('the reason'); setTimeout(() => process.exit(9), 300)\n");
    let _ = front.scene.file(
        "eco.json",
        r#"{ "name": "web", "script": "app.js", "on": { "crash": ["./tell.sh", "exit 2"], "gave_up": "./tell.sh", "ready": false } }"#,
    );
    front.ok("start eco.json");
    let told_now = until(&front.scene, 1);
    assert_eq!(told_now[0][..2], ["crash", "web"]);
    assert!(told_now[0][7].contains("the reason"), "{told_now:?}");
    let described = front.ok("describe web").out;
    assert!(described.contains("at crash: ./tell.sh; at crash: exit 2; at gave-up: ./tell.sh"), "{described}");
    front.ok("delete web");
    let _ = fs::remove_file(front.scene.dir().join("told"));
    let _ = front.scene.file("code.js", "\n");
    front.ok("start app.js -i 2 --on stopped=./tell.sh");
    http::get(front.scene.port, "/").expect("served");
    front.ok("reload app");
    front.ok("stop app");
    assert_eq!(events(&front.scene), ["stopped"]);
    let said = front.line("start app.js --name b --on burn=x");
    assert!(said.code == 1 && said.err.contains("EVENT is one of crash, gave-up, aborted"), "{said:?}");
    front.ok("delete all");
}
