//! Broken deploys: nothing is lost, the old workers go on, and who asked is told the truth.

use std::fs;

use nix::sys::signal::Signal::SIGHUP;
use pm_tests::chain::Chain;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{deploy, proc, roll, stat};
use serde_json::Value;

/// How the code comes to be broken.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// `current` moves to a broken release.
    Symlink,
    /// A file of the release is overwritten.
    File,
    /// The `--env-file` says so.
    EnvFile,
}

fn break_it(scene: &Scene, way: Way, mode: &str) {
    match way {
        Way::Symlink => deploy::release(scene, "2", mode),
        Way::File => deploy::write(scene, "1/mode", mode),
        Way::EnvFile => deploy::write(scene, "app.env", &format!("MODE={mode}\n")),
    }
}

fn mend_it(scene: &Scene, way: Way) {
    match way {
        Way::Symlink => deploy::release(scene, "3", ""),
        Way::File => deploy::write(scene, "1/mode", ""),
        Way::EnvFile => deploy::write(scene, "app.env", "\n"),
    }
}

fn wait(scene: &Scene, since: u64) -> (Option<i32>, String) {
    let args = ["--wait", "rolled", "--since", &since.to_string(), "--timeout", "60s", "deploy"];
    let output = stat::run(scene, &args);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Rolls while clients ask; says what became of it, and what `pm-stat --wait` says.
fn roll_under_load(chain: &Chain) -> (Value, Option<i32>, String) {
    let load = Load::of(chain.scene.port, "/", &Style::crowd(8));
    load.advance(1);
    let since = roll::number(&roll::state(chain), "requested");
    chain.signal(SIGHUP);
    let (code, text) = wait(chain.scene, since);
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?} of {}\n{}", sum.misses, sum.ok, chain.output());
    (roll::ended(chain, since + 1), code, text)
}

/// Long enough for a good worker on a busy machine.
const TIMEOUT: &str = "8s";

fn broken(way: Way, mode: &str, why: &[&str]) {
    let scene = deploy::scene();
    deploy::write(&scene, "app.env", "\n");
    // Waited for to its end only where that is what shows that the release is broken.
    let timeout = if why[0].starts_with("not ready") { TIMEOUT } else { "1h" };
    // It ends half a second after it has listened, on a machine that lets it.
    let soak = if why[0].contains("soak") { "4s" } else { "1s" };
    let tools =
        format!("pm-restart --max-mem 512M pm-cluster -n 3 --soak {soak} --env-file $T/app.env --ready-timeout");
    let chain = deploy::start(&scene, &format!("{tools} {timeout}"));
    let before = chain.serving(3);
    break_it(&scene, way, mode);
    let (roll, code, text) = roll_under_load(&chain);
    assert_eq!((roll["ok"].as_bool(), roll["slot"].as_u64(), code), (Some(false), Some(0), Some(1)), "{roll} {text}");
    for part in why {
        assert!(roll["reason"].as_str().is_some_and(|reason| reason.contains(part)), "no '{part}' in {roll}");
        assert!(text.contains(part), "no '{part}' in {text}");
        chain.line(part);
        assert_eq!(chain.messages(part).len(), 1, "{}", chain.output());
    }
    // All of them serve still, nobody else does, and no restart was counted.
    assert_eq!(chain.serving(3), before);
    roll::drained(&chain);
    let workers = stat::workers(&scene);
    assert_eq!(workers.iter().map(|w| w.number("restarts")).sum::<u64>(), 0);
    assert!(workers.iter().all(|w| w.0["last"].is_null()), "the new one's end is not theirs: {workers:?}");
    assert_eq!(proc::children(scene.process("pm-cluster").expect("it runs")).len(), 3);
    // The next one is good, and told as such.
    mend_it(&scene, way);
    let (roll, code, text) = roll_under_load(&chain);
    assert_eq!((roll["ok"].as_bool(), code), (Some(true), Some(0)), "{roll} {text}");
    roll::drained(&chain);
    assert!(before.is_disjoint(&chain.serving(3)));
    chain.stop();
}

