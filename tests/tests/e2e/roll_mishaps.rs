//! What goes wrong, or is asked for, in the middle of a roll.

use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGTTIN, SIGTTOU};
use pm_tests::chain::Chain;
use pm_tests::http::Miss;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{proc, roll, stat};

/// The usual app, which does not listen as long as there is a file `hold`: a roll that waits for it waits for the test.
fn held(scene: &Scene) -> String {
    let text = "const go = () => require('fs').existsSync('hold') ? setTimeout(go, 20) : require('$F/app.js'); go()";
    scene.file("app.js", &scene.expand(text)).display().to_string()
}

fn hold(scene: &Scene) {
    let _ = scene.file("hold", "");
}

fn let_go(scene: &Scene) {
    std::fs::remove_file(scene.dir().join("hold")).expect("held");
}

/// Waits until a process has done all that its signals asked for, and sleeps.
fn rests(chain: &Chain, pid: u32) {
    let pending = || proc::signals(pid, "SigPnd") | proc::signals(pid, "ShdPnd");
    chain.until("it to rest", || (pending() == 0 && proc::state(pid) == Some('S')).then_some(()));
}

/// Only what a killed worker had in its hands is lost, and the roll replaces everybody all the same.
#[test]
fn a_killed_worker_costs_what_it_had_in_its_hands_and_no_roll() {
    const CLIENTS: usize = 12;
    let scene = Scene::with_node(24);
    let line = "pm-restart --stable 1ms --intensity 1000/60s pm-cluster -n 4 --soak 50ms node $F/app.js";
    let chain = scene.start(line);
    chain.serving(4);
    let load = Load::of(scene.port, "/slow?5", &[Style::Kept, Style::OneShot, Style::Mixed].repeat(CLIENTS / 3));
    let mut lost = 0;
    for round in 0..6 {
        load.advance(1);
        let asked = roll::ask(&chain);
        // Another moment of the roll each time, and any of its workers: old, new, draining.
        let running = |done: u64| roll::state(&chain)["running"]["done"].as_u64().is_none_or(|d| d >= done);
        chain.until("the roll to get on", || running(round % 4).then_some(()));
        let alive: Vec<u32> = stat::workers(&scene).iter().filter_map(stat::Line::pid).collect();
        let victim = alive[(scene.port as usize + 7 * round as usize) % alive.len()];
        proc::send(victim, SIGKILL);
        let roll = roll::ended(&chain, asked);
        // The one on trial may have been the victim: then the old ones go on, and it is told.
        let is_trial = roll["reason"].as_str().is_some_and(|reason| reason.contains("signal=KILL"));
        assert!(roll["ok"] == true || is_trial, "{roll}\n{}", chain.output());
        roll::drained(&chain);
        let misses: usize = load.tallies().iter().map(|t| t.misses.len()).sum();
        assert!(misses - lost <= CLIENTS, "round {round}: {} lost\n{}", misses - lost, chain.output());
        lost = misses;
    }
    let sum = load.end();
    let in_its_hands = |miss: &Miss| matches!(miss, Miss::Reset | Miss::Cut);
    assert!(sum.misses.iter().all(in_its_hands), "{:?} of {}\n{}", sum.misses, sum.ok, chain.output());
    roll::well(&chain);
    chain.stop();
}

/// However many requests come during a roll, exactly one more follows it.
#[test]
fn requests_during_a_roll_become_one_more() {
    for more in [1, 5] {
        let scene = Scene::with_node(24);
        let chain = scene.start(&format!("pm-cluster -n 2 --soak 50ms node {}", held(&scene)));
        chain.serving(2);
        let load = Load::of(scene.port, "/", &Style::crowd(4));
        hold(&scene);
        roll::ask(&chain);
        roll::awaiting(&chain, "to listen on");
        // Signals that wait are one: each is sent once the one before it was heard.
        let last = (0..more).map(|_| roll::ask(&chain)).last().expect("one at least");
        assert_eq!(last, 1 + more);
        let state = roll::state(&chain);
        assert_eq!((roll::number(&state, "started"), roll::number(&state, "ended")), (1, 0), "{state}");
        let_go(&scene);
        let state = roll::ended(&chain, last);
        assert_eq!((roll::number(&state, "started"), roll::number(&state, "ended")), (last, last), "{state}");
        roll::drained(&chain);
        assert_eq!(chain.said("start").len(), 3 * 2, "two rolls of two workers\n{}", chain.output());
        chain.until("both to be told", || (chain.messages("reloaded").len() == 2).then_some(()));
        let sum = load.end();
        assert!(sum.misses.is_empty(), "{:?}\n{}", sum.misses, chain.output());
        chain.stop();
    }
}

