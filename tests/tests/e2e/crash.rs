//! The crash of a worker costs nothing but what was in its hands.

use std::collections::BTreeSet;

use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP};
use pm_tests::http::{Connection, Miss};
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, http, proc, roll};

/// Kills workers one after the other under load; returns what was lost in each round by each client.
fn storm(style: Style, balance: &str) {
    let scene = Scene::with_node(24);
    let line = format!("pm-restart --max-mem 512M pm-cluster -n 3 --balance {balance} node $F/app.js");
    // Twenty deaths in a few seconds are not a crash loop here: the stable time is over at once.
    let chain = scene.start(&line.replace("--max-mem", "--stable 1ms --intensity 1000/60s --max-mem"));
    chain.serving(3);
    let load = Load::start(scene.port, 16, style);
    let mut before = vec![0; 16];
    for round in 0..20 {
        load.advance(5);
        let workers: Vec<u32> = chain.said("listening").iter().filter_map(alive_pid).collect();
        // Any worker will do; the choice differs between rounds and runs.
        let victim = workers[(round * 7 + scene.port as usize) % workers.len()];
        let listening = chain.said("listening").len();
        proc::send(victim, SIGKILL);
        chain.hear("listening", listening + 1);
        load.advance(5);
        let lost: Vec<usize> = load.tallies().iter().map(|t| t.misses.len()).collect();
        for (client, (now, then)) in lost.iter().zip(&before).enumerate() {
            assert!(now - then <= 1, "round {round}: client {client} lost {} requests\n{}", now - then, chain.output());
        }
        before = lost;
    }
    let sum = load.end();
    let in_its_hands = |miss: &&Miss| matches!(miss, Miss::Reset | Miss::Cut);
    assert_eq!(sum.misses.iter().filter(in_its_hands).count(), sum.misses.len(), "{:?}", sum.misses);
    chain.stop();
}

fn alive_pid(said: &serde_json::Value) -> Option<u32> {
    said["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| proc::alive(*pid))
}

#[test]
fn kept_connections_lose_at_most_one_request_for_each_kill() {
    storm(Style::Kept, "lanes");
}

#[test]
fn single_requests_lose_at_most_one_for_each_kill() {
    storm(Style::OneShot, "lanes");
}

#[test]
fn kills_under_a_shared_socket_refuse_nothing() {
    storm(Style::OneShot, "shared");
}

#[test]
fn kills_under_round_robin_refuse_nothing() {
    storm(Style::OneShot, "rr");
}

/// With one worker there is nobody to hand on to: clients wait for the successor.
#[test]
fn clients_of_a_single_worker_wait_for_its_successor() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart pm-cluster -n 1 node $F/app.js");
    let first = chain.serving(1);
    let mut kept: Vec<_> = (0..10).map(|_| Connection::open(scene.port).expect("open")).collect();
    let victim = *first.first().expect("one");
    proc::send(victim, SIGSTOP);
    // These wait in the queue of a worker that accepts nothing; then it dies.
    let mut queued: Vec<_> = (0..10).map(|_| Connection::open(scene.port).expect("queued")).collect();
    proc::send(victim, SIGKILL);
    for (n, connection) in queued.iter_mut().enumerate() {
        let answer = connection.request("/", "close");
        assert!(answer.as_ref().is_ok_and(|pid| *pid != victim.to_string()), "{n}: {answer:?}\n{}", chain.output());
    }
    // Those that it may have accepted are lost, and told so at once.
    let lost = |c: &mut Connection<_>| !matches!(c.get("/"), Err(Miss::Hung | Miss::Refused));
    assert!(kept.iter_mut().all(lost));
    chain.stop();
}

/// What waits for a slot whose successor is held back is handed to a living worker.
#[test]
fn the_queue_of_a_slot_in_backoff_is_served_by_the_others() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --backoff 1h..1h --stable 1h pm-cluster -n 2 node $F/app.js");
    let workers: Vec<u32> = chain.serving(2).into_iter().collect();
    let dead = workers[0];
    // Its first death is replaced at once, the next is held back: kill until a successor does not come.
    let held_back = |line: &pm_tests::stat::Line| line.state() == "backoff";
    workers.iter().for_each(|pid| proc::send(*pid, SIGSTOP));
    let mut queued: Vec<_> = (0..40).map(|_| Connection::open(scene.port).expect("queued")).collect();
    proc::send(dead, SIGKILL);
    let slot = chain.hear("start", 3)[2]["slot"].clone();
    let successor = chain.until("the successor", || {
        chain.said("start").iter().filter(|s| s["slot"] == slot).filter_map(alive_pid).next_back()
    });
    proc::send(successor, SIGKILL);
    chain.until("a slot in backoff", || pm_tests::stat::workers(&scene).iter().find(|l| held_back(l)).cloned());
    proc::send(workers[1], SIGCONT);
    let answers: Vec<_> = queued.iter_mut().map(|c| c.request("/", "close")).collect();
    let lost: Vec<_> = answers.iter().filter(|a| matches!(a, Err(m) if *m != Miss::Cut && *m != Miss::Reset)).collect();
    assert!(lost.is_empty(), "{lost:?}\n{}", chain.output());
    // New ones find the living worker, every one of them.
    let served: BTreeSet<_> = (0..40).map(|_| http::get(scene.port, "/").expect("served")).collect();
    assert_eq!(served, BTreeSet::from([workers[1].to_string()]));
    chain.stop();
}

