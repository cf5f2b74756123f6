//! The notification socket, both ways.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal::{SIGHUP, SIGTERM};
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{proc, wait};

/// A worker that says, whenever a file "go" is there, this many times what changes nothing. A full socket makes it wait,
/// so all but the last few have been read when it takes the file away.
const FLOODS: &str = "import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:
    time.sleep(0.02)
    if os.environ['PM_SLOT'] == '0' and os.path.exists('go'):
        for n in range(2000):
            s.sendto(b'STATUS=%d' % n, '\\0' + os.environ['NOTIFY_SOCKET'][1:])
        os.remove('go')
";

fn flood(scene: &Scene, chain: &Chain) {
    let go = scene.file("go", "");
    chain.until("the flood", || (!go.exists()).then_some(()));
}

/// What does not change is not written, not even where the last writing failed.
#[test]
fn a_flood_of_notifications_costs_no_writing_of_the_status() {
    let scene = Scene::new();
    let floods = scene.file("floods.py", FLOODS);
    let chain = scene.start(&format!("pm-cluster --name app -n 1 --ready-after 10ms python3 {}", floods.display()));
    chain.line("ready workers=1/1");
    let directory = scene.dir().join("pm/app/status.d");
    let file = directory.join(format!("pm-cluster.{}", chain.pid()));
    let changed = || directory.metadata().expect("there").modified().expect("a time");
    // What was begun has been written.
    let rest = || {
        chain.until("rest", || {
            let before = changed();
            std::thread::sleep(Duration::from_millis(300));
            (changed() == before).then_some(before)
        })
    };
    chain.until("the status", || file.is_file().then_some(()));
    let quiet = rest();
    flood(&scene, &chain);
    assert_eq!(changed(), quiet);
    // Where the file should be, there is what it cannot replace.
    std::fs::remove_file(&file).and_then(|()| std::fs::create_dir(&file)).expect("our own directory");
    chain.signal(nix::sys::signal::Signal::SIGTTIN);
    chain.line("pm-stat may show an old state");
    chain.until("a second worker", || (proc::children(chain.pid()).len() == 2).then_some(()));
    let failed = rest();
    flood(&scene, &chain);
    assert_eq!(changed(), failed, "it was tried again");
    chain.stop();
}

/// What systemd would hear.
struct Manager {
    socket: UnixDatagram,
    heard: std::cell::RefCell<Vec<String>>,
}

impl Manager {
    fn new(scene: &mut Scene) -> Self {
        let path = scene.dir().join("manager");
        let socket = UnixDatagram::bind(&path).expect("our own directory");
        socket.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
        scene.set("NOTIFY_SOCKET", path);
        Self { socket, heard: std::cell::RefCell::default() }
    }

    /// The lines from the last call on up to the first that begins with this, included.
    #[track_caller]
    fn up_to(&self, line: &str, chain: &Chain) -> Vec<String> {
        let mut heard = self.heard.borrow_mut();
        loop {
            if let Some(at) = heard.iter().position(|l| l.starts_with(line)) {
                return heard.drain(..=at).collect();
            }
            let mut buffer = [0; 4096];
            let n = self.socket.recv(&mut buffer);
            let n = n.unwrap_or_else(|e| panic!("no {line}: {e}; heard {heard:?}\n{}", chain.output()));
            heard.extend(String::from_utf8_lossy(&buffer[..n]).lines().map(str::to_owned));
        }
    }
}

fn monotonic_usec() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    u64::try_from(now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000).expect("after the boot")
}

