//! Fork mode: a program that is Node, alone below pm-restart, has Node's channel and is no cluster worker.

use std::collections::BTreeSet;
use std::time::Instant;

use nix::sys::signal::Signal::{SIGTERM, SIGUSR2};
use pm_tests::scene::Scene;
use pm_tests::{front::Front, http, proc, stat};
use serde_json::Value;

/// The oldest Node that is tested and the newest.
const NODES: [u32; 2] = [16, 26];

fn pid(said: &Value) -> u32 {
    u32::try_from(said["pid"].as_u64().expect("a pid")).expect("a pid")
}

#[test]
fn it_can_send_and_is_its_own_primary_and_is_told_to_end_by_a_message() {
    for major in NODES {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-restart --grace 3s --stop-signal message node $F/fork.js tell");
        let is = &chain.hear("is", 1)[0];
        let facts = (&is["connected"], &is["send"], &is["primary"], &is["env"]);
        assert_eq!(facts, (&true.into(), &"function".into(), &true.into(), &serde_json::json!({})), "{major}");
        chain.signal(SIGTERM);
        assert_eq!(chain.hear("message", 1)[0]["message"], "shutdown");
        assert_eq!(chain.ended(), Some(0));
        assert_eq!(chain.said("signal"), [Value::Null; 0], "{major}: a message, and no signal");
    }
}

#[test]
fn a_script_that_is_done_ends_by_itself() {
    for major in NODES {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-restart --restart never node $F/fork.js done");
        assert_eq!(chain.ended(), Some(0), "{major}");
    }
}

