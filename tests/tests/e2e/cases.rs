//! Servers of the kinds that would break what serves them all, with one worker and with two: it serves from all of them, and
//! neither reloads nor the deaths of workers refuse anybody or leave anybody hanging.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::chain::Chain;
use pm_tests::http::{Connection, Miss};
use pm_tests::scene::Scene;
use pm_tests::{any, proc, roll, stat, wait};

const CLIENTS: usize = 4;

/// Where clients come in.
#[derive(Debug, Clone)]
enum Door {
    Port(u16),
    Path(PathBuf),
}

impl Door {
    /// The answer on a connection of its own: the pid of who serves.
    fn ask(&self) -> Result<String, Miss> {
        match self {
            Self::Port(port) => Connection::open(*port)?.request("/", "close"),
            Self::Path(path) => Connection::open_unix(path)?.request("/", "close"),
        }
    }
}

/// A server: the scene with what it needs, its command line, and its door.
struct Case {
    scene: Scene,
    server: String,
    door: Door,
}

/// Clients that ask without a pause.
struct Clients {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    misses: Arc<Mutex<Vec<Miss>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    fn start(door: &Door) -> Self {
        let (stop, answers, misses) = (Arc::default(), Arc::default(), Arc::default());
        let mut all = Self { stop, answers, misses, threads: Vec::new() };
        for _ in 0..CLIENTS {
            let (door, stop) = (door.clone(), Arc::clone(&all.stop));
            let (answers, misses) = (Arc::clone(&all.answers), Arc::clone(&all.misses));
            all.threads.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match door.ask() {
                        Ok(_) => _ = answers.fetch_add(1, Ordering::Relaxed),
                        Err(miss) => misses.lock().unwrap_or_else(PoisonError::into_inner).push(miss),
                    }
                    // Leaves the processor to what is tested.
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }));
        }
        all
    }

    /// Waits for some more answers.
    fn advance(&self) {
        let begun = self.answers.load(Ordering::Relaxed);
        wait::until("more answers", || (self.answers.load(Ordering::Relaxed) > begun + 20).then_some(()));
    }

    /// Ends them: the answers, and the requests lost.
    fn end(self) -> (u64, Vec<Miss>) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a client ends"));
        let misses = std::mem::take(&mut *self.misses.lock().unwrap_or_else(PoisonError::into_inner));
        (self.answers.load(Ordering::Relaxed), misses)
    }
}

/// Waits until so many have answered.
fn serves_from(chain: &Chain, door: &Door, count: usize) {
    let mut seen = BTreeSet::new();
    chain.until(&format!("{count} that answer"), || {
        seen.extend((0..8).filter_map(|_| door.ask().ok()));
        (seen.len() >= count).then_some(())
    });
}

/// Kills the worker of slot 0, and waits for the next one to be ready.
fn kill(chain: &Chain) {
    let first =
        || stat::workers(chain.scene).into_iter().find(|line| line.number("slot") == 0 && line.state() == "ready");
    let victim = chain.until("a worker", || first()?.pid());
    proc::send(victim, SIGKILL);
    chain.until("its successor", || first()?.pid().filter(|pid| *pid != victim));
}

/// Reloads and kills it under clients, as often as `PM_TEST_ROLLS` says, and adds to the table of `PM_TEST_CASES`.
fn holds(name: &str, make: impl Fn() -> Case) {
    let rounds: usize = std::env::var("PM_TEST_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for count in [1, 2] {
        let Case { scene, server, door } = make();
        let patient = "pm-restart --backoff 1ms..1ms --stable 1ms --intensity 100000/1s";
        let before = format!("{patient} pm-cluster -n {count} --soak 100ms --grace 4s");
        let chain = any::start(&scene, &before, &server);
        serves_from(&chain, &door, count);
        roll::drained(&chain);
        let clients = Clients::start(&door);
        for _ in 0..rounds {
            clients.advance();
            roll::well(&chain);
        }
        clients.advance();
        let reloads = clients.end();
        let clients = Clients::start(&door);
        for _ in 0..rounds {
            clients.advance();
            kill(&chain);
        }
        clients.advance();
        let kills = clients.end();
        serves_from(&chain, &door, count);
        note(&format!(
            "{name:<40}{count:>3}{:>8} of {:<8}{:>8} of {}",
            reloads.1.len(),
            reloads.0,
            kills.1.len(),
            kills.0
        ));
        // A path that a server removes itself is away until it listens again.
        let harm = |miss: &&Miss| !matches!((miss, &door), (Miss::Other(_), Door::Path(_)));
        let by_reloads: Vec<&Miss> = reloads.1.iter().filter(harm).collect();
        // What a worker had in hand dies with it.
        let dies = |miss: &&Miss| matches!(miss, Miss::Reset | Miss::Cut);
        let by_kills: Vec<&Miss> = kills.1.iter().filter(harm).filter(|miss| !dies(miss)).collect();
        let none = by_reloads.is_empty() && by_kills.is_empty();
        assert!(none, "{name}, {count} workers: {by_reloads:?} {by_kills:?}\n{}", chain.output());
        chain.stop();
    }
}

fn note(line: &str) {
    let Some(table) = std::env::var_os("PM_TEST_CASES") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(table);
    let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()));
    written.expect("the file of PM_TEST_CASES can be written");
}

fn at_port(scene: Scene, server: String) -> Case {
    let door = Door::Port(scene.port);
    Case { scene, server, door }
}

/// A Python server ([`any::python`]).
fn python(before: &str) -> Case {
    let scene = any::scene();
    let server = any::python(&scene, before);
    at_port(scene, server)
}

