//! `pm start`: what it starts, and that what was typed arrives.

use std::net::{Ipv6Addr, TcpListener};

use pm_tests::fork;
use pm_tests::front::Front;
use pm_tests::{http, proc, wait};
use serde_json::Value;

/// Writes what it was given to the file `seen-NAME`, and stays.
const REPORT: &str = "const fs = require('fs')\n\
    const seen = { argv: process.argv.slice(2), exec: process.execArgv, cwd: process.cwd(), env: process.env }\n\
    fs.writeFileSync(`${process.env.SEEN}-${process.env.name}`, JSON.stringify(seen))\n\
    setInterval(() => {}, 1e6)\n";

fn reporting() -> Front {
    let mut front = Front::new();
    let seen = front.scene.dir().join("seen");
    front.scene.set("SEEN", seen);
    front
}

#[track_caller]
fn seen(front: &Front, name: &str) -> Value {
    let path = front.scene.dir().join(format!("seen-{name}"));
    wait::until(name, || serde_json::from_str(&std::fs::read_to_string(&path).ok()?).ok())
}

/// Runs `pm ...`, and reads what an app has written since.
#[track_caller]
fn seen_after(front: &Front, line: &str, name: &str) -> Value {
    let _ = std::fs::remove_file(front.scene.dir().join(format!("seen-{name}")));
    front.ok(line);
    seen(front, name)
}

#[test]
fn the_first_two_commands_of_everybody() {
    let front = Front::new();
    let port = front.scene.port;
    let app = "const app = require('express')(); app.get('/', (q, r) => r.send(`${process.pid}`)); app.listen(process.env.PORT)";
    let _ = front.scene.file("express.js", app);
    front.ok("start express.js");
    assert_eq!(front.list(), ["express:online"]);
    assert_eq!(front.jlist()[0]["pm2_env"]["exec_mode"], "fork_mode");
    assert_eq!(http::pids(port, 1).into_iter().collect::<Vec<_>>(), front.pids("express"));
    front.ok("delete express");
    let config =
        "module.exports = { apps: [{ name: 'app', script: './express.js', instances: 2, exec_mode: 'cluster' }] }";
    let _ = front.scene.file("ecosystem.config.js", config);
    front.ok("start ecosystem.config.js");
    assert_eq!(front.list(), ["app:online", "app:online"]);
    let pids = front.pids("app");
    assert!(http::pids(port, 8).iter().all(|pid| pids.contains(pid)));
    front.ok("delete all");
    // Without a word it is that file.
    front.ok("start");
    assert_eq!(front.list(), ["app:online", "app:online"]);
    front.ok("kill");
}

#[test]
fn without_a_target_each_usual_config_file_is_found() {
    let front = Front::new();
    let said = front.line("start");
    assert!(said.code == 1 && said.err.contains("nothing to start"), "{said:?}");
    for (name, text) in [
        ("ecosystem.config.ts", "const name: string = 'ts'; export default { name, script: './app.js' }"),
        ("ecosystem.config.mjs", "export default { name: 'mjs', script: './app.js' }"),
        ("ecosystem.config.cjs", "module.exports = { name: 'cjs', script: './app.js' }"),
        ("ecosystem.config.js", "module.exports = { name: 'js', script: './app.js' }"),
    ] {
        let _ = front.scene.file(name, text);
        let said = front.ok("start --dry-run");
        let wanted = format!("\"name\":\"{}\"", name.trim_start_matches("ecosystem.config."));
        assert!(said.out.contains(&wanted), "{name}: {said:?}");
        let said = front.line("init");
        assert!(said.code == 1 && said.err.contains(&format!("{name} is there already")), "{said:?}");
    }
}

