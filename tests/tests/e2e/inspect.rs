//! Debuggers: each worker's inspector has a port of its own, and none of them counts as the service.

use std::collections::BTreeSet;

use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{any, http, ports, roll, stat};

/// The ports of the inspectors that answer, once there are so many; each has said where it listens.
fn inspected(chain: &Chain, count: usize) -> BTreeSet<u16> {
    chain.until(&format!("{count} inspectors"), || {
        let lines = [chain.lines(pm_tests::chain::Stream::Err), chain.lines(pm_tests::chain::Stream::Out)].concat();
        let said = lines.iter().filter_map(|line| line.strip_prefix("Debugger listening on ws://127.0.0.1:"));
        let all: BTreeSet<u16> = said.filter_map(|rest| rest.split('/').next()?.parse().ok()).collect();
        let answers = |port: &&u16| http::get(**port, "/json/version").is_ok_and(|text| text.contains("node.js"));
        let living: BTreeSet<u16> = all.iter().filter(answers).copied().collect();
        (living.len() == count).then_some(living)
    })
}

/// Both workers serve, both can be debugged, before and after a reload; the service is the app's port alone.
fn each_has_its_own(scene: &Scene, server: &str) {
    let chain = any::start(scene, "pm-cluster -n 2 --soak 50ms", server);
    chain.line("ready workers=2/2");
    any::serving(&chain, 2);
    inspected(&chain, 2);
    let service = serde_json::json!([format!("tcp:[::]:{}", scene.port)]);
    let listens = || stat::workers(scene).iter().all(|worker| worker.0["listen"] == service);
    chain.until("workers that listen where the app does, and nowhere else", || listens().then_some(()));
    roll::well(&chain);
    roll::drained(&chain);
    any::serving(&chain, 2);
    inspected(&chain, 2);
    chain.stop();
}

#[test]
fn node_itself() {
    for major in [16, 26] {
        let scene = Scene::with_node(major);
        each_has_its_own(&scene, &format!("node --inspect={} $F/app.js", ports::free()));
    }
}

#[test]
fn node_told_by_its_environment() {
    let scene = Scene::with_node(22).with("NODE_OPTIONS", format!("--inspect=127.0.0.1:{}", ports::free()));
    each_has_its_own(&scene, "node $F/app.js");
}

/// The inspector listens before the app does: it is no sign that the app serves.
#[test]
fn node_below_npm() {
    let scene = Scene::with_node(24);
    let start = scene.expand(&format!("node --inspect={} $F/app.js", ports::free()));
    let _ = scene.file("package.json", &serde_json::json!({ "scripts": { "start": start } }).to_string());
    each_has_its_own(&scene, "npm start --silent");
}

/// One that the app opens itself, at any port, once it serves or before; only Node knows it from a thread that serves.
const OPENS: &str = "const { open } = require('inspector'); const http = require('http'); const { Worker } = require('worker_threads')
const at = () => { try { open(Number(process.env.AT)) } catch {} }
if (process.env.FIRST) at()
const serve = () => http.createServer((q, r) => { if (q.url === '/open') at(); r.end('pid ' + process.pid) }).listen(process.env.PORT)
if (process.env.THREAD) new Worker(`require('http').createServer((q, r) => r.end('pid ${process.pid}')).listen(process.env.PORT)`, { eval: true })
else serve()
";

/// In fork mode: only where the app serves is shown, whoever serves.
#[test]
fn one_that_the_app_opens_itself_below_pm_restart() {
    for (major, thread) in [(16, ""), (22, "1"), (26, ""), (26, "1")] {
        let at = ports::free();
        let scene = Scene::with_node(major).with("AT", at.to_string()).with("FIRST", "1").with("THREAD", thread);
        let script = scene.file("opens.js", OPENS);
        let chain = scene.start(&format!("pm-restart --name web node {}", script.display()));
        chain.until("the inspector", || http::get(at, "/json/version").ok());
        let service = serde_json::json!([format!("tcp:[::]:{}", scene.port)]);
        let listens = || stat::workers(&scene).iter().all(|worker| worker.0["listen"] == service);
        chain.until("a worker that listens where the app does", || listens().then_some(()));
        chain.stop();
    }
}

/// In a cluster: nothing is shared, and nobody is started again for it.
#[test]
fn one_that_the_app_opens_itself_below_pm_cluster() {
    for (major, first) in [(16, "1"), (22, ""), (26, "1"), (26, "")] {
        let at = ports::free();
        let scene = Scene::with_node(major).with("AT", at.to_string()).with("FIRST", first);
        let script = scene.file("opens.js", OPENS);
        let chain = scene.start(&format!("pm-cluster --name web -n 2 --soak 50ms node {}", script.display()));
        chain.line("ready workers=2/2");
        if first.is_empty() {
            let _ = http::get(scene.port, "/open").expect("an answer");
        }
        chain.until("an inspector", || http::get(at, "/json/version").ok());
        let pids: Vec<_> = stat::workers(&scene).iter().map(stat::Line::pid).collect();
        // Whatever is found is found within ten seconds: a reload asks for more looks.
        roll::well(&chain);
        roll::drained(&chain);
        assert!(stat::workers(&scene).iter().all(|worker| !pids.contains(&worker.pid())));
        let said = chain.lines(pm_tests::chain::Stream::Err).join("\n");
        assert!(!said.contains("listens by itself"), "{said}");
        chain.stop();
    }
}
