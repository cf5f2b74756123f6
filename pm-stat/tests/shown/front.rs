//! What the front asks for: a table, PM2's list, targets, a description, figures, a verdict.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

impl Apps {
    /// Writes the app's `start.json`.
    fn start(&self, app: &str, start: &Value) {
        std::fs::write(self.dir(app).join("start.json"), start.to_string()).expect("written");
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(text(&output.stderr), "");
        text(&output.stdout)
    }
}

fn start(id: u64, namespace: &str, script: &str) -> Value {
    json!({
        "schema": 1, "id": id, "name": "x", "namespace": namespace, "mode": "cluster", "argv": ["pm-cluster", "a b"],
        "cwd": "/srv", "env": {"SECRET": "s3", "RAW": {"bytes": [104, 105]}, "X": "old"}, "app_env": {"X": "new"}, "out": null, "err": "/var/log/x.err",
        "script": script, "config": null, "started_at_ms": 1_000_000_000_000_u64,
        "app": {"name": "x", "instances": 4, "args": "one two", "node_args": ["--inspect"]},
    })
}

/// A supervisor that gave up, or was killed: its process is no more.
fn dead(app: &str, state: SupervisorState) -> SupervisorLine {
    let mut ended = Cat::new();
    drop(ended.0.stdin.take());
    ended.0.wait().expect("ends");
    SupervisorLine { pid: ended.0.id() as i32, start: 1, state, ..supervisor(app, "pm-cluster") }
}

fn crashed(slot: u32) -> WorkerLine {
    let last = Last { ended: Some(Ended::Code(3)), why: "crash".to_owned(), at_ms: 7, at_boot_ms: None };
    WorkerLine { last: Some(last), restarts: 5, ..WorkerLine::new(slot, 6, WorkerState::Failed) }
}

#[test]
fn a_line_says_how_the_app_was_started() {
    let apps = Apps::new();
    let cat = Cat::new();
    apps.put(&supervisor("web", "pm-cluster"), &[cat.worker(0, 1)]);
    apps.start("web", &start(3, "back", "/srv/web.js"));
    apps.start("old", &start(4, "", "/srv/old.js"));
    let lines = apps.lines(&[]);
    let of = |line: &Value| ["id", "namespace", "mode", "state"].map(|key| get(line, key).clone());
    assert_eq!(of(&lines[1]), [json!(3), json!("back"), json!("cluster"), json!("ready")]);
    assert_eq!(of(&lines[0]), [json!(4), json!("default"), json!("cluster"), json!("stopped")]);
    std::fs::write(apps.dir("web").join("start.json"), "{\"id\":").expect("written");
    assert_eq!(get(&apps.lines(&["web"])[0], "id"), &Value::Null, "a file that is broken is no obstacle");
}

#[test]
fn one_that_was_given_up_says_so() {
    let apps = Apps::new();
    apps.put(&dead("web", SupervisorState::GaveUp), &[crashed(0)]);
    apps.start("web", &start(0, "default", "/srv/web.js"));
    let line = apps.lines(&["web"]).remove(0);
    assert_eq!((get(&line, "state"), get(&line, "restarts")), (&json!("errored"), &json!(5)));
    assert_eq!(get(&line, "last"), &json!({"code": 3, "why": "crash", "at_ms": 7}));
    assert!(apps.text(&["--table"]).contains("errored"));
}

#[test]
fn restarts_are_counted_from_a_reset_of_the_same_supervisor() {
    let apps = Apps::new();
    let cat = Cat::new();
    let put = |restarts| apps.put(&supervisor("web", "pm-cluster"), &[WorkerLine { restarts, ..cat.worker(0, 1) }]);
    let restarts = || get(&apps.lines(&["web"])[0], "restarts").clone();
    let reset = |text: &str| std::fs::write(apps.dir("web").join("reset"), text).expect("written");
    put(5);
    reset(&apps.text(&["web"]));
    assert_eq!(restarts(), json!(0));
    put(7);
    assert_eq!(restarts(), json!(2));
    // A second reset counts from there, not from the difference.
    reset(&apps.text(&["web"]));
    put(8);
    assert_eq!(restarts(), json!(1));
    let other = apps.text(&["web"]).replace("\"supervisor_start\":", "\"supervisor_start\":1");
    reset(&other);
    assert_eq!(restarts(), json!(8), "that was another supervisor");
}