/// A Node server that does `before` and then calls `serve()`.
fn node(major: u32, before: &str) -> Case {
    let scene = any::scene_with_node(major);
    let script = format!(
        "const net = require('net')\n\
         const port = +process.env.PORT\n\
         const answer = (request, response) => response.end(String(process.pid))\n\
         const serve = (where = port) => require('http').createServer(answer).listen(where, '127.0.0.1')\n\
         {before}\n"
    );
    let server = format!("node {}", scene.file("case.js", &script).display());
    at_port(scene, server)
}

#[test]
fn who_listens_elsewhere_first() {
    holds("listens elsewhere first", || python("here('0.0.0.0').listen(1)\nours = here('127.0.0.1')"));
}

#[test]
fn node_that_listens_elsewhere_first() {
    let look = "const look = net.createServer().listen(port, '0.0.0.0', () => look.close(() => serve()))";
    holds("Node, listens elsewhere first", || node(24, look));
}

#[test]
fn who_connects_first() {
    let look = "if socket.socket().connect_ex(('127.0.0.1', port)) == 0:\n\
                \x20   sys.exit(70)\n\
                ours = here('127.0.0.1')";
    holds("connects first", || python(look));
}

/// One that ends, and one that goes elsewhere.
#[test]
fn node_that_connects_first() {
    for (name, taken) in [("ends", "process.exit(70)"), ("goes elsewhere", "serve(0)")] {
        let look = format!(
            "const look = net.connect(port, '127.0.0.1', () => {{ look.destroy(); {taken} }}).on('error', () => serve())"
        );
        holds(&format!("Node, connects first, {name}"), || node(24, &look));
    }
}

#[test]
fn node_below_a_launcher_that_connects_first() {
    holds("Node below sh, connects first", || {
        let look = "const look = net.connect(port, '127.0.0.1', () => { look.destroy(); serve(0) }).on('error', () => serve())";
        let case = node(24, look);
        let run = case.scene.file("run.sh", &format!("{}; exit $?\n", case.server));
        Case { server: format!("sh {}", run.display()), ..case }
    });
}

fn below_node(how: &str) {
    for major in [16, 20, 24] {
        holds(&format!("Node {major}, a {how} listens"), || {
            at_port(any::scene_with_node(major), format!("node $F/below.js {how}"))
        });
    }
}

#[test]
fn children_of_node() {
    below_node("child");
}

#[test]
fn threads_of_node() {
    below_node("thread");
}

#[test]
fn who_holds_the_port_with_a_socket_that_never_listens() {
    holds("holds the port beside", || python("holds = here('127.0.0.1', True)\nours = here('127.0.0.1', True)"));
}

#[test]
fn who_shuts_its_listener_down_as_it_stops() {
    holds("shuts its listener down", || at_port(any::scene(), "/usr/bin/python3 $F/any/ends_queue.py".to_owned()));
}

#[test]
fn unix_sockets() {
    for (name, before) in
        [("unix socket", ""), ("unix socket, removed first", "try { require('fs').unlinkSync(path) } catch {}")]
    {
        holds(name, || {
            let case = node(
                24,
                &format!("const path = process.env.SOCK\n{before}\nrequire('http').createServer(answer).listen(path)"),
            );
            let path = case.scene.dir().join("case.sock");
            Case { scene: case.scene.with("SOCK", &path), door: Door::Path(path), ..case }
        });
    }
}

#[test]
fn deno() {
    assert!(any::dir().join("venv/bin/deno").is_file(), "deno is missing: run scripts/test, which fetches it");
    holds("deno, node:http", || {
        let scene = any::scene();
        let script = "import http from 'node:http'\n\
                      import process from 'node:process'\n\
                      http.createServer((_, response) => response.end(String(process.pid))).listen(+process.env.PORT)\n";
        let server = format!("$A/venv/bin/deno run -A {}", scene.file("case.mjs", script).display());
        at_port(scene.with("DENO_NO_UPDATE_CHECK", "1"), server)
    });
}

/// Names as Node spells them: 20 fills them up with NULs, and those count; before, they are lost.
#[test]
fn abstract_unix_sockets() {
    for major in [20, 22, 26] {
        let name = format!("pm-tests-{}-{major}", std::process::id());
        let scene = Scene::with_node(major).with("NAME", &name);
        let app = scene.file(
            "app.js",
            "require('net').createServer((one) => one.end(`${process.pid}`)).listen(`\\0${process.env.NAME}`)\n",
        );
        let ask = "require('net').connect(`\\0${process.env.NAME}`).on('data', (data) => console.log(`${data}`)).on('error', (error) => console.log(error.code))\n";
        let client = scene.file("client.js", ask);
        let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms", &format!("node {}", app.display()));
        let answers = || {
            let mut seen = BTreeSet::new();
            chain.until("two that answer", || {
                let output = scene.command(&["node", client.to_str().expect("text")]).output().expect("Node runs");
                seen.insert(String::from_utf8_lossy(&output.stdout).trim().to_owned());
                let pids: BTreeSet<String> = any::workers(&scene).values().map(ToString::to_string).collect();
                (pids.len() == 2 && pids.is_subset(&seen)).then_some(())
            });
        };
        chain.line(&format!("ready workers=2/2 listen=unix:@{name}"));
        answers();
        roll::well(&chain);
        answers();
        kill(&chain);
        answers();
        assert!(chain.messages("warning: worker serves").is_empty(), "{}", chain.output());
        chain.stop();
    }
}
