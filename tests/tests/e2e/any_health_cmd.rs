//! `--health-cmd`: a command of the user decides whether a worker that listens is well.

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{any, proc, roll, stat};

const BOOTS: &str = "--soak 0s --health-cmd ./check /usr/bin/python3 $F/any/boots.py";

/// Real curl from the port that it is told: it reaches the very worker that it is to ask, which answers its pid.
const CURL: &str = "#!/bin/sh\n\
    answer=$(curl -fsS --local-port $PM_HEALTH_PORT http://$PM_ADDRESS/) || exit\n\
    echo \"$PM_SLOT $answer $PM_PID\" >>asked\n\
    test \"$answer\" = \"$PM_PID\"\n";

/// All checks that were answered, and none of them by another worker.
fn asked(scene: &Scene) -> usize {
    let text = std::fs::read_to_string(scene.dir().join("asked")).unwrap_or_default();
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert!(words.iter().all(|line| line[1] == line[2]), "another worker answered: {text}");
    words.len()
}

fn named(scene: &Scene, name: &str) -> Vec<u32> {
    scene.processes().into_iter().filter(|pid| proc::name(*pid) == name).collect()
}

fn ready_by(scene: &Scene) -> Vec<String> {
    stat::workers(scene).iter().map(|worker| worker.text("ready_by").to_owned()).collect()
}

#[test]
fn a_worker_serves_only_once_curl_is_content_with_it() {
    let scene = any::scene().with("BOOT", "0.7");
    let _ = scene.file("check", CURL);
    let chain = any::start(&scene, "pm-cluster -n 3", BOOTS);
    chain.line("ready workers=3/3");
    assert_eq!((ready_by(&scene), asked(&scene)), (vec!["health".to_owned(); 3], 3));
    any::rolls_well(&chain, 3);
    assert_eq!(asked(&scene), 9, "each new worker once");
    chain.stop();
}

#[test]
fn node_workers_are_reached_as_well() {
    let scene = any::scene();
    let _ = scene.file("check", CURL);
    let chain = any::start(&scene, "pm-cluster -n 3 --health-cmd ./check", "node $F/app.js");
    chain.line("ready workers=3/3");
    assert_eq!((ready_by(&scene), asked(&scene)), (vec!["health".to_owned(); 3], 3));
    chain.stop();
}

#[test]
fn one_that_is_given_its_socket_is_asked_too() {
    let scene = any::scene();
    let _ = scene.file("check", "#!/bin/sh\ncurl -fsS --local-port $PM_HEALTH_PORT http://$PM_ADDRESS/\n");
    let line = "pm-cluster -n 2 --listen 127.0.0.1:$P --health-cmd ./check";
    let chain = any::start(&scene, line, "/usr/bin/python3 $F/any/passed.py");
    chain.line("ready workers=2/2");
    assert_eq!(ready_by(&scene), ["health", "health"]);
    chain.stop();
}

#[test]
fn one_on_a_unix_socket_is_asked_there() {
    let scene = any::scene();
    let _ = scene
        .file("check", "#!/bin/sh\ncurl -fsS --unix-socket ${PM_ADDRESS#unix:} http://x/ && echo >>asked.$PM_SLOT\n");
    let line = "pm-cluster -n 2 --listen unix:$T/socket --health-cmd ./check";
    let chain = any::start(&scene, line, "/usr/bin/python3 $F/any/passed.py");
    chain.line("ready workers=2/2");
    assert_eq!(ready_by(&scene), ["health", "health"]);
    assert!(scene.dir().join("asked.0").exists() && scene.dir().join("asked.1").exists());
    chain.stop();
}

#[test]
fn a_release_that_never_passes_replaces_nobody_and_the_reason_is_said() {
    let scene = any::scene();
    let _ = scene.file("check", CURL);
    let (chain, state) = crate::any_health::replaces_nobody(&scene, BOOTS);
    let reason = "not ready after 6000ms; health check: exit 22: curl: (22) The requested URL returned error: 503";
    assert!(state["reason"].as_str().is_some_and(|said| said.starts_with(reason)), "{state}");
    chain.line(reason);
    chain.stop();
}

/// It is ended with all that it has started, and tried again.
#[test]
fn a_command_that_hangs_is_ended() {
    let scene = any::scene();
    let _ = scene.file("check", "#!/bin/sh\necho asking; test ! -e hang || { sleep 1000 & sleep 1000; }\n");
    let chain = any::start(&scene, "pm-cluster -n 1 --ready-timeout 9s", BOOTS);
    chain.line("ready workers=1/1");
    let _ = scene.file("hang", "");
    let state = roll::roll(&chain);
    let reason = "not ready after 9000ms; health check: not done within 5000ms: asking";
    assert_eq!((&state["ok"], &state["reason"]), (&false.into(), &reason.into()));
    chain.until("the end of the last run", || named(&scene, "sleep").is_empty().then_some(()));
    // The new worker is killed by then, but its end may still have to be noticed.
    chain.until("the old worker alone", || (ready_by(&scene) == ["health"]).then_some(()));
    chain.stop();
}

