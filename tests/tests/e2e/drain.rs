//! The drain script in real workers of every supported Node, under Node's own cluster primary: what clients see of a
//! worker that leaves (`fixtures/drain/suite.js` has the cases), and what they lose under load: nothing.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use pm_common::node::preload::Preload;
use pm_common::policy::time::Span;
use pm_tests::bins;
use pm_tests::scene::Scene;

/// The client of the loads: old Node cancels streams of its own when a server says goodbye.
const CLIENT: u32 = 24;

/// Runs a script of the fixtures to its end; its output if it was content. A file takes it: a pipe would stay open for
/// as long as a worker that hangs.
fn run(scene: &Scene, script: &str, args: &[&str]) -> String {
    let drain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pm-common/src/node/preload/drain.cjs");
    let script = scene.expand(&format!("$F/drain/{script}"));
    let mut command = scene.command(&[&["node", script.as_str(), drain.to_str().expect("UTF-8")], args].concat());
    let out = scene.file("out", "");
    let file = || File::options().append(true).open(&out).expect("our own file");
    let ended = command.env("TMPDIR", scene.dir()).stdout(file()).stderr(file()).status().expect("node starts");
    let told = std::fs::read_to_string(&out).expect("our own file");
    assert!(ended.success(), "{ended}\n{told}");
    told
}

fn drains_on(major: u32) {
    let told = run(&Scene::with_node(major), "suite.js", &[]);
    assert!(told.contains(&format!("node {major} done")), "{told}");
    assert!(told.matches("ok ").count() >= 50, "{told}");
}

/// The same script without a file, as a module in the option itself.
fn drains_without_file_on(major: u32) {
    let restricted = [OsString::from("--experimental-permission")];
    let env = Preload::off().env(None, &restricted, Some(Span::ZERO), false);
    assert_eq!(env, [], "off is off");
    let env = Preload::place().env(None, &restricted, Some(Span::ZERO), false);
    let (_, option) = env.into_iter().find(|(key, _)| key == "PM_PRELOAD").expect("an option");
    let scene = Scene::with_node(major).with("OPTION", option);
    let cases = ["in flight", "one more request", "after the linger", "do not inherit", "ES modules", "threads"];
    let told = run(&scene, "suite.js", &cases);
    assert!(told.matches("ok ").count() >= 15, "{told}");
}

/// HTTP/2 servers of Node 16 drop their last frames; everything else is whole.
fn loses_nothing_on(major: u32) {
    let kinds = if major < 18 { &["http", "https"][..] } else { &["http", "https", "h2c", "h2"] };
    for kind in kinds {
        let scene = Scene::with_node(major).with("CLIENT_NODE", bins::node(CLIENT).join("node"));
        let told = run(&scene, "load.js", &[kind, "4"]);
        assert!(told.contains("\"killed\":0") && told.contains("\"lost\":0"), "{told}");
    }
}

macro_rules! on {
    ($($name:ident: $check:ident($major:literal);)*) => { $(#[test] fn $name() { $check($major) })* };
}

on! {
    a_worker_of_node_16_drains: drains_on(16);
    a_worker_of_node_18_drains: drains_on(18);
    a_worker_of_node_20_drains: drains_on(20);
    a_worker_of_node_22_drains: drains_on(22);
    a_worker_of_node_24_drains: drains_on(24);
    a_worker_of_node_26_drains: drains_on(26);
    a_worker_of_node_18_drains_without_file: drains_without_file_on(18);
    a_worker_of_node_20_drains_without_file: drains_without_file_on(20);
    a_worker_of_node_22_drains_without_file: drains_without_file_on(22);
    a_worker_of_node_24_drains_without_file: drains_without_file_on(24);
    a_worker_of_node_26_drains_without_file: drains_without_file_on(26);
    replacements_on_node_16_lose_nothing: loses_nothing_on(16);
    replacements_on_node_18_lose_nothing: loses_nothing_on(18);
    replacements_on_node_20_lose_nothing: loses_nothing_on(20);
    replacements_on_node_22_lose_nothing: loses_nothing_on(22);
    replacements_on_node_24_lose_nothing: loses_nothing_on(24);
    replacements_on_node_26_lose_nothing: loses_nothing_on(26);
}
