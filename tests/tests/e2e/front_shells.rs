//! Several shells at once: no app is lost, none runs twice, no state is stale.

use pm_tests::front::{Front, Said};
use pm_tests::{proc, stat};

/// As many rounds as a test may take; `scripts/stress --shells N` asks for more.
fn rounds() -> u32 {
    std::env::var("PM_TEST_SHELLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// With an app that is ready as soon as it listens, so that there are many rounds in a short time.
fn quick() -> Front {
    let front = Front::new();
    let _ = front.scene.file("quick.js", "require('http').createServer(() => {}).listen(0)");
    front
}

/// Runs all of these at the same time, to their ends.
fn at_once(front: &Front, lines: &[String]) -> Vec<Said> {
    std::thread::scope(|scope| {
        let calls: Vec<_> = lines.iter().map(|line| scope.spawn(|| front.line(line))).collect();
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    })
}

/// The supervisors that run, by the name of their app.
fn supervisors(front: &Front) -> Vec<String> {
    // A fork has its parent's name until exec.
    let named = |pid: u32| proc::name(pid) == "pm-restart";
    let outermost = |pid: &u32| named(*pid) && !proc::parent(*pid).is_some_and(named);
    let pids = front.scene.processes().into_iter().filter(outermost);
    let app = |pid: u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let entry = environ.split(|byte| *byte == 0).find_map(|e| e.strip_prefix(b"PM_APP=").map(<[u8]>::to_vec));
        String::from_utf8_lossy(&entry.unwrap_or_default()).into_owned()
    };
    let mut names: Vec<_> = pids.map(app).collect();
    names.sort_unstable();
    names
}

/// The apps that are said to run are those that do, and each once.
#[track_caller]
fn true_and_single(front: &Front, what: &str) {
    let running = supervisors(front);
    let mut single = running.clone();
    single.dedup();
    assert_eq!(running, single, "{what}: an app runs twice");
    let listed = front.list();
    let mut online: Vec<_> = listed.iter().filter_map(|app| app.strip_suffix(":online").map(str::to_owned)).collect();
    online.dedup();
    assert_eq!(online, running, "{what}: {listed:?}");
}

#[test]
fn three_shells_on_the_same_name() {
    let front = quick();
    for round in 0..rounds() {
        let started = at_once(&front, &["-s start quick.js -i 1 --name x"; 3].map(str::to_owned));
        assert!(started.iter().any(|said| said.code == 0), "round {round}: {started:?}");
        assert_eq!(front.list(), ["x:online"], "round {round}: {started:?}");
        true_and_single(&front, &format!("round {round}"));
        let mixed = at_once(&front, &["-s stop x", "-s restart x", "-s start x"].map(str::to_owned));
        true_and_single(&front, &format!("round {round}: {mixed:?}"));
        assert_eq!(front.list().len(), 1, "round {round}: it is known, running or stopped: {mixed:?}");
        let gone = at_once(&front, &["-s stop x", "-s delete x", "-s stop all"].map(str::to_owned));
        true_and_single(&front, &format!("round {round}: {gone:?}"));
        // A service that is being started ends as soon as it is told to.
        let said = format!("{mixed:?} {gone:?}");
        assert!(!said.contains("did not end within"), "round {round}: {said}");
        let _ = front.line("-s delete x");
        assert_eq!(front.list(), [""; 0], "round {round}: {gone:?}");
    }
}

#[test]
fn three_shells_on_names_of_their_own() {
    let front = quick();
    let each = |verb: &str| ["a", "b", "c"].map(|name| format!("-s {verb} {name}"));
    for round in 0..rounds() {
        let started = at_once(&front, &["a", "b", "c"].map(|name| format!("-s start quick.js -i 1 --name {name}")));
        assert!(started.iter().all(|said| said.code == 0), "round {round}: {started:?}");
        assert_eq!(front.list(), ["a:online", "b:online", "c:online"], "round {round}");
        let mut ids: Vec<_> = ["a", "b", "c"].iter().map(|name| front.ok(&format!("id {name}")).out).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3, "round {round}: each has an id of its own");
        true_and_single(&front, &format!("round {round}"));
        let stopped = at_once(&front, &each("stop"));
        assert!(stopped.iter().all(|said| said.code == 0), "round {round}: {stopped:?}");
        assert_eq!(front.list(), ["a:stopped", "b:stopped", "c:stopped"], "round {round}");
        let deleted = at_once(&front, &each("delete"));
        assert!(deleted.iter().all(|said| said.code == 0), "round {round}: {deleted:?}");
        assert_eq!(front.list(), [""; 0], "round {round}");
        assert_eq!(stat::workers(&front.scene).len(), 0, "round {round}");
    }
}
