//! The verbs of `pm` but for `start`: targets, exit codes, what they leave.

use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal::SIGINT;
use pm_tests::front::Front;
use pm_tests::{fork, http, proc, stat, wait};
use serde_json::{Value, json};

#[test]
fn every_verb_takes_every_kind_of_target() {
    let front = Front::new();
    let config = "module.exports = { apps: [{ name: 'one', script: 'idle.js', namespace: 'back' }] }";
    let _ = front.scene.file("one.config.js", config);
    front.ok("start one.config.js");
    front.ok("start idle.js --name 77 --namespace front");
    for target in ["one", "0", "back", "/^o.e$/", "one.config.js", "one back 0"] {
        let before = [front.pids("one"), front.pids("77")];
        for verb in ["restart", "reload"] {
            front.ok(&format!("{verb} {target}"));
        }
        assert!(front.pids("one") != before[0] && front.pids("77") == before[1], "{target}");
        front.ok(&format!("stop {target}"));
        assert_eq!(front.list(), ["77:online", "one:stopped"], "{target}");
        front.ok(&format!("restart {target}"));
        assert_eq!(front.list(), ["77:online", "one:online"], "{target}");
    }
    // A number is a name first.
    front.ok("stop 77");
    assert_eq!(front.list(), ["77:stopped", "one:online"]);
    front.ok("stop idle.js");
    assert_eq!(front.list(), ["77:stopped", "one:stopped"]);
    front.ok("delete back 77");
    assert_eq!(front.list(), [""; 0]);
}

#[test]
fn the_exit_codes_are_those_of_pm2() {
    let front = Front::new();
    front.ok("start idle.js");
    for verb in ["stop", "restart", "reload", "delete", "describe", "env", "id", "pid", "logs", "flush", "reset"] {
        let said = front.line(&format!("{verb} nobody"));
        assert_eq!(said.code, 1, "{verb}: {said:?}");
        assert!(said.err.contains("nobody"), "{verb}: {said:?}");
        let none = front.line(&format!("{verb} /^nobody/"));
        assert_eq!(none.code, 1, "{verb}: {none:?}");
    }
    for line in ["scale nobody 2", "sendSignal USR2 nobody", "startOrReload none.json", "bogus", ""] {
        assert_eq!(front.line(line).code, 1, "{line}");
    }
    assert_eq!(front.line("stop idle").code, 0);
    assert_eq!(front.line("stop idle").code, 0, "it is what was asked for");
    let said = front.line("scale idle 2");
    assert!(said.code == 1 && said.err.contains("is in fork mode"), "stopped, too: {said:?}");
    front.ok("delete all");
    assert_eq!(front.line("restart all").code, 1, "there is none");
    assert_eq!(front.line("kill").code, 0);
}

#[test]
fn nothing_is_done_to_any_app_where_one_target_is_wrong() {
    let front = Front::new();
    let config = "module.exports = { apps: [{ name: 'other', script: 'idle.js' }] }";
    let _ = front.scene.file("one.config.js", config);
    front.ok("start idle.js");
    let pids = front.pids("idle");
    for line in [
        "delete nope idle",
        "delete idle nope",
        "stop -9 idle",
        "stop -- -9 idle",
        "restart idle nope",
        "restart one.config.js nope",
        "reload nope idle",
        "flush nope idle",
        "sendSignal TERM nope idle",
        "logs idle nope --nostream",
    ] {
        let said = front.line(line);
        assert!(said.code == 1 && said.err.contains("nope") | said.err.contains("-9"), "{line}: {said:?}");
        assert_eq!((front.list(), front.pids("idle")), (vec!["idle:online".to_owned()], pids.clone()), "{line}");
        assert!(!said.err.contains("stopped") && !said.out.contains("oops"), "{line}: {said:?}");
    }
    let said = front.line("delete nope idle");
    assert!(said.err.contains("no app 'nope'") && said.err.contains("; nothing was done to the others"), "{said:?}");
    assert!(front.ok("stop idle").err.contains("stopped 'idle'"));
    assert!(front.ok("delete idle").err.contains("deleted 'idle'"));
}

