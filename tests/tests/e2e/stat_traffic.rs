//! What pm-stat shows of queues and connections: exact numbers, of real servers.

use std::net::TcpStream;

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGSTOP};
use pm_tests::any;
use pm_tests::chain::Chain;
use pm_tests::http::Connection;
use pm_tests::scene::Scene;
use pm_tests::stat::{self, Line};
use pm_tests::{proc, wait};
use serde_json::{Value, json};

fn open(scene: &Scene, count: usize) -> Vec<TcpStream> {
    let connect = || TcpStream::connect(("127.0.0.1", scene.port)).expect("connects");
    (0..count).map(|_| connect()).collect()
}

fn sum(lines: &[Line], field: &str) -> u64 {
    lines.iter().filter_map(|line| line.0[field].as_u64()).sum()
}

fn each(lines: &[Line], field: &str) -> Vec<Value> {
    lines.iter().map(|line| line.0[field].clone()).collect()
}

/// The lines once so many connections are open and wait.
#[track_caller]
fn settled(chain: &Chain<'_>, connections: u64, queue: u64) -> Vec<Line> {
    chain.until(&format!("{connections} open and {queue} waiting"), || {
        let lines = stat::workers(chain.scene);
        ((sum(&lines, "connections"), sum(&lines, "queue")) == (connections, queue)).then_some(lines)
    })
}

fn said(scene: &Scene, args: &[&str]) -> String {
    String::from_utf8(stat::run(scene, args).stdout).expect("UTF-8")
}

