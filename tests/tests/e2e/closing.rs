//! Clients that keep their connections busy, of servers that nobody can tell: in a drain they hear `Connection: close`.

use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGKILL, SIGSTOP};
use pm_tests::chain::Chain;
use pm_tests::http::Connection;
use pm_tests::load::{Load, Style, Tally};
use pm_tests::scene::Scene;
use pm_tests::{any, proc, roll, wait};

const KEPT: &str = "/usr/bin/python3 $F/any/kept.py";

/// What busy clients that ask for a path see of a roll.
fn rolled(scene: &Scene, cluster: &str, path: &str) -> Tally {
    let chain = any::start(scene, &format!("{cluster} -n 2 --soak 100ms"), KEPT);
    any::serving(&chain, 2);
    let load = Load::of(scene.port, path, &[Style::Kept; 4]);
    load.advance(10);
    roll::well(&chain);
    roll::drained(&chain);
    load.advance(10);
    let tally = load.end();
    assert!(chain.messages("cannot tell").is_empty(), "{}", chain.output());
    chain.stop();
    tally
}

#[test]
fn a_client_that_keeps_its_connection_busy_loses_nothing() {
    let tally = rolled(&any::scene(), "pm-cluster", "/");
    assert!(tally.misses.is_empty(), "{:?}", tally.misses);
}

/// Else the test above could not fail.
#[test]
fn without_it_such_clients_lose_requests() {
    let tally = rolled(&any::scene(), "pm-cluster --no-close-rewrite --grace 4s", "/");
    assert!(!tally.misses.is_empty());
}

#[test]
fn the_processes_of_a_worker_are_all_followed() {
    let tally = rolled(&any::scene().with("PROCESSES", "2"), "pm-cluster", "/");
    assert!(tally.misses.is_empty(), "{:?}", tally.misses);
}

#[test]
fn nor_does_one_of_a_server_whose_heads_have_no_line_to_spare() {
    let tally = rolled(&any::scene(), "pm-cluster", "/bare");
    assert!(tally.misses.is_empty(), "{:?}", tally.misses);
}

/// A client that is idle, too, hears it with the answer to its next request, however late.
#[test]
fn an_answer_that_takes_long_closes_its_connection() {
    let scene = any::scene();
    let mut at = draining(&scene, |_| ());
    assert_eq!(at.connection.request("/slow", "keep-alive"), Ok(at.worker.to_string()), "{}", at.chain.output());
    assert!(at.connection.closing, "{}", at.chain.output());
    at.chain.stop();
}

/// While the server lives that could answer: one that is killed by its stop signal would leave that to the kernel, which
/// takes its time if there are many.
#[test]
fn what_is_idle_at_the_end_is_closed_before_the_stop_signal() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 1 --soak 100ms --grace 30s", KEPT);
    let worker = any::serving(&chain, 1)[&0];
    let mut idle: Vec<_> = (0..3).map(|_| Connection::open(scene.port).expect("serves")).collect();
    let last = idle.last_mut().expect("three");
    assert_eq!(last.request("/", "keep-alive"), Ok(worker.to_string()), "the others never ask");
    let mut stream = Connection::open(scene.port).expect("serves");
    stream.send("/events", "keep-alive").expect("sent");
    stream.head(&mut Vec::new()).expect("a head");
    chain.signal(SIGHUP);
    for one in &mut idle {
        assert_eq!(one.rest(&[]), Ok(String::new()), "{}", chain.output());
        assert!(proc::alive(worker) && !proc::is_ending(worker), "{}", chain.output());
    }
    assert!(stream.head(&mut Vec::new()).is_ok(), "it is under way");
    drop(stream);
    chain.until("its end", || (!proc::alive(worker)).then_some(()));
    chain.stop();
}

/// It may have something to say before it closes them.
#[test]
fn a_server_that_handles_its_stop_signal_closes_its_idle_connections_itself() {
    let scene = any::scene().with("SAYS_BYE", "1");
    let chain = any::start(&scene, "pm-cluster -n 1 --soak 100ms --grace 4s", KEPT);
    let worker = any::serving(&chain, 1)[&0];
    let mut idle = Connection::open(scene.port).expect("serves");
    assert_eq!(idle.request("/", "keep-alive"), Ok(worker.to_string()));
    chain.signal(SIGHUP);
    assert_eq!(idle.rest(&[]).as_deref(), Ok("bye"), "{}", chain.output());
    chain.stop();
}

