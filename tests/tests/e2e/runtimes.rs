//! The main line with every supported Node, in both module systems.

use pm_tests::http;
use pm_tests::scene::Scene;

use crate::MAIN_LINE;

/// All workers serve, each is replaced after a crash, and the end is orderly.
fn works_on(major: u32, script: &str) {
    let scene = Scene::with_node(major);
    let chain = scene.start(&format!("pm-restart --max-mem 512M pm-cluster -n 2 node {script}"));
    let first = chain.serving(2);
    for pid in &first {
        pm_tests::proc::send(*pid, nix::sys::signal::Signal::SIGKILL);
    }
    let second = chain.serving(2);
    assert!(first.is_disjoint(&second), "{first:?} were killed, {second:?} answered");
    chain.stop();
}

#[test]
fn every_worker_serves_on_node_16() {
    works_on(16, "$F/express.js");
}

#[test]
fn every_worker_serves_on_node_18() {
    works_on(18, "$F/express.js");
}

#[test]
fn every_worker_serves_on_node_20() {
    works_on(20, "$F/express.js");
}

#[test]
fn every_worker_serves_on_node_22() {
    works_on(22, "$F/express.js");
}

#[test]
fn every_worker_serves_on_node_24() {
    works_on(24, "$F/express.js");
}

#[test]
fn every_worker_serves_on_node_26() {
    works_on(26, "$F/express.js");
}

#[test]
fn an_ecmascript_module_serves_on_the_oldest_node() {
    works_on(16, "$F/esm.mjs");
}

#[test]
fn an_ecmascript_module_serves_on_the_newest_node() {
    works_on(26, "$F/esm.mjs");
}

#[test]
fn the_app_finds_itself_a_cluster_worker() {
    let scene = Scene::with_node(24);
    let chain = scene.start(MAIN_LINE);
    chain.serving(2);
    let info = |_| serde_json::from_str::<serde_json::Value>(&http::get(scene.port, "/info").ok()?).ok();
    let mut slots = std::collections::BTreeMap::new();
    chain.until("both slots", || {
        slots.extend((0..8).filter_map(info).map(|i| (i["slot"].as_str().unwrap_or("?").to_owned(), i)));
        (slots.len() == 2).then_some(())
    });
    for (slot, info) in &slots {
        assert_eq!(info["isWorker"], true, "{info}");
        assert_eq!(info["send"], "function", "{info}");
        assert_eq!(info["instance"].as_str(), Some(slot.as_str()), "{info}");
        assert_eq!(info["generation"].as_str().map(str::is_empty), Some(false), "{info}");
    }
    let ids: Vec<_> = slots.values().map(|i| i["id"].as_u64().expect("a number")).collect();
    assert!(ids[0] != ids[1], "{ids:?}");
    assert_eq!(slots.keys().collect::<Vec<_>>(), ["0", "1"]);
}

/// What the supervisors tell each other is not for the app, and the preloaded script leaves no trace for its children.
#[test]
fn the_app_sees_nothing_of_the_supervisors() {
    let scene = Scene::with_node(24);
    let chain = scene.start(MAIN_LINE);
    chain.serving(2);
    let text = http::get(scene.port, "/info").expect("serves");
    let info: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let seen: Vec<_> = info["env"].as_array().into_iter().flatten().filter_map(|v| v.as_str()).collect();
    let known = ["NODE_APP_INSTANCE", "NODE_PATH", "PM_GENERATION", "PM_HOME", "PM_SLOT"];
    let ours = |name: &str| known.contains(&name) || std::env::var_os(name).is_some();
    let surplus: Vec<_> = seen.iter().filter(|name| !ours(name)).collect();
    assert!(surplus.is_empty(), "{surplus:?}");
}

/// What the user has in NODE_OPTIONS stays, for the app and for its children.
#[test]
fn node_options_of_the_user_reach_the_app() {
    let scene = Scene::with_node(24).with("NODE_OPTIONS", "--stack-trace-limit=3");
    let chain = scene.start("pm-cluster -n 1 node $F/app.js");
    chain.serving(1);
    let text = http::get(scene.port, "/info").expect("serves");
    assert!(text.contains("NODE_OPTIONS"), "{text}");
}

#[test]
fn a_shell_between_serves_from_every_worker() {
    let scene = Scene::with_node(24);
    let script = scene.expand("node $F/app.js; true");
    let chain = scene.start_words(&["pm-cluster", "-n", "2", "sh", "-c", &script]);
    chain.serving(2);
    chain.stop();
}

#[test]
fn env_between_serves_from_every_worker() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-cluster -n 2 env SOME=thing node $F/app.js");
    chain.serving(2);
    chain.stop();
}

/// npm and `node --run` swallow the channel; where binds are not looked at: one line and exit 125, and no storm of EADDRINUSE.
fn is_refused_in_one_line(line: &str) {
    let scene = Scene::with_node(24);
    let script = scene.expand("node $F/app.js");
    let package = serde_json::json!({ "scripts": { "start": script } }).to_string();
    let _ = scene.file("package.json", &package);
    let chain = scene.start(line);
    assert_eq!(chain.ended(), Some(125), "{}", chain.output());
    assert!(chain.said("start").is_empty(), "something was started\n{}", chain.output());
    assert_eq!(chain.messages("").len(), 1, "{}", chain.output());
}

#[test]
fn npm_start_is_refused_in_one_line() {
    is_refused_in_one_line("pm-cluster -n 2 --fanout off npm start");
}

#[test]
fn node_run_is_refused_in_one_line() {
    is_refused_in_one_line("pm-cluster -n 2 --fanout off node --run start");
}

#[test]
fn the_demo_app_exactly_as_it_stands_serves_on_port_3000() {
    // A network of its own, so that the fixed port is free and nobody else's.
    let scene = Scene::with_node(24);
    let script = scene.expand("ip link set lo up; cd $E && exec pm-restart --max-mem 512M pm-cluster -n 0 node app.js");
    let chain = scene.start_words(&["unshare", "--net", "--map-root-user", "sh", "-c", &script]);
    let inner = chain.until("pm-cluster", || scene.process("pm-cluster"));
    let answer = chain.until("an answer on port 3000", || {
        let inner = inner.to_string();
        let curl = ["-t", &inner, "-n", "-U", "--preserve-credentials", "curl", "-s", "http://localhost:3000/"];
        let output = scene.command(&[&["nsenter"], &curl[..]].concat()).output().expect("nsenter runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert_eq!(answer, "Hello World!");
    chain.stop();
}
