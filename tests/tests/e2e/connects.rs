//! Programs that connect to their port before they bind it, and take it for another's if somebody answers.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::chain::{Chain, Stream};
use pm_tests::http::{Connection, Miss};
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, proc, roll};

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
         ours.listen(128)\n\
         while True:\n\
         \x20   client, _ = ours.accept()\n\
         \x20   client.recv(4096)\n\
         \x20   pid = str(os.getpid())\n\
         \x20   head = 'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: '\n\
         \x20   client.sendall((head + str(len(pid)) + '\\r\\n\\r\\n' + pid).encode())\n\
         \x20   client.close()\n"
    );
    format!("/usr/bin/python3 {}", scene.file("connects.py", &script).display())
}

/// How often the workers have printed this line.
fn printed(chain: &Chain, line: &str) -> usize {
    chain.lines(Stream::Out).iter().filter(|one| *one == line).count()
}

const LOOKS: &str = "bound = '127.0.0.1'\ntaken = connects(socket.AF_INET, bound)";

/// Workers of all slots serve, after reloads and crashes, too; nobody is refused and nobody hangs.
fn holds(scene: &Scene, server: &str, count: usize) {
    let chain = any::start(scene, &format!("pm-cluster -n {count} --soak 100ms"), server);
    roll::drained(&chain);
    any::serving(&chain, count);
    let load = Load::start(scene.port, 2, Style::OneShot);
    for _ in 0..5 {
        load.advance(5);
        roll::well(&chain);
    }
    load.advance(5);
    for _ in 0..5 {
        let killed = any::serving(&chain, count)[&0];
        proc::send(killed, SIGKILL);
        chain.until("a successor", || any::workers(scene).get(&0).is_some_and(|pid| *pid != killed).then_some(()));
        load.advance(5);
    }
    any::serving(&chain, count);
    let tally = load.end();
    let harmed = |miss: &&Miss| matches!(miss, Miss::Refused | Miss::Hung);
    assert!(!tally.misses.iter().any(|miss| harmed(&miss)), "{:?}\n{}", tally.misses, chain.output());
    assert_eq!(chain.messages("perhaps as that answers").len(), 1, "{}", chain.output());
    chain.stop();
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
