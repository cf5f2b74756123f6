//! Programs that connect to their port before they bind it, and take it for another's if somebody answers.

use std::io::{ErrorKind, Read as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::any::ANSWERS;
use pm_tests::chain::{Chain, Stream};
use pm_tests::http::{Connection, Miss};
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, bins, proc, roll, stat};
use serde_json::json;

/// A Python server that ends with code 70 where `look` (with `port`) gives a true value, and says what it has seen.
fn python(scene: &Scene, look: &str) -> String {
    let script = format!(
        "import errno, os, select, socket, sys, threading\n\
         port = int(os.environ['PORT'])\n\
         def connects(family, host, wait=True):\n\
         \x20   one = socket.socket(family)\n\
         \x20   if wait:\n\
         \x20       return one.connect_ex((host, port)) == 0\n\
         \x20   one.setblocking(False)\n\
         \x20   begun = one.connect_ex((host, port))\n\
         \x20   if begun == errno.EINPROGRESS:\n\
         \x20       select.select([], [one], [])\n\
         \x20       begun = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)\n\
         \x20   return begun == 0\n\
         {look}\n\
         if taken:\n\
         \x20   sys.exit(70)\n\
         ours = socket.socket()\n\
         ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         ours.bind((bound, port))\n\
         {ANSWERS}"
    );
    format!("/usr/bin/python3 {}", scene.file("connects.py", &script).display())
}

/// How often the workers have printed this line.
fn printed(chain: &Chain, line: &str) -> usize {
    chain.lines(Stream::Out).iter().filter(|one| *one == line).count()
}

const LOOKS: &str = "bound = '127.0.0.1'\ntaken = connects(socket.AF_INET, bound)";

/// Workers of all slots serve, after reloads and crashes, too; nobody is refused and nobody hangs. That it looks was found out
/// by the end of a worker.
fn holds(scene: &Scene, server: &str, count: usize) {
    let chain = all_serve(scene, server, count, 5);
    assert_eq!(chain.messages("perhaps as that answers").len(), 1, "{}", chain.output());
    chain.stop();
}

fn all_serve<'a>(scene: &'a Scene, server: &str, count: usize, rounds: usize) -> Chain<'a> {
    let chain = any::start(scene, &format!("pm-cluster -n {count} --soak 100ms"), server);
    roll::drained(&chain);
    any::serving(&chain, count);
    let load = Load::start(scene.port, 2, Style::OneShot);
    for _ in 0..rounds {
        load.advance(5);
        roll::well(&chain);
    }
    load.advance(5);
    for _ in 0..rounds {
        let killed = any::serving(&chain, count)[&0];
        proc::send(killed, SIGKILL);
        chain.until("a successor", || any::workers(scene).get(&0).is_some_and(|pid| *pid != killed).then_some(()));
        load.advance(5);
    }
    any::serving(&chain, count);
    let tally = load.end();
    let harmed = |miss: &&Miss| matches!(miss, Miss::Refused | Miss::Hung);
    assert!(!tally.misses.iter().any(|miss| harmed(&miss)), "{:?}\n{}", tally.misses, chain.output());
    chain
}

#[test]
fn two_that_look_whether_somebody_answers() {
    let scene = any::scene();
    holds(&scene, &python(&scene, LOOKS), 2);
}

#[test]
fn one_that_looks_whether_somebody_answers() {
    let scene = any::scene();
    holds(&scene, &python(&scene, LOOKS), 1);
}