/// Each option of `start`, and what it comes to.
#[test]
fn every_option_reaches_the_chain() {
    let front = Front::new();
    std::fs::create_dir(front.scene.dir().join("sub")).expect("made");
    let _ = front.scene.file("sub/app.js", "");
    let mut missing = Vec::new();
    for (options, pointer, wanted) in [
        ("-n web", "/name", "web"),
        ("--name web", "/name", "web"),
        ("--name=web", "/name", "web"),
        ("--namespace back", "/namespace", "back"),
        ("-i 3", "/argv", "\"pm-cluster\",\"-n\",\"3\""),
        ("--instances max", "/argv", "\"-n\",\"max\""),
        ("-i -1", "/argv", "\"-n\",\"-1\""),
        ("--max-memory-restart 300M", "/argv", "\"--max-mem\",\"300M\""),
        ("--restart-delay 200", "/argv", "\"--restart-delay\",\"200ms\""),
        ("--exp-backoff-restart-delay 100", "/argv", "\"--restart-delay\",\"100ms..15000ms\""),
        ("--no-autorestart", "/argv", "\"--restart\",\"never\""),
        ("--stop-exit-codes 0", "/argv", "\"--stop-codes\",\"0\""),
        ("--stop-exit-codes 0,3", "/argv", "\"--stop-codes\",\"0,3\""),
        ("--stop-exit-codes 0 3", "/argv", "\"--stop-codes\",\"0,3\""),
        ("-k 5000", "/argv", "\"--grace\",\"5000ms\""),
        ("--kill-timeout 5000", "/argv", "\"--grace\",\"5000ms\""),
        ("-i 2 --listen-timeout 9000", "/argv", "\"--ready-timeout\",\"9000ms\""),
        ("-i 2 --wait-ready", "/argv", "\"--ready\",\"message\""),
        ("--max-restarts 4", "/argv", "\"--intensity\",\"4/"),
        ("--node-args --no-warnings", "/argv", "\"node\",\"--no-warnings\",\"./app.js\""),
        ("--interpreter-args=--no-warnings", "/argv", "\"--no-warnings\""),
        ("--interpreter cat", "/argv", "\"cat\",\"./app.js\""),
        ("--interpreter none", "/argv", "\"./app.js\"]"),
        ("--cwd sub --interpreter cat", "/cwd", "/sub"),
        ("-o o.log", "/out", "/o.log"),
        ("--output o.log", "/out", "/o.log"),
        ("-e e.log", "/err", "/e.log"),
        ("--error e.log", "/err", "/e.log"),
        ("--time", "/argv", "\"pm-log\",\"--time\""),
        ("--log-type json", "/argv", "\"pm-log\",\"--json\""),
        ("-x", "/mode", "fork"),
        ("--merge-logs --no-vizion --no-pmx --no-color", "/warnings", "[]"),
        ("--watch", "/argv", "\"--watch\",\"/"),
        (
            "--watch sub --ignore-watch *.tmp --watch-delay 500",
            "/argv",
            "/sub\",\"--ignore\",\"*.tmp\",\"--watch-delay\",\"500ms\"",
        ),
        ("--ignore-watch x", "/warnings", "ignore_watch: does nothing without watch"),
        ("--cron 0", "/name", "app"),
        ("--no-treekill", "/warnings", "treekill"),
        ("--filter-env SECRET", "/name", "app"),
        ("--no-autostart", "/autostart", "false"),
    ] {
        let mut words = vec!["app.js"];
        words.extend(options.split(' '));
        let plan = front.plan(&words);
        let value = plan[0].pointer(pointer).map_or_else(String::new, Value::to_string);
        if !value.contains(wanted) {
            missing.push(format!("{options}: {wanted} is not in {value}"));
        }
        let warnings = plan[0]["warnings"].as_array().map_or(0, Vec::len);
        assert!(warnings <= 1, "{options}: {}", plan[0]);
    }
    assert_eq!(missing, [""; 0]);
    assert_eq!(front.list(), [""; 0], "a dry run starts nothing");
}

#[test]
fn a_dry_run_starts_nothing_in_the_foreground_either_and_follows_no_logs() {
    let front = Front::new();
    let _ = front.scene.file("done.js", "require('fs').writeFileSync('ran', '')");
    for option in ["--no-daemon", "--attach"] {
        let said = front.ok(&format!("start done.js --no-autorestart {option} --dry-run"));
        assert!(said.out.contains("\"argv\":"), "{said:?}");
        assert!(!front.scene.dir().join("ran").exists(), "{option}: {said:?}");
    }
}

#[test]
fn names_paths_and_arguments_arrive_as_they_were_typed() {
    let front = reporting();
    std::fs::create_dir(front.scene.dir().join("it's a \"dir\"")).expect("made");
    let _ = front.scene.file("it's a \"dir\"/-odd name $HOME.js", REPORT);
    let args = ["a b", "", "-x", "--", "it's", "\"q\"", "two\nlines\n", "$HOME `id` \\n *", "--name", "é"];
    let mut words = vec![
        "start",
        "it's a \"dir\"/-odd name $HOME.js",
        "--name",
        "it's \"my\" $app",
        "--node-args",
        "--no-warnings",
        "--",
    ];
    words.extend(args);
    front.ok_words(&words);
    let name = "it's \"my\" $app";
    assert_eq!(seen(&front, name)["argv"], serde_json::json!(args));
    assert_eq!(seen(&front, name)["exec"], serde_json::json!(["--no-warnings"]));
    for verb in ["restart", "stop", "start", "reload"] {
        std::fs::remove_file(front.scene.dir().join(format!("seen-{name}"))).expect("written");
        front.ok_words(&[verb, name]);
        if verb == "stop" {
            assert_eq!(front.list(), [format!("{name}:stopped")]);
            std::fs::write(front.scene.dir().join(format!("seen-{name}")), "").expect("written");
            continue;
        }
        assert_eq!(seen(&front, name)["argv"], serde_json::json!(args), "{verb}");
    }
    let logs = front.ok_words(&["logs", name, "--nostream"]);
    assert!(!logs.err.contains("fatal"), "{logs:?}");
    front.ok_words(&["delete", name]);
    assert_eq!(front.list(), [""; 0]);
}

