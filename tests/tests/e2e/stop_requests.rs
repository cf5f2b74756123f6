//! What asks for a stop, and how often: nothing that is in hand is cut unless somebody insists.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGQUIT, SIGTERM};
use pm_tests::chain::Chain;
use pm_tests::http::{Connection, Miss};
use pm_tests::scene::Scene;
use pm_tests::{any, proc, stat};

const NODE: &str = "node $F/app.js";
const PYTHON: &str = "/usr/bin/python3 $F/any/slow.py";
const REQUESTS: usize = 6;

/// What becomes of the requests that are in hand when `stop` is called and are not answered; the chain ends with code 0.
fn cut_by(chain: &Chain<'_>, stop: impl FnOnce()) -> Vec<Result<String, Miss>> {
    chain.serving(2);
    let mut open: Vec<_> = (0..REQUESTS).map(|_| asked(chain.scene.port)).collect();
    stop();
    let is_whole = |rest: &String| rest.ends_with("\r\n0\r\n\r\n") || rest.parse::<u32>().is_ok();
    let cut = open
        .iter_mut()
        .map(|(client, begun)| client.rest(begun))
        .filter(|rest| !rest.as_ref().is_ok_and(is_whole))
        .collect();
    assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
    // pm-log's writer ends with the streams.
    chain.until("the end of all", || chain.scene.processes().is_empty().then_some(()));
    cut
}

/// A request that a worker has in its hands: the head of the answer is there, the body comes later (but for what is here).
fn asked(port: u16) -> (Connection<TcpStream>, Vec<u8>) {
    let mut client = Connection::open(port).expect("open");
    client.send("/stream?1500", "close").expect("sent");
    let mut begun = Vec::new();
    client.head(&mut begun).expect("a head");
    (client, begun)
}

fn cluster_of(chain: &Chain<'_>) -> u32 {
    chain.until("pm-cluster", || chain.scene.process("pm-cluster"))
}

fn term(pids: impl IntoIterator<Item = u32>) {
    pids.into_iter().for_each(|pid| proc::send(pid, SIGTERM));
}

/// As `pkill` and `killall` do, and whoever signals all that it knows of.
#[test]
fn a_term_to_both_supervisors_at_once_is_one_stop() {
    for server in [NODE, PYTHON] {
        for supervisors_above_first in [true, false] {
            let scene = any::scene();
            let chain = any::start(&scene, "pm-restart pm-cluster -n 2", server);
            let cut = cut_by(&chain, || {
                let (outer, inner) = (chain.pid(), cluster_of(&chain));
                term(if supervisors_above_first { [outer, inner] } else { [inner, outer] });
            });
            assert_eq!(cut, [], "{server}\n{}", chain.output());
        }
    }
}

#[test]
fn a_term_from_elsewhere_a_moment_after_the_one_from_above_is_the_same_stop() {
    for server in [NODE, PYTHON] {
        let soon = (0..10).any(|_| {
            let scene = any::scene();
            let chain = any::start(&scene, "pm-restart pm-cluster -n 2", server);
            let mut took = Duration::ZERO;
            let cut = cut_by(&chain, || {
                let (inner, begun) = (cluster_of(&chain), Instant::now());
                term([chain.pid()]);
                std::thread::sleep(Duration::from_millis(300));
                term([inner]);
                took = begun.elapsed();
            });
            // Later it is another stop, which insists.
            let soon = took < Duration::from_millis(900);
            assert!(!soon || cut.is_empty(), "{server}: {cut:?}\n{}", chain.output());
            soon
        });
        assert!(soon, "{server}: a moment always takes long here");
    }
}

/// As systemd does by default (`KillMode=control-group`).
#[test]
fn a_term_to_every_process_at_once_cuts_nothing_of_node() {
    for chain in ["pm-restart pm-cluster -n 2", "pm-cluster -n 2"] {
        let scene = any::scene();
        let chain = any::start(&scene, chain, NODE);
        let cut = cut_by(&chain, || term(scene.processes()));
        assert_eq!(cut, [], "{}", chain.output());
    }
}

/// Images with `STOPSIGNAL SIGQUIT` mean an end in order.
#[test]
fn quit_stops_as_term_does() {
    for tools in ["pm-restart pm-cluster -n 2", "pm-cluster -n 2", "pm-log pm-restart pm-cluster -n 2"] {
        for server in [NODE, PYTHON] {
            let scene = any::scene();
            let chain = any::start(&scene, tools, server);
            let cut = cut_by(&chain, || chain.signal(SIGQUIT));
            assert_eq!(cut, [], "{tools} {server}\n{}", chain.output());
        }
    }
    let scene = Scene::new();
    let chain = scene.start("pm-restart sleep 1000");
    chain.until("sleep", || scene.process("sleep"));
    chain.signal(SIGQUIT);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

/// A worker's queue in the kernel, with each way that connections reach one.
const QUEUES: [(&str, &str); 9] = [
    ("pm-restart pm-cluster -n 1", "node $F/gate.js"),
    ("pm-cluster -n 2", "node $F/gate.js"),
    ("pm-cluster -n 1 --no-preload", "node $F/gate.js"),
    ("pm-restart pm-cluster -n 1 --balance shared", "node $F/gate.js"),
    ("pm-restart pm-cluster -n 1 --balance rr", "node $F/gate.js"),
    ("pm-restart pm-cluster -n 1 --listen :$P", "node $F/gate.js"),
    ("pm-restart pm-cluster -n 1", "/usr/bin/python3 $F/any/gate.py"),
    ("pm-restart pm-cluster -n 1 --listen :$P", "/usr/bin/python3 $F/any/gate.py"),
    ("pm-restart pm-cluster -n 1", "npm exec --offline -- node $F/gate.js"),
];

/// The worker is busy, so that it has accepted none of these: they wait in the kernel's queue, each with its request.
#[test]
fn what_waits_in_the_queue_of_a_busy_worker_at_the_stop_is_answered() {
    for (tools, server) in QUEUES {
        let mut scene = any::scene();
        let gate = scene.dir().join("gate");
        nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        scene.set("GATE", gate.clone());
        let chain = any::start(&scene, tools, server);
        chain.serving(1);
        chain.line("ready");
        let ask = |path: &str| {
            let mut client = Connection::open(scene.port).expect("open");
            client.send(path, "close").expect("sent");
            client
        };
        let held = ask("/gate");
        // Opening a FIFO to write waits for the reader.
        let open = std::fs::OpenOptions::new().write(true).open(&gate).expect("the worker reads");
        let queued: Vec<_> = (0..20).map(|_| ask("/")).collect();
        chain.signal(SIGTERM);
        chain.until("the drain", || stat::workers(&scene).iter().any(|line| line.state() == "draining").then_some(()));
        // Whatever the supervisor does about it is to be done by then, and is wrong if it ends the worker.
        std::thread::sleep(Duration::from_millis(300));
        drop(open);
        let answers = queued.into_iter().chain([held]).map(|mut client| client.answer());
        let lost: Vec<_> = answers.filter_map(Result::err).collect();
        assert_eq!(lost, [], "{tools} {server}\n{}", chain.output());
        assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
    }
}
