//! Workers that take nothing from their queue: steered away from, and replaced under --max-lag; busy ones are not.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP};
use pm_tests::chain::Chain;
use pm_tests::http::{self, Connection};
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, proc, stat, wait};

const PYTHON: &str = "/usr/bin/python3 $F/any/hangs.py";

/// Clients that have asked and wait for their answer.
struct Waiting(Vec<Connection<TcpStream>>);

impl Waiting {
    /// Clients come until this has been said: some of them wait in the lane of a worker that takes nothing.
    #[track_caller]
    fn until(chain: &Chain, text: &str) -> Self {
        let mut all = Vec::new();
        chain.until(text, || {
            // More would say no more, and a queue is not endless.
            if all.len() < 40 {
                let mut client = Connection::open(chain.scene.port).expect("not refused");
                client.send("/", "close").expect("sent");
                all.push(client);
            }
            (!chain.messages(text).is_empty()).then_some(())
        });
        Self(all)
    }

    /// Each gets its answer; the workers that gave them.
    #[track_caller]
    fn answered(self, chain: &Chain) -> Vec<u32> {
        let answer = |mut client: Connection<TcpStream>| match client.answer() {
            Ok(body) => body.trim().parse().expect("a pid"),
            Err(miss) => panic!("{miss:?}\n{}", chain.output()),
        };
        self.0.into_iter().map(answer).collect()
    }
}

/// Asks for a path that makes the worker hang; the worker.
#[track_caller]
fn hangs(chain: &Chain, path: &str) -> u32 {
    let pid = http::get(chain.scene.port, path).expect("answered").trim().parse().expect("a pid");
    // What comes before that is still served.
    chain.line("takes no more");
    assert!(proc::alive(pid));
    pid
}

/// Waits until this worker has been replaced over its lag, and the slot has no other.
#[track_caller]
fn replaced(chain: &Chain, pid: u32) {
    chain.until("the end of the hung worker", || (!proc::alive(pid)).then_some(()));
    let last = || stat::workers(chain.scene).into_iter().find(|w| w.0["last"]["why"] == "lag");
    chain.until("its end in the status", || last().filter(|w| w.state() == "ready"));
}

#[track_caller]
fn only_others_answer(chain: &Chain, hung: u32) {
    for _ in 0..20 {
        let pid: u32 = http::get(chain.scene.port, "/").expect("answered").trim().parse().expect("a pid");
        assert_ne!(pid, hung, "{}", chain.output());
    }
}

/// Stopped, as by a debugger: no connection goes to it any more; woken up, it answers all that waited, and gets more.
fn steered_away_and_back(server: &str) {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2", server);
    let stopped = any::serving(&chain, 2)[&1];
    proc::send(stopped, SIGSTOP);
    // Of another that a loaded machine does not let run it may be said, too.
    let its = format!("pid={stopped} ");
    let waiting = Waiting::until(&chain, &its);
    let said = chain.messages(&its);
    assert_eq!(said.len(), 1, "{}", chain.output());
    for part in ["a worker does not accept", "new connections go to others", "slot=1", &format!(":{}", scene.port)] {
        assert!(said[0].contains(part), "{said:?}");
    }
    only_others_answer(&chain, stopped);
    assert_eq!(chain.messages(&its), said, "{}", chain.output());
    proc::send(stopped, SIGCONT);
    let by = waiting.answered(&chain);
    assert!(by.contains(&stopped), "{by:?}");
    let again = chain.until("the other word", || chain.messages(&its).into_iter().nth(1));
    assert!(again.contains("a worker accepts again") && again.contains("slot=1"), "{again}");
    assert_eq!(any::serving(&chain, 2)[&1], stopped);
    chain.stop();
}

#[test]
fn a_stopped_server_is_steered_away_from_until_it_moves() {
    steered_away_and_back(PYTHON);
}

#[test]
fn a_stopped_node_worker_is_steered_away_from_until_it_moves() {
    steered_away_and_back("node $F/hangs.js");
}

