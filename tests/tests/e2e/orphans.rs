//! Supervisors that were killed with -9: what they leave is seen, and ended by whoever stops or starts the app.

use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
use pm_tests::front::Front;
use pm_tests::stat;
use pm_tests::{http, proc, wait};

/// Ignores TERM and the end of its channel, and serves on.
const STUBBORN: &str = "process.on('SIGTERM', () => {}); process.on('SIGINT', () => {}); process.on('disconnect', () => {})\n\
     require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT)\n";

/// The supervisors of the app, the outermost first.
pub(crate) fn supervisors(front: &Front, app: &str) -> Vec<u32> {
    let dir = front.scene.dir().join("pm").join(app).join("status.d");
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    // pm-restart is above pm-cluster; the greater pid may be above, too.
    names.sort_unstable_by(|a, b| b.cmp(a));
    names.iter().filter_map(|name| name.strip_prefix("pm-")?.rsplit_once('.')?.1.parse().ok()).collect()
}

/// All at once: none has time to see that another is gone. The innermost goes first: where the parent of a suspended one
/// ends, the kernel lets it go on with a HUP (setpgid(2): an orphaned process group), and it would stop its workers.
fn kill(pids: &[u32]) {
    pids.iter().for_each(|pid| proc::send(*pid, SIGSTOP));
    pids.iter().rev().for_each(|pid| proc::send(*pid, SIGKILL));
    wait::until("the supervisors to be gone", || pids.iter().all(|pid| !proc::alive(*pid)).then_some(()));
}

/// An app in fork mode whose only supervisor was killed: the process that is left.
fn orphan(front: &Front) -> u32 {
    front.ok("start app.js --kill-timeout 500");
    let worker = front.pids("app")[0];
    kill(&supervisors(front, "app"));
    assert!(proc::alive(worker));
    worker
}