#[test]
fn stopping_all_takes_as_long_as_the_slowest() {
    let front = Front::new();
    // Each ends once all have been told to.
    let slow = "const fs = require('fs'); setInterval(() => {}, 1e6)\n\
        process.on('SIGINT', () => {\n\
          fs.writeFileSync(`told.${process.env.name}`, '')\n\
          setInterval(() => fs.readdirSync('.').filter((name) => name.startsWith('told.')).length === 4 && process.exit(), 20)\n\
        })\n";
    let _ = front.scene.file("slow.js", slow);
    let apps: Vec<_> =
        (0..4).map(|n| json!({"name": format!("s{n}"), "script": "slow.js", "kill_timeout": 40_000})).collect();
    let said = front.with_input(&["start", "-"], &Value::from(apps).to_string());
    assert_eq!(said.code, 0, "{said:?}");
    let said = front.ok("stop all");
    assert!(!said.err.contains("KILL") && !said.err.contains("killed"), "one after the other: {said:?}");
    let killed = |n: u32| fork::file(&front.scene, &format!("s{n}"), "err.log").contains("KILL");
    assert!(!(0..4).any(killed), "one after the other");
}

#[test]
fn a_reload_serves_all_the_time_and_a_broken_one_is_not_0() {
    let front = Front::new();
    front.ok("start app.js -i 2");
    let before = front.pids("app");
    front.ok("reload app");
    // One that is on its way out may be listed for a moment.
    let new = || Some(front.pids("app")).filter(|after| after.iter().all(|pid| !before.contains(pid)));
    let after = wait::until("all workers to be new", new);
    let _ = front.scene.file("app.js", "throw new Error('broken on purpose')");
    let said = front.line("reload all");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("broken on purpose"), "{said:?}");
    let serving: Vec<_> = http::pids(front.scene.port, 8).into_iter().collect();
    assert!(!serving.is_empty() && serving.iter().all(|pid| after.contains(pid)));
}

/// An option would be taken for one: where a name is given, and where an app is named.
#[test]
fn what_begins_with_a_dash_and_all_are_no_names() {
    let front = Front::new();
    for (name, why) in
        [("-x", "cannot begin with a dash"), ("-", "cannot begin with a dash"), ("all", "means every app")]
    {
        let said = front.pm(&["start", "app.js", "--name", name]);
        assert!(said.code == 1 && said.err.contains(why) && said.lines().count() == 1, "{said:?}");
    }
    assert_eq!(front.list(), [""; 0]);
}

/// PM2 refuses the second one.
#[test]
fn a_list_right_after_a_reload_has_no_row_of_a_worker_that_is_gone() {
    let front = Front::new();
    front.ok("start app.js -i 2");
    for round in 0..3 {
        front.ok("reload app");
        for look in 0..20 {
            let workers = stat::workers(&front.scene);
            let list = front.ok("list").out;
            let is_true = workers.iter().all(|w| w.pid().is_some() && !["gone", "backoff"].contains(&w.state()));
            assert!(is_true && !list.contains("waiting restart"), "round {round}, look {look}: {workers:?}\n{list}");
        }
    }
}

#[test]
fn two_reloads_at_once_are_both_good() {
    let front = Front::new();
    front.ok("start app.js -i 2");
    let reloads = [front.start(&["-s", "reload", "app"]), front.start(&["-s", "reload", "app"])];
    for reload in &reloads {
        assert_eq!(reload.wait().code(), Some(0), "{}", reload.output());
    }
}

/// One after the other: a second TERM would cut short what the app has in hand.
#[test]
fn two_restarts_at_once_are_both_good() {
    let front = Front::new();
    let slow = "process.on('SIGINT', () => { console.log('told'); setTimeout(() => { console.log('done'); process.exit() }, 500) })\n\
                setInterval(() => {}, 1e6)";
    let _ = front.scene.file("slow.js", slow);
    let _ = front.scene.file(
        "slow.config.js",
        "module.exports = [{ name: 'slow', script: 'slow.js', kill_timeout: 9000, args: `${process.pid}` }]",
    );
    front.ok("start slow.config.js");
    for line in ["-s restart slow", "-s restart slow.config.js"] {
        let words: Vec<_> = line.split(' ').collect();
        let restarts = [front.start(&words), front.start(&words), front.start(&words)];
        for restart in &restarts {
            assert_eq!(restart.wait().code(), Some(0), "{}", restart.output());
        }
        assert_eq!(front.list(), ["slow:online"]);
    }
    let log = std::fs::read_to_string(front.scene.dir().join("pm/slow/out.log")).expect("a log");
    assert_eq!(log, "told\ndone\n".repeat(6), "each has ended as it likes to");
}

