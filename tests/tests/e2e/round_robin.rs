//! Connections that the supervisor accepts and passes on: it neither spins nor stops when they cannot be had or given.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use pm_tests::scene::Scene;
use pm_tests::{http, proc, wait};

/// Sets the soft limit of descriptors of a running process.
fn limit_descriptors(scene: &Scene, pid: u32, soft: &str) {
    let words = ["prlimit", "--pid", &pid.to_string(), &format!("--nofile={soft}:")];
    let status = scene.command(&words).status().expect("prlimit runs");
    assert!(status.success(), "{words:?}");
}

#[test]
fn after_a_failed_accept_it_goes_on() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 2 --balance rr node $F/app.js");
    chain.serving(2);
    let supervisor = chain.until("pm-cluster", || scene.process("pm-cluster"));
    // Just too few: below the number that it polls, poll(2) itself would fail.
    let free = chain.until("a number that is free while it rests", || {
        let rests = || (proc::state(supervisor) == Some('S')).then(|| proc::wakeups(supervisor));
        let before = rests()?;
        let free = (3..).find(|fd: &u32| !Path::new(&format!("/proc/{supervisor}/fd/{fd}")).exists())?;
        (rests()? == before).then_some(free)
    });
    limit_descriptors(&scene, supervisor, &free.to_string());
    let mut waits = http::Connection::open(scene.port).expect("the kernel's queue takes it");
    chain.line("cannot accept connections");
    limit_descriptors(&scene, supervisor, "1024");
    waits.get("/").expect("nobody speaks, and it is served");
    http::get(scene.port, "/").expect("and others");
    chain.stop();
}

#[test]
fn a_connection_that_nobody_has_room_for_waits_without_a_spin() {
    const WINDOW: Duration = Duration::from_secs(3);
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 --balance rr node $F/full.js");
    chain.hear("listening", 1);
    let supervisor = chain.until("pm-cluster", || scene.process("pm-cluster"));
    let open = || TcpStream::connect(("127.0.0.1", scene.port)).expect("connected");
    let first = open();
    chain.hear("connected", 1);
    let mut second = open();
    second.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
    let before = proc::wakeups(supervisor);
    std::thread::sleep(WINDOW);
    // Seven tries with growing pauses, each a few wake-ups.
    let woke = proc::wakeups(supervisor) - before;
    assert!(woke < 60, "{woke} wake-ups in {WINDOW:?}\n{}", chain.output());
    drop(first);
    chain.hear("disconnected", 1);
    second.read_exact(&mut [0]).expect("there is room now");
    chain.stop();
}