#[test]
fn a_release_that_throws_is_refused() {
    broken(Way::Symlink, "throws", &["ended before it was ready", "code=1"]);
    broken(Way::EnvFile, "throws", &["ended before it was ready", "code=1"]);
}

#[test]
fn a_release_that_never_listens_is_refused() {
    broken(Way::File, "never", &["not ready after 8000ms", "does not listen on "]);
}

#[test]
fn a_release_that_listens_elsewhere_is_refused() {
    broken(Way::EnvFile, "elsewhere", &["the new worker listens on ", ", not on "]);
}

#[test]
fn a_release_that_ends_within_the_soak_is_refused() {
    broken(Way::Symlink, "exits", &["ended within the soak", "code=7"]);
}

#[test]
fn a_release_that_hangs_before_it_listens_is_refused() {
    broken(Way::File, "blocks", &["not ready after 8000ms", "does not listen on "]);
}

/// What was broken in the second slot only: the first has its new worker, the others go on with the old release.
#[test]
fn a_release_that_breaks_later_stops_the_roll_there() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, "pm-cluster -n 3 --soak 0s");
    let before = chain.serving(3);
    deploy::release(&scene, "2", "later");
    let roll = roll::roll(&chain);
    assert_eq!((roll["ok"].as_bool(), roll["slot"].as_u64()), (Some(false), Some(1)), "{roll}");
    roll::drained(&chain);
    assert_eq!(chain.serving(3).intersection(&before).count(), 2, "{}", chain.output());
    chain.stop();
}

/// Nothing can be started from a release that is not there, and nothing is.
#[test]
fn a_release_that_cannot_be_resolved_is_refused() {
    let scene = deploy::scene();
    deploy::write(&scene, "app.env", "\n");
    let chain = deploy::start(&scene, "pm-cluster -n 2 --env-file $T/app.env");
    let before = chain.serving(2);
    fs::remove_file(scene.dir().join("app.env")).expect("ours");
    let roll = roll::roll(&chain);
    assert!(roll["ok"] == false && roll["reason"].as_str().is_some_and(|r| r.contains("app.env")), "{roll}");
    deploy::write(&scene, "app.env", "\n");
    fs::remove_file(scene.dir().join("current")).expect("ours");
    let roll = roll::roll(&chain);
    assert!(roll["ok"] == false && roll["reason"].as_str().is_some_and(|r| r.contains("current")), "{roll}");
    assert_eq!(chain.serving(2), before);
    deploy::release(&scene, "2", "");
    roll::well(&chain);
    assert_eq!(deploy::versions(&scene), ["2"]);
    chain.stop();
}

/// Where the app's stderr goes to its err.log, who asked sees what it wrote there last.
#[test]
fn the_last_lines_of_the_broken_worker_are_told() {
    let scene = deploy::scene();
    let script = scene.expand(
        "mkdir -m 700 -p $PM_HOME/deploy; cd $T/current && exec pm-restart pm-cluster -n 2 node $F/deploy.js 2>>$PM_HOME/deploy/err.log",
    );
    let chain = scene.start_words(&["sh", "-c", &script]);
    let before = chain.serving(2);
    deploy::release(&scene, "2", "throws");
    let (roll, code, text) = roll_under_load(&chain);
    assert_eq!(code, Some(1), "{roll}");
    assert!(text.contains("Error: a broken deploy"), "{text}");
    assert!(roll["stderr"].to_string().contains("Error: a broken deploy"), "{roll}");
    assert!(roll["stderr"].as_array().is_some_and(|lines| lines.len() <= 20), "{roll}");
    assert_eq!(chain.serving(2), before);
    chain.stop();
}

#[test]
fn a_wait_for_a_roll_that_nobody_asked_for_times_out() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, "pm-cluster -n 1");
    chain.serving(1);
    roll::well(&chain);
    for since in [&["--since", "1"][..], &[]] {
        let args = [&["--wait", "rolled", "--timeout", "200ms"], since, &["deploy"]].concat();
        let output = stat::run(&scene, &args);
        assert_eq!(output.status.code(), Some(124), "an earlier roll was taken for one asked for: {output:?}");
    }
    chain.stop();
}
