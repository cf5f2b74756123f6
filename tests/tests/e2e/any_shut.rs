//! Listeners that their program shuts down and goes on without, and ports that it binds twice.

use pm_tests::chain::Chain;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, http, roll};

/// Answers its pid; `/shut` ends its listener. `then` is what it does about that.
fn started<'a>(scene: &'a Scene, before: &str, then: &str) -> Chain<'a> {
    let script = format!(
        "import os, signal, socket\n\
         ours = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n\
         while True:\n\
         \x20   try:\n\
         \x20       client, _ = ours.accept()\n\
         \x20   except OSError:\n\
         \x20       {then}\n\
         \x20       continue\n\
         \x20   asked = client.recv(4096)\n\
         \x20   head = 'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: '\n\
         \x20   pid = str(os.getpid())\n\
         \x20   client.sendall((head + str(len(pid)) + '\\r\\n\\r\\n' + pid).encode())\n\
         \x20   client.close()\n\
         \x20   if b'/shut' in asked:\n\
         \x20       ours.shutdown(socket.SHUT_RDWR)\n"
    );
    let script = scene.file("shut.py", &script);
    any::start(scene, before, &format!("/usr/bin/python3 {}", script.display()))
}

#[test]
fn one_that_listens_again_is_heard_again() {
    let scene = any::scene();
    let chain = started(&scene, "pm-cluster -n 2", "ours.listen(64)");
    let first = any::serving(&chain, 2);
    for _ in 0..4 {
        let _ = http::get(scene.port, "/shut");
        assert_eq!(any::serving(&chain, 2), first, "{}", chain.output());
    }
    chain.stop();
}

#[test]
fn one_that_goes_on_without_is_told_of_and_replaced() {
    let scene = any::scene();
    let chain = started(&scene, "pm-restart --max-lag 3s pm-cluster -n 2", "signal.pause()");
    let first = any::serving(&chain, 2);
    let shut: u32 = http::get(scene.port, "/shut").expect("serves").parse().expect("a pid");
    let said = chain.line("a worker has shut its listener down, new connections go to others");
    assert!(said.contains(&format!("pid={shut}")), "{said}");
    chain.until("a successor", || any::workers(&scene).values().all(|pid| *pid != shut).then_some(()));
    let second = any::serving(&chain, 2);
    assert_eq!(first.values().filter(|pid| second.values().any(|other| other == *pid)).count(), 1, "{second:?}");
    chain.stop();
}

/// As without us: what shares a port are workers, not the programs of one. What it closed it may bind again. The second
/// time its sockets cannot be had, and lanes are made for it.
#[test]
fn one_that_binds_its_port_twice_is_refused() {
    for before in ["pm-cluster -n 2", "$A/deny getfd 1 pm-cluster -n 2"] {
        let scene = any::scene();
        let script = "import os, socket\n\
                      here = ('127.0.0.1', int(os.environ['PORT']))\n\
                      first = socket.create_server(here)\n\
                      try:\n\
                      \x20   second = socket.create_server(here)\n\
                      \x20   print('has both', flush=True)\n\
                      except OSError as error:\n\
                      \x20   print('refused', error.errno, flush=True)\n\
                      first.close()\n\
                      again = socket.create_server(here)\n\
                      os.dup2(again.fileno(), 3)\n\
                      exec(open(os.environ['SERVER']).read())\n";
        let server = scene.expand("$F/any/passed.py");
        let scene = scene.with("SERVER", server);
        let script = scene.file("twice.py", script);
        let chain = any::start(&scene, before, &format!("/usr/bin/python3 {}", script.display()));
        any::serving(&chain, 2);
        chain.until("both to have tried", || (chain.output().matches("refused 98").count() == 2).then_some(()));
        assert!(!chain.output().contains("has both"), "{before}\n{}", chain.output());
        chain.stop();
    }
}

/// Go sets SO_REUSEADDR, and both workers of the second bind at once.
#[test]
fn the_port_of_another_app_is_not_joined() {
    let scene = any::scene();
    let first = any::start(&scene, "pm-cluster -n 1 --name first", "$A/go-server");
    first.line("ready workers=1/1");
    let second = any::start(&scene, "pm-restart --backoff 1ms..50ms pm-cluster -n 2 --name second", "$A/go-server");
    second.until("some tries", || (second.messages("worker ended").len() >= 6).then_some(()));
    assert!(second.messages("another program").is_empty(), "{}", second.output());
    assert!(second.messages("ready workers").is_empty(), "{}", second.output());
    scene.kill_all();
}

/// As Net::Server (starman). That it does so is known from the first time on.
#[test]
fn what_one_shuts_down_as_it_ends_has_no_queue_any_more() {
    for (workers, how) in [(1, ""), (2, ""), (1, " --reload stop-start")] {
        let scene = any::scene();
        let line = format!("pm-cluster -n {workers} --soak 10ms{how}");
        let chain = any::start(&scene, &line, "/usr/bin/python3 $F/any/ends_queue.py");
        any::serving(&chain, workers);
        roll::well(&chain);
        let load = Load::start(scene.port, 12, Style::OneShot);
        for _ in 0..4 {
            load.advance(5);
            roll::well(&chain);
        }
        let tally = load.end();
        assert!(tally.misses.is_empty(), "{line}: {:?} of {}\n{}", tally.misses, tally.ok, chain.output());
        chain.stop();
    }
}
