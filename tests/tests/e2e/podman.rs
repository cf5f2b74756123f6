//! In containers of podman, as it runs them: process 1, its signals, other users, nothing to write on, its seccomp profile.

use std::collections::BTreeSet;

use nix::sys::signal::Signal::SIGHUP;
use pm_tests::chain::Chain;
use pm_tests::http::{self, Connection};
use pm_tests::load::{Load, Style};
use pm_tests::podman::Container;
use pm_tests::proc;
use pm_tests::scene::Scene;

const CLUSTER: &str = "pm-restart pm-cluster -n 2 node $F/app.js";
const NOBODY: &str = "--user=54321:54321";

/// Waits until so many workers have answered, by their pids in the container.
#[track_caller]
fn serving(chain: &Chain, count: usize) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    chain.until(&format!("{count} workers that answer"), || {
        pids.extend(http::pids(chain.scene.port, 8));
        (pids.len() >= count).then(|| pids.clone())
    })
}

/// Reloads it under load: nothing is lost, and all that answer are new.
#[track_caller]
fn rolls(container: &Container, clients: &[Style]) {
    let chain = &container.chain;
    let before = serving(chain, 2);
    let load = Load::of(chain.scene.port, "/", clients);
    load.advance(5);
    container.kill(SIGHUP);
    chain.line("reloaded workers=2");
    load.advance(5);
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?} of {}\n{}", sum.misses, sum.ok, chain.output());
    chain.until("all that answer to be new", || {
        let now: BTreeSet<u32> = http::pids(chain.scene.port, 8).into_iter().collect();
        (now.len() == 2 && now.is_disjoint(&before)).then_some(())
    });
}

#[test]
fn process_1_reaps_orphans() {
    let scene = Scene::new();
    let container = Container::run(&scene, "", CLUSTER);
    serving(&container.chain, 2);
    let first = container.first();
    assert_eq!(proc::name(first), "pm-restart");
    for _ in 0..10 {
        http::get(scene.port, "/orphan").expect("serves");
    }
    let zombies = || {
        let children = proc::children(first).into_iter().flat_map(|pid| [vec![pid], proc::children(pid)].concat());
        children.filter(|pid| proc::state(*pid) == Some('Z')).count()
    };
    container.chain.until("no zombie to be left", || (zombies() == 0).then_some(()));
    assert_eq!(container.stop(), Some(0), "{}", container.chain.output());
}

#[test]
fn a_container_ends_with_the_code_of_the_app() {
    let once = |line: &[&str]| {
        let scene = Scene::new();
        let container = Container::run_words(&scene, "", &[&["pm-restart", "--restart", "never"], line].concat());
        (container.chain.wait().code(), container.chain.output())
    };
    for (code, line) in [
        (137, &["pm-cluster", "-n", "1", "sh", "-c", "kill -9 $$"][..]),
        (23, &["sh", "-c", "exit 23"]),
        (127, &["pm-cluster", "no-such-program"]),
    ] {
        let (ended, output) = once(line);
        assert_eq!(ended, Some(code), "{line:?}\n{output}");
    }
}

fn finishes_what_is_in_hand(signal: &str) {
    let scene = Scene::new();
    let container = Container::run(&scene, &format!("--stop-signal={signal}"), CLUSTER);
    serving(&container.chain, 2);
    let mut slow = Connection::open(scene.port).expect("serves");
    slow.send("/stream?1500", "close").expect("sent");
    let mut begun = Vec::new();
    slow.head(&mut begun).expect("it has begun");
    let stop = container.stopping();
    let rest = slow.rest(&begun);
    let whole = rest.as_ref().is_ok_and(|rest| rest.ends_with("\r\n0\r\n\r\n"));
    assert!(whole, "{rest:?}\n{}", container.chain.output());
    assert_eq!(container.chain.wait().code(), Some(0), "{}", container.chain.output());
    stop.wait();
}

#[test]
fn a_stop_by_term_finishes_the_request_in_hand() {
    finishes_what_is_in_hand("SIGTERM");
}

/// As images of nginx, php-fpm and others have it.
#[test]
fn a_stop_by_quit_finishes_the_request_in_hand() {
    finishes_what_is_in_hand("SIGQUIT");
}