#[test]
fn a_server_that_has_closed_its_listener_is_steered_away_from_and_its_successor_serves_who_waits() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2", PYTHON);
    any::serving(&chain, 2);
    let closed = hangs(&chain, "/close");
    let waiting = Waiting::until(&chain, "has closed its listener");
    only_others_answer(&chain, closed);
    proc::send(closed, SIGKILL);
    let by = waiting.answered(&chain);
    assert!(by.len() > 1 && !by.contains(&closed), "{by:?}");
    any::serving(&chain, 2);
    chain.stop();
}

/// There is no other to steer to: without a limit nobody looks, and with one that it hangs is found all the same.
fn replaced_alone(server: &str, path: &str) {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-restart --max-lag 2s pm-cluster -n 1 --grace 2s", server);
    any::serving(&chain, 1);
    let hung = hangs(&chain, path);
    let waiting = Waiting::until(&chain, "over the lag limit");
    let by = waiting.answered(&chain);
    assert!(!by.is_empty() && !by.contains(&hung), "{by:?}\n{}", chain.output());
    replaced(&chain, hung);
    assert!(!chain.messages("worker replaced").is_empty(), "{}", chain.output());
    assert_eq!(chain.messages("over the lag limit").len(), 1, "{}", chain.output());
    chain.stop();
}

#[test]
fn a_server_that_hangs_is_replaced_and_all_that_waited_are_answered() {
    replaced_alone(PYTHON, "/hang");
}

#[test]
fn a_server_that_has_closed_its_listener_is_replaced_and_all_that_waited_are_answered() {
    replaced_alone(PYTHON, "/close");
}

#[test]
fn a_node_worker_in_an_endless_loop_is_replaced_and_all_that_waited_are_answered() {
    replaced_alone("node $F/hangs.js", "/loop");
}

/// Nobody connects: its clients have their connections, and it answers none of them.
fn without_a_new_connection(node: u32, hang: impl FnOnce(u32, &mut Connection<TcpStream>)) {
    let scene = Scene::with_node(node);
    let chain = scene.start("pm-restart --max-lag 2s pm-cluster -n 2 --grace 2s node $F/hangs.js");
    chain.serving(2);
    let mut client = Connection::open(scene.port).expect("serves");
    let pid: u32 = client.get("/").expect("answered").trim().parse().expect("a pid");
    hang(pid, &mut client);
    let said = chain.line("over the lag limit");
    assert!(said.contains("its event loop stands still"), "{said}");
    replaced(&chain, pid);
    assert_eq!(chain.said("message"), Vec::<serde_json::Value>::new(), "the app sees nothing of it");
    chain.stop();
}

#[test]
fn a_node_worker_whose_loop_hangs_is_found_without_a_new_connection() {
    without_a_new_connection(26, |_, client| drop(client.get("/loop").expect("answered")));
}

#[test]
fn a_worker_of_node_16_whose_loop_hangs_is_found_without_a_new_connection() {
    without_a_new_connection(16, |_, client| drop(client.get("/loop").expect("answered")));
}

#[test]
fn a_stopped_node_worker_is_found_without_a_new_connection() {
    without_a_new_connection(24, |pid, _| proc::send(pid, SIGSTOP));
}

/// The others serve all the while, and nobody who comes is lost.
#[test]
fn clients_are_served_by_the_others_while_one_is_replaced() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-restart --max-lag 3s pm-cluster -n 2 --grace 2s", PYTHON);
    any::serving(&chain, 2);
    let hung = hangs(&chain, "/hang");
    let load = Load::start(scene.port, 6, Style::OneShot);
    replaced(&chain, hung);
    load.advance(20);
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    assert!(!tally.by_pid.contains_key(&hung), "{hung} {:?}\n{}", tally.by_pid, chain.output());
    assert_eq!(chain.messages("worker replaced").len(), 1, "{}", chain.output());
    chain.stop();
}

/// Each serves one at a time, for so many seconds, and more come than they can serve: their queues are never empty. The limit
/// is a part of the time that this goes on, and longer than a loaded machine lets one of them wait for a processor.
fn busy(line: &str, seconds: &str) {
    let scene = any::scene().with("BUSY", seconds);
    let chain = any::start(&scene, line, PYTHON);
    stays_as_it_is(&chain, "/", &[Style::OneShot; 24]);
}

