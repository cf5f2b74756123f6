//! One field at a time.

use std::collections::BTreeSet;

use pm_common::policy::app_order::Stage;
use serde_json::json;

use super::super::fields::FIELDS;
use super::*;

/// What a case comes to.
enum Is {
    /// The chain, without the parts that every chain has; no warnings.
    Chain(&'static str),
    /// Started, with this part of the chain and a warning that begins so.
    Warned(&'static str, &'static str),
    /// Not started: the reason begins so.
    Refused(&'static str),
    /// As if it were not there.
    Nothing,
    /// This variable of the app.
    Var(&'static str, &'static str),
    /// Something else about the plan.
    Plan(fn(&Plan) -> bool),
}

use Is::{Chain, Nothing, Refused, Var, Warned};

const PLAIN: &str = "pm-restart node ./app.js";

fn in_env(plan: &Plan, name: &str) -> bool {
    plan.start.env.iter().any(|(key, _)| key == name)
}

fn starts_after(plan: &Plan, wanted: &[(&str, Stage)]) -> bool {
    plan.start.after.iter().map(|one| (one.app.as_str(), one.stage)).eq(wanted.iter().copied())
}

/// Every field of PM2's, in the order of its documentation.
fn cases() -> Vec<(&'static str, Value, Is)> {
    vec![
        ("script", json!("app.js"), Chain(PLAIN)),
        ("script", json!("/srv/app.js"), Chain("pm-restart node /srv/app.js")),
        ("script", json!("../srv/./sub/app.js"), Refused("script: there is no file /srv/../srv/sub/app.js")),
        ("script", json!("./app.js"), Chain(PLAIN)),
        ("script", json!("-x.js"), Chain("pm-restart node ./-x.js")),
        ("script", json!("cli"), Chain("pm-restart node ./cli")),
        ("script", json!("tool"), Chain("pm-restart ./tool")),
        ("script", json!("binary"), Chain("pm-restart ./binary")),
        ("script", json!("plain"), Chain("pm-restart node ./plain")),
        ("script", json!("job.py"), Chain("pm-restart python3 ./job.py")),
        ("script", json!("run.sh"), Chain("pm-restart bash ./run.sh")),
        ("script", json!("a.ts"), Chain("pm-restart node ./a.ts")),
        ("script", json!("npm"), Chain("pm-restart npm")),
        ("script", json!("my app.js"), Chain("pm-restart node ./my app.js")),
        ("script", json!("npm run start"), Chain("pm-restart sh -c npm run start npm run start")),
        ("script", json!("nowhere.js"), Refused("script: there is no file /srv/nowhere.js")),
        ("script", json!(""), Refused("script: missing")),
        ("script", json!("beside.js"), Is::Plan(|plan| plan.start.cwd == Path::new("/etc/eco"))),
        ("script", json!("~/own.js"), Chain("pm-restart node /home/me/own.js")),
        ("script", json!("~me/own.js"), Chain("pm-restart node /home/me/own.js")),
        ("script", json!("~nobody2/own.js"), Refused("script: there is no file /srv/~nobody2/own.js")),
        ("script", json!("~/own.js --x"), Warned("pm-restart sh -c ~/own.js --x", "name: ")),
        ("exec", json!("cli"), Chain("pm-restart node ./cli")),
        ("cmd", json!("cli"), Chain("pm-restart node ./cli")),
        ("command", json!("cli"), Chain("pm-restart node ./cli")),
        ("name", json!("web"), Is::Plan(|plan| plan.start.name == "web")),
        ("name", json!(455), Is::Plan(|plan| plan.start.name == "455")),
        ("name", json!("@a/b"), Is::Plan(|plan| plan.start.name == "@a-b" && plan.warnings.len() == 1)),
        ("name", json!("@a/b"), Is::Plan(|plan| plan.start.given_name.as_deref() == Some("@a/b"))),
        ("name", json!("@a/b"), Var("name", "@a/b")),
        ("name", json!(".x"), Refused("name: '.x': a name cannot begin with a dot")),
        ("name_prefix", json!("x-"), Is::Plan(|plan| plan.start.name == "x-app")),
        ("namespace", json!("shop"), Is::Plan(|plan| plan.start.namespace == "shop")),
        ("cwd", json!("sub"), Is::Plan(|plan| plan.start.cwd == Path::new("/srv/sub"))),
        ("cwd", json!("/srv/sub/."), Is::Plan(|plan| plan.start.cwd == Path::new("/srv/sub"))),
        ("cwd", json!("~/sub"), Refused("script: there is no file /home/me/sub/app.js")),
        ("cwd", json!("/nowhere"), Refused("script: there is no file /nowhere/app.js")),
        ("args", json!("-a 'b c' \"d\""), Chain("pm-restart node ./app.js -a b c d")),
        ("args", json!(["--x", 1, true, "a 'b"]), Chain("pm-restart node ./app.js --x 1 true a 'b")),
        ("args", json!("'open"), Refused("args: a quote is not closed")),
        ("args", json!({}), Refused("args: {} is not text")),
        ("interpreter", json!("none"), Chain("pm-restart ./app.js")),
        ("interpreter", json!("/opt/node"), Chain("pm-restart /opt/node ./app.js")),
        ("interpreter", json!("~/bin/node"), Chain("pm-restart /home/me/bin/node ./app.js")),
        ("interpreter", json!("python3"), Chain("pm-restart python3 ./app.js")),
        ("interpreter", json!("ruby"), Refused("interpreter: there is no command 'ruby'")),
        ("interpreter", json!("node@18.1.0"), Refused("interpreter: node@18.1.0: not here")),
        ("exec_interpreter", json!("bash"), Chain("pm-restart bash ./app.js")),
        ("node_args", json!("--inspect -r x"), Chain("pm-restart node --inspect -r x ./app.js")),
        ("interpreter_args", json!(["--a b"]), Chain("pm-restart node --a b ./app.js")),
        ("instances", json!(3), Chain("pm-restart pm-cluster -n 3 node ./app.js")),
        ("instances", json!(1), Chain("pm-restart pm-cluster -n 1 node ./app.js")),
        ("instances", json!(0), Chain("pm-restart pm-cluster -n 0 node ./app.js")),
        ("instances", json!("max"), Chain("pm-restart pm-cluster -n max node ./app.js")),
        ("instances", json!("2"), Chain("pm-restart pm-cluster -n 2 node ./app.js")),
        ("instances", json!(-2), Chain("pm-restart pm-cluster -n -2 node ./app.js")),
        ("instances", json!("max"), Is::Plan(|plan| (plan.workers, plan.start.mode) == (4, Mode::Cluster))),
        ("instances", json!(-3), Is::Plan(|plan| plan.workers == 1)),
        ("instances", json!("foo"), Refused("instances: 'foo': a number of workers?")),
        ("instances", json!(1.5), Refused("instances: '1.5': a number of workers?")),
        ("instances", json!(5000), Refused("instances: '5000'")),
        ("exec_mode", json!("cluster"), Chain("pm-restart pm-cluster -n 1 node ./app.js")),
        ("exec_mode", json!("cluster_mode"), Is::Plan(|plan| plan.start.mode == Mode::Cluster)),
        ("exec_mode", json!("fork"), Chain(PLAIN)),
        ("exec_mode", json!("fork_mode"), Is::Plan(|plan| plan.start.mode == Mode::Fork)),
        ("exec_mode", json!("clutser"), Refused("exec_mode: 'clutser': fork or cluster?")),
        ("sticky", json!(true), Chain("pm-restart pm-cluster -n 1 --sticky node ./app.js")),
        ("sticky", json!("no"), Refused("sticky: ")),
        ("sticky", json!(false), Nothing),
        ("reload", json!("stop-start"), Nothing),
        ("reload", json!("beside"), Nothing),
        ("reload", json!("never"), Refused("reload: 'never': beside or stop-start?")),
        (
            "on",
            json!({"crash": "./a.sh x=1", "gave_up": ["b", "c"], "ready": false}),
            Chain("pm-restart --on crash=./a.sh x=1 --on gave-up=b --on gave-up=c node ./app.js"),
        ),
        ("on", json!(false), Nothing),
        ("on", json!({"burn": "a"}), Refused("on: 'burn': expected EVENT=CMD, and EVENT is one of crash, gave-up")),
        ("on", json!({"crash": ""}), Refused("on: 'crash': expected a command")),
        ("on", json!({"crash": 1}), Refused("on: crash: 1 is no command")),
        ("on", json!("./a.sh"), Refused("on: \"./a.sh\": an object")),
        ("health", json!("http://:80/up"), Refused("health: only workers of a cluster")),
        ("health", json!("/up"), Refused("health: '/up': http://:PORT/PATH is meant")),
        ("health", json!(false), Nothing),
        ("health_cmd", json!("curl x"), Refused("health: only workers of a cluster")),
        ("health_cmd", json!(""), Nothing),
        ("max_lag", json!("5s"), Refused("max_lag: only workers of a cluster")),
        ("max_lag", json!("500ms"), Refused("max_lag: 500 ms: 1s or more")),
        ("max_lag", json!(0), Nothing),
        ("log_rotate", json!(false), Chain("pm-restart --log-size none node ./app.js")),
        ("log_rotate", json!(true), Nothing),
        ("log_max_size", json!("500K"), Chain("pm-restart --log-size 500K node ./app.js")),
        ("log_max_size", json!("5"), Refused("log_max_size: '5': expected a size")),
        ("log_keep", json!(3), Chain("pm-restart --log-keep 3 node ./app.js")),
        ("log_keep", json!(1001), Refused("log_keep: 1001: 1000 at most")),
        ("instance_var", json!("SLOT"), Var("SLOT", "0")),
        ("instance_var", json!("a b"), Refused("instance_var: 'a b'")),
        ("increment_var", json!("N"), Nothing),
        ("increment_var", json!("a b"), Refused("increment_var: 'a b'")),
        ("env", json!({"A": "x\n$y \"z\" "}), Var("A", "x\n$y \"z\" ")),
        ("env", json!({"A": 1, "B": true}), Var("B", "true")),
        ("env", json!({"A": {"b": [1]}}), Var("A", "{\"b\":[1]}")),
        ("env", json!({"A": null}), Is::Plan(|plan| var(plan, "A").is_none())),
        ("env", json!({"a=b": "1"}), Warned(PLAIN, "env: no variable can be 'a=b'")),
        ("env", json!({"A": "a\u{0}b"}), Warned(PLAIN, "env: no variable can be 'A'")),
        ("env", json!("A=1"), Refused("env: \"A=1\": an object")),
        ("env", json!({"name": "mine"}), Var("name", "mine")),
        ("env_file", json!(".env"), Var("B", "two\nlines")),
        ("env_file", json!([".env", "~/more.env"]), Var("B", "3")),
        ("env_file", json!([".env", "~/more.env"]), Var("A", "1")),
        ("env_file", json!("none.env"), Refused("env_file: cannot read /srv/none.env: No such file")),
        ("env_file", json!({}), Refused("env_file: {} is not text")),
        ("env_file", json!(""), Nothing),
        ("env_fil", json!(".env"), Warned(PLAIN, "env_fil: \".env\" is no object with variables; env_file is meant?")),
        ("env_x", json!("text"), Warned(PLAIN, "env_x: \"text\" is no object with variables")),
        ("env_x", json!({}), Nothing),
        ("filter_env", json!(true), Is::Plan(|plan| in_env(plan, "PATH") && plan.start.env.len() == 1)),
        ("filter_env", json!("HOME"), Is::Plan(|plan| !in_env(plan, "HOME") && in_env(plan, "SECRET_A"))),
        ("filter_env", json!("SECRET"), Is::Plan(|plan| !in_env(plan, "SECRET_A") && !in_env(plan, "MY_SECRET"))),
        ("filter_env", json!(""), Is::Plan(|plan| in_env(plan, "HOME") && in_env(plan, "SECRET_A"))),
        ("filter_env", json!(["SECRET"]), Is::Plan(|plan| !in_env(plan, "MY_SECRET") && in_env(plan, "HOME"))),
        ("filter_env", json!(false), Nothing),
        ("append_env_to_name", json!(true), Nothing),
        (
            "out_file",
            json!("logs/o.log"),
            Is::Plan(|plan| plan.start.out.as_deref() == Some(Path::new("/srv/logs/o.log"))),
        ),
        ("out_file", json!("~/o.log"), Is::Plan(|plan| plan.start.out.as_deref() == Some(Path::new("/home/me/o.log")))),
        ("out_file", json!("~www/o"), Is::Plan(|plan| plan.start.out.as_deref() == Some(Path::new("/home/www/o")))),
        ("out_file", json!("a~b"), Is::Plan(|plan| plan.start.out.as_deref() == Some(Path::new("/srv/a~b")))),
        ("error_file", json!("~"), Is::Plan(|plan| plan.start.err.as_deref() == Some(Path::new("/home/me")))),
        ("log_file", json!("~/l"), Is::Plan(|plan| plan.start.out.as_deref() == Some(Path::new("/home/me/l")))),
        ("output", json!("NULL"), Is::Plan(|plan| plan.start.out.as_deref() == Some(Path::new("/dev/null")))),
        ("error_file", json!("/e.log"), Is::Plan(|plan| plan.start.err.as_deref() == Some(Path::new("/e.log")))),
        ("err_log", json!("e.log"), Is::Plan(|plan| plan.start.err.as_deref() == Some(Path::new("/srv/e.log")))),
        ("log_file", json!("a.log"), Is::Plan(|plan| plan.start.out == plan.start.err && plan.start.out.is_some())),
        ("log_file", json!("a.log"), Chain(PLAIN)),
        ("log_file", json!(true), Warned(PLAIN, "log_file: for one file with both outputs")),
        ("disable_logs", json!(true), Is::Plan(|plan| plan.start.out.as_deref() == Some(Path::new("/dev/null")))),
        ("merge_logs", json!(true), Nothing),
        ("log_type", json!("json"), Chain("pm-log --json --max-size 10M pm-restart node ./app.js")),
        ("log_type", json!("raw"), Nothing),
        ("log_type", json!("xml"), Warned(PLAIN, "log_type: 'xml'")),
        ("time", json!(true), Chain("pm-log --time --max-size 10M pm-restart node ./app.js")),
        ("time", json!(false), Nothing),
        (
            "log_date_format",
            json!("YYYY-MM-DDTHH:mm:ss"),
            Chain("pm-log --time --max-size 10M pm-restart node ./app.js"),
        ),
        ("log_date_format", json!("HH:mm"), Warned("pm-log --time", "log_date_format: not yet")),
        ("pid_file", json!("x.pid"), Warned(PLAIN, "pid_file: not here")),
        ("depends_on", json!("db"), Is::Plan(|plan| starts_after(plan, &[("db", Stage::Ready)]))),
        (
            "depends_on",
            json!(["db", "@acme/api", "db"]),
            Is::Plan(|plan| starts_after(plan, &[("db", Stage::Ready), ("@acme-api", Stage::Ready)])),
        ),
        (
            "dependsOn",
            json!({"a": "ready", "b": "started"}),
            Is::Plan(|plan| starts_after(plan, &[("a", Stage::Ready), ("b", Stage::Started)])),
        ),
        ("depends_on", json!(false), Nothing),
        ("depends_on", json!({"a": true}), Refused("depends_on: a: true: 'ready' or 'started'?")),
        ("depends_on", json!([["db"]]), Refused("depends_on: [\"db\"] is no name of an app")),
        ("depends_on", json!(".db"), Refused("depends_on: '.db': ")),
        ("autostart", json!(false), Is::Plan(|plan| !plan.autostart)),
        ("autorestart", json!(false), Chain("pm-restart --restart never node ./app.js")),
        ("autorestart", json!(true), Nothing),
        ("stop_exit_codes", json!([0, 3]), Chain("pm-restart --stop-codes 0,3 node ./app.js")),
        ("stop_exit_codes", json!("0, 3"), Chain("pm-restart --stop-codes 0,3 node ./app.js")),
        ("stop_exit_codes", json!(7), Chain("pm-restart --stop-codes 7 node ./app.js")),
        ("stop_exit_codes", json!([]), Nothing),
        ("stop_exit_codes", json!([256]), Refused("stop_exit_codes: '256'")),
        // 3 starts of less than a second each, a second each to begin, and delays of 100, 200 and 400 ms.
        ("max_restarts", json!(3), Chain("pm-restart --intensity 3/6700ms/1000ms node ./app.js")),
        ("max_restarts", json!(0), Chain("pm-restart --intensity 0/1000ms node ./app.js")),
        ("max_restarts", json!("x"), Refused("max_restarts: 'x': a whole number?")),
        // 16 times 2 s and the second, and the delays up to 15 s.
        ("min_uptime", json!("2s"), Chain("pm-restart --stable 2000ms --intensity 16/193500ms/2000ms node ./app.js")),
        (
            "restart_delay",
            json!(500),
            Chain("pm-restart --restart-delay 500ms --intensity 16/16000ms/1000ms node ./app.js"),
        ),
        ("restart_delay", json!(0), Nothing),
        ("restart_delay", json!("soon"), Refused("restart_delay: 'soon': milliseconds")),
        (
            "exp_backoff_restart_delay",
            json!(100),
            Chain("pm-restart --restart-delay 100ms..15000ms --intensity 16/16000ms/1000ms node ./app.js"),
        ),
        (
            "exp_backoff_restart_delay",
            json!(20000),
            Chain("pm-restart --restart-delay 20000ms --intensity 16/16000ms/1000ms node ./app.js"),
        ),
        ("max_memory_restart", json!("300M"), Chain("pm-restart --max-mem 300M node ./app.js")),
        ("max_memory_restart", json!(314_572_800), Chain("pm-restart --max-mem 314572800 node ./app.js")),
        ("max_memory_restart", json!(0), Nothing),
        ("max_memory_restart", json!(300), Refused("max_memory_restart: ")),
        ("max_memory_restart", json!("lots"), Refused("max_memory_restart: ")),
        ("kill_timeout", json!(1600), Chain("pm-restart --grace 1600ms node ./app.js")),
        ("kill_timeout", json!("3s"), Chain("pm-restart --grace 3000ms node ./app.js")),
        ("kill_timeout", json!(0), Nothing),
        ("kill_signal", json!("SIGTERM"), Chain("pm-restart --stop-signal TERM node ./app.js")),
        ("kill_signal", json!("SIGNOPE"), Refused("kill_signal: 'SIGNOPE'")),
        ("kill_retry_time", json!(100), Nothing),
        ("treekill", json!(true), Nothing),
        ("treekill", json!(false), Warned(PLAIN, "treekill: the signal goes to the program alone")),
        ("shutdown_with_message", json!(true), Chain("pm-restart --stop-signal message node ./app.js")),
        ("shutdown_with_message", json!(false), Nothing),
        ("wait_ready", json!(true), Chain("pm-restart --ready message node ./app.js")),
        ("wait_ready", json!(false), Nothing),
        ("listen_timeout", json!(5000), Chain("pm-restart --ready-after 5000ms node ./app.js")),
        ("wait", json!("listen"), Chain("pm-restart --ready-after never node ./app.js")),
        ("wait", json!("ready"), Refused("wait: 'ready': listen is all that it can be")),
        ("cron_restart", json!("0 3 * * *"), Chain("pm-restart --cron 0 3 * * * node ./app.js")),
        ("cron", json!(["0 3 * * *", "@daily"]), Chain("pm-restart --cron 0 3 * * * --cron @daily node ./app.js")),
        ("cron_restart", json!("every night"), Refused("cron_restart: 'every night': expected a pattern of cron")),
        ("cron_restart", json!(false), Nothing),
        ("cron_restart", json!(0), Nothing),
        ("cron_restart", json!("0"), Nothing),
        ("watch", json!(true), Chain("pm-restart --watch /srv node ./app.js")),
        ("watch", json!([]), Chain("pm-restart --watch /srv node ./app.js")),
        ("watch", json!("src"), Chain("pm-restart --watch /srv/src node ./app.js")),
        ("watch", json!(["./src", "/etc/x"]), Chain("pm-restart --watch /srv/src --watch /etc/x node ./app.js")),
        ("watch", json!(false), Nothing),
        ("watch", json!({}), Refused("watch: {}: true, a path or a list of paths?")),
        ("ignore_watch", json!(["x"]), Warned(PLAIN, "ignore_watch: does nothing without watch")),
        ("watch_options", json!({}), Nothing),
        ("watch_options", json!({"usePolling": true}), Warned(PLAIN, "watch_options: usePolling: nothing is polled")),
        ("watch_delay", json!(1000), Warned(PLAIN, "watch_delay: does nothing without watch")),
        ("uid", json!("www"), Refused("uid: only root")),
        ("uid", json!("me"), Nothing),
        ("uid", json!("nobody2"), Refused("uid: there is no user 'nobody2'")),
        ("user", json!(1000), Nothing),
        ("gid", json!("adm"), Refused("gid: only root")),
        ("gid", json!("nope"), Refused("gid: there is no group 'nope'")),
        ("port", json!(8080), Var("PORT", "8080")),
        ("source_map_support", json!(true), Chain("pm-restart node --enable-source-maps ./app.js")),
        ("disable_source_map_support", json!(true), Nothing),
        ("vizion", json!(false), Nothing),
        ("post_update", json!(["npm i"]), Warned(PLAIN, "post_update: not here")),
        ("force", json!(true), Nothing),
        ("pmx", json!(false), Nothing),
        ("automation", json!(false), Nothing),
        ("trace", json!(true), Warned(PLAIN, "trace: not here")),
        ("disable_trace", json!(true), Nothing),
        ("v8", json!(true), Warned(PLAIN, "v8: not here")),
        ("event_loop_inspector", json!(true), Warned(PLAIN, "event_loop_inspector: not here")),
        ("deep_monitoring", json!(true), Warned(PLAIN, "deep_monitoring: not here")),
        ("io", json!({"metrics": {}}), Warned(PLAIN, "io: not here")),
        ("install_url", json!("x"), Nothing),
        ("km_link", json!(false), Nothing),
        ("windowsHide", json!(true), Nothing),
        ("write", json!(true), Nothing),
        ("execute_command", json!(true), Nothing),
        ("username", json!("x"), Nothing),
        ("version", json!("1.0"), Nothing),
        ("description", json!("x"), Nothing),
    ]
}

#[test]
fn each_field_is_mapped_or_named() {
    for (field, value, is) in cases() {
        let what = format!("{field}: {value}");
        let plan = planned(json!({ field: value }));
        match is {
            Refused(why) => assert!(plan.as_ref().is_err_and(|e| e.starts_with(why)), "{what}: {plan:?}"),
            Chain(chain) => {
                let plan = plan.expect(&what);
                assert_eq!((line(&plan).as_str(), plan.warnings.len()), (chain, 0), "{what}: {plan:?}");
            }
            Nothing => {
                let plan = plan.expect(&what);
                assert_eq!((line(&plan).as_str(), plan.warnings.len()), (PLAIN, 0), "{what}: {plan:?}");
            }
            Warned(chain, warning) => {
                let plan = plan.expect(&what);
                let said = plan.warnings.iter().any(|w| w.starts_with(warning));
                assert!(said && plan.warnings.len() == 1 && line(&plan).starts_with(chain), "{what}: {plan:?}");
            }
            Var(name, value) => assert_eq!(var(&plan.expect(&what), name), Some(value), "{what}"),
            Is::Plan(holds) => assert!(holds(plan.as_ref().expect(&what)), "{what}: {plan:?}"),
        }
    }
}

#[test]
fn every_field_has_a_case() {
    let tried: BTreeSet<_> = cases().iter().filter_map(|(key, ..)| fields::find(key)).map(|f| f.name).collect();
    let all: BTreeSet<_> = FIELDS.iter().map(|f| f.name).collect();
    assert_eq!(tried, all);
    assert_eq!(all.len(), FIELDS.len(), "no name is there twice");
}
