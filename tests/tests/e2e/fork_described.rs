//! pm-fork with descriptions of apps: the files that it takes, and what comes of a change in one.

use std::io::Write as _;
use std::process::Stdio;

use pm_tests::fork::{self, file, run, start_of, stop, tool};
use pm_tests::scene::Scene;
use pm_tests::{bins, http, ports, stat, wait};
use serde_json::{Value, json};

const APP: &str = "require('http').createServer((q, r) => r.end(JSON.stringify({ args: process.argv.slice(2), \
                   exec: process.execArgv, env: process.env, cwd: process.cwd(), pid: process.pid }))).listen(process.env.PORT)";

fn scene() -> Scene {
    let scene = Scene::with_node(24).with("PORT2", ports::free().to_string());
    let _ = scene.file("app.js", APP);
    let _ = scene.file("other.js", &APP.replace("PORT", "PORT2"));
    scene
}

fn answer(port: u16) -> Value {
    serde_json::from_str(&http::get(port, "/").expect("serves")).expect("JSON")
}

/// Two apps; the first has variables of its own.
const TWO: &str = "
console.log('a config file may print');
const env = { SHARED: 'yes', KIND: 'development' };
module.exports = {
  apps: [
    { name: 'web', script: './app.js', instances: 2, exec_mode: 'cluster', env, env_production: { KIND: 'production' } },
    { name: 'other', script: 'other.js', args: ['a b', '', '--x'], env },
  ],
};
";

#[test]
fn the_first_two_commands_of_who_comes_from_pm2() {
    let scene = scene();
    let _ = run(&scene, "--set script=app.js").ok();
    let told = answer(scene.port);
    assert_eq!(
        (&told["env"]["name"], &told["env"]["pm_id"], &told["env"]["NODE_APP_INSTANCE"]),
        (&"app".into(), &"0".into(), &"0".into())
    );
    assert_eq!(start_of(&scene, "app")["mode"], "fork");
    stop(&scene, "app");
    let text = "module.exports = { apps: [{ name: 'app', script: './app.js', instances: 0, exec_mode: 'cluster' }] }";
    let _ = scene.file("ecosystem.config.js", text);
    let said = run(&scene, "-f ecosystem.config.js").ok();
    assert!(said.err.contains("ready_by=listen") && answer(scene.port)["pid"].is_number(), "{said:?}");
    assert_eq!(start_of(&scene, "app")["mode"], "cluster");
}

#[test]
fn two_apps_of_a_file_with_an_environment() {
    let scene = scene();
    let _ = scene.file("ecosystem.config.js", TWO);
    let said = run(&scene, "-f ecosystem.config.js --env production").ok();
    assert_eq!(said.err.matches("pm-fork: info: started app").count(), 2, "{said:?}");
    assert!(said.err.contains("--env production: app 'other' has no env_production"), "{said:?}");
    let web = answer(scene.port);
    assert_eq!((&web["env"]["KIND"], &web["env"]["SHARED"]), (&"production".into(), &"yes".into()));
    let port = http_port(&scene);
    assert_eq!(answer(port)["args"], json!(["a b", "", "--x"]));
    assert_eq!(stat::workers(&scene).len(), 3);
    let again = run(&scene, "-f ecosystem.config.js");
    assert_eq!((again.code, again.err.matches("already running").count()), (Some(1), 2), "{again:?}");
}

fn http_port(scene: &Scene) -> u16 {
    let line = stat::workers(scene).into_iter().find(|line| line.text("app") == "other").expect("it runs");
    let environ = std::fs::read(format!("/proc/{}/environ", line.pid().expect("a process"))).expect("ours");
    let text = String::from_utf8_lossy(&environ).into_owned();
    text.split('\0').find_map(|entry| entry.strip_prefix("PORT2=")?.parse().ok()).expect("PORT2")
}