#[test]
fn ready_is_a_message_where_that_is_asked_for() {
    for major in NODES {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-restart --name app --ready message node $F/fork.js ready");
        let worker = pid(&chain.hear("up", 1)[0]);
        assert!(!stat::run(&scene, &["--check"]).status.success(), "{major}: it has not said so yet");
        proc::send(worker, SIGUSR2);
        assert!(stat::run(&scene, &["--wait", "ready", "app"]).status.success());
        let line = String::from_utf8(stat::run(&scene, &["app"]).stdout).expect("UTF-8");
        assert!(line.contains(r#""ready_by":"message""#), "{major}: {line}");
        chain.stop();
    }
    let scene = Scene::with_node(26);
    let chain = scene.start("pm-restart --ready message --ready-timeout 200ms node $F/fork.js ready");
    chain.line("worker not ready in time");
    chain.stop();
}

#[test]
fn what_it_sends_is_taken_and_kept_nowhere() {
    for major in NODES {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-restart node $F/fork.js flood");
        let sent = chain.hear("sent", 1);
        assert_eq!(sent[0].get("error"), None, "{major}");
        let supervisor = chain.pid();
        // It may have to read on, and has in hand what it reads.
        chain.until("little in hand", || {
            (proc::rss(supervisor) < 24 << 20 && proc::descriptors(supervisor) < 40).then_some(())
        });
        chain.stop();
    }
}

#[test]
fn a_channel_that_is_closed_wakes_nobody() {
    for major in NODES {
        let scene = Scene::with_node(major);
        let chain = scene.start("pm-restart --name app node $F/fork.js leave");
        let worker = pid(&chain.hear("left", 1)[0]);
        assert!(stat::run(&scene, &["--wait", "ready", "app"]).status.success());
        let (begun, woke, ran) = (Instant::now(), proc::wakeups(chain.pid()), proc::ran(chain.pid()));
        for count in 1..=30 {
            proc::send(worker, SIGUSR2);
            chain.hear("still here", count);
        }
        // A timer or two of its own, and no loop that spins.
        assert!(proc::wakeups(chain.pid()) < woke + 10, "{major}");
        assert!(proc::ran(chain.pid()) - ran < begun.elapsed() / 4, "{major}");
        chain.stop();
    }
}

#[test]
fn its_children_and_ours_inherit_no_channel() {
    for major in NODES {
        let scene = Scene::with_node(major);
        // In a cluster, too, whatever number of descriptors its supervisor has.
        for line in ["pm-restart node $F/fork.js inherit", "pm-cluster -n 6 node $F/fork.js inherit"] {
            let chain = scene.start(line);
            let count = if line.contains("-n 6") { 6 } else { 1 };
            for said in chain.hear("inherited", count) {
                assert_eq!(said["sockets"], serde_json::json!([]), "{major}: {line}");
            }
            chain.stop();
        }
        let list = "ls -l /proc/self/fd | grep -v 'pipe\\|null\\|/proc'; env | grep NODE_CHANNEL; echo looked";
        let chain = scene.start_words(&[
            "node",
            &scene.expand("$F/fork.js"),
            "parent",
            "pm-restart",
            "--restart",
            "never",
            "sh",
            "-c",
            list,
        ]);
        chain.line("looked");
        assert_eq!(chain.lines(pm_tests::chain::Stream::Out), ["total 0", "looked"], "{major}");
        chain.wait();
    }
}

#[test]
fn who_inherits_its_end_holds_nothing_up() {
    let scene = Scene::with_node(24);
    let script = scene.expand("sleep 1000 & exec node $F/fork.js tell");
    let chain = scene.start_words(&["pm-restart", "--stop-signal", "message", "--grace", "1s", "sh", "-c", &script]);
    assert_eq!(chain.hear("is", 1)[0]["connected"], true);
    chain.signal(SIGTERM);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

#[test]
fn a_launcher_gets_none_and_cannot_be_waited_for() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --ready message npm start");
    assert_eq!(chain.ended(), Some(125));
    let said = chain.output();
    assert!(said.contains("'npm start' keeps Node's channel for itself") && said.lines().count() == 1, "{said}");
}

/// What listens, as its own workers do, and says that it is ready once they do.
pub(crate) const PRIMARY: &str = "const cluster = require('cluster')
if (cluster.isPrimary ?? cluster.isMaster) {
  for (const _ of [1, 2]) cluster.fork()
  let left = 2
  cluster.on('listening', () => --left === 0 && process.send('ready'))
} else require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT)
";

#[test]
fn an_app_that_is_its_own_primary_starts_with_its_workers() {
    for major in NODES {
        let front = Front::with_node(major);
        let _ = front.scene.file("own.js", PRIMARY);
        front.ok("start own.js --wait-ready");
        let item = &front.jlist()[0];
        assert_eq!(item["pm2_env"]["exec_mode"], "fork_mode", "{major}");
        let serving = || -> BTreeSet<u32> { http::pids(front.scene.port, 16).into_iter().collect() };
        let workers = serving();
        assert!(workers.len() == 2 && !workers.contains(&front.pids("own")[0]), "{major}: {workers:?}");
        front.ok("reload own");
        assert!(serving().is_disjoint(&workers), "{major}: others by now");
        front.ok("delete own");
    }
}

/// It takes its time to end, and says so if there is another of it.
pub(crate) const CONSUMER: &str = "const fs = require('fs')
if (fs.existsSync('runs')) fs.appendFileSync('twice', `${process.pid} `)
fs.writeFileSync('runs', `${process.pid}`)
process.on('SIGINT', () => setTimeout(() => { fs.unlinkSync('runs'); process.exit(0) }, 300))
setInterval(() => {}, 1e6)
setTimeout(() => process.send('ready'), 100)
";

#[test]
fn a_consumer_never_runs_twice_in_a_reload() {
    for options in ["--wait-ready --listen-timeout 20000 -x", "--max-memory-restart 1G --time"] {
        let front = Front::new();
        let _ = front.scene.file("queue.js", CONSUMER);
        front.ok(&format!("start queue.js --kill-timeout 20000 {options}"));
        for verb in ["reload", "restart", "startOrReload"] {
            let before = front.pids("queue");
            let _ = front.scene.file(
                "queue.json",
                r#"{"name": "queue", "script": "queue.js", "wait_ready": true, "kill_timeout": 20000}"#,
            );
            front.ok(&format!("{verb} {}", if verb == "startOrReload" { "queue.json -f" } else { "queue" }));
            assert_ne!(front.pids("queue"), before, "{options}: {verb}");
        }
        assert!(!front.scene.dir().join("twice").exists(), "{options}: it ran twice");
    }
}

/// A reload says what it has come to by the same evidence as a start.
#[test]
fn a_reload_says_that_nobody_is_served() {
    for mode in ["", "-i 2"] {
        let front = Front::new();
        let _ = front.scene.file("job.js", "setInterval(() => {}, 1e6)\n");
        let started = front.ok(&format!("start job.js {mode}"));
        assert!(started.err.contains("; it serves nobody"), "{mode}: {started:?}");
        let reloaded = front.ok("reload job");
        assert!(reloaded.err.contains("; it serves nobody"), "{mode}: {reloaded:?}");
    }
}

/// A cluster hears the message, too, and its requests are finished while it does what it has to.
#[test]
fn shutdown_with_message_is_heard_in_both_modes() {
    for mode in ["", "-i 2"] {
        let front = Front::new();
        let script = front.scene.expand("$F/fork.js");
        let line = format!("start {script} --name app --shutdown-with-message --kill-timeout 20000 {mode} -- shutdown");
        let said = front.ok(&line);
        assert!(!said.err.contains("shutdown_with_message"), "{said:?}");
        front.ok("stop app");
        let chain = std::fs::read_to_string(front.scene.dir().join("pm/app/err.log")).expect("a log");
        assert!(!chain.contains("KILL") && !chain.contains("killed"), "{mode}: {chain}");
        // A signal would have ended it, and not with this code.
        let list = front.jlist();
        assert_eq!(list[0]["pm2_env"]["status"], "stopped");
    }
}
