//! Where the best way is forbidden, the next one is used, and one line says so.

use nix::sys::signal::Signal::SIGTERM;
use pm_tests::http::Miss;
use pm_tests::load::{Load, Style};
use pm_tests::{any, roll};

const EPERM: i32 = 1;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;

/// The program's sockets cannot be had, as under Docker's default profile: both serve, a crash refuses nobody, a roll
/// loses nothing.
fn lanes_are_made(server: &str) {
    let scene = any::scene();
    let chain = any::start(&scene, &format!("$A/deny getfd {EPERM} pm-cluster -n 2 --soak 100ms"), server);
    any::serving(&chain, 2);
    assert_eq!(chain.messages("lanes are made here").len(), 1, "{}", chain.output());
    any::rolls_and_crashes(&chain);
}

#[test]
fn without_pidfd_getfd_lanes_are_made_for_python() {
    lanes_are_made("/usr/bin/python3 $F/any/server.py");
}

#[test]
fn without_pidfd_getfd_lanes_are_made_for_go() {
    lanes_are_made("$A/go-server");
}

#[test]
fn without_pidfd_getfd_lanes_are_made_for_java() {
    lanes_are_made("java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp $A Server");
}

/// No process can be watched, as before Linux 5.3: nothing is started, and the message names the call.
#[test]
fn without_pidfd_open_the_message_names_the_call() {
    for (errno, reason) in [(ENOSYS, "Function not implemented"), (EPERM, "Operation not permitted")] {
        for tool in ["pm-cluster -n 2", "pm-restart"] {
            let scene = any::scene();
            let chain = any::start(&scene, &format!("$A/deny pidfd {errno} {tool}"), "touch $T/started");
            assert_eq!(chain.ended(), Some(125), "{}", chain.output());
            let line = chain.line("fatal");
            assert!(
                line.contains(&format!("cannot watch processes: pidfd_open: {reason}; it needs Linux 5.3")),
                "{line}"
            );
            assert!(!scene.dir().join("started").exists());
        }
    }
}

/// One line says what cannot be and why; the program that came first serves.
fn nothing_is_possible(errno: i32, reason: &str) {
    let scene = any::scene();
    let line = format!("$A/deny listener {errno} pm-cluster -n 2 --ready-after 100ms");
    let chain = any::start(&scene, &line, "$A/rust-server");
    chain.line("cannot share a port among copies that bind it themselves");
    let said = chain.messages("cannot share a port");
    assert!(said.len() == 1 && said[0].contains(reason), "{said:?}");
    any::serving(&chain, 1);
    chain.signal(SIGTERM);
    chain.wait();
}

#[test]
fn with_a_filter_above_nothing_is_possible() {
    nothing_is_possible(EBUSY, "Device or resource busy (a program above watches already)");
}

#[test]
fn where_the_kernel_has_no_listener_nothing_is_possible() {
    nothing_is_possible(EINVAL, "Invalid argument");
}

/// Node needs none of it.
#[test]
fn node_serves_whatever_is_forbidden() {
    let scene = any::scene();
    let chain = any::start(&scene, &format!("$A/deny listener {EPERM} pm-cluster -n 2"), "node $F/app.js");
    chain.serving(2);
    assert!(chain.messages("cannot").is_empty(), "{}", chain.output());
    chain.stop();
}

/// One socket for all, by choice.
#[test]
fn shared_is_one_socket_that_outlives_every_worker() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms --fanout shared", "$A/go-server");
    let first = any::serving(&chain, 2);
    let load = Load::start(scene.port, 4, Style::OneShot);
    load.advance(5);
    roll::well(&chain);
    let tally = load.end();
    // It takes connections until it dies of the signal: only what it has in hand then can be lost, of each of four clients
    // one request for each of two workers.
    let in_hand = tally.misses.iter().all(|miss| matches!(miss, Miss::Reset | Miss::Cut));
    assert!(in_hand && tally.misses.len() <= 8, "{:?}\n{}", tally.misses, chain.output());
    let second = any::serving(&chain, 2);
    assert!(second.values().all(|pid| !first.values().any(|old| old == pid)));
    chain.stop();
}

/// What is printed is what is used.
#[test]
fn the_probe_says_what_is_allowed() {
    let scene = any::scene();
    let run = |before: &str| {
        let chain = any::start(&scene, before, "pm-cluster --probe");
        assert_eq!(chain.ended(), Some(0), "{}", chain.output());
        chain.output()
    };
    assert!(run("env").contains("lanes: each worker's own socket"));
    let text = run(&format!("$A/deny getfd {EPERM}"));
    assert!(text.contains("Operation not permitted (pidfd_getfd)") && text.contains("that pm-cluster makes"), "{text}");
    let text = run(&format!("$A/deny listener {EBUSY}"));
    assert!(text.contains("Device or resource busy (seccomp)"), "{text}");
}
