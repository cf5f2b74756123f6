//! Waits: each says what for, notices who cannot act, and has an end.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Instant;

use nix::sys::signal::Signal::{SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM};
use pm_tests::chain::Chain;
use pm_tests::front::Front;
use pm_tests::{http, proc, stat, wait};

use super::front_mishaps::STOPS_ONCE_LET;
use super::orphans::supervisors;

/// A wait for a supervisor that is suspended ends by itself; here it may take so many seconds.
const PATIENCE: f64 = 100.0;

fn suspended(front: &Front) -> u32 {
    front.ok("start app.js -i 2");
    let cluster = *supervisors(front, "app").last().expect("two");
    proc::send(cluster, SIGSTOP);
    wait::until("it to be suspended", || (proc::state(cluster) == Some('T')).then_some(()));
    cluster
}

/// As far as its supervisor knows it is ready.
#[test]
fn a_suspended_worker_is_shown_wherever_its_app_is() {
    let front = Front::new();
    front.ok("start sleep --name nap -- 1000");
    let worker = stat::workers(&front.scene)[0].pid().expect("it runs");
    proc::send(worker, SIGSTOP);
    wait::until("it to be suspended", || (proc::state(worker) == Some('T')).then_some(()));
    let remedy = format!("nap: slot 0 is suspended: pid={worker}; to let it go on: kill -CONT {worker}");
    let list = front.ok("list").out;
    assert!(list.contains(&remedy) && !list.contains("online"), "{list}");
    assert!(front.ok("describe nap").out.contains("slot 0 is suspended"));
    assert_eq!(stat::workers(&front.scene)[0].0["suspended"], true);
    proc::send(worker, SIGCONT);
    wait::until("it to go on", || (proc::state(worker) != Some('T')).then_some(()));
    let list = front.ok("list").out;
    // By then it may have slept long enough to be known to serve nobody.
    let goes_on = list.contains("not listening yet") || list.contains("online");
    assert!(!list.contains("suspended") && goes_on, "{list}");
}

#[test]
fn a_suspended_supervisor_is_shown_wherever_its_app_is() {
    let front = Front::new();
    let cluster = suspended(&front);
    let remedy = format!("pm-cluster is suspended: pid={cluster}; to let it go on: kill -CONT {cluster}");
    for line in ["list", "describe app"] {
        let said = front.ok(line);
        assert!(said.out.contains(&remedy), "{line}: {said:?}");
    }
    let lines = stat::workers(&front.scene);
    assert!(lines.iter().all(|line| line.number("supervisor_suspended") == u64::from(cluster)), "{lines:?}");
    proc::send(cluster, SIGCONT);
    wait::until("it to go on", || (proc::state(cluster) != Some('T')).then_some(()));
    assert!(!front.ok("list").out.contains("suspended"));
    assert!(stat::workers(&front.scene).iter().all(|line| line.0.get("supervisor_suspended").is_none()));
}

#[test]
fn a_reload_and_a_scale_of_a_suspended_supervisor_name_it_and_end() {
    let front = Front::new();
    let cluster = suspended(&front);
    for line in ["reload app", "scale app 3"] {
        let before = Instant::now();
        let said = front.line(line);
        assert_eq!(said.code, 124, "{line}: {said:?}");
        assert!(said.err.contains(&format!("kill -CONT {cluster}")), "{line}: {said:?}");
        assert!(!said.err.contains("old workers go on"), "{line}: {said:?}");
        assert!(before.elapsed().as_secs_f64() < PATIENCE, "{line}: {said:?}");
    }
    proc::send(cluster, SIGCONT);
}

#[test]
fn who_is_suspended_is_said_within_seconds_and_once_it_goes_on_the_wait_ends_well() {
    let front = Front::new();
    let cluster = suspended(&front);
    let reload = front.start(&["-s", "reload", "app"]);
    reload.line(&format!("kill -CONT {cluster}"));
    proc::send(cluster, SIGCONT);
    assert_eq!(reload.wait().code(), Some(0), "{}", reload.output());
}

