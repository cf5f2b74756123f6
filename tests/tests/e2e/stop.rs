//! How a chain ends: in order, within its grace, and with nothing left.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGTTOU};
use pm_tests::scene::Scene;
use pm_tests::{http, proc, roll};

const CHAIN: &str = "pm-restart pm-cluster -n 2";

#[test]
fn a_stop_waits_for_a_worker_that_takes_its_time() {
    let scene = Scene::new();
    let worker = "#!/bin/sh\ntrap 'echo bye-begin; read x < go; echo bye-end; exit 0' TERM\necho up\n\
        while :; do read x < wait; done\n";
    let worker = scene.file("app", worker);
    for name in ["go", "wait"] {
        nix::unistd::mkfifo(&scene.dir().join(name), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    }
    let chain = scene.start(&format!("pm-restart --grace 1h pm-cluster -n 1 --grace 1h {}", worker.display()));
    chain.line("up");
    chain.signal(SIGTERM);
    chain.line("bye-begin");
    assert!(chain.running());
    std::fs::write(scene.dir().join("go"), "go\n").expect("the worker reads");
    chain.line("bye-end");
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

/// Does this with each at the same time, as each waits.
fn side_by_side(tools: &[&str], run: impl Fn(&str) + Sync) {
    std::thread::scope(|threads| {
        for tool in tools {
            threads.spawn(|| run(tool));
        }
    });
}

/// The grace is as long as a worker on a loaded machine may need to hear of a signal.
#[test]
fn a_worker_that_ignores_the_signal_is_killed_after_the_grace() {
    side_by_side(
        &["pm-restart --grace 4s", "pm-cluster -n 2 --grace 4s", "pm-restart pm-cluster --grace 4s -n 2"],
        |tool| {
            let scene = Scene::with_node(24).with("IGNORE", "SIGTERM");
            let chain = scene.start(&format!("{tool} node $F/app.js"));
            chain.hear("listening", 1);
            chain.signal(SIGTERM);
            assert_eq!(chain.ended(), Some(0), "{tool}\n{}", chain.output());
            assert!(!chain.said("ignored").is_empty(), "no TERM came first\n{}", chain.output());
        },
    );
}

/// It hears the signal only once it goes on, as systemd has it: a reload, one worker fewer, and a stop need no grace for it.
#[test]
fn a_suspended_worker_hears_its_stop_signal() {
    for tools in ["pm-restart --grace 6s", "pm-restart --grace 6s pm-cluster -n 2"] {
        let scene = Scene::with_node(24);
        let count = if tools.contains("cluster") { 2 } else { 1 };
        let chain = scene.start(&format!("{tools} node $F/app.js"));
        let mut suspended = count;
        if count > 1 {
            let last = *chain.serving(count).last().expect("one");
            proc::send(last, SIGSTOP);
            chain.until("it to stand", || (proc::state(last) == Some('T')).then_some(()));
            roll::well(&chain);
            roll::drained(&chain);
            suspended += 1;
        }
        let pids: Vec<_> = chain.serving(count).into_iter().collect();
        pids.iter().for_each(|pid| proc::send(*pid, SIGSTOP));
        chain.until("all to stand", || pids.iter().all(|pid| proc::state(*pid) == Some('T')).then_some(()));
        if count > 1 {
            proc::send(scene.process("pm-cluster").expect("it runs"), SIGTTOU);
            chain.until("one fewer", || pids.iter().any(|pid| !proc::alive(*pid)).then_some(()));
        }
        chain.signal(SIGTERM);
        assert_eq!(chain.ended(), Some(0), "{tools}\n{}", chain.output());
        assert!(chain.messages("KILL").is_empty(), "{tools}\n{}", chain.output());
        assert_eq!(chain.messages("was suspended").len(), suspended, "{tools}\n{}", chain.output());
    }
}

/// A leader that waits for a child which is suspended too would wait for the whole grace.
#[test]
fn a_suspended_group_hears_its_stop_signal() {
    let scene = Scene::new();
    let waits =
        "trap 'wait; exit' TERM; sh -c 'trap \"exit 0\" TERM; echo child of $PPID; while :; do sleep 0.1; done' & wait";
    let script = scene.file("group.sh", waits);
    let script = script.to_str().expect("text");
    let chain = scene.start_words(&["pm-cluster", "-n", "1", "--grace", "6s", "--stop-group", "sh", script]);
    let leader = chain.line("child of ").rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("its pid");
    let _ = chain.line("ready workers=1/1");
    let group = [vec![leader], proc::children(leader)].concat();
    group.iter().for_each(|pid| proc::send(*pid, SIGSTOP));
    chain.until("all to stand", || group.iter().all(|pid| proc::state(*pid) == Some('T')).then_some(()));
    chain.signal(SIGTERM);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
    assert!(chain.messages("KILL").is_empty(), "{}", chain.output());
}

#[test]
fn a_second_signal_means_now() {
    for (first, second, code) in [(SIGTERM, SIGTERM, 0), (SIGINT, SIGINT, 130)] {
        let scene = Scene::with_node(24).with("IGNORE", "SIGTERM");
        let chain = scene.start("pm-restart --grace 1h pm-cluster --grace 1h -n 2 node $F/app.js");
        chain.hear("listening", 2);
        let since = Instant::now();
        chain.signal(first);
        chain.hear("ignored", 2);
        // Sooner it would be taken for the same stop.
        std::thread::sleep(Duration::from_millis(1100).saturating_sub(since.elapsed()));
        assert!(chain.running());
        chain.signal(second);
        assert_eq!(chain.ended(), Some(code), "{}", chain.output());
    }
}

#[test]
fn the_stop_signal_may_be_another() {
    side_by_side(&["pm-restart --stop-signal USR2", "pm-cluster -n 1 --stop-signal USR2"], |tool| {
        let scene = Scene::with_node(24).with("IGNORE", "SIGUSR2");
        let chain = scene.start(&format!("{tool} --grace 4s node $F/app.js"));
        chain.hear("listening", 1);
        chain.stop();
        assert_eq!(chain.said("ignored")[0]["signal"], "SIGUSR2", "{tool}");
    });
}

#[test]
fn what_a_dead_worker_left_in_its_group_is_ended() {
    for path in ["/child", "/stubborn"] {
        let scene = Scene::with_node(24);
        let chain = scene.start("pm-restart pm-cluster --grace 300ms -n 1 node $F/app.js");
        let worker = *chain.serving(1).first().expect("one");
        let left: u32 = http::get(scene.port, path).expect("serves").parse().expect("a pid");
        if path == "/stubborn" {
            chain.hear("stubborn", 1);
        }
        proc::send(worker, SIGKILL);
        chain.until("the leftover to be gone", || (!proc::alive(left)).then_some(()));
        chain.serving(1);
        chain.stop();
    }
}

/// A plain child's leftovers, of its group and of sessions of their own, are gone before its successor starts.
#[test]
fn what_a_dead_child_left_is_gone_before_its_successor_starts() {
    for path in ["/child", "/detached"] {
        let scene = Scene::with_node(24);
        let chain = scene.start("pm-restart --grace 300ms node $F/app.js");
        let worker = *chain.serving(1).first().expect("one");
        let left: u32 = http::get(scene.port, path).expect("serves").parse().expect("a pid");
        proc::send(worker, SIGKILL);
        chain.hear("start", 2);
        assert!(!proc::alive(left), "{path}: alive beside the successor\n{}", chain.output());
        chain.stop();
    }
}

#[test]
fn nothing_survives_a_stop() {
    for path in ["/child", "/stubborn", "/detached"] {
        let scene = Scene::with_node(24);
        let chain = scene.start(&format!("{CHAIN} --grace 300ms node $F/app.js"));
        chain.serving(2);
        (0..4).for_each(|_| drop(http::get(scene.port, path).expect("serves")));
        // `stop` checks that no process of this test is left, and that the streams have ended.
        chain.stop();
    }
}

/// A stop in the middle of the start, of a backoff, of a replacement: it ends all the same.
#[test]
fn a_stop_at_any_moment_ends_everything() {
    for started in 0..3 {
        let scene = Scene::with_node(24);
        let chain = scene.start(&format!("{CHAIN} node $F/app.js"));
        chain.hear("start", started);
        if started == 0 {
            // The very first moment at which the signal is caught is when there is something to stop.
            chain.until("pm-cluster", || scene.process("pm-cluster"));
        }
        chain.signal(SIGTERM);
        let status = chain.wait();
        assert!(scene.processes().is_empty(), "{:?}\n{}", scene.processes(), chain.output());
        assert!(status.code() == Some(0) || started == 0, "{status:?}\n{}", chain.output());
    }
    let scene = Scene::new();
    let chain = scene.start("pm-restart --backoff 1h..1h pm-cluster -n 2 sh -c exit${IFS}1");
    chain.until("all slots in backoff", || {
        let lines = pm_tests::stat::workers(&scene);
        (lines.len() == 2 && lines.iter().all(|l| l.state() == "backoff")).then_some(())
    });
    chain.stop();
}

#[test]
fn connections_in_a_backoff_are_let_go_at_the_stop() {
    let scene = Scene::with_node(24);
    let chain = scene.start(&format!("{CHAIN} node $F/app.js"));
    chain.serving(2);
    let open: Vec<_> = (0..8).map(|_| http::Connection::open(scene.port).expect("open")).collect();
    chain.stop();
    drop(open);
    assert_eq!(http::get(scene.port, "/"), Err(http::Miss::Refused));
}

/// Workers start with no signal blocked or ignored, whatever the supervisor was started with.
#[test]
fn masks_and_dispositions_are_default_in_workers() {
    for tool in ["pm-restart", "pm-cluster -n 1", "pm-restart pm-cluster -n 1"] {
        let scene = Scene::new();
        let odd = "env --ignore-signal=HUP --ignore-signal=PIPE --ignore-signal=TTIN --block-signal=USR1,TERM,CHLD";
        let chain = scene.start(&format!("{odd} {tool} sleep 1000"));
        let worker = chain.until("the worker", || scene.process("sleep"));
        assert_eq!(proc::signals(worker, "SigBlk"), 0, "{tool}");
        assert_eq!(proc::signals(worker, "SigIgn"), 0, "{tool}");
        chain.stop();
    }
}

/// Nothing of the supervisors leaks into a worker: it has what it would have without them, and in a cluster the channel.
#[test]
fn workers_inherit_no_descriptor_of_the_supervisors() {
    // Asleep: as long as it is being loaded, it has files of its own open.
    let asleep = |pid: u32| proc::state(pid) == Some('S');
    let descriptors = |line: &str, fits: &dyn Fn(usize) -> bool| {
        let scene = Scene::new();
        let chain = scene.start(line);
        let worker = chain.until("the worker", || scene.process("sleep").filter(|pid| asleep(*pid)));
        chain.until("what it has open", || Some(proc::descriptors(worker)).filter(|count| fits(*count)))
    };
    let alone = descriptors("sleep 1000", &|_| true);
    for line in ["pm-restart sleep 1000", "pm-cluster -n 1 sleep 1000", "pm-restart pm-cluster -n 1 sleep 1000"] {
        descriptors(line, &|count| count == alone);
    }
    // Where binds are not looked at, any program may be Node's parent, and gets the channel.
    descriptors("pm-cluster -n 1 --fanout off sleep 1000", &|count| count == alone + 1);
}

#[test]
fn workers_are_groups_of_their_own() {
    let scene = Scene::new();
    let chain = scene.start("pm-restart pm-cluster -n 1 sleep 1000");
    let worker = chain.until("the worker", || scene.process("sleep"));
    let group = |pid: u32| proc::stat(pid).map(|fields| fields[2].clone());
    assert_eq!(group(worker), Some(worker.to_string()));
    chain.stop();
}

#[test]
fn a_stop_signal_that_means_something_else_to_a_supervisor_is_not_sent_to_one() {
    for signal in ["HUP", "USR2", "QUIT"] {
        let scene = Scene::with_node(24);
        let chain =
            scene.start(&format!("pm-restart --grace 30s --stop-signal {signal} pm-cluster -n 1 node $F/app.js"));
        chain.hear("listening", 1);
        chain.stop();
        assert!(chain.messages("reloaded").is_empty() && chain.messages("KILL").is_empty(), "{}", chain.output());
    }
}

#[test]
fn messages_that_nobody_reads_hold_up_nothing() {
    let scene = Scene::new();
    let fifo = scene.dir().join("stderr");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    // Open for reading too, so that it can be filled to the brim and nobody ever reads.
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut full = options.open(&fifo).expect("opened");
    while full.write(&[b'x'; 4096]).is_ok() {}
    while full.write(b"x").is_ok() {}
    let script = "exec pm-restart --backoff 1ms..1ms --intensity 1000/60s sh -c 'echo up; sleep 0.01; exit 3' 2>stderr";
    let chain = scene.start_words(&["sh", "-c", script]);
    chain.until("five starts", || (chain.output().matches("up").count() >= 5).then_some(()));
    chain.stop();
    drop(full);
}

/// A client that keeps its connection and asks nothing; how long the chain takes to end beside it.
fn ends_beside_an_idle_client(line: &str, signal: nix::sys::signal::Signal, code: i32) -> Duration {
    let scene = Scene::with_node(24);
    let chain = scene.start(line);
    chain.serving(2);
    let mut idle = http::Connection::open(scene.port).expect("open");
    idle.get("/").expect("answered");
    let mut busy = http::Connection::open(scene.port).expect("open");
    busy.send("/slow?500", "keep-alive").expect("sent");
    let since = Instant::now();
    chain.signal(signal);
    busy.answer().expect("answered before the worker goes");
    assert_eq!(chain.ended(), Some(code), "{}", chain.output());
    assert!(chain.messages("KILL").is_empty(), "{}", chain.output());
    since.elapsed()
}

#[test]
fn an_idle_client_holds_up_a_stop_for_a_part_of_the_grace() {
    side_by_side(&["pm-cluster --grace 8s", "pm-restart --grace 8s pm-cluster"], |tools| {
        let took = ends_beside_an_idle_client(&format!("{tools} -n 2 node $F/app.js"), SIGTERM, 0);
        // Three quarters of the grace.
        assert!(took.as_millis() > 4_000, "{tools}: {took:?}");
    });
}

#[test]
fn an_idle_client_does_not_hold_up_an_interrupt() {
    let between =
        "pm-restart --grace 1h sh -c pm-cluster${IFS}--grace${IFS}1h${IFS}-n${IFS}2${IFS}node${IFS}$F/app.js;true";
    let plain =
        ["pm-cluster --grace 1h", "pm-restart --grace 1h pm-cluster"].map(|t| format!("{t} -n 2 node $F/app.js"));
    for line in [plain[0].as_str(), plain[1].as_str(), between] {
        // It would linger for 6 seconds each time; a machine that is busy takes as long only now and then.
        let quick = |_| ends_beside_an_idle_client(line, SIGINT, 130) < Duration::from_secs(5);
        assert!((0..3).any(quick), "{line}");
    }
}

/// On INT it writes a file, a moment later than the shell in front of it has ended.
const WRITES: &str =
    "trap 'sleep 0.1; echo stopped >> \"$FILE\"; exit 0' INT\necho begun\nwhile :; do read x < wait; done\n";

/// A shell passes no signal on: `sh -c 'cd x && app'` and `npm start` must not keep the app from its handler.
#[test]
fn the_stop_signal_reaches_the_whole_group_where_it_is_to() {
    for tools in [
        "pm-restart --grace 30s --stop-signal INT --stop-group",
        "pm-cluster --grace 30s --stop-signal INT --stop-group -n 1",
        "pm-restart --grace 30s --stop-signal INT --stop-group pm-cluster -n 1",
    ] {
        let mut scene = Scene::new();
        let file = scene.dir().join("file");
        scene.set("FILE", file.clone());
        nix::unistd::mkfifo(&scene.dir().join("wait"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        let _ = scene.file("app.sh", WRITES);
        let _ = scene.file("run.sh", "cd . && sh app.sh; true");
        let chain = scene.start(&format!("{tools} sh run.sh"));
        chain.until("the app", || chain.output().contains("begun").then_some(()));
        chain.signal(SIGTERM);
        assert_eq!(chain.ended(), Some(0), "{}", chain.output());
        assert_eq!(std::fs::read_to_string(&file).expect(tools), "stopped\n", "{}", chain.output());
        assert!(chain.messages("told to end with KILL").is_empty(), "{}", chain.output());
    }
}