/// Under this load nobody is replaced or steered away from.
#[track_caller]
fn stays_as_it_is(chain: &Chain, path: &str, styles: &[Style]) {
    chain.until("an answer", || any::answer(chain.scene));
    let load = Load::of(chain.scene.port, path, styles);
    load.advance(1);
    let end = Instant::now() + Duration::from_secs(8);
    wait::until("time to pass", || (Instant::now() > end).then_some(()));
    let tally = load.end();
    assert_eq!(tally.misses.first(), None, "{}", chain.output());
    assert_eq!(chain.messages("a worker"), Vec::<String>::new());
    assert_eq!(chain.messages("lag"), Vec::<String>::new());
    chain.stop();
}

#[test]
fn busy_servers_are_neither_steered_away_from_nor_replaced() {
    busy("pm-restart --max-lag 3s pm-cluster -n 2", "0.06");
}

#[test]
fn a_busy_server_alone_is_not_replaced() {
    busy("pm-restart --max-lag 3s pm-cluster -n 1", "0.06");
}

#[test]
fn busy_servers_that_are_slow_as_well_are_neither() {
    busy("pm-restart --max-lag 3s pm-cluster -n 2", "0.4");
}

/// A turn of its loop serves all its clients, and takes a second and a half: it reads from them all the while.
#[test]
fn a_busy_node_worker_is_not_replaced() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --max-lag 1s pm-cluster -n 1 node $F/hangs.js");
    stays_as_it_is(&chain, "/work", &[Style::Kept; 24]);
}

/// The same with a new connection for each request: it accepts between two turns of its loop.
#[test]
fn a_busy_node_worker_with_new_connections_is_not_replaced() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --max-lag 1s pm-cluster -n 1 node $F/hangs.js");
    stays_as_it_is(&chain, "/work", &[Style::OneShot; 40]);
}

/// What starts a server may wait for it without a turn of its own loop, as long as it lives.
#[test]
fn a_launcher_that_waits_for_its_server_is_no_lag() {
    let scene = any::scene();
    let script = "require('child_process').spawnSync('/usr/bin/python3', [process.argv[2]], { stdio: 'inherit' })";
    let script = scene.file("launch.js", script);
    let line = format!("node {} $F/any/server.py", script.display());
    let chain = any::start(&scene, "pm-restart --max-lag 1s pm-cluster -n 1", &line);
    any::serving(&chain, 1);
    // Longer than it is allowed to be silent.
    let end = Instant::now() + Duration::from_secs(4);
    wait::until("time to pass", || (Instant::now() > end).then_some(()));
    assert_eq!(chain.messages("lag"), Vec::<String>::new());
    chain.stop();
}

/// A boot has --ready-timeout.
#[test]
fn a_slow_boot_is_no_lag() {
    let scene = Scene::with_node(24).with("BOOT", "3500");
    let chain = scene.start("pm-restart --max-lag 1s pm-cluster -n 1 --ready message node $F/hangs.js");
    chain.hear("listening", 1);
    assert_eq!(chain.messages("lag"), Vec::<String>::new());
    chain.stop();
}

#[test]
fn where_there_is_no_cluster_a_limit_is_refused() {
    let scene = Scene::new();
    for (line, taken) in [
        ("pm-restart --max-lag 5s sleep 1", false),
        ("pm-restart --max-lag 100ms pm-cluster -n 1 sleep 1", false),
        ("pm-cluster --max-lag 5s -n 1 sleep 1", false),
        ("pm-restart --restart never --max-lag 5s env A=b pm-cluster --help", true),
    ] {
        let chain = scene.start(line);
        let code = chain.wait().code();
        chain.streams_end();
        assert_eq!(code == Some(125), !taken, "{line}: {code:?}\n{}", chain.output());
        assert!(taken || chain.messages("max-lag").len() == 1, "{line}\n{}", chain.output());
    }
}
