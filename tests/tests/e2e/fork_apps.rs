//! pm-fork and the apps that it knows: ids, starts again, signals, removal, what a failed start says, save and resurrect.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pm_tests::fork::{self, run, start_of, stop, tool};
use pm_tests::http;
use pm_tests::scene::Scene;
use pm_tests::stat;

/// A scene with an app that says its variables, and one that throws.
fn scene() -> Scene {
    let scene = Scene::with_node(24);
    let app = "require('http').createServer((q, r) => r.end(JSON.stringify(process.env))).listen(process.env.PORT)";
    let _ = scene.file("app.js", app);
    let _ = scene.file("boom.js", "console.error('about to fail'); process.exitCode = 3; null.x");
    let _ = scene.file("idle.js", "setInterval(() => {}, 1e9)");
    scene
}

/// The number that was asked for last holds, wherever in its options pm-cluster's own number stands.
#[test]
fn a_number_of_workers_outlives_a_restart_whatever_options_stand_beside_it() {
    for options in ["--stop-group -n 2", "-n2 --stop-group", "--no-preload --workers=2 --grace=3s --stop-group"] {
        let scene = scene();
        let start = format!("--name web pm-restart --stop-group pm-cluster {options} node app.js");
        let _ = run(&scene, &start).ok();
        let _ = run(&scene, "--scale 5 web").ok();
        let _ = run(&scene, "--again --restart web").ok();
        assert_eq!(stat::workers(&scene).len(), 5, "{options}");
        let _ = run(&scene, "--stop web").ok();
    }
}

