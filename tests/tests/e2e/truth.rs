//! What a start says is true when it says it: what serves, what serves nobody, what does not listen yet.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGUSR2};
use pm_tests::front::{Front, Said};
use pm_tests::scene::Scene;
use pm_tests::{fork, http, proc, stat, wait};

/// The oldest Node that is tested, and two newer ones.
const NODES: [u32; 3] = [16, 24, 26];
/// Alone, and in a cluster.
const MODES: [&str; 2] = ["", " -i 2"];

/// Longer than what has no better evidence was once up for: it listens then.
const SLOW: &str = "const s = require('http').createServer((q, r) => r.end(`${process.pid}`)); \
                    setTimeout(() => s.listen(process.env.PORT), 1500)";

fn front(major: u32) -> Front {
    let front = Front::with_node(major);
    for (name, text) in [
        ("slow.js", SLOW),
        (
            "net.js",
            "const s = require('net').createServer(() => {}); setTimeout(() => s.listen(process.env.PORT), 1500)",
        ),
        (
            "slow.mjs",
            "import http from 'http'; await null; const s = http.createServer(); setTimeout(() => s.listen(process.env.PORT), 1500)",
        ),
        ("lazy.js", "import('./slow.mjs')"),
        ("parent.js", "require('child_process').spawn(process.execPath, ['slow.js'], { stdio: 'inherit' })"),
        ("job.mjs", "console.log('up'); setInterval(() => {}, 1e6)"),
        ("client.js", "require('tls'); require('net').connect(1).on('error', () => {}); setInterval(() => {}, 1e6)"),
        ("never.js", "require('http'); setInterval(() => {}, 1e6)"),
        ("throws.js", "require('http'); setTimeout(() => { throw new Error('three') }, 1500)"),
        // Its imports keep the CPU busy.
        (
            "slow.py",
            "import socket, time, os\nend = time.time() + 1.7\nwhile time.time() < end: pass\n\
                     s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\ntime.sleep(1000)\n",
        ),
        (
            "late.js",
            "setTimeout(() => { const s = require('http').createServer((q, r) => r.end('late')); \
             setTimeout(() => s.listen(process.env.PORT), 1000) }, 100)",
        ),
        ("busy.js", "for (const end = Date.now() + 1500; Date.now() < end;); require('./app.js')"),
        ("package.json", r#"{"scripts": {"start": "node busy.js"}}"#),
    ] {
        let _ = front.scene.file(name, text);
    }
    front
}

#[test]
fn what_has_nothing_to_serve_with_is_online_at_once() {
    for major in NODES {
        let front = front(major);
        for (script, mode) in ["idle.js", "job.mjs", "client.js"].into_iter().flat_map(|s| MODES.map(|mode| (s, mode)))
        {
            let said = front.ok(&format!("start {script} --name job{mode} -s"));
            let line = said.err.lines().find(|line| line.contains("started app 'job'")).unwrap_or_default();
            assert!(
                line.contains(" ready_by=idle ") && line.ends_with("; it serves nobody"),
                "{major} {script}{mode}: {said:?}"
            );
            assert!(front.list().iter().all(|app| app == "job:online"), "{major} {script}{mode}: {:?}", front.list());
            front.ok("delete job");
        }
    }
}

/// Once a start has said that it listens it does, and where is in the list.
/// Each is waited for until it listens, in fork mode and with two workers.
fn is_waited_for(major: u32, rows: &[(&str, &str)]) {
    let front = front(major);
    for (script, mode) in rows {
        let said = in_time(&front, &format!("start {script} --name web{mode} -s").split(' ').collect::<Vec<_>>());
        let port = format!(":{}", front.scene.port);
        let line = said.err.lines().find(|line| line.contains("started app 'web'")).unwrap_or_default();
        assert!(
            line.contains(" ready_by=listen listen=tcp:") && line.contains(&port),
            "{major} {script}{mode}: {said:?}"
        );
        assert!(http::Connection::open(front.scene.port).is_ok(), "{major} {script}{mode}");
        let workers = stat::workers(&front.scene);
        assert!(workers.iter().all(|line| line.0["listen"].to_string().contains(&port)), "{script}{mode}: {workers:?}");
        front.ok("delete web");
    }
}

/// Starts the app `web`, again where the machine was too slow for what it runs to listen in time.
#[track_caller]
fn in_time(front: &Front, words: &[&str]) -> Said {
    wait::until("a start on a machine that is fast enough", || {
        let begun = Instant::now();
        let said = front.ok_words(words);
        let late = begun.elapsed() > LISTEN_TIME && said.err.contains("not listening yet");
        late.then(|| front.ok("delete web"));
        (!late).then_some(said)
    })
}

/// For so long a start waits for one that may yet listen.
const LISTEN_TIME: Duration = Duration::from_secs(5);

const SERVERS: [(&str, &str); 6] = [
    ("app.js", ""),
    ("app.js", " -i 2"),
    ("slow.js", ""),
    ("slow.js", " -i 2"),
    ("slow.mjs", ""),
    ("slow.mjs", " -i 2"),
];

#[test]
fn a_slow_server_of_node_16_is_waited_for() {
    is_waited_for(16, &SERVERS);
}

#[test]
fn a_slow_server_of_node_24_is_waited_for() {
    is_waited_for(24, &SERVERS);
}

#[test]
fn a_slow_server_of_node_26_is_waited_for() {
    is_waited_for(26, &SERVERS);
}

#[test]
fn a_slow_server_of_another_kind_is_waited_for() {
    is_waited_for(24, &[("slow.py", ""), ("slow.py", " -i 2 --exec-mode cluster")]);
    NODES.iter().for_each(|major| is_waited_for(*major, &[("net.js", ""), ("lazy.js", ""), ("parent.js", "")]));
}

/// npm needs half a second of its own before it starts anything.
#[test]
fn a_slow_server_below_a_launcher_is_waited_for() {
    let front = front(24);
    for words in [
        &["start", "npm", "--name", "web", "--", "start"][..],
        &["start", "sleep 0.3; node busy.js; true", "--name", "web"],
    ] {
        let said = in_time(&front, words);
        assert!(said.err.contains(" ready_by=listen listen=tcp:"), "{said:?}");
        front.ok("delete web");
    }
}

/// A server is often loaded once a secret or a database is there: until then nothing tells it from what serves nobody.
#[test]
fn what_loads_its_server_late_is_started_once_it_listens() {
    let front = front(24);
    for mode in MODES {
        let said = front.ok(&format!("start late.js --name web{mode} -s"));
        // What was idle between two looks of a busy machine is not known to load something now.
        let listens = said.err.contains(" ready_by=listen listen=tcp:");
        assert!(listens || !mode.is_empty() && said.err.contains("; not listening yet"), "{mode}: {said:?}");
        let answer = || http::get(front.scene.port, "/").ok();
        assert_eq!(if listens { answer() } else { Some(wait::until("it", answer)) }, Some("late".to_owned()), "{mode}");
        front.ok("delete web");
    }
    // So is a reload done that is asked for before anything listens.
    let _ = front.scene.file("wait.js", "require('fs').existsSync('go') ? require('./late.js') : require('./job.js')");
    let _ = front.scene.file("job.js", "setInterval(() => {}, 1e6)");
    front.ok("start wait.js --name web -i 1 -s");
    let _ = front.scene.file("go", "");
    let said = front.ok("reload web -s");
    assert!(!said.err.contains("serves nobody") && !said.err.contains("not listening"), "{said:?}");
    assert_eq!(http::get(front.scene.port, "/"), Ok("late".to_owned()));
}

/// What it serves on now is told, not what it began with; and what serves over UDP serves.
#[test]
fn where_a_program_listens_is_followed_in_fork_mode() {
    let front = front(24);
    let port = front.scene.port;
    let _ = front.scene.file(
        "moves.js",
        "const http = require('http'); const first = http.createServer().listen(process.env.PORT); \
         process.on('SIGUSR2', () => first.close(() => http.createServer().listen('other.sock')))",
    );
    let _ = front.scene.file(
        "udp.py",
        "import os, socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.bind(('127.0.0.1', int(os.environ['PORT'])))\ns.recv(9)\n",
    );
    let udp = front.ok("start udp.py -s");
    assert!(udp.err.contains(&format!(" ready_by=listen listen=udp:127.0.0.1:{port} ")), "{udp:?}");
    front.ok("start moves.js --name web -s");
    let listens =
        || stat::workers(&front.scene).iter().find(|line| line.text("app") == "web").map(|l| l.0["listen"].to_string());
    assert_eq!(listens(), Some(format!("[\"tcp:[::]:{port}\"]")));
    proc::send(front.pids("web")[0], SIGUSR2);
    wait::until("the other address", || listens().filter(|all| all.contains("other.sock") && !all.contains("tcp")));
}

#[test]
fn what_could_serve_and_does_not_is_not_online() {
    // All at the same time, as each takes seconds.
    std::thread::scope(|threads| {
        for (major, mode) in NODES.into_iter().flat_map(|major| MODES.map(|mode| (major, mode))) {
            threads.spawn(move || is_not_online(major, mode));
        }
    });
}

fn is_not_online(major: u32, mode: &str) {
    let front = front(major);
    // As `pm start` has it, but that the ready timeout is no matter of how long the machine takes for all of this.
    let chain = format!("pm-restart{} --ready-timeout 10m node never.js", mode.replace(" -i", " pm-cluster -n"));
    let said = fork::run(&front.scene, &format!("--name web {chain}")).ok();
    assert!(said.err.contains("; not listening yet"), "{major}{mode}: {said:?}");
    // On a busy machine its supervisor may say so a moment later.
    let guess = |line: &stat::Line| (line.state(), line.text("ready_by")) == ("ready", "alive");
    wait::until("all to be up by being alive", || stat::workers(&front.scene).iter().all(guess).then_some(()));
    assert!(front.list().iter().all(|app| app == "web:launching"), "{major}{mode}: {:?}", front.list());
    assert!(front.ok("list").out.contains("not listening yet"), "{major}{mode}");
    let check = stat::run(&front.scene, &["--check"]);
    assert!(String::from_utf8_lossy(&check.stdout).contains("not listening yet"), "{major}{mode}: {check:?}");
    front.ok("delete web");
}

/// Whoever was up for the whole ready timeout, and listened on nothing, has shown that it serves nobody.
#[test]
fn what_has_not_listened_by_the_ready_timeout_is_online() {
    let front = front(24);
    for tools in ["pm-restart", "pm-restart pm-cluster -n 2"] {
        let line = format!("--name web {tools} --ready-after 100ms --ready-timeout 3s node never.js");
        let said = fork::run(&front.scene, &line).ok();
        // A machine that takes longer to load it than the timeout has nothing to wait for.
        let known = ["; not listening yet", "; it serves nobody"];
        assert!(known.iter().any(|part| said.err.contains(part)), "{said:?}");
        wait::until("it to be online", || front.list().iter().all(|app| app == "web:online").then_some(()));
        let lines = stat::workers(&front.scene);
        assert!(lines.iter().all(|line| line.text("ready_by") == "idle"), "{lines:?}");
        assert!(stat::run(&front.scene, &["--check"]).status.success());
        front.ok("delete web");
    }
}

/// What is no Node, and serves nobody: the first of it is seen to rest, and the next is asked for nothing. Each of these took
/// the whole ready timeout once, which is longer here than any wait of the test.
#[test]
fn what_is_no_node_and_rests_is_soon_online_and_so_is_its_successor() {
    let front = Front::new();
    let _ = front.scene.file("loop.sh", "while :; do date; sleep 0.5; done\n");
    let _ = front.scene.file("consumer.py", "import time\nwhile True: time.sleep(5)\n");
    let online = || front.list().iter().all(|app| app.ends_with(":online")).then_some(());
    let _ = fork::run(&front.scene, "--name loop pm-restart --ready-timeout 10m sh loop.sh").ok();
    let group = "--name group pm-restart pm-cluster -n 2 --ready-timeout 10m python3 consumer.py";
    let _ = fork::run(&front.scene, group).ok();
    wait::until("them to be online", online);
    front.ok("reload all -s");
    // What a reload replaced may still be on its way out.
    let is_well = |app: &String| app.ends_with(":online") || app.ends_with(":stopping");
    let list = front.list();
    assert!(list.iter().all(is_well), "they were asked for nothing: {list:?}");
    let before: Vec<u32> = ["loop", "group"].into_iter().flat_map(|app| front.pids(app)).collect();
    for pid in &before {
        proc::send(*pid, SIGKILL);
    }
    let others = || ["loop", "group"].into_iter().flat_map(|app| front.pids(app)).all(|pid| !before.contains(&pid));
    wait::until("others to be online", || (front.list().len() == 3 && others()).then(online).flatten());
    assert!(stat::workers(&front.scene).iter().all(|line| line.text("ready_by") == "idle"));
}

#[test]
fn one_that_throws_before_it_listens_is_a_failed_start() {
    let front = front(24);
    let _ = front.scene.file("throws.json", r#"{"apps": [{"name": "web", "script": "throws.js"}]}"#);
    for start in ["throws.js --name web", "throws.js --name web -i 2", "throws.json"] {
        let said = front.line(&format!("start {start} -s"));
        assert!(said.code == 1 && said.err.contains("Error: three"), "{start}: {said:?}");
        front.ok("delete web");
    }
}

#[test]
fn who_must_listen_is_not_ready_for_anything_else() {
    let front = front(24);
    let description =
        r#"{"name": "web", "script": "idle.js", "wait": "listen", "listen_timeout": 1000, "autorestart": false}"#;
    let _ = front.scene.file("web.json", description);
    for start in ["web.json", "idle.js --name web -i 2 --wait-listen --listen-timeout 1000 --no-autorestart"] {
        let said = front.line(&format!("start {start} -s"));
        assert!(said.code != 0 && said.err.contains("did not listen within 1 s"), "{start}: {said:?}");
        front.ok("delete web");
    }
    let said = front.ok("start slow.js --name web --wait-listen -s");
    assert!(said.err.contains(" ready_by=listen "), "{said:?}");
    front.ok("delete web");
}

/// The old worker begins to listen when its successor has started: from then on that is what the successor must do.
#[test]
fn a_reload_before_the_first_worker_listens_refuses_nobody() {
    let scene = Scene::with_node(24);
    let script = scene.file(
        "told.js",
        "const s = require('http').createServer((q, r) => r.end(`${process.pid}`)); \
         process.on('SIGUSR2', () => s.listen(process.env.PORT)); console.log(JSON.stringify({ at: 'up' }))",
    );
    let line = format!("pm-cluster --name web -n 1 --soak 0s --ready-after 1s node {}", script.display());
    let chain = scene.start(&line);
    let pid = |place: usize| stat::workers(&scene).get(place).and_then(stat::Line::pid);
    chain.hear("up", 1);
    let old = chain.until("a worker", || pid(0));
    chain.signal(SIGHUP);
    let all = chain.until("its successor", || Some(stat::workers(&scene)).filter(|all| all.len() == 2));
    let new = all.iter().filter_map(stat::Line::pid).find(|pid| *pid != old).expect("a successor");
    chain.hear("up", 2);
    proc::send(old, SIGUSR2);
    chain.until("the old one to listen", || http::get(scene.port, "/").ok());
    // Longer than it is waited for where nobody listens.
    let later = Instant::now() + Duration::from_secs(3);
    while Instant::now() < later {
        assert_eq!(http::get(scene.port, "/").expect("nobody is refused"), old.to_string());
    }
    proc::send(new, SIGUSR2);
    chain.until("the reload", || {
        let answer = http::get(scene.port, "/").expect("nobody is refused");
        (answer == new.to_string()).then_some(())
    });
    chain.line("reloaded workers=1");
    chain.stop();
}

/// An app's children and threads find no trace of the script, and the app's own options stay.
#[test]
fn the_script_in_fork_mode_leaves_no_trace() {
    for major in NODES {
        let scene = Scene::with_node(major).with("NODE_OPTIONS", "--no-warnings");
        let text = "console.log(JSON.stringify({ at: 'env', options: process.env.NODE_OPTIONS, \
                    left: Object.keys(process.env).filter((n) => /^PM_(PRELOAD|LINGER|DRAIN)/.test(n)) })); \
                    setTimeout(() => console.log(JSON.stringify({ at: 'later', \
                    own: Object.keys(require('net').Server.prototype).includes('on') })), 300)";
        let script = scene.file("trace.js", text);
        let chain = scene.start(&format!("pm-restart node {}", script.display()));
        let env = &chain.hear("env", 1)[0];
        assert_eq!((&env["options"], &env["left"]), (&"--no-warnings".into(), &serde_json::json!([])), "{major}");
        assert_eq!(chain.hear("later", 1)[0]["own"], false, "{major}");
        chain.stop();
    }
}