/// A user without a name, and nowhere to write but on the tmpfs that podman adds to a read-only root.
#[test]
fn a_user_that_no_file_knows_is_served_and_rolled() {
    let scene = Scene::new();
    let options = format!("{NOBODY} --read-only --env=PM_HOME=/run/pm --tmpfs=/run/pm:mode=1777");
    let container = Container::checked_by(&scene, "pm-stat --check", &options, CLUSTER);
    rolls(&container, &Style::crowd(8));
    container.chain.until("the check to be content", || (container.health() == Some(0)).then_some(()));
    assert!(container.chain.messages("warning").is_empty(), "{}", container.chain.output());
    assert_eq!(container.stop(), Some(0), "{}", container.chain.output());
}

/// What a command in it says on stdout, and its code.
fn asked(container: &Container, line: &str) -> (Option<i32>, String) {
    let output = container.exec(line);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A root that is read-only has a tmpfs, on which the state is found by whoever looks; nobody says where it is.
fn is_known_on_a_tmpfs(user: &str, place: &str) {
    let scene = Scene::new();
    let container = Container::checked_by(&scene, "pm-stat --check app", &format!("{user} --read-only"), CLUSTER);
    serving(&container.chain, 2);
    assert!(container.chain.line("the state of this app is in").contains(place), "{}", container.chain.output());
    container.chain.until("the check to be content", || (container.health() == Some(0)).then_some(()));
    let (code, rows) = asked(&container, "pm-stat app");
    assert_eq!((code, rows.lines().count()), (Some(0), 2), "{rows}");
    assert!(container.chain.messages("warning").is_empty(), "{}", container.chain.output());
    assert_eq!(container.stop(), Some(0), "{}", container.chain.output());
}

#[test]
fn root_is_known_on_a_read_only_root() {
    is_known_on_a_tmpfs("", "/run/pm-0/app");
}

#[test]
fn a_user_that_no_file_knows_is_known_on_a_read_only_root() {
    is_known_on_a_tmpfs(NOBODY, "/dev/shm/pm-54321/app");
}

/// Not even `/tmp` can be written, but what every container has.
#[test]
fn a_user_that_no_file_knows_is_known_where_only_shared_memory_can_be_written() {
    is_known_on_a_tmpfs(&format!("{NOBODY} --read-only-tmpfs=false"), "/dev/shm/pm-54321/app");
}

/// Not even `/dev/shm` can be written: the app is served, and "stopped" is not what a look at it says.
fn cannot_be_known(options: &str) {
    let scene = Scene::new();
    let container = Container::run(&scene, options, CLUSTER);
    rolls(&container, &Style::crowd(8));
    let why = "cannot know: app may run (pid=1), but its state could not be written; set PM_HOME to a writable place\n";
    for line in ["pm-stat --check", "pm-stat --check app"] {
        assert_eq!(asked(&container, line), (Some(4), why.to_owned()), "{line}");
    }
    for line in ["pm-stat app", "pm-stat --wait stopped app"] {
        assert_eq!(asked(&container, line), (Some(4), String::new()), "{line}");
    }
    let (code, other) = asked(&container, "pm-stat --check other");
    assert!(code == Some(1) && other.starts_with("other: no such app"), "{code:?} {other}");
    assert_eq!(container.stop(), Some(0), "{}", container.chain.output());
}

#[test]
fn nothing_to_write_on_is_no_obstacle() {
    cannot_be_known(&format!("{NOBODY} --read-only --read-only-tmpfs=false --tmpfs=/dev/shm:ro"));
}

#[test]
fn a_named_place_that_cannot_be_written_is_no_obstacle() {
    cannot_be_known(&format!("{NOBODY} --read-only --env=PM_HOME=/opt/pm-home"));
}

/// A server that binds by itself, as nobody, with the seccomp profile that containers have unless told.
#[test]
fn the_default_profile_allows_lanes() {
    let scene = Scene::new();
    let probe = Container::run(&scene, NOBODY, "pm-cluster --probe");
    assert_eq!(probe.chain.wait().code(), Some(0), "{}", probe.chain.output());
    assert!(probe.chain.line("--fanout auto").contains("lanes: each worker's own socket"), "{}", probe.chain.output());
    drop(probe);
    let container = Container::run(&scene, NOBODY, "pm-restart pm-cluster -n 2 --soak 100ms $A/go-server");
    rolls(&container, &[Style::OneShot; 4]);
    assert!(container.chain.messages("warning").is_empty(), "{}", container.chain.output());
}

/// What it allows of the telling of clients is what the probe says of it.
#[test]
fn the_default_profile_lets_busy_clients_be_told_or_the_probe_says_why_not() {
    let scene = Scene::new();
    let probe = Container::run(&scene, "", "pm-cluster --probe");
    assert_eq!(probe.chain.wait().code(), Some(0), "{}", probe.chain.output());
    let said = probe.chain.line("tell busy clients to go");
    drop(probe);
    let container = Container::run(&scene, "", "pm-restart pm-cluster -n 2 --soak 100ms $A/go-server");
    if said.contains("yes") {
        rolls(&container, &[Style::Kept; 4]);
        assert!(container.chain.messages("warning").is_empty(), "{}", container.chain.output());
    } else {
        let load = Load::of(scene.port, "/", &[Style::Kept; 4]);
        load.advance(5);
        container.kill(SIGHUP);
        container.chain.line("cannot tell the clients of a draining worker to move on");
        let _ = load.end();
    }
}

/// A profile that allows all but this system call.
fn forbidding(scene: &Scene, call: &str) -> String {
    let deny = serde_json::json!({ "names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 });
    let profile = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [deny] });
    let file = scene.file("profile.json", &profile.to_string());
    format!("{NOBODY} --security-opt=seccomp={}", file.display())
}

#[test]
fn a_profile_without_pidfd_getfd_costs_nothing() {
    let scene = Scene::new();
    let options = forbidding(&scene, "pidfd_getfd");
    let container = Container::run(&scene, &options, "pm-restart pm-cluster -n 2 --soak 100ms $A/go-server");
    rolls(&container, &[Style::OneShot; 4]);
    assert_eq!(container.chain.messages("lanes are made here").len(), 1, "{}", container.chain.output());
}

/// The program that came first serves, and it is said why the others do not.
#[test]
fn a_profile_without_seccomp_leaves_one_that_serves() {
    let scene = Scene::new();
    let options = forbidding(&scene, "seccomp");
    let container = Container::run(&scene, &options, "pm-restart pm-cluster -n 2 --ready-after 100ms $A/go-server");
    container.chain.line("cannot share a port among copies that bind it themselves");
    serving(&container.chain, 1);
}

const LIMITED: &str = "--memory=300m --memory-swap=300m --env=LEAK=40";

/// The kernel ends the largest process of a container that is full: a worker, and it gets a successor.
#[test]
fn a_container_out_of_memory_goes_on() {
    let scene = Scene::new();
    let container = Container::run(&scene, LIMITED, "pm-restart pm-cluster -n 2 node $E/leak.js");
    let before = serving(&container.chain, 2);
    container.chain.line("signal=KILL why=oom");
    container.chain.until("a successor", || {
        let now: BTreeSet<u32> = http::pids(scene.port, 4).into_iter().collect();
        (!now.is_subset(&before)).then_some(())
    });
    assert_eq!(container.stop(), Some(0), "{}", container.chain.output());
}

/// A limit of our own comes first.
#[test]
fn a_worker_over_the_limit_is_replaced_before_the_container_is_full() {
    let scene = Scene::new();
    let container = Container::run(&scene, LIMITED, "pm-restart --max-mem 100M pm-cluster -n 1 node $E/leak.js");
    let before = serving(&container.chain, 1);
    let load = Load::of(scene.port, "/", &Style::crowd(4));
    container.chain.line("over the memory limit");
    container.chain.until("a successor alone", || {
        let now: BTreeSet<u32> = http::pids(scene.port, 4).into_iter().collect();
        (now.len() == 1 && now.is_disjoint(&before)).then_some(())
    });
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?} of {}\n{}", sum.misses, sum.ok, container.chain.output());
    assert_eq!(container.stop(), Some(0), "{}", container.chain.output());
}
