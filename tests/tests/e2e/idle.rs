//! Nothing polls at rest.

use std::time::{Duration, Instant};

use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{http, proc, wait};

/// The length of one look; a supervisor that wakes once in it is seen.
const WINDOW: Duration = Duration::from_secs(5);

fn supervisors(chain: &Chain) -> Vec<u32> {
    ["pm-restart", "pm-cluster"].iter().filter_map(|name| chain.scene.process(name)).collect()
}

/// How often each supervisor woke up in a window.
fn wakeups(pids: &[u32]) -> Vec<u64> {
    let count = || pids.iter().map(|pid| proc::wakeups(*pid)).collect::<Vec<_>>();
    let before = count();
    std::thread::sleep(WINDOW);
    count().iter().zip(before).map(|(now, then)| now - then).collect()
}

/// What has just started has timers of its own (ready, stable): waits for the first quiet window, then looks again.
fn sleeps(line: &str) {
    let scene = Scene::with_node(24);
    let chain = scene.start(line);
    chain.serving(1);
    let pids = supervisors(&chain);
    assert!(!pids.is_empty());
    let end = Instant::now() + wait::DEADLINE;
    loop {
        let woke = wakeups(&pids);
        if woke.iter().all(|n| *n == 0) {
            break;
        }
        assert!(Instant::now() < end, "{line}: never quiet for {WINDOW:?}: {woke:?}\n{}", chain.output());
    }
    assert_eq!(wakeups(&pids), vec![0; pids.len()], "{line}\n{}", chain.output());
    // Requests do not pass through the supervisors either.
    (0..50).for_each(|_| drop(http::get(scene.port, "/").expect("served")));
    let after = pids.iter().map(|pid| proc::wakeups(*pid)).collect::<Vec<_>>();
    (0..50).for_each(|_| drop(http::get(scene.port, "/").expect("served")));
    assert_eq!(pids.iter().map(|pid| proc::wakeups(*pid)).collect::<Vec<_>>(), after, "{line}");
    chain.stop();
}

#[test]
fn the_chain_sleeps_without_a_limit() {
    sleeps("pm-restart pm-cluster -n 2 node $F/app.js");
}

#[test]
fn a_cluster_alone_sleeps() {
    sleeps("pm-cluster -n 2 node $F/app.js");
}

#[test]
fn a_plain_child_lets_its_supervisor_sleep() {
    sleeps("pm-restart node $F/app.js");
}

/// One timer for all workers, once a second; the outer supervisor leaves it to the inner one.
#[test]
fn a_memory_limit_costs_one_wakeup_a_second() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --max-mem 512M pm-cluster -n 4 node $F/app.js");
    chain.serving(4);
    let pids = supervisors(&chain);
    let most = WINDOW.as_secs() + 1;
    let quiet = |woke: &[u64]| woke[0] == 0 && woke[1] <= most;
    let mut woke = wakeups(&pids);
    let end = Instant::now() + wait::DEADLINE;
    while !quiet(&woke) {
        assert!(Instant::now() < end, "wake-ups of pm-restart and pm-cluster in {WINDOW:?}: {woke:?}");
        woke = wakeups(&pids);
    }
    let woke = wakeups(&pids);
    assert!(quiet(&woke), "{woke:?}");
    assert!(woke[1] > 0, "nobody looks at the memory");
    chain.stop();
}