#[test]
fn what_a_killed_supervisor_left_is_listed_with_its_pid_and_what_it_uses() {
    let front = Front::new();
    let worker = orphan(&front);
    assert_eq!(front.list(), ["app:orphaned"]);
    let item = front.jlist().remove(0);
    assert_eq!(item["pid"], worker);
    assert!(item["monit"]["memory"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{item}");
    let line = stat::workers(&front.scene).remove(0);
    assert_eq!((line.state(), line.pid()), ("orphaned", Some(worker)), "{line:?}");
    assert!(line.0["cpu_pct"].is_number() && line.number("rss_bytes") > 1 << 20, "{line:?}");
    for verb in ["list", "describe app"] {
        let said = front.ok(verb);
        assert!(said.out.contains("orphaned") && said.out.contains(&worker.to_string()), "{said:?}");
    }
    let check = stat::run(&front.scene, &["--check"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("pid={worker}")) && said.contains("pm-restart"), "{said}");
}

#[test]
fn every_verb_ends_what_a_killed_supervisor_left() {
    for (verb, list) in [
        ("stop app", &["app:stopped"] as &[_]),
        ("delete app", &[]),
        ("restart app", &["app:online"]),
        ("start app", &["app:online"]),
        ("reload app", &["app:online"]),
    ] {
        let front = Front::new();
        let worker = orphan(&front);
        let said = front.ok(verb);
        assert!(!proc::alive(worker), "{verb}: {said:?}");
        assert!(said.err.contains(&format!("pid={worker}")) && said.err.contains("killed"), "{verb}: {said:?}");
        assert_eq!(front.list(), list, "{verb}");
        if verb.starts_with("re") || verb.starts_with("start") {
            let serving: std::collections::BTreeSet<_> = http::pids(front.scene.port, 4).into_iter().collect();
            assert_eq!(serving.into_iter().collect::<Vec<_>>(), front.pids("app"), "{verb}");
        }
    }
}

#[test]
fn one_that_ignores_the_signal_is_killed_after_the_grace_and_its_group_with_it() {
    let front = Front::new();
    let child = "require('child_process').spawn('sleep', ['1000'], { stdio: 'ignore' })\n";
    let _ = front.scene.file("app.js", &format!("{STUBBORN}{child}"));
    let worker = orphan(&front);
    let below = proc::children(worker);
    assert_eq!(below.len(), 1);
    front.ok("stop app");
    assert!(!proc::alive(worker) && !proc::alive(below[0]));
    assert_eq!(front.list(), ["app:stopped"]);
    assert_eq!(stat::run(&front.scene, &["--check"]).status.code(), Some(0), "a stop is what was asked for");
}

#[test]
fn both_supervisors_killed_is_the_same_in_cluster_mode() {
    let front = Front::new();
    // Node's cluster workers end with their channel; others do not notice.
    let _ = front.scene.file("app.sh", "#!/bin/sh\nwhile :; do sleep 1000; done\n");
    front.ok("start app.sh -i 2 --kill-timeout 500");
    let workers = front.pids("app");
    let both = supervisors(&front, "app");
    assert_eq!((workers.len(), both.len()), (2, 2));
    kill(&both);
    assert!(workers.iter().all(|pid| proc::alive(*pid)));
    assert_eq!(front.list(), ["app:orphaned", "app:orphaned"]);
    let said = front.ok("start app");
    assert!(said.err.contains("2 "), "{said:?}");
    assert!(workers.iter().all(|pid| !proc::alive(*pid)), "{said:?}");
    // A shell that has slept for seconds serves nobody.
    let list = front.list();
    assert!(list.len() == 2 && list.iter().all(|app| app == "app:launching" || app == "app:online"), "{list:?}");
}

/// Who is started by hand makes the directory anew: it must not forget who is in it.
#[test]
fn a_supervisor_started_by_hand_ends_them_first() {
    for tool in ["pm-restart", "pm-cluster -n 1"] {
        let front = Front::new();
        let first = front.scene.start(&format!("pm-restart --grace 500ms node {}/app.js", front.scene.dir().display()));
        let worker = *first.serving(1).first().expect("one");
        kill(&[first.pid()]);
        let second = front.scene.start(&format!("{tool} node {}/app.js", front.scene.dir().display()));
        let said = second.line("killed");
        assert!(said.contains(&format!("pid={worker}")), "{said}");
        wait::until("the worker to end", || (!proc::alive(worker)).then_some(()));
        assert!(!second.serving(1).contains(&worker));
        second.stop();
    }
}

#[test]
fn a_cluster_that_lost_the_supervisor_above_is_said_to_have() {
    let front = Front::new();
    front.ok("start app.js -i 1");
    let both = supervisors(&front, "app");
    let check = || stat::run(&front.scene, &["--check"]);
    assert_eq!(check().status.code(), Some(0));
    kill(&both[..1]);
    let said = wait::until("the check to say so", || {
        let said = String::from_utf8_lossy(&check().stdout).into_owned();
        said.contains("pm-restart").then_some(said)
    });
    assert!(said.contains(&format!("pid={}", both[0])) && said.contains("pm restart app"), "{said}");
    assert_eq!(check().status.code(), Some(1));
    let list = front.ok("list");
    assert!(list.out.contains("online") && list.out.contains("pm-restart"), "{list:?}");
    front.ok("restart app");
    assert_eq!(check().status.code(), Some(0), "{:?}", check());
    assert!(!front.ok("list").out.contains("pm-restart"));
}

#[test]
fn a_shell_between_the_links_is_no_orphan() {
    let front = Front::new();
    let app = front.scene.dir().join("app.js");
    let script = front.scene.file("between.sh", &format!("#!/bin/sh\npm-cluster -n 1 node {}\n", app.display()));
    let chain = front.scene.start(&format!("pm-restart --name app {}", script.display()));
    chain.serving(1);
    wait::until("both to say something", || (supervisors(&front, "app").len() == 2).then_some(()));
    kill(&[chain.pid()]);
    wait::until("the cluster to go on alone", || front.ok("list").out.contains("goes on without it").then_some(()));
    assert_eq!(front.list(), ["app:online"]);
    front.ok("stop app");
    assert_eq!(stat::run(&front.scene, &["--check"]).status.code(), Some(0));
}

/// Workers of Node end with the supervisors; nobody asked for that, so it is no stop.
#[test]
fn an_app_that_ended_with_its_killed_supervisors_is_errored_and_saved_as_one_that_runs() {
    let front = Front::new();
    front.ok("start app.js -i 1");
    let supervisors = supervisors(&front, "app");
    kill(&supervisors);
    wait::until("the end of the app", || front.scene.processes().is_empty().then_some(()));
    assert_eq!(front.list(), ["app:errored"]);
    let why = format!("pm-restart pid={} was killed, and the app ended with it", supervisors[0]);
    for verb in ["list", "describe app"] {
        let said = front.ok(verb);
        assert!(said.out.contains(&why), "{said:?}");
    }
    front.ok("save");
    front.ok("delete app");
    front.ok("resurrect");
    assert_eq!(front.list(), ["app:online"]);
}
