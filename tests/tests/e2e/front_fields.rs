//! Options of an app for one that is known: `pm restart APP --max-memory-restart 300M -- --port 1`, kept from then on.

use pm_tests::front::Front;
use pm_tests::{http, proc, wait};

const APP: &str = "require('http').createServer((q, r) => r.end(JSON.stringify({ argv: process.argv.slice(2), v: process.env.V, own: process.env.OWN })))\
    .listen(process.env.PORT)";

fn front(mode: &str) -> Front {
    let front = Front::with_node(24);
    let _ = front.scene.file("web.js", APP);
    let file = format!(
        "module.exports = {{ apps: [{{ name: 'web', script: 'web.js', args: 'first', env: {{ OWN: 'own' }}, exec_mode: '{mode}', \
         instances: {} }}] }}",
        if mode == "fork" { 1 } else { 2 }
    );
    let _ = front.scene.file("ecosystem.config.js", &file);
    front.ok("start ecosystem.config.js -s");
    front
}

fn answer(front: &Front) -> serde_json::Value {
    serde_json::from_str(&http::get(front.scene.port, "/").expect("an answer")).expect("JSON")
}

/// The fields that the app has from now on.
fn field(front: &Front, name: &str) -> serde_json::Value {
    let text = std::fs::read(front.scene.dir().join("pm/web/start.json")).expect("a start.json");
    serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")["app"][name].clone()
}

/// The words of its supervisor.
fn is_run_with(front: &Front, words: &str) -> bool {
    let pid = std::fs::read_to_string(front.scene.dir().join("pm/web/pid")).expect("a supervisor");
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).expect("it runs");
    String::from_utf8_lossy(&line).replace('\0', " ").contains(words)
}

#[test]
fn a_restart_with_options_keeps_them() {
    let front = front("cluster");
    front.ok("scale web 3 -s");
    front.ok("restart web --max-memory-restart 300M -s");
    assert!(is_run_with(&front, "--max-mem 300M"));
    assert_eq!(answer(&front), serde_json::json!({ "argv": ["first"], "own": "own" }));
    assert_eq!(front.pids("web").len(), 3, "the scale holds on");
    front.ok("restart web -s -- second --third");
    assert_eq!(answer(&front)["argv"], serde_json::json!(["second", "--third"]));
    front.ok("restart web -s");
    assert_eq!(answer(&front)["argv"], serde_json::json!(["second", "--third"]));
    assert!(is_run_with(&front, "--max-mem 300M"));
    front.ok("restart web -i 1 -s");
    assert_eq!(front.pids("web").len(), 1);
    front.ok("stop web -s");
    front.ok("start web --kill-timeout 1234 -s");
    assert!(is_run_with(&front, "--grace 1234ms"));
    assert_eq!(field(&front, "kill_timeout"), "1234");
    // Only what was there when it was started, unless told.
    assert_eq!(answer(&front)["v"], serde_json::Value::Null);
    let mut command = front.command(&["restart", "web", "--cron-restart", "0 3 * * *", "--update-env", "-s"]);
    assert!(command.env("V", "new").status().expect("pm runs").success());
    assert_eq!(answer(&front)["v"], "new");
    front.ok("delete web");
}

#[test]
fn a_reload_applies_what_needs_no_restart() {
    let front = front("cluster");
    let before = front.pids("web");
    let said = front.line("reload web --max-memory-restart 300M");
    assert!(said.code == 1 && said.err.contains("max_memory_restart changed, which takes a restart"), "{said:?}");
    assert_eq!(front.pids("web"), before, "nothing was done");
    front.ok("reload web -i 3 -s");
    assert_eq!(front.pids("web").len(), 3);
    assert!(front.pids("web").iter().all(|pid| !before.contains(pid)));
    front.ok("reload web --max-memory-restart 300M -f -s");
    assert!(is_run_with(&front, "--max-mem 300M"));
    assert_eq!(front.pids("web").len(), 3);
}

