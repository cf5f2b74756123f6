//! Servers in the child processes and threads of a worker that is Node: they bind by themselves, and are shared as those of
//! any other program.

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::chain::Chain;
use pm_tests::http::Miss;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, http, ports, proc, roll, stat};

const EPERM: i32 = 1;

/// Starts `node below.js HOW` and waits until nobody is left whose servers could not be shared.
fn started<'a>(scene: &'a Scene, workers: usize, how: &str) -> Chain<'a> {
    let chain = any::start(scene, &format!("pm-cluster -n {workers} --soak 50ms"), &format!("node $F/below.js {how}"));
    chain.line("a process or thread of a worker listens by itself");
    chain.line("why=unshared");
    any::serving(&chain, workers);
    chain
}

/// Two rolls lose nothing, of clients that keep their connections busy either; the crash of a worker refuses nobody.
fn is_shared(major: u32, workers: usize, how: &str, styles: &[Style]) {
    let scene = Scene::with_node(major);
    let chain = started(&scene, workers, how);
    let service = serde_json::json!([format!("tcp:[::]:{}", scene.port)]);
    assert!(stat::workers(&scene).iter().all(|line| line.0["listen"] == service), "{:?}", stat::workers(&scene));
    let load = Load::of(scene.port, "/", styles);
    load.advance(3);
    for _ in 0..2 {
        roll::well(&chain);
        load.advance(3);
    }
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    let load = Load::start(scene.port, 4, Style::OneShot);
    for _ in 0..2 {
        let killed = any::serving(&chain, workers)[&0];
        load.advance(3);
        proc::send(killed, SIGKILL);
        chain.until("a successor", || any::workers(&scene).get(&0).is_some_and(|pid| *pid != killed).then_some(()));
        any::serving(&chain, workers);
    }
    let tally = load.end();
    let in_its_hands = |miss: &Miss| matches!(miss, Miss::Reset | Miss::Cut);
    assert!(tally.misses.iter().all(in_its_hands), "{:?}\n{}", tally.misses, chain.output());
    assert!(chain.messages("another program listens").is_empty(), "{}", chain.output());
    chain.stop();
}

#[test]
fn a_child_that_listens() {
    let styles = [Style::crowd(4), vec![Style::Kept; 4], vec![Style::OneShot; 2]].concat();
    for (major, workers) in [(16, 2), (20, 1), (24, 2)] {
        is_shared(major, workers, "child", &styles);
    }
}

#[test]
fn a_thread_that_listens() {
    for (major, workers) in [(16, 1), (20, 2), (24, 2)] {
        is_shared(major, workers, "thread", &[Style::OneShot; 4]);
    }
}

/// What the first worker holds is not lost before the next one is there either.
#[test]
fn the_first_worker_may_crash_as_soon_as_it_is_seen() {
    let scene = Scene::with_node(24);
    let chain = any::start(&scene, "pm-cluster -n 1", "node $F/below.js child");
    chain.line("a process or thread of a worker listens by itself");
    let first = any::serving(&chain, 1)[&0];
    let load = Load::start(scene.port, 2, Style::OneShot);
    load.advance(2);
    proc::send(first, SIGKILL);
    chain.until("a successor", || any::workers(&scene).get(&0).is_some_and(|pid| *pid != first).then_some(()));
    load.advance(2);
    let tally = load.end();
    let in_its_hands = |miss: &Miss| matches!(miss, Miss::Reset | Miss::Cut);
    assert!(tally.misses.iter().all(in_its_hands), "{:?}\n{}", tally.misses, chain.output());
    chain.stop();
}

#[test]
fn a_worker_that_listens_and_has_a_child_that_does() {
    let other = ports::free();
    let scene = Scene::with_node(22).with("OTHER", other.to_string());
    let chain = started(&scene, 2, "beside");
    let loads = [scene.port, other].map(|port| Load::start(port, 2, Style::OneShot));
    loads.iter().for_each(|load| load.advance(3));
    for _ in 0..2 {
        roll::well(&chain);
    }
    any::serving(&chain, 2);
    assert_eq!(http::pids(other, 2).len(), 2);
    for load in loads {
        load.advance(3);
        let tally = load.end();
        assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    }
    let ways = stat::workers(&scene).iter().map(|line| line.text("adapter").to_owned()).collect::<Vec<_>>();
    assert_eq!(ways, ["node+bind"; 2]);
    chain.stop();
}

/// One whose child was refused the port, and that lives on, is replaced like any other.
#[test]
fn a_worker_that_outlives_its_refused_child() {
    let scene = Scene::with_node(24);
    let chain =
        any::start(&scene, "pm-cluster -n 2 --ready-after 200ms --soak 50ms", "node --no-warnings $F/below.js lives");
    chain.line("a process or thread of a worker listens by itself");
    any::serving(&chain, 2);
    roll::well(&chain);
    any::serving(&chain, 2);
    chain.stop();
}

/// What the main thread opens for itself is nobody else's, and no reason to do anything.
#[test]
fn a_port_that_a_worker_has_for_itself_is_left_alone() {
    let other = ports::free();
    let scene = Scene::with_node(24).with("OTHER", other.to_string());
    let chain = any::start(&scene, "pm-cluster -n 1", "node $F/below.js exclusive");
    for _ in 0..3 {
        let pid = any::serving(&chain, 1)[&0];
        // Long enough for looks, which come the sooner the younger the worker is; and each worker has the port again.
        chain.until("its own port", || http::get(other, "/").is_ok_and(|by| by == pid.to_string()).then_some(()));
        std::thread::sleep(std::time::Duration::from_secs(1));
        proc::send(pid, SIGKILL);
        chain.until("a successor", || any::workers(&scene).get(&0).is_some_and(|now| *now != pid).then_some(()));
    }
    assert!(chain.messages("by itself").is_empty(), "{}", chain.output());
    chain.stop();
}

/// Where its socket cannot be had, one line says what helps, and that does.
#[test]
fn what_is_forbidden_is_said_with_what_helps() {
    let scene = any::scene();
    let forbidden = |options: &str| format!("$A/deny getfd {EPERM} pm-cluster -n 2 --soak 50ms {options}");
    let chain = any::start(&scene, &forbidden(""), "node $F/below.js child");
    let said = chain.line("a process or thread of a worker listens by itself");
    assert!(said.contains("pidfd_getfd") && said.ends_with("--fanout lanes shares it"), "{said}");
    any::serving(&chain, 1);
    assert_eq!(chain.messages("listens by itself").len(), 1, "{}", chain.output());
    chain.stop();
    let chain = any::start(&scene, &forbidden("--fanout lanes"), "node $F/below.js child");
    any::serving(&chain, 2);
    any::rolls_and_crashes(&chain);
}

#[test]
fn where_nobody_can_be_watched_it_is_said() {
    let scene = any::scene();
    let chain = any::start(&scene, &format!("$A/deny listener {EPERM} pm-cluster -n 2"), "node $F/below.js child");
    let said = chain.line("a process or thread of a worker listens by itself");
    assert!(said.contains("seccomp") && said.contains("run one worker"), "{said}");
    any::serving(&chain, 1);
    chain.stop();
}