#[test]
fn a_stop_and_a_restart_of_a_suspended_supervisor_let_it_go_on() {
    for which in [0, 1] {
        let front = Front::new();
        front.ok("start app.js -i 2");
        for verb in ["restart", "stop"] {
            let pid = supervisors(&front, "app")[which];
            proc::send(pid, SIGSTOP);
            let said = front.ok(&format!("{verb} app"));
            // The lower one may have been let go on by the upper one, as any worker is.
            let is_said = said.err.contains(&format!("pid={pid} was suspended")) || which == 1;
            assert!(!proc::alive(pid) && is_said, "{verb}: {said:?}");
        }
        assert_eq!(front.list(), ["app:stopped"]);
    }
}

#[test]
fn a_chain_that_ignores_the_signal_is_killed_after_the_grace_and_that_is_said() {
    let front = Front::new();
    let script = front.scene.file("deaf.sh", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1000; done\n");
    let _ = pm_tests::fork::run(&front.scene, &format!("--name deaf {}", script.display())).ok();
    let pid: u32 = pm_tests::fork::file(&front.scene, "deaf", "pid").trim().parse().expect("a pid");
    wait::until("the shell to ignore TERM", || {
        (proc::signals(pid, "SigIgn") & 1 << (SIGTERM as i32 - 1) != 0).then_some(())
    });
    let said = front.ok("stop deaf");
    assert!(!proc::alive(pid));
    assert!(said.err.contains("waiting for 'deaf' to finish") && said.err.contains(&format!("pid={pid}")), "{said:?}");
    assert!(said.err.contains("killed"), "{said:?}");
}

#[test]
fn a_stop_whose_supervisor_never_hears_of_it_ends_with_its_name() {
    let front = Front::new();
    let script = front.scene.file("deaf.sh", "#!/bin/sh\ntrap '' TERM\npm-restart --grace 100ms sleep 1000\n");
    let _ = pm_tests::fork::run(&front.scene, &format!("--name deaf {}", script.display())).ok();
    let pid: u32 = pm_tests::fork::file(&front.scene, "deaf", "pid").trim().parse().expect("a pid");
    wait::until("the supervisor to say something", || (!supervisors(&front, "deaf").is_empty()).then_some(()));
    let said = front.line("stop deaf");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains(&format!("pid={pid}")) && said.err.contains("TERM"), "{said:?}");
    // What it says helps: the supervisor below takes over, and a stop reaches it.
    proc::send(pid, SIGKILL);
    wait::until("it to be gone", || (!proc::alive(pid)).then_some(()));
    front.ok("stop deaf");
    assert_eq!(front.list(), ["deaf:stopped"]);
}

#[test]
fn a_reload_that_a_stop_cuts_short_does_not_say_that_the_old_workers_go_on() {
    let front = Front::new();
    front.ok("start app.js -i 2");
    let _ = front.scene.file("app.js", "setInterval(() => {}, 1e6)\n");
    let reload = front.start(&["-s", "reload", "app"]);
    wait::until("the reload to begin", || {
        let line = stat::run(&front.scene, &["--describe", "app"]);
        String::from_utf8_lossy(&line.stdout).contains("under way").then_some(())
    });
    front.ok("stop app");
    assert_ne!(reload.wait().code(), Some(0));
    let said = reload.output();
    assert!(!said.contains("old workers go on"), "{said}");
    assert!(said.contains("stop") || said.contains("ended"), "{said}");
    assert!(http::pids(front.scene.port, 1).is_empty());
}

#[test]
fn on_a_terminal_the_line_is_kept_up_to_date_and_goes_at_the_end() {
    let front = Front::new();
    let cluster = suspended(&front);
    let script = front.scene.dir().join("front/pm");
    let terminal = super::terminal::open(&front.scene, &[script.to_str().expect("UTF-8"), "-s", "reload", "app"]);
    terminal.hear(&format!("to let it go on: kill -CONT {cluster}\r\n"), 1);
    // Each second, as far as the machine lets it.
    let line = |seconds: u32| format!("\r\x1b[Kpm: info: reloading 'app', {seconds}s");
    terminal.hear_match("a line that is kept up to date", |seen| (2..60).any(|s| seen.contains(&line(s))));
    proc::send(cluster, SIGCONT);
    terminal.hear("\r\x1b[Kpm: info: reloaded 'app'", 1);
}