/// Nobody says close for it: what a later part says of the connection is not known as the first one goes out.
#[test]
fn a_head_that_is_written_in_parts_stays_as_it_is() {
    let scene = any::scene();
    let mut at = draining(&scene, |_| ());
    for _ in 0..20 {
        assert_eq!(at.connection.request("/parts", "keep-alive"), Ok(at.worker.to_string()), "{}", at.chain.output());
        assert!(!at.connection.closing);
    }
    // The next whole one is told.
    assert_eq!(at.connection.request("/", "keep-alive"), Ok(at.worker.to_string()), "{}", at.chain.output());
    assert!(at.connection.closing || tracer_of(at.worker) == Some(0), "{}", at.chain.output());
    at.chain.stop();
}

/// The drain does not end while somebody waits in the queue of a worker whose only place is taken.
#[test]
fn who_waits_behind_a_kept_connection_of_a_server_with_one_place_is_served() {
    let scene = any::scene();
    let chain =
        any::start(&scene, "pm-cluster -n 1 --soak 100ms --grace 30s", "/usr/bin/python3 $F/any/one_at_a_time.py");
    let old = any::serving(&chain, 1)[&0].to_string();
    let mut first = Connection::open(scene.port).expect("serves");
    assert_eq!(first.request("/", "keep-alive"), Ok(old.clone()));
    let mut others: Vec<_> = (0..3).map(|_| Connection::open(scene.port).expect("queued")).collect();
    others.iter_mut().for_each(|one| one.send("/", "keep-alive").expect("sent"));
    let rolled = roll::ask(&chain);
    assert_eq!(roll::ended(&chain, rolled)["ok"], true, "{}", chain.output());
    chain.until("the helper", || helper_of(&chain));
    chain.until("an answer that closes", || {
        assert_eq!(first.request("/", "keep-alive").as_ref(), Ok(&old), "{}", chain.output());
        first.closing.then_some(())
    });
    drop(first);
    // Each of them is told in its turn, and leaves the place to the next: at its second answer where it asked in the same
    // tick of the kernel's clock in which it connected.
    for mut next in others {
        assert_eq!(next.answer().as_ref(), Ok(&old), "{}", chain.output());
        if !next.closing {
            assert_eq!(next.request("/", "keep-alive").as_ref(), Ok(&old), "{}", chain.output());
        }
        assert!(next.closing, "{}", chain.output());
    }
    chain.stop();
}

/// A worker that drains for a connection that it holds, and the helper that tells its clients.
struct Draining<'a> {
    chain: Chain<'a>,
    connection: Connection<std::net::TcpStream>,
    worker: u32,
    helper: u32,
}

/// Begins a roll with an open connection, on which `/` was asked for.
fn draining<'a>(scene: &'a Scene, first: impl Fn(u32)) -> Draining<'a> {
    draining_after(scene, "/", first)
}

/// The same with another path. The helper may be there for half a second only: a machine that kept us from seeing it, or
/// from having done `first` to its worker in time, gets another roll.
fn draining_after<'a>(scene: &'a Scene, path: &str, first: impl Fn(u32)) -> Draining<'a> {
    let chain = any::start(scene, "pm-cluster -n 1 --soak 100ms --grace 10s", KEPT);
    loop {
        let worker = any::serving(&chain, 1)[&0];
        let mut connection = Connection::open(scene.port).expect("serves");
        assert_eq!(connection.request(path, "keep-alive"), Ok(worker.to_string()));
        chain.signal(SIGHUP);
        let helper = chain.until("a traced worker, or its end", || match tracer_of(worker) {
            Some(0) => None,
            Some(helper) => Some(helper),
            None => Some(0),
        });
        if helper != 0 {
            first(worker);
            if tracer_of(worker) == Some(helper) {
                assert_eq!(helper_of(&chain), Some(helper));
                return Draining { chain, connection, worker, helper };
            }
        }
        // It ends the sooner.
        drop(connection);
        proc::send(worker, SIGCONT);
        chain.until("its end", || (!proc::alive(worker)).then_some(()));
    }
}