#[test]
fn a_directory_is_where_the_app_runs() {
    let front = reporting();
    std::fs::create_dir(front.scene.dir().join("sub dir")).expect("made");
    let _ = front.scene.file("sub dir/report.js", REPORT);
    front.ok_words(&["start", "report.js", "--cwd", "sub dir"]);
    let cwd = seen(&front, "report")["cwd"].as_str().expect("text").to_owned();
    assert!(cwd.ends_with("/sub dir"), "{cwd}");
}

#[test]
fn what_is_known_is_started_again_by_name_id_namespace_and_script() {
    let front = Front::new();
    front.ok("start idle.js --name one --namespace back");
    front.ok("start idle.js --name two --namespace back");
    let ids = ["one", "two"].map(|name| front.ok(&format!("id {name}")).out);
    for target in ["one two", "0 1", "back", "all", "/^(one|two)$/"] {
        front.ok("stop all");
        front.ok(&format!("start {target}"));
        assert_eq!(front.list(), ["one:online", "two:online"], "{target}");
    }
    assert_eq!(["one", "two"].map(|name| front.ok(&format!("id {name}")).out), ids, "an id stays");
    let pids = front.pids("one");
    front.ok("start one");
    assert_eq!(front.pids("one"), pids, "what runs is left alone");
}

#[test]
fn a_script_that_runs_is_not_started_twice_unless_that_is_asked_for() {
    let front = Front::new();
    front.ok("start idle.js");
    let said = front.line("start idle.js");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("'idle'") && said.err.contains("-f"), "{said:?}");
    front.ok("start idle.js -f");
    assert_eq!(front.list(), ["idle-2:online", "idle:online"]);
    front.ok("start idle.js --name other");
    front.ok("stop idle");
    front.ok("start idle.js");
    assert_eq!(front.list(), ["idle-2:online", "idle:online", "other:online"]);
    // With options it starts as they say, under its old id.
    front.ok("stop idle");
    front.ok("start idle.js -- --queue mails");
    assert_eq!(front.ok("id idle").out, "[ 0 ]\n");
    let line = std::fs::read(format!("/proc/{}/cmdline", front.pids("idle")[0])).expect("alive");
    assert!(String::from_utf8_lossy(&line).ends_with("--queue\0mails\0"));
}

#[test]
fn a_description_may_come_from_stdin() {
    let front = Front::new();
    let apps =
        "{\"apps\": [{\"name\": \"one\", \"script\": \"idle.js\"}, {\"name\": \"two\", \"script\": \"idle.js\"}]}";
    let run = |verb: &str| {
        let said = front.with_input(&[verb, "-"], apps);
        assert_eq!(said.code, 0, "{said:?}");
    };
    run("start");
    assert_eq!(front.list(), ["one:online", "two:online"]);
    let pids = front.pids("one");
    run("restart");
    assert_ne!(front.pids("one"), pids);
    run("stop");
    assert_eq!(front.list(), ["one:stopped", "two:stopped"]);
    run("startOrReload");
    assert_eq!(front.list(), ["one:online", "two:online"]);
    run("delete");
    assert_eq!(front.list(), [""; 0]);
}

#[test]
fn only_and_env_choose_from_a_file() {
    let front = reporting();
    let _ = front.scene.file("report.js", REPORT);
    let config = "module.exports = { apps: ['one', 'two', 'three'].map(name => ({ name, script: 'report.js',\n\
        env: { MODE: 'plain', KEPT: \"it's\\n$x\" }, env_production: { MODE: 'production' } })) }";
    let _ = front.scene.file("ecosystem.config.js", config);
    front.ok("start ecosystem.config.js --only one,two --env production");
    assert_eq!(front.list(), ["one:online", "two:online"]);
    assert_eq!(seen(&front, "two")["env"]["MODE"], "production");
    assert_eq!(seen(&front, "two")["env"]["KEPT"], "it's\n$x");
    // What runs is restarted, what does not is started.
    let before = front.pids("one");
    assert_eq!(seen_after(&front, "start", "one")["env"]["MODE"], "plain");
    assert_eq!(front.list(), ["one:online", "three:online", "two:online"]);
    assert_ne!(front.pids("one"), before);
}

