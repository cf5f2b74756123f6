//! What pm-stat shows of real apps: to the front, to a collector, to a probe, and as it happens.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTERM};
use pm_tests::chain::Chain;
use pm_tests::http::Connection;
use pm_tests::scene::Scene;
use pm_tests::stat::{self, Line};
use pm_tests::{bins, proc};
use serde_json::Value;

fn said(scene: &Scene, args: &[&str]) -> String {
    String::from_utf8(stat::run(scene, args).stdout).expect("UTF-8")
}

fn ready(scene: &Scene, chain: &Chain, count: usize) -> Vec<Line> {
    chain.until(&format!("{count} ready workers"), || {
        let lines = stat::workers(scene);
        (lines.iter().filter(|l| l.state() == "ready").count() == count).then_some(lines)
    })
}

/// A pm-stat that follows; its lines are those of its stdout.
fn follow<'a>(scene: &'a Scene, args: &[&str]) -> Chain<'a> {
    scene.start_words(&[&["pm-stat", "--follow"], args].concat())
}

fn events(follower: &Chain) -> Vec<Value> {
    let lines = follower.lines(pm_tests::chain::Stream::Out);
    lines.iter().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

#[test]
fn a_table_and_a_list_show_what_the_lines_say() {
    let scene = Scene::with_node(24);
    let chain = scene.start(crate::MAIN_LINE);
    chain.serving(2);
    let lines = ready(&scene, &chain, 2);
    let table = said(&scene, &["--table"]);
    let list: Value = serde_json::from_str(&said(&scene, &["--jlist"])).expect("JSON");
    for (at, line) in lines.iter().enumerate() {
        let pid = line.pid().expect("a pid").to_string();
        let row = table.lines().find(|row| row.split_whitespace().any(|word| word == pid)).expect("a row");
        assert!(row.contains("online") && row.contains("cluster") && row.contains("mb"), "{row}");
        assert_eq!(list[at]["pid"].to_string(), pid, "{list}");
        assert_eq!(list[at]["pm2_env"]["status"], "online");
        assert!(list[at]["monit"]["memory"].as_u64() > Some(10 << 20), "{list}");
        // The supervisor that has the workers, not the outermost one.
        let supervisor = u32::try_from(line.number("supervisor_pid")).expect("a pid");
        assert_eq!(proc::name(supervisor), "pm-cluster");
    }
    assert_eq!(said(&scene, &["--match", "all"]), "app\n");
    chain.stop();
}

#[test]
fn the_load_is_that_of_now() {
    let scene = Scene::new();
    let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exec sleep 1000";
    let chain = scene.start_words(&["pm-restart", "--name", "busy", "sh", "-c", script]);
    // In the moment of its exec it may have no page yet.
    let slept = |line: &Line| proc::name(line.pid().expect("runs")) == "sleep" && line.number("rss_bytes") > 0;
    let load = |line: &Line| line.0["cpu_pct"].as_f64().expect("a number");
    chain.until("the end of the work", || stat::workers(&scene).into_iter().find(|l| l.pid().is_some() && slept(l)));
    // Once a sample is half a second old, nothing of what was before counts.
    chain.until("no load", || stat::workers(&scene).into_iter().find(|l| load(l) < 1.0));
    std::fs::remove_file(scene.dir().join("pm/.samples")).expect("left by pm-stat");
    let mean = load(&stat::workers(&scene)[0]);
    assert!(mean > 0.0, "without a sample it is the mean since the start: {mean}");
    chain.stop();
}

#[test]
fn a_check_follows_the_truth() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --backoff 60s..60s --stable 60s pm-cluster -n 2 node $F/app.js");
    chain.serving(2);
    ready(&scene, &chain, 2);
    assert_eq!(stat::run(&scene, &["--check"]).status.code(), Some(0));
    proc::send(stat::workers(&scene)[1].pid().expect("a pid"), SIGKILL);
    let complaint = chain.until("a complaint", || Some(said(&scene, &["--check"])).filter(|text| !text.is_empty()));
    // It may be quicker than the supervisor.
    let known =
        ["app: 1 of 2 workers ready: slot 1 ", "app: slot 1 has ended, "].map(|known| complaint.starts_with(known));
    assert!(known.contains(&true) && complaint.lines().count() == 1, "{complaint}");
    assert_eq!(stat::run(&scene, &["--check", "app"]).status.code(), Some(1));
    chain.stop();
    assert_eq!(stat::run(&scene, &["--check"]).status.code(), Some(0), "stopped on request");
    assert_eq!(said(&scene, &["--check", "app"]), "app: stopped\n");
}

#[test]
fn a_supervisor_that_was_killed_is_a_complaint() {
    let scene = Scene::new();
    let chain = scene.start("pm-restart --name web sleep 1000");
    chain.until("a worker", || stat::workers(&scene).into_iter().find(|l| l.state() == "ready"));
    chain.signal(SIGKILL);
    chain.wait();
    let left = said(&scene, &["--check"]);
    assert!(left.contains("web: 1 worker of pm-restart, which was killed, still runs"), "{left}");
    scene.processes().iter().for_each(|pid| proc::send(*pid, SIGKILL));
    chain.until("the worker's end", || scene.processes().is_empty().then_some(()));
    let complaint = chain.until("a complaint", || Some(said(&scene, &["--check"])).filter(|text| !text.is_empty()));
    assert!(complaint.contains("web: pm-restart has died without a word"), "{complaint}");
}