fn hangs<'a>(scene: &'a Scene, before: &str) -> (Chain<'a>, Vec<u32>) {
    let _ = scene.file("check", "#!/bin/sh\nsleep 1000 & sleep 1000\n");
    let chain = any::start(scene, before, BOOTS);
    let sleeping = chain.until("both of the check", || Some(named(scene, "sleep")).filter(|all| all.len() == 2));
    (chain, sleeping)
}

#[test]
fn it_ends_with_its_worker() {
    let scene = any::scene();
    let (chain, sleeping) = hangs(&scene, "pm-restart --backoff 60s..60s pm-cluster -n 1");
    let worker = stat::workers(&scene)[0].pid().expect("it starts");
    proc::send(worker, SIGKILL);
    chain.line("worker ended");
    chain.until("the end of the check", || sleeping.iter().all(|pid| !proc::alive(*pid)).then_some(()));
    chain.stop();
}

#[test]
fn it_ends_with_the_cluster() {
    let scene = any::scene();
    let (chain, _) = hangs(&scene, "pm-cluster -n 1");
    chain.stop();
}

#[test]
fn what_it_leaves_is_ended_and_holds_nothing_up() {
    let scene = any::scene();
    let _ = scene.file("check", "#!/bin/sh\nsleep 1000 &\n");
    let chain = any::start(&scene, "pm-cluster -n 2", BOOTS);
    chain.line("ready workers=2/2");
    chain.until("the end of what was left", || named(&scene, "sleep").is_empty().then_some(()));
    let supervisor = chain.pid();
    let zombie = |pid: &u32| proc::state(*pid) == Some('Z');
    chain.until("all reaped", || (!proc::children(supervisor).iter().any(zombie)).then_some(()));
    chain.stop();
}

/// No lane, no channel, nothing that the supervisor was started with; and it knows whom it is to ask.
#[test]
fn it_has_three_descriptors_and_is_told_of_its_worker() {
    let scene = any::scene();
    let script = "#!/bin/sh\nfor fd in /proc/$$/fd/*; do readlink $fd; done >fds.$PM_SLOT\n\
                  env >env.$PM_SLOT; mv env.$PM_SLOT told.$PM_SLOT\n";
    let _ = scene.file("check", script);
    let line = scene.expand("exec 9</dev/zero; exec pm-cluster -n 2 --health-cmd ./check node $F/app.js");
    let chain = scene.start_words(&["sh", "-c", &line]);
    chain.line("ready workers=2/2");
    let read = |name: &str| std::fs::read_to_string(scene.dir().join(name)).expect("written by the check");
    for worker in stat::workers(&scene) {
        let slot = worker.number("slot");
        let fds = read(&format!("fds.{slot}"));
        // The loop's own output, and dash keeps the script and what it replaced: files, in the test's directory.
        let own = scene.dir().to_str().expect("UTF-8");
        let known = |link: &&str| *link == "/dev/null" || link.starts_with("pipe:") || link.starts_with(own);
        assert!(fds.lines().all(|link| known(&link)), "{fds}");
        let env = read(&format!("told.{slot}"));
        let get = |key: &str| env.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        assert_eq!(get("PM_SLOT"), Some(slot.to_string().as_str()));
        assert_eq!(get("PM_GENERATION"), Some("1"));
        assert_eq!(get("PM_PID"), worker.pid().map(|pid| pid.to_string()).as_deref());
        assert_eq!(get("PM_ADDRESS"), Some(format!("127.0.0.1:{}", scene.port).as_str()));
        assert!(get("PM_HEALTH_PORT").and_then(|port| port.parse().ok()).is_some_and(|port: u16| port > 1023));
        for other in ["NODE_CHANNEL_FD", "NODE_UNIQUE_ID", "NOTIFY_SOCKET", "LISTEN_FDS"] {
            assert_eq!(get(other), None, "{env}");
        }
    }
    chain.stop();
}

#[test]
fn two_questions_are_one_too_many() {
    let scene = Scene::new();
    let refused = |words: &[&str]| {
        let output = scene.command(&[&["pm-cluster"], words, &["sleep", "1"]].concat()).output().expect("runs");
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), text.lines().count()), (Some(125), 1), "{text}");
        text
    };
    for words in [["--health", "http://:1/", "--health-cmd", "x"], ["--health-cmd", "x", "--health", "http://:1/"]] {
        assert!(refused(&words).contains("--health and --health-cmd do not go together"));
    }
    let round = refused(&["--balance", "rr", "--health", "http://:1/"]);
    assert!(round.contains("--health reaches no new worker"), "{round}");
    assert!(refused(&["--health-cmd", " "]).contains("expected a command"));
    let owner = refused(&["--listen", "unix:/tmp/x,owner=nobody-is-called-so"]);
    assert!(owner.contains("there is no user 'nobody-is-called-so'"), "{owner}");
}