#[test]
fn it_returns_when_the_app_serves_and_says_where() {
    let scene = scene();
    let said = run(&scene, "pm-restart pm-cluster -n 2 node app.js").ok();
    assert!(http::get(scene.port, "/").is_ok(), "{said:?}");
    let listen = format!(" ready_by=listen listen=tcp:[::]:{} log=", scene.port);
    assert!(said.err.starts_with("pm-fork: info: started app 'app' pid=") && said.err.contains(&listen), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    let start = start_of(&scene, "app");
    assert_eq!((&start["id"], &start["mode"], &start["namespace"]), (&0.into(), &"cluster".into(), &"default".into()));
    assert_eq!(start["script"].as_str().map(Path::new), Some(scene.dir().join("app.js").as_path()));
    let mode = scene.dir().join("pm/app/start.json").metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds the environment");
}

#[test]
fn an_app_that_does_not_listen_is_said_to_serve_nobody() {
    let scene = scene();
    let said = run(&scene, "pm-restart pm-cluster -n 1 node idle.js").ok();
    assert!(said.err.trim_end().ends_with("; it serves nobody"), "{said:?}");
}

#[test]
fn a_chain_that_dies_at_boot_gives_its_code_and_what_it_wrote() {
    let scene = scene();
    let said = run(&scene, "--name x pm-restart --restart never pm-cluster -n 1 node boom.js");
    assert!(said.code.is_some_and(|code| code != 0), "{said:?}");
    for part in ["app 'x' ended before it was ready: code=", "  about to fail", "TypeError"] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    let again = run(&scene, "--name x pm-restart --restart never node -e process.exit(7)");
    assert_eq!(again.code, Some(7), "{again:?}");
    assert!(!again.err.contains("about to fail"), "an earlier start's lines are not quoted: {again:?}");
}

#[test]
fn an_app_that_never_ran_is_errored_or_not_there_at_all() {
    let scene = scene();
    let list = || tool(&scene, &["pm-stat"]).ok();
    for (line, code, how) in [
        ("--name x pm-restart --restart never node -e process.exit(7)", 7, r#""code":7"#),
        ("--name x pm-restart --no-such-option node idle.js", 125, r#""code":125"#),
        ("--name x pm-restart --restart never sh -c kill${IFS}-9${IFS}$$", 137, r#""code":137"#),
    ] {
        assert_eq!(run(&scene, line).code, Some(code), "{line}");
        let said = list();
        assert!(said.out.contains(r#""state":"errored""#) && said.out.contains(how), "{line}: {said:?}");
        let described = tool(&scene, &["pm-stat", "--describe", "x"]).ok().out;
        assert!(described.contains("  errored\n") && described.contains("last restart"), "{described}");
    }
    let _ = run(&scene, "--again x");
    let _ = run(&scene, "--name x pm-restart node idle.js").ok();
    stop(&scene, "x");
    assert!(list().out.contains(r#""state":"stopped""#), "it has run");
    for line in ["--name y no-such-program", "--name y --out /proc/nobody/x node idle.js"] {
        assert_ne!(run(&scene, line).code, Some(0), "{line}");
        assert!(!list().out.contains(r#""app":"y""#), "{line}");
        assert!(!scene.dir().join("pm/y").exists(), "{line}");
    }
}

#[test]
fn a_first_failure_is_told_while_it_is_tried_again() {
    let scene = scene();
    // Sooner done than node.
    let _ = scene.file("boom.sh", "echo about to fail >&2; exit 3");
    let first = "pm-fork: warning: app 'x': a worker ended before it was ready (code=";
    let try_it = || run(&scene, "--name x --timeout 1500ms pm-restart --backoff 60s..60s sh boom.sh");
    let mut said = try_it();
    // A busy machine may not have come to it in that time; more of it, and nobody would wait on.
    for _ in 0..5 {
        if said.err.starts_with(first) {
            break;
        }
        stop(&scene, "x");
        said = try_it();
    }
    assert_eq!(said.code, Some(124), "{said:?}");
    assert!(said.err.starts_with(first) && said.err.contains("\n  about to fail\n"), "{said:?}");
    assert!(said.err.contains("is not ready after 1500ms, and goes on"), "{said:?}");
    stop(&scene, "x");
}

#[test]
fn a_program_that_only_fails_is_not_waited_for_to_the_end() {
    let scene = scene();
    // Not so soon that its supervisor may give up before anybody has looked.
    let begun = Instant::now();
    let said = run(&scene, "--name x --timeout 300s pm-restart --backoff 300ms..300ms false");
    assert_eq!(said.code, Some(1), "{said:?}");
    // Three at least: a machine that is fast has more of them behind it; or once, after two seconds.
    let (start, rest) = said.err.split_once("app 'x' does not start: its worker ended ").expect("it is said");
    let late = begun.elapsed() >= Duration::from_secs(2) && rest.starts_with("once;");
    assert!(late || rest.contains(" times; it is tried again as its policy says"), "{start} {rest}");
    assert!(said.err.contains("(pm stop x ends that; pm logs x shows what it writes)"), "{said:?}");
    stop(&scene, "x");
    let said = run(&scene, "--name x --timeout 300s pm-restart --backoff 60s..60s false");
    assert_eq!(said.code, Some(1), "the next try is far off: {said:?}");
    assert!(said.err.contains("app 'x' does not start: its worker ended once; it is tried again"), "{said:?}");
    stop(&scene, "x");
}

/// What it wrote tells more than what we know, and some write their errors to stdout.
#[test]
fn a_job_that_ends_by_itself_is_called_that_and_its_output_is_shown() {
    let scene = scene();
    let _ = scene.file("job.sh", "echo all done; echo and well >&2\n");
    let shown = |said: &fork::Said| {
        assert_eq!(said.code, Some(1), "{said:?}");
        for part in ["\n  stdout:\n  all done\n", "  stderr:\n", "  and well\n", "by itself: a job? --no-autorestart"] {
            assert!(said.err.contains(part), "{part}: {said:?}");
        }
    };
    shown(&run(&scene, "--name x --timeout 300s pm-restart --backoff 300ms..300ms sh job.sh"));
    stop(&scene, "x");
    // So soon that its supervisor has given up before anybody looks.
    shown(&run(&scene, "--name x --timeout 300s pm-restart --backoff 1ms..1ms --intensity 1/60s sh job.sh"));
}

#[test]
fn of_three_starts_at_once_one_wins() {
    let scene = scene();
    let start = |_| {
        let mut command =
            scene.command(&["pm-fork", "--name", "web", "pm-restart", "pm-cluster", "-n", "1", "node", "app.js"]);
        command.stderr(Stdio::null()).spawn().expect("starts")
    };
    let mut all: Vec<Child> = (0..3).map(start).collect();
    let mut codes: Vec<_> = all.iter_mut().map(|child| child.wait().expect("ends").code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(125), Some(125)]);
    assert_eq!(stat::workers(&scene).len(), 1);
}

#[test]
fn an_id_is_an_apps_own_until_it_is_removed() {
    let scene = scene();
    for name in ["a", "b", "c"] {
        let _ = run(&scene, &format!("--name {name} --wait started pm-restart node idle.js")).ok();
    }
    let ids = || ["a", "b", "c"].map(|name| start_of(&scene, name)["id"].as_u64().expect("a number"));
    assert_eq!(ids(), [0, 1, 2]);
    let refused = run(&scene, "--remove b");
    assert_eq!((refused.code, refused.err.contains("app 'b' is running: pid=")), (Some(1), true), "{refused:?}");
    assert!(scene.dir().join("pm/b/start.json").is_file());
    stop(&scene, "b");
    let _ = run(&scene, "--again --wait started b").ok();
    assert_eq!(ids(), [0, 1, 2], "a new start is the same app");
    stop(&scene, "a");
    let _ = run(&scene, "--remove a").ok();
    assert!(!scene.dir().join("pm/a").exists());
    let _ = run(&scene, "--name a --wait started pm-restart node idle.js").ok();
    assert_eq!(ids(), [3, 1, 2]);
    let unknown = run(&scene, "--remove a nobody");
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}

#[test]
fn an_app_is_started_again_as_it_was_or_in_a_new_environment() {
    let mut scene = scene();
    scene.set("MINE", "one");
    let _ = run(&scene, "--name web pm-restart pm-cluster -n 1 node app.js").ok();
    stop(&scene, "web");
    std::fs::write(scene.dir().join("pm/web/workers"), "2\n").expect("written");
    scene.set("MINE", "two");
    let _ = run(&scene, "--again web").ok();
    assert!(http::get(scene.port, "/").expect("serves").contains("\"MINE\":\"one\""));
    assert_eq!(stat::workers(&scene).len(), 2, "as many as were asked for last");
    let running = run(&scene, "--again web");
    assert_eq!((running.code, running.err.contains("already running")), (Some(1), true), "{running:?}");
    stop(&scene, "web");
    let _ = run(&scene, "--again --update-env web").ok();
    assert!(http::get(scene.port, "/").expect("serves").contains("\"MINE\":\"two\""));
    let unknown = run(&scene, "--again nobody");
    assert_eq!((unknown.code, unknown.err.contains("no app 'nobody'")), (Some(1), true), "{unknown:?}");
}

#[test]
fn a_signal_reaches_those_that_run_and_the_others_are_named() {
    let scene = scene();
    let _ = run(&scene, "--name web --wait started pm-restart node idle.js").ok();
    let said = run(&scene, "--signal TERM nobody web");
    assert_eq!((said.code, said.err.contains("no app 'nobody'")), (Some(1), true), "{said:?}");
    fork::wait(&scene, "stopped", "web");
    let said = run(&scene, "--signal TERM web");
    assert_eq!((said.code, said.err.contains("app 'web' is not running")), (Some(1), true), "{said:?}");
    assert_eq!(run(&scene, "--signal NOPE web").code, Some(125));
}

#[test]
fn what_is_saved_comes_back_stopped_or_running_with_its_workers() {
    let mut scene = scene();
    let _ = run(&scene, "--set script=app.js --set name=web --set instances=1 --set env=SHOWN=a\"$b").ok();
    let _ = run(&scene, "--name halted --wait started pm-restart node idle.js").ok();
    stop(&scene, "halted");
    let saved = run(&scene, "--save").ok();
    let lines = saved.lines();
    assert_eq!((lines.len(), &lines[2]["saved"]), (3, &2.into()), "{saved:?}");
    assert_eq!(
        (&lines[0]["state"], &lines[0]["workers"], &lines[1]["state"]),
        (&"online".into(), &1.into(), &"stopped".into())
    );
    let left_alone = run(&scene, &format!("-f {}", scene.file("dump", &saved.out).display())).ok();
    assert!(left_alone.err.contains("app 'web' is running, and left as it is"), "{left_alone:?}");
    stop(&scene, "web");
    let _ = run(&scene, "--remove web halted").ok();
    let dump = scene.file("dump", &saved.out.replacen("\"workers\":1", "\"workers\":2", 1));
    scene.set("PM_OTHER", "not the environment that it was saved with");
    let _ = run(&scene, &format!("-f {}", dump.display())).ok();
    let answer = http::get(scene.port, "/").expect("serves");
    assert!(answer.contains(r#""SHOWN":"a\"$b""#) && !answer.contains("PM_OTHER"), "{answer}");
    assert_eq!(stat::workers(&scene).len(), 2);
    assert_eq!((&start_of(&scene, "web")["id"], &start_of(&scene, "halted")["id"]), (&0.into(), &1.into()));
    stop(&scene, "web");
    let cut = saved.out.get(..saved.out.len() - 3).expect("text");
    let refused = run(&scene, &format!("-f {}", scene.file("cut", cut).display()));
    assert_eq!((refused.code, refused.err.contains("not whole")), (Some(125), true), "{refused:?}");
    assert!(stat::workers(&scene).is_empty(), "nothing is started of a file that is not whole");
}

#[test]
fn a_relative_home_is_the_callers() {
    let scene = scene().with("PM_HOME", "here");
    std::fs::create_dir(scene.dir().join("sub")).expect("made");
    let _ = run(&scene, "--set script=$T/app.js --set cwd=sub --set instances=1").ok();
    assert!(scene.dir().join("here/app/app.env").is_file() && http::get(scene.port, "/").is_ok());
}