#[test]
fn a_config_file_is_applied_as_a_whole() {
    let front = Front::new();
    let say = |text: &str| {
        format!(
            "require('http').createServer((q, r) => r.end('{text}' + process.env.A + process.env.B + process.cwd())).listen(process.env.PORT)"
        )
    };
    std::fs::create_dir(front.scene.dir().join("sub")).expect("made");
    let _ = front.scene.file("one.js", &say("one"));
    let _ = front.scene.file("sub/two.js", &say("two"));
    let write = |fields: &str| {
        let _ = front
            .scene
            .file("ecosystem.config.js", &format!("module.exports = {{ apps: [{{ name: 'web', {fields} }}] }}"));
    };
    let answer = || http::get(front.scene.port, "/").expect("serves");
    write("script: 'one.js', instances: 2, env: { A: 1, B: 2 }");
    front.ok("start");
    assert!(answer().starts_with("one12"), "{}", answer());
    let supervisor = stat::workers(&front.scene)[0].number("supervisor_pid");
    write("script: 'one.js', instances: 2, env: { B: 3 }");
    front.ok("reload ecosystem.config.js");
    assert!(answer().starts_with("oneundefined3"), "a variable that was removed is removed: {}", answer());
    write("script: 'one.js', instances: 3, env: { B: 3 }");
    front.ok("reload ecosystem.config.js");
    wait::until("three workers", || (front.pids("web").len() == 3).then_some(()));
    assert_eq!(stat::workers(&front.scene)[0].number("supervisor_pid"), supervisor, "no restart so far");
    for (workers, variable) in [(2, 5), (3, 3)] {
        write(&format!("script: 'one.js', instances: {workers}, env: {{ B: {variable} }}"));
        front.ok("reload ecosystem.config.js");
        // Both have changed; an old one may still be leaving.
        wait::until("so many workers", || (front.pids("web").len() == workers).then_some(()));
        assert!(answer().starts_with(&format!("oneundefined{variable}")), "{}", answer());
    }
    write("script: 'two.js', cwd: 'sub', env: { B: 4 }, exec_mode: 'fork'");
    let said = front.line("reload ecosystem.config.js");
    assert_eq!(said.code, 1, "{said:?}");
    let told = "'web' is left as it is: cwd, env, exec_mode, instances, script changed, which takes a restart";
    assert!(said.err.contains(told), "{said:?}");
    assert!(answer().starts_with("oneundefined3"), "{}", answer());
    assert_eq!(stat::workers(&front.scene)[0].number("supervisor_pid"), supervisor, "it was not touched");
    front.ok("startOrRestart ecosystem.config.js");
    assert!(answer().starts_with("twoundefined4") && answer().ends_with("/sub"), "{}", answer());
    assert_eq!(front.jlist()[0]["pm2_env"]["exec_mode"], "fork_mode");
}

#[test]
fn scale_counts_up_and_down_and_remembers() {
    let front = Front::new();
    front.ok("start app.js -i 2");
    let workers = |wanted: usize| {
        wait::until("so many workers", || (front.pids("app").len() == wanted).then_some(()));
    };
    for (by, wanted) in [("4", 4), ("-3", 1), ("+2", 3), ("3", 3)] {
        front.ok(&format!("scale app {by}"));
        workers(wanted);
    }
    front.ok("restart app");
    workers(3);
    for line in ["scale app -3", "scale app -4", "scale app x", "scale app"] {
        assert_eq!(front.line(line).code, 1, "{line}");
    }
    front.ok("start idle.js");
    let said = front.line("scale idle 2");
    assert!(said.code == 1 && said.err.contains("fork mode"), "{said:?}");
    front.ok("stop app");
    front.ok("scale app 1");
    front.ok("start app");
    workers(1);
}

#[test]
fn an_app_that_is_scaled_to_none_stays_known_and_another_number_starts_it() {
    let front = Front::new();
    front.ok("start app.js -i 3");
    let items = |status: &str| {
        let list = front.jlist();
        list.iter().filter(|item| item["pm2_env"]["status"] == status).count()
    };
    front.ok("stop app");
    let slots: Vec<_> = front.jlist().iter().map(|item| item["pm2_env"]["NODE_APP_INSTANCE"].as_u64()).collect();
    assert_eq!((items("stopped"), slots), (3, vec![Some(0), Some(1), Some(2)]), "as in PM2");
    // A number for the next start is no start.
    front.ok("scale app 2");
    assert_eq!(items("stopped"), 2);
    front.ok("start app");
    let said = front.ok("scale app 0");
    assert!(said.err.contains("'app' has no workers, and is stopped; pm scale app N starts it with N"), "{said:?}");
    assert_eq!(front.list(), ["app:stopped"]);
    front.ok("scale app 2");
    assert_eq!((items("online"), front.pids("app").len()), (2, 2));
    front.ok("scale app 0");
    front.ok("start app");
    assert_eq!(items("online"), 3, "as many as it was started with");
}

