//! What is no TCP port of a process in the foreground: it works as far as it can, and what cannot is said.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Duration;

use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{any, proc, roll};

/// Starts a Python program under two workers.
fn started<'a>(scene: &'a Scene, options: &str, program: &str) -> Chain<'a> {
    let script = scene.file("program.py", program);
    any::start(scene, &format!("pm-cluster -n 2 {options}"), &format!("/usr/bin/python3 {}", script.display()))
}

const DATAGRAMS: &str = "import os, socket\n\
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
    taken.bind(('127.0.0.1', int(os.environ['PORT'])))\n\
    print('bound', flush=True)\n\
    while True:\n\
    \x20   _, who = taken.recvfrom(64)\n\
    \x20   taken.sendto(str(os.getpid()).encode(), who)\n";

/// Asks from a port of its own.
fn ask(port: u16) -> Option<u32> {
    let client = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    client.send_to(b"?", ("127.0.0.1", port)).ok()?;
    let mut room = [0; 16];
    let length = client.recv(&mut room).ok()?;
    std::str::from_utf8(&room[..length]).ok()?.parse().ok()
}

#[test]
fn each_worker_takes_its_share_of_the_datagrams() {
    let scene = any::scene();
    let chain = started(&scene, "--ready-after 100ms --soak 100ms", DATAGRAMS);
    let both = || {
        let mut seen = BTreeSet::new();
        chain.until("answers of two workers", || {
            seen.extend(ask(scene.port).filter(|pid| proc::alive(*pid)));
            (seen.len() >= 2).then(|| seen.clone())
        })
    };
    chain.on_line("two that are bound", |c| (c.output().matches("bound").count() >= 2).then_some(()));
    let first = both();
    roll::well(&chain);
    let second = both();
    assert!(first.is_disjoint(&second), "{first:?} {second:?}");
    assert!(chain.messages("warning").is_empty(), "{}", chain.output());
    chain.stop();
}

/// The port of another program stays its own, as with TCP.
#[test]
fn another_programs_datagrams_are_not_shared() {
    let scene = any::scene();
    let other = UdpSocket::bind(("127.0.0.1", scene.port)).expect("free");
    rustix::net::sockopt::set_socket_reuseport(&other, true).expect("an option");
    let chain = started(&scene, "--ready-after 5s --ready-timeout 6s", DATAGRAMS);
    chain.line("Address already in use");
    assert!(!chain.output().contains("bound"), "{}", chain.output());
    scene.kill_all();
}

#[test]
fn two_that_bind_the_same_unix_socket_are_told_how_to_share_it() {
    let scene = any::scene();
    let chain = started(
        &scene,
        "--ready-after 100ms",
        "import os, socket\n\
         if os.path.exists('socket'):\n\
         \x20   os.unlink('socket')\n\
         listener = socket.socket(socket.AF_UNIX)\n\
         listener.bind('socket')\n\
         listener.listen()\n\
         listener.accept()\n",
    );
    let said = chain.line("workers bind the same unix socket");
    assert!(said.ends_with("--listen unix:socket"), "{said}");
    assert_eq!(chain.messages("the same unix socket").len(), 1, "{}", chain.output());
    chain.stop();
}

#[test]
fn one_that_makes_itself_a_daemon_is_told_to_stay() {
    let scene = any::scene();
    let server = scene.expand("$F/any/server.py");
    let scene = scene.with("SERVER", server);
    let chain = started(
        &scene,
        "--ready-timeout 2s",
        "import os, time\n\
         parent = os.getpid()\n\
         if os.fork():\n\
         \x20   os._exit(0)\n\
         os.setsid()\n\
         while os.getppid() == parent:\n\
         \x20   time.sleep(0.01)\n\
         exec(open(os.environ['SERVER']).read())\n",
    );
    let said = chain.line("a worker has ended and left a daemon");
    assert!(said.contains("in the foreground"), "{said}");
    scene.kill_all();
}