/// A burst of signals at rest: one roll, or one and one more.
#[test]
fn a_burst_of_requests_is_two_rolls_at_most() {
    let scene = Scene::with_node(24);
    let chain = scene.start(&format!("pm-restart pm-cluster -n 2 --soak 50ms node {}", held(&scene)));
    chain.serving(2);
    let before = roll::number(&roll::state(&chain), "requested");
    hold(&scene);
    (0..20).for_each(|_| chain.signal(SIGHUP));
    // All have been heard before the first is done.
    roll::awaiting(&chain, "to listen on");
    rests(&chain, chain.pid());
    rests(&chain, scene.process("pm-cluster").expect("it runs"));
    let_go(&scene);
    roll::ended(&chain, before + 1);
    chain.until("all requests to be answered", || {
        let state = roll::state(&chain);
        (state["requested"] == state["ended"]).then_some(())
    });
    assert!(chain.messages("reloaded").len() <= 2, "{}", chain.output());
    roll::drained(&chain);
    chain.stop();
}

#[test]
fn a_stop_during_a_roll_ends_everything() {
    for (signal, code) in [(SIGTERM, 0), (SIGINT, 130)] {
        for what in ["ready", "soak", "drain"] {
            let scene = Scene::with_node(24);
            let chain = scene.start("pm-restart pm-cluster -n 2 --overlap 1 --soak 300ms node $F/app.js");
            chain.serving(2);
            let idle = pm_tests::http::Connection::open(scene.port).expect("open");
            let load = Load::of(scene.port, "/", &[Style::Sleepy; 8]);
            load.advance(1);
            roll::ask(&chain);
            chain.until(what, || {
                let state = roll::state(&chain);
                let awaiting = state["running"]["awaiting"].as_str().unwrap_or_default().to_owned();
                (awaiting.contains(what) || state["running"].is_null()).then_some(())
            });
            chain.signal(signal);
            drop(idle);
            assert_eq!(chain.ended(), Some(code), "{what}\n{}", chain.output());
            drop(load);
        }
    }
}

/// More workers, or fewer, that are asked for during a roll come after it.
#[test]
fn scaling_during_a_roll_comes_after_it() {
    for (signal, wanted) in [(SIGTTIN, 3), (SIGTTOU, 1)] {
        let scene = Scene::with_node(24);
        let chain = scene.start("pm-cluster -n 2 --soak 1s node $F/app.js");
        let before = chain.serving(2);
        let load = Load::of(scene.port, "/", &Style::crowd(4));
        let asked = roll::ask(&chain);
        roll::awaiting(&chain, "soak");
        chain.signal(signal);
        let state = roll::ended(&chain, asked);
        assert_eq!(state["ok"], true, "{state}\n{}", chain.output());
        chain.line("reloaded workers=2");
        assert_eq!(chain.messages("reloaded workers=2").len(), 1, "{}", chain.output());
        chain.until(&format!("{wanted} workers"), || (stat::workers(&scene).len() == wanted).then_some(()));
        roll::drained(&chain);
        assert!(before.is_disjoint(&chain.serving(wanted)));
        let sum = load.end();
        assert!(sum.misses.is_empty(), "{:?}\n{}", sum.misses, chain.output());
        chain.stop();
    }
}

