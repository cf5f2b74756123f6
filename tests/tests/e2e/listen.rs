//! Every way to listen that Node's cluster knows works as it does there.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use pm_tests::chain::Chain;
use pm_tests::http::{self, Connection};
use pm_tests::scene::Scene;
use pm_tests::{ports, wait};

fn start<'a>(scene: &'a Scene, kind: &str) -> Chain<'a> {
    scene.start(&format!("pm-cluster -n 2 node $F/listen.js {kind}"))
}

/// The workers that answered `ask`, until there are two.
fn two_answer(chain: &Chain, mut ask: impl FnMut() -> Option<String>) {
    let mut seen = BTreeSet::new();
    chain.until("two workers that answer", || {
        seen.extend(ask()?.trim().parse::<u32>());
        (seen.len() == 2).then_some(())
    });
    chain.stop();
}

/// Asks with curl: for what the client of the tests does not speak.
fn curl(scene: &Scene, args: &[&str]) -> Option<String> {
    let output = scene.command(&[&["curl", "-sk", "--max-time", "20"], args].concat()).output().expect("curl runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn http_on_all_addresses_is_served_by_both() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "http");
    chain.serving(2);
    let listening = chain.hear("listening", 2);
    assert!(listening.iter().all(|l| l["address"]["address"] == "::"), "{listening:?}");
    let over_ipv6 = curl(&scene, &[&format!("http://[::1]:{}/", scene.port)]);
    assert!(over_ipv6.is_some(), "nothing on ::1\n{}", chain.output());
    chain.stop();
}

#[test]
fn a_literal_address_is_served_by_both() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "host");
    chain.serving(2);
    let on_ipv6 = std::net::TcpStream::connect((Ipv6Addr::LOCALHOST, scene.port));
    assert!(on_ipv6.is_err(), "127.0.0.1 was asked for and ::1 answers");
    chain.stop();
}

#[test]
fn localhost_is_served_by_both() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "localhost");
    chain.hear("listening", 2);
    two_answer(&chain, || curl(&scene, &[&format!("http://localhost:{}/", scene.port)]));
}

#[test]
fn ipv6_only_leaves_ipv4_to_others() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "ipv6only");
    chain.hear("listening", 2);
    let free = TcpListener::bind(("127.0.0.1", scene.port));
    assert!(free.is_ok(), "{free:?}");
    two_answer(&chain, || curl(&scene, &[&format!("http://[::1]:{}/", scene.port)]));
}

#[test]
fn a_backlog_is_served_by_both() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "backlog");
    chain.serving(2);
    chain.stop();
}

#[test]
fn https_is_served_by_both() {
    let scene = Scene::with_node(24).with_certificate();
    let chain = start(&scene, "https");
    let url = format!("https://localhost:{}/", scene.port);
    two_answer(&chain, || curl(&scene, &[&url]));
}

#[test]
fn http2_is_served_by_both() {
    let scene = Scene::with_node(24).with_certificate();
    let chain = start(&scene, "http2");
    let url = format!("https://localhost:{}/", scene.port);
    two_answer(&chain, || curl(&scene, &["--http2", &url]));
}

#[test]
fn plain_tcp_is_served_by_both() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "net");
    two_answer(&chain, || {
        let mut text = String::new();
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", scene.port)).ok()?;
        std::io::Read::read_to_string(&mut stream, &mut text).ok()?;
        Some(text)
    });
}

#[test]
fn datagrams_reach_the_workers() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "dgram");
    chain.hear("listening", 2);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
    for _ in 0..40 {
        socket.send_to(b"?", ("127.0.0.1", scene.port)).expect("sent");
        let mut answer = [0; 16];
        let length = socket.recv(&mut answer).expect("a worker answers");
        let pid: u32 = String::from_utf8_lossy(&answer[..length]).parse().expect("a pid");
        assert!(pm_tests::proc::alive(pid));
    }
    chain.stop();
}

#[test]
fn a_unix_socket_is_served_by_both_and_removed_at_the_end() {
    let mut scene = Scene::with_node(24);
    let path = scene.dir().join("app.sock");
    scene.set("SOCKET", path.clone());
    let chain = start(&scene, "unix");
    chain.hear("listening", 2);
    let mut seen = BTreeSet::new();
    chain.until("two workers that answer", || {
        let mut open: Vec<_> = (0..8).filter_map(|_| Connection::open_unix(&path).ok()).collect();
        seen.extend(open.iter_mut().filter_map(|c| c.request("/", "close").ok()));
        (seen.len() == 2).then_some(())
    });
    chain.stop();
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn port_0_is_the_same_port_in_all_workers_and_their_successors() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 3 node $F/listen.js port0");
    let listening = chain.hear("listening", 3);
    let port = u16::try_from(listening[0]["address"]["port"].as_u64().expect("a port")).expect("a port");
    let mut seen = BTreeSet::new();
    chain.until("three workers that answer", || {
        seen.extend(http::pids(port, 8));
        (seen.len() == 3).then_some(())
    });
    let victim = *seen.first().expect("three");
    pm_tests::proc::send(victim, nix::sys::signal::Signal::SIGKILL);
    let listening = chain.hear("listening", 4);
    assert!(listening.iter().all(|l| l["address"]["port"] == port), "{listening:?}");
    chain.stop();
}