/// The second of these begins while the first is under way, says that it waits for it, and both are done.
fn take_turns([first, second]: [Vec<&str>; 2]) {
    let front = Front::new();
    let _ = front.scene.file(
        "slow.js",
        "const { existsSync } = require('fs')\n\
         process.on('SIGINT', () => { console.log('told'); setInterval(() => existsSync('go') && process.exit(), 20) })\n\
         setInterval(() => {}, 1e6)\n",
    );
    front.ok("start slow.js --kill-timeout 60000");
    let first = front.start(&first);
    let told = || pm_tests::fork::file(&front.scene, "slow", "out.log").matches("told").count();
    wait::until("the first to be under way", || (told() == 1).then_some(()));
    let second = front.start(&second);
    second.line("waiting for another restart, reload, scale or delete of app 'slow' to end: pid=");
    let _ = front.scene.file("go", "");
    assert_eq!((first.wait().code(), second.wait().code()), (Some(0), Some(0)));
    assert_eq!(told(), 2);
}

/// The one that waits is told for whom, and takes its turn.
#[test]
fn two_restarts_at_once_name_each_other() {
    take_turns(["restart"; 2].map(|verb| vec!["-s", verb, "slow"]));
}

/// Each is a roll of its own, so that neither takes the other's answer, or its mark of a release that listens elsewhere.
#[test]
fn two_reloads_at_once_take_their_turns() {
    take_turns([vec!["-s", "reload", "slow"], vec!["-s", "reload", "--moved", "slow"]]);
}

/// It waits for its turn and counts from what runs then; beside a reload both are done.
#[test]
fn a_scale_beside_a_restart_or_a_reload_leaves_the_number_that_was_asked_for() {
    let front = Front::new();
    let slow = "const { existsSync } = require('fs')\n\
        process.on('SIGINT', () => { console.log('told'); setInterval(() => existsSync('go') && process.exit(), 20) })\n\
        setInterval(() => {}, 1e6)";
    let _ = front.scene.file("slow.js", slow);
    front.ok("start slow.js -i 2 --kill-timeout 60000");
    for (verb, by, count) in [("restart", "3", 3), ("reload", "+1", 4)] {
        let _ = std::fs::remove_file(front.scene.dir().join("go"));
        let told = || pm_tests::fork::file(&front.scene, "slow", "out.log").matches("told").count();
        let before = told();
        let first = front.start(&["-s", verb, "slow"]);
        wait::until("the first to have told a worker", || (told() > before).then_some(()));
        let second = front.start(&["scale", "slow", by]);
        if verb == "restart" {
            second.line("waiting for another restart, reload, scale or delete of app 'slow' to end: pid=");
        }
        let _ = front.scene.file("go", "");
        let codes = (first.wait().code(), second.wait().code());
        assert_eq!(codes, (Some(0), Some(0)), "{verb}\n{}\n{}", first.output(), second.output());
        // The old ones finish what they have in hand.
        wait::until("the new ones alone", || (front.list() == vec!["slow:online"; count]).then_some(()));
    }
}

/// Also a start behind a stop, where signals were held back. (Each wait says after a second what it waits for.)
#[test]
fn who_interrupts_a_wait_hears_what_goes_on_and_what_is_not_done() {
    let front = Front::new();
    let never = "setInterval(() => {}, 1e6)\n\
        process.on('SIGINT', () => {})\n\
        require('fs').writeFileSync(`deaf.${process.pid}`, '')\n";
    let _ = front.scene.file("never.js", never);
    let _ = front.scene.file(
        "all.config.js",
        "const app = { script: 'never.js', wait_ready: true, listen_timeout: 1e6, kill_timeout: 1e6 }
         const cluster = { name: 'c', exec_mode: 'cluster', instances: 1 }
         module.exports = [{ name: 'a' }, { name: 'b/b' }, cluster, { name: 'd' }].map(own => ({ ...app, ...own }))",
    );
    let interrupted = |waits: &[(&[&str], &str, &str)]| {
        let waiting: Vec<_> = waits.iter().map(|(args, ..)| front.start(args)).collect();
        for (one, (_, awaited, parting)) in waiting.iter().zip(waits) {
            one.line(awaited);
            one.signal(SIGINT);
            let said = one.line("not waited for any longer");
            assert!(said.contains(parting), "{said}");
            assert_eq!(one.wait().signal(), Some(SIGINT as i32), "{}", one.output());
        }
    };
    interrupted(&[(&["start", "all.config.js"], "waiting for app", "the starts go on; pm list shows them")]);
    let deaf = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("deaf.");
    let all = || std::fs::read_dir(front.scene.dir()).expect("our own directory").flatten().filter(deaf).count();
    wait::until("all to ignore the signal", || (all() == 4).then_some(()));
    interrupted(&[
        (&["reload", "a", "b/b"], "reloading 'a'", "the reloads of 'a', 'b/b' go on; pm list shows them"),
        (&["scale", "c", "3"], "waiting for", "'c' goes on to have 2 workers, not 3; pm list shows it"),
        (
            &["delete", "d"],
            "waiting for 'd'",
            "what was told to stop goes on stopping, and nothing is deleted; pm list",
        ),
    ]);
    assert_eq!(std::fs::read_to_string(front.scene.dir().join("pm/c/workers")).expect("there"), "2\n");
}