/// From a thread, without waiting, at all addresses that lead there, with others in between.
#[test]
fn they_may_look_in_any_way() {
    let scene = any::scene();
    let look = "bound = '0.0.0.0'\n\
                other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                assert other.connect_ex(('127.0.0.1', port)) == 0\n\
                elsewhere = socket.socket()\n\
                elsewhere.bind(('127.0.0.1', 0))\n\
                elsewhere.listen(1)\n\
                assert socket.create_connection(elsewhere.getsockname())\n\
                seen = []\n\
                def look():\n\
                \x20   seen.append(connects(socket.AF_INET, 'localhost', False))\n\
                \x20   seen.append(connects(socket.AF_INET, '0.0.0.0'))\n\
                \x20   seen.append(connects(socket.AF_INET6, '::ffff:127.0.0.1'))\n\
                thread = threading.Thread(target=look)\n\
                thread.start()\n\
                thread.join()\n\
                taken = any(seen)";
    holds(&scene, &python(&scene, look), 2);
}

/// A worker that serves reaches its own address, also after it was refused as it started.
#[test]
fn who_listens_connects_to_itself() {
    let scene = any::scene();
    let look = format!(
        "{LOOKS}\n\
         def later():\n\
         \x20   while not connects(socket.AF_INET, bound):\n\
         \x20       pass\n\
         \x20   print('reached itself', flush=True)\n\
         if not taken:\n\
         \x20   threading.Thread(target=later, daemon=True).start()"
    );
    let chain = any::start(&scene, "pm-cluster -n 2", &python(&scene, &look));
    any::serving(&chain, 2);
    chain.until("both to reach themselves", || (printed(&chain, "reached itself") == 2).then_some(()));
    chain.stop();
}

#[test]
fn cherrypy() {
    let scene = any::scene();
    let script = "import cherrypy, os\n\
                  class Root:\n\
                  \x20   @cherrypy.expose\n\
                  \x20   def index(self):\n\
                  \x20       return str(os.getpid())\n\
                  where = {'server.socket_host': '127.0.0.1', 'server.socket_port': int(os.environ['PORT'])}\n\
                  cherrypy.config.update({**where, 'engine.autoreload.on': False, 'log.screen': False})\n\
                  cherrypy.quickstart(Root())\n";
    let script = scene.file("cherry.py", script);
    holds(&scene, &format!("$A/venv/bin/python {}", script.display()), 2);
}

/// What ends before it binds for another reason is tried once more, and then as ever.
#[test]
fn one_that_ends_for_another_reason_is_started_once_more() {
    let scene = any::scene();
    let marker = scene.dir().join("broken");
    let look = format!(
        "bound = '127.0.0.1'\n\
         taken = os.path.exists('{}')\n\
         if taken:\n\
         \x20   print('started in vain', flush=True)",
        marker.display()
    );
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms", &python(&scene, &look));
    any::serving(&chain, 2);
    std::fs::write(&marker, "").expect("written");
    let vain = |count| assert_eq!(printed(&chain, "started in vain"), count, "{}", chain.output());
    roll::ended(&chain, roll::ask(&chain));
    chain.line("reload aborted");
    vain(2);
    std::fs::remove_file(&marker).expect("removed");
    roll::well(&chain);
    std::fs::write(&marker, "").expect("written");
    roll::ended(&chain, roll::ask(&chain));
    vain(4);
    chain.stop();
}

/// Nobody waits for ever: neither who is there already nor who comes.
#[test]
fn an_address_that_nobody_comes_to_serve_is_refused_until_somebody_does() {
    let scene = any::scene();
    let marker = scene.dir().join("broken");
    let look = format!("bound = '127.0.0.1'\ntaken = os.path.exists('{}')", marker.display());
    let chain = any::start(&scene, "pm-cluster -n 1", &python(&scene, &look));
    let worker = any::serving(&chain, 1)[&0];
    std::fs::write(&marker, "").expect("written");
    proc::send(worker, SIGKILL);
    chain.until("its death", || (!proc::alive(worker)).then_some(()));
    let mut waits = TcpStream::connect(("127.0.0.1", scene.port)).expect("it may be served yet");
    waits.set_read_timeout(Some(Duration::from_secs(90))).expect("set");
    let error = waits.read(&mut [0]).expect_err("nobody came");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}", chain.output());
    assert_eq!(Connection::open(scene.port).err(), Some(Miss::Refused));
    chain.line("it refuses connections until one does");
    std::fs::remove_file(&marker).expect("removed");
    any::serving(&chain, 1);
    roll::well(&chain);
    chain.stop();
}

