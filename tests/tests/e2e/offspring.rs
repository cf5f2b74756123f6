//! What a worker starts in sessions of its own ends with it, and is counted as its memory; what belongs to another app,
//! or has taken leave of it, does not.

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTERM};
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{fork, http, proc, roll};

const CLUSTERS: [&str; 2] = ["pm-restart --grace 2s pm-cluster -n 1", "pm-cluster --grace 2s -n 1"];
/// As people start browsers: in sessions of their own, many of them.
const CHILDREN: usize = 20;

fn start<'a>(scene: &'a Scene, tools: &str) -> (Chain<'a>, u32) {
    let chain = scene.start(&format!("{tools} node $F/app.js"));
    let worker = *chain.serving(1).first().expect("one");
    (chain, worker)
}

/// Has the worker run a shell script in a session of its own.
fn run(chain: &Chain<'_>, script: &str) -> u32 {
    let path = format!("/sh?{}", script.replace('&', "%26").replace(' ', "+"));
    http::get(chain.scene.port, &path).expect("serves").parse().expect("a pid")
}

fn detached(chain: &Chain<'_>) -> Vec<u32> {
    (0..CHILDREN).map(|_| http::get(chain.scene.port, "/detached").expect("serves").parse().expect("a pid")).collect()
}

/// The processes of the test with this name.
fn named(chain: &Chain<'_>, name: &str) -> Vec<u32> {
    chain.scene.processes().into_iter().filter(|pid| proc::name(*pid) == name).collect()
}

#[track_caller]
fn all_end(chain: &Chain<'_>, pids: &[u32]) {
    chain.until("what the worker left to end", || pids.iter().all(|pid| !proc::alive(*pid)).then_some(()));
}

#[test]
fn a_reload_leaves_nothing_of_the_old_worker() {
    for tools in CLUSTERS {
        let scene = Scene::with_node(24);
        let (chain, _) = start(&scene, tools);
        for _ in 0..2 {
            let old = detached(&chain);
            roll::well(&chain);
            let new = detached(&chain);
            all_end(&chain, &old);
            assert!(new.iter().all(|pid| proc::alive(*pid)), "{tools}: of the new worker\n{}", chain.output());
        }
        chain.stop();
    }
}

#[test]
fn a_killed_worker_leaves_nothing() {
    for tools in CLUSTERS.into_iter().chain(["pm-restart --grace 2s"]) {
        let scene = Scene::with_node(24);
        let (chain, worker) = start(&scene, tools);
        let mut left = detached(&chain);
        // Its parent has gone already, and so has its session's leader; and one that is deaf to TERM.
        run(&chain, "sleep 1001 & exit 0");
        left.push(chain.until("the orphan", || {
            named(&chain, "sleep").into_iter().find(|pid| !left.contains(pid) && proc::parent(*pid) != Some(worker))
        }));
        let deaf = run(&chain, "trap true TERM; while :; do sleep 1; done");
        chain.until("its trap", || (proc::name(deaf) == "sh" && proc::catches(deaf, SIGTERM)).then_some(()));
        left.push(deaf);
        proc::send(worker, SIGKILL);
        all_end(&chain, &left);
        chain.serving(1);
        assert!(chain.messages("cannot").is_empty(), "{}", chain.output());
        chain.stop();
    }
}

/// A child without the worker's environment is known by its parent, as long as that one lives.
#[test]
fn an_empty_environment_hides_no_child() {
    let scene = Scene::with_node(24);
    let (chain, worker) = start(&scene, CLUSTERS[0]);
    let child = run(&chain, "exec env -i sleep 1000");
    chain.until("the environment to be gone", || (proc::name(child) == "sleep").then_some(()));
    roll::well(&chain);
    chain.until("the child to end", || (!proc::alive(child) && !proc::alive(worker)).then_some(()));
    chain.stop();
}

#[test]
fn what_took_leave_of_the_worker_stays() {
    let scene = Scene::with_node(24);
    let (chain, worker) = start(&scene, CLUSTERS[1]);
    run(&chain, "env -u NOTIFY_SOCKET sleep 1000 & exit 0");
    let daemon = chain.until("the daemon", || {
        named(&chain, "sleep").into_iter().find(|pid| proc::parent(*pid).is_some_and(|up| up == cluster(&chain)))
    });
    let marked = run(&chain, "exec sleep 1000");
    roll::well(&chain);
    all_end(&chain, &[worker, marked]);
    assert!(proc::alive(daemon), "{}", chain.output());
    chain.signal(SIGTERM);
    assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
    proc::send(daemon, SIGKILL);
}

fn cluster(chain: &Chain<'_>) -> u32 {
    chain.scene.process("pm-cluster").expect("it runs")
}