/// Its code was broken since its start: the others serve on.
#[test]
fn a_scale_of_what_cannot_start_says_so_soon_and_why() {
    let front = Front::new();
    front.ok("start app.js -i 2");
    let _ = front.scene.file("app.js", "throw new Error('half a deploy')\n");
    let said = front.line("scale app 8");
    assert_eq!(said.code, 1, "{said:?}");
    for word in ["the worker of slot 2 does not start, and is tried again: code=1", "half a deploy", "3 workers, not 8"]
    {
        assert!(said.err.contains(word), "{word}: {said:?}");
    }
    assert_eq!(front.pids("app").len(), 2, "{said:?}");
    front.ok("scale app 2");
}

/// The one that takes long holds up nobody, and each says how it went.
#[test]
fn several_apps_are_reloaded_side_by_side() {
    let front = Front::new();
    let _ = front
        .scene
        .file("aaa.js", "if (!require('fs').existsSync('late')) process.send('ready'); setInterval(() => {}, 1e6)\n");
    front.ok("start aaa.js --wait-ready --listen-timeout 60000 -i 1");
    front.ok("start app.js -i 2");
    let (old, _) = (front.pids("app"), front.scene.file("late", ""));
    let reload = front.start(&["reload", "app", "aaa"]);
    reload.line("reloaded 'app'");
    assert!(front.pids("app").iter().all(|pid| !old.contains(pid)));
    assert!(reload.messages("reloaded 'aaa'").is_empty(), "{}", reload.output());
    reload.signal(SIGINT);
    reload.line("not waited for any longer: the reloads of 'aaa', 'app' go on; pm list shows them");
    assert_eq!(reload.wait().signal(), Some(SIGINT as i32), "{}", reload.output());
    wait::until("the others to end", || (front.scene.process("pm").is_none()).then_some(()));
}

/// Of apps that are stopped, as figures would change meanwhile; and with no node to ask.
fn pretty_as_node_would(front: &Front) {
    front.ok("stop all");
    const INSPECT: &str =
        "console.log(require('util').inspect(JSON.parse(require('fs').readFileSync(0)), { depth: null }))";
    let list = front.scene.dir().join("list.json");
    std::fs::write(&list, front.ok("jlist").out).expect("ours");
    let mut node = front.scene.command(&["node", "-e", INSPECT]);
    let shown = node.stdin(std::fs::File::open(list).expect("there")).output().expect("node").stdout;
    let said = front.command(&["prettylist"]).env("PATH", "/nowhere").output().expect("pm").stdout;
    assert_eq!(String::from_utf8_lossy(&said), String::from_utf8_lossy(&shown));
}