/// The status tells which slot, of how many, and what is waited for: the addresses of the old worker by name.
#[test]
fn the_status_says_what_a_roll_waits_for() {
    let scene = Scene::with_node(24);
    let chain = scene.start(&format!("pm-cluster -n 2 --soak 3s node {}", held(&scene)));
    chain.serving(2);
    let state = roll::state(&chain);
    assert!(state["running"].is_null() && state["ok"].is_null(), "{state}");
    hold(&scene);
    let asked = roll::ask(&chain);
    let running = roll::awaiting(&chain, &format!("ready: to listen on tcp:[::]:{}", scene.port));
    assert_eq!(
        (running["done"].as_u64(), running["of"].as_u64(), running["slot"].as_u64()),
        (Some(0), Some(2), Some(0))
    );
    assert!(running["since_ms"].as_u64().is_some_and(|ms| ms > 1_600_000_000_000), "{running}");
    let_go(&scene);
    roll::awaiting(&chain, "soak");
    hold(&scene);
    let second = || Some(roll::state(&chain)["running"].clone()).filter(|running| running["slot"] == 1);
    assert_eq!(chain.until("the second slot", second)["done"], 1);
    let_go(&scene);
    let state = roll::ended(&chain, asked);
    assert!(state["running"].is_null() && state["ok"] == true && state["reason"] == "", "{state}");
    chain.stop();
}

/// No more old workers drain at the same time than `--overlap` says, though idle clients hold each for a while.
#[test]
fn the_overlap_bounds_how_many_drain() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 4 --overlap 2 --soak 0s --grace 3s node $F/app.js");
    chain.serving(4);
    let open: Vec<_> = (0..32).map(|_| pm_tests::http::Connection::open(scene.port).expect("open")).collect();
    let asked = roll::ask(&chain);
    let mut most = 0;
    chain.until("the end of the roll", || {
        let lines = stat::workers(&scene);
        most = most.max(lines.iter().filter(|l| l.state() == "draining").count());
        assert!(lines.len() <= 4 + 2 + 1, "{lines:?}");
        (roll::number(&roll::state(&chain), "ended") >= asked).then_some(())
    });
    assert_eq!(most, 2, "{}", chain.output());
    drop(open);
    roll::drained(&chain);
    chain.stop();
}

/// Where the control group has no room for another worker, each waits until the old one has gone.
#[test]
fn a_lack_of_memory_lets_only_one_drain() {
    for (left, grace, most) in [(1000, "1s", 1), (1_000_000_000_000, "8s", 2)] {
        let scene = Scene::with_node(24);
        let files = [("memory.max", left + 1000), ("memory.current", 1000_u64)];
        std::fs::create_dir_all(scene.dir().join("cg/app")).expect("our own directory");
        files.iter().for_each(|(name, bytes)| drop(scene.file(&format!("cg/app/{name}"), &bytes.to_string())));
        let _ = scene.file("cgroup", "0::/app\n");
        let _ = scene.file("mountinfo", &scene.expand("29 23 0:26 / $T/cg rw - cgroup2 cgroup2 rw\n"));
        // What the kernel says of control groups, as in a container of another machine.
        let script = format!(
            "for file in cgroup mountinfo; do mount --bind $T/$file /proc/$$/$file; done; \
             exec pm-cluster -n 3 --soak 0s --grace {grace} node $F/app.js"
        );
        let chain = scene.start_words(&["unshare", "--mount", "--map-root-user", "sh", "-c", &scene.expand(&script)]);
        chain.serving(3);
        let mut open: Vec<_> = (0..32).map(|_| pm_tests::http::Connection::open(scene.port).expect("open")).collect();
        let asked = roll::ask(&chain);
        let mut seen = 0;
        chain.until("the end of the roll", || {
            seen = seen.max(stat::workers(&scene).iter().filter(|l| l.state() == "draining").count());
            // Seen is what was to be seen: nothing holds them any more.
            if seen > 1 {
                open.clear();
            }
            (roll::number(&roll::state(&chain), "ended") >= asked).then_some(())
        });
        assert_eq!(seen.min(2), most, "{left} left: {seen}\n{}", chain.output());
        drop(open);
        roll::drained(&chain);
        chain.stop();
    }
}

/// A worker that was asked to go does not take the slot with it when it is killed, and neither does one that hangs.
#[test]
fn a_worker_that_hangs_is_replaced_by_a_roll_too() {
    let scene = Scene::with_node(24);
    let chain: Chain = scene.start("pm-cluster -n 2 --soak 0s --grace 500ms node $F/app.js");
    let workers = chain.serving(2);
    proc::send(*workers.first().expect("two"), nix::sys::signal::Signal::SIGSTOP);
    roll::well(&chain);
    assert!(workers.iter().all(|pid| !proc::alive(*pid)), "{}", chain.output());
    assert!(workers.is_disjoint(&chain.serving(2)));
    chain.stop();
}