/// Start, two reloads of which the second fails, stop: in this order, and each true when it is said.
fn tells_its_manager(line: &str, in_place: bool) {
    let mut scene = Scene::with_node(24);
    let manager = Manager::new(&mut scene);
    let app =
        scene.file("app.js", "if (require('fs').existsSync('broken')) throw 1; require(process.env.F + '/app.js')");
    scene.set("F", pm_tests::bins::fixtures());
    let chain = scene.start(&line.replace("APP", app.to_str().expect("UTF-8")));
    let start = manager.up_to("READY=1", &chain);
    assert!(!start.iter().any(|l| l.starts_with("RELOADING") || l.starts_with("STOPPING")), "{start:?}");
    chain.serving(1);
    for broken in [false, true] {
        if broken {
            let _ = scene.file("broken", "");
        }
        let before = monotonic_usec();
        chain.signal(SIGHUP);
        manager.up_to("RELOADING=1", &chain);
        let stamp = manager.up_to("MONOTONIC_USEC=", &chain).pop().expect("a line");
        let stamp: u64 = stamp["MONOTONIC_USEC=".len()..].parse().expect("a number");
        assert!((before..=monotonic_usec()).contains(&stamp), "{stamp}");
        let rest = manager.up_to("READY=1", &chain);
        assert!(!rest.iter().any(|l| l.starts_with("RELOADING") || l.starts_with("STOPPING")), "{rest:?}");
        // Known to people by the time that the end is: there is no other word for a reload that failed.
        let status = rest.iter().rfind(|l| l.starts_with("STATUS=")).expect("a status");
        assert_eq!(status.starts_with("STATUS=reload aborted: "), broken, "{status}");
        assert!(status.ends_with("workers ready"), "{status}");
        let result = if broken { "reload aborted" } else { "reloaded" };
        chain.line(result);
    }
    if !in_place {
        chain.serving(1);
    }
    chain.signal(SIGTERM);
    manager.up_to("STOPPING=1", &chain);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

#[test]
fn a_cluster_tells_its_manager_of_start_reloads_and_stop() {
    tells_its_manager("pm-cluster -n 2 --soak 50ms node APP", false);
}

#[test]
fn a_chain_tells_its_manager_of_start_reloads_and_stop() {
    tells_its_manager("pm-restart pm-cluster -n 2 --soak 50ms node APP", false);
}

#[test]
fn a_plain_child_is_told_of_too() {
    tells_its_manager("pm-restart node APP", true);
}

#[test]
fn the_status_line_says_how_many_are_ready() {
    for line in ["pm-cluster -n 2 node $F/app.js", "pm-restart pm-cluster -n 2 node $F/app.js"] {
        let mut scene = Scene::with_node(24);
        let manager = Manager::new(&mut scene);
        let chain = scene.start(line);
        manager.up_to("STATUS=2 of 2 workers ready", &chain);
        let worker = *chain.serving(2).first().expect("two");
        proc::send(worker, nix::sys::signal::Signal::SIGKILL);
        manager.up_to("STATUS=1 of 2 workers ready", &chain);
        manager.up_to("STATUS=2 of 2 workers ready", &chain);
        chain.stop();
    }
}

const WATCHDOG: &str = "WATCHDOG=1";
/// A few of half the interval.
const OFTEN: usize = 6;

impl Manager {
    /// Waits for this many words of life from now on.
    #[track_caller]
    fn hears_life(&self, count: usize, chain: &Chain) {
        self.heard.borrow_mut().clear();
        (0..count).for_each(|_| drop(self.up_to(WATCHDOG, chain)));
    }

    /// Waits until ten intervals have passed without a word of life.
    #[track_caller]
    fn hears_no_more(&self, interval: Duration, chain: &Chain) {
        self.heard.borrow_mut().clear();
        self.socket.set_read_timeout(Some(interval * 10)).expect("a timeout");
        // What is on its way, and what is said before the silence is noticed.
        let mut words = 0;
        while self.socket.recv(&mut [0; 4096]).is_ok() {
            words += 1;
            assert!(words < 100, "they go on\n{}", chain.output());
        }
        self.socket.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
    }
}

const INTERVAL: Duration = Duration::from_millis(300);

/// A place with a manager that wants a word of life each 300 ms.
fn watched() -> (Scene, Manager) {
    let mut scene = Scene::new();
    let manager = Manager::new(&mut scene);
    scene.set("WATCHDOG_USEC", INTERVAL.as_micros().to_string());
    (scene, manager)
}

#[test]
fn a_watchdog_hears_that_we_live_twice_in_its_interval() {
    for chain in ["pm-cluster", "pm-restart pm-cluster", "pm-restart sh -c '\"$@\"; exit' - pm-cluster"] {
        let (scene, manager) = watched();
        // As systemd does it.
        let line = format!("WATCHDOG_PID=$$ exec {chain} -n 1 --ready-after 10ms sleep 1000");
        let begun = std::time::Instant::now();
        let chain = scene.start_words(&["sh", "-c", &line]);
        manager.up_to("READY=1", &chain);
        manager.hears_life(OFTEN, &chain);
        assert!(begun.elapsed() >= INTERVAL / 2 * (OFTEN as u32 - 2), "too often: {:?}", begun.elapsed());
        chain.stop();
    }
}

#[test]
fn a_watchdog_of_somebody_else_hears_nothing() {
    for (usec, pid) in [(None, None), (Some("300000"), Some("1")), (Some("0"), None), (Some("often"), None)] {
        for line in ["pm-cluster", "pm-restart pm-cluster"] {
            let mut scene = Scene::new();
            let manager = Manager::new(&mut scene);
            usec.into_iter().for_each(|usec| scene.set("WATCHDOG_USEC", usec));
            pid.into_iter().for_each(|pid| scene.set("WATCHDOG_PID", pid));
            let chain = scene.start(&format!("{line} -n 1 --ready-after 10ms sleep 1000"));
            let mut heard = manager.up_to("READY=1", &chain);
            chain.signal(SIGTERM);
            heard.extend(manager.up_to("STOPPING=1", &chain));
            assert!(!heard.contains(&WATCHDOG.to_owned()), "{usec:?} {pid:?} {line}: {heard:?}");
            assert_eq!(chain.ended(), Some(0), "{}", chain.output());
        }
    }
}

/// No worker of a cluster is asked for a word of life; a child of pm-restart may give one.
#[test]
fn the_watchdog_variables_reach_the_chain_alone() {
    let says = "echo usec=$WATCHDOG_USEC pid=$WATCHDOG_PID.; exec sleep 1000";
    for (chain, said) in [
        ("pm-cluster -n 1 --ready-after 10ms", "usec= pid=."),
        ("pm-restart pm-cluster -n 1 --ready-after 10ms", "usec= pid=."),
        ("pm-restart", "usec=300000 pid=."),
    ] {
        let (scene, manager) = watched();
        let chain = scene.start_words(&["sh", "-c", &format!("WATCHDOG_PID=$$ exec {chain} sh -c '{says}'")]);
        manager.up_to("READY=1", &chain);
        chain.line(said);
        chain.stop();
    }
}

#[test]
fn a_cluster_that_hangs_is_no_life_for_the_watchdog() {
    let (scene, manager) = watched();
    let chain = scene.start("pm-restart pm-cluster -n 1 --ready-after 10ms sleep 1000");
    manager.up_to("READY=1", &chain);
    manager.hears_life(OFTEN, &chain);
    let cluster = scene.process("pm-cluster").expect("it runs");
    proc::send(cluster, nix::sys::signal::Signal::SIGSTOP);
    manager.hears_no_more(INTERVAL, &chain);
    proc::send(cluster, nix::sys::signal::Signal::SIGCONT);
    manager.hears_life(OFTEN, &chain);
    chain.stop();
}

/// What the ended one owed is not asked of its successor, nor of the time between them.
#[test]
fn a_child_that_has_ended_owes_the_watchdog_nothing() {
    let (scene, manager) = watched();
    let program = "[ -e once ] && exec sleep 1000; touch once; python3 $0 WATCHDOG=1; sleep 1000; exit";
    let fixture = scene.expand("$F/any/notify.py");
    let chain = scene.start_words(&["pm-restart", "sh", "-c", program, &fixture]);
    chain.until("its word", || scene.dir().join("once").exists().then_some(()));
    manager.up_to(WATCHDOG, &chain);
    manager.hears_no_more(INTERVAL, &chain);
    let child = *proc::children(chain.pid()).first().expect("it runs");
    proc::send(child, nix::sys::signal::Signal::SIGKILL);
    manager.hears_life(OFTEN, &chain);
    chain.stop();
}

/// Who fills the queue of the manager hides from it neither that we are ready nor that we stop.
#[test]
fn what_a_full_queue_does_not_take_is_said_again() {
    let mut scene = Scene::new();
    let manager = Manager::new(&mut scene);
    let flooder = UnixDatagram::unbound().expect("a socket");
    flooder.set_nonblocking(true).expect("our own socket");
    while flooder.send_to(b"STATUS=flood", scene.dir().join("manager")).is_ok() {}
    let chain = scene.start("pm-cluster -n 1 --ready-after 10ms sleep 1000");
    chain.line("ready workers=1/1");
    let heard = manager.up_to("READY=1", &chain);
    assert!(heard.iter().any(|l| l == "X_PM_SUPERVISOR=cluster"), "in their order: {heard:?}");
    while flooder.send_to(b"STATUS=flood", scene.dir().join("manager")).is_ok() {}
    chain.signal(SIGTERM);
    chain.until("it stops", || proc::children(chain.pid()).is_empty().then_some(()));
    manager.up_to("STOPPING=1", &chain);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}
