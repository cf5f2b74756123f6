//! Apps that start after others (`depends_on`, `--after`), and several that start at the same time.

use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal::{SIGINT, SIGTERM};
use pm_tests::front::Front;
use pm_tests::{fork, wait};

/// Writes what becomes of it to `events`; it is not ready as long as there is a file `hold-NAME`, and fails where there is `break-NAME`.
const APP: &str = "const fs = require('fs'), name = process.env.name
const say = what => fs.appendFileSync('events', `${what} ${name}\\n`)
process.on('SIGINT', () => { say('ended'); process.exit(0) })
say('begun')
if (fs.existsSync(`break-${name}`)) process.exit(7)
const look = setInterval(() => {
  if (fs.existsSync(`hold-${name}`)) return
  clearInterval(look)
  say('ready')
  process.send('ready')
}, 20)
setInterval(() => {}, 1e6)
";

/// `web` after `api` and `db`, `api` after `db`; the first stands first, so that its place says nothing.
const APPS: &str = "const app = { script: 'app.js', wait_ready: true, listen_timeout: 60000 }
module.exports = { apps: [
  { ...app, name: 'web', depends_on: ['api', 'db'] }, { ...app, name: 'api', depends_on: { db: 'ready' } },
  { ...app, name: 'db' }, { ...app, name: 'alone' }] }";

fn front() -> Front {
    let front = Front::new();
    let _ = front.scene.file("app.js", APP);
    let _ = front.scene.file("apps.config.js", APPS);
    front
}

/// What has happened since it was asked last.
fn events(front: &Front) -> Vec<String> {
    let path = front.scene.dir().join("events");
    let said = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = std::fs::remove_file(path);
    said.lines().map(str::to_owned).collect()
}

#[track_caller]
fn in_this_order(events: &[String], wanted: &[&str]) {
    let places: Vec<_> = wanted.iter().map(|event| events.iter().position(|said| said == event)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{wanted:?}: {events:?}");
}

fn hold(front: &Front, name: &str) {
    let _ = front.scene.file(&format!("hold-{name}"), "");
}

fn release(front: &Front, name: &str) {
    std::fs::remove_file(front.scene.dir().join(format!("hold-{name}"))).expect("it was held");
}

/// Waits until this has happened.
#[track_caller]
fn until(front: &Front, event: &str) {
    wait::until(event, || {
        let said = std::fs::read_to_string(front.scene.dir().join("events")).unwrap_or_default();
        said.lines().any(|line| line == event).then_some(())
    });
}

const UP: [&str; 5] = ["ready db", "begun api", "ready api", "begun web", "ready web"];
const DOWN: [&str; 3] = ["ended web", "ended api", "ended db"];

#[test]
fn each_starts_once_those_before_it_are_ready_and_ends_before_them() {
    let front = front();
    // What waits for nobody does not wait for the others.
    hold(&front, "db");
    let start = front.start(&["start", "apps.config.js"]);
    until(&front, "ready alone");
    start.line("waiting for app 'db' to be ready, before 'web', 'api'");
    release(&front, "db");
    assert_eq!(start.wait().code(), Some(0), "{}", start.output());
    in_this_order(&events(&front), &UP);
    front.ok("stop all");
    in_this_order(&events(&front), &DOWN);
    front.ok("start web db api");
    in_this_order(&events(&front), &UP);
    front.ok("restart all");
    in_this_order(&events(&front), &[&DOWN[..], &UP[..]].concat());
    front.ok("reload all");
    in_this_order(&events(&front), &[&["ended db"], &UP[..]].concat());
    front.ok("save");
    front.ok("kill");
    in_this_order(&events(&front), &DOWN);
    front.ok("resurrect");
    in_this_order(&events(&front), &UP);
    front.ok("start apps.config.js");
    in_this_order(&events(&front), &[&DOWN[..], &UP[..]].concat());
    assert!(front.ok("describe web").out.contains("starts after   api, db"));
    front.ok("delete apps.config.js");
    in_this_order(&events(&front), &DOWN);
}

#[test]
fn several_scripts_start_at_the_same_time() {
    let front = Front::new();
    let ready = "process.send('ready'); setInterval(() => {}, 1e6)";
    let first = "const look = setInterval(() => {
        if (!require('fs').existsSync('second-runs')) return
        clearInterval(look)
        READY }, 20)";
    let _ = front.scene.file("first.js", &first.replace("READY", ready));
    let _ = front.scene.file("second.js", &format!("require('fs').writeFileSync('second-runs', ''); {ready}"));
    let _ = front.scene.file("ready.js", ready);
    let _ = front.scene.file("third.json", r#"{"script": "ready.js", "name": "third"}"#);
    front.ok("start ready.js --name known");
    front.ok("stop known");
    let said = front.ok("start first.js second.js third.json --wait-ready --listen-timeout 60000");
    assert_eq!(said.lines().filter(|line| line.contains("started app")).count(), 3, "{said:?}");
    front.ok("stop all");
    let said = front.ok("start second known third");
    assert_eq!(said.lines().filter(|line| line.contains("started app")).count(), 3, "{said:?}");
    assert_eq!(front.list(), ["first:stopped", "known:online", "second:online", "third:online"]);
}