#[test]
fn a_roll_is_followed_from_the_first_worker_to_the_last() {
    let scene = Scene::with_node(24);
    let follower = follow(&scene, &[]);
    let chain = scene.start("pm-cluster -n 2 node $F/app.js");
    chain.serving(2);
    let all = |event: &str| -> Vec<Value> { events(&follower).into_iter().filter(|e| e["event"] == event).collect() };
    let has = |event: &str, key: &str, value: Value| all(event).iter().any(|e| e[key] == value);
    follower.on_line("two workers", |_| {
        (all("worker").iter().filter(|e| e["state"] == "ready").count() >= 2 && has("app", "state", "ready".into()))
            .then_some(())
    });
    // What came with the start may still be on its way.
    follower.until("a time in which nothing is polled", || {
        let at_rest = proc::wakeups(follower.pid());
        std::thread::sleep(std::time::Duration::from_millis(1500));
        (proc::wakeups(follower.pid()) == at_rest).then_some(())
    });
    // Each of the old ones has something in hand, so that its drain is not over before anybody could look.
    let mut busy = BTreeMap::new();
    chain.until("a client of each worker", || {
        let mut client = Connection::open(scene.port).ok()?;
        let pid = client.get("/").ok()?;
        busy.entry(pid).or_insert(client);
        (busy.len() == 2).then_some(())
    });
    busy.values_mut().for_each(|client| client.send("/until?go", "keep-alive").expect("sent"));
    chain.signal(SIGHUP);
    follower.on_line("the end of the roll", |_| {
        all("roll").iter().any(|e| e["roll"]["ended"] == 1 && e["roll"]["ok"] == true).then_some(())
    });
    let drains = |slot: u64| all("worker").iter().any(|e| e["slot"] == slot && e["state"] == "draining");
    follower.on_line("both drains", |_| (drains(0) && drains(1)).then_some(()));
    let _ = scene.file("go", "");
    busy.values_mut().for_each(|client| drop(client.answer().expect("answered")));
    for slot in 0..2 {
        let states: Vec<String> = all("worker")
            .iter()
            .filter(|e| e["slot"] == slot)
            .map(|e| format!("{} {}", e["generation"], e["state"].as_str().expect("a state")))
            .collect();
        let at = |wanted: &str| states.iter().position(|s| s == wanted);
        assert!(
            at("2 ready").is_some() && at("1 draining") > at("2 ready"),
            "the new one is ready before the old one leaves: {states:?}"
        );
    }
    chain.signal(SIGTERM);
    follower.on_line("the end", |_| has("app", "state", "stopped".into()).then_some(()));
    proc::send(follower.pid(), SIGTERM);
    follower.wait();
    chain.wait();
}

/// Reads the text as collectors do, in both formats, and prints what it found.
const PARSER: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
text = sys.stdin.read()
list(prometheus(text))
print(json.dumps([[f.name, f.type, f.unit, [[s.name, s.labels, s.value] for s in f.samples]] for f in openmetrics(text)]))
"#;

#[test]
fn a_collector_can_read_the_figures() {
    let python = bins::cache().parent().expect("in the cache").join("python");
    if !python.join("prometheus_client").is_dir() {
        let _ = writeln!(std::io::stderr(), "NOT RUN: there is no prometheus_client in {}", python.display());
        return;
    }
    let scene = Scene::with_node(24);
    let chain = scene.start_words(&[
        "pm-cluster",
        "--name",
        "a \"b\\ \u{e9}{x=\"1\"}",
        "-n",
        "2",
        "node",
        &scene.expand("$F/app.js"),
    ]);
    chain.serving(2);
    ready(&scene, &chain, 2);
    let file = scene.dir().join("metrics");
    std::fs::write(&file, said(&scene, &["--openmetrics", "--pss"])).expect("our own directory");
    let mut parser = Command::new("python3");
    parser.args(["-c", PARSER]).env("PYTHONPATH", &python).stdin(std::fs::File::open(&file).expect("just written"));
    let output = parser.output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let families: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let families = families.as_array().expect("a list");
    let family = |name: &str| families.iter().find(|f| f[0] == name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(family("pm_worker_restarts")[1], "counter");
    assert_eq!(family("pm_worker_cpu_seconds")[2], "seconds");
    assert_eq!(family("pm_worker_cpu_seconds")[3][0][0], "pm_worker_cpu_seconds_total");
    let memory = &family("pm_worker_resident_memory_bytes")[3];
    assert_eq!(memory[1][1]["app"], "a \"b\\ \u{e9}{x=\"1\"}");
    assert_eq!(memory[1][1]["slot"], "1");
    assert!(memory[1][2].as_f64().is_some_and(|bytes| bytes > 1e7), "{memory}");
    assert_eq!(family("pm_app_workers_ready")[3][0][2], 2.0);
    chain.stop();
}