/// With the packages that look at ports.
fn with_packages(major: u32) -> Scene {
    let modules = bins::cache().parent().map(|cache| cache.join("ports/node_modules")).unwrap_or_default();
    assert!(modules.join("serve").is_dir(), "{} is missing: run scripts/test, which fetches it", modules.display());
    let scene = Scene::with_node(major).with("NODE_PATH", &modules).with("NO_UPDATE_CHECK", "1");
    scene.with("PACKAGES", modules)
}

/// No worker of Node is misled, so none is started in vain, and none listens elsewhere.
fn node_holds(scene: &Scene, server: &str) {
    for count in [1, 2] {
        let chain = all_serve(scene, server, count, 2);
        assert!(chain.messages("perhaps as that answers").is_empty(), "{}", chain.output());
        assert!(chain.messages("cannot listen").is_empty(), "{}", chain.output());
        // One that is being started listens on nothing yet.
        let nothing_yet = |line: &stat::Line| line.state() == "starting" && line.0["listen"] == json!([]);
        let elsewhere = |line: &stat::Line| line.0["listen"] != json!([format!("tcp:[::]:{}", scene.port)]);
        let all = stat::workers(scene);
        assert!(!all.iter().any(|line| elsewhere(line) && !nothing_yet(line)), "{all:?}");
        chain.stop();
    }
}

/// Each worker shows a directory of its own.
#[test]
fn serve_of_npm() {
    let scene = with_packages(24);
    for slot in 0..2 {
        let shown = scene.dir().join(format!("shown{slot}"));
        std::fs::create_dir(&shown).expect("made");
        std::fs::write(shown.join("index.html"), format!("slot {slot}")).expect("written");
    }
    let script = "process.argv.push('-L', '-l', process.env.PORT, `${__dirname}/shown${process.env.PM_SLOT}`)\n\
                  import(`${process.env.PACKAGES}/serve/build/main.js`)\n";
    node_holds(&scene, &format!("node {}", scene.file("serve.js", script).display()));
}

/// Below a launcher the server binds by itself, and asks nobody: a worker that goes elsewhere is started again, once.
#[test]
fn tcp_port_used_below_a_launcher() {
    let scene = with_packages(24);
    let look = "require('tcp-port-used').check(wanted, '127.0.0.1').then((used) => listen(used ? 0 : wanted))";
    let run = scene.file("run.sh", &format!("{}; exit $?\n", finder(&scene, look)));
    for count in [1, 2] {
        let chain = all_serve(&scene, &format!("sh {}", run.display()), count, 2);
        assert!((1..=count).contains(&chain.messages("perhaps as that answers").len()), "{}", chain.output());
        chain.stop();
    }
}

/// Where nobody can help, the worker that went elsewhere is named.
#[test]
fn who_went_elsewhere_is_said() {
    let scene = with_packages(24);
    let look = "const look = () => require('tcp-port-used').check(wanted, '127.0.0.1').then((used) => {\n\
                \x20 if (used || process.env.PM_SLOT === '0') listen(used ? 0 : wanted)\n\
                \x20 else setTimeout(look, 20)\n\
                })\n\
                look()";
    let chain = any::start(&scene, "pm-cluster -n 2 --no-preload", &finder(&scene, look));
    let said = chain.line(
        "a worker listens on a port of its own, and gets none of the clients of the others slot=1 listen=tcp:[::]:",
    );
    assert!(said.contains(&format!("others=tcp:[::]:{};", scene.port)), "{said}");
    assert_eq!(chain.messages("a port of its own").len(), 1, "{}", chain.output());
    chain.stop();
}