/// The value of a figure in the text for collectors.
fn figure(text: &str, start: &str) -> Option<f64> {
    text.lines().find(|line| line.starts_with(start))?.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn a_server_that_binds_by_itself_and_takes_two() {
    let scene = any::scene().with("ACCEPT", "2");
    let chain = any::start(&scene, "pm-cluster -n 2", "/usr/bin/python3 $F/any/accepts.py");
    chain.line("ready workers=2/2");
    let lines = settled(&chain, 0, 0);
    assert_eq!((each(&lines, "adapter"), each(&lines, "queue")), (vec![json!("bind"); 2], vec![json!(0); 2]));
    assert!(!said(&scene, &["--table"]).contains("queue"), "nothing waits");
    let _clients = open(&scene, 40);
    // Each has its share of the 40, of which it takes 2.
    let lines = settled(&chain, 4, 36);
    assert_eq!(each(&lines, "connections"), [2, 2]);
    assert!(lines.iter().all(|line| line.0.get("queue_shared").is_none()), "{lines:?}");
    let table = said(&scene, &["--table"]);
    assert!(table.lines().next().is_some_and(|header| header.contains("conn  queue")), "{table}");
    let told = said(&scene, &["--describe", "accepts"]);
    assert!(told.contains("4 open, 36 waiting to be accepted\n"), "{told}");
    let text = said(&scene, &["--openmetrics"]);
    let slot = |name: &str| figure(&text, &format!("{name}{{app=\"accepts\",namespace=\"default\",slot=\"1\"}}"));
    assert_eq!(slot("pm_worker_connections"), Some(2.0), "{text}");
    assert_eq!(slot("pm_worker_waiting_connections"), lines[1].0["queue"].as_f64());
    assert_eq!(figure(&text, "pm_app_waiting_connections{"), Some(36.0), "{text}");
    chain.stop();
}

/// The workers are the parents; their children have the connections.
#[test]
fn what_children_have_is_the_workers() {
    let scene = any::scene().with("ACCEPT", "3").with("CHILD", "1");
    let chain = any::start(&scene, "pm-cluster -n 2", "/usr/bin/python3 $F/any/accepts.py");
    chain.line("ready workers=2/2");
    let _clients = open(&scene, 40);
    assert_eq!(each(&settled(&chain, 6, 34), "connections"), [3, 3]);
    chain.stop();
}

fn stop_and_go(scene: &Scene, line: &str, check: impl Fn(&Chain<'_>)) {
    let chain = scene.start(line);
    chain.serving(2);
    let kept: Vec<_> = (0..7)
        .map(|_| {
            let mut connection = Connection::open(scene.port).expect("connects");
            connection.request("/", "keep-alive").expect("answers");
            connection
        })
        .collect();
    settled(&chain, 7, 0);
    let pids: Vec<u32> = stat::workers(scene).iter().filter_map(Line::pid).collect();
    pids.iter().for_each(|pid| proc::send(*pid, SIGSTOP));
    wait::until("both suspended", || pids.iter().all(|pid| proc::state(*pid) == Some('T')).then_some(()));
    let waiting = open(scene, 5);
    check(&chain);
    pids.iter().for_each(|pid| proc::send(*pid, SIGCONT));
    settled(&chain, 12, 0);
    drop((kept, waiting));
    settled(&chain, 0, 0);
    chain.stop();
}

#[test]
fn node_under_lanes() {
    let scene = Scene::with_node(24);
    stop_and_go(&scene, "pm-cluster -n 2 node $F/app.js", |chain| {
        let lines = settled(chain, 7, 5);
        assert_eq!(each(&lines, "adapter"), ["node", "node"]);
    });
}

#[test]
fn a_queue_that_all_share_is_not_added_up() {
    let scene = Scene::with_node(24);
    stop_and_go(&scene, "pm-cluster -n 2 --balance shared node $F/app.js", |chain| {
        let lines = settled(chain, 7, 0);
        assert_eq!((each(&lines, "queue"), each(&lines, "queue_shared")), (vec![Value::Null; 2], vec![json!(5); 2]));
        let table = said(chain.scene, &["--table"]);
        assert_eq!(table.matches(" =5").count(), 2, "{table}");
        let text = said(chain.scene, &["--openmetrics"]);
        assert_eq!(figure(&text, "pm_app_waiting_connections{"), Some(5.0), "{text}");
        assert!(!text.contains("pm_worker_waiting_connections"), "{text}");
        assert!(said(chain.scene, &["--describe", "app"]).contains("7 open, 5 waiting"));
    });
}

/// The queue is the supervisor's; the connections are where they were passed to.
#[test]
fn connections_that_go_round() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 2 --balance rr node $F/app.js");
    chain.serving(2);
    settled(&chain, 0, 0);
    let kept: Vec<_> = (0..6)
        .map(|_| {
            let mut connection = Connection::open(scene.port).expect("connects");
            connection.request("/", "keep-alive").expect("answers");
            connection
        })
        .collect();
    let lines = settled(&chain, 6, 0);
    assert_eq!(each(&lines, "queue"), vec![Value::Null; 2]);
    assert!(lines.iter().all(|line| line.0.get("queue_shared").is_none()), "{lines:?}");
    drop(kept);
    chain.stop();
}

/// A worker that drains has closed its listener, and what it has left is what people ask for.
#[test]
fn what_a_draining_worker_has_left() {
    let scene = any::scene().with("ACCEPT", "100");
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 0s --grace 30s", "/usr/bin/python3 $F/any/accepts.py");
    chain.line("ready workers=2/2");
    let mut clients = open(&scene, 20);
    // A request in hand: half of one has come.
    clients.iter_mut().for_each(|client| std::io::Write::write_all(client, b"GET ").expect("sent"));
    let before = settled(&chain, 20, 0);
    chain.signal(SIGHUP);
    let draining = chain.until("two that drain", || {
        let lines = stat::workers(&scene);
        (lines.iter().filter(|line| line.state() == "draining").count() == 2).then_some(lines)
    });
    let of = |lines: &[Line], pid: Option<u32>| lines.iter().find(|line| line.pid() == pid).cloned();
    for was in before {
        let now = of(&draining, was.pid()).expect("it drains");
        assert_eq!(now.0["connections"], was.0["connections"], "{now:?}");
    }
    drop(clients);
    chain.stop();
}

/// Nothing that listens at a TCP port: no figure, and no column.
#[test]
fn a_program_without_a_port_has_none() {
    let scene = Scene::new();
    let chain = scene.start("pm-restart sleep 1000");
    let line = chain.until("a worker", || stat::workers(&scene).into_iter().find(|line| line.state() == "ready"));
    assert_eq!((&line.0["queue"], &line.0["connections"]), (&Value::Null, &Value::Null));
    assert!(!said(&scene, &["--table"]).contains("conn"));
    assert!(!said(&scene, &["--openmetrics"]).contains("connections"));
    chain.stop();
}
