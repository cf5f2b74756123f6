//! Servers that give no help: they die of the stop signal at once, with requests in hand, and bind in other ways.

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use pm_tests::http::{self, Connection, Miss};
use pm_tests::load::{Load, Style};
use pm_tests::{any, proc, roll};

const PYTHON: &str = "/usr/bin/python3 $F/any/server.py";

/// Each request takes 0.4 s, and Python dies of TERM at once.
#[test]
fn a_roll_waits_for_the_requests_of_a_server_that_dies_at_once() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms", PYTHON);
    any::serving(&chain, 2);
    let load = Load::of(scene.port, "/slow", &[Style::OneShot; 8]);
    load.advance(1);
    for _ in 0..3 {
        roll::well(&chain);
        load.advance(1);
    }
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    chain.stop();
}

/// A stop finishes what came before it, and does not wait for what comes after.
#[test]
fn a_stop_waits_for_the_request_in_hand() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2", PYTHON);
    any::serving(&chain, 2);
    let mut connection = Connection::open(scene.port).expect("serves");
    connection.send("/slow", "close").expect("sent");
    // Its answer on another connection: by then the slow one was accepted, or waits in a queue.
    any::serving(&chain, 2);
    chain.signal(SIGTERM);
    let answer = connection.answer();
    assert!(answer.is_ok(), "{answer:?}\n{}", chain.output());
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

/// Nobody is left, and still nobody is refused: the lanes are kept.
#[test]
fn with_no_worker_alive_connections_wait_for_the_next() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 1", "$A/rust-server");
    let worker = any::serving(&chain, 1)[&0];
    proc::send(worker, SIGKILL);
    chain.until("its death", || (!proc::alive(worker)).then_some(()));
    let waiting: Vec<_> = (0..50).map(|_| Connection::open(scene.port).expect("not refused")).collect();
    for mut connection in waiting {
        let pid = connection.request("/", "close").expect("answered");
        assert_ne!(pid, worker.to_string());
    }
    chain.stop();
}

/// Two start at the same time: the one that binds first listens last.
#[test]
fn the_order_in_which_workers_listen_does_not_matter() {
    let scene = any::scene();
    let script = "import http.server, os, socket, time\n\
                  slot = os.environ['PM_SLOT']\n\
                  class Server(http.server.ThreadingHTTPServer):\n\
                  \x20   def server_bind(self):\n\
                  \x20       wait_for('bound') if slot == '1' else None\n\
                  \x20       super().server_bind()\n\
                  \x20       open('bound', 'w').close()\n\
                  \x20   def server_activate(self):\n\
                  \x20       wait_for('listens') if slot == '0' else None\n\
                  \x20       super().server_activate()\n\
                  \x20       open('listens', 'w').close()\n\
                  def wait_for(name):\n\
                  \x20   while not os.path.exists(name):\n\
                  \x20       time.sleep(0.01)\n\
                  http.server.ThreadingHTTPServer = Server\n\
                  exec(open(os.environ['SERVER']).read())\n";
    let server = scene.expand("$F/any/server.py");
    let scene = scene.with("SERVER", server);
    let script = scene.file("order.py", script);
    let chain = any::start(&scene, "pm-cluster -n 2", &format!("/usr/bin/python3 {}", script.display()));
    any::serving(&chain, 2);
    assert!(chain.messages("warning").is_empty(), "{}", chain.output());
    chain.stop();
}

/// WEBrick and .NET do this: it ends the listener for all who have it.
#[test]
fn one_that_shuts_its_listener_down_when_it_stops_loses_nothing() {
    let scene = any::scene();
    let script = "import http.server, os, signal, socket, time\n\
                  class Server(http.server.ThreadingHTTPServer):\n\
                  \x20   def server_activate(self):\n\
                  \x20       super().server_activate()\n\
                  \x20       signal.signal(signal.SIGTERM, self.stop)\n\
                  \x20   def stop(self, *_):\n\
                  \x20       self.socket.shutdown(socket.SHUT_RDWR)\n\
                  \x20       time.sleep(0.3)\n\
                  \x20       os._exit(0)\n\
                  http.server.ThreadingHTTPServer = Server\n\
                  exec(open(os.environ['SERVER']).read())\n";
    let server = scene.expand("$F/any/server.py");
    let scene = scene.with("SERVER", server);
    let script = scene.file("shuts.py", script);
    let line = format!("/usr/bin/python3 {}", script.display());
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms", &line);
    any::serving(&chain, 2);
    let load = Load::start(scene.port, 4, Style::OneShot);
    load.advance(5);
    for _ in 0..3 {
        roll::well(&chain);
        load.advance(5);
    }
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    any::serving(&chain, 2);
    chain.stop();
}