#[test]
fn a_table_has_a_row_for_each_worker_and_each_app_that_is_stopped() {
    let apps = Apps::new();
    let (a, b) = (Cat::new(), Cat::new());
    apps.put(&supervisor("web", "pm-cluster"), &[a.worker(0, 1), b.worker(1, 9)]);
    apps.start("old", &start(4, "back", "/srv/old.js"));
    let table = apps.text(&["--table"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    let header = "id name namespace mode slot gen pid uptime ↺ status cpu mem last restart";
    assert_eq!(rows[0].join(" "), header);
    assert_eq!(rows[1][..6].join(" "), "4 old back cluster - -");
    assert!(rows[1].contains(&"stopped"), "{table}");
    assert_eq!(rows[2][..7].join(" "), format!("- web default cluster 0 1 {}", a.0.id()));
    assert_eq!(rows[3][..7].join(" "), format!("- web default cluster 1 9 {}", b.0.id()));
    assert!(rows[3].contains(&"online") && !table.contains('\x1b'), "no colours but on a terminal: {table}");
    assert_eq!(apps.run(&["--table", "nope"]).status.code(), Some(1));
}

#[test]
fn jlist_is_an_array_as_pm2_has_it() {
    let apps = Apps::new();
    let cat = Cat::new();
    assert_eq!(apps.text(&["--jlist"]), "[]\n");
    apps.put(&supervisor("web", "pm-cluster"), &[WorkerLine { restarts: 2, ..cat.worker(1, 1) }]);
    apps.start("web", &start(3, "back", "/srv/web.js"));
    apps.start("old", &start(4, "default", "/srv/old.js"));
    let list: Value = serde_json::from_str(&apps.text(&["--jlist"])).expect("JSON");
    let (old, web) = (&list[0], &list[1]);
    assert_eq!((&web["name"], &web["pm_id"], &web["pid"]), (&json!("web"), &json!(3), &json!(cat.0.id())));
    assert!(web["monit"]["memory"].as_u64() > Some(100_000) && web["monit"]["cpu"].is_number(), "{web}");
    let env = &web["pm2_env"];
    for (key, wanted) in [
        ("status", json!("online")),
        ("restart_time", json!(2)),
        ("exec_mode", json!("cluster_mode")),
        ("name", json!("web")),
        ("namespace", json!("back")),
        ("pm_cwd", json!("/srv")),
        ("pm_exec_path", json!("/srv/web.js")),
        ("pm_out_log_path", json!(apps.dir("web").join("out.log"))),
        ("pm_err_log_path", json!("/var/log/x.err")),
        ("args", json!(["one", "two"])),
        ("node_args", json!(["--inspect"])),
        ("NODE_APP_INSTANCE", json!(1)),
        ("instances", json!(1)),
    ] {
        assert_eq!(env[key], wanted, "{key}");
    }
    assert!(env["pm_uptime"].as_u64() > Some(1_600_000_000_000), "{env}");
    assert_eq!((&old["pid"], &old["pm2_env"]["status"]), (&json!(0), &json!("stopped")));
    assert_eq!(old["pm2_env"]["instances"], 4);
    assert!(!apps.text(&["--jlist"]).contains("s3"), "the environment may hold passwords");
    let list: Value = serde_json::from_str(&apps.text(&["--jlist", "--env", "web"])).expect("JSON");
    assert_eq!(list[0]["pm2_env"]["env"], json!({"SECRET": "s3", "RAW": "hi", "X": "new"}));
}

#[test]
fn targets_are_names_of_apps() {
    let apps = Apps::new();
    let script = apps.home.path().join("web.js");
    std::fs::write(&script, "").expect("written");
    apps.start("web", &start(0, "front", script.to_str().expect("UTF-8")));
    apps.start("a b", &start(1, "back", "/srv/api.js"));
    apps.dir("left over");
    assert_eq!(apps.text(&["--match", "all"]), "a b\nweb\n");
    assert_eq!(apps.text(&["--match", "1", "back", "a b"]), "a b\n", "each once");
    assert_eq!(apps.text(&["--match", "left over"]), "left over\n");
    let by_path = |target: &str| {
        let mut command = stat_at(apps.home.path());
        text(&command.args(["--match", target]).current_dir(apps.home.path()).output().expect("runs").stdout)
    };
    for target in ["./web.js", "web.js", script.to_str().expect("UTF-8"), "../nothing/../web.js"] {
        let wanted = if target.starts_with("..") { "" } else { "web\n" };
        assert_eq!(by_path(target), wanted, "{target}");
    }
    let output = apps.run(&["--match", "nope", "web", "7"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), "web\n"));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 2, "one for each: {said}");
    assert!(said.contains("'nope'") && said.contains("'7'"), "{said}");
    assert_eq!(apps.run(&["--match"]).status.code(), Some(125));
}

