//! The health check: a worker that listens and cannot answer yet gets no connection, and replaces nobody.

use pm_tests::chain::Chain;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, roll};
use serde_json::Value;

const BOOTS: &str = "--soak 0s --health http://:$P/ready /usr/bin/python3 $F/any/boots.py";

#[test]
fn a_worker_serves_only_once_it_answers_well() {
    let scene = any::scene().with("BOOT", "0.7");
    let chain = any::start(&scene, "pm-cluster -n 2", BOOTS);
    chain.line("ready workers=2/2");
    any::rolls_well(&chain, 2);
    chain.stop();
}

/// A release that is never found well, under load: nobody notices, and nobody is replaced. Gives what the status says.
pub(super) fn replaces_nobody<'a>(scene: &'a Scene, server: &str) -> (Chain<'a>, Value) {
    let chain = any::start(scene, "pm-cluster -n 2 --ready-timeout 6s", server);
    let first = any::serving(&chain, 2);
    let load = Load::start(scene.port, 4, Style::OneShot);
    load.advance(5);
    let _ = scene.file("bad", "");
    let state = roll::roll(&chain);
    assert_eq!(state["ok"], false, "{state}");
    load.advance(5);
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    assert_eq!(any::serving(&chain, 2), first);
    (chain, state)
}

#[test]
fn a_release_that_never_answers_well_replaces_nobody() {
    let scene = any::scene();
    replaces_nobody(&scene, BOOTS).0.stop();
}

/// Node's workers are asked in the same way.
#[test]
fn a_node_worker_is_asked_too() {
    let scene = any::scene();
    let chain = any::start(&scene, "pm-cluster -n 2 --health http://:$P/info", "node $F/app.js");
    chain.line("ready workers=2/2");
    let by: Vec<String> = pm_tests::stat::workers(&scene).iter().map(|w| w.text("ready_by").to_owned()).collect();
    assert_eq!(by, ["health", "health"]);
    chain.stop();
}