/// Who traces a process: 0 if nobody does; `None`: it has ended.
fn tracer_of(pid: u32) -> Option<u32> {
    proc::alive(pid).then(|| proc::status(pid, "TracerPid")?.parse().ok()).flatten()
}

fn helper_of(chain: &Chain<'_>) -> Option<u32> {
    proc::children(chain.pid()).into_iter().find(|pid| proc::name(*pid) == "pm-close")
}

#[test]
fn a_worker_whose_helper_is_killed_goes_on() {
    let scene = any::scene();
    let mut at = draining(&scene, |_| ());
    proc::send(at.helper, SIGKILL);
    at.chain.until("its end", || helper_of(&at.chain).is_none().then_some(()));
    assert_eq!(proc::status(at.worker, "TracerPid"), Some("0".to_owned()));
    for _ in 0..10 {
        assert_eq!(at.connection.request("/", "keep-alive"), Ok(at.worker.to_string()), "{}", at.chain.output());
        assert!(!at.connection.closing);
    }
    assert_eq!(helper_of(&at.chain), None, "one is enough for a drain");
    at.chain.stop();
}

#[test]
fn a_worker_that_is_stopped_and_continued_is_so() {
    let scene = any::scene();
    let stopped = |worker| matches!(proc::state(worker), Some('T' | 't'));
    let mut at = draining(&scene, |worker| {
        proc::send(worker, SIGSTOP);
        // One that is traced stands still for a moment at each of its calls.
        let mut looks = 0;
        wait::until("a stop that lasts", || {
            looks = if stopped(worker) { looks + 1 } else { 0 };
            (looks == 20).then_some(())
        });
    });
    at.connection.send("/", "keep-alive").expect("sent");
    assert!(stopped(at.worker));
    proc::send(at.worker, SIGCONT);
    assert_eq!(at.connection.answer(), Ok(at.worker.to_string()), "{}", at.chain.output());
    assert!(at.connection.closing, "{}", at.chain.output());
    at.chain.stop();
}

/// What goes out on a connection after a head is no head, whatever it looks like.
#[test]
fn a_stream_is_left_alone() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 1 --soak 100ms --grace 4s", KEPT);
    let worker = any::serving(&chain, 1)[&0];
    let mut stream = Connection::open(scene.port).expect("serves");
    stream.send("/events", "keep-alive").expect("sent");
    let head = stream.head(&mut Vec::new()).expect("a head");
    assert!(head.contains("text/event-stream"), "{head}");
    chain.signal(SIGHUP);
    let helper = chain.until("the helper", || helper_of(&chain));
    chain.until("a traced worker", || (proc::status(worker, "TracerPid")? == helper.to_string()).then_some(()));
    // The drain waits for it as long as it may.
    let mut rest = Vec::new();
    let events = std::iter::from_fn(|| stream.head(&mut rest).ok()).collect::<Vec<_>>();
    assert!(events.len() > 20 && events.iter().all(|event| event.contains("connection: keep-alive")), "{events:?}");
    chain.stop();
}

/// Head and body are written within one tick of the kernel's clock.
#[test]
fn a_body_that_looks_like_a_head_is_left_alone() {
    const BODY: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 29 Nov 2026 00:00:00 GMT\r\nConnection: keep-alive\r\n\r\n";
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 1 --soak 100ms --grace 30s", KEPT);
    // A machine that keeps all clients quiet for half a second ends the helper before all are told: then the next roll.
    while !all_are_told(&chain, BODY) {}
    chain.stop();
}

/// Rolls with many busy clients: whether all were told. What they get is this body, in any case.
fn all_are_told(chain: &Chain, body: &str) -> bool {
    let worker = any::serving(chain, 1)[&0];
    let mut clients: Vec<_> = (0..50).map(|_| Connection::open(chain.scene.port).expect("serves")).collect();
    let mut all = || {
        clients.retain(|one| !one.closing);
        clients.iter_mut().map(|one| one.get("/head")).collect::<Vec<_>>()
    };
    assert!(all().iter().all(|got| got.as_deref() == Ok(body)));
    chain.signal(SIGHUP);
    let mut traced = false;
    let told = chain.until("clients that are told, or are not any more", || {
        let tracer = tracer_of(worker);
        let over = tracer.is_none() || (traced && tracer == Some(0));
        traced |= tracer.is_some_and(|pid| pid > 0);
        let bodies = all();
        let whole = bodies.iter().all(|got| got.as_deref() == Ok(body) || (over && got.is_err()));
        assert!(whole, "{bodies:?} {}", chain.output());
        bodies.is_empty().then_some(true).or(over.then_some(false))
    });
    drop(clients);
    chain.until("its end", || (!proc::alive(worker)).then_some(()));
    told
}

