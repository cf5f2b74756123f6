//! Who is heard on a worker's notification socket, where several users are about.

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGSTOP};
use pm_tests::{any, proc};

use crate::speakers::{WAITS, shout, worker};

const NOBODY: Option<&str> = Some("--reuid=nobody");

#[test]
fn another_user_makes_no_worker_ready() {
    let scene = any::scene();
    let chain = worker(&scene, WAITS, "exec sleep 1000");
    let pid = chain.until("the worker", || scene.process("sleep"));
    shout(&scene, NOBODY, pid, "READY=1");
    let line = chain.line("not heard");
    assert!(line.contains("uid=65534 reason=its user is neither root, nor ours, nor the worker's"), "{line}");
    assert!(chain.messages("ready workers").is_empty(), "{}", chain.output());
    chain.stop();
}

/// HUP goes where it went, and nothing ends.
#[test]
fn another_user_neither_ends_an_app_nor_takes_its_signals() {
    let scene = any::scene();
    let chain = worker(&scene, "pm-restart", "exec sleep 1000");
    let pid = chain.until("the worker", || scene.process("sleep"));
    shout(&scene, NOBODY, pid, "X_PM_SUPERVISOR=cluster\\nX_PM_GAVE_UP=7");
    chain.line("not heard");
    chain.signal(SIGHUP);
    let next = chain.until("the next", || scene.process("sleep").filter(|next| *next != pid));
    shout(&scene, NOBODY, next, "EXTEND_TIMEOUT_USEC=86400000000\\nSTOPPING=1\\nX_PM_SUPERVISOR=cluster");
    chain.stop();
}

/// What waits for it keeps its own user: `runuser`, `su`, `sudo`.
#[test]
fn a_worker_that_became_another_user_is_heard() {
    let setpriv = "setpriv --reuid=www-data --clear-groups";
    let runuser = "runuser -u www-data --";
    let pid_namespace = "unshare --pid --fork --mount-proc --kill-child";
    for (become_, script) in [
        (setpriv, "exec env STAY=1 /usr/bin/python3 $F/any/notify.py READY=1"),
        (setpriv, "/usr/bin/python3 $F/any/notify.py READY=1; exec sleep 1000"),
        (runuser, "STAY=1 /usr/bin/python3 $F/any/notify.py READY=1"),
        (pid_namespace, "/usr/bin/python3 $F/any/notify.py READY=1; exec sleep 1000"),
    ] {
        let scene = any::scene();
        let chain = worker(&scene, &format!("{WAITS} {become_}"), script);
        chain.line("ready workers=1/1");
        assert!(chain.messages("not heard").is_empty(), "{become_} {script}\n{}", chain.output());
    }
}

/// Whom a server lets run programs of their own are users of it, and not the worker.
#[test]
fn a_guest_in_the_tree_is_not_heard() {
    let scene = any::scene();
    let script = "sleep 1000 & setpriv --reuid=nobody --clear-groups env STAY=1 /usr/bin/python3 $F/any/notify.py READY=1 & wait";
    let chain = worker(&scene, WAITS, script);
    let line = chain.line("not heard");
    assert!(line.contains("uid=65534"), "{line}");
    assert!(chain.messages("ready workers").is_empty(), "{}", chain.output());
    chain.stop();
}

/// The supervisor below is another user's, and so are its workers; a worker's word is none for the whole.
#[test]
fn a_supervisor_of_another_user_speaks_and_its_worker_does_not() {
    let scene = any::scene();
    let chain = worker(
        &scene,
        "pm-restart setpriv --reuid=www-data --clear-groups pm-cluster -n 1",
        "echo up; exec sleep 1000",
    );
    chain.line("ready workers=1/1");
    let cluster = chain.until("the cluster", || scene.process("pm-cluster"));
    shout(&scene, NOBODY, cluster, "X_PM_GAVE_UP=7");
    chain.line("not heard");
    chain.signal(SIGHUP);
    chain.line("reloaded");
    chain.stop();
}

/// Root may speak for any process (`systemd-notify --pid`), and says whose word it is.
#[test]
fn root_speaks_for_a_worker_of_another_user() {
    let scene = any::scene();
    let chain = worker(&scene, &format!("setpriv --reuid=www-data --clear-groups {WAITS}"), "exec sleep 1000");
    let pid = chain.until("the worker", || scene.process("sleep"));
    let words = ["systemd-notify", &format!("--pid={pid}"), "READY=1"];
    let mut command = scene.command(&words);
    let said = command.env("NOTIFY_SOCKET", crate::speakers::socket_of(pid)).status().expect("systemd-notify");
    assert!(said.success());
    chain.line("ready workers=1/1");
    chain.stop();
}

/// It may have been a program of root's that anybody can have say anything, such as `sudo -S -p TEXT`.
#[test]
fn root_that_has_ended_when_its_word_is_read_is_heard_only_where_something_is_roots() {
    let setpriv = "setpriv --reuid=www-data --clear-groups";
    for (before, heard) in [(format!("{setpriv} {WAITS}"), false), (format!("{WAITS} {setpriv}"), true)] {
        let scene = any::scene();
        let chain = worker(&scene, &before, "exec sleep 1000");
        let pid = chain.until("the worker", || scene.process("sleep"));
        chain.signal(SIGSTOP);
        chain.until("a supervisor that hears nothing", || (proc::state(chain.pid()) == Some('T')).then_some(()));
        shout(&scene, None, pid, "READY=1");
        chain.signal(SIGCONT);
        let line = chain.line(if heard { "ready workers=1/1" } else { "not heard" });
        assert!(heard || line.contains("uid=0 reason=it had ended"), "{line}");
        chain.stop();
    }
}
