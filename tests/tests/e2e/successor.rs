//! A pm-cluster that is killed: what it had acknowledged is known to its successor.

use nix::sys::signal::Signal::{self, SIGHUP, SIGKILL, SIGTTIN};
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{deploy, http, proc, roll, stat};

/// Kills the pm-cluster and waits until another one has `count` workers ready.
fn succeed(chain: &Chain, count: usize) -> u32 {
    let old = chain.scene.process("pm-cluster").expect("it runs");
    proc::send(old, SIGKILL);
    chain.until("a successor with its workers", || {
        let new = roll::supervisor(chain.scene).filter(|line| line["pid"] != old)?;
        let all = new["ready"].as_u64() == Some(count as u64) && new["workers"] == new["ready"];
        all.then(|| new["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()))?
    })
}

fn scale(chain: &Chain, signal: Signal, count: usize) {
    chain.signal(signal);
    chain.until("the new count", || {
        let line = roll::supervisor(chain.scene)?;
        (line["workers"].as_u64() == Some(count as u64) && line["ready"] == line["workers"]).then_some(())
    });
}

/// As deploy tools do: the old directory goes once the new release serves.
fn remove(scene: &Scene, version: &str) {
    std::fs::remove_dir_all(scene.dir().join(version)).expect("our own directory");
}

const TOOLS: &str = "pm-restart pm-cluster -n 2 --soak 0s";

#[test]
fn the_release_that_was_rolled_to_is_the_successors_too() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, TOOLS);
    chain.serving(2);
    for version in ["2", "3"] {
        deploy::release(&scene, version, "");
        roll::well(&chain);
    }
    remove(&scene, "1");
    remove(&scene, "2");
    for _ in 0..2 {
        succeed(&chain, 2);
        assert_eq!(deploy::versions(&scene), ["3"], "{}", chain.output());
    }
    // And the next roll goes on from there.
    deploy::release(&scene, "4", "");
    roll::well(&chain);
    remove(&scene, "3");
    succeed(&chain, 2);
    assert_eq!(deploy::versions(&scene), ["4"]);
    chain.stop();
}

/// `current` has moved, but nobody asked for a roll: a crash of ours deploys nothing, as a worker's does not.
#[test]
fn what_was_not_rolled_to_is_not_deployed() {
    let scene = deploy::scene();
    deploy::write(&scene, "app.env", "VERSION=a\n");
    let chain = deploy::start(&scene, "pm-restart pm-cluster -n 2 --soak 0s --env-file $T/app.env");
    chain.serving(2);
    deploy::write(&scene, "app.env", "VERSION=b\n");
    succeed(&chain, 2);
    assert_eq!(deploy::versions(&scene), ["a"], "{}", chain.output());
    roll::well(&chain);
    deploy::write(&scene, "app.env", "VERSION=c\n");
    succeed(&chain, 2);
    assert_eq!(deploy::versions(&scene), ["b"]);
    chain.stop();
}

#[test]
fn the_number_of_workers_and_the_counts_go_on() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, TOOLS);
    let victim = *chain.serving(2).first().expect("a worker");
    proc::send(victim, SIGKILL);
    let restarts = || stat::workers(&scene).iter().map(|w| w.number("restarts")).sum::<u64>();
    chain.until("a restart", || (restarts() == 1).then_some(()));
    roll::drained(&chain);
    roll::well(&chain);
    scale(&chain, SIGTTIN, 3);
    let (before, rolls) = (restarts(), roll::state(&chain));
    let generations =
        |chain: &Chain| -> Vec<u64> { stat::workers(chain.scene).iter().map(|w| w.number("generation")).collect() };
    let old = generations(&chain);
    succeed(&chain, 3);
    assert_eq!(restarts(), before + 3, "each slot has a new worker\n{}", chain.output());
    assert!(generations(&chain).iter().zip(&old).all(|(new, old)| new > old), "a worker's name is never given twice");
    for name in ["requested", "started", "ended", "ok"] {
        assert_eq!(roll::state(&chain)[name], rolls[name], "{name}");
    }
    assert!(stat::run(&scene, &["--check"]).status.success());
    scale(&chain, Signal::SIGTTOU, 2);
    succeed(&chain, 2);
    chain.stop();
}