/// What nobody can be told is not slowed down for longer than it takes to see that.
#[test]
fn a_worker_that_does_much_and_writes_no_heads_is_traced_for_a_moment_only() {
    let scene = any::scene();
    let mut at = draining_after(&scene, "/calls", |_| ());
    at.chain.until("its end", || helper_of(&at.chain).is_none().then_some(()));
    assert_eq!(proc::status(at.worker, "TracerPid"), Some("0".to_owned()));
    assert!(at.chain.messages("cannot tell").is_empty(), "{}", at.chain.output());
    // But a client that waits for its answer is worth it.
    assert_eq!(at.connection.request("/slow", "keep-alive"), Ok(at.worker.to_string()), "{}", at.chain.output());
    assert!(at.connection.closing, "{}", at.chain.output());
    at.chain.stop();
}

/// A process that traces a worker as a debugger does.
struct Debugger(Child);

impl Debugger {
    fn attach(pid: u32) -> Self {
        const SEIZE: &str = "import ctypes, signal, sys\n\
                             print(ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), 0, 0), flush=True)\n\
                             signal.pause()";
        let python =
            Command::new("/usr/bin/python3").args(["-c", SEIZE, &pid.to_string()]).stdout(Stdio::piped()).spawn();
        let mut child = python.expect("python3");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        let _ = std::io::BufReader::new(output).read_line(&mut line);
        assert_eq!(line.trim(), "0");
        Self(child)
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_debugger_keeps_its_process() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 1 --soak 100ms --grace 10s", KEPT);
    let worker = any::serving(&chain, 1)[&0];
    let debugger = Debugger::attach(worker);
    let mut connection = Connection::open(scene.port).expect("serves");
    assert_eq!(connection.request("/", "keep-alive"), Ok(worker.to_string()));
    chain.signal(SIGHUP);
    chain.line("cannot tell the clients of a draining worker to move on");
    assert!(chain.output().contains("it has a debugger"), "{}", chain.output());
    let tracer = proc::status(worker, "TracerPid");
    assert_eq!(tracer, Some(debugger.0.id().to_string()));
    assert_eq!(connection.request("/", "keep-alive"), Ok(worker.to_string()));
    drop(debugger);
    // It waits for nobody else.
    drop(connection);
    wait::until("its end", || (!proc::alive(worker)).then_some(()));
    chain.stop();
}

#[test]
fn processes_that_cannot_be_traced_are_spoken_of_once() {
    let scene = any::scene().with("PROCESSES", "2");
    let chain = any::start(&scene, "pm-cluster -n 1 --soak 100ms --grace 10s", KEPT);
    any::serving(&chain, 1);
    let mut kept = std::collections::BTreeMap::new();
    chain.until("a connection to each process", || {
        let mut one = Connection::open(scene.port).ok()?;
        let pid: u32 = one.get("/").ok()?.parse().ok()?;
        kept.entry(pid).or_insert(one);
        (kept.len() == 2).then_some(())
    });
    let (with, mut told) = kept.pop_first().expect("two");
    let (_, mut untold) = kept.pop_first().expect("two");
    std::mem::swap(&mut told, &mut untold);
    let debugger = Debugger::attach(with);
    chain.signal(SIGHUP);
    chain.line("those of some of its processes or threads: it has a debugger");
    assert!(told.get("/").is_ok() && told.closing, "{}", chain.output());
    assert!(untold.get("/").is_ok() && !untold.closing, "{}", chain.output());
    assert_eq!(chain.messages("cannot tell").len(), 1, "{}", chain.output());
    drop(debugger);
    chain.stop();
}