/// What waits for a worker that drains when that is killed: its successor serves already, and gets it.
#[test]
fn the_queue_of_a_draining_worker_that_is_killed_is_served_by_its_successor() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 --soak 100ms --grace 1h node $F/hangs.js");
    let old = *chain.serving(1).first().expect("one");
    http::get(scene.port, "/loop").expect("served");
    chain.hear("takes no more", 1);
    let mut queued = queued(&scene);
    roll::ended(&chain, roll::ask(&chain));
    assert!(proc::alive(old), "{}", chain.output());
    proc::send(old, SIGKILL);
    for (n, connection) in queued.iter_mut().enumerate() {
        let answer = connection.request("/", "close");
        assert!(answer.as_ref().is_ok_and(|pid| *pid != old.to_string()), "{n}: {answer:?}\n{}", chain.output());
    }
    chain.stop();
}

/// A program that accepts by itself can be given no connection: who would wait in vain is told so.
#[test]
fn the_queue_of_a_draining_program_that_is_killed_is_closed_soon() {
    let scene = any::scene();
    let server = "/usr/bin/python3 $F/any/one_at_a_time.py";
    let chain = any::start(&scene, "pm-cluster -n 1 --soak 100ms --grace 1h", server);
    let old = any::serving(&chain, 1)[&0];
    let mut only = Connection::open(scene.port).expect("serves");
    assert_eq!(only.get("/"), Ok(old.to_string()), "it has no place for others");
    let mut queued = queued(&scene);
    roll::ended(&chain, roll::ask(&chain));
    assert!(proc::alive(old), "{}", chain.output());
    proc::send(old, SIGKILL);
    for connection in &mut queued {
        let answer = connection.request("/", "close");
        assert!(matches!(answer, Err(Miss::Cut | Miss::Reset)), "{answer:?}\n{}", chain.output());
    }
    chain.line("connections waited for a worker that has ended");
    assert!(chain.output().contains("connections=5"), "{}", chain.output());
    any::serving(&chain, 1);
    chain.stop();
}

fn queued(scene: &Scene) -> Vec<Connection<std::net::TcpStream>> {
    (0..5).map(|_| Connection::open(scene.port).expect("queued")).collect()
}

#[test]
fn a_worker_that_never_gets_ready_is_a_failed_start() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --backoff 1ms..2ms --intensity 4/60s pm-cluster -n 1 sh -c exit${IFS}9");
    assert_eq!(chain.ended(), Some(9), "{}", chain.output());
}

#[test]
fn a_worker_that_hangs_at_the_start_is_replaced_after_the_ready_timeout() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 --ready message --ready-timeout 1s node $F/listen.js never");
    chain.until("a second process", || {
        let line = pm_tests::stat::workers(&scene).pop()?;
        (line.number("generation") >= 2).then_some(())
    });
    chain.stop();
}

/// Ends everything that a killed pm-cluster left, then serves again.
#[test]
fn a_killed_cluster_leaves_nothing_behind_and_serves_again() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --max-mem 512M pm-cluster -n 2 node $F/app.js");
    let first = chain.serving(2);
    let detached: u32 = http::get(scene.port, "/detached").expect("serves").parse().expect("a pid");
    // A stopped worker cannot notice that its supervisor is gone.
    let stopped = *first.first().expect("two");
    proc::send(stopped, SIGSTOP);
    let old = scene.process("pm-cluster").expect("it runs");
    proc::send(old, SIGKILL);
    let second = chain.serving(2);
    assert!(first.is_disjoint(&second));
    let left: Vec<u32> = first.iter().copied().chain([detached, old]).filter(|pid| proc::alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?} of {first:?} and {detached} are alive\n{}", chain.output());
    chain.stop();
}