/// More than are waited for at a time.
#[test]
fn forty_apps_are_started() {
    let front = Front::new();
    let _ = front.scene.file("nap.sh", "exec sleep 1000\n");
    let apps: Vec<_> = (0..40).map(|n| format!("{{ name: 'nap{n}', script: 'nap.sh' }}")).collect();
    let _ = front.scene.file("many.config.js", &format!("module.exports = [{}]", apps.join(", ")));
    let said = front.ok("start many.config.js");
    assert_eq!(said.lines().filter(|line| line.contains("started app")).count(), 40, "{said:?}");
    let ids: Vec<_> = front.jlist().iter().map(|item| (item["pm_id"].clone(), item["name"].clone())).collect();
    assert!((0..40).all(|n| ids.contains(&(n.into(), format!("nap{n}").into()))), "in the order of the file: {ids:?}");
    front.ok("delete all");
}

#[test]
fn in_front_they_start_and_end_in_their_order() {
    let front = front();
    hold(&front, "db");
    let chain = front.start(&["runtime", "apps.config.js"]);
    until(&front, "ready alone");
    chain.line("to be started once 'db' is ready: 'web', 'api'");
    release(&front, "db");
    until(&front, "ready web");
    in_this_order(&events(&front), &UP);
    chain.signal(SIGTERM);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
    in_this_order(&events(&front), &DOWN);
    // What will not be ready keeps those behind it from starting.
    let _ = front.scene.file("break-db", "");
    let _ = front.scene.file(
        "once.config.js",
        &APPS.replace("listen_timeout: 60000", "autorestart: false").replace(", { ...app, name: 'alone' }", ""),
    );
    let chain = front.start(&["runtime", "once.config.js"]);
    assert_eq!(chain.ended(), Some(7), "{}", chain.output());
    chain.line("app 'web' is not started: 'db', which it starts after, has failed");
    assert_eq!(events(&front), ["begun db"]);
}

#[test]
fn a_circle_and_a_name_that_nobody_has_are_said() {
    let front = front();
    let file = |name: &str, apps: &str| {
        let apps = format!("module.exports = {{ apps: [{apps}].map(app => ({{ script: 'app.js', ...app }})) }}");
        let _ = front.scene.file(name, &apps);
    };
    file(
        "circle.config.js",
        "{ name: 'a', depends_on: 'b' }, { name: 'b', depends_on: ['c'] }, { name: 'c', depends_on: ['b'] }",
    );
    let said = fork::run(&front.scene, "-f circle.config.js");
    let circle = "apps that start after each other: 'b' after 'c' after 'b'; nothing is done";
    assert!(said.code == Some(125) && said.err.ends_with(&format!("{circle}\n")), "{said:?}");
    for line in ["start circle.config.js", "start circle.config.js --dry-run", "runtime circle.config.js"] {
        let said = front.line(line);
        assert!(said.code == 1 && said.err.contains(circle), "{line}: {said:?}");
    }
    file(
        "odd.config.js",
        "{ name: 'a', depends_on: ['idel'] }, { name: 'b', depends_on: ['a'] }, { name: 'idle' }, { name: 'c', depends_on: { idle: 'up' } }",
    );
    let said = front.line("start odd.config.js");
    for line in [
        "app 'a': depends_on: there is no app 'idel'; is 'idle' meant?",
        "app 'b': depends_on: 'a' cannot be started",
        "app 'c': depends_on: idle: \"up\": 'ready' or 'started'?",
    ] {
        assert!(said.code == 1 && said.err.contains(line), "{line}: {said:?}");
    }
    assert_eq!(front.list(), ["idle:online"]);
    // A circle that would go by an app that runs.
    front.ok("start app.js --name one --after idle");
    let said = front.line("restart idle --after one");
    assert!(said.code == 1 && said.err.contains("'idle' after 'one' after 'idle'"), "{said:?}");
    let said = fork::run(&front.scene, "--name two --after nobody sleep 1000");
    assert!(said.code == Some(125) && said.err.contains("--after: there is no app 'nobody'"), "{said:?}");
    assert_eq!(front.list(), ["idle:online", "one:online"]);
}

