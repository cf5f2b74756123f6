//! The JSON lines.

use super::*;

#[test]
fn a_worker_is_one_line_with_all_that_is_known() {
    let apps = Apps::new();
    let cat = Cat::new();
    let last =
        Last { ended: Some(Ended::Signal("SIGKILL".to_owned())), why: "memory".to_owned(), at_ms: 7, at_boot_ms: None };
    let worker = WorkerLine {
        ready_by: Some("listen".to_owned()),
        restarts: 3,
        last: Some(last),
        addresses: vec!["[::]:3000".to_owned()],
        ..cat.worker(0, 4)
    };
    apps.put(&supervisor("my größe", "pm-cluster"), &[worker]);
    let output = apps.run(&[]);
    let line = lines(&output).pop().expect("a line");
    let rss = get(&line, "rss_bytes").as_u64().expect("a number");
    assert!((100_000..100_000_000).contains(&rss), "{rss}");
    let uptime = get(&line, "uptime_s").as_f64().expect("a number");
    assert!((0.0..60.0).contains(&uptime), "{uptime}");
    let cpu = get(&line, "cpu_pct").as_f64().expect("a number");
    let wanted = json!({
        "app": "my größe", "slot": 0, "generation": 4, "pid": cat.0.id(), "state": "ready", "ready_by": "listen",
        "uptime_s": uptime, "restarts": 3, "last": {"signal": "SIGKILL", "why": "memory", "at_ms": 7},
        "rss_bytes": rss, "cpu_pct": cpu, "listen": ["[::]:3000"], "id": null, "namespace": "default",
        "mode": "cluster", "restarts_total": 3, "supervisor_pid": std::process::id(),
        "supervisor_start": procfs::start_time(std::process::id() as i32), "rolls_requested": null, "schema": 1,
        "adapter": null, "queue": null, "connections": null,
    });
    assert_eq!(line, wanted);
    assert!(text(&output.stdout).starts_with("{\"app\":\"my größe\",\"id\":null,\"namespace\":\"default\","), "{line}");
}

#[test]
fn the_memory_and_cpu_are_those_of_the_tree() {
    let apps = Apps::new();
    // The inner shell counts, to use some CPU time, and is waited for; then cat shows by its line that it runs.
    let script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; cat; :";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut tree = Cat(shell.spawn().expect("starts"));
    std::io::Write::write_all(tree.0.stdin.as_mut().expect("piped"), b"up\n").expect("written");
    let mut up = String::new();
    let stdout = tree.0.stdout.as_mut().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut up).expect("read");
    apps.put(&supervisor("web", "pm-cluster"), &[tree.worker(0, 1)]);
    let line = apps.lines(&[]).pop().expect("a line");
    let alone = procfs::stat(tree.0.id() as i32).expect("running").rss_bytes();
    assert!(get(&line, "rss_bytes").as_u64() > Some(alone), "{line}");
    assert!(get(&line, "cpu_pct").as_f64() > Some(1.0), "{line}");
}

#[test]
fn workers_are_sorted_and_apps_too() {
    let apps = Apps::new();
    let (a, b, c) = (Cat::new(), Cat::new(), Cat::new());
    apps.put(&supervisor("web", "pm-cluster"), &[c.worker(10, 1), b.worker(2, 2), a.worker(2, 1)]);
    apps.put(&supervisor("api", "pm-restart"), &[a.worker(0, 9)]);
    let order = |args: &[&str]| -> Vec<_> {
        let of = |l: &Value| (get(l, "app").clone(), get(l, "slot").clone(), get(l, "generation").clone());
        apps.lines(args).iter().map(of).collect()
    };
    let all = [("api", 0, 9), ("web", 2, 1), ("web", 2, 2), ("web", 10, 1)];
    let all: Vec<_> = all.iter().map(|(app, slot, n)| (json!(app), json!(slot), json!(n))).collect();
    assert_eq!(order(&[]), all);
    assert_eq!(order(&["web", "api", "web"]), all, "each app once");
    assert_eq!(order(&["api"]), all.get(..1).expect("one"));
}

#[test]
fn a_dead_supervisors_file_tells_of_no_worker() {
    let apps = Apps::new();
    let cat = Cat::new();
    let mut ended = Cat::new();
    drop(ended.0.stdin.take());
    ended.0.wait().expect("ends");
    let me = supervisor("web", "pm-cluster");
    // Gone; its number used again by another process; the same after a reboot.
    let other = |slot| WorkerLine { start: Some(1), ..cat.worker(slot, 1) };
    apps.put(&SupervisorLine { pid: ended.0.id() as i32, ..me.clone() }, &[other(0)]);
    apps.put(&SupervisorLine { tool: "pm-a".to_owned(), start: me.start + 1, ..me.clone() }, &[other(1)]);
    let boot = Some("0".to_owned());
    apps.put(&SupervisorLine { tool: "pm-b".to_owned(), boot, ..me }, &[cat.worker(2, 1)]);
    let line = apps.lines(&["web"]).remove(0);
    assert_eq!((get(&line, "state"), get(&line, "pid")), (&json!("errored"), &Value::Null), "it was killed: {line}");
}