#[test]
fn what_is_to_count_up_does_so_from_worker_to_worker() {
    let front = Front::new();
    let _ = front
        .scene
        .file("count.js", "console.log(`N=${process.env.N} M=${process.env.M}`); setInterval(() => {}, 1e6)");
    let app = r#"[{ "name": "count", "script": "count.js", "instances": 3, "exec_mode": "fork", "increment_var": "N", "env": { "N": 3000 },
        "instance_var": "M" }]"#;
    let _ = front.scene.file("count.json", app);
    front.ok("start count.json");
    let said = || {
        let log = std::fs::read_to_string(front.scene.dir().join("pm/count/out.log")).unwrap_or_default();
        let mut lines: Vec<String> = log.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let all = ["N=3000 M=0", "N=3001 M=1", "N=3002 M=2"];
    wait::until("all three", || (said() == all).then_some(()));
    front.ok("restart count");
    let twice: Vec<_> = all.iter().flat_map(|line| [*line; 2]).collect();
    wait::until("the same again", || (said() == twice).then_some(()));
    front.ok("delete count");
}

#[test]
fn what_makes_no_sense_is_said_and_nothing_is_done() {
    let front = front("fork");
    let before = front.pids("web");
    let _ = front.scene.file("loop.sh", "while sleep 1; do :; done");
    assert_eq!(
        front
            .scene
            .command(&["pm-fork", "--name", "chain", "--wait", "started", "pm-restart", "sh", "loop.sh"])
            .status()
            .expect("runs")
            .code(),
        Some(0)
    );
    for (line, why) in [
        ("restart web --name other", "an app keeps its name"),
        ("restart web --max-memory-restart lots", "max_memory_restart"),
        ("restart web chain --kill-timeout 1000", "with a chain"),
        ("restart nobody --kill-timeout 1000", "nobody"),
        ("start web --kill-timeout 1000", "pm restart web takes the same options"),
        ("restart ecosystem.config.js -- x", "each app has its own"),
    ] {
        let said = front.line(line);
        assert!(said.code == 1 && said.err.contains(why), "{line}: {said:?}");
        assert_eq!(front.pids("web"), before, "{line}");
    }
    assert!(before.iter().all(|pid| proc::alive(*pid)));
}

/// What is typed is meant from where it is typed; what was said before stays where it is.
#[test]
fn paths_are_those_of_who_types_them() {
    let front = Front::with_node(24);
    let _ = front.scene.file("web.js", APP);
    for dir in ["here", "there/rel"] {
        std::fs::create_dir_all(front.scene.dir().join(dir)).expect("made");
    }
    front.ok("start web.js -s --output first.log");
    let in_dir = |words: &[&str]| {
        let mut command = front.command(words);
        assert!(command.current_dir(front.scene.dir().join("there")).status().expect("pm runs").success(), "{words:?}");
    };
    in_dir(&["restart", "web", "--cwd", "rel", "--error", "./err.log", "-s"]);
    let real = |path: &str| std::fs::canonicalize(front.scene.dir().join(path)).expect(path);
    let pid = front.pids("web")[0];
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).expect("it runs"), real("there/rel"));
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/1")).expect("it runs"), real("first.log"));
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/2")).expect("it runs"), real("there/err.log"));
    assert_eq!(answer(&front)["argv"], serde_json::json!([]));
}

#[test]
fn arguments_go_to_the_command_of_a_line() {
    let front = Front::with_node(24);
    let _ = front.scene.file("web.js", APP);
    front.ok_words(&["start", "node web.js 'a b'", "--name", "web", "-s"]);
    assert_eq!(answer(&front)["argv"], serde_json::json!(["a b"]));
    front.ok_words(&["restart", "web", "-s", "--", "c d", "--e"]);
    assert_eq!(answer(&front)["argv"], serde_json::json!(["a b", "c d", "--e"]));
}