#[test]
fn update_env_takes_the_variables_of_the_shell() {
    let mut front = reporting();
    let _ = front.scene.file("report.js", REPORT);
    front.scene.set("COLOUR", "red");
    front.ok("start report.js");
    front.scene.set("COLOUR", "blue");
    assert_eq!(seen_after(&front, "restart report", "report")["env"]["COLOUR"], "red");
    assert_eq!(seen_after(&front, "restart report --update-env", "report")["env"]["COLOUR"], "blue");
}

#[test]
fn a_file_may_begin_with_a_byte_order_mark() {
    let front = Front::new();
    for (name, text) in
        [("a.json", "[{\"name\":\"a\",\"script\":\"app.js\"}]"), ("b.yaml", "apps:\n- name: b\n  script: app.js\n")]
    {
        let _ = front.scene.file(name, &format!("\u{feff}{text}"));
        let said = front.line(&format!("start {name} --dry-run"));
        assert_eq!(said.code, 0, "{said:?}");
    }
}

#[test]
fn a_reload_takes_them_too_and_what_is_described_wins() {
    let mut front = reporting();
    let _ = front.scene.file("report.js", REPORT);
    let config = "module.exports = ['fork', 'cluster'].map((exec_mode) => ({ name: exec_mode, script: 'report.js', exec_mode, env: { MINE: 'ours' } }))";
    let _ = front.scene.file("two.config.js", config);
    front.scene.set("COLOUR", "red");
    front.ok("start two.config.js");
    front.scene.set("COLOUR", "blue \"and\" $HOME\n");
    front.scene.set("MINE", "the shell's");
    for name in ["fork", "cluster"] {
        assert_eq!(seen_after(&front, &format!("reload {name}"), name)["env"]["COLOUR"], "red", "{name}");
        // It is kept: by a restart, too.
        for line in [format!("reload {name} --update-env"), format!("reload {name}"), format!("restart {name}")] {
            let env = seen_after(&front, &line, name)["env"].clone();
            assert_eq!(env["COLOUR"], "blue \"and\" $HOME\n", "{line}");
            assert_eq!((&env["MINE"], &env["name"]), (&"ours".into(), &name.into()), "{line}");
        }
    }
}

#[test]
fn in_the_foreground_pm_becomes_the_chain() {
    let front = reporting();
    let _ = front.scene.file("report.js", REPORT);
    let config = "module.exports = { apps: [{ name: 'fore', script: 'report.js', args: ['a b', \"it's\"], env: { V: 'x\\ny' } }] }";
    let _ = front.scene.file("one.config.js", config);
    let chain = front.start(&["start", "one.config.js", "--no-daemon"]);
    chain.until("the app", || {
        std::fs::read(front.scene.dir().join("seen-fore")).ok().filter(|text| text.ends_with(b"}"))
    });
    assert_eq!(proc::name(chain.pid()), "pm-restart");
    assert_eq!(seen(&front, "fore")["argv"], serde_json::json!(["a b", "it's"]));
    assert_eq!(seen(&front, "fore")["env"]["V"], "x\ny");
    chain.until("the list", || (front.list() == ["fore:online"]).then_some(()));
    chain.stop();
    let _ = front.scene.file("bad.js", "process.exit(7)");
    let chain = front.start(&["start", "bad.js", "--no-daemon", "--no-autorestart"]);
    assert_eq!(chain.ended(), Some(7), "{}", chain.output());
}

#[test]
fn what_cannot_be_started_is_said() {
    let front = Front::new();
    let _ = front.scene.file("bad.js", "throw new Error('no config')");
    let _ =
        front.scene.file("half.config.js", "module.exports = { apps: [{ script: 'idle.js' }, { script: 'none.js' }] }");
    for (line, word) in [
        ("start none.js", "none.js"),
        ("start bad.js --no-autorestart", "no config"),
        ("start none.config.js", "none.config.js"),
        ("start", "ecosystem.config.js"),
        ("start idle.js -i foo", "foo"),
        ("start idle.js --env production", "--env"),
        ("start idle.js --bogus", "--bogus"),
        ("start idle.js --name", "--name"),
        ("start half.config.js", "none.js"),
    ] {
        let said = front.line(line);
        assert!(said.code != 0 && said.err.contains(word), "{line}: {said:?}");
    }
    assert_eq!(front.list().iter().filter(|app| app.starts_with("idle:online")).count(), 1, "the good one of the two");
}