#[test]
fn only_those_that_are_asked_for() {
    let scene = scene();
    let _ = scene.file("ecosystem.config.js", TWO);
    let _ = run(&scene, "-f ecosystem.config.js --only web").ok();
    assert!(stat::workers(&scene).iter().all(|line| line.text("app") == "web"));
    let none = run(&scene, "-f ecosystem.config.js --only nobody");
    assert_eq!((none.code, none.err.contains("no app called nobody")), (Some(125), true), "{none:?}");
    let plan = run(&scene, "-f ecosystem.config.js --only other --dry-run").ok().lines();
    assert_eq!((plan.len(), &plan[0]["name"], &plan[0]["mode"]), (1, &"other".into(), &"fork".into()));
}

/// One app, in every form that a file may have.
#[test]
fn every_kind_of_file() {
    let scene = scene();
    let esm = "export default { apps: [{ name: 'x', script: 'app.js', instances: 2 }] }";
    let forms = [
        ("a.config.mjs", esm.to_owned()),
        ("b.config.js", "module.exports = [{ name: 'x', script: 'app.js', instances: 2 }]".to_owned()),
        ("c.config.cjs", "module.exports = async () => ({ name: 'x', script: 'app.js', instances: 2 })".to_owned()),
        ("d.config.mjs", "export const apps = [{ name: 'x', script: 'app.js', instances: 2 }]".to_owned()),
        ("e.json", r#"{"apps": [{"name": "x", "script": "app.js", "instances": 2}]}"#.to_owned()),
        ("f.json", "// a comment\n{ apps: [{ name: 'x', /* and */ script: 'app.js', instances: 2, },] }".to_owned()),
        ("g.yml", "apps:\n  - name: x\n    script: app.js\n    instances: 2\n".to_owned()),
        ("h.yaml", "- {name: x, script: app.js, instances: '2'}\n".to_owned()),
        ("module/i.config.js", esm.to_owned()),
        ("k.config.mjs", "export default async () => ({ name: 'x', script: 'app.js', instances: 2 })".to_owned()),
        ("l.config.js", "module.exports = Promise.resolve([{ name: 'x', script: 'app.js', instances: 2 }])".to_owned()),
        (
            "m.config.js",
            format!("exports.__esModule = true; exports.default = {}", esm.trim_start_matches("export default ")),
        ),
        ("n.config.ts", esm.replace("export", "const n: number = 1; export")),
        (
            "o.config.cts",
            "const n: number = 2; module.exports = { name: 'x', script: 'app.js', instances: n }".to_owned(),
        ),
    ];
    std::fs::create_dir(scene.dir().join("module")).expect("made");
    let _ = scene.file("module/package.json", r#"{"type": "module"}"#);
    for (name, text) in forms {
        let _ = scene.file(name, &text);
        let plans = run(&scene, &format!("-f {name} --dry-run")).ok().lines();
        assert_eq!((plans.len(), &plans[0]["name"], &plans[0]["workers"]), (1, &"x".into(), &2.into()), "{name}");
    }
    let mut command = scene.command(&["pm-fork", "-f", "-", "--dry-run"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("a pipe").write_all(b"{\"script\": \"app.js\"}").expect("written");
    let output = child.wait_with_output().expect("ends");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"name\":\"app\""), "{output:?}");
}

/// `module.exports` below `"type": "module"`, and in an `.mjs`: read as what it is written for, by every Node.
#[test]
fn a_file_that_is_written_for_commonjs_is_read_as_that() {
    for major in bins::NODE_MAJORS {
        let scene = Scene::with_node(major);
        let _ = scene.file("package.json", r#"{"type": "module"}"#);
        let (text, esm) = ("{ name: 'x', script: './app.js' }", "export default { name: 'x', script: './app.js' }");
        let common =
            format!("const path = require('path'); module.exports = {{ cwd: path.dirname(__filename), ...{text} }}");
        for (name, text) in [
            ("a.config.js", format!("module.exports = {text}")),
            ("b.config.js", common.clone()),
            ("c.config.mjs", common),
            ("d.config.js", esm.to_owned()),
            ("e.config.mjs", format!("exports.apps = [{text}]")),
        ] {
            let _ = scene.file("app.js", "");
            let _ = scene.file(name, &text);
            let plans = run(&scene, &format!("-f {name} --dry-run")).ok().lines();
            assert_eq!((plans.len(), &plans[0]["name"]), (1, &"x".into()), "Node {major}, {name}");
            assert_eq!(plans[0]["cwd"], scene.dir().to_str().expect("UTF-8"), "Node {major}, {name}");
        }
        for (name, text, why) in [
            (
                "x.config.mjs",
                format!("import 'fs'; {esm}; __dirname"),
                "line 1: ReferenceError: __dirname is not defined",
            ),
            ("y.config.js", format!("{esm}; require('fs')"), "line 1: ReferenceError: require is not defined"),
            ("z.config.js", "module.exports = require('./none.cjs')".to_owned(), "Cannot find module './none.cjs'"),
        ] {
            let _ = scene.file(name, &text);
            let said = run(&scene, &format!("-f {name}"));
            assert_eq!((said.code, said.err.lines().count()), (Some(125), 1), "Node {major}, {name}: {said:?}");
            assert!(said.err.contains(why), "Node {major}, {name}: {said:?}");
        }
    }
    let old = Scene::with_node(20);
    let _ = old.file("a.config.ts", "export default {}");
    let said = run(&old, "-f a.config.ts");
    assert!(said.err.lines().count() == 1 && said.err.contains("Unknown file extension \".ts\""), "{said:?}");
}

#[test]
fn a_bad_file_is_one_line_with_the_reason() {
    let scene = scene();
    for (name, text, why) in [
        ("a.json", "{\"apps\": [", "EOF while parsing"),
        ("b.yml", "apps: [", "b.yml: "),
        ("c.json", "\"app.js\"", "an app, a list of apps"),
        ("d.config.js", "module.exports = 7", "not a number"),
        ("e.config.mjs", "export default undefined", "does it export anything?"),
        ("f.json", "{\"apps\": []}", "no app is described"),
        ("g.config.js", "throw new Error('in the config')", "line 1: Error: in the config"),
        ("h.config.js", "\nmodule.exports = { apps: [}", "line 2: SyntaxError: Unexpected token"),
        ("i.config.js", "module.exports = new Promise(() => {})", "a promise that is not kept"),
        ("j.config.js", "process.exit(3)", "it exits, with code 3"),
        ("k.config.js", "const a = {}; a.a = a; module.exports = a", "Converting circular structure"),
    ] {
        let _ = scene.file(name, text);
        let said = run(&scene, &format!("-f {name}"));
        assert_eq!((said.code, said.err.lines().count()), (Some(125), 1), "{name}: {said:?}");
        assert!(said.err.contains(why) && said.err.contains(name), "{name}: {said:?}");
    }
    let missing = run(&scene, "-f nowhere.config.js");
    assert!(
        missing.code == Some(125) && missing.err.contains("cannot read nowhere.config.js: No such file"),
        "{missing:?}"
    );
}

#[test]
fn one_app_that_fails_does_not_stop_the_others() {
    let scene = scene();
    let apps = json!([
        {"script": "nowhere.js"},
        {"script": "app.js", "name": "bad", "instances": "foo"},
        {"script": "app.js", "name": "web", "instances": 1, "watchh": true},
        {"script": "app.js", "name": "web"},
    ]);
    let _ = scene.file("apps.json", &apps.to_string());
    let said = run(&scene, "-f apps.json");
    assert_eq!(said.code, Some(1), "{said:?}");
    for part in [
        "fatal: app 'nowhere.js': script: there is no file",
        "fatal: app 'bad': instances: 'foo'",
        "fatal: app 'web': name: there are two",
        "warning: app 'web': watchh: no such field, it is ignored; watch is meant?",
        "info: started app 'web'",
    ] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    assert!(answer(scene.port)["pid"].is_number());
}

/// The text that breaks what quotes badly.
const NASTY: &str = " \t'\"\\ $HOME `x` \n#=\r é😀 -- ";

#[test]
fn every_value_arrives_unchanged() {
    let scene = scene();
    let name = "my größe 'x' \"y\"";
    let app = json!({"script": "./app.js", "name": name, "args": [NASTY, "", "-n"], "instances": 1,
        "env": {"NASTY": NASTY, "EMPTY": "", "a.b-c": "odd", "LINE": "one\ntwo\n"}});
    let _ = scene.file("apps.json", &app.to_string());
    let _ = run(&scene, "-f apps.json").ok();
    let told = answer(scene.port);
    assert_eq!(told["args"], json!([NASTY, "", "-n"]));
    for (key, value) in app["env"].as_object().expect("an object") {
        assert_eq!(&told["env"][key], value, "{key}");
    }
    assert_eq!(told["env"]["name"], name);
    fork::wait(&scene, "ready", name);
    let _ = tool(&scene, &["pm-fork", "--signal", "TERM", name]).ok();
    fork::wait(&scene, "stopped", name);
    let _ = tool(&scene, &["pm-fork", "--again", name]).ok();
    assert_eq!(answer(scene.port)["env"]["NASTY"], NASTY, "and from start.json too");
    // The same from the command line.
    let _ = tool(&scene, &["pm-fork", "--signal", "TERM", name]).ok();
    fork::wait(&scene, "stopped", name);
    let variable = format!("env=NASTY={NASTY}");
    let _ = tool(&scene, &["pm-fork", "--set", "script=app.js", "--set", &variable, "--", NASTY, "--set"]).ok();
    let told = answer(scene.port);
    assert_eq!((&told["args"], &told["env"]["NASTY"]), (&json!([NASTY, "--set"]), &NASTY.into()));
}

fn describe(scene: &Scene, app: &Value) {
    let _ = scene.file("apps.json", &app.to_string());
}

/// The line of `--update`.
fn update(scene: &Scene) -> Value {
    run(scene, "-f apps.json --update").ok().lines().first().cloned().expect("a line")
}

#[test]
fn a_reload_applies_changed_and_removed_variables() {
    let scene = scene();
    let app = |env: Value| json!({"name": "web", "script": "app.js", "instances": 2, "env": env});
    describe(&scene, &app(json!({"KEPT": "1", "GONE": "1"})));
    assert_eq!(update(&scene)["action"], "start");
    let _ = run(&scene, "-f apps.json").ok();
    assert_eq!(update(&scene), json!({"app": "web", "action": "same", "workers": 2, "changed": []}));
    describe(&scene, &app(json!({"KEPT": "2", "NEW": "x"})));
    let changed = json!({"app": "web", "action": "reload", "workers": 2, "changed": ["env"]});
    assert_eq!(update(&scene), changed);
    assert_eq!(answer(scene.port)["env"]["KEPT"], "1", "nothing has happened yet");
    let pids: Vec<_> = stat::workers(&scene).iter().map(stat::Line::pid).collect();
    let mut rolled = scene.command(&["pm-stat", "--wait", "rolled", "--since", "0", "--timeout", "60s", "web"]);
    let mut rolled = rolled.spawn().expect("runs");
    let _ = run(&scene, "--signal HUP web").ok();
    assert!(rolled.wait().expect("ends").success());
    let env = answer(scene.port)["env"].clone();
    assert_eq!((&env["KEPT"], &env["NEW"], &env["GONE"]), (&"2".into(), &"x".into(), &Value::Null));
    // An old one may still be leaving.
    let ready = stat::workers(&scene).into_iter().filter(|line| line.state() == "ready");
    assert_eq!(ready.filter(|line| !pids.contains(&line.pid())).count(), 2);
    assert_eq!(update(&scene)["action"], "same", "what was applied is no change any more");
    assert_eq!(start_of(&scene, "web")["app"]["env"], json!({"KEPT": "2", "NEW": "x"}));
}

#[test]
fn what_else_changed_says_how_it_is_applied() {
    let scene = scene();
    let first = json!({"name": "web", "script": "app.js", "instances": 1});
    describe(&scene, &first);
    let _ = run(&scene, "-f apps.json").ok();
    for (change, action, fields) in [
        (json!({"script": "other.js"}), "restart", json!(["script"])),
        (json!({"cwd": "sub"}), "restart", json!(["cwd"])),
        (json!({"args": "x"}), "restart", json!(["args"])),
        (json!({"max_memory_restart": "1G", "env": {"A": "1"}}), "restart", json!(["env", "max_memory_restart"])),
        (json!({"exec_mode": "fork"}), "restart", json!(["exec_mode"])),
    ] {
        let mut app = first.clone();
        app.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        std::fs::create_dir_all(scene.dir().join("sub")).expect("made");
        std::fs::copy(scene.dir().join("app.js"), scene.dir().join("sub/app.js")).expect("copied");
        let before = file(&scene, "web", "start.json");
        describe(&scene, &app);
        let line = update(&scene);
        assert_eq!((&line["action"], &line["changed"]), (&action.into(), &fields), "{change}");
        assert_eq!(file(&scene, "web", "start.json"), before, "a restart writes it");
    }
    describe(&scene, &json!({"name": "web", "script": "app.js", "instances": 3}));
    assert_eq!(update(&scene), json!({"app": "web", "action": "scale", "workers": 3, "changed": ["instances"]}));
    assert_eq!(start_of(&scene, "web")["argv"][6], "3");
    describe(&scene, &json!({"name": "web", "script": "app.js", "instances": 3, "namespace": "shop"}));
    assert_eq!(update(&scene)["action"], "same");
    assert_eq!(start_of(&scene, "web")["namespace"], "shop");
}

#[test]
fn autostart_false_is_known_and_stopped() {
    let scene = scene();
    describe(&scene, &json!([{"script": "app.js", "name": "later", "autostart": false, "instances": 1}]));
    let said = run(&scene, "-f apps.json").ok();
    assert!(said.err.contains("app 'later' is stopped"), "{said:?}");
    assert!(http::get(scene.port, "/").is_err() && stat::workers(&scene).is_empty());
    let _ = run(&scene, "--again later").ok();
    assert!(answer(scene.port)["pid"].is_number());
}

#[test]
fn a_name_that_runs_gets_a_number_with_force() {
    let scene = scene();
    describe(&scene, &json!({"script": "app.js", "name": "web", "instances": 1, "env": {"PORT": 0}}));
    let _ = run(&scene, "-f apps.json").ok();
    assert_eq!(run(&scene, "-f apps.json").code, Some(1));
    let said = run(&scene, "-f apps.json --force").ok();
    assert!(said.err.contains("started app 'web-2'"), "{said:?}");
    assert!(file(&scene, "web-2", "app.env").contains("name=\"web-2\"\n"));
    let argv = start_of(&scene, "web-2")["argv"].to_string();
    assert!(argv.contains("/web-2/app.env") && !argv.contains("/web/app.env"), "{argv}");
}

#[test]
fn a_wait_for_a_message_ends_at_its_timeout_and_the_app_goes_on() {
    let scene = scene();
    let said = run(&scene, "--set script=app.js --set wait_ready=true --timeout 1s");
    assert_eq!(said.code, Some(124), "{said:?}");
    assert!(said.err.contains("app 'app' is not ready after 1s, and goes on"), "{said:?}");
    stop(&scene, "app");
    let _ = scene.file("sends.js", &format!("{APP}; process.send('ready')"));
    let said = run(&scene, "--set script=sends.js --set wait_ready=true").ok();
    assert!(said.err.contains("ready_by=message"), "{said:?}");
}

/// More than a user may have inotify instances by default, and in the order of the file.
#[test]
fn many_apps_of_a_file_are_all_waited_for() {
    let scene = scene();
    let app =
        |n: u32| json!({"name": format!("a{n}"), "script": "/bin/sleep", "args": ["1000"], "interpreter": "none"});
    describe(&scene, &(0..140).map(app).collect());
    let said = run(&scene, "-f apps.json").ok();
    // Up long enough for that, or so long, on a busy machine, that they are known to serve nobody.
    let ready = [" ready_by=alive ", " ready_by=idle "].map(|word| said.err.matches(word).count());
    assert_eq!(ready.iter().sum::<usize>(), 140, "{said:?}");
    assert_eq!((&start_of(&scene, "a0")["id"], &start_of(&scene, "a139")["id"]), (&0.into(), &139.into()));
}

#[test]
fn time_and_json_put_a_writer_between() {
    let scene = scene();
    let _ = scene.file("says.js", &format!("console.log('hello'); {APP}"));
    let described = "--set script=says.js --set name=web --set instances=1 --set time=true --set log_type=json";
    let _ = run(&scene, &format!("{described} --set out_file=logs/deep/o.log")).ok();
    assert!(answer(scene.port)["pid"].is_number());
    stop(&scene, "web");
    let path = scene.dir().join("logs/deep/o.log");
    let line =
        wait::until("the line of the app", || std::fs::read_to_string(&path).ok()?.lines().next().map(str::to_owned));
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["message"], line["timestamp"].is_string()), (&"hello".into(), true), "{line}");
}

/// As PM2's treekill: what is started by a shell gets the signal that its handler is for.
#[test]
fn an_app_behind_a_shell_is_told_to_stop() {
    let mut scene = scene();
    let told = scene.dir().join("told");
    scene.set("TOLD", told.clone());
    let app = "process.on('SIGINT', () => { require('fs').writeFileSync(process.env.TOLD, 'INT'); process.exit(0) });";
    let _ = scene.file("app.js", &format!("{app}\n{APP}"));
    let said = tool(&scene, &["pm-fork", "--set", "script=cd . && node app.js; true", "--set", "name=line"]).ok();
    let port = scene.port;
    wait::until("it serves", || http::get(port, "/").ok());
    stop(&scene, "line");
    assert_eq!(std::fs::read_to_string(&told).expect("its handler ran"), "INT", "{said:?}");
}

/// What people write, and what nobody should.
const TEXTS: [&str; 26] = [
    "A=1",
    "A=1\nB=2\n",
    "# a comment\n\nA = b c # d\n  B\t=\tx\n",
    "export A=1\nexport  B=2",
    "export A=\nB=",
    "A=\r\nB=x\r\n",
    "A='single $X \\n \"q\"' # c\nB=2",
    "A=\"a\\nb\" trailing\nB=2",
    "A=`it's \"both\"`\nB=2",
    "A=\"two\nlines\"\nB='three\n\nlines'",
    "A=\"not closed\nB=2",
    "A='not closed",
    "A=x#y\nB=x #y",
    "A=  \n\nB=2",
    "A\nB=2",
    "=1\nB=2",
    "A==1=\nB=http://h/?a=b&c=d",
    "A.b-c=1\nB C=2",
    "A=\"\"\nB=''",
    "A='a'b'c'\nB=\"a\"b",
    "A=\\\"x\\\"\nB=\\n",
    "A=1\nA=2",
    "KEY=\"-----BEGIN\nabc=\n-----END\"\nB=2\n",
    "\n\n  A=1\n   # c = d\n B=2",
    "A={\"json\": [1, 2]}\nB='{\"a\": \"b\"}'",
    "A=größe 😀\nB=$A ${A}",
];

/// `env_file` is read as Node reads its `--env-file`.
#[test]
fn a_file_of_variables_is_read_as_node_reads_it() {
    let scene = scene();
    let mut apps = Vec::new();
    for (n, text) in TEXTS.iter().enumerate() {
        let _ = scene.file(&format!("{n}.env"), text);
        apps.push(json!({"name": n.to_string(), "script": "app.js", "env_file": format!("{n}.env")}));
    }
    let _ = scene.file("apps.json", &json!(apps).to_string());
    let plans = run(&scene, "-f apps.json --dry-run").ok().lines();
    for major in [22, 26] {
        let node = bins::node(major).join("node");
        for (n, (plan, text)) in plans.iter().zip(TEXTS).enumerate() {
            let mut command = std::process::Command::new(&node);
            command.env_clear().current_dir(scene.dir()).arg(format!("--env-file={n}.env"));
            let output = command.args(["-p", "JSON.stringify(process.env)"]).output().expect("node runs");
            let mut wanted: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let ours = |pair: &(&String, &Value)| !["name", "NODE_APP_INSTANCE"].contains(&pair.0.as_str());
            let got: serde_json::Map<_, _> = plan["env"]
                .as_object()
                .expect("an object")
                .iter()
                .filter(ours)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            wanted.as_object_mut().expect("an object").retain(|key, _| !key.starts_with("__"));
            assert_eq!(Value::from(got), wanted, "Node {major}: {text:?}");
        }
    }
}

#[test]
fn a_change_in_a_file_of_variables_is_applied_by_a_reload_of_the_description() {
    let scene = scene();
    let _ = scene.file("my.env", "A=1\nB=1\nSECRET_A='x'\n");
    let _ = scene.file("over.env", "B=2\n");
    let app = json!({"name": "web", "script": "app.js", "instances": 1, "env_file": ["my.env", "over.env"], "env": {"C": "3"}});
    let _ = scene.file("apps.json", &app.to_string());
    let _ = run(&scene, "-f apps.json").ok();
    let env = answer(scene.port)["env"].clone();
    assert_eq!((&env["A"], &env["B"], &env["C"]), (&"1".into(), &"2".into(), &"3".into()));
    let _ = scene.file("over.env", "B=changed\n");
    let plan = run(&scene, "-f apps.json --update").ok().lines();
    assert_eq!((&plan[0]["action"], &plan[0]["changed"]), (&"reload".into(), &json!(["env"])));
    let _ = run(&scene, "--signal HUP web").ok();
    // It may be over by now.
    let _ = tool(&scene, &["pm-stat", "--wait", "rolled", "--since", "0", "--timeout", "60s", "web"]).ok();
    assert_eq!(answer(scene.port)["env"]["B"], "changed");
}

/// Whatever is named is written, and nothing is lost where all the others are `NULL`.
#[test]
fn every_log_that_is_named_is_written() {
    let scene = scene();
    let _ = scene.file("says.js", "console.log('to out'); console.error('to err'); setInterval(() => {}, 1e6)");
    let apps = json!([
        {"name": "null", "script": "says.js", "log_file": "l/null.log", "out_file": "NULL", "error_file": "NULL"},
        {"name": "three", "script": "says.js", "log_file": "l/both.log", "out_file": "l/o.log", "error_file": "l/e.log"},
        {"name": "two", "script": "says.js", "log_file": "m/two.log", "out_file": "m/o.log", "log_type": "json"},
    ]);
    let _ = scene.file("apps.json", &apps.to_string());
    let said = run(&scene, "-f apps.json").ok();
    assert!(!said.err.contains("log_file"), "{said:?}");
    let lines = |name: &str| {
        let text = std::fs::read_to_string(scene.dir().join(name)).unwrap_or_default();
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with("pm-")).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let both = ["to err", "to out"].map(str::to_owned).to_vec();
    for (name, wanted) in [
        ("l/null.log", both.clone()),
        ("l/both.log", both.clone()),
        ("l/o.log", vec![both[1].clone()]),
        ("l/e.log", vec![both[0].clone()]),
    ] {
        wait::until(name, || (lines(name) == wanted).then_some(()));
    }
    wait::until("JSON", || {
        (lines("m/two.log").iter().filter(|line| line.contains("\"message\":\"to ")).count() == 2).then_some(())
    });
    wait::until("the other file", || (lines("m/o.log").len() == 1).then_some(()));
    let _ = run(&scene, "--flush three").ok();
    for name in ["l/both.log", "l/o.log", "l/e.log"] {
        assert_eq!(lines(name), [""; 0], "{name}");
    }
}

/// PM2's `deploy.production.env` is what a production has below all else.
#[test]
fn the_variables_of_a_deployment_are_there_with_its_environment() {
    let scene = scene();
    let text = "module.exports = { apps: [{ script: './app.js', env: { B: 'app' } }],
        deploy: { production: { user: 'x', env: { A: 'deploy', B: 'deploy' } }, staging: {} } }";
    let _ = scene.file("ecosystem.config.js", text);
    for (env, a) in [("production", json!("deploy")), ("staging", Value::Null)] {
        let said = run(&scene, &format!("-f ecosystem.config.js --env {env} --dry-run")).ok();
        let plan = said.lines();
        assert_eq!((&plan[0]["env"]["A"], &plan[0]["env"]["B"]), (&a, &"app".into()), "{env}");
        assert_eq!(said.err.contains("--env staging: app 'app' has no env_staging"), env == "staging", "{said:?}");
    }
}