/// A server that listens where `port` (with `wanted`, the port that it is to have) leads to.
fn finder(scene: &Scene, port: &str) -> String {
    let script = format!(
        "const http = require('http')\n\
         const answer = (request, response) => response.end(String(process.pid))\n\
         const listen = (port) => http.createServer(answer).listen(port)\n\
         const wanted = +process.env.PORT\n\
         {port}\n"
    );
    format!("node {}", scene.file("finder.js", &script).display())
}

#[test]
fn tcp_port_used() {
    for major in [16, 26] {
        let scene = with_packages(major);
        let look = "require('tcp-port-used').check(wanted, '127.0.0.1').then((used) => listen(used ? 0 : wanted))";
        node_holds(&scene, &finder(&scene, look));
    }
}

#[test]
fn detect_port() {
    let scene = with_packages(24);
    node_holds(&scene, &finder(&scene, "require('detect-port').detect(wanted).then(listen)"));
}

#[test]
fn portfinder() {
    let scene = with_packages(24);
    let look = "require('portfinder').getPort({ port: wanted }, (error, port) => listen(port))";
    node_holds(&scene, &finder(&scene, look));
}

#[test]
fn get_port() {
    let scene = with_packages(24);
    let look =
        "import(`${process.env.PACKAGES}/get-port/index.js`).then((it) => it.default({ port: wanted })).then(listen)";
    node_holds(&scene, &finder(&scene, look));
}

/// What else a worker connects to before it serves is as without us: errors, what the app keeps for its chain of calls, and
/// what it throws; and once it listens it reaches itself.
#[test]
fn what_node_connects_to_otherwise_is_as_ever() {
    let other = TcpListener::bind(("127.0.0.1", 0)).expect("bound");
    let closed = pm_tests::ports::free();
    for major in bins::NODE_MAJORS {
        let scene = Scene::with_node(major);
        let script = format!(
            "const {{ connect }} = require('net')\n\
             const {{ AsyncLocalStorage }} = require('async_hooks')\n\
             const kept = new AsyncLocalStorage()\n\
             const seen = []\n\
             const say = (text) => {{\n\
             \x20 seen.push(`${{text}} ${{kept.getStore()}}`)\n\
             \x20 if (seen.length === 5) serve()\n\
             }}\n\
             process.on('uncaughtException', (error) => say(`uncaught ${{error.message}}`))\n\
             const look = (port, host) => kept.run(host, () => {{\n\
             \x20 const socket = connect(port, host)\n\
             \x20 socket.on('error', (error) => say(`${{error.code}} ${{error.syscall}} ${{error.port}}`))\n\
             \x20 socket.on('connect', () => {{ socket.destroy(); say('there'); throw new Error('mine') }})\n\
             }})\n\
             const port = +process.env.PORT\n\
             look(port, '127.0.0.1')\n\
             look(port, 'localhost')\n\
             look({closed}, '127.0.0.1')\n\
             look({other}, '127.0.0.1')\n\
             connect(port, '127.0.0.1').destroy()\n\
             const serve = () => require('http').createServer((_, response) => response.end(String(process.pid)))\n\
             \x20 .listen(port, () => connect(port, '127.0.0.1', function () {{\n\
             \x20   this.destroy()\n\
             \x20   console.log(seen.sort().join(', '))\n\
             \x20 }}))\n",
            other = other.local_addr().expect("bound").port()
        );
        let app = format!("node {}", scene.file("looks.js", &script).display());
        let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms", &app);
        any::serving(&chain, 2);
        roll::well(&chain);
        let port = scene.port;
        let mut seen = [
            format!("ECONNREFUSED connect {port} 127.0.0.1"),
            format!("ECONNREFUSED connect {port} localhost"),
            format!("ECONNREFUSED connect {closed} 127.0.0.1"),
            "there 127.0.0.1".to_owned(),
            "uncaught mine 127.0.0.1".to_owned(),
        ];
        seen.sort();
        let line = seen.join(", ");
        chain.until("all to have looked", || (printed(&chain, &line) == 4).then_some(()));
        chain.stop();
    }
}