#[test]
fn what_fails_keeps_those_behind_it_from_starting_but_what_ran_comes_back() {
    let front = front();
    let _ = front.scene.file("once.config.js", &APPS.replace("listen_timeout: 60000", "autorestart: false"));
    let _ = front.scene.file("break-db", "");
    let said = front.line("start once.config.js");
    assert_eq!(said.code, 1, "{said:?}");
    for line in ["app 'api' is not started: 'db', which it", "app 'web' is not started: 'db', which it"] {
        assert!(said.err.contains(line), "{line}: {said:?}");
    }
    assert_eq!(front.list(), ["alone:online", "db:errored"]);
    std::fs::remove_file(front.scene.dir().join("break-db")).expect("it is there");
    front.ok("start once.config.js");
    let _ = front.scene.file("break-db", "");
    let _ = events(&front);
    let said = front.line("restart all");
    assert!(
        said.code == 1 && said.err.contains("app 'api' is started although 'db', which it starts after, has failed")
    );
    in_this_order(&events(&front), &["begun db", "ready api", "begun web"]);
    front.ok("save");
    front.ok("kill");
    // What was errored for good is not tried again, and was no reason for the others before.
    front.ok("resurrect");
    assert_eq!(front.list(), ["alone:online", "api:online", "db:errored", "web:online"]);
}

#[test]
fn what_another_call_starts_is_waited_for_and_a_job_that_is_done_is_not() {
    let front = front();
    let only = front.start(&["start", "apps.config.js", "--only", "api"]);
    only.line("app 'api' starts after 'db', which is left out of this start");
    only.line("'db' does not run, and is waited for (30s at most) before 'api' is started: pm start db");
    front.ok("start apps.config.js --only db");
    assert_eq!(only.wait().code(), Some(0), "{}", only.output());
    in_this_order(&events(&front), &UP[..3]);
    let said = front.ok("start apps.config.js --only web");
    assert!(!said.err.contains("does not run"), "{said:?}");
    front.ok("delete all");
    // A migration that has ended is done.
    let _ = front.scene.file("job.sh", "echo migrated\n");
    front.ok("start job.sh --no-autorestart");
    front.ok("start app.js --name api --after job");
    assert_eq!(fork::start_of(&front.scene, "api")["after"]["job"], "ready");
    front.ok("restart api --max-memory-restart 1G");
    assert_eq!(fork::start_of(&front.scene, "api")["after"]["job"], "ready", "kept");
    // What it started after is gone, which changes nothing until it is said.
    front.ok("delete job");
    front.ok("restart api --max-memory-restart 2G");
    assert_eq!(fork::start_of(&front.scene, "api")["after"]["job"], "ready", "kept");
    front.ok_words(&["restart", "api", "--after", ""]);
    assert!(fork::start_of(&front.scene, "api").get("after").is_none());
    let _ = fork::run(&front.scene, "--name chain --after api sleep 1000").ok();
    assert!(front.ok("describe chain").out.contains("starts after  api"));
    let said = fork::run(&front.scene, "--name late --after none --timeout 1s sleep 1000");
    assert_eq!(said.code, Some(125), "{said:?}");
    front.ok("stop api");
    let said = fork::run(&front.scene, "--name late --after api --timeout 100ms sleep 1000");
    assert!(said.code == Some(124) && said.err.contains("'late' is not started: 'api'"), "{said:?}");
    assert_eq!(front.list(), ["api:stopped", "chain:online"]);
}

#[test]
fn who_interrupts_hears_what_is_not_begun_and_what_was_stopped_is_started_again() {
    let front = front();
    hold(&front, "db");
    let start = front.start(&["start", "apps.config.js"]);
    until(&front, "ready alone");
    until(&front, "begun db");
    start.line("waiting for app 'db' to be ready");
    start.signal(SIGINT);
    start.line("not waited for any longer: the starts go on (not begun: web, api); pm list shows them");
    assert_eq!(start.wait().signal(), Some(SIGINT as i32), "{}", start.output());
    release(&front, "db");
    until(&front, "ready db");
    front.ok("start apps.config.js --only web,api");
    let _ = events(&front);
    hold(&front, "db");
    let restart = front.start(&["restart", "all"]);
    restart.line("waiting for app 'db' to be ready");
    assert!(!events(&front).contains(&"begun api".to_owned()));
    restart.signal(SIGINT);
    restart.line("INT came while apps were down: what was stopped is started again, and not waited for");
    until(&front, "begun web");
    until(&front, "begun api");
}
