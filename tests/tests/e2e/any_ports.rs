//! Programs that try their port, or hold it, before they serve: they find it as they would without us, whatever other
//! workers have.

use nix::sys::signal::Signal;
use pm_tests::any::python;
use pm_tests::http::{Connection, Miss};
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, proc, roll};

/// Both workers serve, and a reload loses nothing. Nobody asks before they are ready: a server that only looks would take the
/// connection, with us or without, and never answer.
fn holds(scene: &Scene, server: &str) {
    let chain = any::start(scene, "pm-cluster -n 2 --soak 100ms", server);
    roll::drained(&chain);
    any::serving(&chain, 2);
    let load = Load::start(scene.port, 2, Style::OneShot);
    load.advance(5);
    roll::well(&chain);
    any::serving(&chain, 2);
    load.advance(5);
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    assert!(chain.messages("warning").is_empty(), "{}", chain.output());
    chain.stop();
}

#[test]
fn who_looks_whether_the_port_is_free_by_listening_elsewhere() {
    let scene = any::scene();
    let look = "looks = here('0.0.0.0')\nlooks.listen(1)\nlooks.close()\nours = here('127.0.0.1')";
    holds(&scene, &python(&scene, look));
}

#[test]
fn who_holds_the_port_with_a_socket_that_never_listens() {
    let scene = any::scene();
    holds(&scene, &python(&scene, "holds = here('127.0.0.1', True)\nours = here('127.0.0.1', True)"));
}

/// As vite does.
#[test]
fn node_that_looks_on_all_addresses() {
    let scene = any::scene();
    let script = "const net = require('net')\n\
                  const port = +process.env.PORT\n\
                  const answer = (request, response) => response.end(String(process.pid))\n\
                  const serve = () => require('http').createServer(answer).listen(port, '127.0.0.1')\n\
                  const look = (hosts) => {\n\
                  \x20 if (!hosts.length) return serve()\n\
                  \x20 const server = net.createServer()\n\
                  \x20 server.listen(port, hosts[0], () => server.close(() => look(hosts.slice(1))))\n\
                  }\n\
                  look(['0.0.0.0', '127.0.0.1'])\n";
    let script = scene.file("ports.js", script);
    holds(&scene, &format!("node {}", script.display()));
}

/// As uvicorn with several workers: the master only binds, and each of its processes listens. After a crash all of them
/// get the slot's lane, with what waits in it, and no other is made.
#[test]
fn a_master_that_only_binds_gives_its_processes_the_lane() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 1", &python(&scene, "ours = here('127.0.0.1')\nos.fork()"));
    let cluster = scene.process("pm-cluster").expect("it runs");
    let mut before = None;
    for _ in 0..3 {
        let worker = any::serving(&chain, 1)[&0];
        // What it holds of a bind or of the old worker for a moment it closes in a later turn.
        let most = *before.get_or_insert_with(|| proc::descriptors(cluster));
        chain.until("no more descriptors than before", || (proc::descriptors(cluster) <= most).then_some(()));
        proc::send(worker, Signal::SIGKILL);
        // Whoever comes before the next worker listens is answered by that one; both processes of the old one are gone by then.
        let mut client = chain.until("a connection", || Connection::open(scene.port).ok());
        chain.until("the next worker", || (any::workers(&scene).get(&0) != Some(&worker)).then_some(()));
        let answer = client.request("/", "close");
        assert!(!matches!(answer, Err(Miss::Hung)), "{answer:?}\n{}", chain.output());
    }
    chain.stop();
}