#[test]
fn a_check_says_what_is_not_as_it_shall_be() {
    let apps = Apps::new();
    let cat = Cat::new();
    let check = |args: &[&str]| {
        let output = apps.run(&[&["--check"], args].concat());
        assert_eq!(text(&output.stderr), "");
        (output.status.code(), text(&output.stdout))
    };
    assert_eq!(check(&[]).0, Some(1), "there is nothing in the directory");
    apps.put(&supervisor("web", "pm-cluster"), &[cat.worker(0, 1)]);
    apps.start("old", &start(4, "default", "/srv/old.js"));
    assert_eq!(check(&[]), (Some(0), String::new()), "who was stopped on request shall be stopped");
    assert_eq!(check(&["old"]), (Some(1), "old: stopped\n".to_owned()), "but who names it wants it");
    assert_eq!(check(&["nope"]).0, Some(1));
    let two = SupervisorLine { workers: 2, ..supervisor("web", "pm-cluster") };
    let waiting = WorkerLine { state: WorkerState::Backoff, ..crashed(1) };
    apps.put(&two, &[cat.worker(0, 1), waiting.clone()]);
    let why = "web: 1 of 2 workers ready: slot 1 backoff after exit 3\n";
    assert_eq!(check(&[]), (Some(1), why.to_owned()));
    apps.put(&SupervisorLine { state: SupervisorState::Starting, ..two.clone() }, &[waiting]);
    assert_eq!(check(&[]), (Some(1), format!("web: starting: {}", why.trim_start_matches("web: "))), "a crash loop");
    apps.put(&SupervisorLine { state: SupervisorState::Starting, ..two }, &[]);
    assert_eq!(check(&[]), (Some(1), "web: starting: 1 of 2 workers ready\n".to_owned()));
    std::fs::remove_dir_all(apps.dir("web")).expect("ours");
    let killed = dead("web", SupervisorState::Ready);
    apps.put(&killed, &[]);
    let why = format!("web: pm-cluster has died without a word: pid={}\n", killed.pid);
    assert_eq!(check(&[]), (Some(1), why));
    std::fs::remove_dir_all(apps.dir("web")).expect("ours");
    apps.put(&dead("web", SupervisorState::GaveUp), &[crashed(0)]);
    assert_eq!(check(&[]), (Some(1), "web: pm-cluster gave up: exit 3\n".to_owned()));
}

/// What the files say was true when they were written.
#[test]
fn a_check_looks_at_the_processes_too() {
    let apps = Apps::new();
    let (cat, other) = (Cat::new(), Cat::new());
    let check = || {
        let output = apps.run(&["--check"]);
        (output.status.code(), text(&output.stdout))
    };
    let [pid, above] = [cat.0.id(), other.0.id()].map(|pid| pid as i32);
    apps.put(&supervisor("web", "pm-cluster"), &[cat.worker(0, 1)]);
    assert_eq!(check(), (Some(0), String::new()));
    suspend(pid);
    assert_eq!(check(), (Some(1), format!("web: slot 0 is suspended: pid={pid}; to let it go on: kill -CONT {pid}\n")));
    let start = procfs::start_time(above).expect("runs");
    apps.put(&SupervisorLine { pid: above, start, ..supervisor("web", "pm-restart") }, &[]);
    suspend(above);
    let why = format!("web: pm-restart is suspended: pid={above}; to let it go on: kill -CONT {above}\n");
    assert_eq!(check(), (Some(1), why), "it comes first: what it says is old");
    drop(other);
    let worker = cat.worker(0, 1);
    drop(cat);
    std::fs::remove_dir_all(apps.dir("web")).expect("ours");
    apps.put(&supervisor("web", "pm-cluster"), &[worker]);
    let why = format!("web: slot 0 has ended, and its supervisor has not said so: pid={pid}\n");
    assert_eq!(check(), (Some(1), why));
}

/// Returns when it is.
fn suspend(pid: i32) {
    use nix::sys::{signal, wait};
    let pid = nix::unistd::Pid::from_raw(pid);
    signal::kill(pid, signal::Signal::SIGSTOP).expect("our child");
    wait::waitpid(pid, Some(wait::WaitPidFlag::WUNTRACED)).expect("our child");
}

