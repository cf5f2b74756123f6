//! Rolls, stops and scaling as particular clients see them: slow ones, silent ones, and those of wrk.

use std::process::Stdio;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGTERM, SIGTTIN, SIGTTOU};
use pm_tests::chain::Chain;
use pm_tests::http::{Connection, Miss};
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{http, proc, roll, stat, wait};

/// Not one worker had to be killed.
#[track_caller]
fn all_left_in_order(chain: &Chain) {
    let killed = chain.messages("killed");
    assert!(killed.is_empty(), "{killed:?}");
}

fn ready(scene: &Scene) -> usize {
    stat::workers(scene).iter().filter(|w| w.state() == "ready").count()
}

#[test]
fn wrk_sees_no_error_in_rolls() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 4 --soak 50ms node $F/app.js");
    chain.serving(4);
    let url = format!("http://127.0.0.1:{}/", scene.port);
    for header in ["Connection: keep-alive", "Connection: close"] {
        let mut wrk = scene.command(&["wrk", "-t1", "-c16", "-d5s", "--timeout", "20s", "-H", header, &url]);
        let wrk = wrk.stdout(Stdio::piped()).spawn().expect("wrk is installed");
        (0..2).for_each(|_| roll::well(&chain));
        let output = wrk.wait_with_output().expect("wrk ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("Requests/sec"), "{text}");
        assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}\n{}", chain.output());
    }
    chain.stop();
}

/// Sends a request in pieces, over 300 ms; the rolls come in between.
fn dribble(port: u16, kept: Option<Connection<std::net::TcpStream>>) -> Result<String, Miss> {
    let mut connection = kept.map_or_else(|| Connection::open(port), Ok)?;
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\nX-Slow: 123456\r\n\r\n";
    for piece in head.as_bytes().chunks(16) {
        connection.write(&String::from_utf8_lossy(piece))?;
        std::thread::sleep(Duration::from_millis(60));
    }
    connection.answer()
}

#[test]
fn slow_clients_get_their_answers() {
    for major in [18, 24] {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-cluster -n 2 --soak 50ms --grace 20s node $F/app.js");
        chain.serving(2);
        let stop = AtomicBool::new(false);
        let client = |fresh: bool| {
            let mut answers = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let used = || Connection::open(scene.port).and_then(|mut c| c.get("/").map(|_| c)).ok();
                answers.push(dribble(scene.port, if fresh { None } else { used().filter(|c| !c.closing) }));
            }
            answers
        };
        let answers = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|n| scope.spawn(move || client(n % 2 == 0))).collect();
            (0..3).for_each(|_| roll::well(&chain));
            stop.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|c| c.join().expect("a client ends")).collect::<Vec<_>>()
        });
        assert!(answers.iter().all(Result::is_ok), "node {major}: {answers:?}\n{}", chain.output());
        all_left_in_order(&chain);
        chain.stop();
    }
}

/// A connection that nobody uses, and one that was used and is idle: closed cleanly, once the linger is over and before
/// the grace is.
#[test]
fn idle_connections_are_closed_cleanly_and_hold_no_roll() {
    for major in [18, 24] {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-cluster -n 2 --soak 50ms --grace 10m node $F/app.js");
        let old = chain.serving(2);
        let open = || Connection::open(scene.port).expect("open");
        let mut unused: Vec<_> = (0..8).map(|_| open()).collect();
        let mut idle: Vec<_> = (0..8).map(|_| open()).collect();
        idle.iter_mut().for_each(|c| drop(c.get("/").expect("served")));
        let since = Instant::now();
        roll::well(&chain);
        let took = since.elapsed();
        assert!(old.iter().all(|pid| !proc::alive(*pid)));
        all_left_in_order(&chain);
        assert!(took < wait::DEADLINE, "{took:?}: it took the grace, not the linger\n{}", chain.output());
        for connection in unused.iter_mut().chain(&mut idle) {
            assert_eq!(connection.end(), Ok(String::new()), "node {major}\n{}", chain.output());
        }
        chain.stop();
    }
}

/// Every request on a connection is answered until the answer says that it is the last; new clients are refused while
/// the workers still have work.
#[test]
fn a_stop_answers_what_was_asked() {
    for major in [18, 24] {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-restart --max-mem 512M pm-cluster -n 2 node $F/app.js");
        chain.serving(2);
        // Answered once the test lets them.
        let mut slow: Vec<_> = (0..8).map(|_| Connection::open(scene.port).expect("open")).collect();
        slow.iter_mut().for_each(|c| c.send("/until?go", "keep-alive").expect("sent"));
        let all_served = Barrier::new(9);
        let to_the_last = || {
            let mut connection = Connection::open(scene.port)?;
            connection.get("/")?;
            all_served.wait();
            while !connection.closing {
                connection.get("/slow?5")?;
            }
            Ok(())
        };
        let last: Vec<Result<(), Miss>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(to_the_last)).collect();
            all_served.wait();
            chain.signal(SIGTERM);
            clients.into_iter().map(|c| c.join().expect("a client ends")).collect()
        });
        assert!(last.iter().all(Result::is_ok), "node {major}: {last:?}\n{}", chain.output());
        chain.until("new clients to be refused", || (http::get(scene.port, "/") == Err(Miss::Refused)).then_some(()));
        assert!(chain.running(), "the slow requests are still in hand\n{}", chain.output());
        let _ = scene.file("go", "");
        let answers: Vec<_> = slow.iter_mut().map(Connection::answer).collect();
        assert!(answers.iter().all(Result::is_ok), "node {major}: {answers:?}\n{}", chain.output());
        assert_eq!(chain.ended(), Some(0), "{}", chain.output());
        all_left_in_order(&chain);
    }
}

