//! Chains with a program in between: the policy reaches the workers, and a stop reaches everybody.

use nix::sys::signal::Signal;
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{http, proc};

/// The cluster itself replaces its fat workers, so it lives on; and the whole chain stops in order.
pub(crate) fn replaces_workers_only(chain: &Chain) {
    let first = chain.serving(2);
    let cluster = chain.scene.process("pm-cluster").expect("it runs");
    chain.until("other workers", || {
        let now = http::pids(chain.scene.port, 4);
        now.iter().any(|pid| !first.contains(pid)).then_some(())
    });
    assert!(proc::alive(cluster), "the cluster was restarted instead of a worker\n{}", chain.output());
    chain.stop();
}

fn between(script: &str) {
    let scene = Scene::with_node(24).with("LEAK", "40");
    let script = scene.expand(script);
    let words = ["pm-restart", "--stable", "1s", "--max-mem", "150M", "sh", "-c", &script];
    replaces_workers_only(&scene.start_words(&words));
}

#[test]
fn a_shell_that_becomes_the_cluster() {
    between("exec pm-cluster -n 2 node $E/leak.js");
}

#[test]
fn a_shell_that_waits_for_the_cluster() {
    between("pm-cluster -n 2 node $E/leak.js; true");
}

#[test]
fn env_before_the_cluster() {
    let scene = Scene::with_node(24).with("LEAK", "40");
    replaces_workers_only(
        &scene.start("pm-restart --stable 1s --max-mem 150M env SOME=thing pm-cluster -n 2 node $E/leak.js"),
    );
}

/// Two clusters in one directory of states do not take each other's place.
#[test]
fn two_chains_of_the_same_name_live_side_by_side() {
    let mut scene = Scene::with_node(24);
    let other = pm_tests::ports::free();
    let first_port = scene.port;
    let command = scene.command(&["pm-cluster", "-n", "1", "node", &scene.expand("$F/app.js")]);
    scene.set("PORT", other.to_string());
    let first = Chain::spawn(&scene, command);
    first.hear("listening", 1);
    let second = scene.start("pm-cluster -n 1 node $F/app.js");
    second.hear("listening", 1);
    assert!(http::get(first_port, "/").is_ok() && http::get(other, "/").is_ok());
    let mut apps: Vec<_> = pm_tests::stat::workers(&scene).iter().map(|l| l.text("app").to_owned()).collect();
    apps.sort();
    assert_eq!(apps, ["app", "app-2"]);
    second.signal(Signal::SIGTERM);
    assert_eq!(second.wait().code(), Some(0));
    first.stop();
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let scene = Scene::with_node(24);
    let first = scene.start("pm-cluster --name web -n 1 node $F/app.js");
    first.hear("listening", 1);
    let second = scene.start("pm-cluster --name web -n 1 node $F/app.js");
    assert_eq!(second.wait().code(), Some(125), "{}", second.output());
    assert_eq!(second.said("start").len(), 0);
    first.stop();
}
