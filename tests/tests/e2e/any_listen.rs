//! `--listen`: sockets that are opened beforehand, for who knows them and for who binds the same address.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGCONT, SIGKILL};
use pm_tests::http::{self, Connection};
use pm_tests::{any, proc, roll};

/// Both serve, a roll loses nothing, and a crash refuses nobody.
fn serves(server: &str) {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms --ready-after 200ms --listen 127.0.0.1:$P", server);
    any::rolls_and_crashes(&chain);
}

#[test]
fn a_program_that_takes_descriptor_3() {
    serves("/usr/bin/python3 $F/any/passed.py");
}

#[test]
fn gunicorn_knows_it() {
    serves("$A/venv/bin/gunicorn --no-control-socket wsgi:app");
}

#[test]
fn uvicorn_is_told_of_it() {
    serves("$A/venv/bin/uvicorn --no-access-log --log-level warning --fd 3 asgi:app");
}

#[test]
fn one_that_binds_the_same_is_given_the_same() {
    serves("$A/go-server");
}

#[test]
fn node_is_given_the_same() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 100ms --listen :$P", "node $F/app.js");
    chain.serving(2);
    roll::well(&chain);
    chain.serving(2);
    chain.stop();
}

#[test]
fn a_worker_is_told_in_its_own_name() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2 --listen 127.0.0.1:$P", "/usr/bin/python3 $F/any/passed.py");
    any::serving(&chain, 2);
    let told = http::get(scene.port, "/told").expect("serves");
    assert_eq!(told, format!("True 1 3 127.0.0.1:{}=3", scene.port));
    chain.stop();
}

#[test]
fn a_unix_socket_has_its_mode_outlives_its_workers_and_goes_at_the_end() {
    let scene = any::scene();
    let path = scene.dir().join("socket");
    let chain =
        any::start(&scene, "pm-cluster -n 2 --listen unix:$T/socket,mode=606", "/usr/bin/python3 $F/any/passed.py");
    chain.line("ready workers=2/2");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o606);
    let workers: Vec<u32> = any::workers(&scene).into_values().collect();
    workers.iter().for_each(|pid| proc::send(*pid, SIGKILL));
    chain.until("their death", || workers.iter().all(|pid| !proc::alive(*pid)).then_some(()));
    let answer = Connection::open_unix(&path).expect("not refused").request("/", "close");
    assert!(answer.is_ok(), "{answer:?}\n{}", chain.output());
    chain.stop();
    assert!(!path.exists());
}

/// systemd or the like has opened it: it is used, and is beside lanes of ours.
#[test]
fn a_socket_that_we_were_started_with_is_used() {
    let scene = any::scene();
    let line = "env HOST=127.0.0.1 /usr/bin/python3 $F/any/activate.py pm-cluster -n 2 --listen 127.0.0.1:$P";
    let chain = any::start(&scene, line, "$A/go-server");
    any::serving(&chain, 2);
    assert!(chain.messages("in use").is_empty(), "{}", chain.output());
    chain.stop();
}

#[test]
fn an_address_that_cannot_be_had_is_said_at_once() {
    let scene = any::scene();
    let _other = std::net::TcpListener::bind(("127.0.0.1", scene.port)).expect("free");
    let chain = any::start(&scene, "pm-cluster -n 2 --listen 127.0.0.1:$P", "/usr/bin/python3 $F/any/passed.py");
    assert_eq!(chain.ended(), Some(125), "{}", chain.output());
    assert_eq!(chain.messages("cannot listen on tcp:127.0.0.1:").len(), 1, "{}", chain.output());
}

#[test]
fn a_worker_that_waits_for_our_answer_to_its_bind_is_not_up_for_being_alive() {
    let scene = any::scene();
    // It suspends its supervisor, and binds; that lasts for longer than --ready-after.
    let script = scene.expand("kill -STOP $PPID; exec python3 $F/any/server.py");
    let chain = scene.start_words(&["pm-cluster", "-n", "1", "--ready-after", "3s", "sh", "-c", &script]);
    let begun = Instant::now();
    let worker = chain.until("a worker", || proc::children(chain.pid()).first().copied());
    let call = || std::fs::read_to_string(format!("/proc/{worker}/syscall")).ok();
    let bind = format!("{} ", nix::libc::SYS_bind);
    chain.until("a bind that waits", || call().filter(|text| text.starts_with(&bind)));
    chain.until("the end of its time", || (begun.elapsed() > Duration::from_millis(3500)).then_some(()));
    chain.signal(SIGCONT);
    let ready = chain.line("ready workers=");
    assert!(ready.contains(&format!("listen=tcp:127.0.0.1:{}", scene.port)), "{ready}");
    chain.stop();
}

#[test]
fn a_worker_that_binds_without_end_costs_a_bounded_part_of_a_processor() {
    let scene = any::scene();
    let script = "import os, socket\nat = ('127.0.0.1', int(os.environ['PORT']))\nwhile True:\n with socket.socket() as s:\n  s.bind(at)\n  s.listen()\n";
    let chain = scene.start_words(&["pm-cluster", "-n", "1", "python3", "-c", script]);
    chain.line("binds without end");
    let (begun, before) = (Instant::now(), proc::ran(chain.pid()));
    chain.until("two seconds", || (begun.elapsed() > Duration::from_secs(2)).then_some(()));
    let (took, of) = (proc::ran(chain.pid()) - before, begun.elapsed());
    assert!(took < of / 4, "{took:?} of {of:?}");
    chain.stop();
}
