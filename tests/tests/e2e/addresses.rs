//! Workers with hundreds of addresses: all are had, at a start, in a roll, and after a crash of ours; and who reaches a
//! limit is told.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{any, proc, roll, stat};

/// All on one port, which no other test has.
const MANY: u32 = 300;
/// Enough to be more than a few, and a ninth of the time.
const SOME: u32 = 100;

/// Node: answers with its pid on each.
const NODE: &str = "const http = require('http');\n\
    const listen = (host) => http.createServer((_, answer) => answer.end(String(process.pid)))\n\
    \x20 .on('error', (error) => console.log(error.code))\n\
    \x20 .listen(process.env.PORT, host);\n\
    for (let i = 1; i <= process.env.HOSTS; i++) listen(`127.6.${i >> 8}.${i & 255}`);\n\
    listen('127.0.0.1');\n";

/// The same in Python, which binds by itself and waits for all with an epoll.
const PYTHON: &str = "import os, selectors, socket\n\
    waits, port = selectors.DefaultSelector(), int(os.environ['PORT'])\n\
    hosts = [f'127.6.{i >> 8}.{i & 255}' for i in range(1, int(os.environ['HOSTS']) + 1)]\n\
    for host in hosts + ['127.0.0.1']:\n\
    \x20   waits.register(socket.create_server((host, port)), selectors.EVENT_READ)\n\
    body = str(os.getpid())\n\
    head = f'HTTP/1.1 200 OK\\r\\nContent-Length: {len(body)}\\r\\nConnection: close\\r\\n\\r\\n'\n\
    while True:\n\
    \x20   for key, _ in waits.select():\n\
    \x20       with key.fileobj.accept()[0] as client:\n\
    \x20           client.recv(4096)\n\
    \x20           client.sendall((head + body).encode())\n";

/// A scene whose programs listen on so many, and on 127.0.0.1.
fn scene(hosts: u32) -> Scene {
    any::scene().with("HOSTS", hosts.to_string())
}

fn host(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 6, 0, 0)) + number)
}

/// Who answers at the address.
fn pid_at(scene: &Scene, host: Ipv4Addr) -> u32 {
    let mut client = TcpStream::connect((host, scene.port)).expect("not refused");
    client.set_read_timeout(Some(pm_tests::wait::DEADLINE)).expect("a timeout");
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer.rsplit("\r\n").find_map(|line| line.trim().parse().ok().filter(|pid| *pid > 1)).expect("a pid")
}

/// Two workers serve at all addresses, and say so.
fn all_are_served(chain: &Chain, hosts: u32) {
    let scene = chain.scene;
    let count = |line: &stat::Line| line.0["listen"].as_array().map_or(0, Vec::len);
    let pids: Vec<u32> = chain.until("all addresses of two workers", || {
        let workers = stat::workers(scene);
        let full = workers.len() == 2 && workers.iter().all(|line| count(line) == hosts as usize + 1);
        full.then(|| workers.iter().filter_map(stat::Line::pid).collect())
    });
    for number in 1..=hosts {
        let pid = pid_at(scene, host(number));
        assert!(pids.contains(&pid), "{pid} of {pids:?}\n{}", chain.output());
    }
}

/// A start, rolls (the second uses the sockets of the first worker again), and the death of a worker.
fn through_its_life(chain: &Chain, hosts: u32, rolls: u32) {
    any::serving(chain, 2);
    all_are_served(chain, hosts);
    for _ in 0..rolls {
        roll::well(chain);
        all_are_served(chain, hosts);
    }
    let victim = any::workers(chain.scene)[&0];
    proc::send(victim, SIGKILL);
    chain.until("its successor", || any::workers(chain.scene).get(&0).is_some_and(|pid| *pid != victim).then_some(()));
    all_are_served(chain, hosts);
    assert!(chain.messages("without end").is_empty(), "{}", chain.output());
    let ready = chain.line("ready workers=2/2");
    assert!(ready.len() < 1000, "a line for people: {ready}");
}

#[test]
fn node_workers_with_a_hundred_addresses() {
    let scene = scene(SOME);
    let script = scene.file("many.js", NODE);
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms", &format!("node {}", script.display()));
    through_its_life(&chain, SOME, 2);
    chain.stop();
}

#[test]
fn programs_that_bind_three_hundred_addresses() {
    let scene = scene(MANY);
    let script = scene.file("many.py", PYTHON);
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms", &format!("/usr/bin/python3 {}", script.display()));
    through_its_life(&chain, MANY, 1);
    chain.stop();
}

#[test]
fn a_successor_of_ours_has_all_addresses_again() {
    let scene = scene(SOME);
    let script = scene.file("many.py", PYTHON);
    let chain = any::start(&scene, "pm-restart pm-cluster -n 2", &format!("/usr/bin/python3 {}", script.display()));
    any::serving(&chain, 2);
    all_are_served(&chain, SOME);
    let old = scene.process("pm-cluster").expect("it runs");
    proc::send(old, SIGKILL);
    chain.until("a successor", || roll::supervisor(&scene).filter(|line| line["pid"] != old && line["ready"] == 2));
    all_are_served(&chain, SOME);
    chain.stop();
}

/// The application hears of it, and people do, once.
#[test]
fn node_is_told_where_there_is_no_room_for_more() {
    let scene = scene(MANY);
    let script = scene.file("many.js", NODE);
    let chain = any::start(&scene, "prlimit --nofile=200:200 pm-cluster -n 1", &format!("node {}", script.display()));
    chain.line("EMFILE");
    let said = chain.line("a worker gets EMFILE for one more address: too few descriptors may be open");
    assert!(said.contains("limit=200; raise the hard limit"), "{said}");
    pid_at(&scene, host(1));
    assert_eq!(chain.messages("gets EMFILE").len(), 1, "{}", chain.output());
    chain.stop();
}

/// What we do not keep is the program's own, and it serves there; we are not exhausted, and start the next worker.
#[test]
fn a_program_has_the_rest_for_itself_where_there_is_no_room_for_more() {
    let scene = scene(MANY);
    let script = scene.file("many.py", PYTHON);
    let line = format!("/usr/bin/python3 {}", script.display());
    let chain = any::start(&scene, "prlimit --nofile=320:320 pm-cluster -n 1", &line);
    let said = chain.line("an address is a worker's own");
    assert!(said.contains("limit=320; raise the hard limit"), "{said}");
    let first = any::serving(&chain, 1)[&0];
    assert_eq!((pid_at(&scene, host(1)), pid_at(&scene, host(MANY))), (first, first));
    chain.until("some of the 320 left for itself", || {
        (240..270).contains(&proc::descriptors(chain.pid())).then_some(())
    });
    proc::send(first, SIGKILL);
    let next = chain.until("the next worker", || any::workers(&scene).get(&0).copied().filter(|pid| *pid != first));
    any::serving(&chain, 1);
    assert_eq!((pid_at(&scene, host(1)), pid_at(&scene, host(MANY))), (next, next));
    assert_eq!(chain.messages("is a worker's own").len(), 1, "{}", chain.output());
    chain.stop();
}