/// Of three apps the second is not yet under way: a worker that its killed supervisor has left must end first.
#[test]
fn who_interrupts_starts_has_all_of_them_and_is_told() {
    let front = Front::new();
    let _ = front.scene.file("slow.js", STOPS_ONCE_LET);
    let _ = front.scene.file(
        "all.config.js",
        "module.exports = ['a', 'b', 'c'].map(name =>
             ({ name, script: name === 'b' ? 'slow.js' : 'idle.js', kill_timeout: 60000 }))",
    );
    let all = ["a:online", "b:online", "c:online"];
    let [up, stops, go] = ["up", "stops", "go"].map(|name| front.scene.dir().join(name));
    for words in [["pm", "start", "all.config.js"], ["pm-fork", "-f", "all.config.js"]] {
        front.ok("start all.config.js --only b");
        wait::until("the app knows how to stop", || up.exists().then_some(()));
        supervisors(&front, "b").into_iter().for_each(|pid| proc::send(pid, SIGKILL));
        let starts = Chain::spawn(&front.scene, front.scene.command(&words));
        wait::until("its worker is told to stop", || stops.exists().then_some(()));
        starts.signal(SIGINT);
        std::fs::write(&go, "").expect("our own directory");
        starts.line("not waited for any longer: the starts go on; pm list shows them");
        assert_eq!(starts.wait().signal(), Some(SIGINT as i32), "{}", starts.output());
        wait::until("all are online", || (front.list() == all).then_some(()));
        front.ok("start all.config.js");
        assert_eq!(front.list(), all);
        front.ok("delete all");
        [&up, &stops, &go].iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
    let two = front.start(&["start", "slow.js", "idle.js", "--wait-ready", "--listen-timeout", "60000"]);
    two.line("waiting for app 'slow'");
    two.signal(SIGINT);
    two.line("not waited for any longer: the starts go on; pm list shows them");
}

/// As where Node ends: its first thread may be gone while others still have the lock of the app.
#[test]
fn a_delete_waits_for_the_last_thread_of_what_has_no_supervisor() {
    let front = Front::new();
    let server = front.scene.file(
        "threads.py",
        "import ctypes, os, platform, signal, threading, time\n\
         def last():\n\
         \x20   while not os.path.exists('go'):\n\
         \x20       time.sleep(0.02)\n\
         \x20   os._exit(0)\n\
         exit = 60 if platform.machine() == 'x86_64' else 93 # of this thread alone\n\
         signal.signal(signal.SIGTERM, lambda *_: ctypes.CDLL(None).syscall(exit, 0))\n\
         threading.Thread(target=last).start()\n\
         open('up', 'w')\n\
         while True:\n\
         \x20   signal.pause()\n",
    );
    let started = pm_tests::fork::run(&front.scene, &format!("--name x /usr/bin/python3 {}", server.display()));
    let _ = started.ok();
    wait::until("it to know how to stop", || front.scene.dir().join("up").exists().then_some(()));
    let delete = front.start(&["delete", "x"]);
    delete.line("waiting for 'x' to finish");
    let _ = front.scene.file("go", "");
    assert_eq!(delete.wait().code(), Some(0), "{}", delete.output());
    assert_eq!(front.list(), [""; 0]);
}