#[test]
fn a_command_with_blanks_goes_through_a_shell() {
    let front = reporting();
    let _ = front.scene.file("report.js", REPORT);
    front.ok_words(&["start", "node report.js 'a b' \"$COLOUR\" | cat", "--name", "line"]);
    assert_eq!(seen(&front, "line")["argv"], serde_json::json!(["a b", ""]));
}

/// Express 5 hands the error of `listen` to the callback, so that the app stays alive and serves nobody.
#[test]
fn an_app_that_was_refused_its_port_is_no_success_and_heals_when_the_port_is_free() {
    let front = Front::new();
    let port = front.scene.port;
    let app = "const app = require('express')(); app.get('/', (q, r) => r.send(`${process.pid}`)); \
               app.listen(process.env.PORT, (error) => console.log('listen', error?.code))";
    let _ = front.scene.file("web.js", app);
    let taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("our own port");
    let said = front.line("start web.js -i 2");
    assert!(said.code == 1 && said.err.contains("app 'web' does not start"), "{said:?}");
    let why = format!("app 'web' does not start: port {port} is taken by ");
    assert!(said.err.contains(&why) && said.err.contains(&format!("(pid {})", std::process::id())), "{said:?}");
    assert!(
        said.err.contains("worker not ready in time")
            && said.err.contains(&format!("; it listens on nothing: port {port} is taken by ")),
        "{said:?}"
    );
    drop(taken);
    fork::wait(&front.scene, "ready", "web");
    let workers = front.pids("web");
    assert!(workers.len() == 2 && http::pids(port, 2).iter().all(|pid| workers.contains(pid)), "{workers:?}");
    front.ok("delete web");
}

/// As `node .` does it, which is what PM2 comes to.
#[test]
fn a_directory_is_started_as_node_would_or_it_is_said_why_not() {
    let front = Front::new();
    for dir in ["with-index", "with-main", "described", "empty"] {
        std::fs::create_dir(front.scene.dir().join(dir)).expect("made");
    }
    let _ = front.scene.file("with-index/index.js", "console.log('index'); setInterval(() => {}, 1e6)");
    let _ = front.scene.file("with-main/package.json", r#"{"main": "lib.js"}"#);
    let _ = front.scene.file("with-main/lib.js", "console.log('main'); setInterval(() => {}, 1e6)");
    let _ = front.scene.file("described/ecosystem.config.js", "module.exports = []");
    front.ok("start with-index");
    let mut command = front.command(&["start", "."]);
    assert!(command.current_dir(front.scene.dir().join("with-main")).status().expect("runs").success());
    assert_eq!(front.list(), ["with-index:online", "with-main:online"]);
    for (dir, word) in [("with-index", "index\n"), ("with-main", "main\n")] {
        let log = front.scene.dir().join(format!("pm/{dir}/out.log"));
        wait::until(word, || std::fs::read_to_string(&log).ok().filter(|text| text == word));
    }
    front.ok("restart with-main");
    for (line, part) in [
        ("start described", "is a directory: to start what is described in it, name its ecosystem.config.js"),
        ("start ./empty", "is a directory with no package.json and no index.js: name the script in it"),
        ("start idle.js --cwd /none", "cwd: there is no directory /none"),
    ] {
        let said = front.line(line);
        assert!(said.code == 1 && said.err.contains(part) && said.lines().count() == 1, "{line}: {said:?}");
    }
}

/// Who has the port is told as a person knows it: by the name of the app.
#[test]
fn two_apps_on_one_port_are_told_of_each_other_by_name() {
    let front = Front::new();
    for first in ["-i 2", "-x"] {
        front.ok(&format!("start app.js --name first {first}"));
        let said = front.line("start app.js --name second -i 1 --listen-timeout 20000");
        let pid =
            said.err.split("by=app 'first' (pid ").nth(1).and_then(|rest| rest.split(')').next()?.parse::<u32>().ok());
        assert!(said.code == 1 && pid.is_some(), "{first}: {said:?}");
        for more in ["", " --no-autorestart"] {
            // In fork mode the program itself says that it did not get it.
            let said = front.line(&format!("start app.js --name third{more}"));
            let taken = format!("port {} is taken by app 'first' (pid ", front.scene.port);
            assert!(said.code == 1 && said.err.contains(&taken), "{first}: {said:?}");
            front.ok("delete third");
        }
        front.ok("delete all");
    }
}
