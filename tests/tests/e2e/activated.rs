//! Sockets that somebody else has opened, systemd above all, reach the workers through every link.

use nix::sys::signal::Signal::{SIGHUP, SIGKILL};
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{any, fork, http, proc};

/// Starts a line with a socket that listens on the test's port.
fn start<'a>(scene: &'a Scene, line: &str) -> Chain<'a> {
    any::start(scene, "/usr/bin/python3 $F/any/activate.py", line)
}

/// No worker knows anything of descriptors: both find the address free, where it would be taken.
#[test]
fn a_node_app_listens_on_a_socket_that_was_passed_through_the_chain() {
    for line in [
        "pm-cluster -n 2 node $F/app.js",
        "pm-restart pm-cluster -n 2 node $F/app.js",
        "pm-restart env A=1 pm-restart pm-cluster -n 2 node $F/app.js",
        "pm-log --out $T/out --err $T/err pm-restart pm-cluster -n 2 node $F/app.js",
    ] {
        let scene = any::scene();
        let chain = start(&scene, line);
        let before = chain.serving(2);
        chain.signal(SIGHUP);
        chain.until("the new workers", || {
            http::pids(scene.port, 8).iter().all(|pid| !before.contains(pid)).then_some(())
        });
        chain.serving(2);
        chain.stop();
    }
}

/// Those of systemd block, and what a worker accepts another was woken for, too.
#[test]
fn a_socket_that_blocks_does_not_hold_up_node() {
    for major in [16, 18, 24] {
        let scene = Scene::with_node(major);
        let chain = start(&scene, "pm-cluster -n 2 node $F/app.js");
        chain.line("ready workers=2/2");
        let answered = (0..8).map(|_| http::pids(scene.port, 16).len()).collect::<Vec<_>>();
        assert_eq!(answered, [16; 8], "Node {major}\n{}", chain.output());
        chain.stop();
    }
}

#[test]
fn a_shell_that_waits_for_the_cluster_hands_it_on() {
    let scene = any::scene();
    let script = scene.file("run.sh", "#!/bin/sh\npm-cluster -n 2 node \"$F\"/app.js\nexit $?\n");
    let scene = scene.with("F", pm_tests::bins::fixtures());
    let chain = start(&scene, &format!("pm-restart {}", script.display()));
    chain.serving(2);
    chain.stop();
}

#[test]
fn a_program_that_binds_by_itself_is_given_the_socket_that_was_passed() {
    let scene = any::scene().with("HOST", "0.0.0.0");
    let chain = start(&scene, "pm-restart pm-cluster -n 2 /usr/bin/python3 -m http.server -b 0.0.0.0 $P");
    chain.line("ready workers=2/2");
    assert!(chain.messages("another address").is_empty(), "{}", chain.output());
    chain.until("an answer", || http::get(scene.port, "/").ok());
    // What was passed stays where it was, so the successor of a killed cluster finds it.
    let cluster = chain.until("the cluster", || scene.process("pm-cluster"));
    proc::send(cluster, SIGKILL);
    chain.until("the next cluster", || scene.process("pm-cluster").filter(|pid| *pid != cluster));
    chain.until("its answer", || http::get(scene.port, "/").ok());
    chain.stop();
}

#[test]
fn a_plain_child_finds_the_socket_in_its_own_name() {
    let scene = any::scene();
    let chain = start(&scene, "pm-restart /usr/bin/python3 $F/any/passed.py");
    let told = || http::get(scene.port, "/told").ok();
    let first = chain.until("an answer", told);
    assert!(first.starts_with("True 1 "), "{first}");
    let worker = proc::children(chain.pid())[0];
    proc::send(worker, SIGKILL);
    chain.until("the next", || proc::children(chain.pid()).first().filter(|pid| **pid != worker).copied());
    let second = chain.until("its answer", told);
    assert!(second.starts_with("True 1 "), "{second}");
    chain.stop();
}

#[test]
fn a_background_service_is_given_what_was_passed_to_its_starter() {
    let scene = any::scene();
    let chain = start(&scene, "pm-fork --name app --timeout 60s pm-restart pm-cluster -n 2 node $F/app.js");
    assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
    chain.serving(2);
    fork::stop(&scene, "app");
}

/// As many do who know systemd: what they name is the number.
#[test]
fn a_node_app_that_asks_for_descriptor_3_gets_it() {
    let scene = any::scene();
    let script = scene.file(
        "app.js",
        "if (process.env.LISTEN_FDS !== '1' || process.env.LISTEN_PID) throw Error('not told')\n\
         require('http').createServer((q, r) => r.end(`${process.pid}`)).listen({ fd: 3 })",
    );
    let chain = start(&scene, &format!("pm-restart pm-cluster -n 2 node {}", script.display()));
    chain.serving(2);
    chain.stop();
}

#[test]
fn a_socket_that_no_worker_listens_on_is_explained() {
    let scene = any::scene();
    let chain = start(&scene, "pm-restart pm-cluster -n 1 --ready-after 10ms sleep 1000");
    let line = chain.line("socket that we were started with");
    let address = format!("[::]:{}", scene.port);
    assert!(line.contains(&format!("address=tcp:{address}; have the program listen there")), "{line}");
    assert!(line.ends_with(&format!("--listen {address}")), "{line}");
    chain.stop();
}

#[test]
fn a_worker_that_listens_elsewhere_on_the_same_port_is_explained() {
    for program in ["node $F/listen.js host", "/usr/bin/python3 -m http.server -b 127.0.0.1 $P"] {
        let scene = any::scene();
        let chain = start(&scene, &format!("pm-cluster -n 1 {program}"));
        let line = chain.line("another address than the socket that we were started with");
        let port = scene.port;
        assert!(line.contains(&format!("address=tcp:127.0.0.1:{port} socket=tcp:[::]:{port};")), "{line}");
        scene.kill_all();
    }
}
