//! Who is heard on a worker's notification socket, as far as one user can show it.

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGSTOP};
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{any, proc};

/// Only a word can make this worker ready.
pub(crate) const WAITS: &str = "pm-cluster -n 1 --ready message --ready-timeout 1h";

/// The socket that a worker was given; anybody can find it.
pub(crate) fn socket_of(worker: u32) -> String {
    let environ = std::fs::read_to_string(format!("/proc/{worker}/environ")).expect("readable");
    let name = environ.split('\0').find_map(|entry| entry.strip_prefix("NOTIFY_SOCKET=")).expect("it was given one");
    assert!(std::fs::read_to_string("/proc/net/unix").expect("readable").contains(name), "{name}");
    name.to_owned()
}

/// Says this to a worker's socket from outside of the chain, as `user`, and ends.
pub(crate) fn shout(scene: &Scene, user: Option<&str>, worker: u32, text: &str) {
    let script = scene.expand("$F/any/notify.py");
    let mut words = user.map_or(vec![], |user| vec!["setpriv", user, "--clear-groups"]);
    words.extend(["/usr/bin/python3", &script, text]);
    let mut command = scene.command(&words);
    assert!(command.env("NOTIFY_SOCKET", socket_of(worker)).status().expect("runs").success());
}

/// Starts a shell as the worker.
pub(crate) fn worker<'a>(scene: &'a Scene, before: &str, script: &str) -> Chain<'a> {
    let mut words: Vec<String> = before.split(' ').map(|word| scene.expand(word)).collect();
    words.extend(["sh".to_owned(), "-c".to_owned(), scene.expand(script)]);
    scene.start_words(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_worker_speaks_through_any_process_of_its_tree() {
    for script in [
        "exec env STAY=1 /usr/bin/python3 $F/any/notify.py READY=1",
        "/usr/bin/python3 $F/any/notify.py READY=1; exec sleep 1000",
        "STAY=1 /usr/bin/python3 $F/any/notify.py READY=1 & wait",
        // Orphaned: our child now.
        "(STAY=1 /usr/bin/python3 $F/any/notify.py READY=1 &); exec sleep 1000",
        "systemd-notify READY=1; exec sleep 1000",
    ] {
        let scene = any::scene();
        let chain = worker(&scene, WAITS, script);
        chain.line("ready workers=1/1");
        assert!(chain.messages("not heard").is_empty(), "{script}\n{}", chain.output());
        chain.stop();
    }
}

/// It ends before anybody can look at it, and its parent reaps it.
#[test]
fn who_has_ended_when_its_word_is_read_is_heard() {
    let scene = any::scene();
    let script = "echo waits; until [ -e go ]; do sleep 0.05; done; /usr/bin/python3 $F/any/notify.py READY=1; echo said; \
                  exec sleep 1000";
    let chain = worker(&scene, WAITS, script);
    chain.line("waits");
    chain.signal(SIGSTOP);
    chain.until("it to be stopped", || (proc::state(chain.pid()) == Some('T')).then_some(()));
    let _ = scene.file("go", "");
    chain.line("said");
    chain.signal(SIGCONT);
    chain.line("ready workers=1/1");
    assert!(chain.messages("not heard").is_empty(), "{}", chain.output());
    chain.stop();
}

/// Another app of the same user that was started with our variables: a mistake, and no attack.
#[test]
fn a_process_elsewhere_is_not_heard() {
    let scene = any::scene();
    let chain = worker(&scene, WAITS, "exec sleep 1000");
    let worker = chain.until("the worker", || scene.process("sleep"));
    let script = scene.expand("$F/any/notify.py");
    let mut command = scene.command(&["/usr/bin/python3", &script, "READY=1"]);
    let mut outside = command.env("NOTIFY_SOCKET", socket_of(worker)).env("STAY", "1").spawn().expect("python3");
    let line = chain.line("not heard");
    let (pid, uid) = (outside.id(), nix::unistd::getuid());
    let why = format!("slot=0 pid={pid} uid={uid} reason=it is no process of this worker unheard=1");
    assert!(line.ends_with(&why), "{line}");
    outside.kill().and_then(|()| outside.wait()).expect("our child");
    assert!(chain.messages("ready workers").is_empty(), "{}", chain.output());
    chain.stop();
}

/// A worker's word is its own: not even one of the same cluster speaks for another.
#[test]
fn another_worker_is_not_heard() {
    let scene = any::scene();
    let script = "if [ $PM_SLOT = 0 ]; then echo $NOTIFY_SOCKET > name.new; mv name.new name; exec sleep 1000; fi; \
                  until [ -e name ]; do sleep 0.05; done; NOTIFY_SOCKET=$(cat name); STAY=1; export STAY; \
                  exec /usr/bin/python3 $F/any/notify.py READY=1";
    let chain = worker(&scene, "pm-cluster -n 2 --ready message --ready-timeout 1h", script);
    let line = chain.line("not heard");
    assert!(line.contains("slot=0") && line.contains("no process of this worker"), "{line}");
    chain.stop();
}

/// Who is no supervisor that has announced itself ends nothing, be it one of the worker's own.
#[test]
fn only_the_announced_supervisor_gives_up() {
    let scene = any::scene();
    let chain =
        worker(&scene, "pm-restart", "STAY=1 /usr/bin/python3 $F/any/notify.py X_PM_GAVE_UP=7 & exec sleep 1000");
    let line = chain.line("not heard");
    assert!(line.contains("has not announced itself as a supervisor"), "{line}");
    let worker = chain.until("the worker", || scene.process("sleep"));
    chain.signal(SIGHUP);
    chain.until("the next", || scene.process("sleep").filter(|pid| *pid != worker));
    chain.stop();
}