#[test]
fn a_program_that_runs_without_a_supervisor_is_all_right() {
    let apps = Apps::new();
    let lock = std::fs::File::create(apps.dir("plain").join("lock")).expect("made");
    lock_it(&lock);
    // The test holds it, and is no pm tool, whatever its name.
    assert_eq!(apps.text(&["--check"]), "");
    assert!(apps.text(&["--table"]).contains("online"));
}

#[test]
fn a_description_is_for_people() {
    let apps = Apps::new();
    let cat = Cat::new();
    apps.put(&supervisor("web", "pm-cluster"), &[cat.worker(0, 1)]);
    apps.start("web", &start(3, "back", "/srv/web.js"));
    let said = apps.text(&["--describe", "web"]);
    let facts: Vec<_> = said.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for fact in ["id 3", "namespace back", "status online", "workers 1 wanted, 1 ready", "script /srv/web.js"] {
        assert!(facts.iter().any(|l| l == fact), "{fact} is not in\n{said}");
    }
    assert!(said.contains("pm-cluster 'a b'") && said.contains("2001-09-09T01:46:40Z"), "{said}");
    assert!(!said.contains("s3"), "no environment: {said}");
    assert_eq!(apps.run(&["--describe"]).status.code(), Some(125));
    assert_eq!(apps.run(&["--describe", "nope"]).status.code(), Some(1));
}

#[test]
fn figures_are_in_families() {
    let apps = Apps::new();
    let (a, b) = (Cat::new(), Cat::new());
    let draining = WorkerLine { state: WorkerState::Draining, ..a.worker(0, 1) };
    apps.put(&supervisor("w\"e", "pm-cluster"), &[draining, b.worker(0, 2)]);
    apps.start("old", &start(4, "back", "/srv/old.js"));
    let said = apps.text(&["--openmetrics"]);
    assert!(said.ends_with("# EOF\n"), "{said}");
    let value = |name: &str| -> Vec<&str> { said.lines().filter(|l| l.starts_with(name)).collect() };
    let web = "app=\"w\\\"e\",namespace=\"default\"";
    assert_eq!(
        value("pm_app_running"),
        ["pm_app_running{app=\"old\",namespace=\"back\"} 0", &format!("pm_app_running{{{web}}} 1")]
    );
    assert_eq!(value("pm_worker_ready"), [format!("pm_worker_ready{{{web},slot=\"0\"}} 1")], "one for the slot");
    assert_eq!(value("pm_worker_restarts_total"), [format!("pm_worker_restarts_total{{{web},slot=\"0\"}} 0")]);
    assert!(!said.contains("proportional"), "{said}");
    assert!(apps.text(&["--openmetrics", "--pss"]).contains("pm_worker_proportional_memory_bytes{"));
}

#[test]
fn pss_is_the_share_of_the_memory() {
    let apps = Apps::new();
    let cat = Cat::new();
    apps.put(&supervisor("web", "pm-cluster"), &[cat.worker(0, 1)]);
    assert_eq!(apps.lines(&[])[0].get("pss_bytes"), None);
    let line = apps.lines(&["--pss"]).remove(0);
    let (pss, rss) = (get(&line, "pss_bytes").as_u64(), get(&line, "rss_bytes").as_u64());
    assert!(pss > Some(0) && pss < rss, "cat shares its libraries: {line}");
}

#[test]
fn a_sample_is_left_for_the_next_run() {
    let apps = Apps::new();
    let cat = Cat::new();
    apps.put(&supervisor("web", "pm-cluster"), &[cat.worker(0, 1)]);
    apps.lines(&[]);
    let samples = apps.home.path().join(".samples");
    let mode = std::fs::metadata(&samples).expect("left").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = std::fs::read_to_string(&samples).expect("ours");
    let line = told.lines().find(|l| l.starts_with(&format!("{} ", cat.0.id()))).expect("a line");
    // As if it had used 2 s of CPU time less 10 s ago.
    let mut words: Vec<&str> = line.split(' ').collect();
    let at = format!("{:.3}", pm_common::sys::clock::since_boot().as_secs_f64() - 10.0);
    words[2] = &at;
    words[3] = "-2.00";
    std::fs::write(&samples, told.replace(line, &words.join(" "))).expect("written");
    let cpu = get(&apps.lines(&[])[0], "cpu_pct").as_f64().expect("a number");
    assert!((15.0..25.0).contains(&cpu), "2 s of 10 s: {cpu}");
    assert_eq!(apps.lines(&[]).len(), 1, "the file is no app");
}

#[test]
fn a_live_table_needs_a_terminal() {
    let apps = Apps::new();
    let output = apps.run(&["--top"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("--table"), "the remedy is named");
}