/// Multipath TCP cannot be steered: all share one socket. Nobody is refused; what a server that dies at once has in hand
/// is lost, as it takes connections to its end.
#[test]
fn multipath_tcp_is_shared() {
    let scene = any::scene();
    let script = "import os, socket\n\
                  multipath = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)\n\
                  multipath.bind(('127.0.0.1', int(os.environ['PORT'])))\n\
                  multipath.listen()\n\
                  os.dup2(multipath.fileno(), 3)\n\
                  exec(open(os.environ['SERVER']).read())\n";
    let server = scene.expand("$F/any/passed.py");
    let scene = scene.with("SERVER", server);
    let script = scene.file("multipath.py", script);
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms", &format!("/usr/bin/python3 {}", script.display()));
    any::serving(&chain, 2);
    let load = Load::start(scene.port, 4, Style::OneShot);
    load.advance(5);
    roll::well(&chain);
    let tally = load.end();
    let in_hand = tally.misses.iter().all(|miss| matches!(miss, Miss::Reset | Miss::Cut));
    // Of each of four clients one request for each of two workers.
    assert!(in_hand && tally.misses.len() <= 8, "{:?}\n{}", tally.misses, chain.output());
    any::serving(&chain, 2);
    chain.stop();
}

/// A program that listens, closes, and listens again has one lane, and all of it is served.
#[test]
fn one_that_tries_the_port_first_is_served_in_full() {
    let scene = any::scene();
    let script = "import os, socket\n\
                  for _ in range(200):\n\
                  \x20   trial = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n\
                  \x20   trial.close()\n\
                  exec(open(os.environ['SERVER']).read())\n";
    let server = scene.expand("$F/any/server.py");
    let scene = scene.with("SERVER", server);
    let script = scene.file("tries.py", script);
    let chain = any::start(&scene, "pm-cluster -n 2", &format!("/usr/bin/python3 {}", script.display()));
    any::serving(&chain, 2);
    chain.until("few descriptors", || (proc::descriptors(chain.pid()) < 40).then_some(()));
    let load = Load::start(scene.port, 4, Style::OneShot);
    load.advance(20);
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    chain.stop();
}

/// A second program on the port of the first is told so by the kernel.
#[test]
fn another_app_on_the_same_port_is_refused() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2", "$A/rust-server");
    let ours: Vec<u32> = any::serving(&chain, 2).into_values().collect();
    let second = any::start(&scene, "pm-cluster --name second -n 1 --ready-timeout 1s", "$A/rust-server");
    second.line("Address already in use");
    let pids = http::pids(scene.port, 16);
    assert!(!pids.is_empty() && pids.iter().all(|pid| ours.contains(pid)), "{pids:?} of {ours:?}");
    second.signal(SIGTERM);
    chain.until("the second to end", || (!second.running()).then_some(()));
    chain.signal(SIGTERM);
    chain.wait();
}

/// A Node that some server starts is no worker of ours, whatever its parent was given.
#[test]
fn a_node_below_a_server_does_not_take_its_channel() {
    let scene = any::scene();
    let script = "import os, subprocess, sys\n\
                  told = subprocess.run(['node', '-p', 'String(!!process.send) + require(\"cluster\").isWorker'])\n\
                  print(told.returncode, flush=True)\n\
                  os.execv(sys.executable, [sys.executable, sys.argv[1]])\n";
    let script = scene.file("parent.py", script);
    let line = format!("/usr/bin/python3 {} $F/any/server.py", script.display());
    let chain = any::start(&scene, "pm-cluster -n 2", &line);
    any::serving(&chain, 2);
    let lines = chain.lines(pm_tests::chain::Stream::Out);
    assert_eq!(lines.iter().filter(|line| *line == "falsefalse").count(), 2, "{lines:?}");
    chain.stop();
}

/// Each lane has a worker of its own: what waits for one that is stopped is not lost, and is not in the way.
#[test]
fn the_supervisors_death_leaves_the_servers_alone_and_hangs_nobody() {
    let scene = any::scene();
    let script = "import os, signal, socket\n\
                  def bind(*_):\n\
                  \x20   try:\n\
                  \x20       socket.socket().bind(('127.0.0.1', 0))\n\
                  \x20       print('bound', flush=True)\n\
                  \x20   except OSError as error:\n\
                  \x20       print(error.strerror, flush=True)\n\
                  signal.signal(signal.SIGUSR1, bind)\n\
                  exec(open(os.environ['SERVER']).read())\n";
    let server = scene.expand("$F/any/server.py");
    let scene = scene.with("SERVER", server);
    let script = scene.file("binder.py", script);
    let chain = any::start(&scene, "pm-cluster -n 2", &format!("/usr/bin/python3 {}", script.display()));
    let workers = any::serving(&chain, 2);
    proc::send(workers[&0], nix::sys::signal::Signal::SIGUSR1);
    chain.line("bound");
    proc::send(chain.pid(), SIGKILL);
    chain.wait();
    proc::send(workers[&0], nix::sys::signal::Signal::SIGUSR1);
    chain.line("Function not implemented");
    let alive = http::pids(scene.port, 16);
    assert!(!alive.is_empty(), "the servers go on");
}
