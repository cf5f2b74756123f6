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

/// How often each process woke up in a window.
fn wakeups(pids: &[u32]) -> Vec<u64> {
    wakeups_in(pids, || std::thread::sleep(WINDOW))
}

/// How often each process woke up while this was done.
fn wakeups_in(pids: &[u32], act: impl FnOnce()) -> Vec<u64> {
    let count = || pids.iter().map(|pid| proc::wakeups(*pid)).collect::<Vec<_>>();
    let before = count();
    act();
    count().iter().zip(before).map(|(now, then)| now - then).collect()
}

/// What has just started has timers of its own (ready, stable), and so has what was just used: looks until two windows, one
/// after the other, are quiet.
#[track_caller]
fn falls_quiet(chain: &Chain, quiet: impl Fn(&[u64]) -> bool) {
    let pids = supervisors(chain);
    assert!(!pids.is_empty());
    let (end, mut before) = (Instant::now() + wait::DEADLINE, false);
    loop {
        let woke = wakeups(&pids);
        let now = quiet(&woke);
        if now && before {
            return;
        }
        before = now;
        assert!(Instant::now() < end, "never quiet for twice {WINDOW:?}: {woke:?}\n{}", chain.output());
    }
}

fn falls_asleep(chain: &Chain) {
    falls_quiet(chain, |woke| woke.iter().all(|n| *n == 0));
}

/// Requests do not pass through the supervisors: a cluster is told that there are some, then looks a second later.
fn sleeps_in_use(chain: &Chain) {
    let pids = supervisors(chain);
    chain.until("seconds of use with little to do for the supervisors", || {
        let (begun, mut requests) = (Instant::now(), 0);
        let woke = wakeups_in(&pids, || {
            while begun.elapsed() < Duration::from_secs(4) {
                drop(http::get(chain.scene.port, "/").expect("served"));
                requests += 1;
            }
        });
        // Two a second, one to begin with, and some where a loaded machine keeps a queue waiting and it is watched closer.
        let most = 4 * begun.elapsed().as_secs() + 1;
        (requests > 2 * most && woke.iter().all(|n| *n <= most)).then_some(())
    });
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
    let nodes = [
        "pm-restart pm-cluster -n 2 node $F/app.js",
        "pm-cluster -n 2 node $F/app.js",
        "pm-restart node $F/app.js",
        "pm-restart --watch $F --watch . --cron @yearly --on crash=true --on ready=true pm-cluster -n 2 node $F/app.js",
    ];
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
    // A window may be a little longer than it was meant to be.
    let most = WINDOW.as_secs() + 2;
    falls_quiet(&chain, |woke| woke[0] == 0 && (1..=most).contains(&woke[1]));
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
    falls_quiet(&chain, |woke| woke[0] == 0 && (1..=6).contains(&woke[1]));
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