#[test]
fn an_exclusive_listener_is_the_workers_own() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 node $F/listen.js exclusive");
    chain.serving(1);
    chain.stop();
}

#[test]
fn reuse_port_listeners_serve_from_both() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "reuseport");
    chain.hear("listening", 2);
    chain.serving(2);
    chain.stop();
}

#[test]
fn a_descriptor_of_the_supervisor_is_served_by_both() {
    let scene = Scene::with_node(24);
    let listener = TcpListener::bind(("127.0.0.1", scene.port)).expect("our own port");
    let script = scene.expand("exec pm-cluster -n 2 node $F/listen.js fd 7<&0 </dev/null");
    let mut command = scene.command(&["sh", "-c", &script]);
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let chain = Chain::spawn(&scene, command);
    chain.hear("listening", 2);
    chain.serving(2);
    chain.stop();
}

#[test]
fn two_ports_in_one_app_are_both_served_by_both() {
    let mut scene = Scene::with_node(24);
    let second = ports::free();
    scene.set("PORT2", second.to_string());
    let chain = start(&scene, "two");
    chain.serving(2);
    two_answer(&chain, || http::get(second, "/").ok());
}

#[test]
fn closing_and_listening_again_works() {
    let scene = Scene::with_node(24);
    let chain = start(&scene, "again");
    chain.hear("rebound", 2);
    chain.serving(2);
    chain.stop();
}

/// As Node itself would: the app's error event, with the code it knows.
#[test]
fn a_taken_port_is_the_apps_error_event() {
    let scene = Scene::with_node(24);
    let _taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, scene.port)).expect("our own port");
    let chain = start(&scene, "http");
    let errors = chain.hear("error", 2);
    assert!(errors.iter().all(|e| e["code"] == "EADDRINUSE"), "{errors:?}");
}

#[test]
fn a_taken_port_that_the_app_ignores_ends_with_its_code() {
    let scene = Scene::with_node(24);
    let _taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, scene.port)).expect("our own port");
    let chain = scene.start("pm-restart --intensity 2/60s --backoff 1ms..2ms pm-cluster -n 1 node $F/app.js");
    assert_eq!(chain.ended(), Some(1), "{}", chain.output());
    assert!(chain.output().contains("EADDRINUSE"), "{}", chain.output());
}

#[test]
fn what_the_app_sends_does_no_harm() {
    for major in [16, 20, 26] {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-cluster -n 2 node $F/send.js");
        chain.serving(2);
        let supervisor = scene.process("pm-cluster").expect("it runs");
        let rss = pm_tests::proc::rss(supervisor);
        assert!(rss < 32 << 20, "{rss} bytes after 64 messages of a megabyte on node {major}");
        let open = pm_tests::proc::descriptors(supervisor);
        assert!(open < 40, "{open} descriptors on node {major}");
        chain.stop();
    }
}

#[test]
fn message_readiness_waits_for_the_message() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 1 --ready message --ready-timeout 1h node $F/app.js");
    chain.serving(1);
    let line = chain.until("a worker", || pm_tests::stat::workers(&scene).pop());
    assert_eq!(line.state(), "starting", "{line:?}");
}

/// What a big app needs to load, or a busy machine for a small one, is no sign that it serves.
#[test]
fn an_app_that_is_being_loaded_is_not_up() {
    for major in [16, 26] {
        let scene = Scene::with_node(major);
        let script = scene.expand("for (const end = Date.now() + 700; Date.now() < end;); require('$F/app.js')");
        let script = scene.file("slow.js", &script);
        let chain = scene.start(&format!("pm-cluster -n 1 --ready-after 100ms node {}", script.display()));
        let ready = chain.line("ready workers=1/1");
        assert!(ready.contains("listen=tcp:"), "{ready}");
        chain.stop();
    }
}

/// From when it has been loaded, being alive is as good as ever.
#[test]
fn an_app_that_never_listens_is_up_once_it_is_loaded() {
    let scene = Scene::with_node(24);
    let script = scene.file("queue.js", "setInterval(() => {}, 1e6)");
    let chain = scene.start(&format!("pm-cluster -n 2 --ready-after 100ms node {}", script.display()));
    // It is not said that it listens on nothing yet: it is not going to.
    assert!(!chain.line("ready workers=2/2").contains("listen="));
    chain.stop();
}

/// Only a Node says that it has been loaded: nothing else is waited for.
#[test]
fn a_program_that_will_never_say_that_it_is_loaded_is_up_when_it_is_alive() {
    let closes = "eval \"exec $NODE_CHANNEL_FD>&-\"; exec sleep 1000 # node";
    for words in [&["sleep", "1000"][..], &["sh", "-c", "exec sleep 1000"], &["sh", "-c", closes]] {
        let scene = Scene::with_node(24);
        let options = "pm-cluster --fanout off -n 1 --ready-after 100ms --ready-timeout 1h".split(' ');
        let chain = scene.start_words(&options.chain(words.iter().copied()).collect::<Vec<_>>());
        chain.line("ready workers=1/1");
        chain.stop();
    }
}
