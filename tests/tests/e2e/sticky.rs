//! `--sticky`: new connections of one client address meet one worker, whatever happens to the others.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use nix::sys::signal::Signal::{SIGKILL, SIGTTIN, SIGTTOU};
use pm_common::policy::steering::rendezvous::slot_of;
use pm_common::sys::socket;
use pm_tests::chain::Chain;
use pm_tests::http::{Connection, Miss};
use pm_tests::scene::Scene;
use pm_tests::{any, bins, proc, roll, stat};

/// A program that knows nothing of us: it answers with its slot.
const WHO: &str = "
import http.server, os
class Who(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ['PM_SLOT'].encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Who).serve_forever()
";
/// The same in cluster mode.
const WHO_NODE: &str = "
require('http').createServer((_, res) => res.end(process.env.PM_SLOT)).listen(process.env.PORT)
";
/// As many deaths as we cause are no crash loop here.
const PATIENT: &str = "pm-restart --backoff 1ms..1ms --stable 1ms --intensity 100000/1s";

/// `scripts/stress` asks for more rolls and crashes, and more clients.
fn rounds() -> usize {
    std::env::var("PM_TEST_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn clients() -> impl Iterator<Item = Ipv4Addr> {
    let count = if rounds() > 1 { 100 } else { 40 };
    (0..count).map(|n| Ipv4Addr::new(127, (n % 7) as u8, (n / 5) as u8, (n + 1) as u8))
}

/// The answer to a client of this address; loopback has many.
fn ask(client: Ipv4Addr, port: u16) -> Result<String, Miss> {
    let fd = socket::tcp_unbound((client, 0).into())?;
    socket::bind(&fd, (client, 0).into())?;
    socket::set_nonblocking(&fd, false)?;
    rustix::net::connect(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(io::Error::from)?;
    Connection::over(TcpStream::from(fd))?.request("/", "close")
}

/// Each client is answered by some slot: it waits for its successor for two seconds at most.
fn all_answered(chain: &Chain) {
    for client in clients() {
        let answer = ask(client, chain.scene.port).unwrap_or_else(|miss| panic!("{miss:?}\n{}", chain.output()));
        assert!(answer.parse::<u32>().is_ok_and(|slot| slot < 4), "{client} meets {answer}\n{}", chain.output());
    }
}

/// The slot that answers each client, over several connections of each.
fn homes(chain: &Chain) -> BTreeMap<Ipv4Addr, u32> {
    let connections = if rounds() > 1 { 5 } else { 2 };
    let home = |client| {
        let ask = || ask(client, chain.scene.port);
        let answers: Vec<String> =
            (0..connections).map(|_| ask().unwrap_or_else(|miss| panic!("{miss:?}\n{}", chain.output()))).collect();
        assert!(answers.iter().all(|one| *one == answers[0]), "{client} meets {answers:?}");
        (client, answers[0].parse().expect("a slot"))
    };
    clients().map(home).collect()
}

/// Each client is at home where the rule says, of so many slots.
#[track_caller]
fn at_home(chain: &Chain, slots: u32, when: &str) {
    let seen = homes(chain);
    let wanted = clients().map(|client| (client, slot_of(client.into(), 0..slots).expect("a slot"))).collect();
    assert_eq!(seen, wanted, "{when}\n{}", chain.output());
}

/// Waits until so many workers are ready, and no other lives.
fn settled(chain: &Chain, count: usize) {
    chain.until(&format!("{count} workers"), || {
        let lines = stat::workers(chain.scene);
        (lines.len() == count && lines.iter().all(|line| line.state() == "ready")).then_some(())
    });
}

fn scaled(chain: &Chain, from: u32, to: u32) {
    let signal = if to > from { SIGTTIN } else { SIGTTOU };
    for step in 1..=from.abs_diff(to) {
        chain.signal(signal);
        let now = if to > from { from + step } else { from - step };
        settled(chain, now as usize);
    }
    at_home(chain, to, &format!("scaled from {from} to {to}"));
}

/// Rolls, crashes and scales; a client moves only when its slot goes, or to a slot that came.
fn stay(scene: &Scene, program: &str, scales: bool) {
    let chain =
        scene.start(&format!("{PATIENT} pm-cluster --sticky -n 4 --soak 10ms --grace 1s --parallel 4 {program}"));
    settled(&chain, 4);
    at_home(&chain, 4, "started");
    for round in 0..rounds() {
        roll::well(&chain);
        at_home(&chain, 4, "rolled");
        let victim = any::workers(scene)[&(round as u64 % 4)];
        proc::send(victim, SIGKILL);
        // At once: its clients that come now wait for its successor, or go to others where that takes long.
        all_answered(&chain);
        chain.until("another in its place", || {
            any::workers(scene).get(&(round as u64 % 4)).is_some_and(|pid| *pid != victim).then_some(())
        });
        settled(&chain, 4);
        at_home(&chain, 4, "killed");
    }
    if scales {
        scaled(&chain, 4, 6);
        scaled(&chain, 6, 3);
    }
    chain.stop();
}

#[test]
fn clients_of_any_program_stay_with_their_slot() {
    let scene = any::scene();
    let who = scene.file("who.py", WHO);
    stay(&scene, &format!("/usr/bin/python3 {}", who.display()), true);
}

#[test]
fn clients_of_node_stay_with_their_slot() {
    let scene = Scene::with_node(24);
    let who = scene.file("who.js", WHO_NODE);
    stay(&scene, &format!("node {}", who.display()), rounds() > 1);
}

/// A worker that does not come back keeps its clients waiting for two seconds at most.
#[test]
fn clients_whose_worker_does_not_come_back_go_to_others() {
    let scene = Scene::with_node(24);
    let who = scene.file("who.js", WHO_NODE);
    let chain = scene.start(&format!("pm-restart --restart-delay 1h pm-cluster --sticky -n 2 node {}", who.display()));
    settled(&chain, 2);
    let client = clients().find(|client| slot_of((*client).into(), 0..2) == Some(1)).expect("one of them");
    proc::send(any::workers(&scene)[&1], SIGKILL);
    let answer = ask(client, scene.port);
    assert_eq!(answer.as_deref(), Ok("0"), "{}", chain.output());
    chain.stop();
}

/// Real sessions over long polling: each request may come over a connection of its own.
#[test]
fn socket_io_polls_with_two_workers() {
    let modules = bins::cache().parent().map(|cache| cache.join("socketio/node_modules")).unwrap_or_default();
    assert!(modules.is_dir(), "{} is missing: run scripts/test, which fetches it", modules.display());
    let scene = Scene::with_node(24).with("NODE_PATH", modules);
    let chain = scene.start("pm-cluster --sticky -n 2 node $F/socketio/server.js");
    settled(&chain, 2);
    let mut client = scene.command(&["node", &scene.expand("$F/socketio/client.js"), "12"]);
    let output = client.output().expect("node runs");
    assert!(stat::workers(&scene).iter().all(|line| line.0["sticky"] == true), "pm-stat tells it");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told.trim(), "12 of 12 sessions, 2 workers", "{}", String::from_utf8_lossy(&output.stderr));
    chain.stop();
}