#[test]
fn what_it_says_of_apps() {
    let front = Front::new();
    front.ok("start app.js -i 2 --namespace back");
    front.ok("start idle.js");
    let table = front.ok("list").out;
    for verb in ["ls", "l", "ps", "status"] {
        assert_eq!(front.ok(verb).out.lines().count(), table.lines().count(), "{verb}");
    }
    assert!(table.contains("app") && table.contains("online") && table.contains("back"), "{table}");
    for verb in ["describe", "show", "desc", "info"] {
        let said = front.ok(&format!("{verb} app")).out;
        assert!(said.contains("app") && said.contains("back"), "{said}");
    }
    assert_eq!(front.ok("id app").out, "[ 0 ]\n");
    assert_eq!(front.ok("id all").out, "[ 0, 1 ]\n");
    assert_eq!(front.pids("app").len(), 2);
    assert_eq!(front.ok("pid").out.lines().count(), 3);
    let env = front.ok("env idle").out;
    assert!(env.lines().any(|l| l == format!("PORT: {}", front.scene.port)), "{env}");
    assert_eq!(front.ok("ping").out, "{ msg: 'pong' }\n");
    assert_eq!(front.ok("--version").out, format!("{}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(front.ok("version").out, front.ok("-v").out);
    assert!(front.ok("update").err.contains("no daemon"));
    assert!(front.ok("reloadLogs").err.contains("copytruncate"));
    assert_eq!(front.ok("-s stop idle").out, "", "silent");
    pretty_as_node_would(&front);
    let help = front.ok("--help").out;
    assert!(help.lines().count() <= 24 && help.lines().all(|l| l.len() <= 80), "{help}");
}

#[test]
fn a_signal_reaches_the_workers_and_reset_counts_anew() {
    let front = Front::new();
    let _ =
        front.scene.file("usr.js", "process.on('SIGUSR2', () => console.log('got it')); setInterval(() => {}, 1e6)");
    front.ok("start usr.js");
    front.ok("sendSignal SIGUSR2 usr");
    wait::until("the word of the app", || {
        std::fs::read_to_string(front.scene.dir().join("pm/usr/out.log")).ok().filter(|text| text.contains("got it"))
    });
    for wrong in ["SIGNOPE", "USR", "0", "65", "-9"] {
        let said = front.pm(&["sendSignal", wrong, "usr"]);
        assert!(said.code == 1 && said.err.contains("there are HUP INT"), "{said:?}");
        assert_eq!(said.lines().count(), 1, "{said:?}");
    }
    front.ok("sendSignal 12 usr");
    front.ok("sendSignal sigusr2 usr");
    front.ok("reload usr");
    let restarts = || front.jlist()[0]["pm2_env"]["restart_time"].as_u64();
    assert_eq!(restarts(), Some(1));
    front.ok("restart usr");
    front.ok("restart usr");
    assert_eq!(restarts(), Some(3));
    front.ok("reset usr");
    assert_eq!(restarts(), Some(0));
    front.ok("restart usr");
    assert_eq!(restarts(), Some(1));
    front.ok("reset usr");
    front.ok("reload usr");
    front.ok("reset usr");
    assert_eq!(restarts(), Some(0));
    front.ok("reload usr");
    assert_eq!(restarts(), Some(1));
    front.ok("reset all");
    assert_eq!(restarts(), Some(0));
}

#[test]
fn init_writes_a_file_that_works_and_overwrites_none() {
    for kind in ["init", "init simple", "ecosystem"] {
        let front = Front::new();
        front.ok(kind);
        front.ok("start");
        assert!(front.list().iter().all(|app| app == "app:online"), "{kind}: {:?}", front.list());
        let text = std::fs::read(front.scene.dir().join("ecosystem.config.js")).expect("written");
        assert_eq!(front.line("init").code, 1);
        assert_eq!(std::fs::read(front.scene.dir().join("ecosystem.config.js")).expect("there"), text);
    }
}

/// The daemon of PM2 takes all with it; here nothing but the app itself counts.
#[test]
fn kill_ends_all_and_forgets_none() {
    let front = Front::new();
    front.ok("start idle.js --name one");
    front.ok("start idle.js --name two");
    front.ok("kill");
    assert_eq!(front.list(), ["one:stopped", "two:stopped"]);
    let left: Vec<_> = front.scene.processes().iter().map(|pid| proc::name(*pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Of one that waits to be started again: the list, the description and what programs read.
#[test]
fn a_state_has_the_same_word_wherever_people_look() {
    let front = Front::new();
    let _ = front.scene.file("boom.js", "process.exit(3)");
    let said = fork::run(&front.scene, "--name boom --timeout 1s pm-restart --backoff 1h..1h node boom.js");
    assert_eq!(said.code, Some(124), "{said:?}");
    wait::until("its crash", || (front.list() == ["boom:waiting restart"]).then_some(()));
    for line in ["list", "describe boom"] {
        assert!(front.ok(line).out.contains("waiting restart"), "{line}");
    }
    front.ok("stop boom");
    assert_eq!(front.list(), ["boom:stopped"]);
    front.ok("start idle.js --name able");
    for (line, first) in [("list", "able"), ("list --sort status:desc", "boom"), ("ls --sort=id", "boom")] {
        let row = front.ok(line).out.lines().nth(1).map(str::to_owned).expect("a row");
        assert!(row.contains(first), "{line}: {row}");
    }
    assert!(front.line("list --sort colour").err.contains("bad value 'colour' for --sort"));
}

/// A name that no directory can have is found as it was given, by every verb.
#[test]
fn a_name_with_a_slash_is_found_as_it_was_given() {
    let front = Front::new();
    let config =
        r#"[{"name": "@acme/api", "script": "idle.js", "instances": 1}, {"name": "other", "script": "idle.js"}]"#;
    let _ = front.scene.file("apps.json", config);
    front.ok("start apps.json");
    assert_eq!(front.list(), ["@acme/api:online", "other:online"]);
    for line in [
        "stop @acme/api",
        "start @acme/api",
        "restart @acme/api",
        "reload @acme/api",
        "scale @acme/api 2",
        "describe @acme/api",
        "id @acme/api",
        "pid @acme/api",
        "env @acme/api",
        "list @acme/api",
        "jlist @acme/api",
        "logs @acme/api --nostream",
        "flush @acme/api",
        "reset @acme/api",
        "sendSignal CONT @acme/api",
        "restart apps.json --only @acme/api",
    ] {
        let said = front.ok(line);
        assert!(!said.err.contains("fatal"), "{line}: {said:?}");
    }
    assert!(front.ok("env @acme/api").out.contains("\nname: @acme/api\n"));
    assert_eq!(fork::tool(&front.scene, &["pm-stat", "@acme/api", "@acme/ap"]).code, Some(1));
    let saved = front.ok("save");
    front.ok("delete @acme/api");
    assert_eq!(front.list(), ["other:online"], "{saved:?}");
    front.ok("resurrect");
    front.ok("stop @acme/api");
    // Another one that would have its directory is told, in the same file and beside what is known.
    for (config, why) in [
        (r#"[{"name": "@acme-api", "script": "idle.js"}]"#, "name: '@acme/api' has the directory @acme-api already"),
        (
            r#"[{"name": "a/b", "script": "idle.js", "autostart": false}, {"name": "a-b", "script": "idle.js"}]"#,
            "name: 'a/b' has the same directory, a-b",
        ),
    ] {
        let _ = front.scene.file("two.json", config);
        let said = front.line("start two.json");
        assert!(said.code == 1 && said.err.contains(why), "{said:?}");
    }
    assert_eq!(front.list(), ["@acme/api:stopped", "a/b:stopped", "other:online"]);
}

/// What scripts look for in PM2's list: what runs an app, and what that runs.
#[test]
fn jlist_says_what_each_app_is_run_by() {
    let front = Front::new();
    let apps = serde_json::json!([
        {"name": "a", "script": "idle.js", "autostart": false},
        {"name": "b", "script": "idle.js", "interpreter": "sh", "instance_var": "SLOT", "autostart": false},
        {"name": "c", "script": "sleep", "args": "9", "autostart": false},
        {"name": "d", "script": "sleep 9", "autostart": false},
    ]);
    let _ = front.scene.file("apps.json", &apps.to_string());
    front.ok("start apps.json");
    let list = front.jlist();
    let of = |key: &str| list.iter().map(|app| app["pm2_env"][key].as_str().unwrap_or("-")).collect::<Vec<_>>();
    assert_eq!(of("exec_interpreter"), ["node", "sh", "none", "none"]);
    assert_eq!(of("instance_var"), ["NODE_APP_INSTANCE", "SLOT", "NODE_APP_INSTANCE", "NODE_APP_INSTANCE"]);
    let idle = front.scene.dir().join("idle.js").display().to_string();
    let paths = of("pm_exec_path");
    assert_eq!(paths[..2], [idle.as_str(); 2]);
    assert!(paths[2].ends_with("bin/sleep") && paths[3].ends_with("bin/sh"), "{paths:?}");
}

/// What runs in the foreground is somebody else's to start: `restart` says so, and what works; a clean end leaves no row,
/// and `delete all` covers what the list shows.
#[test]
fn a_run_in_the_foreground_is_reloaded_and_leaves_nothing_in_the_list() {
    let front = Front::new();
    let chain = front.start(&["start", "idle.js", "--name", "fg", "--no-daemon"]);
    fork::wait(&front.scene, "ready", "fg");
    for line in ["restart fg", "restart all"] {
        let said = front.line(line);
        assert_eq!(said.code, 1, "{line}: {said:?}");
        assert!(said.err.contains("'fg' runs in the foreground") && said.err.contains("'pm reload fg'"), "{said:?}");
    }
    front.ok("reload fg");
    let said = front.line("reload fg -a");
    assert!(said.code == 1 && said.err.contains("in the environment that it was given there"), "{said:?}");
    front.ok("stop fg");
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
    assert_eq!(front.list(), [""; 0]);
    assert_eq!(front.ok("list").out.lines().count(), 1);
    let said = front.line("start fg");
    assert!(said.code == 1 && said.err.contains("who started it there"), "{said:?}");
    // One that gave up is shown, and deleted with all.
    let failing = front.scene.start("pm-restart --name bad --intensity 0/60s sh -c exit${IFS}3");
    let _ = failing.ended();
    assert_eq!(front.list(), ["bad:errored"]);
    front.ok("delete all");
    assert_eq!(front.list(), [""; 0]);
}
