//! Watching files, as PM2's users ask for it.

use pm_tests::front::Front;
use pm_tests::{any, wait};

/// Has the app read `code.js`, which is there.
fn front() -> Front {
    let front = Front::new();
    let app = "require('./code.js')\n\
        require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT)\n";
    let _ = front.scene.file("app.js", app);
    let _ = front.scene.file("code.js", "// good\n");
    front
}

fn watches(front: &Front) -> Vec<bool> {
    front.jlist().iter().map(|item| item["pm2_env"]["watch"].as_bool().expect("said")).collect()
}

#[track_caller]
fn is_another(front: &Front, before: &[u32]) {
    wait::until("another", || {
        let now = front.pids("app");
        (now.len() == before.len() && now.iter().all(|pid| !before.contains(pid))).then_some(())
    });
}

/// What the app's supervisors have said.
fn log(front: &Front) -> String {
    std::fs::read_to_string(front.scene.dir().join("pm/app/err.log")).unwrap_or_default()
}

#[test]
fn an_app_that_watches_is_restarted_and_says_so_everywhere() {
    let front = front();
    front.ok("start app.js --watch --ignore-watch *.css --watch-delay 100");
    let first = front.pids("app");
    assert_eq!(watches(&front), [true]);
    let told = front.ok("describe app").out;
    assert!(told.contains("without *.css; started anew 100 ms after the last change"), "{told}");
    let _ = front.scene.file("a.css", "");
    let _ = front.scene.file("code.js", "// better\n");
    is_another(&front, &first);
    assert!(log(&front).contains("the app is started anew file=code.js changes=1"), "{}", log(&front));
    front.ok("stop app");
    assert_eq!(watches(&front), [false], "what is stopped is not watched");
    front.ok("start app");
    assert_eq!(watches(&front), [true]);
    front.ok("delete app");
}

#[test]
fn restart_and_stop_with_watch_switch_it() {
    let front = front();
    front.ok("start app.js --ignore-watch *.css -i 1");
    assert_eq!(watches(&front), [false]);
    let said = front.ok("restart app --watch");
    assert!(said.err.contains("'app' watches its files\n"), "{said:?}");
    assert_eq!(watches(&front), [true]);
    assert!(front.ok("describe app").out.contains(" without *.css"), "the rest of the description counts, too");
    let before = front.pids("app");
    let _ = front.scene.file("code.js", "// better\n");
    is_another(&front, &before);
    let said = front.ok("restart app --watch");
    assert!(said.err.contains("'app' watches its files no longer\n"), "{said:?}");
    assert_eq!(watches(&front), [false]);
    front.ok("restart app --watch");
    front.ok("stop app --watch");
    front.ok("restart app");
    assert_eq!(watches(&front), [false], "nor at the next start");
    let said = front.line("restart app --watch --name x");
    assert_eq!(said.code, 1, "{said:?}");
    front.ok("delete app");
}

#[test]
fn the_fields_of_a_file() {
    let front = front();
    let file = r#"{ "name": "app", "script": "app.js", "instances": 2, "watch": ["code.js", "lib"],
        "ignore_watch": ["**/made/**", "*.tmp"], "watch_delay": 50, "watch_options": { "ignored": "x", "usePolling": true } }"#;
    let _ = front.scene.file("eco.json", file);
    let said = front.ok("start eco.json");
    assert!(said.err.contains("watch_options: usePolling: nothing is polled"), "{said:?}");
    let dir = front.scene.dir().join("lib");
    let first = front.pids("app");
    std::fs::create_dir(&dir).expect("made");
    std::fs::write(dir.join("x"), "").expect("written");
    std::fs::write(dir.join("y.js"), "").expect("written");
    is_another(&front, &first);
    assert!(log(&front).contains("file=lib/y.js changes="), "{}", log(&front));
    let second = front.pids("app");
    let _ = front.scene.file("code.js", "broken(");
    wait::until("the end of the roll", || log(&front).contains("reload aborted").then_some(()));
    assert_eq!(front.pids("app"), second);
    assert_eq!(any::answer(&front.scene).map(|pid| second.contains(&pid.parse().expect("a pid"))), Some(true));
    let said = front
        .with_input(&["start", "-"], r#"{ "name": "b", "script": "app.js", "ignore_watch": [{}], "watch": true }"#);
    assert!(said.code == 1 && said.err.contains("and no regular expression"), "{said:?}");
    front.ok("delete all");
}

#[test]
fn a_start_of_what_has_ended_says_what_it_waits_for() {
    let front = front();
    let _ = front.scene.file("job.js", "process.exit(3)\n");
    let said = front.line("start job.js --watch --no-autorestart");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("it is started again when a watched file changes"), "{said:?}");
    let _ = front.scene.file("job.js", "setInterval(() => {}, 1e6)\n");
    wait::until("a process", || (front.list() == ["job:online"]).then_some(()));
    front.ok("delete job");
}