#[test]
fn scaling_loses_nothing() {
    for major in [18, 24] {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-restart --max-mem 512M pm-cluster -n 3 node $F/app.js");
        chain.serving(3);
        let load = Load::of(scene.port, "/slow?10", &Style::crowd(12));
        for (signal, wanted) in [(SIGTTOU, 2), (SIGTTOU, 1), (SIGTTIN, 2), (SIGTTIN, 3), (SIGTTOU, 2)] {
            chain.signal(signal);
            chain.until(&format!("{wanted} workers"), || {
                (ready(&scene) == wanted && stat::workers(&scene).len() == wanted).then_some(())
            });
        }
        let sum = load.end();
        assert!(sum.misses.is_empty(), "node {major}: {:?} of {}\n{}", sum.misses, sum.ok, chain.output());
        all_left_in_order(&chain);
        chain.stop();
    }
}

/// What has no end by itself runs until the grace, and ends then; nothing else waits for it.
#[test]
fn upgraded_connections_and_long_streams_run_until_the_grace() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 --soak 50ms --grace 6s node $F/app.js");
    let old = *chain.serving(1).first().expect("one");
    let mut socket = Connection::open(scene.port).expect("open");
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").expect("sent");
    let mut bytes = Vec::new();
    assert!(socket.head(&mut bytes).expect("a head").contains(" 101 "));
    let mut stream = Connection::open(scene.port).expect("open");
    stream.send("/stream?1000000", "keep-alive").expect("sent");
    stream.head(&mut Vec::new()).expect("a head");
    let roll = roll::roll(&chain);
    assert_eq!(roll["ok"], true, "{roll}");
    let new: u32 = http::get(scene.port, "/").expect("served").parse().expect("a pid");
    assert_ne!(new, old);
    // The roll is over, the old worker still speaks.
    socket.write("ping").expect("sent");
    assert_eq!(socket.read(&mut bytes, 4).expect("echoed"), "ping", "{}", chain.output());
    roll::drained(&chain);
    assert!(!proc::alive(old));
    // The ends need not be clean, but they come.
    assert_ne!(socket.end(), Err(Miss::Hung));
    assert_ne!(stream.end(), Err(Miss::Hung));
    chain.stop();
}

/// Without the drain script Node itself does what it can: nothing is refused, and nothing hangs. From 19 on it cuts the
/// connections whose request is still on its way.
#[test]
fn without_the_preload_nothing_hangs() {
    for major in [16, 18, 20, 22, 24, 26] {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-cluster -n 2 --no-preload --soak 50ms --grace 2s node $F/app.js");
        let old = chain.serving(2);
        let kept: Vec<_> = (0..4).map(|_| Connection::open(scene.port).expect("open")).collect();
        let load = Load::of(scene.port, "/slow?10", &[Style::OneShot; 8]);
        roll::well(&chain);
        assert!(old.iter().all(|pid| !proc::alive(*pid)));
        let sum = load.end();
        let cut = |miss: &Miss| major > 18 && matches!(miss, Miss::Reset | Miss::Cut);
        assert!(sum.misses.iter().all(cut), "node {major}: {:?} of {}\n{}", sum.misses, sum.ok, chain.output());
        drop(kept);
        chain.stop();
    }
}

#[test]
fn the_apps_children_do_not_inherit_the_preload() {
    for major in [16, 24] {
        let scene = Scene::with_node(major).with("NODE_OPTIONS", "--max-old-space-size=300");
        let chain = scene.start("pm-cluster -n 1 node $F/app.js");
        chain.serving(1);
        let text = http::get(scene.port, "/child-env").expect("served");
        let ours = |line: &&str| line.starts_with("NODE_OPT") || line.starts_with("PM_PRE");
        let inherited: Vec<&str> = text.lines().filter(ours).collect();
        assert_eq!(inherited, ["NODE_OPTIONS=--max-old-space-size=300"]);
        assert!(!text.contains("PM_LINGER"), "{text}");
        chain.stop();
    }
}

/// An app that ends in order by itself, and one that ends at once: each gets the signal when it has nothing in hand.
#[test]
fn an_app_with_a_signal_handler_of_its_own_loses_nothing() {
    for app in ["$F/graceful.js", "$F/abrupt.js"] {
        let scene = Scene::with_node(24);
        let chain = scene.start(&format!("pm-cluster -n 2 --soak 50ms node {app}"));
        chain.serving(2);
        let load = Load::of(scene.port, "/", &Style::crowd(12));
        (0..3).for_each(|_| roll::well(&chain));
        let sum = load.end();
        assert!(sum.misses.is_empty(), "{app}: {:?} of {}\n{}", sum.misses, sum.ok, chain.output());
        all_left_in_order(&chain);
        chain.stop();
    }
}
