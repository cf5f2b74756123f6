//! Nothing polls at rest.

use std::time::{Duration, Instant};

use pm_tests::chain::Chain;
use pm_tests::front::Front;
use pm_tests::scene::Scene;
use pm_tests::{any, http, proc, wait};

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

/// What has just started has timers of its own (ready, stable), and so has what was just used: waits for the first quiet
/// window, then looks again.
fn falls_asleep(chain: &Chain) {
    let pids = supervisors(chain);
    assert!(!pids.is_empty());
    let end = Instant::now() + wait::DEADLINE;
    loop {
        let woke = wakeups(&pids);
        if woke.iter().all(|n| *n == 0) {
            break;
        }
        assert!(Instant::now() < end, "never quiet for {WINDOW:?}: {woke:?}\n{}", chain.output());
    }
    assert_eq!(wakeups(&pids), vec![0; pids.len()], "{}", chain.output());
}

/// Asks for so long, one request after the other, and gives how often each supervisor woke up, and how many they were.
fn wakeups_in_use(chain: &Chain, length: Duration) -> (Vec<u64>, u64) {
    let pids = supervisors(chain);
    let count = || pids.iter().map(|pid| proc::wakeups(*pid)).collect::<Vec<_>>();
    let (before, end) = (count(), Instant::now() + length);
    let mut requests = 0;
    while Instant::now() < end {
        drop(http::get(chain.scene.port, "/").expect("served"));
        requests += 1;
    }
    (count().iter().zip(before).map(|(now, then)| now - then).collect(), requests)
}

/// Requests do not pass through the supervisors: a cluster is told that there are some, then looks a second later.
fn sleeps_in_use(chain: &Chain) {
    let length = Duration::from_secs(4);
    let (woke, requests) = wakeups_in_use(chain, length);
    // Two a second, one to begin with, and some where a loaded machine keeps a queue waiting and it is watched closer.
    let most = 4 * length.as_secs() + 1;
    assert!(requests > 10 * most, "{requests}");
    assert!(woke.iter().all(|n| *n <= most), "{woke:?} in {length:?}, {requests} requests\n{}", chain.output());
    falls_asleep(chain);
}

fn sleeps(line: &str) {
    let scene = Scene::with_node(24);
    let chain = scene.start(line);
    chain.serving(1);
    falls_asleep(&chain);
    sleeps_in_use(&chain);
    chain.stop();
}

/// The chain without a limit, a cluster alone, a plain child, and servers that bind by themselves: side by side, as to see
/// that nothing happens takes half a minute.
#[test]
fn supervisors_sleep() {
    let nodes =
        ["pm-restart pm-cluster -n 2 node $F/app.js", "pm-cluster -n 2 node $F/app.js", "pm-restart node $F/app.js"];
    std::thread::scope(|threads| {
        for line in nodes {
            threads.spawn(move || sleeps(line));
        }
        threads.spawn(servers_under_a_lag_limit_let_their_supervisors_sleep);
    });
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

/// The queues of servers are watched without a timer, whatever the limit.
fn servers_under_a_lag_limit_let_their_supervisors_sleep() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-restart --max-lag 1s pm-cluster -n 2", "/usr/bin/python3 $F/any/server.py");
    any::serving(&chain, 2);
    falls_asleep(&chain);
    sleeps_in_use(&chain);
    chain.stop();
}

/// Node workers are asked twice in the time of the limit: one wake-up to ask, one for each answer.
#[test]
fn a_lag_limit_costs_little_with_node() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --max-lag 10s pm-cluster -n 2 node $F/app.js");
    chain.serving(2);
    let pids = supervisors(&chain);
    let quiet = |woke: &[u64]| woke[0] == 0 && woke[1] > 0 && woke[1] <= 6;
    let end = Instant::now() + wait::DEADLINE;
    let mut woke = wakeups(&pids);
    while !quiet(&woke) {
        assert!(Instant::now() < end, "wake-ups of pm-restart and pm-cluster in {WINDOW:?}: {woke:?}");
        woke = wakeups(&pids);
    }
    chain.stop();
}

/// It has seen the last line, so it waits.
#[test]
fn who_follows_logs_sleeps_while_nobody_writes() {
    let front = Front::new();
    front.ok("start idle.js");
    let logs = front.start(&["logs"]);
    logs.line("| idle");
    logs.line("| oops");
    // On a busy machine the event of the last line may come after it was shown.
    wait::until("it to sleep", || (wakeups(&[logs.pid()]) == [0]).then_some(()));
}