/// What was counted before `pm reset` stays forgotten, whoever supervises.
#[test]
fn a_reset_holds_for_the_successor() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, "pm-restart pm-cluster -n 1 --soak 0s");
    let restarts = || stat::workers(&scene).iter().map(|w| w.number("restarts")).sum::<u64>();
    for count in 1..=2 {
        proc::send(*chain.serving(1).first().expect("a worker"), SIGKILL);
        let ready = || roll::supervisor(&scene).is_some_and(|line| line["ready"] == 1);
        chain.until("a restart", || (restarts() == count && ready()).then_some(()));
    }
    let reset = scene.command(&["pm-fork", "--reset", "deploy"]).status().expect("it ran");
    assert!(reset.success() && restarts() == 0, "{}", chain.output());
    for count in 1..=2 {
        succeed(&chain, 1);
        assert_eq!(restarts(), count, "its worker was replaced once more\n{}", chain.output());
    }
    // Lines of pm-stat say as much.
    deploy::write(&scene, "pm/deploy/reset", &String::from_utf8_lossy(&stat::run(&scene, &[]).stdout));
    assert_eq!(restarts(), 0);
    succeed(&chain, 1);
    assert_eq!(restarts(), 1, "{}", chain.output());
    chain.stop();
}

/// Who waits for a roll that its supervisor did not survive hears that it was aborted; the old release serves.
#[test]
fn a_roll_under_way_is_aborted() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, "pm-restart pm-cluster -n 2 --soak 1h");
    chain.serving(2);
    deploy::release(&scene, "2", "");
    let asked = roll::ask(&chain);
    roll::awaiting(&chain, "soak");
    succeed(&chain, 2);
    let rolls = roll::state(&chain);
    assert_eq!((roll::number(&rolls, "ended"), &rolls["ok"]), (asked, &false.into()), "{rolls}");
    assert_eq!(rolls["then"], "all-started-again", "{rolls}");
    assert!(rolls["reason"].as_str().is_some_and(|why| why.contains("was killed")), "{rolls}");
    assert_eq!(deploy::versions(&scene), ["1"], "{}", chain.output());
    let since = (asked - 1).to_string();
    let waited = stat::run(&scene, &["--wait", "rolled", "--since", &since, "--timeout", "30s", "deploy"]);
    assert_eq!(waited.status.code(), Some(1), "{}", String::from_utf8_lossy(&waited.stderr));
    chain.stop();
}

/// No worker of the successor has shown where it listens: those of the one before it have.
#[test]
fn a_release_that_listens_elsewhere_is_refused() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, "pm-restart pm-cluster -n 2 --soak 0s --ready-timeout 1h");
    chain.serving(2);
    deploy::write(&scene, "1/mode", "never");
    let old = scene.process("pm-cluster").expect("it runs");
    proc::send(old, SIGKILL);
    chain.until("a successor", || roll::supervisor(&scene).filter(|line| line["pid"] != old));
    deploy::release(&scene, "2", "elsewhere");
    let rolled = roll::roll(&chain);
    assert_eq!(rolled["ok"], false, "{}", chain.output());
    assert!(rolled["reason"].as_str().is_some_and(|why| why.contains(", not on ")), "{rolled}");
    deploy::write(&scene, "1/mode", "");
    chain.stop();
}

/// It was told to end: what comes after it begins as asked for on the command line.
#[test]
fn an_end_on_purpose_leaves_nothing_behind() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, TOOLS);
    chain.serving(2);
    scale(&chain, SIGTTIN, 3);
    let old = scene.process("pm-cluster").expect("it runs");
    proc::send(old, Signal::SIGTERM);
    chain.until("a fresh one", || {
        let line = roll::supervisor(&scene).filter(|line| line["pid"] != old)?;
        (line["workers"] == 2 && line["ready"] == 2).then_some(())
    });
    chain.stop();
}

/// A shell between the two links neither loses what is kept nor hands it to the workers.
#[test]
fn a_shell_in_between_changes_nothing() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, "pm-restart sh -c 'pm-cluster -n 2 --soak 0s \"$@\"; exit $?' sh");
    chain.serving(2);
    deploy::release(&scene, "2", "");
    chain.signal(SIGHUP);
    chain.until("the new release", || (http::get(scene.port, "/version").as_deref() == Ok("2")).then_some(()));
    roll::drained(&chain);
    remove(&scene, "1");
    succeed(&chain, 2);
    assert_eq!(deploy::versions(&scene), ["2"], "{}", chain.output());
    for worker in stat::workers(&scene) {
        let pid = worker.pid().expect("it runs");
        let held = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
        let names = held.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        assert_eq!(names.filter(|name| name.to_string_lossy().contains("pm-state")).count(), 0);
        let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it runs");
        let environment = String::from_utf8_lossy(&environment);
        assert!(!environment.split('\0').any(|e| e.starts_with("LISTEN_") || e.starts_with("FDSTORE")));
    }
    chain.stop();
}