#[test]
fn another_app_that_a_worker_started_goes_on() {
    for tools in CLUSTERS.into_iter().chain(["pm-restart --grace 2s"]) {
        for other in ["sleep 1000", "pm-restart sleep 1000", "pm-cluster -n 2 sleep 1000"] {
            let scene = Scene::with_node(24);
            let (chain, worker) = start(&scene, tools);
            run(&chain, &format!("pm-fork --name other {other}"));
            let count = if other.contains("cluster") { 2 } else { 1 };
            // As long as pm-fork waits for it, its end is the end of the app that it starts.
            let running = || {
                let sleeps = named(&chain, "sleep");
                (sleeps.len() == count && named(&chain, "pm-fork").is_empty()).then_some(sleeps)
            };
            let others = chain.until("the other app", running);
            let mine = detached(&chain);
            proc::send(worker, SIGKILL);
            all_end(&chain, &mine);
            chain.serving(1);
            if tools.contains("cluster") {
                roll::well(&chain);
            }
            chain.signal(SIGTERM);
            assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
            assert!(others.iter().all(|pid| proc::alive(*pid)), "{other}\n{}", chain.output());
            fork::stop(&scene, "other");
        }
    }
}

/// Whose supervisor is killed falls to the next one above it, which is not its own.
#[test]
fn another_app_whose_supervisor_was_killed_goes_on() {
    for tools in CLUSTERS.into_iter().chain(["pm-restart --grace 2s"]) {
        let scene = Scene::with_node(24);
        let (chain, worker) = start(&scene, tools);
        run(&chain, "pm-fork --name other pm-restart sh -c 'sleep 1000 & wait'");
        let other = chain.until("the other app", || {
            let sleeps = named(&chain, "sleep");
            (sleeps.len() == 1 && named(&chain, "pm-fork").is_empty()).then(|| sleeps[0])
        });
        let shell = proc::parent(other).expect("its shell");
        let supervisor = proc::parent(shell).expect("its supervisor");
        proc::send(supervisor, SIGKILL);
        let is_ours = |parent: &u32| *parent != supervisor && *parent != 1;
        chain.until("it to fall to us", || proc::parent(shell).filter(is_ours));
        let mine = detached(&chain);
        proc::send(worker, SIGKILL);
        all_end(&chain, &mine);
        let second = *chain.serving(1).first().expect("one");
        if tools.contains("cluster") {
            chain.signal(SIGHUP);
            chain.until("the second worker to be replaced", || (!proc::alive(second)).then_some(()));
            chain.serving(1);
        }
        chain.signal(SIGTERM);
        assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
        assert!([shell, other].iter().all(|pid| proc::alive(*pid)), "{tools}\n{}", chain.output());
        [shell, other].iter().for_each(|pid| proc::send(*pid, SIGKILL));
    }
}

/// pm-fork waits for the app that it starts, and ends with the worker: its app is not below us yet, and goes on.
#[test]
fn another_app_that_a_worker_is_about_to_start_goes_on() {
    for tools in CLUSTERS.into_iter().chain(["pm-restart --grace 2s"]) {
        let scene = Scene::with_node(24);
        let (chain, worker) = start(&scene, tools);
        run(&chain, "pm-fork --name other --timeout 1h pm-cluster -n 2 --ready-after 1h --ready-timeout 1h sleep 1000");
        let others = chain.until("the other app", || {
            let sleeps = named(&chain, "sleep");
            (sleeps.len() == 2 && named(&chain, "pm-fork").len() == 1).then_some(sleeps)
        });
        let mine = detached(&chain);
        proc::send(worker, SIGKILL);
        all_end(&chain, &mine);
        chain.serving(1);
        chain.signal(SIGTERM);
        assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
        assert!(others.iter().all(|pid| proc::alive(*pid)), "{tools}\n{}", chain.output());
        fork::stop(&scene, "other");
    }
}

/// Whoever leads an app of its own by the time a signal is sent is none of ours, whatever it was when it was seen first.
#[test]
fn what_a_worker_left_and_became_another_app_goes_on() {
    let scene = Scene::with_node(24);
    let (chain, worker) = start(&scene, "pm-restart --grace 5s");
    let other = run(&chain, "trap 'exec env PM_DIR=/elsewhere sleep 1000' TERM; while :; do sleep 0.05; done");
    // What was forked has the name and the handlers of its parent until it is a shell.
    chain.until("its trap", || (proc::name(other) == "sh" && proc::catches(other, SIGTERM)).then_some(()));
    proc::send(worker, SIGKILL);
    chain.until("its new life", || (proc::name(other) == "sleep").then_some(()));
    chain.serving(1);
    let mine = detached(&chain);
    chain.signal(SIGTERM);
    assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
    assert!(!mine.iter().any(|pid| proc::alive(*pid)), "{}", chain.output());
    assert!(proc::alive(other), "{}", chain.output());
    proc::send(other, SIGKILL);
}

#[test]
fn what_a_worker_left_is_held_against_its_limit() {
    let holds = "/usr/bin/python3 -c 'import time; x = bytearray(200 * 2**20); time.sleep(1000)' & exit 0";
    for tools in ["pm-restart --stable 1s --max-mem 150M pm-cluster -n 1", "pm-restart --stable 1s --max-mem 150M"] {
        let scene = Scene::with_node(24);
        let (chain, worker) = start(&scene, tools);
        run(&chain, holds);
        chain.until("the worker to be replaced", || (!proc::alive(worker)).then_some(()));
        chain.until("the reason", || chain.messages("memory").pop());
        chain.until("python to end", || named(&chain, "python3").is_empty().then_some(()));
        chain.stop();
    }
}