#[test]
fn a_worker_that_is_gone_or_whose_pid_is_reused_is_not_alive() {
    let apps = Apps::new();
    let cat = Cat::new();
    let mut zombie = Cat::new();
    let ended = zombie.worker(0, 1);
    drop(zombie.0.stdin.take());
    zombie.0.wait().expect("ends");
    let reused = WorkerLine { start: Some(1), ..cat.worker(1, 1) };
    let waiting = WorkerLine { until_ms: Some(9), ..WorkerLine::new(2, 5, WorkerState::Backoff) };
    let asked = WorkerLine { state: WorkerState::Draining, slot: 3, ..ended.clone() };
    let state = |line: &Value| get(line, "state").as_str().unwrap_or_default().to_owned();
    apps.put(&supervisor("web", "pm-cluster"), std::slice::from_ref(&asked));
    assert_eq!(apps.lines(&["web"]).iter().map(state).collect::<Vec<_>>(), ["draining"], "nobody else is there");
    apps.put(&supervisor("web", "pm-cluster"), &[ended, reused, waiting, asked]);
    let lines = apps.lines(&["web"]);
    assert_eq!(lines.iter().map(state).collect::<Vec<_>>(), ["gone", "gone", "backoff"]);
    for line in &lines {
        for key in ["pid", "uptime_s", "rss_bytes", "cpu_pct"] {
            assert_eq!(line.get(key), Some(&Value::Null), "{line}");
        }
    }
}

#[test]
fn the_workers_of_the_inner_supervisor_are_shown() {
    let apps = Apps::new();
    let cat = Cat::new();
    let child = WorkerLine { supervises: true, ..cat.worker(0, 1) };
    apps.put(&supervisor("web", "pm-restart"), std::slice::from_ref(&child));
    // The inner one has not said anything yet, or cannot.
    let line = apps.lines(&["web"]).pop().expect("a line");
    assert_eq!((get(&line, "state"), get(&line, "pid")), (&json!("ready"), &json!(std::process::id())));
    assert_eq!(line.get("slot"), None);
    apps.put(&supervisor("web", "pm-cluster"), &[cat.worker(0, 7), cat.worker(1, 3)]);
    let generations: Vec<_> = apps.lines(&["web"]).iter().map(|l| get(l, "generation").clone()).collect();
    assert_eq!(generations, [json!(7), json!(3)]);
}

#[test]
fn an_app_that_is_locked_runs_though_nobody_says_so() {
    let apps = Apps::new();
    let dir = apps.dir("quiet");
    let lock = std::fs::File::create(dir.join("lock")).expect("made");
    lock_it(&lock);
    let line = apps.lines(&["quiet"]).pop().expect("a line");
    assert_eq!((get(&line, "state"), get(&line, "pid")), (&json!("running"), &json!(std::process::id())));
    drop(lock);
    assert_eq!(apps.lines(&["quiet"]), [stopped("quiet")]);
}

#[test]
fn an_app_that_does_not_exist_is_told_and_the_others_printed() {
    let apps = Apps::new();
    let cat = Cat::new();
    apps.put(&supervisor("web", "pm-cluster"), &[cat.worker(0, 1)]);
    let output = apps.run(&["nope", "web", "../web", "a\nb"]);
    assert_eq!((output.status.code(), lines(&output).len()), (Some(1), 1));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("'nope'") && said.contains("'../web'") && !said.contains("'web'"), "{said}");
}

#[test]
fn without_any_app_nothing_is_printed() {
    let apps = Apps::new();
    assert_eq!(apps.lines(&[]), [Value::Null; 0]);
    std::fs::write(apps.home.path().join("a file"), "").expect("written");
    std::fs::create_dir(apps.home.path().join(".hidden")).expect("made");
    assert_eq!(apps.lines(&[]), [Value::Null; 0]);
    let nowhere = stat_at(Path::new("/nonexistent/pm")).output().expect("runs");
    assert_eq!((nowhere.status.code(), nowhere.stdout.len(), nowhere.stderr.len()), (Some(0), 0, 0));
}

#[test]
fn a_reader_that_has_gone_is_no_failure_but_a_full_disk_is() {
    let apps = Apps::new();
    apps.dir("web");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = stat_at(apps.home.path()).arg("web").stdout(writer).output().expect("runs");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
    let output = stat_at(apps.home.path()).arg("web").stdout(full).output().expect("runs");
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(text(&output.stderr), "pm-stat: fatal: cannot write to stdout: No space left on device\n");
}

#[test]
fn bad_usage_is_one_line() {
    let apps = Apps::new();
    let output = apps.run(&["--bogus"]);
    assert_eq!((output.status.code(), text(&output.stderr).lines().count()), (Some(125), 1));
    let output = apps.run(&["--help"]);
    assert!(output.status.success() && text(&output.stdout).starts_with("usage: pm-stat"));
}
